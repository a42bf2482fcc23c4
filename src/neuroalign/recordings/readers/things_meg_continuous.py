"""Stretches of a continuous recording that hold no signal: dropouts, and gaps in its clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroalign.signals.preprocessing import Preprocessing

CLOCK = "SCLK01"
_SHORTEST_S = 0.01
_GAP_S = 0.01


@dataclass(frozen=True)
class Stretch:
    """Where the signals cannot be trusted.

    Attributes
    ----------
    start, end : float
        In seconds of the recording. Time that is missing (a gap) has no place in it: `end` is
        then `start`.
    seconds : float
        How long it is, or how much time is missing.
    first, last : int
        Samples, `last` not included.
    """

    start: float
    end: float
    seconds: float
    first: int
    last: int


def flat_stretches(signals: npt.NDArray[np.float32], sfreq: float) -> list[Stretch]:
    """Find where all channels stand still at once for 10 ms or more: the system dropped out.

    Parameters
    ----------
    signals : array of shape (channels, samples)
    """
    still = np.ones(signals.shape[1] - 1, bool)
    for row in signals:
        if np.ptp(row) > 0:  # a dead channel is another fault
            still &= row[1:] == row[:-1]
    if still.all():
        return []
    edges = np.flatnonzero(np.diff(np.concatenate([[False], still, [False]]).astype(np.int8)))
    found = []
    for first, last in zip(edges[::2].tolist(), (edges[1::2] + 1).tolist(), strict=True):
        if (last - first) / sfreq >= _SHORTEST_S:
            begin, length = first / sfreq, (last - first) / sfreq
            found.append(Stretch(begin, begin + length, length, first, last))
    return found


def fill_stretches(signals: npt.NDArray[np.float32], stretches: Sequence[Stretch]) -> None:
    """Fill stretches with each channel's median over the whole recording, in place."""
    if not stretches:
        return
    for row in signals:
        middle = np.median(row)
        for stretch in stretches:
            row[stretch.first : stretch.last] = middle


def clock_gaps(raw: Any) -> list[Stretch]:
    """Find where the recording's own clock jumps: samples are missing between two neighbours.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Recordings without a channel of the clock have no gaps that could be found.
    """
    names = [n for n in raw.ch_names if n.startswith(CLOCK)]
    sfreq = float(raw.info["sfreq"])
    second = max(1, round(sfreq))
    if not names or raw.n_times <= 2 * second:
        return []
    clock = raw.get_data(picks=names[:1], verbose="error")[0]
    # A clock may count in steps coarser than a sample, so its unit is taken over whole seconds.
    unit = float(np.median(clock[second:] - clock[:-second])) / (second / sfreq)
    if unit <= 0:
        return []
    jumps = np.diff(clock) / unit
    found = []
    for place in np.flatnonzero((jumps > 1 / sfreq + _GAP_S) | (jumps < -_GAP_S)).tolist():
        start = (place + 1) / sfreq
        missing = float(abs(jumps[place])) - 1 / sfreq
        found.append(Stretch(start, start, missing, place, place + 1))
    return found


def touched(
    onsets_s: npt.NDArray[np.float64], stretches: Sequence[Stretch], settings: Preprocessing
) -> npt.NDArray[np.bool_]:
    """Say which trials overlap with one of the stretches.

    Parameters
    ----------
    onsets_s : array of shape (n_trials,)
    """
    hit = np.zeros(len(onsets_s), bool)
    for stretch in stretches:
        hit |= (onsets_s + settings.tmin < stretch.end) & (onsets_s + settings.tmax > stretch.start)
    return hit
