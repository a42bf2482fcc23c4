"""Arguments that several commands share, and how their text is read."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from neuroalign.errors import NeuroalignError


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
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
TestRuns = Annotated[
    str,
    typer.Option(
        help="Held-out runs: `last`, a share such as 0.25, or names separated by commas "
        "(run-06, sub-01_ses-02_run-01)."
    ),
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


def held_out(text: str) -> Any:
    """Read which runs are held out: `last`, a share or names."""
    if text == "last":
        return "last"
    try:
        return float(text)
    except ValueError:
        return listed(text)
