"""Paired differences of two models on the same queries: interval and p-value."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.bootstrap import Interval, interval_of
from neuroalign.evaluation.median import median_interval
from neuroalign.evaluation.per_query import QueryValues, widened
from neuroalign.evaluation.permutation import paired_p_value
from neuroalign.evaluation.spread import Sample, Spread, spread_of

_BOUNDS = (-1.0, 1.0)
_SMALLEST = 1e-12


def compare(
    ours: QueryValues, theirs: QueryValues, *, n_boot: int = 1000, seed: int = 0
) -> Interval:
    """Return the paired difference of two models on one metric and the same queries.

    Raises
    ------
    NeuroalignError
        The metrics, or the queries that they could be computed for, differ.
    """
    if ours.metric != theirs.metric or not np.array_equal(ours.positions, theirs.positions):
        raise NeuroalignError(
            f"A paired comparison needs one metric on the same queries: got {ours.metric} on "
            f"{len(ours.positions)} and {theirs.metric} on {len(theirs.positions)} queries."
        )
    if ours.level is not None:
        return median_interval(
            ours.values,
            ours.clusters,
            minus=theirs.values,
            strata=ours.cells,
            weights=ours.weights,
            people=ours.people,
            bounds=(1.0 - ours.n_gallery, ours.n_gallery - 1.0),
            n_boot=n_boot,
            seed=seed,
        )
    return _moved(ours, theirs, n_boot, seed).interval()


def difference_p_value(
    ours: QueryValues,
    theirs: QueryValues,
    *,
    n_boot: int = 1000,
    n_permutations: int = 1000,
    seed: int = 0,
) -> float | None:
    """Return the two-sided p-value of a paired difference of means.

    Where only the queries are a sample, the signs of their units are flipped. People, or
    recordings that are candidates, favour one model in many queries at once: flipped query by
    query, these would look like independent evidence. There, p is what the interval says: the
    level at which it just leaves out 0 is 1 - p.

    Parameters
    ----------
    ours, theirs : QueryValues
        As in `compare`.
    n_boot, n_permutations, seed : int
        Draws of the interval, and of flipped signs.

    Returns
    -------
    float or None
        None for a median, and where candidates are a sample that cannot be drawn again.
    """
    if ours.level is not None or ours.candidates_fixed or theirs.candidates_fixed:
        return None
    several = ours.people is not None and len(np.unique(ours.people)) > 1
    if several or (ours.gallery is not None and theirs.gallery is not None):
        return _moved(ours, theirs, n_boot, seed).p_value()
    return paired_p_value(_differences(ours, theirs), n_permutations=n_permutations, seed=seed)


@dataclass(frozen=True, eq=False)
class _Moved:
    """A mean difference, and how far other queries (and people) and candidates would move it."""

    value: float
    over_queries: Spread | None
    over_candidates: Spread | None

    def interval(self, level: float = 0.95) -> Interval:
        """Return the interval; deviations of both sides add up as those of independent samples."""
        first, *other = (
            interval_of(spread, level=level, bounds=_BOUNDS)
            for spread in (self.over_queries, self.over_candidates)
            if spread is not None
        )
        return widened(first, other[0]) if other else replace(first, value=self.value)

    def p_value(self) -> float:
        """Return 1 less the level at which the interval just leaves out 0; never 0 itself."""

        def beyond(log_p: float) -> float:
            found = self.interval(1 - float(np.exp(log_p)))
            return found.low if self.value > 0 else -found.high

        if abs(self.value) < _SMALLEST or beyond(0.0) <= 0:
            return 1.0
        least = float(np.log(_SMALLEST))
        if beyond(least) > 0:
            return _SMALLEST
        return float(np.exp(brentq(beyond, least, 0.0, xtol=1e-6)))


def _moved(ours: QueryValues, theirs: QueryValues, n_boot: int, seed: int) -> _Moved:
    sample = _differences(ours, theirs)
    value = float(np.average(ours.values - theirs.values, weights=ours.weights))
    mine, other = ours.gallery, theirs.gallery
    if mine is None or other is None:
        return _Moved(value, spread_of([sample], n_boot, seed), None)
    difference = replace(mine, values=mine.values - other.values)
    over_candidates = difference.spread(n_boot=n_boot, seed=seed)
    if mine.alone and other.alone:  # of the queries nothing was sampled
        return _Moved(value, None, over_candidates)
    return _Moved(value, spread_of([sample], n_boot, seed), over_candidates)


def _differences(ours: QueryValues, theirs: QueryValues) -> Sample:
    return replace(ours.sample(), values=ours.values - theirs.values)
