"""`neuroalign datasets`, `neuroalign fetch` and `neuroalign doctor`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer
from rich.markup import escape

from neuroalign.cli.arguments import AsJson, Jobs, Subjects, listed
from neuroalign.cli.output import out_console, print_table, say


def datasets_command(
    name: Annotated[str | None, typer.Argument(help="Everything about one of them.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what can be read: people, trials, pictures, size, licence, where to get it."""
    from neuroalign.recordings.readers import load_reader, reader_names

    names = reader_names() if name is None else [name]
    cards = [load_reader(n).card for n in names]
    if as_json:
        sys.stdout.write(json.dumps([c.model_dump(mode="json") for c in cards], indent=2) + "\n")
        return
    for card in cards:
        _say_card(card)
    if name is None:
        say("`neuroalign datasets NAME` says which files are looked for.")
    else:
        say(cards[0].layout.strip("\n"))


def doctor_command(
    folder: Annotated[Path, typer.Argument(help="The top folder of a data set.")],
    dataset: Annotated[
        str | None, typer.Option(help="What it is; otherwise it is recognised.")
    ] = None,
    subjects: Subjects = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only names, headers and tables, no signals.")
    ] = False,
    jobs: Jobs = 1,
    as_json: AsJson = False,
) -> None:
    """Tell what a folder is, what of it is complete, missing, broken or suspicious.

    Exit status 0: fine; 1: usable, with warnings; 2: unusable.

    Options of `neuroalign prepare NAME` (--sessions, --incomplete, ...) are taken too: the folder
    is then looked at as that command would.
    """
    diagnose(folder, dataset, subjects, quick, jobs, as_json, {})


def diagnose(
    folder: Path,
    dataset: str | None,
    subjects: str | None,
    quick: bool,
    jobs: int,
    as_json: bool,
    given: Mapping[str, Any],
) -> None:
    """Look at a folder; `given` are options of its reader."""
    from neuroalign.cli.readers import options_from
    from neuroalign.recordings.doctor import examine, reader_of

    reader = reader_of(folder, dataset)
    options = options_from(reader, given)
    found = examine(
        folder, dataset=reader, options=options, subjects=listed(subjects), quick=quick, jobs=jobs
    )
    if as_json:
        sys.stdout.write(json.dumps(found.as_json(), indent=2) + "\n")
    else:
        _say_diagnosis(found)
    raise typer.Exit(found.status)


def fetch_command(
    name: Annotated[str, typer.Argument(help="A data set; see `neuroalign datasets`.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to download into.")],
    subjects: Subjects = None,
    only: Annotated[str | None, typer.Option(help="Only paths of this pattern: '*.tsv'.")] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You have read it and accept it.")
    ] = False,
) -> None:
    """Download a data set; where its licence allows no direct download, say what to do."""
    from neuroalign.fetch import fetch, select_files
    from neuroalign.fetch.download import missing_bytes
    from neuroalign.recordings.readers import load_reader

    card = load_reader(name).card
    say(f"{card.title}. Licence: {card.licence}")
    selection = select_files(card, subjects=listed(subjects), only=only)
    if selection.files:
        left = missing_bytes(selection.files, out)
        say(
            f"{len(selection.files)} files, {selection.size / 1e9:,.2f} GB, of which "
            f"{left / 1e9:,.2f} GB are still to be downloaded into {out}"
        )
    fetch(card, selection, out, accept_licence=accept_licence)
    if selection.steps:
        say("To be done by hand:")
        for number, step in enumerate(selection.steps, start=1):
            say(f"{number}. {step}")
    if selection.files or selection.steps:
        say(f"Next: neuroalign doctor {quote(str(out))}")
    else:
        say(
            "There is nothing to download: these are recordings of your own. Next: neuroalign "
            "doctor FOLDER, with the folder that they lie in."
        )


def _say_card(card: Any) -> None:
    out_console.print(f"[bold]{escape(card.name)}[/bold]  {escape(card.title)}", highlight=False)
    for label, text in (
        ("modality", card.modality or "as the folder says"),
        ("people", card.people),
        ("trials", card.trials),
        ("pictures", card.pictures),
        ("size", _size(card)),
        ("licence", card.licence),
        ("cite", card.citation),
        ("from", card.url),
    ):
        if text:
            say(f"  {label:<9} {text}")
    say("")


def _size(card: Any) -> str:
    return "" if card.size_gb is None else f"{card.size_gb:,.0f} GB"


def _say_diagnosis(found: Any) -> None:
    import pandas as pd

    from neuroalign.recordings.alike import findings_once

    verb = "is" if found.recognised else "does not look like"
    say(f"{found.folder} {verb} {found.title} (`{found.dataset}`)")
    if found.people:
        rows = [(s, parts, trials) for s, (parts, trials) in found.people.items()]
        print_table(pd.DataFrame(rows, columns=["subject", "parts", "trials"]))
    if found.findings:
        told = findings_once(found.findings)
        lines = [(f.severity, f.where, f.what, f.count) for f in told]
        print_table(pd.DataFrame(lines, columns=["severity", "where", "what", "count"]))
        if len(told) < len(found.findings):
            say(f"--json lists each of the {len(found.findings)} findings")
    colour = ("green", "yellow", "red")[found.status]
    out_console.print(f"[bold {colour}]Verdict: {found.verdict}[/]")
    if found.advice:
        say(found.advice)
