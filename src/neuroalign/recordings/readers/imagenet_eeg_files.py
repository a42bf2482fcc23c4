"""What the files of ImageNetEEG say of each segment, and whether they agree with themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.pickles import StoredArray
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.torch_files import read_torch

_KEYS = ("dataset", "labels", "images")
_ENTRY = ("eeg", "image", "label", "subject")
_SYNSET = re.compile(r"n\d{8}")
_IMAGE = re.compile(r"(n\d{8})_\d+")


@dataclass(frozen=True)
class Published:
    """What the data set is published with, to check files against.

    Attributes
    ----------
    entries : segments in a file, by source
    people, classes, channels : int
    pictures : names in `images`, by source (as it is, and what was shown)
    excluded : segments that its authors left out of people x pictures shown
    splits : indices for training, validation and testing in split 0, by the name of the file
    """

    entries: tuple[int, ...] = (11_964, 11_965)
    people: int = 6
    classes: int = 40
    channels: int = 128
    pictures: tuple[int, ...] = (1_996, 2_000)
    excluded: int = 36
    splits: Mapping[str, tuple[int, int, int]] | None = None


@dataclass(frozen=True)
class Segments:
    """One file of signals: what each segment is, and where its numbers are.

    `table` has one row a segment, in the order of the file: `subject` (1, 2, ...), `image` and
    `label` (places in `images` and `synsets`), `samples`.
    """

    table: pd.DataFrame
    eeg: tuple[StoredArray, ...]
    synsets: tuple[str, ...]
    images: tuple[str, ...]


def read_segments(path: Path, published: Published) -> tuple[Segments | None, list[Finding]]:
    """Open a file of signals without reading them.

    Returns
    -------
    segments : Segments or None
        None where something fatal was found.
    findings : list of Finding
    """
    try:
        content = read_torch(path)
    except NeuroalignError as error:
        return None, [Finding(path.name, str(error), "fatal", 1)]
    report = Report(path.name)
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in _KEYS):
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        report.fatal(f"it holds {found}, expected lists under {', '.join(_KEYS)}", 1)
        return None, report.findings
    dataset, synsets, images = (content[k] for k in _KEYS)
    named = _check_names(report, synsets, images)
    bad = [i for i, e in enumerate(dataset) if not isinstance(e, dict) or not set(_ENTRY) <= set(e)]
    report.places(bad, f"segment(s) lack some of the keys {', '.join(_ENTRY)}")
    # What is whole is looked at further: all that is wrong is said at once.
    whole = sorted(set(range(len(dataset))) - set(bad))
    keys = [k for k in _ENTRY if k != "eeg"]
    table = pd.DataFrame(
        {key: [whole_number(dataset[i][key]) for i in whole] for key in keys},
        index=whole,
        dtype="Int64",
    )
    eeg = {i: dataset[i]["eeg"] for i in whole}
    _check_signals(report, eeg, published)
    _check_indices(report, table, synsets, images, published, named=named)
    _check_totals(report, len(dataset), synsets, images, published)
    if report.stopped:
        return None, report.findings
    table = table.astype("int64").assign(samples=[e.shape[1] for e in eeg.values()])
    _check_people(report, table, published)
    return Segments(table, tuple(eeg.values()), tuple(synsets), tuple(images)), report.findings


def check_agreement(segments: Segments, name: str, other: Segments, path: Path) -> list[Finding]:
    """Report where another file of the same segments tells another story of them."""
    mine, theirs = segments.table, other.table
    columns = ["subject", "image", "label"]
    if len(mine) != len(theirs):
        return []
    named = [t.assign(image=np.array(s.images, object)[t["image"]])[columns].to_numpy(object)
             for s, t in ((segments, mine), (other, theirs))]  # fmt: skip
    differing = np.flatnonzero((named[0] != named[1]).any(axis=1))
    if not len(differing):
        return []
    what = (
        f"{len(differing)} segment(s) have another person, picture or class than in {path.name} "
        f"(first: {differing[0]}): one of the two was mixed up, and both have the same splits"
    )
    return [Finding(name, what, "warning", len(differing))]


def _check_names(report: Report, synsets: list[Any], images: list[Any]) -> bool:
    """Check the names of classes and pictures; return whether they can be compared."""
    named = True
    for names, pattern, what in ((synsets, _SYNSET, "labels"), (images, _IMAGE, "images")):
        bad = [i for i, n in enumerate(names) if not (isinstance(n, str) and pattern.fullmatch(n))]
        named &= not bad
        report.places(bad, f"of `{what}` are no names of ImageNet, such as n02106662(_10232)")
        twice = len(names) - len(set(map(str, names)))
        if twice:
            report.fatal(f"{twice} of `{what}` stand twice, so they cannot be told apart", twice)
    strange = sorted({n[:9] for n in map(str, images)} - set(map(str, synsets)))
    if strange and named:
        report.fatal(f"`images` has pictures of {strange[:5]}, which `labels` lacks", len(strange))
    return named


def _check_signals(report: Report, eeg: Mapping[int, Any], published: Published) -> None:
    matrices = {
        i: e
        for i, e in eeg.items()
        if isinstance(e, StoredArray) and e.dtype.kind == "f" and len(e.shape) == 2
    }
    others = sorted(set(eeg) - set(matrices))
    report.places(others, "segment(s) have an `eeg` that is no matrix of decimal numbers")
    n = published.channels
    swapped = [i for i, e in matrices.items() if e.shape[0] != n and e.shape[1] == n]
    report.places(
        swapped,
        f"segment(s) are samples x channels, expected {n} channels x samples: axes swapped",
    )
    wrong = [i for i, e in matrices.items() if n not in e.shape]
    shape = matrices[wrong[0]].shape if wrong else ()
    report.places(wrong, f"segment(s) have the shape {shape} or the like, expected {n} channels")


def _check_indices(
    report: Report,
    table: pd.DataFrame,
    synsets: list[str],
    images: list[str],
    published: Published,
    *,
    named: bool,
) -> None:
    sound = np.ones(len(table), bool)
    for column, first, end, of in (
        ("subject", 1, published.people + 1, f"people are 1 to {published.people}"),
        ("image", 0, len(images), f"there are {len(images)} `images`"),
        ("label", 0, len(synsets), f"there are {len(synsets)} `labels`"),
    ):
        outside = ~table[column].between(first, end - 1).fillna(False).to_numpy(bool)
        sound &= ~outside
        places = table.index[outside].tolist()
        report.places(places, f"segment(s) have a `{column}` out of range ({of})")
    if not named:
        return
    known = table[sound]
    shown = [images[i][:9] for i in known["image"]]
    said = [synsets[i] for i in known["label"]]
    wrong = [i for i, a, b in zip(known.index, shown, said, strict=True) if a != b]
    report.places(wrong, "segment(s) have a picture of another class than their label: mixed up")


def _check_totals(
    report: Report, segments: int, synsets: list[str], images: list[str], published: Published
) -> None:
    for what, count, expected in (
        ("segments", segments, published.entries),
        ("classes", len(synsets), (published.classes,)),
        ("pictures", len(images), published.pictures),
    ):
        if count not in expected:
            report.warn(f"{count} {what}, published are {' or '.join(map(str, expected))}", count)


def _check_people(report: Report, table: pd.DataFrame, published: Published) -> None:
    fewest = max(published.pictures) - published.excluded
    for subject in range(1, published.people + 1):
        own = int((table["subject"] == subject).sum())
        if own < fewest:
            report.warn(f"person {subject} has {own} segments, expected {fewest} or more", own)
    twice = int(table.duplicated(["subject", "image"]).sum())
    if twice:
        report.warn(f"{twice} segment(s) show a person a picture again; each was shown once", twice)


def whole_number(value: Any) -> int | None:
    """Return a whole number given as such, as a tensor or as a NumPy number."""
    if isinstance(value, StoredArray):
        if int(np.prod(value.shape)) != 1:
            return None
        value = value.read().reshape(-1)[0].item()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, (int, np.integer)) else None


class Report:
    """Findings about one file.

    Attributes
    ----------
    name : str
    findings : list of Finding
    """

    def __init__(self, name: str) -> None:
        self.name, self.findings = name, list[Finding]()

    @property
    def stopped(self) -> bool:
        """Whether one of them is fatal."""
        return any(f.severity == "fatal" for f in self.findings)

    def fatal(self, what: str, count: int) -> None:
        """Add one that nothing can be prepared with."""
        self.findings.append(Finding(self.name, what, "fatal", count))

    def warn(self, what: str, count: int) -> None:
        """Add a warning."""
        self.findings.append(Finding(self.name, what, "warning", count))

    def places(self, places: Sequence[int], what: str) -> None:
        """Add a fatal one about these segments or names, if there are any."""
        if places:
            self.fatal(f"{len(places)} {what} (first: {places[0]})", len(places))
