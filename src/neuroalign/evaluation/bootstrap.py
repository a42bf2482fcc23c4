"""Intervals of means, differences and ratios: pictures, and on request people, are drawn again.

Trials of one picture are never drawn as if they were independent, for the target they are scored
against is the same. The gallery is fixed: an interval says how the score would move with other
queries, not with other candidates.

The draws give the variance (see `evaluation.spread`). The bounds are those of a score interval
(Wilson's, with the number of independent units that this variance amounts to) and Student's
quantiles: percentiles of the draws themselves are too narrow for a few dozen pictures, and run over
the edge of what a score can be. How often the bounds hold the truth is measured in
`benchmarks/coverage.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.spread import Sample, Spread, spread_of

Array = npt.NDArray[np.float64]
_NO_SPREAD = 1e-20


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence bounds.

    `n_clusters` is the number of pictures (or blocks, or trials) that were drawn again, `n_people`
    the number of people; 0 where people are fixed.
    """

    value: float
    low: float
    high: float
    n_clusters: int
    n_people: int = 0


def bootstrap_interval(
    values: npt.ArrayLike,
    clusters: npt.ArrayLike,
    *,
    people: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    strata: npt.ArrayLike | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
) -> Interval:
    """Return the (weighted) mean of `values` with its cluster-bootstrap interval.

    With `people`, pictures and people are both a sample: the variance is that of the people's
    means, as in a t-test over people, and what pictures add for all people alike.

    Where each cluster is all right or all wrong (one person's hits), their number is binomial:
    its variance follows from the mean, so the interval is Wilson's own, with a normal quantile.

    If nothing varies (a perfect score, or a single cluster), drawing again shows no spread, though
    there may be some. Then the interval is the exact binomial one: with C units, a share of up to
    1 - ((1 - level) / 2)^(1/C) of the population could have been missed and could lie at either
    bound. One cluster gives nearly the whole range.

    Parameters
    ----------
    values, clusters, people, weights, strata
        See `Sample`. One person alone says nothing of others: people are fixed then.
    n_boot : int
        Number of bootstrap draws.
    level : float
        Coverage, 0..1.
    bounds : (float, float)
        The range a value can have.
    seed : int
        Same seed and clusters, same draws, whatever the order of the queries.

    Returns
    -------
    Interval

    Raises
    ------
    NeuroalignError
        There are no values, one is not finite, or lengths differ.
    """
    spread = spread_of([Sample(values, clusters, people, weights, strata)], n_boot, seed)
    return interval_of(spread, level=level, bounds=bounds)


def interval_of(
    spread: Spread, *, level: float = 0.95, bounds: tuple[float, float] = (0.0, 1.0)
) -> Interval:
    """Return the interval of one mean whose spread is known; see `bootstrap_interval`."""
    value, variance = float(spread.means[0]), float(spread.squared_margin(level)[0, 0])
    bottom, width = bounds[0], bounds[1] - bounds[0]
    if spread.hits and bounds == (0.0, 1.0):
        variance = value * (1 - value) / spread.n_clusters * norm.ppf(0.5 + level / 2) ** 2
    if float((spread.over_clusters + spread.over_people)[0, 0]) < _NO_SPREAD:
        units = min(spread.n_clusters, spread.n_people or spread.n_clusters)
        unseen = ((1 - level) / 2) ** (1 / units)
        low, high = bottom + (value - bottom) * unseen, bounds[1] - (bounds[1] - value) * unseen
    else:
        # Wilson's: all p with (share - p)^2 <= squared margin * p (1 - p) / (share (1 - share))
        share = min(max((value - bottom) / width, 1e-9), 1 - 1e-9)
        ratio = variance / width**2 / (share * (1 - share))
        root = np.sqrt(ratio * (ratio + 4 * share * (1 - share)))
        low, high = (
            bottom + width * (2 * share + ratio + sign * root) / (2 * (1 + ratio))
            for sign in (-1, 1)
        )
    return Interval(
        value, min(float(low), value), max(float(high), value), spread.n_clusters, spread.n_people
    )


def paired_difference(
    ours: npt.ArrayLike,
    theirs: npt.ArrayLike,
    clusters: npt.ArrayLike,
    *,
    people: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    strata: npt.ArrayLike | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the mean of `ours - theirs` on the same queries, with its interval.

    Both models meet the same queries in every draw, so that what is hard for both cancels. Models
    differ where the interval excludes 0.

    Parameters
    ----------
    ours, theirs : array of shape (n_queries,)
        Values of one metric in 0..1 for the same queries in the same order.
    clusters, people, weights, strata, n_boot, level, seed
        As in `bootstrap_interval`.

    Returns
    -------
    Interval

    Raises
    ------
    NeuroalignError
        The two have different lengths.
    """
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if a.shape != b.shape:
        raise NeuroalignError(
            f"A paired comparison needs the same queries on both sides: got {a.size} and {b.size}."
        )
    return bootstrap_interval(
        a - b,
        clusters,
        people=people,
        weights=weights,
        strata=strata,
        n_boot=n_boot,
        level=level,
        bounds=(-1.0, 1.0),
        seed=seed,
    )


def share_interval(
    ours: Sample,
    ceiling: Sample,
    chance: float,
    *,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval | None:
    """Return the share of the way from chance to a ceiling that a score has gone.

    (score - chance) / (ceiling - chance), where both are uncertain and both hang on the same
    pictures: their joint draws give Fieller's interval of the ratio (1954), which is exact for
    normal means and may reach below 0 and above 1.

    Parameters
    ----------
    ours, ceiling : Sample
        Clusters (and people) of the same name are the same; the queries need not be.
    chance : float
        Taken as known: it is computed from the gallery.
    n_boot, level, seed
        As in `bootstrap_interval`.

    Returns
    -------
    Interval or None
        None where the ceiling cannot be told from chance: then there is no way to go.
    """
    spread = spread_of([ours, ceiling], n_boot, seed)
    bounds = _fieller(spread.means - chance, spread.squared_margin(level))
    if bounds is None:
        return None
    return Interval(*bounds, spread.n_clusters, spread.n_people)


def share_of_intervals(ours: Interval, ceiling: Interval, chance: float) -> Interval | None:
    """Return the share of the way to a ceiling of which the interval is all that is known.

    As `share_interval`, with the two as if they were independent: wider than it has to be, where
    they are of the same pictures.
    """
    half = np.array([(i.high - i.low) / 2 for i in (ours, ceiling)])
    bounds = _fieller(np.array([ours.value, ceiling.value]) - chance, np.diag(half**2))
    return None if bounds is None else Interval(*bounds, ours.n_clusters, ours.n_people)


def _fieller(way: Array, margin: Array) -> tuple[float, float, float] | None:
    """Return the ratio of two differences from chance and its bounds; None if there are none."""
    x, y = (float(w) for w in way)
    a, b, c = y**2 - margin[1, 1], x * y - margin[0, 1], x**2 - margin[0, 0]
    if y <= 0 or a <= 0:
        return None
    root = float(np.sqrt(max(b**2 - a * c, 0.0)))
    return x / y, min(float(b - root) / float(a), x / y), max(float(b + root) / float(a), x / y)
