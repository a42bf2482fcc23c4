"""THINGS-fMRI in the form of volumes: a NIfTI series of betas for each run, and its conditions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.contract import Part, Staged, Write
from neuroalign.recordings.readers.things_fmri_design import (
    Published,
    check_trials,
    is_catch,
    read_table,
    with_pictures,
)
from neuroalign.recordings.readers.things_fmri_staging import blank_lost, staged
from neuroalign.recordings.readers.things_fmri_voxels import (
    VISUAL,
    Voxels,
    find_mask,
    read_voxel_table,
    select_voxels,
)
from neuroalign.recordings.schema import Dropped
from neuroalign.recordings.volumes import Region, VoxelWatch, open_series, read_region

_RUN = re.compile(r"_run-(\d+)_betas\.nii(\.gz)?$")
_SESSION = re.compile(r"ses-things(\d+)$")
_NAMES = ("image_filename", "stimulus", "file_path")


@dataclass(frozen=True)
class _Run:
    session: int
    run: int
    betas: Path
    conditions: Path


def volumes_folder(folder: Path) -> Path | None:
    """Return the folder with a folder of sessions for each person.

    Raises
    ------
    NeuroalignError
        There are several versions of the betas.
    """
    for base in (folder / "betas_vol", folder / "derivatives" / "betas_vol", folder):
        if any(base.glob("sub-*/ses-things*")):
            return base
        versions = sorted({p.parent.parent for p in base.glob("*/sub-*/ses-things*")})
        if len(versions) > 1:
            raise NeuroalignError(
                f"{base} holds several versions of the betas ({', '.join(v.name for v in versions)}"
                "). Give the folder of one of them."
            )
        if versions:
            return versions[0]
    return None


def plan_volumes(
    base: Path,
    bases: Sequence[Path],
    voxel_tables: Path | None,
    subject: str,
    roi: tuple[str, ...],
    catch: tuple[str, ...],
    sessions: Sequence[int],
    published: Published,
) -> tuple[list[Part], list[Finding]]:
    """List the sessions of one person, and all that is wrong with the person's files."""
    runs, found = _find_runs(base / subject, subject, sessions)
    mask = find_mask(bases, subject)
    region: Region | None = None
    table: Path | None = None
    if mask is None:
        what = (
            f"brainmasks/{subject}_space-T1w_brainmask.nii.gz is missing: without it nobody knows "
            "which voxels lie in the brain"
        )
        found.append(Finding(subject, what, "fatal", 1))
    else:
        table, more = _voxel_table(voxel_tables, subject, roi)
        found += more
        try:
            region = read_region(mask)
            if table is not None:
                person = int(subject.rsplit("-", 1)[-1])
                select_voxels(read_voxel_table(table, roi, person), mask)
        except NeuroalignError as error:
            found.append(Finding(subject, str(error), "fatal", 1))
    tables: dict[_Run, pd.DataFrame] = {}
    for run in runs:
        try:
            tables[run] = _read_conditions(run, catch)
            if region is not None:
                _check_volumes(run, len(tables[run]), region)
        except NeuroalignError as error:
            found.append(Finding(run.betas.name.removesuffix(".gz"), str(error), "fatal", 1))
            continue
        names = tables[run]["file"].tolist()
        if names != sorted(names):
            what = (
                f"{run.conditions.name} is not in the order of the alphabet, as published: if it "
                "was sorted anew, its pictures are not those of the volumes"
            )
            found.append(Finding(run.betas.name, what, "warning", 1))
    if not tables:
        return [], found
    trials = _with_types(pd.concat(tables.values(), ignore_index=True))
    shown = trials[trials["trial_type"] != "catch"]
    if len(sessions) == 1 and set(shown["trial_type"]) == {"train"}:
        what = (
            "one session alone does not show which pictures are test pictures (they are those that "
            "come back in every session): choose two sessions or more"
        )
        found.append(Finding(subject, what, "fatal", 1))
    else:
        found += check_trials(shown, subject, sessions, published)
    test = sorted(set(shown.loc[shown["trial_type"] == "test", "stimulus"]))
    parts = []
    for session in sessions:
        own = [r for r in runs if r.session == session]
        if own and mask is not None and all(r in tables for r in own):
            count = int((shown["session"] == session).sum())
            where = {
                "form": "volumes",
                "session": session,
                "test": test,
                "catch": list(catch),
                "table": table is not None,
            }
            files = (mask, *((table,) if table else ()))
            files += tuple(f for r in own for f in (r.betas, r.conditions))
            parts.append(Part(subject, f"{subject}_ses-{session:02d}", files, count, where))
    return parts, found


