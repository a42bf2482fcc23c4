"""What a user says of own fMRI, and which files that means for each person."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.contract import Options, Part
from neuroalign.recordings.readers.own_table import Found, belonging_to
from neuroalign.recordings.volumes import NIFTI
from neuroalign.recordings.written import TestRuns

#: In the path of a file: stands for the name of each person.
PERSON = "{subject}"


class ArraysOptions(Options):
    """What `neuroalign.recordings.arrays.prepare_arrays` takes; see there.

    Without `signals` and `trials` both are looked for in the folder.
    """

    signals: dict[str, Path] | Path | None = Field(None, description="Series of volumes.")
    trials: Path | None = Field(None, description="The table, a row a volume.")
    test_runs: TestRuns = Field("last", description="Held-out runs.")
    zscore: Literal["run", "train", "none"] = Field("run", description="Whose statistics.")
    detrend: bool = Field(False, description="Remove a line per run.")
    lag: int = Field(0, description="Volumes from a picture to its response.")
    mask: Path | None = Field(None, description="A NIfTI mask.")
    voxel_index: Path | None = Field(None, description="A .npy of flat voxel indices.")
    index_base: int = Field(0, description="First index.")
    index_order: Literal["C", "F"] = Field("C", description="Order of indices.")
    volume_shape: tuple[int, int, int] | None = Field(None, description="Of the volume.")
    subject_column: str = Field("subject", description="Name in the table.")
    run_column: str = Field("run", description="Name in the table.")
    label_column: str = Field("label", description="Name in the table.")
    stimulus_column: str = Field("stimulus", description="Name in the table.")
    split_column: str = Field("split", description="Name in the table.")
    drop_labels: tuple[str, ...] = Field(("rest",), description="Labels of no trial.")
    classes: tuple[str, ...] | None = Field(None, description="Only these classes.")
    source: str = Field("", description="Where the data are from.")
    licence: str = Field("", description="Their licence.")


@dataclass(frozen=True)
class OwnFiles:
    """Where one person's volumes lie."""

    table: Path
    signals: Path
    mask: Path | None
    index: Path | None

    def part(self, subject: str, trials: int) -> Part:
        """Return the person's part; another process may work in another folder."""
        paths = {n: None if p is None else p.absolute() for n, p in vars(self).items()}
        where = {name: str(path or "") for name, path in paths.items()}
        return Part(subject, subject, tuple(p for p in paths.values() if p), trials, where)


def files_in(part: Part) -> OwnFiles:
    """Return the files that `OwnFiles.part` wrote down."""
    mask, index = (Path(p) if p else None for p in (part.where["mask"], part.where["index"]))
    return OwnFiles(Path(part.where["table"]), Path(part.where["signals"]), mask, index)


def with_files(folder: Path, options: ArraysOptions, found: Found | None) -> ArraysOptions:
    """Take from the folder what the options do not say."""
    if options.signals is not None and options.trials is not None:
        return options
    if found is None:
        raise NeuroalignError(
            f"{folder} does not hold exactly one table (.tsv or .csv) with a row a volume, and a "
            "series of volumes (.npy or NIfTI) beside it. Name the files: "
            "`neuroalign prepare arrays SERIES --trials TABLE`."
        )
    return options.model_copy(update={"trials": options.trials or found.table})


def files_of(
    subject: str,
    folder: Path,
    options: ArraysOptions,
    found: Found | None,
    people: Collection[str],
) -> OwnFiles:
    """Find one person's files: as named, or in the folder.

    Raises
    ------
    NeuroalignError
        No series, or several, could be this person's.
    """
    assert options.trials is not None
    signals = options.signals
    if isinstance(signals, dict):
        if subject not in signals:
            raise NeuroalignError(
                f"The table names the subject(s) {subject}, but signals were given only for "
                f"{', '.join(signals)}."
            )
        path = signals[subject]
    elif signals is not None:
        path = _named(signals, subject)
    else:
        assert found is not None
        own = belonging_to(subject, found.series, people)
        if own is None:
            raise NeuroalignError(
                f"{folder} has the series {', '.join(p.name for p in found.series)}, and it is not "
                f"clear which is that of {subject}. Let its name begin with {subject}, or name the "
                f"series.{_unfit(found)}"
            )
        path = own
    mask = None if options.mask is None else _named(options.mask, subject)
    if mask is None and signals is None and path.name.endswith(NIFTI) and found is not None:
        mask = belonging_to(subject, found.masks, people)
    index = None if options.voxel_index is None else _named(options.voxel_index, subject)
    return OwnFiles(options.trials, path, mask, index)


def unused_index(folder: Path, options: ArraysOptions, found: Found | None) -> list[Finding]:
    """Say that there are voxel indices which nobody said how to read."""
    if options.signals is not None or options.voxel_index is not None or found is None:
        return []
    if not found.indices:
        return []
    what = (
        f"{', '.join(p.name for p in found.indices)} may say where the voxels lie; it is not used "
        "unless --voxel-index and --volume-shape say so"
    )
    return [Finding(folder.name, what, "note", len(found.indices))]


def _unfit(found: Found) -> str:
    single = f" Single volumes, so masks: {', '.join(p.name for p in found.masks)}."
    told = single if found.masks else ""
    if not found.unfit:
        return told
    return told + (
        f" No series, for lack of numbers of the shape (volumes, voxels) or (x, y, z, volumes): "
        f"{', '.join(found.unfit)}."
    )


def _named(path: Path, subject: str) -> Path:
    return Path(str(path).replace(PERSON, subject))
