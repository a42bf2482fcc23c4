"""What commands print: tables, lines and picture grids."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

# Into a file or pipe there is no terminal's width to keep to; tables need about this much.
_TABLE_WIDTH = 130
out_console = Console(width=None if sys.stdout.isatty() else _TABLE_WIDTH)
err_console = Console(stderr=True)
# Scores are whole in a narrow terminal too: lines that are too long go on in the next.
score_console = Console(width=max(_TABLE_WIDTH, out_console.width))


def print_scores(scores: list[Any]) -> None:
    """Print what matters of the scores, a table for each task."""
    from neuroalign.evaluation.side_by_side import side_by_side

    for table in side_by_side(scores):
        score_console.print(table)


def print_text_table(table: Any, title: str) -> None:
    """Print a table in the terminal's width, or wider where that would break a word or number."""
    from neuroalign.evaluation.table_formats import text_table, width_of

    drawn = text_table(table, title, width=out_console.width)
    Console(width=max(width_of(drawn), out_console.width), file=out_console.file).print(drawn)


_MOST_FINDINGS = 20


def say_prepared(recordings: Any, *, findings: bool = True) -> None:
    """Say what was prepared, what was left out and why, and what somebody should look at."""
    say(str(recordings))
    splits = recordings.trials.groupby(["subject", "split"]).size().unstack(fill_value=0)
    print_table(splits.reset_index())
    _say_dropped(recordings)
    if findings:
        _say_findings(recordings.path / "findings.tsv")


def _say_dropped(recordings: Any) -> None:
    """Say what was left out, a line a reason, and where the whole list is."""
    from neuroalign.recordings.alike import drops_once

    dropped = recordings.info.dropped
    told = drops_once(dropped)
    for drop in told:
        trials = "trial" if drop.trials == 1 else "trials"
        say(f"left out: {drop.where}: {drop.trials} {trials}: {drop.reason}")
    if len(told) < len(dropped):
        say(f"Each of the {len(dropped)}: {recordings.path / 'dropped.tsv'}")


def _say_findings(path: Path) -> None:
    """Say what was found while preparing, the worst first, and where the whole list is."""
    if not path.is_file():
        return
    from neuroalign.recordings.alike import findings_once
    from neuroalign.recordings.quality import read_findings

    found = read_findings(path)
    told = findings_once(found)
    for finding in told[:_MOST_FINDINGS]:
        say(f"{finding.severity}: {finding.where}: {finding.what}")
    if len(told[:_MOST_FINDINGS]) < len(found):
        say(f"Each of the {len(found)}: {path}")


def say_answer(answer: Any, run: Path, as_json: bool, grid: Path | None) -> None:
    """Print, and draw if asked to, what a run retrieved."""
    table = answer.ranking.table()
    wanted = [
        "query", "query_subject", "query_stimulus", "query_label",
        "rank", "score", "found_subject", "found_stimulus", "found_label",
    ]  # fmt: skip
    table = table[[c for c in wanted if c in table and table[c].notna().any()]]
    if as_json:
        sys.stdout.write(json.dumps(json.loads(table.to_json(orient="records")), indent=1) + "\n")
    else:
        if answer.simulated:
            out_console.print("Simulated recordings.")
        shown = table[["query", "rank", "score"]].assign(found=_described(table, "found"))
        shown.insert(1, "asked", _described(table, "query"))
        print_table(shown)
    if grid is not None:
        from neuroalign.report.grids import answer_grid
        from neuroalign.report.picture_files import PictureFiles
        from neuroalign.run import Run

        answer_grid(answer, grid, pictures=PictureFiles.from_items(Run(run).pictures.items))
        say(f"Drawn into {grid}", err_console)


def _described(table: Any, side: str) -> list[str]:
    """Name each item of one side of a retrieval: person, picture, class."""
    columns = [f"{side}_{c}" for c in ("subject", "stimulus", "label") if f"{side}_{c}" in table]
    rows = table[columns].astype("string").fillna("").itertuples(index=False)
    return [", ".join(filter(None, row)) for row in rows]


def print_table(table: Any) -> None:
    """Print a data frame."""
    from rich.table import Column, Table

    shown = Table(*(Column(str(name), overflow="fold") for name in table.columns))
    for row in table.itertuples(index=False):
        shown.add_row(*(_cell(value) for value in row))
    out_console.print(shown)


def _cell(value: Any) -> str:
    if value != value or value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else escape(str(value))


def say(line: str, console: Console = out_console) -> None:
    """Print a line as it is: paths stay whole and may hold brackets."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def is_further_process() -> bool:
    """Whether this is one of the processes that `--devices` starts beside the first."""
    return os.environ.get("LOCAL_RANK", "0") != "0"
