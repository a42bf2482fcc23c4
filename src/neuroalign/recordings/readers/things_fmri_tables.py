"""THINGS-fMRI in the form of tables: a store of voxels by trials, and a table about each side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.contract import Part, Staged, Write
from neuroalign.recordings.readers.pandas_store import PandasStore, find_store
from neuroalign.recordings.readers.things_fmri_design import (
    Published,
    check_trials,
    read_table,
    whole_numbers,
    with_pictures,
)
from neuroalign.recordings.readers.things_fmri_staging import blank_lost, staged
from neuroalign.recordings.readers.things_fmri_voxels import (
    Voxels,
    find_mask,
    read_voxel_table,
    select_voxels,
)
from neuroalign.recordings.volumes import VoxelWatch

#: Trials of one session that are turned from columns into rows at a time.
_PASS_BYTES = 512 * 2**20
_COLUMNS = ("trial_type", "session", "run", "subject_id", "trial_id", "stimulus", "concept")


def tables_folder(folder: Path) -> Path | None:
    """Return where the tables lie: in the folder, in `betas_csv`, or in that of `derivatives`."""
    for base in (
        folder,
        folder / "betas_csv",
        folder / "betas_csv" / "betas_csv",
        folder / "derivatives" / "betas_csv",
    ):
        if any(base.glob("sub-*_ResponseData.h5")) or any(base.glob("sub-*_StimulusMetadata.csv")):
            return base
    return None


def plan_tables(
    base: Path,
    bases: Sequence[Path],
    subject: str,
    roi: tuple[str, ...],
    sessions: Sequence[int],
    published: Published,
) -> tuple[list[Part], list[Finding]]:
    """List the sessions of one person, and all that is wrong with the person's three files."""
    person = int(subject.rsplit("-", 1)[-1])
    response, stimulus, voxel = _files(base, subject)
    found: list[Finding] = []
    trials: pd.DataFrame | None = None
    store: PandasStore | None = None
    voxels: Voxels | None = None
    total = 0
    mask = find_mask(bases, subject)
    try:
        trials = read_trials(stimulus, person)
    except NeuroalignError as error:
        found.append(Finding(subject, str(error), "fatal", 1))
    else:
        found += check_trials(trials, subject, sessions, published)
    try:
        table = read_voxel_table(voxel, roi, person)
        total, voxels = len(table.ids), select_voxels(table, mask)
    except NeuroalignError as error:
        found.append(Finding(subject, str(error), "fatal", 1))
    try:
        store = find_store(response)
        if trials is not None:
            _check_columns(store, trials)
        if voxels is not None:
            _check_rows(store, voxels, total)
    except NeuroalignError as error:
        found.append(Finding(subject, str(error), "fatal", 1))
    if trials is None:
        return [], found
    files = (response, stimulus, voxel, *((mask,) if mask else ()))
    parts = []
    for session in sessions:
        count = int((trials["session"] == session).sum())
        if count and all(f.is_file() for f in files):
            where = {"form": "tables", "session": session}
            parts.append(Part(subject, f"{subject}_ses-{session:02d}", files, count, where))
    return parts, found


