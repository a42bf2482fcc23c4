"""Read fMRI volume series (NumPy arrays or NIfTI) with a trial table into a recordings folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.container import Dropped, Modality, Recordings, RecordingsInfo, Step
from neuroalign.recordings.splits import Run, TestRule, choose_test_runs
from neuroalign.recordings.volumes import read_series, usable_voxels, with_index
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.signals import steps
from neuroalign.signals.fmri import (
    detrend_runs,
    lagged_rows,
    zscore_runs,
    zscore_train,
)

ZScore = Literal["run", "train", "none"]
_OWN_COLUMNS = ("subject", "stimulus", "label", "split", "session", "run")


def prepare_arrays(
    signals: str | Path | Mapping[str, str | Path],
    trials_tsv: str | Path,
    out: str | Path,
    *,
    modality: Modality = "fmri",
    test_runs: TestRule = "last",
    zscore: ZScore = "run",
    detrend: bool = False,
    lag: int = 0,
    mask: str | Path | None = None,
    voxel_index: str | Path | None = None,
    index_base: int = 0,
    index_order: Literal["C", "F"] = "C",
    volume_shape: tuple[int, int, int] | None = None,
    subject_column: str = "subject",
    run_column: str = "run",
    label_column: str = "label",
    stimulus_column: str = "stimulus",
    split_column: str = "split",
    drop_labels: Sequence[str] = ("rest",),
    classes: Sequence[str] | None = None,
    overwrite: bool = False,
    source: str = "",
    licence: str = "",
) -> Recordings:
    """Prepare volume series: one row of the trial table for each volume, in the same order.

    Parameters
    ----------
    signals : Path, or mapping from subject to Path
        A .npy array of shape (volumes, voxels), or a 4-D NIfTI series (with `mask`). One path for
        several people holds their rows in the order of the table.
    trials_tsv : Path
        A row a volume; tab-separated (or .csv).
    out : Path
        The recordings folder to make.
    modality : {"fmri"}
        Epochs of EEG and MEG come from BIDS or from MNE's epochs files.
    test_runs : "last", share, names or None
        The runs to hold out; see `neuroalign.recordings.splits.choose_test_runs`. Not looked at
        where the table has a column `split_column` (train or test).
    zscore : {"run", "train", "none"}
        "run": each voxel within each run, from that run's own volumes, without labels. "train":
        with the mean and spread of the person's training volumes.
    detrend : bool
        Take a straight line out of each voxel and run first.
    lag : int
        Pair each label with the volume recorded `lag` volumes later in its run, for the delay of
        the blood's response. Only for series in which no volumes are missing.
    mask : Path, optional
        A NIfTI mask, for a NIfTI series.
    voxel_index : Path, optional
        A .npy array of flat voxel indices for a 2-D array, counted from `index_base` in
        `index_order` ("F": column-major, as in MATLAB and R); needs `volume_shape`.
    subject_column, run_column, label_column, stimulus_column, split_column : str
        Names in the table; the last three may be absent (but not both label and stimulus). All
        other columns stay in the trial table.
    drop_labels : sequence of str
        Volumes with these labels are no trials (they still serve detrending and z-scores).
    classes : sequence of str, optional
        Keep only these labels.
    overwrite : bool
    source, licence : str
        Kept in recordings.json.

    Returns
    -------
    Recordings

    Raises
    ------
    NeuroalignError
        Files are missing or disagree about the number of volumes or voxels, a column is missing,
        or no trials are left to train on.
    """
    if modality != "fmri":
        raise NeuroalignError(
            f"`prepare_arrays` reads fMRI volumes, not {modality}. Epochs of EEG and MEG: use "
            "`prepare_bids` or `prepare_epochs`; arrays that are ready: `write_recordings`."
        )
    table = _read_table(
        Path(trials_tsv),
        {
            "subject": subject_column,
            "run": run_column,
            "label": label_column,
            "stimulus": stimulus_column,
            "split": split_column,
        },
    )
    absent = sorted(set(classes or ()) - set(table["label"].dropna()))
    if absent:
        raise NeuroalignError(
            f"{trials_tsv} has no volume of the class(es) {', '.join(absent)}; its labels are "
            f"{', '.join(sorted(table['label'].dropna().unique())[:12])}."
        )
    split_given = bool(table["split"].notna().any())
    if not split_given:
        table = _with_split(table, test_runs)
    paths = _paths(signals, table)
    dropped: list[Dropped] = []
    info = RecordingsInfo(
        modality=modality,
        axes=("voxels",),
        units="standard deviations" if zscore != "none" else "scanner units",
        steps=_steps(detrend, zscore, lag, test_runs, split_given),
        source=source or Path(trials_tsv).resolve().parent.name,
        licence=licence,
    )
    with RecordingsWriter(out, info, overwrite=overwrite) as writer:
        for subject, rows in _people(table):
            trials = table.iloc[rows].reset_index(drop=True)
            series = read_series(paths[subject], len(table), rows, mask)
            if series.index is None and voxel_index is not None:
                series = with_index(series, voxel_index, volume_shape, index_base, index_order)
            series, gone = usable_voxels(series, trials, subject)
            dropped += gone
            volumes, kept, gone = _process(
                series.volumes, trials, subject, detrend, zscore, lag, drop_labels, classes
            )
            dropped += gone
            writer.append(subject, volumes, kept)
            if series.index is not None and series.shape is not None:
                writer.set_volume(subject, series.index, series.shape, series.affine)
        writer.info = info.model_copy(update={"dropped": tuple(dropped)})
    return Recordings(out)


def _process(
    volumes: npt.NDArray[np.float32],
    trials: pd.DataFrame,
    subject: str,
    detrend: bool,
    zscore: ZScore,
    lag: int,
    drop_labels: Sequence[str],
    classes: Sequence[str] | None,
) -> tuple[npt.NDArray[np.float32], pd.DataFrame, list[Dropped]]:
    """Detrend and lag the whole series, choose the trials, and standardise."""
    runs = trials["run"].to_numpy(object)
    if detrend:
        volumes = detrend_runs(volumes, runs)
    if zscore == "run":
        volumes = zscore_runs(volumes, runs)
    source = lagged_rows(runs, lag)
    label = trials["label"]
    checks = (
        (label.isin(list(drop_labels)), f"not a trial: {', '.join(drop_labels)}"),
        (label.isna() & trials["stimulus"].isna(), "volume(s) with neither class nor picture"),
        (
            ~label.isin(list(classes)) if classes is not None else pd.Series(False, label.index),
            f"not of the classes {', '.join(classes or ())}",
        ),
        (pd.Series(source < 0, label.index), f"no volume {lag} later in the run"),
    )
    keep = np.ones(len(trials), bool)
    dropped = []
    for mask, reason in checks:
        here = mask.to_numpy(bool) & keep
        if here.any():
            dropped.append(Dropped(where=subject, trials=int(here.sum()), reason=reason))
        keep &= ~here
    kept = trials[keep].reset_index(drop=True)
    train = (kept["split"] == "train").to_numpy(bool)
    if not train.any():
        raise NeuroalignError(
            f"subject {subject} has no training volumes left ({len(kept)} for testing). Check the "
            "test runs, `classes` and `drop_labels`, or leave this person out of the table."
        )
    selected = volumes[source[keep]]
    if zscore == "train":
        selected = zscore_train(selected, train)
    return selected, kept, dropped


def _steps(
    detrend: bool, zscore: ZScore, lag: int, test_runs: TestRule, split_given: bool
) -> tuple[Step, ...]:
    done: list[Step] = []
    if detrend:
        done.append(steps.record("linear detrend per run", by=("scipy",)))
    if zscore == "run":
        done.append(steps.record("z-score per run", fitted_on="per run, unsupervised"))
    if lag:
        done.append(steps.record("lag", by=(), volumes=lag))
    rule: Any = "split column" if split_given else test_runs
    done.append(steps.record("split", by=(), test_runs=rule))
    if zscore == "train":
        done.append(steps.record("z-score", fitted_on="training volumes of each person"))
    return tuple(done)


def _read_table(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    if not path.is_file():
        raise NeuroalignError(f"{path} does not exist. Give a table with one row per volume.")
    try:
        table = pd.read_csv(path, sep="," if path.suffix == ".csv" else "\t", na_values=["n/a"])
    except (ValueError, UnicodeDecodeError) as error:
        raise NeuroalignError(f"{path} is not a readable table: {error}.") from error
    if len(table) == 0:
        raise NeuroalignError(f"{path} has no rows. Give a table with one row per volume.")
    given = set(table.columns)
    names = {given_name: own for own, given_name in columns.items() if given_name in table}
    clash = [own for g, own in names.items() if g != own and own in table]
    if clash:
        table = table.drop(columns=clash)
    table = table.rename(columns=names)
    lacking = [columns[c] for c in ("subject", "run") if c not in table]
    if "label" not in table and "stimulus" not in table:
        lacking.append(f"{columns['label']} (or {columns['stimulus']})")
    if lacking:
        raise NeuroalignError(
            f"{path} lacks the column(s) {', '.join(lacking)}; it has {', '.join(sorted(given))}. "
            "Name your columns with `subject_column`, `run_column`, `label_column`, "
            "`stimulus_column`."
        )
    for column in _OWN_COLUMNS:
        missing = pd.Series(pd.NA, index=table.index, dtype="string")
        table[column] = table[column].astype("string") if column in table else missing
    empty = table["subject"].isna() | table["run"].isna()
    if empty.any():
        raise NeuroalignError(
            f"{path}: {int(empty.sum())} row(s) have no subject or no run (first: row "
            f"{int(np.flatnonzero(empty)[0])}). Every volume belongs to a run of a person."
        )
    return table


def _with_split(table: pd.DataFrame, rule: TestRule) -> pd.DataFrame:
    runs = [
        Run(subject, run=str(run))
        for subject, run in table[["subject", "run"]].drop_duplicates().itertuples(index=False)
    ]
    test = {(r.subject, r.run) for r in choose_test_runs(runs, rule)}
    keys = zip(table["subject"], table["run"], strict=True)
    return table.assign(split=["test" if key in test else "train" for key in keys])


def _people(table: pd.DataFrame) -> list[tuple[str, npt.NDArray[np.int64]]]:
    names = table["subject"].to_numpy(object)
    return [(str(name), np.flatnonzero(names == name)) for name in dict.fromkeys(names)]


def _paths(signals: str | Path | Mapping[str, str | Path], table: pd.DataFrame) -> dict[str, Path]:
    people = list(dict.fromkeys(table["subject"]))
    if not isinstance(signals, Mapping):
        return dict.fromkeys(people, Path(signals))
    lacking = [p for p in people if p not in signals]
    if lacking:
        raise NeuroalignError(
            f"The table names the subject(s) {', '.join(lacking)}, but signals were given only "
            f"for {', '.join(signals)}."
        )
    return {p: Path(signals[p]) for p in people}
