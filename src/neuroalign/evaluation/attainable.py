"""A score beside what could be attained, and how much of the way there it has gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from neuroalign.evaluation.bootstrap import Interval, share_interval, share_of_intervals
from neuroalign.evaluation.per_query import QueryValues
from neuroalign.evaluation.scores import Score

#: How much chance levels of the same question may differ: 199 candidates instead of 200.
_LEVEL = 0.02
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
    paired : bool
        Whether units of the bootstrap with the same name are the same in the score beside it.
    """

    name: str
    by_person: Mapping[str, Mapping[str, QueryValues]]
    paired: bool = True


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
        more than its interval, and both sides are taken as independent. So they are where units
        are not paired, where candidates were sampled too, and where one side does not vary at all,
        of which draws would say that it is certain. A ceiling of another question is none: see
        `same_question`.
    n_boot, seed : int
        As in `bootstrap_interval`.
    """
    if isinstance(ceiling, Ceiling):
        best = ceiling.by_person.get(score.subject, {}).get(values.metric)
        if best is None or not _same(score, best.mean_chance(), best.note):
            return score
        score = replace(score, ceiling=best.value(), ceiling_name=ceiling.name)
        if values.level is not None:
            return score  # a rank is no share of anything
        together = ceiling.paired and values.gallery is None and best.gallery is None
        if together and all(np.ptp(v.values) > 0 for v in (values, best)):
            share = share_interval(
                values.sample(), best.sample(), score.chance, n_boot=n_boot, seed=seed
            )
        else:
            theirs_alone = best.interval(n_boot=n_boot, seed=seed)
            share = share_of_intervals(_interval(score), theirs_alone, score.chance)
    else:
        ours = [getattr(score, field) for field in _SAME]
        theirs = [s for s in ceiling if [getattr(s, field) for field in _SAME] == ours]
        if not theirs or not same_question(score, theirs[-1]):
            return score
        score = replace(score, ceiling=theirs[-1].value, ceiling_name=theirs[-1].model)
        if values.level is not None:
            return score
        share = share_of_intervals(_interval(score), _interval(theirs[-1]), score.chance)
    if share is None:
        return score
    return replace(score, share=share.value, share_low=share.low, share_high=share.high)


def same_question(score: Score, ceiling: Score) -> bool:
    """Tell whether two scores of one metric ask the same, in galleries that may differ.

    The same is right in both, the picture or the class; and a random order scores the same in
    both, up to 2 %. So the class of the nearest of 96 pictures can stand beside that of the nearest
    of 2 classes, and a 2-way score beside any other; mean average precision, whose level hangs on
    the number of candidates, only beside one among as many.
    """
    return _same(score, ceiling.chance, ceiling.note)


def _same(score: Score, chance: float, note: str) -> bool:
    by_class = ["over classes" in n for n in (score.note, note)]
    return by_class[0] == by_class[1] and abs(score.chance - chance) <= _LEVEL * score.chance


def _interval(score: Score) -> Interval:
    return Interval(score.value, score.low, score.high, score.n_queries)
