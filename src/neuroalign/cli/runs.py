"""Commands about runs: train, evaluate, decode, encode, convert, report, demo."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from neuroalign.cli.arguments import (
    AsJson,
    Grid,
    Items,
    Modality,
    RunFolder,
    Top,
)
from neuroalign.cli.audit import say_behind_scores
from neuroalign.cli.output import (
    err_console,
    is_further_process,
    out_console,
    print_scores,
    say,
    say_answer,
)


def train_command(
    recipe: Annotated[Path, typer.Argument(help="A recipe (YAML).")],
    out: Annotated[
        Path | None, typer.Option(help="The run folder; runs/NAME unless given.")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="Processes or GPUs.")] = 1,
) -> None:
    """Train a recipe. An interrupted training goes on when the command is given again."""
    from neuroalign.recipe import load_recipe
    from neuroalign.run import train_run

    loaded = load_recipe(recipe)
    run = train_run(loaded, out or Path("runs") / loaded.name, devices=devices)
    if is_further_process():
        return
    record = run.record
    seconds = record["seconds"]
    say(
        f"Trained {', '.join(record['recordings'])} in {seconds['training']:.0f} s, after "
        f"{seconds['pictures']:.0f} s for the embeddings of the pictures."
    )
    for label, source in record["targets"].items():
        say(f"  class {label}: {source}")
    say(f"Next: neuroalign evaluate {run.path}")


def evaluate_command(
    run: RunFolder,
    protocol: Annotated[
        str, typer.Option(help="A protocol's name (see `protocols`), or a YAML file of yours.")
    ] = "default",
    stored: Annotated[
        bool,
        typer.Option(
            "--stored",
            help="Score the embeddings of an earlier evaluation; needs no model or recordings.",
        ),
    ] = False,
    accept: Annotated[
        list[str] | None,
        typer.Option(help="Score in spite of this finding of the audit; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score the three tasks on the test trials of a run, if its split passes the audit."""
    from neuroalign.evaluation.protocols import load_protocol
    from neuroalign.run_folder import require_evaluated, require_trained, scores_file

    chosen = load_protocol(protocol)
    (require_evaluated if stored else require_trained)(run)

    from neuroalign.assess import evaluate_run, rescore_run
    from neuroalign.evaluation.scores import common_note
    from neuroalign.evaluation.tables import to_json

    if stored:
        scores = rescore_run(run, chosen, accept=accept or ())
    else:
        scores = evaluate_run(run, protocol=chosen, accept=accept or ())
    if as_json:
        sys.stdout.write(to_json(scores) + "\n")
        say_behind_scores(run, chosen, err_console)
        return
    print_scores(scores)
    say_behind_scores(run, chosen)
    if note := common_note(scores):
        out_console.print(note, style="bold red", markup=False, highlight=False, soft_wrap=True)
    say(f"Protocol {chosen.label}: {chosen.title}.")
    say(f"All scores, per person too: {scores_file(run, chosen)}")
    say(f"Next: neuroalign report {run}")


def decode_command(
    run: RunFolder,
    modality: Modality,
    items: Items = None,
    query: Annotated[int | None, typer.Option(help="Only this item; all unless given.")] = None,
    gallery: Annotated[
        str | None, typer.Option(help="Your own pictures: a folder or a table.")
    ] = None,
    top: Top = 5,
    as_json: AsJson = False,
    grid: Grid = None,
) -> None:
    """Rank pictures for test recordings."""
    from neuroalign.run_folder import require_trained

    require_trained(run)

    from neuroalign.retrieve import decode_run

    answer = decode_run(run, modality.value, items=items, query=query, gallery=gallery, k=top)
    say_answer(answer, run, as_json, grid)


def encode_command(
    run: RunFolder,
    modality: Modality,
    picture: Annotated[
        str | None,
        typer.Option(
            help="A test picture's name, or a file or folder of pictures; all unless given."
        ),
    ] = None,
    items: Items = None,
    top: Top = 5,
    as_json: AsJson = False,
    grid: Grid = None,
) -> None:
    """Rank test recordings for pictures."""
    from neuroalign.run_folder import require_trained

    require_trained(run)

    from neuroalign.retrieve import encode_run

    answer = encode_run(run, modality.value, items=items, picture=picture, k=top)
    say_answer(answer, run, as_json, grid)


def convert_command(
    run: RunFolder,
    source: Modality,
    target: Modality,
    items: Items = None,
    query: Annotated[int | None, typer.Option(help="Only this item; all unless given.")] = None,
    top: Top = 5,
    as_json: AsJson = False,
    grid: Grid = None,
) -> None:
    """Rank test recordings of one modality for those of another."""
    from neuroalign.run_folder import require_trained

    require_trained(run)

    from neuroalign.retrieve import convert_run

    answer = convert_run(run, source.value, target.value, items=items, query=query, k=top)
    say_answer(answer, run, as_json, grid)


def report_command(
    run: RunFolder,
    beside: Annotated[
        list[Path] | None, typer.Option(help="Another evaluated run to set beside this one.")
    ] = None,
) -> None:
    """Write the HTML report of an evaluated run."""
    from neuroalign.run_folder import require_trained

    for folder in (run, *(beside or ())):
        require_trained(folder)

    from neuroalign.report.html import write_report

    say(f"Open {write_report(run, beside or [])}")


def demo_command(
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/demo"),
    encoder: Annotated[str, typer.Option(help="`offline` or `hf:NAME`.")] = "offline",
) -> None:
    """Run everything on shipped pictures and simulated recordings."""
    from neuroalign.demo import run_demo

    report, scores = run_demo(
        out, encoder=encoder, say=lambda line: err_console.print(f"[bold]{line}[/bold]")
    )
    print_scores(scores)
    out_console.print("All recordings above are simulated.")
    say(f"Open {report}")
