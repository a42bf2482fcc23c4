"""The names of THINGS pictures, parsed in one place for every data set that shows them.

A THINGS picture file is `<concept>_<exemplar>.jpg` in a folder of its concept. Concepts may hold
underscores themselves (`aircraft_carrier_06s.jpg` shows an aircraft carrier), so the concept is
all up to the *last* underscore; code that cuts elsewhere mixes up the classes without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding

# 01b, 12s, 05n as THINGS numbers its pictures; "plus" is the free picture of THINGSplus.
_EXEMPLAR = re.compile(r"\d{2,}[a-z]?|plus")
_SUFFIXES = (".jpg", ".jpeg", ".png")
_NUMBERED = re.compile(r"\d{5}_")
_SHOWN = 5


@dataclass(frozen=True)
class ThingsPicture:
    """A THINGS picture by its name.

    Attributes
    ----------
    name : str
        The file name without its ending, unique in THINGS: `aircraft_carrier_06s`.
    concept : str
        What it shows: `aircraft_carrier`.
    file : str
        `aircraft_carrier_06s.jpg`.
    """

    name: str
    concept: str
    file: str


def parse_picture(path: str) -> ThingsPicture:
    """Parse the path of a THINGS picture as any of the data sets writes it.

    Parameters
    ----------
    path : str
        Such as `images_meg/aardvark/aardvark_01b.jpg`, `images_test_meg/wig_13s.jpg`,
        `00001_aardvark/aardvark_01b.jpg` or `dog_12s.jpg`; with backslashes too.

    Raises
    ------
    NeuroalignError
        It is not the name of a THINGS picture, or it lies in the folder of another concept.
    """
    whole = PurePosixPath(str(path).replace("\\", "/"))
    stem, _, suffix = whole.name.rpartition(".")
    concept, _, exemplar = stem.rpartition("_")
    if f".{suffix.lower()}" not in _SUFFIXES or not concept or not _EXEMPLAR.fullmatch(exemplar):
        raise NeuroalignError(
            f"{str(path)!r} is not the name of a THINGS picture. Expected <concept>_<exemplar>.jpg,"
            " such as aardvark_01b.jpg; the column or file that it was read from holds something "
            "else, or is damaged."
        )
    folder = concept_of_folder(whole.parent.name)
    if folder and not folder.startswith("images_") and "images" not in folder and folder != concept:
        raise NeuroalignError(
            f"{str(path)!r}: the folder says {folder!r} but the file shows {concept!r}. Names were "
            "mixed up where this was written, so nobody can tell which picture is meant."
        )
    return ThingsPicture(stem, concept, whole.name)


def concept_of_folder(name: str) -> str:
    """Return the concept that a folder is named after: `00001_aardvark` holds aardvarks."""
    return _NUMBERED.sub("", name, count=1) if _NUMBERED.match(name) else name


def picture_table(
    pictures: Iterable[ThingsPicture], folder: Path | None
) -> tuple[pd.DataFrame, list[Finding]]:
    """Return where the picture files lie, and what is odd about that.

    Parameters
    ----------
    pictures : iterable of ThingsPicture
        In any order, with repeats.
    folder : Path, optional
        Where THINGS (or the pictures of a data set) lies: a folder per concept, named after it
        with or without a number before, in `folder` itself or one level below.

    Returns
    -------
    table : pandas.DataFrame
        One row a picture, sorted by name: `stimulus`, `label` (the concept), `path` (absolute;
        empty where the file is not there).
    findings : list of Finding
        Missing files by count and first names, or a note that no folder was given.

    Raises
    ------
    NeuroalignError
        `folder` is not a folder.
    """
    distinct = sorted({p.name: p for p in pictures}.values(), key=lambda p: p.name)
    table = pd.DataFrame(
        {
            "stimulus": [p.name for p in distinct],
            "label": [p.concept for p in distinct],
            "path": [""] * len(distinct),
        }
    )
    if folder is None:
        what = (
            f"no folder of pictures was given, so the {len(distinct)} pictures have names but no "
            "files; they are needed to embed them (--pictures)"
        )
        return table, [Finding("pictures", what, "note", len(distinct))]
    places = _concept_folders(folder)
    table["path"] = [_locate(p, places) for p in distinct]
    lost = table.loc[table["path"] == "", "stimulus"].tolist()
    if not lost:
        return table, []
    names = ", ".join(lost[:_SHOWN]) + (", ..." if len(lost) > _SHOWN else "")
    what = f"{len(lost)} of {len(distinct)} picture files are not below {folder.name} ({names})"
    return table, [Finding("pictures", what, "warning", len(lost))]


def _concept_folders(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise NeuroalignError(
            f"{folder} is not a folder. Give the folder of THINGS pictures that has one folder "
            "for each concept in it."
        )
    places: dict[str, list[Path]] = {}
    first = sorted(p for p in folder.resolve().iterdir() if p.is_dir())
    for path in (*first, *(q for p in first for q in sorted(p.iterdir()) if q.is_dir())):
        places.setdefault(concept_of_folder(path.name), []).append(path)
    return places


def _locate(picture: ThingsPicture, places: dict[str, list[Path]]) -> str:
    for place in places.get(picture.concept, ()):
        if (place / picture.file).is_file():
            return str(place / picture.file)
    return ""
