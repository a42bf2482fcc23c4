"""Ways to damage somebody's own fMRI, and what has to come of each."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd

from miniatures.damage import Damage
from miniatures.own_fmri import write_own_fmri
from neuroalign.recordings.readers.arrays import ArraysReader

READER = ArraysReader()
OPTIONS: dict[str, Any] = {}
BETAS, OTHER, MASK, TABLE = "p1_betas.nii.gz", "p2_betas.nii.gz", "p1_mask.nii.gz", "trials.tsv"


def write(folder: Path) -> None:
    write_own_fmri(folder)


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, ("pwned",)


def _put(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def _cut(name: str) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return apply


def _table(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        table = pd.read_csv(folder / TABLE, sep="\t")
        change(table).to_csv(folder / TABLE, sep="\t", index=False)

    return apply


def _cell(row: int, column: str, value: object) -> Callable[[Path], object]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table[column] = table[column].astype(object)
        table.loc[row, column] = value
        return table

    return _table(change)


def _image(name: str, change: Callable[[Any], Any]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        image = nibabel.load(folder / name)
        changed = change(np.array(image.dataobj))
        data, affine = changed if isinstance(changed, tuple) else (changed, image.affine)
        nibabel.save(nibabel.Nifti1Image(data, affine), folder / name)

    return apply


def _with(data: Any, place: Any, value: Any) -> Any:
    data[place] = value
    return data


def _array(content: Any) -> Callable[[Path], object]:
    """Put an array in place of the first person's NIfTI series."""

    def apply(folder: Path) -> None:
        (folder / BETAS).unlink()
        np.save(folder / "p1_betas.npy", content, allow_pickle=True)

    return apply


def _pickle(folder: Path) -> None:
    (folder / BETAS).unlink()
    (folder / "p1_betas.npy").write_bytes(pickle.dumps(_Evil()))


def _directory(folder: Path) -> None:
    (folder / TABLE).unlink()
    (folder / TABLE).mkdir()


DAMAGES: tuple[Damage, ...] = (
    Damage("a series is cut off", _cut(BETAS), "refused", (BETAS, "cut off or damaged")),
    Damage("a series is empty", _put(BETAS, b""), "refused", (BETAS, "cut off or damaged")),
    Damage("a series is no NIfTI", _put(BETAS, b"betas" * 99),
           "refused", (BETAS, "cannot be read")),
    Damage("a series is missing", lambda f: (f / BETAS).unlink(),
           "refused", (OTHER, "not clear which is that of p1")),
    Damage("a series has a volume too few", _image(BETAS, lambda d: d[..., 1:]),
           "refused", (BETAS, "59 volumes", "60 rows", "120 in all")),
    Damage("the volumes of a series are its first axis",
           _image(BETAS, lambda d: np.moveaxis(d, 3, 0)), "refused", (BETAS, "must agree")),
    Damage("a series is another person's", lambda f: shutil.copy(f / OTHER, f / BETAS),
           "refused", (OTHER, "begins with the same volume", "p1", "copied")),
    Damage("a trial was copied over another", _image(BETAS, lambda d: _with(
           d, (..., 8), d[..., 7])), "reported", ("p1", "1 trial(s)", "same"), {"zscore": "none"}),
    Damage("a series is NaN throughout", _image(BETAS, lambda d: d * np.nan),
           "refused", ("p1", "none of the 21 voxels")),
    Damage("a series never changes", _image(BETAS, np.ones_like),
           "refused", ("p1", "none of the 21 voxels", "never change")),
    Damage("a series of other axes than its mask", _image(BETAS, lambda d: d.transpose(2, 1, 0, 3)),
           "refused", (BETAS, MASK, "must agree")),
    Damage("a series lies elsewhere in space", _image(BETAS, lambda d: (d, np.eye(4))),
           "refused", (BETAS, "affines differ")),
    Damage("an array of words", _array(np.array([["a"] * 4] * 60)),
           "refused", (OTHER, "not clear which is that of p1")),
    Damage("an array of pickled objects", _array(np.array([[_Evil()] * 4] * 60, object)),
           "refused", ("p1_betas.npy", "not a readable .npy array")),
    Damage("a pickle under the name of an array", _pickle,
           "refused", ("p1_betas.npy", "not a readable .npy array")),
    Damage("the mask is cut off", _cut(MASK), "refused", (MASK,)),
    Damage("the mask is empty", _image(MASK, np.zeros_like), "refused", (MASK, "is empty")),
    Damage("the mask holds NaN", _image(MASK, lambda d: np.where(d > 0, 1.0, np.nan)),
           "refused", (MASK, "NaN")),
    Damage("the mask is missing", lambda f: [(f / m).unlink() for m in (MASK, "p2_mask.nii.gz")],
           "refused", (BETAS, "give a `mask`")),
    Damage("the table is missing", lambda f: (f / TABLE).unlink(),
           "refused", ("does not hold exactly one table",)),
    Damage("there are two tables", lambda f: shutil.copy(f / TABLE, f / "other.tsv"),
           "refused", ("does not hold exactly one table",)),
    Damage("a folder lies in place of the table", _directory,
           "refused", ("does not hold exactly one table",)),
    Damage("the table is empty", _put(TABLE, b""), "refused", (TABLE, "not a readable table")),
    Damage("the table is no text", _put(TABLE, bytes(range(128, 256)) * 9),
           "refused", (TABLE, "not a readable table")),
    Damage("the table has no rows", _table(lambda t: t.iloc[:0]), "refused", (TABLE, "no rows")),
    Damage("the table lacks its runs", _table(lambda t: t.drop(columns="run")),
           "refused", (TABLE, "lacks the column(s) run")),
    Damage("the table lacks pictures and classes",
           _table(lambda t: t.drop(columns=["stimulus", "label"])),
           "refused", (TABLE, "lacks the column(s) label (or stimulus)")),
    Damage("the table lacks a row", _table(lambda t: t.drop(index=9)),
           "refused", (BETAS, "60 volumes", "59 rows")),
    Damage("a row stands twice", _table(lambda t: pd.concat([t, t.iloc[[9]]])),
           "refused", (BETAS, "60 volumes", "61 rows")),
    Damage("a row has no person", _cell(9, "subject", None), "refused", (TABLE, "row 9")),
    Damage("a person's name is a path", _table(lambda t: t.replace("p1", "../p1")),
           "refused", ("'../p1'", "must be a file name")),
    Damage("a split of another name", _table(lambda t: t.assign(
           split=["train", "validation"] * 60)), "refused", ("'train' or 'test'", "validation")),
    Damage("nothing is left to train on", _table(lambda t: t.assign(split="test")),
           "refused", ("p1", "no training volumes")),
)  # fmt: skip
