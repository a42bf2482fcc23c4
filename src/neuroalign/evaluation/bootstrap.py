"""Intervals: pictures, and on request people too, are drawn again; trials never are.

What is drawn again is the cluster: the picture where it is known (all trials of one picture, of
all people, stay together), else the block or the trial. Trials of one picture are never drawn as
if they were independent, for the target they are scored against is the same. The gallery is fixed:
an interval says how the score would move with other queries, not with other candidates.

The draws give the variance. The bounds are those of a score interval (Wilson's, with the number of
independent units that this variance amounts to) and Student's quantiles: percentiles of the draws
themselves are too narrow for a few dozen pictures, and run over the edge of what a score can be.
How often the bounds hold the truth is measured in `benchmarks/coverage.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from neuroalign.errors import NeuroalignError

Array = npt.NDArray[np.float64]
_DRAWS = 4 * 2**20
_KEPT = 2**20
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


@dataclass(frozen=True, eq=False)
class Sample:
    """One score of each query, and the units that the queries belong to.

    Parameters
    ----------
    values : array of shape (n_queries,)
    clusters : array of shape (n_queries,)
        The unit that is drawn again; any sortable identities.
    people : array of shape (n_queries,), optional
        Whose query it is, where people are a second level of chance.
    weights : array of shape (n_queries,), optional
        Weights of the mean, positive.
    """

    values: npt.ArrayLike
    clusters: npt.ArrayLike
    people: npt.ArrayLike | None = None
    weights: npt.ArrayLike | None = None


def bootstrap_interval(
    values: npt.ArrayLike,
    clusters: npt.ArrayLike,
    *,
    people: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
) -> Interval:
    """Return the (weighted) mean of `values` with its cluster-bootstrap interval.

    With `people`, pictures and people are both a sample. The draws of pictures also give how far
    the people's means lie apart beyond what the pictures explain (the bias of that spread is taken
    off as the draws show it); people themselves are too few to be drawn, and enter by Student's
    quantile for their number. Half widths add up as those of independent samples.

    If nothing varies (a perfect score, or a single cluster), drawing again shows no spread, though
    there may be some. Then the interval is the exact binomial one: with C units, a share of up to
    1 - ((1 - level) / 2)^(1/C) of the population could have been missed and could lie at either
    bound. One cluster gives nearly the whole range.

    Parameters
    ----------
    values, clusters, people, weights
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
    spread = _spread([Sample(values, clusters, people, weights)], n_boot, seed)
    value, variance = float(spread.means[0]), float(spread.squared_margin(level)[0, 0])
    bottom, width = bounds[0], bounds[1] - bounds[0]
    if variance < _NO_SPREAD:
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
    clusters, people, weights, n_boot, level, seed
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
    spread = _spread([ours, ceiling], n_boot, seed)
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


@dataclass(frozen=True, eq=False)
class _Spread:
    """Means of k samples, and their covariances over pictures and over people."""

    means: Array
    over_clusters: Array
    over_people: Array
    n_clusters: int
    n_people: int

    def squared_margin(self, level: float) -> Array:
        """Return the covariances times the squared quantiles, (k, k)."""
        out = self.over_clusters * _quantile(level, max(self.n_clusters - 1, 1)) ** 2
        if self.n_people > 1:
            out = out + self.over_people * _quantile(level, self.n_people - 1) ** 2
        return np.asarray(out)


