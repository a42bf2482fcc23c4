"""`neuroalign matrix` and `neuroalign tables`."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

from neuroalign.cli.arguments import RunFolder
from neuroalign.cli.output import err_console, say, score_console


class TableFormat(StrEnum):
    """How a table is written."""

    text = "text"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"
    json = "json"


Format = Annotated[TableFormat, typer.Option("--format", help="How the table is written.")]


def matrix_command(
    run: RunFolder,
    protocol: Annotated[
        str, typer.Option(help="A protocol's name (see `protocols`), or a YAML file of yours.")
    ] = "default",
    form: Format = TableFormat.text,
) -> None:
    """Score everything against everything: pictures and modalities, as queries and candidates."""
    from neuroalign.assess.matrix import run_matrix
    from neuroalign.evaluation.protocols import load_protocol
    from neuroalign.evaluation.table_formats import format_table, text_table
    from neuroalign.report.style import write_figure
    from neuroalign.report.whole_matrix import draw_matrix, matrix_table, matrix_title

    found = run_matrix(run, load_protocol(protocol))
    figure = draw_matrix(found)
    for suffix in (".png", ".svg", ".pdf"):
        write_figure(figure, run / "figures" / f"matrix{suffix}")
    table, title = matrix_table(found), matrix_title(found)
    if form is TableFormat.json:
        sys.stdout.write(json.dumps(found.as_json(), indent=2) + "\n")
    elif form is TableFormat.text:
        score_console.print(text_table(table, title))
    else:
        sys.stdout.write(format_table(table, form.value, title=title))
    say(
        f"Drawn into {run / 'figures' / 'matrix.png'}; all of it in {run / 'matrix.json'}",
        err_console,
    )


def tables_command(
    run: RunFolder,
    protocol: Annotated[
        str, typer.Option(help="The scores of this protocol; evaluate the run with it first.")
    ] = "default",
    model: Annotated[str | None, typer.Option(help="Of this model; the run's own.")] = None,
    form: Format = TableFormat.text,
    all_scores: Annotated[
        bool, typer.Option("--all", help="Every score, of every model and person.")
    ] = False,
) -> None:
    """Print decoding, encoding and conversion in the shape of the paper's tables."""
    from neuroalign.assess.tables import paper_tables, score_list
    from neuroalign.evaluation.protocols import load_protocol
    from neuroalign.evaluation.table_formats import format_table, text_table

    chosen = load_protocol(protocol)
    found = score_list(run, chosen) if all_scores else paper_tables(run, chosen, model)
    if form is TableFormat.json:
        tables = {title: t.to_dict(orient="records") for title, t in found.items()}
        sys.stdout.write(json.dumps(tables, indent=2, ensure_ascii=False) + "\n")
        return
    for title, table in found.items():
        if form is TableFormat.text:
            score_console.print(text_table(table, title))
        else:
            sys.stdout.write(format_table(table, form.value, title=title) + "\n")
