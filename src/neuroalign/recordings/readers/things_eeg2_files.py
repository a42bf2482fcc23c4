"""What the files of THINGS-EEG2 hold, and whether they agree with themselves and each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.pickles import StoredArray, read_pickle
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.things import ThingsPicture, parse_picture

KINDS = ("training", "test")
METADATA = "image_metadata.npy"
_SIGNALS = "preprocessed_eeg_data"
_AXES = ("pictures", "repeats", "channels", "samples")


@dataclass(frozen=True)
class Published:
    """What the data set is published with, to check files against.

    Attributes
    ----------
    concepts, pictures : for training and test: concepts, and pictures of each
    repeats : for training and test
    shapes : (channels, samples) of the official files and of the re-exported ones
    """

    concepts: tuple[int, int] = (1_654, 200)
    pictures: tuple[int, int] = (10, 1)
    repeats: tuple[int, int] = (4, 80)
    shapes: tuple[tuple[int, int], ...] = ((17, 100), (63, 250))

    def conditions(self, kind: str) -> int:
        """Return how many pictures were shown for training or test."""
        place = KINDS.index(kind)
        return self.concepts[place] * self.pictures[place]


@dataclass(frozen=True)
class EegFile:
    """One file of a person; its numbers are not read yet.

    `signals` has the shape (pictures, repeats, channels, samples); `tmin` is in seconds from the
    picture's onset.
    """

    path: Path
    signals: StoredArray | npt.NDArray[Any]
    channels: tuple[str, ...]
    sfreq: float
    tmin: float

    def block(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Read the pictures `start` to `stop`."""
        if isinstance(self.signals, StoredArray):
            return self.signals.part(start, stop).read()
        return self.signals[start:stop]


@dataclass(frozen=True)
class Shown:
    """The pictures behind the first axis of the signals, for training and test."""

    training: tuple[ThingsPicture, ...]
    test: tuple[ThingsPicture, ...]


def read_eeg(
    path: Path, kind: str, where: str, published: Published
) -> tuple[EegFile | None, list[Finding]]:
    """Open one file, pickled in either way, and check what it says of itself.

    Returns
    -------
    file : EegFile or None
        None where something fatal was found.
    findings : list of Finding
    """
    findings: list[Finding] = []

    def fatal(what: str, count: int = 1) -> None:
        findings.append(Finding(where, what, "fatal", count))

    def warn(what: str, count: int = 1) -> None:
        findings.append(Finding(where, what, "warning", count))

    try:
        content = read_pickle(path)
    except NeuroalignError as error:
        return None, [Finding(where, str(error), "fatal", 1)]
    wanted = (_SIGNALS, "ch_names", "times")
    if not isinstance(content, dict) or not set(wanted) <= set(content):
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        fatal(f"it holds {found}, expected {', '.join(wanted)}")
        return None, findings
    signals = content[_SIGNALS]
    if not isinstance(signals, (StoredArray, np.ndarray)) or signals.dtype.kind != "f":
        kept = getattr(signals, "dtype", type(signals).__name__)
        fatal(f"{_SIGNALS} is {kept}, expected an array of decimal numbers")
        return None, findings
    channels, times = _names(content["ch_names"]), _numbers(content["times"])
    if channels is None:
        fatal("ch_names is not a list of different names")
    _check_shape(signals.shape, kind, channels or (), published, fatal, warn)
    if any(f.severity == "fatal" for f in findings):
        return None, findings
    timing = _timing(times, signals.shape[3], fatal)
    if timing is None or channels is None:
        return None, findings
    return EegFile(path, signals, channels, *timing), findings


def check_pair(training: EegFile, test: EegFile, where: str) -> list[Finding]:
    """Report where the two files of a person, or two people, differ in what must agree."""
    found = []
    for what, a, b in (
        ("channels", training.channels, test.channels),
        ("sampling rate", training.sfreq, test.sfreq),
        ("first sample (s)", training.tmin, test.tmin),
        ("samples", training.signals.shape[3], test.signals.shape[3]),
    ):
        if a != b:
            text = (
                f"its {what} differ from those in {training.path.parent.name}/"
                f"{training.path.name}: {b!s:.80} against {a!s:.80}"
            )
            found.append(Finding(where, text, "fatal", 1))
    return found


def read_shown(path: Path, published: Published) -> tuple[Shown | None, list[Finding]]:
    """Read which picture each place of the signals' first axis is.

    Conditions are numbered by sorted concept and, within it, by sorted picture; a list in another
    order was mixed up.
    """
    findings: list[Finding] = []

    def fatal(what: str, count: int = 1) -> None:
        findings.append(Finding(path.name, what, "fatal", count))

    try:
        content = read_pickle(path)
    except NeuroalignError as error:
        return None, [Finding(path.name, str(error), "fatal", 1)]
    lists: dict[str, tuple[ThingsPicture, ...]] = {}
    for place, kind in enumerate(KINDS):
        short = "train" if kind == "training" else "test"
        keys = (f"{short}_img_concepts", f"{short}_img_files")
        given = [_strings(content.get(k)) if isinstance(content, dict) else None for k in keys]
        concepts, files = given
        if concepts is None or files is None or len(concepts) != len(files):
            sizes = [len(g) if g is not None else "nothing" for g in given]
            fatal(f"{' and '.join(keys)} must be lists of one length; they are {sizes}")
            continue
        try:
            pictures = tuple(
                parse_picture(f"{c}/{f}") for c, f in zip(concepts, files, strict=True)
            )
        except NeuroalignError as error:
            fatal(str(error))
            continue
        lists[kind] = pictures
        _check_order(concepts, files, keys[0], fatal, findings, path)
        _check_counts(pictures, kind, place, published, fatal)
    if len(lists) == len(KINDS):
        both = {p.concept for p in lists["training"]} & {p.concept for p in lists["test"]}
        if both:
            first = ", ".join(sorted(both)[:5])
            fatal(f"{len(both)} test concepts are training concepts too ({first})", len(both))
    if any(f.severity == "fatal" for f in findings):
        return None, findings
    return Shown(lists["training"], lists["test"]), findings


