"""Ways to damage THINGS-fMRI, and what has to come of each."""

from __future__ import annotations

import gzip
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pandas as pd

from miniatures.damage import Damage
from miniatures.things_fmri import (
    SUBJECTS,
    MiniatureReader,
    write_store,
    write_things_fmri,
)


class OnePerson(MiniatureReader):
    """Of the three published people, one; another's files lie there to be mixed up with."""

    card = MiniatureReader.card.model_copy(update={"subjects": SUBJECTS[:1]})


READER = OnePerson()
OPTIONS = {"form": "tables"}
STORE = "betas_csv/sub-01_ResponseData.h5"
TRIALS = "betas_csv/sub-01_StimulusMetadata.csv"
VOXELS = "betas_csv/sub-01_VoxelMetadata.csv"
MASK = "brainmasks/sub-01_space-T1w_brainmask.nii.gz"
RUN = "betas_vol/sub-01/ses-things01/sub-01_ses-things01_run-01"
OTHER_RUN = RUN[:-2] + "02"
LATER = RUN.replace("things01", "things02")
BETAS, CONDITIONS = "_betas.nii.gz", "_conditions.tsv"
AS_VOLUMES = {"form": "volumes"}


def write(folder: Path) -> None:
    write_things_fmri(folder, people=2, volumes=True)


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("pwned",)


def _put(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def _gone(name: str) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return apply


def _cut(name: str, share: float = 0.5) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])

    return apply


def _directory(name: str) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return apply


def _copy(source: str, target: str) -> Callable[[Path], object]:
    return lambda folder: shutil.copy(folder / source, folder / target)


