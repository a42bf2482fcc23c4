"""P-values of all scores of one retrieval: all people's, and each person's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.evaluation.pairs import PairScores
from neuroalign.evaluation.per_query import QueryValues
from neuroalign.evaluation.permutation import p_value, paired_p_value
from neuroalign.evaluation.queries import Asked
from neuroalign.evaluation.ranks import Values
from neuroalign.evaluation.shuffled import shuffled_scores
from neuroalign.evaluation.spread import Sample
from neuroalign.retrieval.embeddings import Embeddings

Masks = dict[str, npt.NDArray[np.bool_]]
Found = Mapping[str, Mapping[str, QueryValues]]


def p_values_by_person(
    scores: PairScores,
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    values: Found,
    pictures: Embeddings | None = None,
    *,
    asked: Asked | None = None,
    separate: bool = False,
    n_permutations: int = 1000,
    seed: int = 0,
) -> dict[tuple[str, str], float]:
    """Return the permutation p-value of every score; see `evaluation.shuffled`.

    Parameters
    ----------
    scores, queries, gallery, pictures, asked
        As in `values_by_person`.
    values : mapping
        What `values_by_person` returned.
    separate : bool
        Whether candidates were those of one person at a time.
    n_permutations, seed : int
        The smallest possible p-value is 1 / (n_permutations + 1).

    Returns
    -------
    dict from (subject or "all", metric) to p-value
        A median rank, or a score that counts classes alike, has none over separate galleries.
    """

    def nulls(
        found: Mapping[str, QueryValues], groups: Masks, chosen: npt.NDArray[np.int64] | None = None
    ) -> dict[tuple[str, str], Values]:
        return shuffled_scores(
            scores if chosen is None else scores.among(chosen),
            queries,
            gallery if chosen is None else gallery.iloc[chosen].reset_index(drop=True),
            found,
            groups,
            pictures,
            asked=asked,
            n_permutations=n_permutations,
            seed=seed,
        )

    everybody = np.ones(len(queries), bool)
    whose = queries["subject"].astype(object).map(str).to_numpy(object)
    asking = bool(queries["subject"].notna().any())
    owner = gallery["subject"].astype(object).map(str).to_numpy(object)
    people = [s for s in values if s != "all"]
    groups = {"all": everybody} | ({s: whose == s for s in people} if asking else {})
    drawn: dict[tuple[str, str], Values] = {}
    if not separate or not gallery["subject"].notna().any():
        drawn = nulls(values["all"], groups)
        if not asking:
            for person in people:
                mine = np.flatnonzero(owner == person)
                drawn |= nulls(values[person], {person: everybody}, mine)
        return _p_values(drawn)
    owners = [s for s in dict.fromkeys(owner) if (owner == s).sum() > 1]
    for number, person in enumerate(owners):
        found = {m: _part(v, number, len(queries)) for m, v in values["all"].items()}
        found = {m: v for m, v in found.items() if v.level is None and v.balance is None}
        own = dict(groups) if asking else {"all": everybody, person: everybody}
        for key, null in nulls(found, own, np.flatnonzero(owner == person)).items():
            drawn[key] = drawn[key] + null if key in drawn else null
    return _p_values(drawn)


def difference_p_value(
    ours: QueryValues, theirs: QueryValues, *, n_permutations: int = 1000, seed: int = 0
) -> float | None:
    """Return the two-sided p-value of a paired difference; None for a median, which has none."""
    if ours.level is not None:
        return None
    sample = Sample(ours.values - theirs.values, ours.clusters, weights=ours.weights)  # noqa: PD011
    return paired_p_value(sample, n_permutations=n_permutations, seed=seed)


def _p_values(drawn: Mapping[tuple[str, str], Values]) -> dict[tuple[str, str], float]:
    return {key: p_value(null[1:], float(null[0])) for key, null in drawn.items()}


def _part(joined: QueryValues, number: int, n_queries: int) -> QueryValues:
    """Return the values in one of several galleries that were joined."""
    here = joined.positions // n_queries == number
    return replace(
        joined,
        positions=joined.positions[here] - number * n_queries,
        values=joined.values[here],  # noqa: PD011
        chance=joined.chance[here],
        clusters=joined.clusters[here],
        balance=None if joined.balance is None else joined.balance[here],
        people=None if joined.people is None else joined.people[here],
    )
