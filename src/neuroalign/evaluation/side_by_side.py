"""A short table for the terminal: what matters of each retrieval, models side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.tables import modality_name

#: The paper's metrics where pictures are known, in this order ...
PICTURE_METRICS = {
    "top1": "top-1",
    "top5": "top-5",
    "two_way_embedding": "2-way",
    "two_way_retrieved": "2-way, item",
    "two_way_retrieved_normalised": "normalised",
}
#: ... and where only classes are.
CLASS_METRICS = {"class_top1": "class", "two_way_embedding": "2-way"}


def main_metrics(scores: Sequence[Score]) -> list[Score]:
    """Keep, over all people, the metrics that speak for each retrieval."""
    everyone = [s for s in scores if s.subject == "all"]
    pictured = {_retrieval(s) for s in everyone if s.metric == "top1"}
    return [
        s
        for s in everyone
        if s.metric in (PICTURE_METRICS if _retrieval(s) in pictured else CLASS_METRICS)
    ]


def side_by_side(scores: Sequence[Score]) -> Iterator[Table]:
    """Yield one table a task: a row a metric, a column a model.

    A cell holds the score and, below it, its 95 % interval; the column of a paired difference
    holds the difference.
    """
    chosen = main_metrics(scores)
    for task in dict.fromkeys(s.task for s in chosen):
        part = [s for s in chosen if s.task == task]
        simulated = " of simulated recordings" if any(s.simulated for s in part) else ""
        table = Table(title=f"{task}{simulated} (below: 95 % interval)", title_justify="left")
        models = sorted({s.model for s in part}, key=lambda m: (m.count(" - "), _first(part, m)))
        for name in ("from -> to", "metric", "chance", *models):
            table.add_column(name, justify="left" if name in ("from -> to", "metric") else "right")
        for retrieval in dict.fromkeys(_retrieval(s) for s in part):
            _add_rows(table, [s for s in part if _retrieval(s) == retrieval], models)
        yield table


def _add_rows(table: Table, scores: list[Score], models: list[str]) -> None:
    names = PICTURE_METRICS if any(s.metric == "top1" for s in scores) else CLASS_METRICS
    first = scores[0]
    label = f"{modality_name(first.source)} -> {modality_name(first.target)}\n{first.items}"
    metrics = [m for m in names if any(s.metric == m for s in scores)]
    for metric in metrics:
        found = {s.model: s for s in scores if s.metric == metric}
        chance = next((f"{s.chance:.3f}" for m, s in found.items() if " - " not in m), "")
        cells = [_cell(found.get(model)) for model in models]
        last = metric == metrics[-1]
        table.add_row(Text(label), names[metric], chance, *cells, end_section=last)
        label = ""


def _cell(score: Score | None) -> str:
    if score is None:
        return ""
    sign = "+" if " - " in score.model else ""
    return f"{score.value:{sign}.3f}\n{score.low:{sign}.3f}..{score.high:{sign}.3f}"


def _retrieval(score: Score) -> tuple[str, str, str, str]:
    return score.task, score.source, score.target, score.items


def _first(scores: Sequence[Score], model: str) -> int:
    return next(i for i, s in enumerate(scores) if s.model == model)
