"""One metric of one retrieval, a value a query, and its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroalign.evaluation.bootstrap import (
    Interval,
    bootstrap_interval,
    interval_of,
    share_interval,
)
from neuroalign.evaluation.median import median_interval
from neuroalign.evaluation.metrics import balanced_weights
from neuroalign.evaluation.ranks import Values
from neuroalign.evaluation.spread import Sample, Spread, spread_of

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class GalleryValues:
    """What each candidate contributes to a score (see `GalleryInfluence`), and its cluster.

    `strata` are the galleries whose means count alike, if these are several. `alone`: the queries
    are classes, or pictures that all ask the same, and a sample of nothing.
    """

    values: Values
    clusters: npt.NDArray[Any]
    strata: Codes | None = None
    alone: bool = False

    def spread(self, *, n_boot: int, seed: int) -> Spread:
        """Return how far the score moves when candidates are drawn again."""
        # What a candidate contributes is a sum of many terms: equal but for its last digits.
        values = np.round(self.values, 12)
        weights = None if self.strata is None else balanced_weights(self.strata)
        sample = Sample(values, self.clusters, weights=weights, strata=self.strata)
        return spread_of([sample], n_boot, seed)

    def interval(self, *, n_boot: int, seed: int) -> Interval:
        """Return the interval that drawing candidates again gives."""
        return interval_of(self.spread(n_boot=n_boot, seed=seed))


def widened(one: Interval, other: Interval) -> Interval:
    """Add the deviations of an independent source of chance to an interval of a share."""
    low = one.value - np.hypot(one.value - one.low, other.value - other.low)
    high = one.value + np.hypot(one.high - one.value, other.high - other.value)
    return replace(one, low=float(max(low, -1.0)), high=float(min(high, 1.0)))


@dataclass(frozen=True, eq=False)
class QueryValues:
    """One metric of one retrieval, a value a query.

    Parameters
    ----------
    metric : str
    positions : ndarray of shape (n,), int
        Which queries have a value: a query without a right candidate has none.
    values, chance : ndarray of shape (n,)
        Each query's value, and its expectation under a random retrieval; of medians of several
        people, that of the person's.
    clusters : ndarray of shape (n,)
        The unit that the bootstrap draws again.
    n_gallery : int
    note : str
    balance : ndarray of shape (n,), optional
        Classes that count alike in the mean, whatever their size.
    people : ndarray of shape (n,), optional
        Whose query each is, where people are a second level of chance.
    level : float, optional
        The score is the median over queries, and this its chance level; else it is the mean.
    gallery : GalleryValues, optional
        What each candidate contributes, where the candidates were sampled too.
    strata : ndarray of shape (n, n_levels), int, optional
        People who count alike, however many queries each has: whose query it is, in whose gallery.
        The score is the mean of their means (or medians).
    candidates_fixed : bool
        The candidates are a sample as well, and nothing tells what drawing them again would
        change: the interval says less than it should.
    """

    metric: str
    positions: Codes
    values: Values
    chance: Values
    clusters: npt.NDArray[Any]
    n_gallery: int
    note: str = ""
    balance: Codes | None = None
    gallery: GalleryValues | None = None
    people: npt.NDArray[Any] | None = None
    level: float | None = None
    strata: Codes | None = None
    candidates_fixed: bool = False

    @property
    def weights(self) -> Values:
        """The weight of each query in the mean."""
        levels = [] if self.strata is None else list(self.strata.T)
        levels += [] if self.balance is None else [self.balance]
        return balanced_weights(*levels) if levels else np.ones(len(self.values))

    @property
    def cells(self) -> Codes | None:
        """The strata of all levels as one number, (n,)."""
        if self.strata is None:
            return None
        return np.unique(self.strata, axis=0, return_inverse=True)[1].reshape(-1)

    def sample(self) -> Sample:
        """Return the values as a sample to draw from."""
        return Sample(self.values, self.clusters, self.people, self.weights, self.cells)

    def value(self) -> float:
        """Return the mean (or median)."""
        weights = self.weights
        if self.level is None:
            return float(np.average(self.values, weights=weights))
        cells = np.zeros(len(weights), np.int64) if self.cells is None else self.cells
        parts = [cells == c for c in np.unique(cells)]
        medians = [np.median(self.values[p]) for p in parts]
        return float(np.average(medians, weights=[weights[p].sum() for p in parts]))

    def interval(self, *, n_boot: int = 1000, seed: int = 0) -> Interval:
        """Return the mean (or median) with its 95 % cluster-bootstrap interval.

        Where candidates were sampled too, the deviations of both sides add up as those of
        independent samples.
        """
        if self.level is not None:
            return median_interval(
                self.values,
                self.clusters,
                strata=self.cells,
                weights=self.weights,
                people=self.people,
                bounds=(1.0, float(self.n_gallery)),
                n_boot=n_boot,
                seed=seed,
            )
        if self.gallery is not None and self.gallery.alone:
            value = float(np.average(self.values, weights=self.weights))
            return replace(self.gallery.interval(n_boot=n_boot, seed=seed), value=value)
        over_queries = bootstrap_interval(
            self.values,
            self.clusters,
            people=self.people,
            weights=self.weights,
            strata=self.cells,
            n_boot=n_boot,
            seed=seed,
        )
        if self.gallery is None:
            return over_queries
        return widened(over_queries, self.gallery.interval(n_boot=n_boot, seed=seed))

    def mean_chance(self) -> float:
        """Return the chance level of the mean (or median)."""
        if self.level is not None and self.strata is None:
            return self.level
        return float(np.average(self.chance, weights=self.weights))

    def among(self, chosen: npt.NDArray[np.bool_]) -> QueryValues:
        """Keep the queries for which `chosen`, of shape (all queries,), is true."""
        return self.kept(chosen[self.positions])

    def kept(self, keep: npt.NDArray[np.bool_]) -> QueryValues:
        """Keep the values for which `keep`, of shape (n,), is true."""
        return replace(
            self,
            positions=self.positions[keep],
            values=self.values[keep],
            chance=self.chance[keep],
            clusters=self.clusters[keep],
            balance=None if self.balance is None else self.balance[keep],
            people=None if self.people is None else self.people[keep],
            strata=None if self.strata is None else self.strata[keep],
        )


def ratio_interval(
    ours: QueryValues, base: QueryValues, *, n_boot: int = 1000, seed: int = 0
) -> Interval | None:
    """Return the mean of one score over that of another on the same pictures, with its interval.

    Fieller's, from draws of pictures (and people) for both at once: what is hard for both cancels.

    Returns
    -------
    Interval or None
        None where the two cannot be drawn together: a score is a median, its candidates were
        sampled too, or the people behind the two are others; and where `base` may be 0.
    """
    sides = (ours, base)
    if any(s.level is not None or s.gallery is not None for s in sides):
        return None
    who = [None if s.people is None else sorted(set(s.people.tolist())) for s in sides]
    if who[0] != who[1]:
        return None
    return share_interval(ours.sample(), base.sample(), 0.0, n_boot=n_boot, seed=seed)


def joined(
    parts: Mapping[str, QueryValues], n_queries: int, *, by_person: bool, apart: bool = False
) -> QueryValues:
    """Put the values of several galleries, one a person, one after the other.

    Parameters
    ----------
    parts : mapping from person to QueryValues
        Of one metric and the same queries.
    n_queries : int
        How many queries there are; the positions of the second person's values start there.
    by_person : bool
        Whether the people whose galleries these are, are a second level of chance.
    apart : bool
        Whether each of them counts alike, whatever the number of queries with a value there.
    """
    values = list(parts.values())
    first = values[0]
    positions = [v.positions + i * n_queries for i, v in enumerate(values)]
    people = [np.full(len(v.values), s) if v.people is None else v.people for s, v in parts.items()]
    if first.people is not None and len(np.unique(np.concatenate(people))) < 2:
        people = [np.full(len(v.values), s) for s, v in parts.items()]  # those of the other side
    balance = [v.balance for v in values if v.balance is not None]
    fixed = [v for v in values if v.candidates_fixed]
    galleries = [v.gallery for v in values if v.gallery is not None and not fixed]
    return replace(
        first,
        positions=np.concatenate(positions),
        values=np.concatenate([v.values for v in values]),
        chance=np.concatenate([v.chance for v in values]),
        clusters=np.concatenate([v.clusters for v in values]),
        n_gallery=max(v.n_gallery for v in values),
        balance=np.concatenate(balance) if balance else None,
        gallery=GalleryValues(
            np.concatenate([g.values for g in galleries]),
            np.concatenate([g.clusters for g in galleries]),
            _numbered([g.values for g in galleries]) if apart else None,
            alone=all(g.alone for g in galleries),
        )
        if galleries
        else None,
        people=np.concatenate(people) if by_person or first.people is not None else None,
        level=None if first.level is None else float(np.mean([v.level for v in values])),
        strata=_numbered(positions)[:, None] if apart else None,
        note=(fixed or values)[0].note,
        candidates_fixed=bool(fixed),
    )


def people_noted(values: QueryValues, *, both_sides: bool) -> QueryValues:
    """Say which people are held fixed by an interval that was to allow for other people.

    Parameters
    ----------
    values : QueryValues
    both_sides : bool
        Whether queries and candidates are people's.
    """
    if values.people is None or len(np.unique(values.people)) < 2:
        fixed = "people held fixed in the interval"
    elif both_sides:
        fixed = "people of one side held fixed in the interval"
    else:
        return values
    return replace(values, note="; ".join(filter(None, [values.note, fixed])))


def _numbered(parts: Sequence[npt.NDArray[Any]]) -> Codes:
    """Return the number of the part that each of all values is in."""
    return np.repeat(np.arange(len(parts)), [len(p) for p in parts])
