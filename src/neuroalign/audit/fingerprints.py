"""What a trial keeps when its recording is scaled, shifted or referenced anew: short vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.recordings.container import Recordings

#: A copy may be late or early by this many samples.
LARGEST_SHIFT = 5
#: Run numbers of a person begin at a multiple of this.
RUNS = 100_000

_VALUES, _BINS = 256, 64
_FEWEST_VALUES, _FEWEST_SAMPLES = 16, 32
_FEWEST_IN_RUN = 8
_BLOCK = 128  # trials read at a time
_SOME = 256  # trials whose spread stands for a person's

_Floats = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fingerprints:
    """Vectors of trials whose features have one shape.

    Attributes
    ----------
    rows : ndarray of shape (n_trials,)
        Rows of the trial table.
    run : ndarray of shape (n_trials,)
        A number for each run of each person (for each person, where runs are not known).
    place : ndarray of shape (n_trials,)
        The trial's place in its run.
    asked : ndarray of shape (n_asked,)
        Which of these trials are looked up among all.
    sample : ndarray of shape (n_trials, n_values), float32
        Some of a trial's values; none (n_values = 0) where there are too few.
    courses : ndarray of shape (n_kinds, n_trials, n_bins), float32
        How the spread over channels goes up and down within the trial, as a unit vector. It does
        not know the order, sign and reference of channels. Of the channels as they are, and of
        standardised ones; none (n_kinds = 0) where trials have no channels, or few samples.
    shifted : ndarray of shape (n_kinds, n_shifts, n_asked, n_bins), float32
        The same at each shift from `-LARGEST_SHIFT` to `LARGEST_SHIFT`.
    """

    rows: _Rows
    run: _Rows
    place: _Rows
    asked: _Rows
    sample: _Floats
    courses: _Floats
    shifted: _Floats

    def standardised(self) -> list[_Floats]:
        """Return `sample` as unit vectors: as it is, standardised by person, and by run.

        A flat trial is a vector of zeros: it is like no other.
        """
        found = [unit(self.sample)]
        flat = np.ptp(self.sample, axis=1) == 0
        for names in (self.run // RUNS, self.run):
            out = self.sample.copy()
            for own in pd.Series(np.arange(len(names))).groupby(names).indices.values():
                out[own] -= out[own].mean(axis=0)
                spread = out[own].std(axis=0)
                out[own] /= np.where(spread > 0, spread, 1)
            out[flat] = 0
            found.append(unit(out))
        return found


def unit(vectors: _Floats) -> _Floats:
    """Take each row's mean away, and scale it to length 1; a flat row becomes zero."""
    centred: _Floats = vectors - vectors.mean(axis=-1, keepdims=True)
    norm = np.linalg.norm(centred, axis=-1, keepdims=True)
    centred /= np.where(norm > 0, norm, 1)
    return centred


def fingerprints(recordings: Recordings, trials: pd.DataFrame, most: int) -> list[Fingerprints]:
    """Read every trial once, and return what tells it apart: one item for each shape of trials.

    Parameters
    ----------
    recordings : Recordings
    trials : pandas.DataFrame
        Its trial table with the column `part`.
    most : int
        Look up this many trials at most: those of the test first, and of all runs alike.
    """
    run, place = _runs(trials)
    at = trials["array_row"].to_numpy(np.int64)
    subject = trials["subject"].to_numpy(object)
    learnt = (trials["part"] != "test").to_numpy(bool)
    people = pd.Series({p: recordings.feature_shape(p) for p in recordings.subjects})
    found = []
    for shape, group in people.groupby(people, sort=False):
        own = [np.flatnonzero(subject == person) for person in group.index]
        own = [rows[np.argsort(at[rows], kind="stable")] for rows in own]
        rows = np.concatenate(own)
        asked = np.sort(np.lexsort((run[rows], place[rows], learnt[rows]))[:most])
        chosen = np.zeros(len(trials), bool)
        chosen[rows[asked]] = True
        read = [
            _read(recordings, person, at[part], shape, chosen[part])
            for person, part in zip(group.index, own, strict=True)
        ]
        sample, courses, shifted = zip(*read, strict=True)
        found.append(
            Fingerprints(
                rows,
                run[rows],
                place[rows],
                asked,
                np.concatenate(sample),
                np.concatenate(courses, axis=1),
                np.concatenate(shifted, axis=2),
            )
        )
    return found


