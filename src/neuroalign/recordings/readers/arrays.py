"""Somebody's own fMRI: volumes or betas as .npy or NIfTI, with a table that has a row a volume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.card import Card
from neuroalign.recordings.readers.contract import (
    Options,
    Part,
    Plan,
    Reader,
    Settled,
    Staged,
    StagedPart,
    Write,
)
from neuroalign.recordings.readers.own_table import (
    Found,
    belonging_to,
    look_around,
    read_volume_table,
    rows_of_people,
    with_split,
)
from neuroalign.recordings.schema import Dropped, RecordingsInfo, Step
from neuroalign.recordings.volumes import NIFTI, Series, VoxelWatch, open_series, with_index
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.signals import steps
from neuroalign.signals.fmri import lagged_rows
from neuroalign.signals.run_fits import RunFits
from neuroalign.signals.scaling import fit_scaling

PERSON = "{subject}"


class ArraysOptions(Options):
    """What `neuroalign.recordings.arrays.prepare_arrays` takes; see there.

    Without `signals` and `trials` both are looked for in the folder.
    """

    signals: dict[str, Path] | Path | None = Field(None, description="Series of volumes.")
    trials: Path | None = Field(None, description="The table, a row a volume.")
    test_runs: float | str | tuple[str, ...] | None = Field("last", description="Held-out runs.")
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
class _Files:
    """Where one person's volumes lie."""

    table: Path
    signals: Path
    mask: Path | None
    index: Path | None

    @property
    def all(self) -> tuple[Path, ...]:
        return tuple(p for p in (self.table, self.signals, self.mask, self.index) if p is not None)


