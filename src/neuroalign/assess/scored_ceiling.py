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
from neuroalign.evaluation.protocols import Protocol
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.tasks import score_values, values_by_person


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

    It has no p-values: that it is above chance is not in question.
    """
    values = values_by_person(
        Matrix(matrix),
        queries.reset_index(drop=True),
        gallery.reset_index(drop=True),
        stored.judge,
        asked=protocol.asked,
        people=protocol.people,
    )
    described = Score(
        *(step.task, step.source, step.target, name, "", 0, 0, 0, 0, 0, 0),
        items=step.items,
        simulated=stored.simulated,
        ceiling_name=name,
        note=note,
    )
    scores = score_values(values, described, n_boot=protocol.intervals.draws, seed=stored.seed)
    return ScoredCeiling(Ceiling(name, values), tuple(replace(s, ceiling=s.value) for s in scores))
