"""When pictures came on in a raw THINGS-MEG run, by two witnesses that must agree.

`events.tsv` has onsets corrected by an optical sensor on the screen (the data set's authors use
these); the trigger channel has the computer's own marks, which come at another, near constant
distance. Where that distance changes within a run, one of the two is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import mne
import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding

TRIGGER_CHANNEL = "UPPT001"
PICTURE_CODE, CLOSING_CODE = 64, 32
_FURTHEST_S = 0.6  # pictures follow each other by 1.3 s or more
_FRAME_S = 1 / 60
_SHOWN = 4

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Onsets:
    """Onsets of the trials of a run, in seconds from its first sample; NaN where there is none.

    Attributes
    ----------
    chosen : array of shape (n_trials,)
        The one of the two others that was asked for.
    sensor : array of shape (n_trials,)
        From events.tsv.
    trigger : array of shape (n_trials,)
        From the trigger channel.
    """

    chosen: Times
    sensor: Times
    trigger: Times
    findings: tuple[Finding, ...]

    @property
    def lag_ms(self) -> float | None:
        """The median distance from the trigger to the sensor's onset; None without either."""
        lag = self.sensor - self.trigger
        return float(1000 * np.nanmedian(lag)) if np.isfinite(lag).any() else None


def find_onsets(
    raw: Any, events: pd.DataFrame, where: str, use: Literal["sample", "trigger"]
) -> Onsets:
    """Take the onsets of a run from both witnesses, and compare them.

    Parameters
    ----------
    raw : mne.io.BaseRaw
    events : pandas.DataFrame
        events.tsv, with `sample` counted from the first sample of the recording.
    where : str
    use : {"sample", "trigger"}

    Raises
    ------
    NeuroalignError
        The trigger channel is asked for and not there.
    """
    sfreq = float(raw.info["sfreq"])
    sensor = events["sample"].to_numpy(np.float64) / sfreq
    found: list[Finding] = []
    marks = _marks(raw)
    if marks is None:
        if use == "trigger":
            raise NeuroalignError(
                f"{where}: the recording has no channel {TRIGGER_CHANNEL}, so onsets cannot be "
                "taken from triggers. Use those of events.tsv (--onsets sample)."
            )
        what = f"there is no trigger channel {TRIGGER_CHANNEL}, so onsets cannot be checked"
        found.append(Finding(where, what, "warning", len(events)))
        return Onsets(sensor, sensor, np.full(len(sensor), np.nan), tuple(found))
    times, codes = marks
    shown = times[codes == PICTURE_CODE]
    trigger = _paired(sensor, shown)
    found += _compared(sensor, trigger, shown, codes, where)
    late = int((sensor >= raw.n_times / sfreq).sum())
    if late:
        what = f"{late} onset(s) of events.tsv lie after the end of the recording"
        found.append(Finding(where, what, "warning", late))
    return Onsets(sensor if use == "sample" else trigger, sensor, trigger, tuple(found))


def _marks(raw: Any) -> tuple[Times, npt.NDArray[np.int64]] | None:
    if TRIGGER_CHANNEL not in raw.ch_names:
        return None
    events = mne.find_events(
        raw, TRIGGER_CHANNEL, initial_event=True, shortest_event=1, verbose="error"
    )
    times = (events[:, 0] - raw.first_samp) / float(raw.info["sfreq"])
    return times, events[:, 2].astype(np.int64)


def _paired(sensor: Times, shown: Times) -> Times:
    """Return the trigger of each trial; one by one if there are as many, else the nearest."""
    if len(sensor) == len(shown):
        return shown.copy()
    trigger = np.full(len(sensor), np.nan)
    if len(shown) == 0:
        return trigger
    for place in np.flatnonzero(np.isfinite(sensor)):
        nearest = shown[np.abs(shown - sensor[place]).argmin()]
        if abs(nearest - sensor[place]) < _FURTHEST_S and nearest not in trigger:
            trigger[place] = nearest
    return trigger


def _compared(
    sensor: Times, trigger: Times, shown: Times, codes: npt.NDArray[np.int64], where: str
) -> list[Finding]:
    found = []
    alone = shown[~np.isin(shown, trigger)]
    if len(alone):
        at = ", ".join(f"{t:.2f}" for t in alone[:_SHOWN])
        what = (
            f"{len(alone)} onset(s) without a picture: triggers that no trial belongs to ({at} s)"
        )
        found.append(Finding(where, what, "warning", len(alone)))
    for times, what in (
        (trigger, "picture(s) without an onset in the trigger channel"),
        (sensor, "picture(s) without an onset in events.tsv"),
    ):
        lost = int((~np.isfinite(times)).sum())
        if lost:
            found.append(Finding(where, f"{lost} {what}", "warning", lost))
    closing = int((codes == CLOSING_CODE).sum())
    if closing != 1:
        what = (
            f"{closing} closing trigger(s) of the code {CLOSING_CODE}, expected one: the recording "
            "stopped early or holds more than a run"
        )
        found.append(Finding(where, what, "warning", closing))
    other = codes[~np.isin(codes, (PICTURE_CODE, CLOSING_CODE))]
    if len(other):
        what = f"{len(other)} trigger(s) of unknown codes {sorted(set(other.tolist()))[:_SHOWN]}"
        found.append(Finding(where, what, "warning", len(other)))
    lag = (sensor - trigger)[np.isfinite(sensor) & np.isfinite(trigger)]
    if len(lag):
        middle = float(np.median(lag))
        odd = int((np.abs(lag - middle) > _FRAME_S).sum())
        what = (
            f"onsets of events.tsv come {1000 * middle:.1f} ms after the triggers (median of "
            f"{len(lag)}; from {1000 * lag.min():.1f} to {1000 * lag.max():.1f} ms)"
        )
        if odd:
            what += (
                f", and {odd} differ(s) from that by more than a frame of the screen: one of "
                + ("the two is wrong there")
            )
        found.append(Finding(where, what, "warning" if odd else "note", odd or len(lag)))
    return found