class ArraysReader(Reader):
    """Reads series of volumes with a table: one part a person."""

    options: ClassVar[type[Options]] = ArraysOptions
    card: ClassVar[Card] = Card(
        name="arrays",
        title="Own fMRI (arrays or NIfTI with a table)",
        modality="fmri",
        people="yours",
        trials="a row of the table each",
        pictures="as the table names them",
        size_gb=None,
        url="https://neuroalign.readthedocs.io/en/latest/your-own-recordings.html",
        licence="yours",
        citation="yours",
        layout="""\
one table, .tsv or .csv: a row a volume, with the columns subject, run, and label or stimulus
one series for everybody, or one for each person whose name its own begins with:
  .npy of the shape (volumes, voxels), or .nii / .nii.gz (x, y, z, volumes)
for NIfTI: one mask (x, y, z), or one for each person
""",
    )

    def recognises(self, folder: Path) -> bool:
        """Whether the folder holds one table of volumes, and series beside it."""
        try:
            found = look_around(folder)
            if found is None:
                return False
            header = pd.read_csv(found.table, sep="," if found.table.suffix == ".csv" else "\t")
        except Exception:  # quick, and never raises
            return False
        return {"subject", "run"} <= set(header) and bool({"label", "stimulus"} & set(header))

    def plan(self, folder: Path, options: Options, subjects: Sequence[str] | None) -> Plan:
        """List people, and hold each series against its rows of the table."""
        assert isinstance(options, ArraysOptions)
        if options.lag < 0:
            raise NeuroalignError(f"`lag` must be 0 or more volumes, got {options.lag}.")
        found = look_around(folder) if folder.is_dir() else None
        chosen = _with_files(folder, options, found)
        assert chosen.trials is not None
        table = _read(chosen)
        absent = sorted(set(chosen.classes or ()) - set(table["label"].dropna()))
        if absent:
            raise NeuroalignError(
                f"{chosen.trials} has no volume of the class(es) {', '.join(absent)}; its labels "
                f"are {', '.join(sorted(table['label'].dropna().unique())[:12])}."
            )
        people = rows_of_people(table)
        unknown = [s for s in subjects or () if s not in people]
        if unknown:
            raise NeuroalignError(
                f"{chosen.trials} names no subject {', '.join(unknown)}; it has "
                f"{', '.join(list(people)[:12])}."
            )
        findings = [*_check_split(chosen, table), *_unused_index(folder, options, found)]
        parts = []
        used: dict[Path, str] = {}
        for subject in dict.fromkeys(subjects or people):
            rows = people[subject]
            if not subject or Path(subject).name != subject:
                raise NeuroalignError(f"{subject!r} cannot name a subject: it must be a file name.")
            try:
                files = _files_of(subject, folder, chosen, found, people)
                series = _open(files, chosen, len(table), len(rows))
                first = used.setdefault(files.signals, subject)
                if first != subject and series.volumes != len(table):
                    raise NeuroalignError(
                        f"{files.signals} would be the series of {first} and {subject} and holds "
                        f"{series.volumes} volumes, but the table of all people has {len(table)} "
                        "rows. A series for several people holds them all, in the order of the "
                        "table; a person's own is named after the person."
                    )
            except NeuroalignError as error:
                findings.append(Finding(subject, str(error), "fatal", 1))
                continue
            # Another process may work in another folder.
            where = {n: str(p.absolute()) if p else "" for n, p in vars(files).items()}
            whole = tuple(p.absolute() for p in files.all)
            parts.append(Part(subject, subject, whole, len(rows), where))
        return Plan(tuple(parts), tuple(findings))

    def stage(self, part: Part, options: Options, write: Write) -> Staged:
        """Read one person's volumes twice: to measure them, and to write those of trials."""
        assert isinstance(options, ArraysOptions)
        files = _Files(**{k: Path(v) if v else None for k, v in part.where.items()})  # type: ignore[arg-type]
        options = options.model_copy(update={"trials": files.table})
        table = _read(options)
        rows = rows_of_people(table)[part.subject]
        trials = table.iloc[rows].reset_index(drop=True)
        series = _open(files, options, len(table), len(rows))
        places = rows if series.volumes == len(table) else np.arange(len(rows))
        runs = trials["run"].to_numpy(object)
        watch = VoxelWatch(series.voxels, Counter(runs.tolist()))
        fits = RunFits(runs, detrend=options.detrend, zscore=options.zscore == "run")
        for place, block in series.blocks(places):
            watch.see(block, runs[place].tolist())
            fits.see(place, block)
        usable, dropped = _usable(watch, part.subject)
        source = lagged_rows(runs, options.lag)
        kept, gone = _choose(trials, source, part.subject, options)
        kept = kept.assign(table_row=kept.index, source=source[kept.index]).sort_values("source")
        volumes = kept["source"].to_numpy(np.int64)
        for place, block in series.blocks(places[volumes]):
            write(fits.apply(volumes[place], block, usable))
        facts = {
            "voxels": series.voxels,
            "unusable": np.flatnonzero(~usable).tolist(),
            "first_volume": series.digest(int(places[0])),
        }
        return Staged(kept.drop(columns="source"), facts, (*dropped, *gone))

    def settle(self, parts: Sequence[StagedPart], options: Options) -> Settled:
        """Put trials back into the order of the table."""
        assert isinstance(options, ArraysOptions)
        people = {
            p.part.subject: (
                replace(p, trials=p.trials.sort_values("table_row").drop(columns="table_row")),
            )
            for p in parts
        }
        table = Path(parts[0].part.where["table"])
        given = bool(_read_given(options, table)["split"].notna().any())
        info = RecordingsInfo(
            modality="fmri",
            axes=("voxels",),
            units="standard deviations" if options.zscore != "none" else "scanner units",
            steps=_steps(options, given),
            source=options.source or table.resolve().parent.name,
            licence=options.licence,
        )
        return Settled(people, info, tuple(_same_series(parts)))

    def finish(
        self, subject: str, settled: Settled, options: Options, writer: RecordingsWriter
    ) -> None:
        """Write one person's trials, and where the voxels lie."""
        assert isinstance(options, ArraysOptions)
        (part,) = settled.people[subject]
        scaling = None
        if options.zscore == "train":
            try:
                scaling = fit_scaling(_training(part))
            except NeuroalignError as error:
                raise NeuroalignError(f"subject {subject}: {error}") from error
        for signals, trials in part.blocks():
            block = signals if scaling is None else scaling.apply(signals)
            writer.append(subject, block, trials.drop(columns="staged_row"))
        files = _Files(**{k: Path(v) if v else None for k, v in part.part.where.items()})  # type: ignore[arg-type]
        series = _placed(open_series(files.signals, files.mask), files, options)
        if series.index is not None and series.shape is not None:
            keep = np.ones(int(part.facts["voxels"]), bool)
            keep[list(part.facts["unusable"])] = False
            writer.set_volume(subject, series.index[keep], series.shape, series.affine)


def _same_series(parts: Sequence[StagedPart]) -> list[Finding]:
    """Find people whose series begin with the same volume, whatever their masks keep of it."""
    seen: dict[str, str] = {}
    found = []
    for part in parts:
        digest, name = str(part.facts["first_volume"]), part.part.name
        if digest and digest in seen:
            what = (
                f"the series ({Path(part.part.where['signals']).name}) begins with the same volume "
                f"as that of {seen[digest]}: one was copied over the other"
            )
            found.append(Finding(name, what, "fatal", len(part.trials)))
        seen.setdefault(digest, name)
    return found


def _with_files(folder: Path, options: ArraysOptions, found: Found | None) -> ArraysOptions:
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


def _files_of(
    subject: str,
    folder: Path,
    options: ArraysOptions,
    found: Found | None,
    people: Collection[str],
) -> _Files:
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
                "series."
            )
        path = own
    mask = None if options.mask is None else _named(options.mask, subject)
    if mask is None and signals is None and path.name.endswith(NIFTI) and found is not None:
        mask = belonging_to(subject, found.masks, people)
    index = None if options.voxel_index is None else _named(options.voxel_index, subject)
    return _Files(options.trials, path, mask, index)


