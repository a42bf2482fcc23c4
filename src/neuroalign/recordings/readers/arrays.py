"""Somebody's own fMRI: volumes or betas as .npy or NIfTI, with a table that has a row a volume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

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
from neuroalign.recordings.readers.own_choice import (
    check_split,
    choose_volumes,
    odd_volumes,
    usable_voxels,
)
from neuroalign.recordings.readers.own_files import (
    ArraysOptions,
    OwnFiles,
    files_in,
    files_of,
    unused_index,
    with_files,
)
from neuroalign.recordings.readers.own_labels import odd_labels
from neuroalign.recordings.readers.own_table import (
    look_around,
    odd_rows,
    read_volume_table,
    rows_of_people,
    with_split,
)
from neuroalign.recordings.schema import RecordingsInfo, Step
from neuroalign.recordings.volumes import Series, VoxelWatch, open_series, with_index
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.signals import steps
from neuroalign.signals.fmri import lagged_rows
from neuroalign.signals.run_fits import RunFits
from neuroalign.signals.scaling import fit_scaling

_BLOCK_VALUES = 2**24


class ArraysReader(Reader):
    """Reads series of volumes with a table: one part a person."""

    options: ClassVar[type[Options]] = ArraysOptions
    card: ClassVar[Card] = Card(
        name="arrays",
        title="fMRI as arrays or NIfTI with a table",
        modality="fmri",
        people="yours",
        trials="a row of the table each",
        pictures="as the table names them",
        size_gb=None,
        url="https://nifti.nimh.nih.gov",
        licence="yours",
        citation="Cox et al. (2004), NIfTI",
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
            separator = "," if found.table.suffix == ".csv" else "\t"
            header = pd.read_csv(found.table, sep=separator, nrows=0)
        except Exception:  # quick, and never raises
            return False
        return {"subject", "run"} <= set(header) and bool({"label", "stimulus"} & set(header))

    def plan(self, folder: Path, options: Options, subjects: Sequence[str] | None) -> Plan:
        """List people, and hold each series against its rows of the table."""
        assert isinstance(options, ArraysOptions)
        if options.lag < 0:
            raise NeuroalignError(f"`lag` must be 0 or more volumes, got {options.lag}.")
        found = look_around(folder) if folder.is_dir() else None
        chosen = with_files(folder, options, found)
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
        findings = [*check_split(chosen, table), *odd_rows(_mine(table, subjects))]
        findings += unused_index(folder, options, found)
        parts = []
        used: dict[Path, str] = {}
        for subject in dict.fromkeys(subjects or people):
            rows = people[subject]
            if not subject or Path(subject).name != subject:
                raise NeuroalignError(f"{subject!r} cannot name a subject: it must be a file name.")
            try:
                files = files_of(subject, folder, chosen, found, people)
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
            parts.append(files.part(subject, len(rows)))
        return Plan(tuple(parts), tuple(findings))

    def stage(self, part: Part, options: Options, write: Write) -> Staged:
        """Read one person's volumes twice: to measure them, and to write those of trials."""
        assert isinstance(options, ArraysOptions)
        files = files_in(part)
        options = options.model_copy(update={"trials": files.table})
        table = _read(options)
        rows = rows_of_people(table)[part.subject]
        trials = table.iloc[rows].reset_index(drop=True)
        series = _open(files, options, len(table), len(rows))
        places = rows if series.volumes == len(table) else np.arange(len(rows))
        runs = trials["run"].to_numpy(object)
        watch = VoxelWatch(series.voxels, Counter(runs.tolist()))
        level = 0
        fits = RunFits(runs, detrend=options.detrend, zscore=options.zscore == "run")
        for place, block in series.blocks(places):
            watch.see(block, runs[place].tolist())
            level += int((block == block[:, :1]).all(axis=1).sum()) if series.voxels > 1 else 0
            fits.see(place, block)
        usable, dropped = usable_voxels(watch, part.subject)
        source = lagged_rows(runs, options.lag)
        kept, gone = choose_volumes(trials, source, part.subject, options)
        kept = kept.assign(table_row=kept.index, source=source[kept.index]).sort_values("source")
        volumes = kept["source"].to_numpy(np.int64)
        for place, block in series.blocks(places[volumes]):
            write(fits.apply(volumes[place], block, usable))
        facts = {
            "voxels": series.voxels,
            "unusable": np.flatnonzero(~usable).tolist(),
            "first_volume": series.digest(int(places[0])),
        }
        return Staged(
            kept.drop(columns="source"),
            facts,
            (*dropped, *gone),
            odd_volumes(part, dropped, level),
        )

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
        shown = pd.concat([p.trials[["label", "stimulus"]] for p in parts])
        findings = (*_same_series(parts), *odd_labels("all series", shown))
        return Settled(people, info, findings)

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
        for signals, trials in part.blocks(_block_size(part)):
            block = signals if scaling is None else scaling.apply(signals)
            writer.append(subject, block, trials.drop(columns="staged_row"))
        files = files_in(part.part)
        series = _placed(open_series(files.signals, files.mask), files, options)
        if series.index is not None and series.shape is not None:
            keep = np.ones(int(part.facts["voxels"]), bool)
            keep[list(part.facts["unusable"])] = False
            writer.set_volume(subject, series.index[keep], series.shape, series.affine)


def _mine(table: pd.DataFrame, subjects: Sequence[str] | None) -> pd.DataFrame:
    return table if not subjects else table[table["subject"].isin(list(subjects))]


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


def _open(files: OwnFiles, options: ArraysOptions, n_table: int, n_rows: int) -> Series:
    series = open_series(files.signals, files.mask)
    if series.volumes not in (n_table, n_rows):
        raise NeuroalignError(
            f"{files.signals} holds {series.volumes} volumes, but the trial table has {n_rows} "
            f"rows for this person ({n_table} in all). Each volume needs exactly one row, rest "
            "included."
        )
    return _placed(series, files, options)


def _placed(series: Series, files: OwnFiles, options: ArraysOptions) -> Series:
    if series.index is not None or files.index is None:
        return series
    shape, base = options.volume_shape, options.index_base
    return with_index(series, files.index, shape, base, options.index_order)


def _block_size(part: StagedPart) -> int:
    """Return how many trials to read at a time: few of a whole brain."""
    return min(256, max(1, _BLOCK_VALUES // part.feature_shape[0]))


def _training(part: StagedPart) -> Iterator[npt.NDArray[np.float32]]:
    for signals, trials in part.blocks(_block_size(part)):
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
