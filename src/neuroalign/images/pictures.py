"""Picture sets: which pictures there are, where their files lie and what they show."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError

from neuroalign import progress
from neuroalign.errors import MissingDependencyError, NeuroalignError
from neuroalign.images.bricks import (
    brick_picture,
    pixels_hash,
    read_brick,
    read_brick_picture,
)
from neuroalign.selection import matching_rows

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
COLUMNS = ("stimulus", "path", "label", "category", "sha256")
NOT_STATED = "not stated"
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
_GREY = (128, 128, 128)


@dataclass(frozen=True)
class PictureSet:
    """A set of pictures.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a picture. `stimulus` (unique) names it in trial tables, `path` is its file (or
        `FILE.hdf5::KEY/NUMBER`, a picture in an HDF5 array), `label` the concept it shows and
        `category` a wider class (both may be missing), `sha256` the hash of the file's content
        (of the pixels, in an HDF5 array).
    name : str
    licence : str

    Raises
    ------
    NeuroalignError
        A column is missing, there is no picture, or a stimulus stands twice.
    """

    table: pd.DataFrame
    name: str
    licence: str = NOT_STATED

    def __post_init__(self) -> None:
        missing = [c for c in COLUMNS if c not in self.table]
        if missing:
            raise NeuroalignError(f"The pictures of {self.name} lack the column(s) {missing}.")
        twice = self.table["stimulus"][self.table["stimulus"].duplicated()].unique()
        if len(twice):
            raise NeuroalignError(
                f"The pictures of {self.name} have {len(twice)} stimulus name(s) more than once "
                f"({_some(list(twice))}). Each picture needs its own: trials refer to it."
            )
        table = self.table.reset_index(drop=True)
        table[list(COLUMNS)] = table[list(COLUMNS)].astype("string")
        object.__setattr__(self, "table", table)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        n_labels = self.table["label"].nunique()
        return f"<PictureSet {self.name}: {len(self)} pictures, {n_labels} labels>"

    def take(self, positions: npt.ArrayLike) -> PictureSet:
        """Return the pictures at these positions (integers or a boolean mask)."""
        wanted = np.asarray(positions)
        index = np.arange(len(self))[wanted if wanted.size else wanted.astype(np.int64)]
        return PictureSet(self.table.iloc[index], self.name, self.licence)

    def select(self, **conditions: object) -> PictureSet:
        """Keep the pictures whose columns equal a value, or one of a list of values.

        Examples
        --------
        >>> len(shipped_pictures().select(label=["penguin", "owl"]))
        4
        """
        return self.take(matching_rows(self.table, conditions, self.name))


def picture_set(source: str) -> PictureSet:
    """Return the pictures that a recipe or a command names.

    Parameters
    ----------
    source : str
        `shipped`, a .tsv or .csv table, one picture file, or a folder.

    Raises
    ------
    NeuroalignError
        There is no such thing, or a picture of it cannot be read.
    """
    if source == "shipped":
        return shipped_pictures()
    path = Path(source)
    if path.suffix.lower() in (".tsv", ".csv"):
        return pictures_from_table(path)
    if path.is_file():
        return PictureSet(_with_files([path.stem], [path], [pd.NA], [pd.NA]), name=path.name)
    return pictures_from_folder(path)


def shipped_pictures() -> PictureSet:
    """Return the 400-odd cut-out pictures that come with neuroalign.

    Photographs and drawings of animals, food, vehicles, tools and the like from Tux Paint, 224 x
    224 on mid-grey, under the GPL (version 2 or later); see `images/stamps/ATTRIBUTION.md`.
    """
    folder = Path(str(resources.files("neuroalign.images"))) / "stamps"
    table = pd.read_csv(folder / "pictures.tsv", sep="\t", dtype=str)
    paths = [folder / name for name in table["file"]]
    return PictureSet(
        pd.DataFrame(
            {
                "stimulus": [p.stem for p in paths],
                "path": [str(p) for p in paths],
                "label": table["concept"],
                "category": table["category"],
                "sha256": [_sha256(p) for p in paths],
            }
        ),
        name="shipped pictures",
        licence="GPL-2.0-or-later",
    )


def pictures_from_folder(folder: str | Path) -> PictureSet:
    """Return every picture in `folder` and the folders below it.

    The stimulus is the path relative to `folder`, without its extension (with it, where two files
    differ in nothing else). The label is the name of the folder that the picture lies in; it is
    missing for pictures directly in `folder`. Hidden files are left out.

    Raises
    ------
    NeuroalignError
        There is no such folder, it holds no pictures, or some cannot be decoded.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NeuroalignError(
            f"There are no pictures at {folder}: no such file or folder. Give a folder of "
            "pictures, a .tsv or .csv table of them, or `shipped` for those that come with the "
            "package."
        )
    relative = sorted(
        p.relative_to(folder)
        for p in folder.rglob("*")
        if p.suffix.lower() in SUFFIXES and p.is_file()
    )
    relative = [p for p in relative if not any(part.startswith(".") for part in p.parts)]
    if not relative:
        raise NeuroalignError(
            f"{folder} holds no pictures (looked for {', '.join(SUFFIXES)} in it and below). "
            "Give the folder that the picture files lie in."
        )
    short = [p.with_suffix("").as_posix() for p in relative]
    count = Counter(short)
    stimuli = [
        name if count[name] == 1 else p.as_posix() for name, p in zip(short, relative, strict=True)
    ]
    labels = [p.parent.name or pd.NA for p in relative]
    licences = sorted(p.name for p in folder.glob("LICEN[CS]E*"))
    return PictureSet(
        _with_files(stimuli, [folder / p for p in relative], labels, [pd.NA] * len(labels)),
        name=folder.resolve().name,
        licence=f"see {folder / licences[0]}" if licences else NOT_STATED,
    )