def _named(path: Path, subject: str) -> Path:
    return Path(str(path).replace(PERSON, subject))


def _check_split(options: ArraysOptions, table: pd.DataFrame) -> list[Finding]:
    """Each volume that may become a trial must be for training or for testing."""
    trials = ~table["label"].isin(options.drop_labels)
    trials &= table["label"].notna() | table["stimulus"].notna()
    wrong = trials & ~table["split"].isin(["train", "test"]).fillna(False).astype(bool)
    if not wrong.any():
        return []
    row = int(wrong.to_numpy().argmax())
    what = (
        f"{options.trials}: `{options.split_column}` of {int(wrong.sum())} volume(s) must be "
        f"'train' or 'test' (first: row {row}, {table['split'].iloc[row]!s})"
    )
    return [Finding(str(options.split_column), what, "fatal", int(wrong.sum()))]


def _unused_index(folder: Path, options: ArraysOptions, found: Found | None) -> list[Finding]:
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


def _read_given(options: ArraysOptions, path: Path) -> pd.DataFrame:
    columns = {c: str(getattr(options, f"{c}_column")) for c in _RENAMED}
    return read_volume_table(path, columns)


_RENAMED = ("subject", "run", "label", "stimulus", "split")


def _read(options: ArraysOptions) -> pd.DataFrame:
    assert options.trials is not None
    table = _read_given(options, options.trials)
    if table["split"].notna().any():
        return table
    return with_split(table, options.test_runs)


def _open(files: _Files, options: ArraysOptions, n_table: int, n_rows: int) -> Series:
    series = open_series(files.signals, files.mask)
    if series.volumes not in (n_table, n_rows):
        raise NeuroalignError(
            f"{files.signals} holds {series.volumes} volumes, but the trial table has {n_rows} "
            f"rows for this person ({n_table} in all). Each volume needs exactly one row, rest "
            "included."
        )
    return _placed(series, files, options)


def _placed(series: Series, files: _Files, options: ArraysOptions) -> Series:
    if series.index is not None or files.index is None:
        return series
    shape, base = options.volume_shape, options.index_base
    return with_index(series, files.index, shape, base, options.index_order)


def _usable(watch: VoxelWatch, subject: str) -> tuple[npt.NDArray[np.bool_], list[Dropped]]:
    usable = watch.usable
    if not usable.any():
        raise NeuroalignError(
            f"subject {subject}: none of the {len(usable)} voxels can be used "
            f"({int(watch.lost.sum())} hold NaN or infinite values, {int(watch.still.sum())} never "
            "change in some run)."
        )
    return usable, [
        Dropped(where=f"{subject}, {count} of {len(usable)} voxels", trials=0, reason=why)
        for count, why in watch.reasons("never changes in some run")
    ]


def _choose(
    trials: pd.DataFrame, source: npt.NDArray[np.int64], subject: str, options: ArraysOptions
) -> tuple[pd.DataFrame, list[Dropped]]:
    """Leave out the volumes that are no trials, and say why."""
    label, classes = trials["label"], options.classes
    checks = (
        (label.isin(options.drop_labels), f"not a trial: {', '.join(options.drop_labels)}"),
        (label.isna() & trials["stimulus"].isna(), "volume(s) with neither class nor picture"),
        (
            ~label.isin(classes) if classes is not None else pd.Series(False, label.index),
            f"not of the classes {', '.join(classes or ())}",
        ),
        (pd.Series(source < 0, label.index), f"no volume {options.lag} later in the run"),
    )
    keep = np.ones(len(trials), bool)
    dropped = []
    for mask, reason in checks:
        here = mask.to_numpy(bool) & keep
        if here.any():
            dropped.append(Dropped(where=subject, trials=int(here.sum()), reason=reason))
        keep &= ~here
    kept = trials[keep]
    if not (kept["split"] == "train").any():
        raise NeuroalignError(
            f"subject {subject} has no training volumes left ({len(kept)} for testing). Check the "
            "test runs, `classes` and `drop_labels`, or leave this person out of the table."
        )
    return kept, dropped


def _training(part: StagedPart) -> Iterator[npt.NDArray[np.float32]]:
    for signals, trials in part.blocks():
        yield signals[(trials["split"] == "train").to_numpy(bool)]


def _steps(options: ArraysOptions, split_given: bool) -> tuple[Step, ...]:
    done: list[Step] = []
    if options.detrend:
        done.append(steps.record("linear detrend per run"))
    if options.zscore == "run":
        done.append(steps.record("z-score per run", fitted_on="per run, unsupervised"))
    if options.lag:
        done.append(steps.record("lag", by=(), volumes=options.lag))
    rule = "split column" if split_given else options.test_runs
    done.append(steps.record("split", by=(), test_runs=rule))
    if options.zscore == "train":
        done.append(steps.record("z-score", fitted_on="training volumes of each person"))
    return tuple(done)
