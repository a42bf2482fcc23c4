"""P-values of all scores of one retrieval: all people's, and each person's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.evaluation.own_galleries import askers, own_galleries, part_of
from neuroalign.evaluation.pairs import PairScores
from neuroalign.evaluation.per_query import QueryValues
from neuroalign.evaluation.permutation import p_value
from neuroalign.evaluation.queries import Asked
from neuroalign.evaluation.ranks import Values
from neuroalign.evaluation.shuffled import shuffled_scores
from neuroalign.evaluation.tally import Tally
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
    """
    run = partial(
        shuffled_scores,
        pictures=pictures,
        asked=asked,
        n_permutations=n_permutations,
        seed=seed,
        everyone=gallery,
    )
    everybody = np.ones(len(queries), bool)
    whose = askers(queries)
    asking = bool(queries["subject"].notna().any())
    people = [s for s in values if s != "all"]
    own = own_galleries(gallery)
    if separate and (own or asking):
        each = {s: whose == s for s in np.unique(whose)} if asking else {"all": everybody}
        return _of_people_apart(run, scores, queries, gallery, values["all"], each, own)
    groups = {"all": everybody} | ({s: whose == s for s in people} if asking else {})
    tallies = run(scores, queries, gallery, values["all"], groups)
    if not asking:
        for person in people:
            chosen = own[person]
            tallies |= run(
                scores.among(chosen),
                queries,
                gallery.iloc[chosen].reset_index(drop=True),
                values[person],
                {person: everybody},
            )
    return _p_values({key: tally.scores() for key, tally in tallies.items()})


def _of_people_apart(
    run: Callable[..., dict[tuple[str, str], Tally]],
    scores: PairScores,
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    values: Mapping[str, QueryValues],
    groups: Masks,
    own: Mapping[str, npt.NDArray[np.int64]],
) -> dict[tuple[str, str], float]:
    """Return the p-values where "all" is the mean over people, under the same labellings."""
    drawn: dict[tuple[str, str], list[Values]] = {}
    if not own:
        tallies = run(scores, queries, gallery, values, groups)
        drawn = {key: [tally.scores()] for key, tally in tallies.items()}
    parts = {m: [part_of(v, i, len(queries)) for i in range(len(own))] for m, v in values.items()}
    same = {m: _in_which(part, len(queries)) for m, part in parts.items()}
    for number, (person, chosen) in enumerate(own.items()):
        table = gallery.iloc[chosen].reset_index(drop=True)
        found = {m: part[number] for m, part in parts.items()}
        here = run(scores.among(chosen), queries, table, found, groups, alike=same)
        for (group, metric), tally in here.items():
            name = person if group == "all" else group
            drawn.setdefault((name, metric), []).append(tally.scores())
    people = {key: np.mean(null, axis=0) for key, null in drawn.items()}
    all_people = {
        ("all", m): np.mean([null for (_, metric), null in people.items() if metric == m], axis=0)
        for _, m in people
    }
    return _p_values(all_people | people)


def _p_values(drawn: Mapping[tuple[str, str], Values]) -> dict[tuple[str, str], float]:
    """Return how often shuffled labels score as well as the true ones, which come first."""
    return {key: p_value(null[1:], float(null[0])) for key, null in drawn.items()}


def _in_which(parts: Sequence[QueryValues], n_queries: int) -> npt.NDArray[np.str_]:
    """Return, as one name, in which galleries each query has a value: those swap labels."""
    names = np.full(n_queries, "\x1f", object)
    for number, part in enumerate(parts):
        names[part.positions] += f"{number} "
    return names.astype(str)
