"""Whether two recordings hold the same signal, to the last bit or in another scale or reference.

Both kinds of trace are made of one recording alone, channel by channel, and are small, so that
recordings of any size are compared without their signals.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

Signals = npt.NDArray[Any]

_WIDTH, _ONE_IN, _MOST_MARKS = 16, 32, 20_000
_RATE, _MOST_CHANNELS, _CLIP = 20.0, 4, 4.0
#: Far from chance: 0.36 at most between any two of 19 real recordings, at any shift.
SAME, ALIKE = 0.95, 0.6
_LEAST_OVERLAP_S = 10.0


class MarkMaker:
    """Hashes short stretches of a signal at places that the signal itself chooses.

    So a copy is found though it was cut, or begins at another time.
    """

    def __init__(self, n_samples: int) -> None:
        self._samples = np.zeros(n_samples, np.uint64)
        self._changes = np.zeros(max(0, n_samples - 1), bool)

    def add(self, rows: Signals) -> None:
        """Take the next channels, shape (channels, samples)."""
        odd = np.uint64(0x9E3779B97F4A7C15)
        with np.errstate(over="ignore"):
            for row in np.ascontiguousarray(rows, np.float32).view(np.uint32).astype(np.uint64):
                self._samples = (self._samples ^ row) * odd
                self._samples ^= self._samples >> np.uint64(29)
        self._changes |= np.any(np.diff(rows, axis=1) != 0, axis=0)

    def marks(self) -> npt.NDArray[np.uint64]:
        """Return the marks, each once, in order of size; the lowest ones where they are many."""
        window = self._windows()
        return np.unique(window)[:_MOST_MARKS]

    def repeats(self) -> int:
        """Count the marks that the recording holds more than once."""
        _, counts = np.unique(self._windows(), return_counts=True)
        return int((counts > 1).sum())

    def _windows(self) -> npt.NDArray[np.uint64]:
        if len(self._samples) < _WIDTH:
            return np.zeros(0, np.uint64)
        odd = np.uint64(0x9E3779B97F4A7C15)
        window = np.zeros(len(self._samples) - _WIDTH + 1, np.uint64)
        with np.errstate(over="ignore"):
            for shift in range(_WIDTH):
                window = (window ^ self._samples[shift : shift + len(window)]) * odd
                window ^= window >> np.uint64(31)
        # A signal that stands still looks like any other that does.
        moving = np.convolve(self._changes, np.ones(_WIDTH - 1), "valid") > _WIDTH // 2
        chosen: npt.NDArray[np.uint64] = window[(window % np.uint64(_ONE_IN) == 0) & moving]
        return chosen


class OutlineMaker:
    """Keeps the slow course of a few channels: the same whatever scale or reference they have.

    Parameters
    ----------
    names : sequence of str
        Of all channels; those that are kept are chosen by name, so their order does not matter.
    sfreq : float
        Samples per second.
    n_samples : int
    rereference : bool
        Subtract the mean of all channels (EEG).
    """

    def __init__(
        self, names: Sequence[str], sfreq: float, n_samples: int, *, rereference: bool
    ) -> None:
        count = int(n_samples * _RATE / sfreq)
        self._edges = np.unique(np.rint(np.arange(count) * sfreq / _RATE).astype(int))
        self._names, self._taken = list(names), 0
        ranked = sorted(self._names)
        chosen = ranked[:: max(1, -(-len(ranked) // _MOST_CHANNELS))]
        self._courses: dict[str, npt.NDArray[np.float64]] = dict.fromkeys(chosen, np.zeros(0))
        self._sum = np.zeros(len(self._edges))
        self._rereference = rereference and len(ranked) > 2

    def add(self, rows: Signals) -> None:
        """Take the next channels, shape (channels, samples), without NaN."""
        if len(self._edges) == 0:
            return
        for row in rows:
            course = np.add.reduceat(row, self._edges)
            self._sum += course
            if (name := self._names[self._taken]) in self._courses:
                self._courses[name] = course
            self._taken += 1

    def outline(self) -> dict[str, str]:
        """Return the courses by channel: changes in 20ths of a second, as text."""
        mean = self._sum / len(self._names) if self._rereference else 0.0
        outline = {}
        for name, course in self._courses.items():
            if len(self._edges) < _RATE * _LEAST_OVERLAP_S:
                continue
            change = np.diff(course - mean)
            scale = np.percentile(np.abs(change), 75)
            if scale > 1e-9 * np.abs(course).max(initial=1e-30):
                steps = np.clip(change / scale, -_CLIP, _CLIP) * (127 / _CLIP)
                outline[name] = base64.b64encode(np.rint(steps).astype(np.int8).tobytes()).decode()
        return outline


@dataclass(frozen=True)
class Alike:
    """Two recordings that hold the same signal, changed: `correlation` over `seconds`."""

    first: str
    second: str
    correlation: float
    seconds: float


def alike(outlines: dict[str, dict[str, str]]) -> list[Alike]:
    """Compare the outlines of recordings, by name, at every shift in time.

    Returns
    -------
    list of Alike
        Pairs that correlate by at least `ALIKE` over ten seconds or more, the better first.
    """
    courses = {name: _decoded(outline) for name, outline in outlines.items() if outline}
    longest = max((len(c) for own in courses.values() for c in own.values()), default=0)
    size = scipy.fft.next_fast_len(2 * longest, real=True) if longest else 0
    spectra = {
        n: {c: scipy.fft.rfft(x, size) for c, x in own.items()} for n, own in courses.items()
    }
    energies = {n: {c: _running(x) for c, x in own.items()} for n, own in courses.items()}
    found = []
    for first, second in itertools.combinations(courses, 2):
        shared = sorted(set(courses[first]) & set(courses[second]))
        if not shared:
            continue
        product = sum(spectra[first][c] * spectra[second][c].conj() for c in shared)
        one = np.sum([energies[first][c] for c in shared], axis=0)
        two = np.sum([energies[second][c] for c in shared], axis=0)
        score, overlap = _best(scipy.fft.irfft(product, size), one, two)
        if score >= ALIKE:
            found.append(Alike(first, second, score, overlap / _RATE))
    return sorted(found, key=lambda a: -a.correlation)


@dataclass
class Fingerprints:
    """Remembers the marks of recordings, to tell when a signal comes a second time."""

    _seen: dict[int, str] = field(default_factory=dict)

    def add(self, name: str, marks: npt.NDArray[np.uint64]) -> tuple[str, float] | None:
        """Remember a recording, unless it shares its signal with an earlier one.

        Parameters
        ----------
        name : str
        marks : array of uint64
            Of `MarkMaker`.

        Returns
        -------
        (earlier, share) or None
            The name of the earlier recording and the share of this one that is the same.
        """
        numbers = marks.tolist()
        shared = [self._seen[m] for m in numbers if m in self._seen]
        if len(shared) >= 3:
            earlier = max(sorted(set(shared)), key=shared.count)
            return earlier, shared.count(earlier) / len(numbers)
        self._seen.update(dict.fromkeys(numbers, name))
        return None


def marks_as_text(marks: npt.NDArray[np.uint64]) -> str:
    """Return marks as JSON can hold them in little space."""
    return base64.b64encode(marks.astype("<u8").tobytes()).decode()


def marks_from_text(text: str) -> npt.NDArray[np.uint64]:
    """Return what `marks_as_text` was given."""
    return np.frombuffer(base64.b64decode(text), "<u8").astype(np.uint64)


def _decoded(outline: dict[str, str]) -> dict[str, npt.NDArray[np.float32]]:
    return {
        name: np.frombuffer(base64.b64decode(text), np.int8).astype(np.float32)
        for name, text in outline.items()
    }


def _running(course: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the energy up to each step, from 0 on."""
    return np.concatenate([[0.0], np.cumsum(course.astype(np.float64) ** 2)])


def _best(
    products: npt.NDArray[Any], first: npt.NDArray[Any], second: npt.NDArray[Any]
) -> tuple[float, int]:
    """Return the strongest correlation over shifts, each over its own overlap, and that overlap.

    Parameters
    ----------
    products : array
        The sum of products for each shift; negative shifts count from the end.
    first, second : arrays
        The energies of the two up to each step.
    """
    long, short = len(first) - 1, len(second) - 1
    shifts = np.arange(-(short - 1), long)
    begin, end = np.maximum(shifts, 0), np.minimum(shifts + short, long)
    enough = end - begin >= min(_RATE * _LEAST_OVERLAP_S, min(long, short)) - 1
    shifts, begin, end = shifts[enough], begin[enough], end[enough]
    energy = (first[end] - first[begin]) * (second[end - shifts] - second[begin - shifts])
    scores = np.abs(products[shifts]) / np.sqrt(np.maximum(energy, 1.0))
    best = int(scores.argmax())
    return float(scores[best]), int(end[best] - begin[best])
