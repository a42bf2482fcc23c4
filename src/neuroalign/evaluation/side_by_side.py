"""A short table for the terminal: what matters of each retrieval, models side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from neuroalign.evaluation.ceilings import MEASURED
from neuroalign.evaluation.floors import SIGNAL_BLIND, UNTRAINED
from neuroalign.evaluation.main_metrics import blocks, main_metrics, short_names
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.tables import modality_name

_FLOORS = (SIGNAL_BLIND, UNTRAINED)


def side_by_side(scores: Sequence[Score]) -> Iterator[Table]:
    """Yield one table a task: a row a metric, a column a model.

    A cell holds the score and, below it, its 95 % interval; the column of a paired difference
    holds the difference. A star: the score is above chance (a difference is none by chance) at
    p < 0.05, corrected. Floors share a column, without intervals, and of the ceilings only that
    which stands beside the scores is shown.
    """
    chosen = main_metrics(scores)
    for task in dict.fromkeys(s.task for s in chosen):
        part = [s for s in chosen if s.task == task]
        simulated = " of simulated recordings" if any(s.simulated for s in part) else ""
        title = f"{task}{simulated} (below: 95 % interval; *: p < 0.05, corrected)"
        table = Table(title=title, title_justify="left")
        beside = {s.ceiling_name.split(",")[0] for s in part if s.model not in MEASURED}
        models = sorted(
            {s.model for s in part if s.model not in MEASURED or s.model in beside},
            key=lambda m: (m.count(" - "), _first(part, m)),
        )
        floors = [m for m in _FLOORS if m in models]
        columns = [[m] for m in models if m not in floors]
        if floors:
            columns.insert(sum(" - " not in m for [m] in columns), floors)
        for name in ("from -> to", "metric"):
            table.add_column(name)
        for names in (["chance"], *columns):
            # A number that is cut off is no number: the words on the left give way first.
            wide = any(" - " in n or n in _FLOORS for n in names)
            least = 6 if names == ["chance"] else 12 if wide else 10
            table.add_column("\n".join(names), justify="right", min_width=least)
        for block in blocks(part):
            _add_rows(table, block, columns)
        yield table


def _add_rows(table: Table, scores: list[Score], columns: list[list[str]]) -> None:
    names = short_names(scores)
    first = scores[0]
    label = f"{modality_name(first.source)} -> {modality_name(first.target)}\n{first.items}"
    metrics = [m for m in names if any(s.metric == m for s in scores)]
    for metric in metrics:
        found = {s.model: s for s in scores if s.metric == metric}
        chance = next((f"{s.chance:.3f}" for m, s in found.items() if " - " not in m), "")
        cells = ["\n".join(_cell(found.get(m)) for m in models) for models in columns]
        last = metric == metrics[-1]
        table.add_row(Text(label), names[metric], chance, *cells, end_section=last)
        label = ""


def _cell(score: Score | None) -> str:
    if score is None:
        return ""
    sign = "+" if " - " in score.model else ""
    star = "*" if score.p_corrected is not None and score.p_corrected < 0.05 else ""
    value = f"{score.value:{sign}.3f}{star}"
    if score.model in _FLOORS:
        return value
    return f"{value}\n{score.low:{sign}.2f}..{score.high:{sign}.2f}"


def _first(scores: Sequence[Score], model: str) -> int:
    return next(i for i, s in enumerate(scores) if s.model == model)
