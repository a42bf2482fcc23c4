"""A score beside what could be attained, and how much of the way there it has gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from neuroalign.evaluation.bootstrap import Interval, share_interval, share_of_intervals
from neuroalign.evaluation.per_query import QueryValues
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.spread import Sample

_SAME = ("task", "source", "target", "metric", "subject", "items")


@dataclass(frozen=True, eq=False)
class Ceiling:
    """What could be attained at all in a retrieval, query by query.

    Parameters
    ----------
    name : str
        How it was found.
    by_person : mapping
        The metrics of "all" and of each person (see `values_by_person`).
    """

    name: str
    by_person: Mapping[str, Mapping[str, QueryValues]]


def beside_ceiling(
    score: Score,
    values: QueryValues,
    ceiling: Ceiling | Sequence[Score],
    *,
    n_boot: int = 1000,
    seed: int = 0,
) -> Score:
    """Add the ceiling, if it is one of the same question, and the share of the way to it.

    Parameters
    ----------
    score, values
        A score, and the values of its queries.
    ceiling : Ceiling or sequence of Score
        Of a `Ceiling`, the same pictures are drawn for both sides of the share; a score says no
        more than its interval, and both sides are taken as independent. A ceiling in a gallery of
        another size is none, but for the 2-way score, whose expectation hangs on no size.
    n_boot, seed : int
        As in `bootstrap_interval`.
    """
    if isinstance(ceiling, Ceiling):
        best = ceiling.by_person.get(score.subject, {}).get(values.metric)
        if best is None or not _comparable(score, best.n_gallery):
            return score
        level = np.median(best.values) if best.level is not None else None
        level = np.average(best.values, weights=best.weights) if level is None else level
        score = replace(score, ceiling=float(level), ceiling_name=ceiling.name)
        if values.level is not None:
            return score  # a rank is no share of anything
        share = share_interval(
            _sample(values), _sample(best), score.chance, n_boot=n_boot, seed=seed
        )
    else:
        ours = [getattr(score, field) for field in _SAME]
        theirs = [s for s in ceiling if [getattr(s, field) for field in _SAME] == ours]
        if not theirs or not _comparable(score, theirs[-1].n_gallery):
            return score
        score = replace(score, ceiling=theirs[-1].value, ceiling_name=theirs[-1].model)
        if values.level is not None:
            return score
        share = share_of_intervals(_interval(score), _interval(theirs[-1]), score.chance)
    if share is None:
        return score
    return replace(score, share=share.value, share_low=share.low, share_high=share.high)


def _comparable(score: Score, n_gallery: int) -> bool:
    return n_gallery == score.n_gallery or score.metric == "two_way_embedding"


def _sample(values: QueryValues) -> Sample:
    return Sample(values.values, values.clusters, values.people, values.weights)


def _interval(score: Score) -> Interval:
    return Interval(score.value, score.low, score.high, score.n_queries)
