"""A ceiling as the other scores see it: rows of the table, and values query by query."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.assess.steps import Step
from neuroalign.assess.stored import Stored
from neuroalign.evaluation.attainable import Ceiling
from neuroalign.evaluation.pairs import Matrix
from neuroalign.evaluation.per_query import QueryValues
from neuroalign.evaluation.protocols import Protocol
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.tasks import score_values, values_by_person
from neuroalign.retrieval.embeddings import Embeddings


@dataclass(frozen=True, eq=False)
class ScoredCeiling:
    """One ceiling of one retrieval."""

    ceiling: Ceiling
    scores: tuple[Score, ...]


def scored_ceiling(
    name: str,
    matrix: npt.NDArray[np.floating],
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    step: Step,
    stored: Stored,
    protocol: Protocol,
    note: str = "",
) -> ScoredCeiling:
    """Score a matrix of shape (n_queries, n_gallery) as a ceiling; it is its own ceiling.

    It has no p-values: that it is above chance is not in question. Queries with a NaN are left out.
    """
    answered = np.isfinite(matrix).all(axis=1)
    found = values_by_person(
        Matrix(np.where(answered[:, None], matrix, 0.0)),
        queries.reset_index(drop=True),
        gallery.reset_index(drop=True),
        _judge(queries, gallery, stored),
        asked=protocol.asked,
        people=protocol.people,
    )
    # Left out afterwards, so that units of the bootstrap keep the names that all queries give them.
    values = {
        subject: kept
        for subject, metrics in found.items()
        if (kept := {m: v for m, of in metrics.items() if len((v := _of(of, answered)).values)})
    }
    described = Score(
        *(step.task, step.source, step.target, name, "", 0, 0, 0, 0, 0, 0),
        items=step.items,
        simulated=stored.simulated,
        ceiling_name=name,
        note=note,
    )
    scores = score_values(values, described, n_boot=protocol.intervals.draws, seed=stored.seed)
    return ScoredCeiling(Ceiling(name, values), tuple(replace(s, ceiling=s.value) for s in scores))


def _of(values: QueryValues, answered: npt.NDArray[np.bool_]) -> QueryValues:
    """Keep some queries, in each of the galleries that they ask."""
    return values.kept(answered[values.positions % len(answered)])


def _judge(queries: pd.DataFrame, gallery: pd.DataFrame, stored: Stored) -> Embeddings | None:
    """Return the judge, unless some class has no picture to compare."""
    pictured = set(stored.judge.items["label"].dropna())
    bare = (t.loc[t["stimulus"].isna(), "label"] for t in (queries, gallery))
    return stored.judge if all(b.isin(list(pictured)).all() for b in bare) else None
