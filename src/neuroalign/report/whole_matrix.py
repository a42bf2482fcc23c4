"""The matrix of all retrievals, as a table and as a figure."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from neuroalign.assess.matrix import Cell, TaskMatrix
from neuroalign.evaluation.floors import SIGNAL_BLIND, UNTRAINED
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.tables import p_text
from neuroalign.report.figures import task_matrix
from neuroalign.report.style import KIND_NAMES


def matrix_table(matrix: TaskMatrix) -> pd.DataFrame:
    """Return the matrix as a table of text: what is asked down the side, of what across.

    A cell holds the 2-way score of the run's own model with its 95 % interval, chance, the p-value
    (corrected over the cells), the other models, the ceiling with the share of the way there, and
    what made a candidate right.
    """
    names = [_name(k) for k in matrix.kinds]
    rows = [
        [f"{_name(source)} ->", *(_described(matrix.cell(source, t)) for t in matrix.kinds)]
        for source in matrix.kinds
    ]
    return pd.DataFrame(rows, columns=["", *names])


def matrix_title(matrix: TaskMatrix) -> str:
    """Return what the table and the figure show."""
    simulated = "SIMULATED recordings, " if matrix.simulated else ""
    return f"2-way score of every retrieval ({simulated}{matrix.protocol})"


def draw_matrix(matrix: TaskMatrix) -> Figure:
    """Draw the matrix: number and colour are the 2-way score, chance, floors and ceiling below."""
    scored = [c for c in matrix.cells if c.scores]
    return task_matrix(
        [c.scores[0] for c in scored],
        title="Every retrieval: 2-way score",
        simulated=matrix.simulated,
        basis={(c.source, c.target): c.basis for c in scored},
        levels={(c.source, c.target): _levels(c) for c in scored},
    )


def _levels(cell: Cell) -> str:
    """Return chance (with the p-value corrected over cells), floors and ceiling, a line each."""
    own, *others = cell.scores
    floors = [f"{s.value:.2f}" for m in (SIGNAL_BLIND, UNTRAINED) for s in others if s.model == m]
    p = "" if own.p_corrected is None else f", p {p_text(own.p_corrected)}"
    lines = [f"chance {own.chance:.2f}{p}"]
    lines += [f"floors {' and '.join(floors)}"] if floors else []
    lines += [] if own.ceiling is None else [f"ceiling {own.ceiling:.2f}"]
    return "\n".join(lines)


def _described(cell: Cell) -> str:
    if not cell.scores:
        return f"-\n{cell.missing}"
    own, *others = cell.scores
    lines = [f"{own.value:.3f}", f"{own.low:.3f}..{own.high:.3f}", f"chance {own.chance:.3f}"]
    lines += [f"p {p_text(own.p_corrected)}"] if own.p_corrected is not None else []
    lines += [f"{s.model} {s.value:.3f}" for s in others]
    if own.ceiling is not None:
        lines.append(f"ceiling {own.ceiling:.3f}{_share(own)}")
        lines.append(f"({own.ceiling_name or 'ideal observer'})")
    return "\n".join([*lines, cell.basis])


def _share(score: Score) -> str:
    return "" if score.share is None else f": {score.share:.2f} of the way"


def _name(kind: str) -> str:
    return KIND_NAMES.get(kind, kind)
