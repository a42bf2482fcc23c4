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


def _npy(change: Callable[[Any], Any]) -> Callable[[Path], object]:
    """Put the first person's betas there as an array (volumes, voxels), changed."""

    def apply(folder: Path) -> None:
        inside = np.asarray(nibabel.load(folder / MASK).dataobj) > 0
        betas = np.asarray(nibabel.load(folder / BETAS).dataobj)[inside].T
        _array(change(betas))(folder)

    return apply


def _npy_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        _npy(lambda d: d)(folder)
        file = folder / "p1_betas.npy"
        file.write_bytes(change(file.read_bytes()))

    return apply


def _too_large(betas: Any) -> Any:
    """Two voxels go beyond what float16 can hold."""
    with np.errstate(over="ignore"):
        return (betas * np.where(np.arange(betas.shape[1]) < 2, 1e6, 1)).astype(np.float16)


def _archive(folder: Path) -> None:
    _npy(lambda d: d)(folder)
    betas = np.load(folder / "p1_betas.npy")
    with (folder / "p1_betas.npy").open("wb") as file:
        np.savez(file, betas=betas)


def _indexed(index: Any) -> Callable[[Path], object]:
    """Say where the voxels of the first person's array lie."""

    def apply(folder: Path) -> None:
        _npy(lambda d: d)(folder)
        np.save(folder / "p1_index.npy", index)

    return apply


_INDEX: dict[str, Any] = {
    "voxel_index": Path("set/{subject}_index.npy"), "volume_shape": (4, 5, 6)
}  # fmt: skip


def _text(change: Callable[[str], str]) -> Callable[[Path], object]:
    return lambda folder: (folder / TABLE).write_text(change((folder / TABLE).read_text()))


def _lines(change: Callable[[list[str]], list[str]]) -> Callable[[Path], object]:
    return _text(lambda text: "\n".join(change(text.splitlines())) + "\n")


def _shared(folder: Path) -> None:
    (folder / OTHER).unlink()
    (folder / "p2_mask.nii.gz").unlink()
    (folder / BETAS).rename(folder / "betas.nii.gz")
    (folder / MASK).rename(folder / "mask.nii.gz")


def _unfetched(folder: Path) -> None:
    (folder / BETAS).unlink()
    (folder / BETAS).symlink_to("annex/objects/betas.nii.gz")


def _swapped_bytes(folder: Path) -> None:
    import gzip

    raw = bytearray(gzip.decompress((folder / BETAS).read_bytes()))
    raw[40:56] = raw[55:39:-1]  # the sizes of the axes
    (folder / BETAS).write_bytes(gzip.compress(bytes(raw)))


def _unpacked(folder: Path) -> None:
    import gzip

    (folder / BETAS).write_bytes(gzip.decompress((folder / BETAS).read_bytes()))