def _both(*steps: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: [step(folder) for step in steps]


def _table(name: str, change: Callable[[pd.DataFrame], Any]) -> Callable[[Path], object]:
    """Change a table, in place or to what `change` returns."""
    tab = name.endswith(".tsv")

    def apply(folder: Path) -> None:
        given = pd.read_csv(folder / name, sep="\t" if tab else ",", index_col=0 if tab else None)
        changed = change(given)
        table = changed if isinstance(changed, pd.DataFrame) else given
        table.to_csv(folder / name, sep="\t" if tab else ",", index=tab)

    return apply


def _shuffle(name: str, *columns: str) -> Callable[[Path], object]:
    def change(table: pd.DataFrame) -> None:
        order = np.random.default_rng(3).permutation(len(table))
        for column in columns:
            table[column] = table[column].to_numpy()[order]

    return _table(name, change)


def _set(name: str, row: int, column: str, value: object) -> Callable[[Path], object]:
    def change(table: pd.DataFrame) -> None:
        table[column] = table[column].astype(object)
        table.loc[table.index[row], column] = value

    return _table(name, change)


def _store(change: Callable[[pd.DataFrame], Any]) -> Callable[[Path], object]:
    """Write the store again with other content."""

    def apply(folder: Path) -> None:
        given = pd.read_hdf(folder / STORE)
        changed = change(given)
        table = changed if isinstance(changed, pd.DataFrame) else given
        ids = table.pop("voxel_id").to_numpy()
        write_store(folder / STORE, table.to_numpy(), pd.Series(list(table.columns)), ids)

    return apply


def _inside(change: Callable[[Any], object]) -> Callable[[Path], object]:
    """Change the HDF5 file itself; `change` gets the table's group."""

    def apply(folder: Path) -> None:
        with h5py.File(folder / STORE, "r+") as file:
            change(file["ResponseData"])

    return apply


def _replace(group: Any, name: str, values: Any) -> None:
    del group[name]
    group.create_dataset(name, data=values)


def _evil_names(group: Any) -> None:
    del group["block0_items"]
    kind = h5py.vlen_dtype(np.uint8)
    names = group.create_dataset("block0_items", (1,), dtype=kind)
    names[0] = np.frombuffer(pickle.dumps([_Evil()]), np.uint8)


def _image(name: str, change: Callable[[Any], Any]) -> Callable[[Path], object]:
    """Write an image again; `change` returns its data, or (data, affine)."""

    def apply(folder: Path) -> None:
        image = nibabel.load(folder / name)
        changed = change(np.array(image.dataobj))
        data, affine = changed if isinstance(changed, tuple) else (changed, image.affine)
        nibabel.save(nibabel.Nifti1Image(data, affine), folder / name)

    return apply


def _with(data: Any, place: Any, value: Any) -> Any:
    data[place] = value
    return data


def _session_copied(table: pd.DataFrame) -> None:
    trials = len(table.columns) // 2
    for column in range(trials):
        table[column + trials] = table[column]


def _renamed_run(folder: Path) -> None:
    for end in (BETAS, CONDITIONS):
        shutil.move(folder / (LATER + end), folder / Path(RUN).parent / (Path(LATER).name + end))


def _two_tables(folder: Path) -> None:
    pd.DataFrame({"x": [1.0]}).to_hdf(folder / STORE, key="Another", mode="a")


# Each line: what is done, how, what comes of it, words that must be said, other options.
DAMAGES: tuple[Damage, ...] = (
    # the store of responses
    Damage("the store is cut off", _cut(STORE), "refused", (STORE, "cannot be opened as HDF5")),
    Damage("the store is empty", _put(STORE, b""), "refused", (STORE, "cannot be opened as HDF5")),
    Damage("the store is not HDF5", _put(STORE, b"voxel_id,0,1\n" * 99),
           "refused", (STORE, "cannot be opened as HDF5")),
    Damage("the store is missing", _gone(STORE), "refused", (STORE, "is not a file")),
    Damage("a folder lies in place of the store", _directory(STORE),
           "refused", (STORE, "is not a file")),
    Damage("the store holds no table of pandas",
           _inside(lambda g: g.attrs.pop("pandas_type")), "refused", (STORE, "holds 0 tables")),
    Damage("the store holds two tables", _two_tables,
           "refused", (STORE, "holds 2 tables", "Another")),
    Damage("the store is a series, not a frame",
           _inside(lambda g: g.attrs.__setitem__("pandas_type", np.bytes_("series"))),
           "refused", (STORE, "kind 'series'")),
    Damage("the values are renamed", _inside(lambda g: g.move("block0_values", "values")),
           "refused", (STORE, "lacks block0_items or block0_values")),
    Damage("the index of the table is missing", _inside(lambda g: g.pop("axis1")),
           "refused", (STORE, "lacks `axis1`")),
    Damage("the axes of the values are swapped",
           _inside(lambda g: _replace(g, "block0_values", g["block0_values"][...].T)),
           "refused", (STORE, "has the shape (48, 52)", "expected (52, 48)")),
    Damage("names of columns run code when unpickled", _inside(_evil_names),
           "refused", (STORE, "wants to import", "mkdir")),
    Damage("names of columns are damaged pickles",
           _inside(lambda g: g["block0_items"].__setitem__(0, np.arange(9, dtype=np.uint8))),
           "refused", (STORE, "cut off or damaged")),
    Damage("betas are whole numbers", _store(lambda t: t.round().astype(np.int32)),
           "refused", (STORE, "int32", "expected float64")),
    Damage("a column of betas is text",
           _store(lambda t: t.assign(**{"0": "x"}).drop(columns=0)), "refused", (STORE,)),
    Damage("the store lacks trials", _store(lambda t: t.drop(columns=[4, 7])),
           "refused", (STORE, "46 columns of trials", "48 rows", "(4, 7)")),
    Damage("the store has a trial too many", _store(lambda t: t.assign(extra=0.5)),
           "refused", (STORE, "49 columns of trials", "(extra)")),
    Damage("the store lacks voxels", _store(lambda t: t.iloc[:-5]),
           "refused", (STORE, "47 rows of voxels", "the voxel table 52")),
    Damage("two voxels have the same number", _store(lambda t: t.assign(
           voxel_id=t["voxel_id"].replace(3, 4))), "refused", (STORE, "names voxels twice", "51")),
    Damage("voxels have numbers of others", _store(lambda t: t.assign(
           voxel_id=t["voxel_id"] + 7)), "refused", (STORE, "are not in it", "voxel_id 0")),
    Damage("the numbers of voxels have another name",
           _inside(lambda g: _replace(g, "block1_items", np.array([b"voxelnum"]))),
           "refused", (STORE, "(voxelnum)")),
    Damage("one beta of a voxel is NaN", _store(lambda t: _with(t.loc, (0, 30), np.nan) and None),
           "reported", ("1 of 42 voxels", "NaN or infinite")),
    Damage("a voxel stands still in a session",
           _store(lambda t: _with(t.loc, (1, list(range(24))), 0.0) and None),
           "reported", ("1 of 42 voxels", "the same value in all training trials")),
    Damage("a trial is NaN throughout", _store(lambda t: t.assign(**{}).pipe(
           lambda u: (_with(u.loc, (slice(None), 30), np.nan) and None) or u)),
           "refused", ("sub-01_ses-02", "trial 6", "100% of the voxels", "ResponseData.h5")),
    Damage("all betas are zero", _store(lambda t: t.mul(0).assign(
           voxel_id=t["voxel_id"])),
           "refused", ("sub-01", "none of the 42 voxels")),
    Damage("a session was copied over another", _store(_session_copied),
           "refused", ("sub-01_ses-02", "24 trial(s), 100%", "sub-01_ses-01", "copied")),
    Damage("a trial was copied over another", _store(lambda t: t.assign(**{}).pipe(
           lambda u: _with(u, 30, u[29]))), "reported", ("sub-01_ses-02", "1 trial(s)", "same")),
    # the table of trials
    Damage("the table of trials is missing", _gone(TRIALS), "refused", (TRIALS, "is not a file")),
    Damage("the table of trials is empty", _put(TRIALS, b""),
           "refused", (TRIALS, "not a readable table")),
    Damage("the table of trials has no rows", _table(TRIALS, lambda t: t.iloc[:0]),
           "refused", (TRIALS, "has no rows")),
    Damage("the table of trials is no text", _put(TRIALS, bytes(range(128, 256)) * 20),
           "refused", (TRIALS, "not a readable table")),
    Damage("a folder lies in place of the table of trials", _directory(TRIALS),
           "refused", (TRIALS, "is not a file")),
    Damage("the table of trials lacks a column", _table(TRIALS, lambda t: t.drop(columns="run")),
           "refused", (TRIALS, "lacks the column(s) run")),
    Damage("the table of trials lacks a row", _table(TRIALS, lambda t: t.drop(index=9)),
           "refused", (STORE, "48 columns of trials", "47 rows", "(9)")),
    Damage("a row stands twice", _table(TRIALS, lambda t: pd.concat([t, t.iloc[[9]]])),
           "refused", (TRIALS, "`trial_id` stand twice", "9")),
    Damage("the table of trials breaks off in a row", _cut(TRIALS, 0.71), "refused", (TRIALS,)),
    Damage("pictures are shuffled", _shuffle(TRIALS, "stimulus"),
           "refused", (TRIALS, "shows another concept")),
    Damage("pictures and concepts are shuffled together", _shuffle(TRIALS, "stimulus", "concept"),
           "refused", ("sub-01", "both training and test pictures")),
    Damage("whole rows but for their numbers are shuffled",
           _shuffle(TRIALS, "trial_type", "session", "run", "stimulus", "concept"),
           "refused", (TRIALS, "in order of time", "was shuffled")),
    Damage("training and test are shuffled", _shuffle(TRIALS, "trial_type"),
           "refused", ("sub-01", "both training and test pictures")),
    Damage("sessions are shuffled", _shuffle(TRIALS, "session"),
           "refused", (TRIALS, "in order of time", "was shuffled")),
    Damage("numbers of trials are shuffled", _shuffle(TRIALS, "trial_id"),
           "refused", (TRIALS, "in order of time", "was shuffled")),
    Damage("a trial moved to another run", _set(TRIALS, 11, "run", 2),
           "reported", ("session 1 has 2 run(s)", "11, 13", "published are 2 of 12")),
    Damage("a trial is of an unknown type", _set(TRIALS, 5, "trial_type", "catch"),
           "refused", ("sub-01", "unknown type catch")),
    Damage("a trial has no picture", _set(TRIALS, 5, "stimulus", None),
           "refused", (TRIALS, "1 of 48 rows lack a value", "row 5")),
    Damage("a picture has no name of THINGS", _set(TRIALS, 5, "stimulus", "IMG0815.jpg"),
           "refused", (TRIALS, "1 of 48 rows", "IMG0815.jpg")),
    Damage("a session is a word", _set(TRIALS, 5, "session", "first"),
           "refused", (TRIALS, "`session` are no whole numbers", "'first'")),
    Damage("a training picture is shown twice",
           _both(*(_set(TRIALS, r, c, v) for r in (0, 47) for c, v in (
               ("stimulus", "owl_01b.jpg"), ("concept", "owl"), ("trial_type", "train")))),
           "refused", ("sub-01", "come more than once", "owl_01b")),
    Damage("the trials of a session are missing", _both(
           _table(TRIALS, lambda t: t[t["session"] == 1]),
           _store(lambda t: t[[c for c in t if c == "voxel_id" or c < 24]])),
           "refused", ("sub-01", "session 2 has 0 training and 0 test")),
    Damage("the table of trials is another person's",
           _copy(TRIALS.replace("sub-01", "sub-02"), TRIALS),
           "refused", (TRIALS, "48 of 48 trials belong to person 2")),
    # the table of voxels
    Damage("the table of voxels is missing", _gone(VOXELS), "refused", (VOXELS, "is not a file")),
    Damage("the table of voxels is no text", _put(VOXELS, bytes(range(128, 256)) * 20),
           "refused", (VOXELS, "not a readable table")),
    Damage("the table of voxels lacks rows", _table(VOXELS, lambda t: t.iloc[:40]),
           "refused", (VOXELS, "40", "52")),
    Damage("the table of voxels lacks noise ceilings",
           _table(VOXELS, lambda t: t.drop(columns="nc_testset")),
           "refused", (VOXELS, "lacks the column(s) nc_testset")),
    Damage("the table of voxels has no ROI drawn in the person",
           _table(VOXELS, lambda t: t[[c for c in t if "_" in c or "-" in c]]),
           "refused", (VOXELS, "has no ROI column 'visual'")),
    Damage("an ROI that is not there is asked for", lambda f: None,
           "refused", (VOXELS, "has no ROI column 'V9'"), {"roi": ("V1", "V9")}),
    Damage("an ROI is empty", _table(VOXELS, lambda t: t.assign(V1=0)),
           "refused", (VOXELS, "no voxel is in the ROI V1"), {"roi": ("V1",)}),
    Damage("an ROI holds other numbers than 0 and 1", _set(VOXELS, 3, "V2", 0.5),
           "refused", (VOXELS, "'V2' holds 0.5")),
    Damage("two axes of the coordinates are swapped",
           _table(VOXELS, lambda t: t.rename(columns={"voxel_x": "voxel_z", "voxel_z": "voxel_x"})),
           "refused", (VOXELS, "do not increase with `voxel_id`")),
    Damage("noise ceilings are shuffled", _shuffle(VOXELS, "nc_testset"),
           "refused", (VOXELS, "contradict each other")),
    Damage("a noise ceiling is beyond 100 percent", _set(VOXELS, 3, "nc_singletrial", 120.0),
           "refused", (VOXELS, "no percentages", "row 3")),
    Damage("a voxel stands twice in the table", _set(VOXELS, 3, "voxel_id", 4),
           "refused", (VOXELS, "`voxel_id` that another has too")),
    Damage("the table of voxels is another person's",
           _copy(VOXELS.replace("sub-01", "sub-02"), VOXELS),
           "refused", (VOXELS, "belong to person 2")),
    Damage("the brain mask is another person's", _copy(MASK.replace("sub-01", "sub-02"), MASK),
           "refused", (MASK, "must be the same")),
    Damage("the brain mask has another grid", _image(MASK, lambda d: d[:, :5]),
           "refused", (MASK, "voxels lie outside")),
    Damage("the brain mask is cut off", _cut(MASK, 0.6), "refused", (MASK, "cut off or damaged")),
    # volumes
    Damage("betas of a run are cut off", _cut(RUN + BETAS),
           "refused", (RUN + BETAS, "cut off or damaged"), AS_VOLUMES),
    Damage("betas of a run are not compressed as they say", _put(RUN + BETAS, b"nifti" * 99),
           "refused", (RUN + BETAS, "cannot be read"), AS_VOLUMES),
    Damage("betas of a run are no NIfTI", _put(RUN + BETAS, gzip.compress(b"x" * 999)),
           "refused", (RUN + BETAS, "cannot be read"), AS_VOLUMES),
    Damage("betas of a run are missing", _gone(RUN + BETAS),
           "refused", (Path(RUN).name + CONDITIONS, "stands without its"), AS_VOLUMES),
    Damage("conditions of a run are missing", _gone(RUN + CONDITIONS),
           "refused", (RUN + CONDITIONS, "is not a file"), AS_VOLUMES),
    Damage("a run has a volume too few", _image(RUN + BETAS, lambda d: d[..., 1:]),
           "refused", (RUN + BETAS, "13 volumes", "14 rows"), AS_VOLUMES),
    Damage("a run has a condition too few", _table(RUN + CONDITIONS, lambda t: t.iloc[1:]),
           "refused", (RUN + BETAS, "14 volumes", "13 rows"), AS_VOLUMES),
    Damage("a run is a single volume", _image(RUN + BETAS, lambda d: d[..., 0]),
           "refused", (RUN + BETAS, "must agree"), AS_VOLUMES),
    Damage("the trials of a run are its first axis",
           _image(RUN + BETAS, lambda d: np.moveaxis(d, 3, 0)),
           "refused", (RUN + BETAS, "must agree"), AS_VOLUMES),
    Damage("a run lies elsewhere in space",
           _image(RUN + BETAS, lambda d: (d, np.diag([2.0, 2.0, 2.0, 1.0]))),
           "refused", (RUN + BETAS, "affines differ"), AS_VOLUMES),
    Damage("a volume of a run is NaN",
           _image(RUN + BETAS, lambda d: _with(d, (..., 1), np.nan)),
           "refused", ("sub-01_ses-01", "100% of the voxels"), AS_VOLUMES),
    Damage("a run was copied over the next", _copy(RUN + BETAS, OTHER_RUN + BETAS),
           "refused", ("sub-01_ses-01", "run 02", "10 of 12 trials", "run 01"), AS_VOLUMES),
    Damage("a run was copied over one of another session", _copy(RUN + BETAS, LATER + BETAS),
           "refused", ("sub-01_ses-02", "run 01", "11 of 12 trials", "sub-01_ses-01"), AS_VOLUMES),
    Damage("conditions name no pictures",
           _table(RUN + CONDITIONS, lambda t: t.rename(columns={"image_filename": "name"})),
           "refused", (RUN + CONDITIONS, "lacks a column of pictures"), AS_VOLUMES),
    Damage("conditions are empty", _put(RUN + CONDITIONS, b""),
           "refused", (RUN + CONDITIONS, "not a readable table"), AS_VOLUMES),
    Damage("conditions lack a name", _set(RUN + CONDITIONS, 3, "image_filename", None),
           "refused", (RUN + CONDITIONS, "1 of 14 rows lack a value"), AS_VOLUMES),
    Damage("a condition is of an unknown picture",
           _set(RUN + CONDITIONS, 13, "image_filename", "zzz.jpg"),
           "refused", (RUN + CONDITIONS, "zzz.jpg"), AS_VOLUMES),
    Damage("a picture lies in another concept's folder",
           _set(RUN + CONDITIONS, 13, "image_filename", "zebra/dog_01s.jpg"),
           "refused", (RUN + CONDITIONS, "zebra"), AS_VOLUMES),
    Damage("conditions were sorted anew", _table(RUN + CONDITIONS, lambda t: t.iloc[::-1]),
           "reported", (Path(RUN).name, "order of the alphabet"), AS_VOLUMES),
    Damage("conditions of two sessions are exchanged", _copy(RUN + CONDITIONS, LATER + CONDITIONS),
           "refused", ("sub-01", "session 1 has", "published are 20 and 4"), AS_VOLUMES),
    Damage("a run is missing", _both(_gone(RUN + BETAS), _gone(RUN + CONDITIONS)),
           "refused", ("sub-01", "session 1 has", "published are 20 and 4"), AS_VOLUMES),
    Damage("a session is missing", _gone(str(Path(LATER).parent)),
           "refused", ("sub-01", "1 of 2 sessions are not there", "ses-things02"), AS_VOLUMES),
    Damage("a run lies in another session's folder", _renamed_run,
           "refused", ("sub-01", "was moved or renamed"), AS_VOLUMES),
    Damage("the brain mask is missing", _gone(MASK),
           "refused", (Path(MASK).name, "is missing"), AS_VOLUMES),
    Damage("the brain mask is empty", _image(MASK, np.zeros_like),
           "refused", (MASK, "is empty"), AS_VOLUMES),
    Damage("picture files are missing", lambda f: (f / "dog").mkdir(),
           "reported", ("44 of 44 picture files are not below",), {"pictures": "."}),
)  # fmt: skip