def _runs(trials: pd.DataFrame) -> tuple[_Rows, _Rows]:
    """Give each run of each person a number, and each trial its place; short runs count as one."""
    names = trials["session"].astype("string").fillna("") + "/"
    names = names + trials["run"].astype("string").fillna("")
    size = names.groupby([trials["subject"], names]).transform("size")
    person = pd.factorize(trials["subject"])[0].astype(np.int64)
    run = person * RUNS + pd.factorize(names.where(size >= _FEWEST_IN_RUN, ""))[0]
    place = trials["array_row"].groupby(run).rank(method="first").to_numpy(np.int64)
    return run, place


def _read(
    recordings: Recordings,
    person: str,
    rows: _Rows,
    shape: tuple[int, ...],
    chosen: npt.NDArray[np.bool_],
) -> tuple[_Floats, _Floats, _Floats]:
    size, samples = int(np.prod(shape)), shape[-1] if len(shape) > 1 else 0
    picked = np.unique(np.linspace(0, size - 1, min(_VALUES, size)).astype(int))
    picked = picked[: len(picked) if size >= _FEWEST_VALUES else 0]
    moving = samples >= _FEWEST_SAMPLES and size > samples
    kinds, shifts = 2 * moving, 2 * LARGEST_SHIFT + 1
    usable = samples - 2 * LARGEST_SHIFT
    width = max(1, usable // _BINS)
    bins = min(_BINS, usable // width) if moving else 0
    begin = (samples - bins * width) // 2
    sample = np.zeros((len(rows), len(picked)), np.float32)
    courses = np.zeros((kinds, len(rows), bins), np.float32)
    shifted = np.zeros((kinds, shifts, int(chosen.sum()), bins), np.float32)
    file = recordings.path / "signals" / f"{person}.npy"
    spread = _spread(file, rows, samples) if moving else np.ones(1, np.float32)
    done = 0
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        # Mapped anew for each block, so that pages once read can go again.
        signals = np.load(file, mmap_mode="r").reshape(-1, size)
        if not moving:
            sample[part] = signals[rows[part, None], picked]
            continue
        block = np.asarray(signals[rows[part]], np.float32)
        sample[part] = block[:, picked]
        channels = block.reshape(len(block), -1, samples)
        channels -= channels.mean(axis=2, keepdims=True)
        mine = np.flatnonzero(chosen[part])
        for kind in range(kinds):
            if kind == 1:
                channels /= spread[:, None]
            power = np.einsum("ncs,ncs->ns", channels, channels) / channels.shape[1]
            course = np.sqrt(np.maximum(power - channels.mean(axis=1) ** 2, 0))
            courses[kind, part] = _binned(course, begin, bins, width)
            for at in range(shifts):
                shifted[kind, at, done : done + len(mine)] = _binned(
                    course[mine], begin + at - LARGEST_SHIFT, bins, width
                )
        done += len(mine)
    return sample, courses, shifted


def _binned(course: _Floats, begin: int, bins: int, width: int) -> _Floats:
    cut = course[:, begin : begin + bins * width]
    return unit(cut.reshape(len(cut), bins, width).mean(axis=2))


def _spread(file: object, rows: _Rows, samples: int) -> _Floats:
    """Return the standard deviation of each channel, from some of the trials."""
    some = rows[np.unique(np.linspace(0, len(rows) - 1, _SOME).astype(int))]
    signals = np.load(str(file), mmap_mode="r")[some].astype(np.float32)
    channels = signals.reshape(len(signals), -1, samples)
    spread = (channels - channels.mean(axis=2, keepdims=True)).std(axis=(0, 2))
    return np.where(spread > 0, spread, 1).astype(np.float32)
