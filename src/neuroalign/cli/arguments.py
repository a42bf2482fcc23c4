"""Arguments that several commands share, and how their text is read."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from neuroalign.errors import NeuroalignError

_PERSON = re.compile(r"[A-Za-z]*-?[A-Za-z]*[0-9]+,?")


class Modality(StrEnum):
    """A modality."""

    eeg = "eeg"
    meg = "meg"
    fmri = "fmri"


class Continuous(StrEnum):
    """A modality whose recordings are continuous."""

    eeg = "eeg"
    meg = "meg"


class Features(StrEnum):
    """What a trial of EEG or MEG consists of."""

    epochs = "epochs"
    spectrogram = "spectrogram"


class SingleRun(StrEnum):
    """What happens to a person with one usable run."""

    # `split` is a method of str.
    hold_out = "split"
    train = "train"
    drop = "drop"


class IndexOrder(StrEnum):
    """In which order flat voxel indices count."""

    C = "C"
    F = "F"


class ZScore(StrEnum):
    """Whose statistics voxels are standardised with."""

    run = "run"
    train = "train"
    none = "none"


Out = Annotated[Path, typer.Option("--out", help="The folder to make.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the folder if it exists, once complete.")
]
Subjects = Annotated[
    str | None, typer.Option("--subjects", help="Only these people: --subjects 1 2 5 or 1,2,5.")
]
Jobs = Annotated[int, typer.Option("--jobs", min=1, help="Processes.")]
Dask = Annotated[
    str | None, typer.Option("--dask", help="A Dask scheduler's address: tcp://10.0.0.1:8786.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
TestRuns = Annotated[
    str,
    typer.Option(
        help="Held-out runs: `last`, a share such as 0.25, or names separated by commas "
        "(run-06, sub-01_ses-02_run-01)."
    ),
]
OfSingleRun = Annotated[
    SingleRun,
    typer.Option(help="A person with one usable run: hold out its end, only train, or leave out."),
]
Items = Annotated[
    str | None,
    typer.Option(
        help="Test items: trials, repeats, `by COLUMN`, `groups of N` (the recipe's first)."
    ),
]
Top = Annotated[int, typer.Option("--top", min=1, help="Items to retrieve for each query.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Grid = Annotated[
    Path | None, typer.Option(help="Also draw the queries and what they retrieved into this PNG.")
]


def listed(text: str | None) -> list[str] | None:
    """Read `a, b, c`."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def shape(text: str | None) -> tuple[int, int, int] | None:
    """Read the shape of a volume."""
    if text is None:
        return None
    try:
        x, y, z = (int(part) for part in text.split(","))
    except ValueError as error:
        raise NeuroalignError(
            f"A volume's shape is three numbers such as 40,64,64; got {text!r}."
        ) from error
    return x, y, z


def numbers(text: str | None) -> list[float] | None:
    """Read `50,100`."""
    try:
        return None if text is None else [float(part) for part in listed(text) or ()]
    except ValueError as error:
        raise NeuroalignError(f"Expected numbers such as 50,100; got {text!r}.") from error


def by_person(entries: list[str]) -> dict[str, list[str | Path]]:
    """Read `sub-01=a-epo.fif`, one entry a file."""
    paths: dict[str, list[str | Path]] = {}
    for entry in entries:
        subject, sign, file = entry.partition("=")
        if not sign:
            raise NeuroalignError(
                f"Expected SUBJECT=FILE, such as sub-01=a-epo.fif; got {entry!r}."
            )
        paths.setdefault(subject, []).append(file)
    return paths


def join_listed(arguments: list[str]) -> list[str]:
    """Write `--subjects 1 2 5` as `--subjects 1,2,5`: an option takes one value.

    What follows belongs to the list as long as it looks like the name of a person: letters and
    a number ("1", "sub-01", "P3"), and no file or folder of that name lies here.
    """
    joined: list[str] = []
    for argument in arguments:
        in_list = len(joined) > 1 and joined[-2] == "--subjects"
        if in_list and _PERSON.fullmatch(argument) and not Path(argument).exists():
            joined[-1] += f",{argument}"
        else:
            joined.append(argument)
    return joined