def stage_tables(part: Part, roi: tuple[str, ...], write: Write) -> Staged:
    """Read one session: its columns of the store, of the voxels that are wanted."""
    person = int(part.subject.rsplit("-", 1)[-1])
    trials = read_trials(part.files[1], person)
    trials = trials[trials["session"] == part.where["session"]].reset_index(drop=True)
    voxels = voxels_of_tables(part, roi)
    store = find_store(part.files[0])
    rows = _rows(store, voxels)
    watch = VoxelWatch(len(rows), {"train": int((trials["trial_type"] == "train").sum())})
    names = trials["trial"].astype(str).tolist()
    groups = ["train" if t == "train" else None for t in trials["trial_type"]]
    step = max(1, _PASS_BYTES // (4 * len(rows)))
    for start in range(0, len(names), step):
        block = _transposed(store, rows, names[start : start + step])
        watch.see(block, groups[start : start + step])
        write(blank_lost(block, part, start))
    return staged(part, trials.drop(columns="file"), watch)


def voxels_of_tables(part: Part, roi: tuple[str, ...]) -> Voxels:
    """Return the voxels that are read of a part."""
    person = int(part.subject.rsplit("-", 1)[-1])
    table = read_voxel_table(part.files[2], roi, person)
    return select_voxels(table, part.files[3] if len(part.files) > 3 else None)


def read_trials(path: Path, person: int) -> pd.DataFrame:
    """Read a `StimulusMetadata.csv`, in the order of time.

    Returns
    -------
    pandas.DataFrame
        `trial_type`, `session`, `run`, `trial` (the column of the store), `file`, `stimulus`,
        `label`.

    Raises
    ------
    NeuroalignError
        The table is damaged, somebody else's, or its columns contradict each other.
    """
    table = read_table(path, _COLUMNS, ",")
    numbers = {c: whole_numbers(table, c, path) for c in ("session", "run", "trial_id")}
    strangers = whole_numbers(table, "subject_id", path) != person
    if strangers.any():
        raise NeuroalignError(
            f"{path}: {int(strangers.sum())} of {len(table)} trials belong to person "
            f"{table.loc[strangers, 'subject_id'].iloc[0]}, expected {person}. The file is "
            "another person's, or was renamed."
        )
    twice = numbers["trial_id"].duplicated()
    if twice.any():
        raise NeuroalignError(
            f"{path}: {int(twice.sum())} value(s) of `trial_id` stand twice (first: "
            f"{numbers['trial_id'][twice].iloc[0]}), so it is unknown which picture belongs to "
            "which column of the responses. Take the published file."
        )
    named = with_pictures(table, "stimulus", path)
    wrong = named["label"] != table["concept"].astype(str)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise NeuroalignError(
            f"{path}: in {int(wrong.sum())} of {len(table)} rows the picture shows another concept "
            f"than `concept` says (first: row {row}, {table['stimulus'].iloc[row]} against "
            f"{table['concept'].iloc[row]!r}). One of the columns was shuffled: take the published "
            "file."
        )
    trials = pd.DataFrame(
        {
            "trial_type": table["trial_type"].astype(str),
            "session": numbers["session"],
            "run": numbers["run"],
            "trial": numbers["trial_id"],
            "file": table["stimulus"],
            "stimulus": named["stimulus"],
            "label": named["label"],
        }
    ).sort_values("trial", ignore_index=True)
    late = trials[["session", "run"]].apply(tuple, axis=1)
    if not late.is_monotonic_increasing:
        before = late.shift()
        row = next(i for i in range(1, len(late)) if late[i] < before[i])
        raise NeuroalignError(
            f"{path}: trials are numbered in order of time, but trial {trials['trial'][row]} is of "
            f"session {late[row][0]}, run {late[row][1]} and the one before it of session "
            f"{before[row][0]}, run {before[row][1]}. `trial_id`, `session` or `run` was shuffled: "
            "take the published file."
        )
    return trials


def _files(base: Path, subject: str) -> tuple[Path, Path, Path]:
    response, stimulus, voxel = (
        base / f"{subject}_{name}"
        for name in ("ResponseData.h5", "StimulusMetadata.csv", "VoxelMetadata.csv")
    )
    return response, stimulus, voxel


def _check_columns(store: PandasStore, trials: pd.DataFrame) -> None:
    columns = set(store.columns) - {"voxel_id", "index"}
    rows = set(trials["trial"].astype(str))
    if columns != rows:
        less, more = sorted(rows - columns)[:4], sorted(columns - rows)[:4]
        raise NeuroalignError(
            f"{store.path} has {len(columns)} columns of trials, the stimulus table {len(rows)} "
            f"rows: {len(rows - columns)} are only in the table ({', '.join(less) or 'none'}) and "
            f"{len(columns - rows)} only in the store ({', '.join(more) or 'none'}). One of the "
            "two is cut or of another version: download both again."
        )
    dtypes = {b.dtype for b in store.blocks if rows & set(b.names)}
    if len(dtypes) != 1 or not np.issubdtype(np.dtype(next(iter(dtypes))), np.floating):
        raise NeuroalignError(
            f"{store.path} holds responses as {', '.join(sorted(dtypes))}, expected float64 (or "
            "float32) for all trials. The numbers were rounded or converted: take the published "
            "file."
        )


def _check_rows(store: PandasStore, voxels: Voxels, total: int) -> None:
    if store.rows != total:
        raise NeuroalignError(
            f"{store.path} has {store.rows} rows of voxels, the voxel table {total}. One of the "
            "two is cut or of another person: download both again."
        )
    _rows(store, voxels)


def _rows(store: PandasStore, voxels: Voxels) -> npt.NDArray[np.int64]:
    """Return the row of the store that each voxel has, by its number and not by its place."""
    assert voxels.ids is not None
    if "voxel_id" not in store.columns:
        raise NeuroalignError(
            f"{store.path} lacks the column voxel_id, so it is unknown which voxel a row is; it "
            f"has {', '.join(store.columns[:6])}, ... Take the published file."
        )
    ids = store.column("voxel_id")
    if not np.isfinite(ids).all() or (ids % 1 != 0).any() or len(np.unique(ids)) != len(ids):
        raise NeuroalignError(
            f"{store.path}: `voxel_id` names voxels twice or is no whole number "
            f"({len(np.unique(ids))} different values in {len(ids)} rows). Take the published file."
        )
    order = np.argsort(ids, kind="stable")
    place = np.minimum(np.searchsorted(ids, voxels.ids, sorter=order), len(ids) - 1)
    rows: npt.NDArray[np.int64] = order[place]
    unknown = ids[rows] != voxels.ids
    if unknown.any():
        raise NeuroalignError(
            f"{store.path}: {int(unknown.sum())} of the {len(rows)} voxels that are wanted are not "
            f"in it (first: voxel_id {voxels.ids[unknown][0]}). It does not belong to this voxel "
            "table: download both again."
        )
    return rows


def _transposed(
    store: PandasStore, rows: npt.NDArray[np.int64], names: list[str]
) -> npt.NDArray[np.float32]:
    """Read trials (columns) of voxels (rows): (trials, voxels), float32."""
    out = np.empty((len(names), len(rows)), np.float32)
    order = np.argsort(rows, kind="stable")
    with np.errstate(over="ignore"):
        for start, values in store.read_blocks(rows[order], names):
            out[:, order[start : start + len(values)]] = values.T
    return out
