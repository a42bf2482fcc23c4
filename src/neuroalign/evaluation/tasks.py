"""Scores of decoding, encoding and conversion: one retrieval, over all people and for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.attainable import Ceiling, beside_ceiling
from neuroalign.evaluation.confirmation import confirm_chance
from neuroalign.evaluation.own_galleries import alike, askers, own_galleries, part_of
from neuroalign.evaluation.pairs import Cosines, Matrix, PairScores
from neuroalign.evaluation.per_query import people_noted
from neuroalign.evaluation.queries import (
    Asked,
    QueryValues,
    joined,
    query_values,
)
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.significance import p_values_by_person
from neuroalign.retrieval.embeddings import Embeddings
from neuroalign.retrieval.gallery import same_space

People = Literal["both", "pooled", "separate"]


def score_retrieval(
    queries: Embeddings,
    gallery: Embeddings,
    *,
    task: str,
    source: str,
    target: str,
    model: str,
    items: str,
    pictures: Embeddings | None = None,
    cluster: Sequence[str] | None = None,
    ceiling: Ceiling | Sequence[Score] = (),
    asked: Asked | None = None,
    people: People = "both",
    simulated: bool = False,
    n_boot: int = 1000,
    n_permutations: int = 1000,
    confirm: bool = True,
    seed: int = 0,
) -> list[Score]:
    """Score a retrieval by cosine with every metric that its items allow.

    Each person is scored too: by their own queries (decoding, conversion), or, where the queries
    are pictures, in a gallery of their own recordings (encoding).

    Parameters
    ----------
    queries, gallery : Embeddings
        Of one space. Right candidates are those of the query's picture and, for the class metrics,
        of its class.
    task, source, target, model, items : str
        What was scored; see `Score`.
    pictures : Embeddings, optional
        The judge of `two_way_retrieved`; see `retrieval_values`.
    cluster : sequence of str, optional
        The unit of the bootstrap; see `retrieval_values`.
    ceiling : Ceiling or sequence of Score
        What could be attained in the same retrieval; or the ideal observer's scores, of another
        run on the same simulation.
    asked : Asked, optional
        Metrics, tie rule, candidates; the usual ones unless given.
    people : {"both", "pooled", "separate"}
        See `values_by_person`.
    simulated : bool
        Whether the recordings are simulated.
    n_boot, n_permutations, seed : int
        Draws of the bootstrap and of shuffled labels, and the seed of both; 0 permutations leave
        p-values out.
    confirm : bool
        Whether chance levels are held against shuffled galleries (see `confirm_chance`): once for
        each retrieval is enough, whatever the model.

    Returns
    -------
    list of Score
        All people first, then each person in order of first appearance.

    Raises
    ------
    NeuroalignError
        The spaces differ, or nothing tells which candidates are right.
    """
    same_space(queries, gallery)
    cosines = Cosines(queries.vectors, gallery.vectors)
    described = Score(
        task, source, target, model, "", 0, 0, 0, 0, 0, 0, items=items, simulated=simulated
    )
    return _score(
        cosines,
        queries.items,
        gallery.items,
        described,
        pictures,
        cluster,
        ceiling,
        asked,
        people,
        n_boot,
        n_permutations,
        confirm,
        seed,
    )


def score_matrix(
    scores: npt.NDArray[np.floating],
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    *,
    task: str,
    source: str,
    target: str,
    model: str,
    items: str,
    pictures: Embeddings | None = None,
    cluster: Sequence[str] | None = None,
    ceiling: Ceiling | Sequence[Score] = (),
    asked: Asked | None = None,
    people: People = "both",
    simulated: bool = False,
    n_boot: int = 1000,
    n_permutations: int = 1000,
    confirm: bool = True,
    seed: int = 0,
) -> list[Score]:
    """Score any decoder that gives a number to each query and candidate; see `score_retrieval`.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_gallery)
        Higher is better: log-likelihoods of an ideal observer, decision values, similarities.
    queries, gallery : pandas.DataFrame
        The items, with the columns `subject`, `stimulus` and `label`.
    task, source, target, model, items, pictures, cluster, ceiling, asked, people, simulated
        As in `score_retrieval`.
    n_boot, n_permutations, confirm, seed
        As in `score_retrieval`.

    Returns
    -------
    list of Score

    Raises
    ------
    NeuroalignError
        The matrix does not fit the items, or holds NaN or infinite scores.
    """
    matrix = np.asarray(scores)
    if matrix.shape != (len(queries), len(gallery)):
        raise NeuroalignError(
            f"`scores` has the shape {matrix.shape}, but there are {len(queries)} queries and "
            f"{len(gallery)} candidates."
        )
    pairs = Matrix(matrix)
    described = Score(
        task, source, target, model, "", 0, 0, 0, 0, 0, 0, items=items, simulated=simulated
    )
    return _score(
        pairs,
        queries.reset_index(drop=True),
        gallery.reset_index(drop=True),
        described,
        pictures,
        cluster,
        ceiling,
        asked,
        people,
        n_boot,
        n_permutations,
        confirm,
        seed,
    )


def values_by_person(
    scores: PairScores,
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    pictures: Embeddings | None = None,
    *,
    cluster: Sequence[str] | None = None,
    asked: Asked | None = None,
    people: People = "both",
) -> dict[str, dict[str, QueryValues]]:
    """Score each query, for all people and for each.

    Parameters
    ----------
    scores, queries, gallery, pictures, cluster, asked
        As in `query_values`.
    people : {"both", "pooled", "separate"}
        `pooled`: "all" alone, in one gallery of everybody's recordings. `both`: each person too, by
        their own queries, or, where the queries are pictures, in a gallery of their own
        recordings. `separate`: recordings are candidates among those of their own person only, and
        "all" is the mean over people, each of whom counts alike.

    Returns
    -------
    dict from "all" and each person to metrics
    """

    def among(chosen: npt.NDArray[np.int64] | None) -> dict[str, QueryValues]:
        if chosen is None:
            return query_values(scores, queries, gallery, pictures, cluster=cluster, asked=asked)
        part, table = scores.among(chosen), gallery.iloc[chosen]
        found = query_values(part, queries, table, pictures, cluster=cluster, asked=asked)
        return {m: _numbered_among_all(v, chosen) for m, v in found.items()}

    galleries = own_galleries(gallery)
    asking = queries["subject"].notna().any()
    own: dict[str, dict[str, QueryValues]] = {}
    if people != "pooled" and (people == "separate" or not asking):
        own = {subject: among(mine) for subject, mine in galleries.items()}
    if people == "separate" and own:
        by_person = bool(asked and asked.by_person and not asking)
        found = {
            m: joined(
                {s: v[m] for s, v in own.items()}, len(queries), by_person=by_person, apart=True
            )
            for m in next(iter(own.values()))
            if all(m in v for v in own.values())
        }
    else:
        found = among(None)
    if people == "separate" and (own or asking):
        apart = galleries if own else {}
        found = {m: alike(v, queries, gallery, apart) for m, v in found.items()}
    if asking and people != "pooled":
        whose = np.tile(askers(queries), max(1, len(own)))
        own = {
            s: {m: v.among(whose == s) for m, v in found.items()}
            for s in queries["subject"].dropna().astype(str).unique()
        }
    if asked and asked.by_person:
        both = bool(asking and gallery["subject"].notna().any())
        found = {m: people_noted(v, both_sides=both) for m, v in found.items()}
    return {"all": found} | own


def _score(
    scores: PairScores,
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    described: Score,
    pictures: Embeddings | None,
    cluster: Sequence[str] | None,
    ceiling: Ceiling | Sequence[Score],
    asked: Asked | None,
    people: People,
    n_boot: int,
    n_permutations: int,
    confirm: bool,
    seed: int,
) -> list[Score]:
    values = values_by_person(
        scores, queries, gallery, pictures, cluster=cluster, asked=asked, people=people
    )
    if confirm:
        where = f"{described.task} {described.source} -> {described.target}, {described.items}"
        check = partial(confirm_chance, pictures=pictures, asked=asked, seed=seed)
        own = own_galleries(gallery) if people == "separate" else {}
        for number, (person, chosen) in enumerate(own.items()):
            found = {m: part_of(v, number, len(queries)) for m, v in values["all"].items()}
            table = gallery.iloc[chosen].reset_index(drop=True)
            check(scores.among(chosen), queries, table, found, where=f"{where} of {person}")
        if not own:
            check(scores, queries, gallery, values["all"], where=where)
    p: dict[tuple[str, str], float] = {}
    if n_permutations:
        p = p_values_by_person(
            scores,
            queries,
            gallery,
            values,
            pictures,
            asked=asked,
            separate=people == "separate",
            n_permutations=n_permutations,
            seed=seed,
        )
    scored = score_values(values, described, ceiling=ceiling, n_boot=n_boot, seed=seed)
    return [replace(s, p=p.get((s.subject, s.metric))) for s in scored]


def _numbered_among_all(values: QueryValues, chosen: npt.NDArray[np.int64]) -> QueryValues:
    """Give single candidates, which have no other name, their number in the whole gallery."""
    gallery = values.gallery
    if gallery is None or gallery.clusters.dtype.kind not in "iu":
        return values
    return replace(values, gallery=replace(gallery, clusters=chosen[gallery.clusters]))


def score_values(
    values: Mapping[str, Mapping[str, QueryValues]],
    described: Score,
    *,
    ceiling: Ceiling | Sequence[Score] = (),
    n_boot: int = 1000,
    seed: int = 0,
) -> list[Score]:
    """Return the scores of what `values_by_person` found, with intervals, without p-values.

    Parameters
    ----------
    values : mapping
    described : Score
        What all of them have in common; its note comes first in theirs.
    ceiling, n_boot, seed
        As in `score_retrieval`.
    """
    scores = []
    for subject, metrics in values.items():
        for each in metrics.values():
            if len(each.values):
                s = _summary(replace(described, subject=subject), each, n_boot, seed)
                scores.append(beside_ceiling(s, each, ceiling, n_boot=n_boot, seed=seed))
    return scores


def _summary(described: Score, values: QueryValues, n_boot: int, seed: int) -> Score:
    interval = values.interval(n_boot=n_boot, seed=seed)
    return replace(
        described,
        metric=values.metric,
        value=interval.value,
        low=interval.low,
        high=interval.high,
        chance=values.mean_chance(),
        n_queries=len(values.values),
        n_gallery=values.n_gallery,
        note="; ".join(filter(None, [described.note, values.note])),
    )
