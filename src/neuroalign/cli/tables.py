"""`neuroalign matrix` and `neuroalign tables`."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from neuroalign.cli.arguments import RunFolder
from neuroalign.cli.audit import say_behind_scores
from neuroalign.cli.output import err_console, print_text_table, say

Form = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="text|markdown|latex|csv|json",
        help="For reading and papers; csv and json have each number in a column of its own.",
    ),
]


def matrix_command(
    run: RunFolder,
    protocol: Annotated[
        str, typer.Option(help="A protocol's name (see `protocols`), or a YAML file of yours.")
    ] = "default",
    form: Form = "text",
) -> None:
    """Score everything against everything: pictures and modalities, as queries and candidates."""
    from neuroalign.evaluation.protocols import load_protocol
    from neuroalign.evaluation.table_formats import named_format
    from neuroalign.run_folder import require_evaluated

    chosen, written = load_protocol(protocol), named_format(form)
    require_evaluated(run)

    from neuroalign.assess.matrix import run_matrix
    from neuroalign.assess.tables import matrix_rows
    from neuroalign.evaluation.table_formats import format_rows, format_table
    from neuroalign.report.style import write_figure
    from neuroalign.report.whole_matrix import draw_matrix, matrix_table, matrix_title

    found = run_matrix(run, chosen)
    figure = draw_matrix(found)
    for suffix in (".png", ".svg", ".pdf"):
        write_figure(figure, run / f"matrix{suffix}")
    table, title = matrix_table(found), matrix_title(found)
    if written == "json":
        sys.stdout.write(json.dumps(found.as_json(), indent=2) + "\n")
    elif written == "csv":
        sys.stdout.write(format_rows(matrix_rows(found), "csv"))
    elif written == "text":
        print_text_table(table, title)
    else:
        sys.stdout.write(format_table(table, written, title=title))
    say_behind_scores(run, chosen, err_console)
    say(
        f"Drawn into {run / 'matrix.png'} (.svg, .pdf); all of it in {run / 'matrix.json'}",
        err_console,
    )


def tables_command(
    run: RunFolder,
    protocol: Annotated[
        str, typer.Option(help="The scores of this protocol; evaluate the run with it first.")
    ] = "default",
    model: Annotated[str | None, typer.Option(help="Of this model; the run's own.")] = None,
    form: Form = "text",
    all_scores: Annotated[
        bool, typer.Option("--all", help="Every score, of every model and person.")
    ] = False,
) -> None:
    """Print decoding, encoding and conversion in the shape of the paper's tables."""
    from neuroalign.evaluation.protocols import load_protocol
    from neuroalign.evaluation.table_formats import named_format
    from neuroalign.run_folder import require_scores

    chosen, written = load_protocol(protocol), named_format(form)
    require_scores(run, chosen)

    from neuroalign.assess.tables import number_tables, paper_tables, score_list
    from neuroalign.evaluation.table_formats import format_rows, format_table

    if written == "csv" or written == "json":
        rows = number_tables(run, chosen, model, every=all_scores)
        sys.stdout.write(format_rows(rows, written))
    else:
        find = score_list if all_scores else paper_tables
        for title, table in find(run, chosen, model).items():
            if written == "text":
                _print_table(table, title)
            else:
                sys.stdout.write(format_table(table, written, title=title) + "\n")
    say_behind_scores(run, chosen, err_console)


def _print_table(table: Any, title: str) -> None:
    """Print a table, the reasons why the paper's numbers are not there below it."""
    from neuroalign.evaluation.paper import PAPER_COLUMN
    from neuroalign.evaluation.paper_tables import REASON
    from neuroalign.evaluation.table_formats import notes_below

    notes: list[str] = []
    if REASON in table:
        table, notes = notes_below(table, REASON, PAPER_COLUMN)
    print_text_table(table, title)
    for note in notes:
        say(f"{REASON}, {note}")