def stage_volumes(part: Part, roi: tuple[str, ...], write: Write) -> Staged:
    """Read one session, run by run."""
    first = 2 if part.where["table"] else 1
    test = set(part.where["test"])
    region = read_region(part.files[0])
    wanted = voxels_of_volumes(part, roi)
    files = part.files[first:]
    runs = [
        _Run(int(part.where["session"]), _run_number(b), b, c)
        for b, c in zip(files[::2], files[1::2], strict=True)
    ]
    tables = [_with_types(_read_conditions(r, part.where["catch"]), test) for r in runs]
    train = sum(int((t["trial_type"] == "train").sum()) for t in tables)
    watch = VoxelWatch(len(wanted.rows), {"train": train})
    done, kept, left_out = 0, [], 0
    for run, table in zip(runs, tables, strict=True):
        trials = table[table["trial_type"] != "catch"]
        left_out += len(table) - len(trials)
        rows = trials.index.to_numpy(np.int64)
        groups = ["train" if t == "train" else None for t in trials["trial_type"]]
        for place, block in open_series(run.betas, region).blocks(rows):
            chosen = np.ascontiguousarray(block[:, wanted.rows])
            watch.see(chosen, groups[place])
            write(blank_lost(chosen, part, done))
            done += len(chosen)
        kept.append(trials)
    dropped: tuple[Dropped, ...] = ()
    if left_out:
        reason = "catch trial: a picture of no object, at which a button was pressed"
        dropped = (Dropped(where=part.name, trials=left_out, reason=reason),)
    trials = pd.concat(kept, ignore_index=True).drop(columns="file")
    return staged(part, trials, watch, dropped)


def voxels_of_volumes(part: Part, roi: tuple[str, ...]) -> Voxels:
    """Return the voxels that are read of a part; `rows` are places in the brain mask."""
    region = read_region(part.files[0])
    if not part.where["table"]:
        rows = np.arange(len(region.index), dtype=np.int64)
        return Voxels(rows, None, region.index, region.shape, region.affine)
    person = int(part.subject.rsplit("-", 1)[-1])
    voxels = select_voxels(read_voxel_table(part.files[1], roi, person), part.files[0])
    assert voxels.index is not None
    rows = np.searchsorted(region.index, voxels.index).astype(np.int64)
    return Voxels(rows, voxels.ids, voxels.index, region.shape, region.affine, voxels.arrays)


