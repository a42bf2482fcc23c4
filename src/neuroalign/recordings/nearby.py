"""Which folder was meant: data sets a little above or below the one that was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers import all_readers, reader_names, recognise
from neuroalign.recordings.readers.contract import Reader

_HIGHER, _MOST_BELOW, _MOST_NAMED = 3, 100, 6
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar")


@dataclass(frozen=True)
class Place:
    """A folder that a reader takes for its own."""

    folder: Path
    reader: Reader

    def __str__(self) -> str:
        card = self.reader.card
        return f"{self.folder} is {card.title} (`{card.name}`)"


def not_a_folder(path: Path) -> str:
    """Say what is the matter with a path that should be the folder of a data set."""
    if path.exists():
        said = f"{path} is a file, and a data set is a folder of files."
        return f"{said} {_advice(_around(path))}"
    parent = path.parent
    there = [p.name for p in _subfolders(parent)] if parent.is_dir() else []
    close = get_close_matches(path.name, there, n=3, cutoff=0.5)
    said = f"There is no folder {path}."
    if close:
        return f"{said} There is {' and '.join(str(parent / name) for name in close)}."
    return f"{said} Give the folder that a data set lies in."


def not_recognised(folder: Path) -> str:
    """Say that nobody knows a folder, and which ones near it are data sets."""
    said = f"{folder} looks like none of the data sets that can be read"
    below = _deeper(folder)
    packed = [p.name for p in _children(folder) if p.name.endswith(_ARCHIVES)]
    if packed and not below:
        named = ", ".join(packed[:_MOST_NAMED]) + (", ..." if len(packed) > _MOST_NAMED else "")
        return f"{said}. It holds archives: unpack them ({named}), then give the folder again."
    places = below or _around(folder)
    if places:
        return f"{said}. {_advice(places)}"
    return (
        f"{said} ({', '.join(reader_names())}), nor is one next to it. Give the top folder of the "
        "data set; `neuroalign datasets NAME` shows which files are looked for."
    )


def sets_near(folder: Path) -> list[Place]:
    """Return the data sets in subfolders, one or two levels down; else the one it lies in."""
    return _deeper(folder) or _around(folder)


def _deeper(folder: Path) -> list[Place]:
    return sets_below(folder) or [p for f in _subfolders(folder) for p in sets_below(f)]


def sets_below(folder: Path) -> list[Place]:
    """Return the subfolders that are data sets, each as the first reader that knows it."""
    readers = all_readers()
    found = []
    for child in _subfolders(folder):
        reader = next((r for r in readers if r.recognises(child)), None)
        if reader is not None:
            found.append(Place(child, reader))
    return found


def recognise_itself(folder: Path, below: Sequence[Place]) -> Reader | None:
    """Return the first reader that knows `folder`; rather not one that means a subfolder of it."""
    fitting = [r for r in all_readers() if r.recognises(folder)]
    names = _names(below)
    itself = [r for r in fitting if r.card.name not in names]
    return next(iter(itself or fitting), None)


def several_sets(folder: Path, reader: Reader, below: Sequence[Place]) -> str:
    """Say so if a folder holds data sets of several kinds, this reader's among them; or ""."""
    kinds = _names(below)
    if reader.card.name not in kinds or len(kinds) == 1:
        return ""
    return f"{folder} holds several data sets. {_advice(below)}"


def further_sets(folder: Path, reader: Reader, below: Sequence[Place]) -> list[Finding]:
    """Note what else a folder is, or holds, beside what it was taken for."""
    others = [
        r
        for r in all_readers()
        if _is_other(r, reader) and r.card.name not in _names(below) and r.recognises(folder)
    ]
    found = [f"it is {r.card.title} too: --dataset {r.card.name}" for r in others]
    for place in below:
        if _is_other(place.reader, reader):
            found.append(f"{place}; it is not looked at here: give that folder")
    return [Finding(folder.name, what, "note", 1) for what in found]


def meant_instead(folder: Path, reader: Reader) -> str:
    """Say which folder, or which reader, was meant where a reader cannot use a folder; or ""."""
    folder = folder.absolute()
    if not folder.is_dir() or reader.recognises(folder):
        return ""
    same = [p for p in sets_near(folder) if p.reader.card.name == reader.card.name]
    if same:
        return _advice(same)
    other = recognise(folder)
    if other is None:
        return ""
    return f"{Place(folder, other)}, not {reader.card.title} (`{reader.card.name}`)."


def _advice(places: Sequence[Place]) -> str:
    if not places:
        return "Give the top folder of a data set."
    if len(places) == 1:
        return f"{places[0]}: give that folder."
    named = "\n".join(f"  {place}" for place in places[:_MOST_NAMED])
    more = f"\n  ... and {len(places) - _MOST_NAMED} more" * (len(places) > _MOST_NAMED)
    return f"Give one of these:\n{named}{more}"


def _around(path: Path) -> list[Place]:
    """Return the nearest folder above that is a data set, if there is one."""
    for parent in list(path.absolute().parents)[:_HIGHER]:
        reader = recognise(parent)
        if reader is not None:
            return [Place(parent, reader)]
    return []


def _names(places: Sequence[Place]) -> set[str]:
    return {p.reader.card.name for p in places}


def _is_other(other: Reader, reader: Reader) -> bool:
    """Whether it is another data set, and not a published one seen as anybody's recordings."""
    if reader.card.size_gb is not None and other.card.size_gb is None:
        return False
    return other.card.name != reader.card.name


def _subfolders(folder: Path) -> list[Path]:
    return [p for p in _children(folder) if p.is_dir()][:_MOST_BELOW]


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    except OSError:
        return []