def _onsets(change: Callable[[pd.Series], Any]) -> Callable[[Path], object]:
    def apply(table: pd.DataFrame) -> pd.DataFrame:
        onset = pd.Series(np.arange(len(table)) % 15 * 2.5, table.index)
        return table.assign(onset=change(onset))

    return _table(apply)


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
    Damage("a series has a volume too many", _image(BETAS, lambda d: np.append(
           d, d[..., :1], 3)), "refused", (BETAS, "61 volumes", "60 rows")),
    Damage("a series of complex numbers", _image(BETAS, lambda d: d.astype(np.complex64)),
           "refused", (BETAS, "complex64", "expected real numbers")),
    Damage("a series of one volume", _image(BETAS, lambda d: d[..., 0]),
           "refused", ("not clear which is that of p1", f"Single volumes, so masks: {BETAS}")),
    Damage("a series of five axes", _image(BETAS, lambda d: d[..., None, :]),
           "refused", ("not clear which is that of p1", BETAS, "(4, 5, 6, 1, 60)")),
    Damage("a series whose content was not fetched", _unfetched,
           "refused", (BETAS, "does not exist")),
    Damage("a series is unpacked under its packed name", _unpacked,
           "refused", (BETAS, "cannot be read")),
    Damage("the sizes in the header are garbled", _swapped_bytes, "refused", (BETAS,)),
    Damage("two series for one person", lambda f: shutil.copy(f / BETAS, f / "p1_old.nii.gz"),
           "refused", ("p1_old.nii.gz", "not clear which is that of p1")),
    Damage("two people share the series of one", _shared,
           "refused", ("betas.nii.gz would be the series of p1 and p2", "60 volumes", "120")),
    Damage("a run is NaN", _image(BETAS, lambda d: _with(d, (..., slice(15, 30)), np.nan)),
           "refused", ("p1", "none of the 21 voxels", "NaN")),
    Damage("a run is zero", _image(BETAS, lambda d: _with(d, (..., slice(15, 30)), 0)),
           "refused", ("p1", "never change in some run")),
    Damage("a run was copied over the next", _image(BETAS, lambda d: _with(
           d, (..., slice(15, 30)), d[..., :15])), "reported", ("p1", "14 trial(s)", "same")),
    Damage("a slice is NaN in one volume", _image(BETAS, lambda d: _with(
           d, (0, slice(None), slice(None), 7), np.nan)), "reported",
           ("p1", "of 21 voxels", "NaN or infinite")),
    Damage("two volumes are constant", _image(BETAS, lambda d: _with(d, (..., [8, 21]), 3.0)),
           "reported", ("p1", "2 volume(s) have the same value in all voxels")),
    Damage("a transposed array", _npy(lambda d: d.T),
           "refused", ("p1_betas.npy", "21 volumes", "60 rows")),
    Damage("an array of complex numbers", _npy(lambda d: d + 0j),
           "refused", ("not clear which is that of p1", "p1_betas.npy (complex128")),
    Damage("an array of three axes", _npy(lambda d: d.reshape(4, 15, -1)),
           "refused", ("not clear which is that of p1", "p1_betas.npy (float64 of the shape (4,")),
    Damage("an array beyond the range of its type",
           _npy(_too_large), "reported", ("p1", "voxels", "NaN or infinite")),
    Damage("an array is cut off", _npy_bytes(lambda b: b[: len(b) // 2]),
           "refused", ("p1_betas.npy", "not a readable .npy array")),
    Damage("an array is empty", _npy_bytes(lambda b: b""),
           "refused", ("p1_betas.npy", "not a readable .npy array")),
    Damage("an archive under the name of an array", _archive,
           "refused", ("p1_betas.npy", "several arrays")),
    Damage("an array holds everybody's volumes but one", _npy(lambda d: np.tile(d, (2, 1))[1:]),
           "refused", ("p1_betas.npy", "119 volumes", "120 in all")),
    Damage("voxel indices too few", _indexed(np.arange(20)),
           "refused", ("p1_index.npy", "names 20 voxels, the signals have 21"), _INDEX),
    Damage("a voxel index twice", _indexed(np.arange(21) // 2 * 2),
           "refused", ("p1_index.npy", "names a voxel twice"), _INDEX),
    Damage("a voxel index out of the volume", _indexed(np.arange(100, 121)),
           "refused", ("p1_index.npy", "120"), _INDEX),
    Damage("the mask lies elsewhere in space", _image(MASK, lambda d: (d, np.eye(4))),
           "refused", (MASK, "affines differ")),
    Damage("the mask is of another resolution", _image(MASK, lambda d: d.repeat(2, 0)),
           "refused", (MASK, "(8, 5, 6)", "must agree")),
    Damage("the mask is a series", _image(MASK, lambda d: np.stack([d, d], 3)),
           "refused", (MASK, "not clear which is that of p1")),
    Damage("the table is comma-separated under the name of the other",
           _text(lambda t: t.replace("\t", ",")), "refused", (TABLE, "lacks the column(s)")),
    Damage("the table is UTF-16, as a spreadsheet writes it",
           lambda f: (f / TABLE).write_bytes((f / TABLE).read_text().encode("utf-16")),
           "refused", (TABLE, "not a readable table")),
    Damage("the table is a web page", _put(TABLE, b"<!DOCTYPE html>\n<p>Please sign in</p>\n"),
           "refused", (TABLE, "lacks the column(s)")),
    Damage("the table is cut off", _text(lambda t: t[: len(t) // 2]),
           "refused", (TABLE, "no subject or no run (first: row 59)")),
    Damage("the rows have a cell more than the header",
           _lines(lambda t: [t[0], *(f"{row}\t" for row in t[1:])]),
           "refused", (TABLE, "more cells than its header")),
    Damage("a row has cells too many", _lines(lambda t: [*t[:9], f"{t[9]}\tx\ty", *t[10:]]),
           "refused", (TABLE, "not a readable table")),
    Damage("a quotation mark is never closed",
           _lines(lambda t: [*t[:9], t[9].replace("\t", '\t"', 1), *t[10:]]),
           "refused", (TABLE, "not a readable table")),
    Damage("the header stands in the rows again", _lines(lambda t: [*t[:61], t[0], *t[61:]]),
           "refused", (TABLE, "row 60 is the header again")),
    Damage("a column stands twice", _lines(lambda t: [f"{row}\t{row.split()[1]}" for row in t]),
           "refused", (TABLE, "the column(s) run twice")),
    Damage("the table was sorted by class",
           _table(lambda t: t.sort_values(["subject", "label"], kind="stable")),
           "reported", ("p1", "4 run(s) lie in 20 pieces", "was it sorted")),
    Damage("onsets out of order", _onsets(lambda s: s[::-1].to_numpy()),
           "reported", ("p1", "`onset` goes back 56 time(s) within a run")),
    Damage("onsets with a decimal comma",
           _onsets(lambda s: s.map(lambda t: f"{t:.1f}".replace(".", ","))),
           "refused", ("p1", "60 value(s) of `onset` are no numbers: 0,0")),
    Damage("a person's name with a space in one row", _cell(9, "subject", "p1 "),
           "refused", (BETAS, "60 volumes", "59 rows")),
    Damage("a class spelled in two ways", _cell(9, "label", "Class1 "),
           "reported", ("'Class1 '", "spaces or capitals only")),
    Damage("a picture of two classes", _cell(9, "label", "class9"),
           "reported", ("1 picture(s) are of several classes", "class9")),
    Damage("everything is of one class", _table(lambda t: t.assign(
           label=t["label"].where(t["label"] == "rest", "thing"))),
           "reported", ("one class, thing", "nothing to tell apart")),
    Damage("a split in capitals", _table(lambda t: t.assign(split=["Train", "Test"] * 60)),
           "refused", ("'train' or 'test'", "row 1, Test")),
    Damage("a split that ends half way", _table(lambda t: t.assign(
           split=[*["train", "test"] * 30, *[None] * 60])),
           "refused", ("must be 'train' or 'test'", "56 volume(s)")),
)  # fmt: skip