def _check_shape(
    shape: tuple[int, ...],
    kind: str,
    channels: Sequence[str],
    published: Published,
    fatal: Callable[..., None],
    warn: Callable[..., None],
) -> None:
    place = KINDS.index(kind)
    pictures, repeats = published.conditions(kind), published.repeats[place]
    named = " x ".join(_AXES)
    if len(shape) != 4:
        fatal(f"{_SIGNALS} has the shape {shape}, expected {named}")
        return
    other = KINDS[1 - place]
    if shape[0] == published.conditions(other) and pictures not in shape:
        fatal(f"it has {shape[0]} pictures, as the {other} file has: the two were exchanged")
        return
    if shape[2] != len(channels) or shape[0] != pictures:
        swapped = {pictures, repeats, len(channels)} <= set(shape)
        what = f"{_SIGNALS} has the shape {shape}, expected {pictures} pictures x {repeats} repeats"
        what += f" x {len(channels)} channels (as ch_names has) x samples"
        fatal(what + (": its axes are swapped" if swapped else ""))
        return
    if 0 in shape:
        fatal(f"{_SIGNALS} is empty: {shape}")
        return
    if shape[1] != repeats:
        averaged = ": it was averaged" if shape[1] == 1 else ""
        warn(f"it has {shape[1]} repeats of each picture, published are {repeats}{averaged}")
    if tuple(shape[2:]) not in published.shapes:
        known = " or ".join(f"{c} channels x {s} samples" for c, s in published.shapes)
        warn(f"it has {shape[2]} channels x {shape[3]} samples, known are {known}")


def _timing(
    times: npt.NDArray[np.float64] | None, samples: int, fatal: Callable[..., None]
) -> tuple[float, float] | None:
    if times is None:
        fatal("times is not a list of finite numbers")
        return None
    if len(times) < max(2, samples):
        fatal(f"times has {len(times)} numbers for {samples} samples")
        return None
    gaps = np.diff(times)
    if gaps.min() <= 0 or gaps.max() > 1.01 * gaps.min():
        fatal("times do not go on in equal steps")
        return None
    extra = len(times) - samples
    # Re-exported files had the samples before onset cut off, and their times left in.
    if extra and abs(times[extra]) > 1.5 * gaps[0]:
        fatal(
            f"times has {len(times)} numbers for {samples} samples, and the {extra} more are not "
            "those before the picture: nobody can tell when a sample was taken"
        )
        return None
    sfreq = round(1 / float(gaps.mean()), 6)
    if not 10 <= sfreq <= 20_000:
        fatal(f"times go on in steps of {gaps.mean():g}; expected seconds")
        return None
    return sfreq, round(float(times[extra]), 6)


def _check_order(
    concepts: Sequence[str],
    files: Sequence[str],
    key: str,
    fatal: Callable[..., None],
    findings: list[Finding],
    path: Path,
) -> None:
    numbers = [int(m[0]) if (m := re.match(r"\d{5}(?=_)", c)) else -1 for c in concepts]
    back = [i for i in range(1, len(numbers)) if numbers[i] < numbers[i - 1]]
    if -1 in numbers:
        i = numbers.index(-1)
        fatal(f"{key} holds {concepts[i]!r} (place {i}), expected 00001_aardvark or the like")
    elif back:
        fatal(
            f"{key} goes back {len(back)} times (first: place {back[0]}, {concepts[back[0]]!r}); "
            "pictures are numbered by sorted concept, so this list was mixed up",
            len(back),
        )
    else:
        pairs = list(zip(numbers, files, strict=True))
        mixed = sum(a[0] == b[0] and a[1] > b[1] for a, b in pairwise(pairs))
        if mixed:
            what = f"{key.replace('concepts', 'files')}: {mixed} files are not sorted by name"
            findings.append(Finding(path.name, what, "warning", mixed))


def _check_counts(
    pictures: Sequence[ThingsPicture],
    kind: str,
    place: int,
    published: Published,
    fatal: Callable[..., None],
) -> None:
    twice = len(pictures) - len({p.name for p in pictures})
    if twice:
        fatal(f"{twice} {kind} pictures stand twice", twice)
    counts: dict[str, int] = {}
    for picture in pictures:
        counts[picture.concept] = counts.get(picture.concept, 0) + 1
    each = published.pictures[place]
    wrong = sorted(c for c, n in counts.items() if n != each)
    if len(counts) != published.concepts[place] or wrong:
        odd = f"; {len(wrong)} have another number ({', '.join(wrong[:3])})" if wrong else ""
        fatal(
            f"{len(pictures)} {kind} pictures of {len(counts)} concepts, expected "
            f"{published.concepts[place]} concepts x {each}{odd}",
            len(pictures),
        )


def _names(value: Any) -> tuple[str, ...] | None:
    names = _strings(value)
    return tuple(names) if names and len(set(names)) == len(names) else None


def _strings(value: Any) -> list[str] | None:
    items = value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(items, StoredArray):
        items = items.read().tolist()
    if not isinstance(items, (list, tuple)) or not all(isinstance(i, str) for i in items):
        return None
    return list(items)


def _numbers(value: Any) -> npt.NDArray[np.float64] | None:
    try:
        numbers = np.asarray(value.read() if isinstance(value, StoredArray) else value, np.float64)
    except (TypeError, ValueError):
        return None
    return numbers if numbers.ndim == 1 and np.isfinite(numbers).all() else None