def _spread(samples: Sequence[Sample], n_boot: int, seed: int) -> _Spread:
    parts = [_checked(s) for s in samples]
    names = np.unique(np.concatenate([p[1] for p in parts]))
    people = np.unique(np.concatenate([p[2] for p in parts]))
    n, k, m = len(names), len(parts), len(people)
    tallies = [_tally(*p, names, people) for p in parts]  # (n, 2 m): weighted sums, weights
    totals = [t.sum(axis=0) for t in tallies]
    means = np.array([t[:m].sum() / t[m:].sum() for t in totals])
    zeros = np.zeros((k, k))
    several = m if m > 1 else 0
    if n == 1 or all(np.ptp(x) == 0 for x, *_ in parts):
        return _Spread(means, zeros, zeros, n, several)
    drawn = np.concatenate(
        [counts @ np.concatenate(tallies, axis=1) for counts in _counts(n, n_boot, seed)]
    ).reshape(-1, k, 2, m)
    with np.errstate(invalid="ignore"):  # a draw without any picture of a person
        whole = drawn[:, :, 0].sum(axis=2) / drawn[:, :, 1].sum(axis=2)
        each = drawn[:, :, 0] / drawn[:, :, 1]
        own = np.stack([t[:m] / t[m:] for t in totals])
    bessel = n / (n - 1)
    whole = whole[np.isfinite(whole).all(axis=1)]
    over_clusters = np.cov(whole.T, ddof=0).reshape(k, k) * bessel
    if not several or not np.isfinite(own).all():
        return _Spread(means, over_clusters, zeros, n, several)
    each = each[np.isfinite(each).all(axis=(1, 2))]
    apart = _between(own[None])[0]
    noise = (_between(each).mean(axis=0) - apart) * bessel if len(each) else zeros
    effect, axes = np.linalg.eigh(apart - noise)
    effect = np.clip(effect, 0.0, None)
    shares = np.array([np.sqrt(((t[m:] / t[m:].sum()) ** 2).sum()) for t in totals])
    over_people = (axes * effect) @ axes.T * np.outer(shares, shares)
    return _Spread(means, over_clusters, over_people, n, m)


def _between(means: Array) -> Array:
    """Return the covariances between people of means (draws, k, people): (draws, k, k)."""
    centred = means - means.mean(axis=2, keepdims=True)
    return np.asarray(centred @ centred.transpose(0, 2, 1) / (means.shape[2] - 1))


def _counts(n: int, n_boot: int, seed: int) -> Iterator[Array]:
    """Yield how often each cluster was drawn, some draws at a time: (n_draws, n)."""
    if n * n_boot <= _KEPT:  # every metric of a retrieval asks for the same draws
        yield _kept_counts(n, n_boot, seed)
    else:
        yield from _new_counts(n, n_boot, seed)


@lru_cache(maxsize=8)
def _kept_counts(n: int, n_boot: int, seed: int) -> Array:
    return np.concatenate(list(_new_counts(n, n_boot, seed)))


@lru_cache(maxsize=256)
def _quantile(level: float, df: int) -> float:
    return float(student.ppf(0.5 + level / 2, df))


def _new_counts(n: int, n_boot: int, seed: int) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    step = max(1, _DRAWS // n)
    for start in range(0, n_boot, step):
        rows = min(step, n_boot - start)
        drawn = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _tally(
    x: Array,
    clusters: npt.NDArray[Any],
    people: npt.NDArray[Any],
    w: Array,
    names: npt.NDArray[Any],
    known: npt.NDArray[Any],
) -> Array:
    """Return each cluster's weighted sums, then its weights, a column a person."""
    m = len(known)
    cell = np.searchsorted(names, clusters) * m + np.searchsorted(known, people)
    order = np.lexsort((w, x, cell))  # the same last bits, whatever the order of the queries
    size = len(names) * m
    sums, weights = (
        np.bincount(cell[order], weights=v[order], minlength=size).reshape(len(names), m)
        for v in (w * x, w)
    )
    return np.concatenate([sums, weights], axis=1)


def _checked(
    sample: Sample,
) -> tuple[Array, npt.NDArray[Any], npt.NDArray[Any], Array]:
    x = np.asarray(sample.values, np.float64)
    ids: npt.NDArray[Any] = np.asarray(sample.clusters)
    w = np.ones(len(x)) if sample.weights is None else np.asarray(sample.weights, np.float64)
    people: npt.NDArray[Any] = (
        np.zeros(len(x), np.int64)
        if sample.people is None
        else np.asarray(sample.people).astype(str)
    )
    if not len(x) or len({len(x), len(ids), len(w), len(people)}) > 1:
        raise NeuroalignError(
            f"An interval needs a value, a cluster and a weight for each query: got {len(x)} "
            f"values, {len(ids)} clusters, {len(people)} people and {len(w)} weights."
        )
    bad = ~np.isfinite(x) | ~np.isfinite(w) | (w <= 0)
    if bad.any():
        raise NeuroalignError(
            f"{int(bad.sum())} of {len(x)} queries have no finite value or no positive weight "
            f"(first: query {int(np.flatnonzero(bad)[0])})."
        )
    return x, ids, people, w
