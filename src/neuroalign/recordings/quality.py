"""Look at a recording as it is: what is odd about it, and whether two are the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

Severity = Literal["note", "warning", "error", "fatal"]
Signals = npt.NDArray[np.float64]

_FLAT_S = 1.0
_FEW_EVENTS = 10
_SHORT_S = 60.0
_TOO_CLOSE_S = 0.1


@dataclass(frozen=True)
class Finding:
    """Something odd about a recording.

    Attributes
    ----------
    where : str
        The recording, and the channel where it concerns one.
    what : str
    severity : {"note", "warning", "error", "fatal"}
        "error": this recording or channel cannot be used as it is; "fatal": nothing can be
        prepared before it is put right.
    count : int
        How many events, samples, seconds or channels it concerns (`what` says which).
    channel : str or None
    """

    where: str
    what: str
    severity: Severity
    count: int
    channel: str | None = None


def inspect_recording(raw: Any, events: pd.DataFrame, where: str = "") -> list[Finding]:
    """Check one continuous recording and its events.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        EEG or MEG channels (picks of other types are not looked at).
    events : pandas.DataFrame
        A column `onset` (seconds from the first sample); a column `trial_type` where known.
    where : str
        The name of the recording, for the findings.

    Returns
    -------
    list of Finding
        The worst first; empty if nothing is odd.
    """
    picked = raw.copy().pick(["eeg", "meg"], exclude=()) if len(raw.ch_names) else raw
    data = picked.get_data()
    found = list(_inspect_events(events, data.shape[1], float(raw.info["sfreq"]), where))
    found += _inspect_marks(raw, where)
    found += _inspect_signals(data, float(raw.info["sfreq"]), tuple(picked.ch_names), where)
    return sorted(found, key=lambda f: ("fatal", "error", "warning", "note").index(f.severity))


def _inspect_events(
    events: pd.DataFrame, n_samples: int, sfreq: float, where: str
) -> Iterator[Finding]:
    duration = n_samples / sfreq
    onsets = events["onset"].to_numpy(np.float64)
    if duration < _SHORT_S:
        yield Finding(
            where, f"short: {duration:.1f} s (seconds recorded)", "warning", int(duration)
        )
    if len(onsets) == 0:
        yield Finding(where, "no events", "error", 0)
        return
    if len(onsets) < _FEW_EVENTS:
        yield Finding(
            where,
            f"nearly empty: {len(onsets)} event(s) in {duration:.0f} s",
            "warning",
            len(onsets),
        )
    elif (silence := duration - onsets.max()) > max(10.0, 0.2 * duration):
        yield Finding(
            where, f"events stop {silence:.0f} s before the recording does", "note", int(silence)
        )
    checks: tuple[tuple[npt.NDArray[np.bool_], str, Severity], ...] = (
        (~np.isfinite(onsets), "event(s) without an onset", "warning"),
        (onsets < 0, "event(s) before the first sample", "warning"),
        (onsets >= duration, "event(s) after the last sample", "warning"),
        (
            (onsets >= 0) & (onsets < _TOO_CLOSE_S),
            f"event(s) in the first {_TOO_CLOSE_S:g} s, with no baseline before them",
            "note",
        ),
    )
    for mask, what, severity in checks:
        if mask.any():
            yield Finding(where, what, severity, int(mask.sum()))
    gaps = np.diff(onsets[np.isfinite(onsets)])
    if (gaps < 0).any():
        yield Finding(where, "event(s) out of order", "warning", int((gaps < 0).sum()))
    close = np.abs(gaps) < _TOO_CLOSE_S
    if close.any():
        yield Finding(
            where,
            f"event(s) less than {_TOO_CLOSE_S:g} s after the one before (twice the same?)",
            "warning",
            int(close.sum()),
        )
    if "trial_type" in events and len(onsets) >= _FEW_EVENTS:
        classes = events["trial_type"].dropna().unique()
        if len(classes) == 1:
            yield Finding(where, f"only one class of event: {classes[0]}", "warning", len(onsets))


def _inspect_marks(raw: Any, where: str) -> Iterator[Finding]:
    skips = [d for d in raw.annotations.description if "ACQ_SKIP" in d or d.startswith("EDGE")]
    if skips:
        yield Finding(where, "gap(s) in the recording's clock", "warning", len(skips))
    for channel in raw.info["bads"]:
        yield Finding(
            f"{where} {channel}".strip(), "marked as bad by its authors", "error", 1, channel
        )


def _inspect_signals(
    data: Signals, sfreq: float, names: tuple[str, ...], where: str
) -> Iterator[Finding]:
    missing = ~np.isfinite(data)
    for name, lost in zip(names, missing.sum(axis=1).tolist(), strict=True):
        if lost:
            yield _at(where, name, "sample(s) are NaN or infinite", "error", lost)
    data = np.where(missing, 0.0, data)
    steps = np.diff(data, axis=1)
    frozen = _longest_stretch((steps == 0).all(axis=0))
    if len(names) > 1 and frozen >= max(5, 0.05 * sfreq):
        yield Finding(where, "sample(s) in a row repeat on all channels", "warning", frozen)
    limits = _shared_limits(data)
    for position, name in enumerate(names):
        yield from _inspect_channel(data[position], steps[position], sfreq, name, limits, where)
    yield from _inspect_pairs(data, names, where)


def _inspect_channel(
    signal: Signals, step: Signals, sfreq: float, name: str, limits: frozenset[float], where: str
) -> Iterator[Finding]:
    still = _longest_stretch(step == 0)
    if np.ptp(signal) == 0:
        yield _at(where, name, "flat: the signal never changes", "error", len(signal))
        return
    if still >= _FLAT_S * sfreq:
        yield _at(where, name, "sample(s) in a row are flat", "warning", still)
    railed = np.isin(signal, sorted(limits)).sum() if limits else 0
    if railed:
        share = railed / len(signal)
        bad = share > 0.01
        yield _at(
            where,
            name,
            f"sample(s) at the amplifier's limit ({share:.1%})",
            "error" if bad else "warning",
            int(railed),
        )
        if bad:
            return
    centre, spread = _centre_and_spread(signal)
    if abs(centre) > 50 * spread:
        yield _at(where, name, f"offset of {abs(centre) / spread:.0f} times its spread", "note", 1)
    second = max(1, round(sfreq))
    whole = signal[: len(signal) // second * second].reshape(-1, second)
    if len(whole) >= 10:
        ranges = np.ptp(whole, axis=1)
        wild = int((ranges > 8 * np.median(ranges)).sum())
        if wild:
            what = "second(s) with more than 8 times the usual range (artefacts)"
            yield _at(where, name, what, "note", wild)


def _inspect_pairs(data: Signals, names: tuple[str, ...], where: str) -> Iterator[Finding]:
    varying = np.flatnonzero(np.ptp(data, axis=1) > 0)
    if len(varying) < 2:
        return
    alike = np.triu(np.abs(np.corrcoef(data[varying])) > 0.9999, 1)
    for first, second in zip(*np.nonzero(alike), strict=True):
        pair = f"{names[varying[first]]} and {names[varying[second]]}"
        yield Finding(where, f"{pair} carry the same signal (bridged or copied)", "warning", 2)


def _shared_limits(data: Signals) -> frozenset[float]:
    """Return the values at which an amplifier cut channels off.

    A limit is an extreme far outside the channel's usual range that two channels share, or that
    a channel sits at for a part of the recording.
    """
    limits: set[float] = set()
    for extreme in (data.min(axis=1), data.max(axis=1)):
        hits = (data == extreme[:, None]).sum(axis=1)
        for position, value in enumerate(extreme):
            centre, spread = _centre_and_spread(data[position])
            far = abs(value - centre) > 10 * spread
            shared = (extreme == value).sum() > 1
            stuck = hits[position] > 0.001 * data.shape[1] and hits[position] > 10
            if (far and shared) or (stuck and np.ptp(data[position]) > 0 and (far or shared)):
                limits.add(float(value))
    return frozenset(limits)


def _centre_and_spread(signal: Signals) -> tuple[float, float]:
    low, centre, high = np.percentile(signal, [25, 50, 75])
    spread = (high - low) / 1.349
    return float(centre), float(spread or np.std(signal) or 1.0)


def _longest_stretch(mask: npt.NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _at(where: str, channel: str, what: str, severity: Severity, count: int) -> Finding:
    return Finding(f"{where} {channel}".strip(), what, severity, count, channel)


@dataclass
class Fingerprints:
    """Remembers the recordings it was shown, to tell when a signal comes a second time.

    Short stretches of a signal are hashed at places that the signal itself chooses, so a copy is
    found though it was cut, or begins at another time.
    """

    _seen: dict[int, str] = field(default_factory=dict)

    def add(self, name: str, signals: npt.ArrayLike) -> tuple[str, float] | None:
        """Remember a recording, unless it shares its signal with an earlier one.

        Parameters
        ----------
        name : str
        signals : array of shape (channels, samples)

        Returns
        -------
        (earlier, share) or None
            The name of the earlier recording and the share of this one that is the same.
        """
        marks = _marks(np.asarray(signals))
        shared = [self._seen[m] for m in marks if m in self._seen]
        if len(shared) >= 3:
            earlier = max(set(shared), key=shared.count)
            return earlier, shared.count(earlier) / len(marks)
        self._seen.update(dict.fromkeys(marks, name))
        return None


def _marks(data: npt.NDArray[Any], width: int = 16, one_in: int = 32) -> set[int]:
    """Hash windows of `width` samples, keeping those whose hash is a multiple of `one_in`."""
    if data.shape[1] < width:
        return set()
    values = np.ascontiguousarray(data, np.float32).view(np.uint32).astype(np.uint64)
    odd = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        sample = np.zeros(data.shape[1], np.uint64)
        for row in values:
            sample = (sample ^ row) * odd
            sample ^= sample >> np.uint64(29)
        window = np.zeros(len(sample) - width + 1, np.uint64)
        for shift in range(width):
            window = (window ^ sample[shift : shift + len(window)]) * odd
            window ^= window >> np.uint64(31)
    # A signal that stands still looks like any other that does.
    moving = np.convolve(np.any(np.diff(data, axis=1) != 0, axis=0), np.ones(width - 1), "valid")
    return set(window[(window % np.uint64(one_in) == 0) & (moving > width // 2)].tolist())


def findings_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Return one row per finding: where, what, severity, count."""
    columns = ["where", "what", "severity", "count"]
    return pd.DataFrame([{c: getattr(f, c) for c in columns} for f in findings], columns=columns)