def pictures_from_table(table: str | Path) -> PictureSet:
    """Return the pictures that a TSV or CSV file lists.

    Parameters
    ----------
    table : path
        Columns `stimulus` and `path` (relative to the table's folder, or absolute; pictures in
        an HDF5 array are `FILE.hdf5::KEY/NUMBER`); optional columns `label` and `category`.

    Raises
    ------
    NeuroalignError
        The table or a picture cannot be read, a column is missing, or a stimulus stands twice.
    MissingDependencyError
        A picture lies in an HDF5 file, and h5py is not installed.
    """
    file = Path(table)
    try:
        rows = pd.read_csv(
            file,
            sep="," if file.suffix.lower() == ".csv" else "\t",
            dtype=str,
            keep_default_na=False,
            na_values=[""],
        )
    except (OSError, ValueError) as error:
        raise NeuroalignError(f"{file} is not a readable table of pictures: {error}.") from error
    missing = [c for c in ("stimulus", "path") if c not in rows]
    if missing:
        raise NeuroalignError(
            f"{file} lacks the column(s) {', '.join(missing)}; it has {', '.join(rows.columns)}. "
            "A .csv file is read as comma-separated, every other as tab-separated."
        )
    empty = rows[["stimulus", "path"]].isna().any(axis=1)
    if empty.any() or len(rows) == 0:
        raise NeuroalignError(
            f"{file} lists no pictures."
            if len(rows) == 0
            else f"{file}: {int(empty.sum())} row(s) have no stimulus or no path "
            f"(first: row {int(np.flatnonzero(empty)[0]) + 1})."
        )
    rows = rows.reindex(columns=["stimulus", "path", "label", "category"])
    return PictureSet(
        _with_files(
            list(rows["stimulus"]),
            [file.parent / path for path in rows["path"]],
            list(rows["label"]),
            list(rows["category"]),
        ),
        name=file.stem,
    )


def open_picture(path: str | Path) -> Image.Image:
    """Return a picture as RGB, upright, with transparency laid over mid-grey.

    Parameters
    ----------
    path : path
        A picture file, or `FILE.hdf5::KEY/NUMBER`.

    Raises
    ------
    NeuroalignError
        The file cannot be decoded.
    MissingDependencyError
        It is an HDF5 file, and h5py is not installed.
    """
    try:
        if (place := brick_picture(path)) is not None:
            return Image.fromarray(read_brick_picture(place))
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode.startswith("I;16"):  # Pillow would clip instead of scaling
                picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                ground = Image.new("RGBA", picture.size, (*_GREY, 255))
                picture = Image.alpha_composite(ground, picture)
            return picture.convert("RGB")
    except MissingDependencyError:
        raise
    except _UNREADABLE as error:
        raise _undecodable([f"{path} ({_reason(error)})"]) from error


def picture_hash(path: str | Path) -> str:
    """Return the hash by which a picture set knows a picture's content.

    Raises
    ------
    OSError, ValueError
        The picture cannot be read.
    """
    place = brick_picture(path)
    return _sha256(Path(path)) if place is None else pixels_hash(read_brick_picture(place))


def _with_files(
    stimuli: Sequence[str], paths: Sequence[Path], labels: Sequence[object], cats: Sequence[object]
) -> pd.DataFrame:
    """Check that each picture can be read, hash it, and return the table of a picture set."""
    places = [brick_picture(path) for path in paths]
    inside = [i for i, place in enumerate(places) if place is not None]
    digests, bad = [""] * len(paths), {}
    with progress.bar(len(paths), "Checking pictures") as advance:
        for number, found in read_brick([p for p in places if p is not None]):
            if isinstance(found, Exception):
                bad[inside[number]] = found
            else:
                digests[inside[number]] = pixels_hash(found)
            advance(1)
        for i, (path, place) in enumerate(zip(paths, places, strict=True)):
            if place is not None:
                continue
            try:
                with Image.open(path) as picture:
                    picture.verify()
                digests[i] = _sha256(path)
            except _UNREADABLE as error:
                bad[i] = error
            advance(1)
    if bad:
        raise _undecodable([f"{paths[i]} ({_reason(bad[i])})" for i in sorted(bad)])
    columns = (stimuli, [str(p) for p in paths], labels, cats, digests)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def _undecodable(bad: list[str]) -> NeuroalignError:
    return NeuroalignError(
        f"{len(bad)} picture file(s) cannot be decoded: {_some(bad)}. A picture that cannot be "
        "seen cannot be a target: repair these files, or leave them out."
    )


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture, or damaged"
    return str(error)


def _some(names: Sequence[object], most: int = 5) -> str:
    shown = ", ".join(str(n) for n in names[:most])
    return f"{shown}, ..." if len(names) > most else shown


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
