"""Continuous EEG and MEG, one run at a time: inspect, mend, cut into epochs.

What depends on other runs (the order of channels, copies, rejection on the channels that are kept)
is decided when all of them have been read; here it is only noted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

import mne
import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.recordings.inspection import inspect_rows
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.contract import Staged, Write
from neuroalign.recordings.schema import Channel, Dropped
from neuroalign.recordings.signal_rows import Rows
from neuroalign.signals.epochs import Window, peak_to_peak
from neuroalign.signals.preprocessing import Preprocessing, preprocess_run

#: Preprocessed numbers are kept in units of about 1: volts and teslas would underflow float16.
UNITS = {"eeg": ("µV", 1e6), "meg": ("fT", 1e15)}
_MOST_INTERPOLATED = 0.1
#: How MNE marks stretches ("BAD_muscle", "EDGE boundary"); a badge may well be a picture.
_STRETCH = re.compile(r"(bad|edge)([^a-z]|$)", re.IGNORECASE)
_AIMLESS, _TIMELESS = "event(s) with neither class nor picture", "event(s) without an onset"
_BLOCK_BYTES = 2**25


@dataclass(frozen=True)
class Cutting:
    """How runs are cut into trials.

    Attributes
    ----------
    datatype : {"eeg", "meg"}
    settings : Preprocessing
        Rejection is not done here.
    label_column, stimulus_column : str
        Columns of the events that hold the class and the picture; either may be absent.
    classes : sequence of str or None
        Keep only events of these classes.
    min_trials : int
        Runs with fewer usable trials are left out.
    """

    datatype: Literal["eeg", "meg"]
    settings: Preprocessing
    label_column: str
    stimulus_column: str
    classes: Sequence[str] | None
    min_trials: int


def stage_run(
    raw: Any,
    events: pd.DataFrame,
    name: str,
    cutting: Cutting,
    write: Write,
    *,
    line_freq: float | None = None,
) -> Staged:
    """Inspect one recording and write its epochs, a few channels and then a few trials at a time.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Need not be loaded.
    events : pandas.DataFrame
        A column `onset` in seconds from the first sample, and the class or the picture.
    name : str
    cutting : Cutting
    write : callable
        Takes epochs of shape (n_trials, channels, samples), in `UNITS`.
    line_freq : float, optional
        The mains frequency.

    Returns
    -------
    Staged
        A row for each epoch that lies inside the recording: `label`, `stimulus`, `onset_s`,
        `position` (among the trials of the run) and `ranges` (peak to peak of each channel). The
        facts say why the run cannot be used, if so (`unusable`), which trials lie outside it, and
        what it takes to compare it with others.
    """
    raw.pick(cutting.datatype, exclude=())
    trials, dropped = _select(events, name, cutting)
    sfreq = float(raw.info["sfreq"])
    with Rows(len(raw.ch_names), raw.n_times, np.float64) as rows:
        for first, last in rows.column_spans():
            rows.write(0, first, raw.get_data(start=first, stop=last))
        seen = inspect_rows(rows, raw, events, name, line_freq=line_freq)
        findings = list(seen.findings)
        bad = [f for f in findings if f.severity == "error" and f.channel in raw.ch_names]
        names = list(dict.fromkeys(str(f.channel) for f in bad))
        findings += [
            Finding(name, d.reason, "warning", d.trials) for d in dropped if d.reason == _AIMLESS
        ]
        findings += _without_picture(trials, name)
        reach = cutting.settings.reach(sfreq)
        reason = ""
        if len(trials) < cutting.min_trials:
            reason = f"nearly empty: {len(trials)} trial(s), fewer than {cutting.min_trials}"
        elif names and not _mendable(names, raw):
            reason = _unusable(bad, names, raw)
        elif raw.n_times / sfreq <= 2 * reach:
            reason = f"{raw.n_times / sfreq:.1f} s are shorter than the filter ({2 * reach:.1f} s)"
        elif names:
            reason = _interpolate(rows, raw, names)
            if not reason:
                what = f"interpolated: {', '.join(names)}"
                findings.append(Finding(name, what, "warning", len(names)))
        outside: list[tuple[int, str, float]] = []
        table = _no_trials()
        if not reason:
            table, outside = _cut(rows, raw, trials, cutting, write)
    facts = {
        "sfreq": sfreq,
        "channels": [c.model_dump() for c in channels_of(raw)],
        "events": len(events),
        "trials": len(trials),
        "unusable": reason,
        "interpolated": bool(names) and not reason,
        "left_out": [d.model_dump() for d in dropped],
        "outside": outside,
        "marks": seen.marks,
        "outline": seen.outline,
        "usual_range": seen.usual_range,
        "seconds": raw.n_times / sfreq,
        "order": _order_of(trials),
    }
    return Staged(table, facts, findings=tuple(findings))


def unread_run(reason: str) -> Staged:
    """Return what is said of a run whose signals are of no use."""
    return Staged(_no_trials(), {"events": 0, "trials": 0, "unusable": reason, "left_out": []})


def channels_of(raw: Any) -> tuple[Channel, ...]:
    """Return the names, types and positions (head frame) of the channels of an MNE object."""
    kinds = raw.get_channel_types()
    to_head = raw.info["dev_head_t"]
    places = []
    for channel, kind in zip(raw.info["chs"], kinds, strict=True):
        place = np.asarray(channel["loc"][:3], float)
        # MEG sensors are stored in the frame of the device.
        if kind in ("mag", "grad") and to_head is not None and _position(place) is not None:
            place = mne.transforms.apply_trans(to_head, place)
        places.append(place)
    return tuple(
        Channel(name=name, type=kind, position=_position(place))
        for name, kind, place in zip(raw.ch_names, kinds, places, strict=True)
    )


def _select(
    events: pd.DataFrame, name: str, cutting: Cutting
) -> tuple[pd.DataFrame, list[Dropped]]:
    """Keep the events that are trials; those without a known class or picture are listed."""
    columns: Mapping[str, str] = {
        "label": cutting.label_column,
        "stimulus": cutting.stimulus_column,
    }
    trials = pd.DataFrame(
        {
            key: events[column].astype("string")
            if column in events
            else pd.Series(pd.NA, index=events.index, dtype="string")
            for key, column in columns.items()
        }
    ).assign(onset_s=events["onset"].astype(float))
    stretch = trials["label"].str.match(_STRETCH).fillna(False).astype(bool)
    unlabelled = trials["label"].isna() & trials["stimulus"].isna()
    unwanted = (
        ~unlabelled & ~stretch & ~trials["label"].isin(list(cutting.classes))
        if cutting.classes is not None
        else ~unlabelled & False
    )
    timeless = ~np.isfinite(trials["onset_s"]) & ~unlabelled & ~unwanted & ~stretch
    dropped = [
        Dropped(where=name, trials=int(mask.sum()), reason=reason)
        for mask, reason in (
            (stretch, "event(s) that mark a stretch, and are no trials"),
            (unlabelled, _AIMLESS),
            (unwanted, f"not of the classes {', '.join(cutting.classes or ())}"),
            (timeless, _TIMELESS),
        )
        if mask.any()
    ]
    kept = trials[~(stretch | unlabelled | unwanted | timeless)].reset_index(drop=True)
    return kept, dropped


def _without_picture(trials: pd.DataFrame, name: str) -> list[Finding]:
    """Notice trials of a class beside others that have a picture: responses, perhaps."""
    alone = trials.loc[trials["stimulus"].isna(), "label"]
    if len(alone) in (0, len(trials)):
        return []
    kinds = ", ".join(sorted(set(alone))[:4])
    what = f"event(s) with a class ({kinds}) but no picture, though others have one: no trials?"
    return [Finding(name, f"{what} `classes` keeps only some", "warning", len(alone))]


def _mendable(names: Sequence[str], raw: Any) -> bool:
    """Whether these channels are few and have known places, so that others can stand in."""
    placed = all(np.isfinite(c["loc"][:3]).all() and c["loc"][:3].any() for c in raw.info["chs"])
    return placed and len(names) <= _MOST_INTERPOLATED * len(raw.ch_names)


def _unusable(bad: Sequence[Finding], names: Sequence[str], raw: Any) -> str:
    return (
        f"{len(names)} of {len(raw.ch_names)} channels unusable ("
        + "; ".join(f"{f.channel}: {f.count} {f.what}" for f in bad[:4])
        + ")"
    )


def _interpolate(rows: Rows, raw: Any, names: Sequence[str]) -> str:
    """Replace channels by what their neighbours say at each moment; or say why it cannot be."""
    info = raw.info.copy()
    for first, last in rows.column_spans():
        block = mne.io.RawArray(np.array(rows.columns(first, last)), info, verbose="error")
        block.info["bads"] = list(names)
        try:
            block.interpolate_bads(reset_bads=True, verbose="error")
        except (ValueError, RuntimeError) as error:  # no head shape, too few channels
            return f"{', '.join(names)} unusable, and not to be interpolated: {error}"
        rows.write(0, first, block.get_data())
    return ""


def _on_bad_stretch(
    raw: Any, onsets: npt.NDArray[np.float64], settings: Preprocessing
) -> npt.NDArray[np.bool_]:
    """Say which epochs overlap a stretch that annotations mark as bad, such as a gap."""
    marked = [bool(_STRETCH.match(d)) for d in raw.annotations.description]
    if not any(marked):
        return np.zeros(len(onsets), bool)
    raw.set_annotations(raw.annotations[np.flatnonzero(marked)])
    kept = raw.get_data(picks=[0])[0]
    bad = np.isnan(raw.get_data(picks=[0], reject_by_annotation="NaN")[0]) & ~np.isnan(kept)
    until = np.concatenate([[0], np.cumsum(bad)])
    sfreq = float(raw.info["sfreq"])
    begin, end = (
        np.clip(np.rint((onsets + t) * sfreq).astype(int) + more, 0, raw.n_times)
        for t, more in ((settings.tmin, 0), (settings.tmax, 1))
    )
    return np.asarray(until[end] > until[begin])


def _cut(
    rows: Rows, raw: Any, trials: pd.DataFrame, cutting: Cutting, write: Write
) -> tuple[pd.DataFrame, list[tuple[int, str, float]]]:
    """Preprocess group by group of channels, then write the epochs trial by trial."""
    unit, factor = UNITS[cutting.datatype]
    sfreq = float(raw.info["sfreq"])
    settings = replace(cutting.settings, reject=None)
    bad = _on_bad_stretch(raw, trials["onset_s"].to_numpy(np.float64), settings)
    places, good = np.flatnonzero(~bad), trials[~bad]
    onsets = good["onset_s"].to_numpy(np.float64)
    length = len(Window.of(settings.tmin, settings.tmax, settings.rate(sfreq)))
    channels = len(raw.ch_names)
    with ExitStack() as stack:
        for first, block in rows.row_groups():
            cut = preprocess_run(block * factor, sfreq, onsets, settings, unit=unit)
            count = len(cut.epochs)
            if first == 0:
                ranges = np.zeros((count, channels), np.float32)
                epochs = stack.enter_context(Rows(channels, count * length, np.float32))
            ranges[:, first : first + len(block)] = peak_to_peak(cut.epochs)
            by_channel = cut.epochs.transpose(1, 0, 2).reshape(len(block), -1)
            epochs.write(first, 0, by_channel)
        size = max(1, _BLOCK_BYTES // (4 * channels * length))
        for first in range(0, count, size):
            last = min(first + size, count)
            flat = epochs.columns(first * length, last * length)
            write(flat.reshape(channels, last - first, length).transpose(1, 0, 2))
    kept = cut.kept
    table = good[kept].assign(position=places[kept], ranges=list(ranges))
    outside = [
        (int(places[i]), str(cut.reasons[i]), float(onsets[i])) for i in np.flatnonzero(~kept)
    ]
    what = "the epoch overlaps a stretch marked as bad"
    outside += [(int(i), what, float(trials["onset_s"].iloc[i])) for i in np.flatnonzero(bad)]
    return table.reset_index(drop=True), outside


def _no_trials() -> pd.DataFrame:
    nothing = pd.Series([], dtype="string")
    return pd.DataFrame(
        {
            "label": nothing,
            "stimulus": nothing,
            "onset_s": pd.Series([], dtype="float64"),
            "position": pd.Series([], dtype="int64"),
            "ranges": pd.Series([], dtype=object),
        }
    )


def _order_of(trials: pd.DataFrame) -> str:
    """Return a hash of onsets and targets: no two true recordings have the same."""
    text = trials.fillna({"label": "", "stimulus": ""}).to_csv(index=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _position(place: npt.NDArray[np.float64]) -> tuple[float, float, float] | None:
    if not np.isfinite(place).all() or not place.any():
        return None
    return float(place[0]), float(place[1]), float(place[2])
