"""How far means move when pictures, and on request people, are drawn again.

What is drawn again is the cluster: the picture where it is known (all trials of one picture, of
all people, stay together), else the block or the trial. People are too few to be drawn (ten
different draws of three people exist): what they add is read off how far their own means lie apart.
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
_NO_VARIANCE = 1e-300


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
    strata : array of shape (n_queries,), optional
        Parts whose shares in the mean (the sums of their weights) are fixed, however many of their
        queries are drawn: people who count alike.
    """

    values: npt.ArrayLike
    clusters: npt.ArrayLike
    people: npt.ArrayLike | None = None
    weights: npt.ArrayLike | None = None
    strata: npt.ArrayLike | None = None


@dataclass(frozen=True, eq=False)
class Spread:
    """Means of k samples, and how far they would move.

    Attributes
    ----------
    means : ndarray of shape (k,)
    over_clusters : ndarray of shape (k, k)
        Covariances over other pictures; where people are a sample too, what pictures add for all
        people alike.
    over_people : ndarray of shape (k, k)
        Covariances over other people.
    n_clusters, n_people : int
        0 people: they are fixed.
    hits : bool
        Each cluster counts alike and is either all right or all wrong (of one sample with values
        in 0..1): the number of right ones is then binomial.
    """

    means: Array
    over_clusters: Array
    over_people: Array
    n_clusters: int
    n_people: int
    hits: bool = False

    def squared_margin(self, level: float) -> Array:
        """Return the covariances times the squared quantiles, (k, k).

        With two sources of chance, the quantile is the mean of both of Student's, weighted by what
        each adds to the variance (Cochran and Cox, 1957, for two means of unequal variance).
        """
        over_clusters = _quantile(level, max(self.n_clusters - 1, 1))
        if self.n_people < 2:
            return np.asarray(self.over_clusters * over_clusters**2)
        both = self.over_clusters + self.over_people
        share = np.diag(self.over_people) / np.maximum(np.diag(both), _NO_VARIANCE)
        q = share * _quantile(level, self.n_people - 1) + (1 - share) * over_clusters
        return np.asarray(both * np.outer(q, q))


def spread_of(samples: Sequence[Sample], n_boot: int, seed: int) -> Spread:
    """Draw clusters again, jointly for all samples, and compare people's means.

    As in an analysis of variance with pictures and people as random factors, whatever lets a
    person's mean stray (the person, and how pictures differ for this person) counts among people;
    the draws tell how much of that the pictures bring, and it is taken off what they add.

    Parameters
    ----------
    samples : sequence of Sample
        Clusters (and people) of the same name are the same.
    n_boot : int
    seed : int
        Same seed and clusters, same draws, whatever the order of the queries.

    Raises
    ------
    NeuroalignError
        There are no values, one is not finite, or lengths differ.
    """
    parts = [_checked(s) for s in samples]
    names = np.unique(np.concatenate([p[1] for p in parts]))
    people = np.unique(np.concatenate([p[2] for p in parts]))
    n, k, m = len(names), len(parts), len(people)
    tallies = [_tally(*p[:4], names, people) for p in parts]  # (n, 2 m): weighted sums, weights
    totals = [t.sum(axis=0) for t in tallies]
    strata = [_tally(x, c, of, w, names, np.unique(of)) for x, c, _, w, of in parts]
    means = np.array([t[:m].sum() / t[m:].sum() for t in totals])
    zeros = np.zeros((k, k))
    several = m if m > 1 else 0
    units = min([n] + [_units(s) for s in strata if s.shape[1] > 2])
    if n == 1 or all(np.ptp(x) == 0 for x, *_ in parts):
        return Spread(means, zeros, zeros, units, several)
    every = np.concatenate([*tallies, *strata], axis=1)
    drawn = np.concatenate([counts @ every for counts in _counts(n, n_boot, seed)])
    by_person, *by_stratum = np.split(
        drawn, np.cumsum([2 * k * m] + [s.shape[1] for s in strata[:-1]]), axis=1
    )
    by_person = by_person.reshape(-1, k, 2, m)
    with np.errstate(invalid="ignore"):  # a draw without any picture of a person
        whole = np.stack([_whole(d, s) for d, s in zip(by_stratum, strata, strict=True)], axis=1)
        each = by_person[:, :, 0] / by_person[:, :, 1]
        own = np.stack([t[:m] / t[m:] for t in totals])
    bessel = units / max(units - 1, 1)
    whole = whole[np.isfinite(whole).all(axis=1)]
    over_clusters = np.cov(whole.T, ddof=0).reshape(k, k) * bessel
    if not several or not np.isfinite(own).all():
        hits = k == 1 and not several and _hits(*tallies[0].T)
        return Spread(means, over_clusters, zeros, units, several, hits)
    each = each[np.isfinite(each).all(axis=(1, 2))]
    apart = _between(own[None])[0]
    by_pictures = (_between(each).mean(axis=0) - apart) * bessel if len(each) else zeros
    shares = np.array([np.sqrt(((t[m:] / t[m:].sum()) ** 2).sum()) for t in totals])
    alone = _positive(over_clusters - by_pictures * np.outer(shares, shares))
    return Spread(means, alone, apart * np.outer(shares, shares), units, m)


def _units(tally: Array) -> int:
    """Return how many clusters of one weight tell as much as these, of weights that differ.

    (sum of weights)^2 / (sum of squared weights), Kish (1965).
    """
    weights = tally[:, tally.shape[1] // 2 :].sum(axis=1)
    return max(1, round(float(weights.sum() ** 2 / (weights**2).sum())))


def _whole(drawn: Array, tally: Array) -> Array:
    """Return the mean over all strata of each draw, (n_draws,); their shares are those of all."""
    sums, weights = np.split(drawn, 2, axis=1)
    share = np.where(weights > 0, np.split(tally.sum(axis=0), 2)[1], 0.0)
    means = np.where(weights > 0, sums / weights, 0.0)
    return np.asarray((share * means).sum(axis=1) / share.sum(axis=1))


def _hits(sums: Array, weights: Array) -> bool:
    """Whether clusters of one weight each are right or wrong as a whole."""
    return bool(np.ptp(weights) == 0 and np.isin(sums, (0.0, weights[0])).all())


def _positive(covariances: Array) -> Array:
    """Return the nearest covariances that some variables can have."""
    effect, axes = np.linalg.eigh(covariances)
    return np.asarray((axes * np.clip(effect, 0.0, None)) @ axes.T)


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
) -> tuple[Array, npt.NDArray[Any], npt.NDArray[Any], Array, npt.NDArray[Any]]:
    x = np.asarray(sample.values, np.float64)
    ids: npt.NDArray[Any] = np.asarray(sample.clusters)
    w = np.ones(len(x)) if sample.weights is None else np.asarray(sample.weights, np.float64)
    people: npt.NDArray[Any] = (
        np.zeros(len(x), np.int64)
        if sample.people is None
        else np.asarray(sample.people).astype(str)
    )
    strata: npt.NDArray[Any] = np.zeros(len(x), np.int64)
    if sample.strata is not None:
        strata = np.asarray(sample.strata)
    if not len(x) or len({len(x), len(ids), len(w), len(people), len(strata)}) > 1:
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
    return x, ids, people, w, strata