def _find_runs(
    folder: Path, subject: str, sessions: Sequence[int]
) -> tuple[list[_Run], list[Finding]]:
    found: list[Finding] = []
    there = {
        int(match[1]): path
        for path in sorted(folder.glob("ses-things*"))
        if (match := _SESSION.search(path.name)) and path.is_dir()
    }
    lacking = [s for s in sessions if s not in there]
    if lacking:
        what = (
            f"{len(lacking)} of {len(sessions)} sessions are not there: "
            f"{', '.join(f'ses-things{s:02d}' for s in lacking)}. Download them, or name those "
            "that you have (--sessions)"
        )
        found.append(Finding(subject, what, "fatal", len(lacking)))
    runs = []
    for session in sessions:
        for betas in sorted(there[session].glob("*_betas.nii*") if session in there else ()):
            conditions = betas.with_name(
                re.sub(r"_betas\.nii(\.gz)?$", "_conditions.tsv", betas.name)
            )
            number = _run_number(betas)
            expected = f"{subject}_ses-things{session:02d}_run-{number:02d}_betas"
            if not betas.name.startswith(expected):
                what = f"{betas} lies among the files of {expected}*: it was moved or renamed"
                found.append(Finding(subject, what, "fatal", 1))
            runs.append(_Run(session, number, betas, conditions))
        for conditions in sorted(
            there[session].glob("*_conditions.tsv") if session in there else ()
        ):
            if not any(r.conditions == conditions for r in runs):
                what = f"{conditions.name} stands without its *_betas.nii.gz"
                found.append(Finding(subject, what, "fatal", 1))
    return runs, found


def _run_number(path: Path) -> int:
    match = _RUN.search(path.name)
    if match is None:
        raise NeuroalignError(
            f"{path} names no run; expected sub-NN_ses-thingsNN_run-NN_betas.nii.gz. Give it its "
            "published name."
        )
    return int(match[1])


def _read_conditions(run: _Run, catch: Sequence[str]) -> pd.DataFrame:
    """Return a row a volume; the `trial_type` is "catch", as the file says, or empty."""
    path = run.conditions
    table = read_table(path, (), "\t")
    column = next((c for c in _NAMES if c in table), None)
    if column is None:
        raise NeuroalignError(
            f"{path} lacks a column of pictures ({' or '.join(_NAMES)}); it has "
            f"{', '.join(map(str, table.columns))}. Take the published file."
        )
    read_table(path, (column,), "\t")
    files = table[column].astype(str)
    types = table["trial_type"].astype(str) if "trial_type" in table else pd.Series("", files.index)
    types = types.mask(files.map(lambda file: is_catch(file, catch)), "catch")
    named = with_pictures(pd.DataFrame({"file": files})[types != "catch"], "file", path)
    trials = pd.DataFrame({"file": files, "trial_type": types})
    trials[["stimulus", "label"]] = named[["stimulus", "label"]]
    return trials.assign(
        session=run.session, run=run.run, trial=np.arange(len(files), dtype=np.int64)
    )


def _with_types(trials: pd.DataFrame, test: set[str] | None = None) -> pd.DataFrame:
    """Fill in trial types that the files do not say: pictures shown again are test pictures."""
    if test is None:
        shown = trials[trials["trial_type"] != "catch"]
        test = set(shown.loc[shown["stimulus"].duplicated(), "stimulus"])
    guessed = np.where(trials["stimulus"].isin(test), "test", "train")
    return trials.assign(trial_type=trials["trial_type"].where(trials["trial_type"] != "", guessed))


def _check_volumes(run: _Run, rows: int, region: Region) -> None:
    series = open_series(run.betas, region)
    if series.volumes != rows:
        raise NeuroalignError(
            f"{run.betas} holds {series.volumes} volumes, {run.conditions.name} {rows} rows. Each "
            "volume is one trial and needs exactly one row: download both again."
        )


def _voxel_table(
    base: Path | None, subject: str, roi: tuple[str, ...]
) -> tuple[Path | None, list[Finding]]:
    path = None if base is None else base / f"{subject}_VoxelMetadata.csv"
    if path is not None and path.is_file():
        return path, []
    missing = f"{subject}_VoxelMetadata.csv (of the tables) is not there"
    if roi == (VISUAL,):
        what = f"{missing}, so no ROI can be chosen: all voxels of the brain mask are read"
        return None, [Finding(subject, what, "note", 1)]
    if roi == ("all",):
        return None, []
    what = f"{missing}, but the ROI {', '.join(roi)} is one of its columns. Download it into "
    return None, [Finding(subject, what + "betas_csv, or take `all` voxels", "fatal", 1)]
