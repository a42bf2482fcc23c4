"""Intervals: a percentile bootstrap over clusters of queries that are not independent.

What is drawn again is the cluster: the picture where it is known (all trials of one picture, of
all people, stay together), else the block or the trial. Trials of one picture are never drawn as
if they were independent, for the target they are scored against is the same. The gallery is fixed:
an interval says how the score would move with other queries, not with other candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError

_DRAWS = 4 * 2**20


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence bounds; `n_clusters` is the number of independent units."""

    value: float
    low: float
    high: float
    n_clusters: int


def bootstrap_interval(
    values: npt.ArrayLike,
    clusters: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
) -> Interval:
    """Return the (weighted) mean of `values` with a percentile cluster-bootstrap interval.

    If all clusters have the same mean (a perfect score, or a single cluster), drawing them again
    shows no spread, though there may be some. Then the interval is the exact binomial one: with C
    clusters, a share of up to 1 - ((1 - level) / 2)^(1/C) of the population could have been missed
    and could lie at either bound. One cluster gives nearly the whole range.

    Parameters
    ----------
    values : array of shape (n_queries,)
        One value a query.
    clusters : array of shape (n_queries,)
        The unit that is drawn again; any sortable identities.
    weights : array of shape (n_queries,), optional
        Weights of the mean, positive.
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
    sums, totals = _cluster_sums(values, clusters, weights)
    value, n = float(sums.sum() / totals.sum()), len(sums)
    means = sums / totals
    tail = (1 - level) / 2
    if np.ptp(means) < 1e-12:
        unseen = tail ** (1 / n)
        low = bounds[0] + (value - bounds[0]) * unseen
        return Interval(value, low, bounds[1] - (bounds[1] - value) * unseen, n)
    rng = np.random.default_rng(seed)
    draws = []
    step = max(1, _DRAWS // n)
    for start in range(0, n_boot, step):
        drawn = rng.integers(0, n, (min(step, n_boot - start), n))
        draws.append(sums[drawn].sum(axis=1) / totals[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(draws), [tail, 1 - tail])
    return Interval(value, float(low), float(high), n)


def paired_difference(
    ours: npt.ArrayLike,
    theirs: npt.ArrayLike,
    clusters: npt.ArrayLike,
    *,
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
    clusters, weights, n_boot, level, seed
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
        weights=weights,
        n_boot=n_boot,
        level=level,
        bounds=(-1.0, 1.0),
        seed=seed,
    )


def _cluster_sums(
    values: npt.ArrayLike, clusters: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the weighted sum and the total weight of each cluster, clusters in sorted order."""
    x = np.asarray(values, np.float64)
    ids: npt.NDArray[Any] = np.asarray(clusters)
    w = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
    if not len(x) or len(x) != len(ids) or len(x) != len(w):
        raise NeuroalignError(
            f"An interval needs a value, a cluster and a weight for each query: got {len(x)} "
            f"values, {len(ids)} clusters and {len(w)} weights."
        )
    bad = ~np.isfinite(x) | ~np.isfinite(w) | (w <= 0)
    if bad.any():
        raise NeuroalignError(
            f"{int(bad.sum())} of {len(x)} queries have no finite value or no positive weight "
            f"(first: query {int(np.flatnonzero(bad)[0])})."
        )
    _, code = np.unique(ids, return_inverse=True)
    sums: npt.NDArray[np.float64] = np.bincount(code, weights=w * x).astype(np.float64)
    return sums, np.bincount(code, weights=w).astype(np.float64)
