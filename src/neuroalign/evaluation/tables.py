"""Scores as tables: for the terminal, Markdown, CSV and JSON; each with its chance level."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neuroalign.evaluation.scores import Score, score_table
from neuroalign.evaluation.table_formats import format_table

#: What a metric is called in a table for reading.
METRIC_NAMES = {
    "top1": "top-1",
    "top5": "top-5",
    "class_top1": "class top-1",
    "class_top5": "class top-5",
    "class_accuracy": "class accuracy",
    "balanced_accuracy": "balanced class accuracy",
    "class_average_precision": "class mean average precision",
    "median_rank": "median rank",
    "mean_reciprocal_rank": "mean reciprocal rank",
    "k_way": "k-way, mean over all draws",
    "k_way_resampled": "k-way, drawn",
    "two_way_embedding": "2-way, from the embedding",
    "two_way_retrieved": "2-way, from the retrieved item",
    "explainable_variance": "explainable variance",
    "two_way_embedding_normalised": "2-way, from the embedding, normalised",
    "two_way_retrieved_normalised": "2-way, from the retrieved item, normalised",
}
#: P-values are one-sided for scores (above chance), two-sided for differences, and corrected over
#: the cells of a model (see `evaluation.correction`).
P_COLUMN = "p, corrected"
CEILING_COLUMN = "ceiling"
SHARE_COLUMN = "share of the way from chance to ceiling"
_OPTIONAL = (P_COLUMN, CEILING_COLUMN, SHARE_COLUMN, "note")
_MODALITIES = {"eeg": "EEG", "meg": "MEG", "fmri": "fMRI", "pictures": "pictures"}


def display_table(scores: Sequence[Score]) -> pd.DataFrame:
    """Return the table that people read: one row per score, all cells text.

    Columns that would be empty in each row (p, ceiling, note) are left out. Rows stand in the
    order given.
    """
    rows = []
    for s in scores:
        rows.append(
            {
                "task": s.task,
                "from -> to": f"{modality_name(s.source)} -> {modality_name(s.target)}",
                "model": s.model,
                "people": s.subject,
                "metric": METRIC_NAMES.get(s.metric, s.metric),
                "score": f"{s.value:.3f}",
                "95 % interval": f"{s.low:.3f} to {s.high:.3f}",
                "chance": f"{s.chance:.3f}",
                P_COLUMN: p_text(s.p_corrected),
                CEILING_COLUMN: _ceiling(s),
                SHARE_COLUMN: _share(s),
                "queries": str(s.n_queries),
                "gallery": str(s.n_gallery),
                "items": s.items,
                "data": "simulated" if s.simulated else "recorded",
                "note": s.note,
            }
        )
    table = pd.DataFrame(rows, dtype=str)
    optional = [c for c in _OPTIONAL if c in table]
    return table.drop(columns=[c for c in optional if (table[c] == "").all()])


def p_text(p: float | None) -> str:
    """Return a p-value as tables show it; empty where there is none."""
    if p is None:
        return ""
    return "< 0.001" if p < 0.0005 else f"{p:.3f}"


def _ceiling(score: Score) -> str:
    if score.ceiling is None:
        return ""
    return f"{score.ceiling:.3f}" + (f" ({score.ceiling_name})" if score.ceiling_name else "")


def _share(score: Score) -> str:
    if score.share is None:
        return ""
    return f"{score.share:.2f} ({score.share_low:.2f} to {score.share_high:.2f})"


def to_text(scores: Sequence[Score], *, width: int = 160) -> str:
    """Return the display table drawn with lines, for a terminal `width` columns wide."""
    drawn = StringIO()
    console = Console(file=drawn, width=width, color_system=None)
    console.print(rich_table(scores))
    return drawn.getvalue()


def rich_table(scores: Sequence[Score], *, title: str | None = None) -> Table:
    """Return the display table for a rich console."""
    table = display_table(scores)
    drawn = Table(title=title)
    numbers = {"score", "chance", P_COLUMN, "queries", "gallery"}
    for column in table.columns:
        drawn.add_column(column, justify="right" if column in numbers else "left")
    for row in table.itertuples(index=False):
        drawn.add_row(*(Text(str(cell)) for cell in row))  # Text: a name may hold [brackets]
    return drawn


def to_markdown(scores: Sequence[Score]) -> str:
    """Return the display table in Markdown."""
    return format_table(display_table(scores), "markdown")


def to_csv(scores: Sequence[Score]) -> str:
    """Return all columns of `Score` as CSV, numbers in full precision."""
    return score_table(scores).to_csv(index=False, lineterminator="\n")


def to_json(scores: Sequence[Score]) -> str:
    """Return the scores as a JSON list, as `write_scores` writes it."""
    return json.dumps([asdict(s) for s in scores], indent=2) + "\n"


def modality_name(name: str) -> str:
    """Return how tables call a modality."""
    return _MODALITIES.get(name, name)
