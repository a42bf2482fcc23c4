"""The rule about recordings that stand twice in the data, under two names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.audit.altered import MOST_TRIALS, altered_pairs
from neuroalign.audit.findings import Finding, some
from neuroalign.audit.material import Material
from neuroalign.recordings.container import Recordings

RECORDING_TWICE = "recording-twice"

_BLOCK = 256  # trials read at a time
_ROWS, _SEGMENT, _SPREAD = 16, 64, 512  # how much of a trial is hashed
_FEWEST_SIGNS = 64
_SAME = 0.9999


def recording_twice(material: Material) -> Iterator[Finding]:
    """Find trials whose signals are those of another trial, whatever they are called.

    A sample of each trial is hashed twice: its values; and, where trials have channels and
    samples, whether the signal rises or falls from one sample to the next, which stays the same
    when somebody's channels are standardised with other numbers. What the second finds is compared
    sample by sample. Then copies are looked for that were altered (`altered_pairs`).
    """
    for modality, trials in material.trials.items():
        recordings = material.recordings[modality]
        marks = trials[["subject", "array_row", "part"]].assign(**_marks(recordings, trials))
        pairs = _pairs(marks, "values")
        rising = _pairs(marks, "signs")
        known = set(map(tuple, pairs.tolist()))
        fresh = np.array([p for p in rising.tolist() if tuple(p) not in known], np.int64)
        fresh = fresh.reshape(-1, 2)
        pairs = np.concatenate([pairs, fresh[_alike(recordings, trials, fresh)]])
        known = set(map(tuple, np.sort(pairs, axis=1).tolist()))
        altered = [p for p in altered_pairs(recordings, trials).tolist() if tuple(p) not in known]
        pairs = np.concatenate([pairs, np.array(altered, np.int64).reshape(-1, 2)])
        if len(pairs):
            least = "at least " if altered and len(trials) > MOST_TRIALS else ""
            yield from _report(modality, marks, pairs, least)


def _report(
    modality: str, marks: pd.DataFrame, pairs: npt.NDArray[np.int64], least: str
) -> Iterator[Finding]:
    tested = (marks["part"] == "test").to_numpy(bool)[pairs]
    crossing = tested.any(axis=1) & ~tested.all(axis=1)
    for chosen, leaks in ((pairs[crossing], True), (pairs[~crossing], False)):
        if len(chosen) == 0:
            continue
        count = len(np.unique(chosen))
        names = [f"{_name(marks, a)} = {_name(marks, b)}" for a, b in chosen]
        yield Finding(
            RECORDING_TWICE,
            "refusal" if leaks else "warning",
            modality,
            f"{least}{count} of {len(marks)} trials hold the signal of another trial"
            + (", one in the test set and one in training" if leaks else ", on the same side"),
            count,
            len(marks),
            "A test trial that was trained on is no test."
            if leaks
            else "Such trials count twice: intervals come out too narrow.",
            "find out which name is right, and leave the other recording out when preparing "
            "(`neuroalign prepare bids` does so by itself).",
            some(names),
        )


def _marks(recordings: Recordings, trials: pd.DataFrame) -> dict[str, npt.NDArray[np.object_]]:
    """Hash a sample of each trial; None where there is too little of it to tell trials apart."""
    values = np.full(len(trials), None, object)
    signs = np.full(len(trials), None, object)
    subject = trials["subject"].to_numpy(object)
    rows = trials["array_row"].to_numpy(np.int64)
    for person in recordings.subjects:
        own = np.flatnonzero(subject == person)
        own = own[np.argsort(rows[own])]
        for start in range(0, len(own), _BLOCK):
            part = own[start : start + _BLOCK]
            # Only the sampled pages are read: a trial of MEG is far larger than what is hashed of
            # it. Mapped anew for each block, so that pages once read can go again.
            signals = np.load(recordings.path / "signals" / f"{person}.npy", mmap_mode="r")
            sample = _sample(signals, rows[part])
            moves = np.ptp(sample.reshape(len(sample), -1), axis=1) > 0
            rising = np.diff(sample, axis=-1) > 0
            telling = sample.shape[1] > 1 and rising[0].size >= _FEWEST_SIGNS
            for place, at in enumerate(part):
                if moves[place]:
                    values[at] = _digest(sample[place])
                    signs[at] = _digest(np.packbits(rising[place])) if telling else None
    return {"values": values, "signs": signs}


def _sample(signals: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return a stretch of some channels of each trial, or some voxels: (trials, rows, values)."""
    shape = signals.shape[1:]
    if len(shape) == 1:
        voxels = np.unique(np.linspace(0, shape[0] - 1, min(_SPREAD, shape[0])).astype(int))
        return np.asarray(signals[rows[:, None], voxels], np.float32)[:, None, :]
    flat = signals.reshape(len(signals), -1, shape[-1])
    channels = np.unique(np.linspace(0, flat.shape[1] - 1, min(_ROWS, flat.shape[1])).astype(int))
    length = min(_SEGMENT, shape[-1])
    begin = (shape[-1] - length) // 2
    picked = flat[rows[:, None], channels, begin : begin + length]
    return np.asarray(picked, np.float32)


def _pairs(marks: pd.DataFrame, column: str) -> npt.NDArray[np.int64]:
    """Return (first, other) for each trial with the mark of an earlier one.

    Where a mark stands on both sides, `first` is on the other side than `other`, if it can be.
    """
    found = []
    known = marks[column].dropna()
    for _, group in known[known.duplicated(keep=False)].groupby(known, sort=False):
        rows = marks.index.get_indexer(group.index)
        test = (marks["part"].to_numpy(object)[rows]) == "test"
        if test.any() and not test.all():
            found += [(rows[~test][0], row) for row in rows[test]]
            found += [(rows[test][0], row) for row in rows[~test][1:]]
        else:
            found += [(rows[0], row) for row in rows[1:]]
    return np.array(found, np.int64).reshape(-1, 2)


def _alike(
    recordings: Recordings, trials: pd.DataFrame, pairs: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Compare pairs of trials: every channel of one must be the other's, but for its scale."""
    out = np.zeros(len(pairs), bool)
    subject = trials["subject"].to_numpy(object)
    for i, (a, b) in enumerate(pairs):
        if recordings.feature_shape(subject[a]) != recordings.feature_shape(subject[b]):
            continue
        one, two = (recordings.read([at])[0].astype(np.float64) for at in (a, b))
        one, two = (x.reshape(-1, x.shape[-1]) for x in (one, two))
        one -= one.mean(axis=1, keepdims=True)
        two -= two.mean(axis=1, keepdims=True)
        norms = np.sqrt((one**2).sum(axis=1) * (two**2).sum(axis=1))
        out[i] = bool((np.einsum("ij,ij->i", one, two) >= _SAME * norms).all() and norms.any())
    return out


def _digest(values: npt.NDArray[Any]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=16).digest()


def _name(marks: pd.DataFrame, row: int) -> str:
    return f"{marks['subject'].iloc[row]} trial {marks['array_row'].iloc[row]}"
