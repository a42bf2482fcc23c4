"""The table of volumes that comes with somebody's own fMRI, and the files beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.splits import Run, TestRule, choose_test_runs
from neuroalign.recordings.volumes import NIFTI

OWN_COLUMNS = ("subject", "stimulus", "label", "split", "session", "run")


@dataclass(frozen=True)
class Found:
    """What lies in a folder: the table, and candidates for series, masks and voxel indices.

    `unfit` says what other arrays and images there are.
    """

    table: Path
    series: tuple[Path, ...]
    masks: tuple[Path, ...]
    indices: tuple[Path, ...]
    unfit: tuple[str, ...] = ()


def read_volume_table(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Read the table, its columns renamed to those of a trial table.

    Parameters
    ----------
    path : Path
        Tab-separated, or .csv.
    columns : mapping from own name to the name in the file
        For subject, run, label, stimulus and split.

    Returns
    -------
    pandas.DataFrame
        One row a volume; the columns `OWN_COLUMNS` (strings, missing where not given) and all
        others of the file.

    Raises
    ------
    NeuroalignError
        The table is missing, unreadable or empty, or lacks columns or values.
    """
    if not path.is_file():
        raise NeuroalignError(f"{path} does not exist. Give a table with one row per volume.")
    try:
        separator = "," if path.suffix == ".csv" else "\t"
        table = pd.read_csv(path, sep=separator, na_values=["n/a"], low_memory=False)
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise NeuroalignError(f"{path} is not a readable table: {error}.") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise NeuroalignError(
            f"{path}: its rows have more cells than its header, so it is not clear which column is "
            "which. Take the surplus separators out."
        )
    if len(table) == 0:
        raise NeuroalignError(f"{path} has no rows. Give a table with one row per volume.")
    _check_header(path, separator, table)
    given = set(map(str, table.columns))
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
    for column in OWN_COLUMNS:
        missing = pd.Series(pd.NA, index=table.index, dtype="string")
        table[column] = table[column].astype("string") if column in table else missing
    empty = table["subject"].isna() | table["run"].isna()
    if empty.any():
        raise NeuroalignError(
            f"{path}: {int(empty.sum())} row(s) have no subject or no run (first: row "
            f"{int(np.flatnonzero(empty)[0])}). Every volume belongs to a run of a person."
        )
    return table


def _check_header(path: Path, separator: str, table: pd.DataFrame) -> None:
    """Refuse a name that stands twice, and a header among the rows."""
    header = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype="string").iloc[0]
    twice = sorted(set(header[header.duplicated()].dropna()))
    if twice:
        raise NeuroalignError(
            f"{path} has the column(s) {', '.join(twice)} twice. Leave one of each."
        )
    again = (table.astype("string") == [str(c) for c in table.columns]).all(axis=1).fillna(False)
    if again.any():
        raise NeuroalignError(
            f"{path}: row {int(again.to_numpy(bool).argmax())} is the header again, as when tables "
            "are put one below the other. Take such rows out."
        )


def odd_rows(table: pd.DataFrame) -> list[Finding]:
    """Say whose rows cannot be in the order of the volumes, as after sorting the table."""
    found = []
    for subject, rows in rows_of_people(table).items():
        runs = table["run"].iloc[rows]
        stretches = int((runs != runs.shift()).fillna(True).sum())
        if stretches > runs.nunique():
            what = (
                f"its {runs.nunique()} run(s) lie in {stretches} pieces of the table: was it "
                "sorted, or do runs of two sessions share a name? Rows must be in the order "
                "of the volumes"
            )
            found.append(Finding(subject, what, "warning", len(rows)))
            continue
        for column in ("onset", "onset_s"):
            if column in table:
                found += _times(subject, column, table[column].iloc[rows], runs)
    return found


def _times(subject: str, column: str, given: pd.Series, runs: pd.Series) -> list[Finding]:
    times = pd.to_numeric(given, errors="coerce")
    wrong = given.notna() & times.isna()
    if wrong.any():
        what = f"{int(wrong.sum())} value(s) of `{column}` are no numbers: {given[wrong].iloc[0]}"
        return [Finding(subject, what, "fatal", int(wrong.sum()))]
    back = int((times.groupby(runs.to_numpy(object)).diff() < 0).sum())
    if back:
        what = (
            f"`{column}` goes back {back} time(s) within a run: was the table sorted? The rows "
            "must be in the order of the volumes"
        )
        return [Finding(subject, what, "warning", back)]
    return []


def with_split(table: pd.DataFrame, rule: TestRule) -> pd.DataFrame:
    """Fill in `split` by holding out whole runs."""
    runs = [
        Run(subject, run=str(run))
        for subject, run in table[["subject", "run"]].drop_duplicates().itertuples(index=False)
    ]
    test = {(r.subject, r.run) for r in choose_test_runs(runs, rule)}
    keys = zip(table["subject"], table["run"], strict=True)
    return table.assign(split=["test" if key in test else "train" for key in keys])


def rows_of_people(table: pd.DataFrame) -> dict[str, npt.NDArray[np.int64]]:
    """Return each person's rows, people in the order of the table."""
    names = table["subject"].to_numpy(object)
    return {str(name): np.flatnonzero(names == name) for name in dict.fromkeys(names)}


def look_around(folder: Path) -> Found | None:
    """Find one table and the series beside it; None if that is not what the folder holds.

    Arrays of two dimensions and NIfTI files of four are series; arrays of one dimension may be
    voxel indices, NIfTI files of three masks.
    """
    tables = sorted(p for p in folder.glob("*.[tc]sv") if p.is_file())
    if len(tables) != 1:
        return None
    kinds: dict[int, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.name.endswith((".npy", *NIFTI)):
            kinds.setdefault(_dimensions(path), []).append(path)
    series = (*kinds.get(2, ()), *kinds.get(4, ()))
    if not series:
        return None
    unfit = tuple(_described(p) for p in kinds.get(0, ()))
    return Found(tables[0], series, tuple(kinds.get(3, ())), tuple(kinds.get(1, ())), unfit)


def belonging_to(subject: str, files: Sequence[Path], people: Iterable[str]) -> Path | None:
    """Return the one file that is everybody's, or whose name begins with this person's."""
    own = [p for p in files if _named_after(p, subject)]
    if len(own) == 1:
        return own[0]
    shared = len(files) == 1 and not any(_named_after(files[0], name) for name in people)
    return files[0] if shared else None


def _named_after(path: Path, subject: str) -> bool:
    return path.name.split(".")[0] == subject or path.name.startswith(f"{subject}_")


def _described(path: Path) -> str:
    """Name an array or image that is no series, and say what it holds."""
    if path.name.endswith(NIFTI):
        import nibabel

        return f"{path.name} (of the shape {nibabel.load(path).shape})"
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return f"{path.name} ({array.dtype} of the shape {array.shape})"


def _dimensions(path: Path) -> int:
    """Return how many axes an array (1, 2) or NIfTI file (3, 4) has; 0: it is neither.

    A file that cannot be opened counts as a series, so that its damage is told later.
    """
    nifti = path.name.endswith(NIFTI)
    try:
        if nifti:
            import nibabel

            found = len(nibabel.load(path).shape)
            return found if found in (3, 4) else 0
        if path.suffix == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            return array.ndim if array.ndim in (1, 2) and array.dtype.kind in "fiu" else 0
    except Exception:  # whatever a damaged file makes a library say
        return 4 if nifti else 2
    return 0
