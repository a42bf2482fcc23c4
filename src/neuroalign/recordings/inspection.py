"""Look at the signals of one recording, a few channels at a time: what of them is odd."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.recordings.copies import MarkMaker, OutlineMaker, marks_as_text
from neuroalign.recordings.event_checks import inspect_events
from neuroalign.recordings.quality import Finding, Severity
from neuroalign.recordings.signal_rows import Rows

Floats = npt.NDArray[np.float64]

_ORDER = ("fatal", "error", "warning", "note")
_FLAT_S = 1.0
_MOST_PAIRED = 4_000_000
_FEW_VALUES = 16
#: Power at the mains frequency against that beside it.
_HUM = 10.0
#: What the range within a second usually is, in SI units; anything else is in another unit.
_PLAUSIBLE = {"eeg": (1e-6, 5e-3), "mag": (1e-14, 1e-9), "grad": (1e-13, 1e-8)}
#: Units to speak of channel types in, and their factors from SI units.
UNIT_OF = {"eeg": ("µV", 1e6), "mag": ("fT", 1e15), "grad": ("fT/cm", 1e13)}


@dataclass(frozen=True)
class Inspection:
    """What one recording looks like.

    Attributes
    ----------
    findings : list of Finding
        The worst first.
    marks, outline : traces to know a copy by; see `neuroalign.recordings.copies`.
    usual_range : float
        The median over channels of the usual range within a second, in SI units.
    """

    findings: list[Finding]
    marks: str
    outline: dict[str, str]
    usual_range: float


@dataclass(frozen=True)
class _Channel:
    """What is known of a channel when all of its samples were seen once."""

    lost: int
    still: int
    low: float
    high: float
    at_low: int
    at_high: int
    centre: float
    spread: float
    ranges: Floats
    distinct: int
    hum: float

    @property
    def flat(self) -> bool:
        return self.high == self.low


def plausible_range(kind: str) -> tuple[float, float]:
    """Return between which values (SI units) the usual range of such channels lies."""
    return _PLAUSIBLE[kind]


def inspect_recording(
    raw: Any, events: pd.DataFrame, where: str = "", *, line_freq: float | None = None
) -> list[Finding]:
    """Check one continuous recording and its events.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        EEG or MEG channels (picks of other types are not looked at).
    events : pandas.DataFrame
        A column `onset` (seconds from the first sample); a column `trial_type` where known.
    where : str
        The name of the recording, for the findings.
    line_freq : float, optional
        The mains frequency in Hz; None: 50 and 60 are looked at.

    Returns
    -------
    list of Finding
        The worst first; empty if nothing is odd.
    """
    picked = raw.copy().pick(["eeg", "meg"], exclude=())
    data = picked.get_data()
    with Rows(len(data), data.shape[1], np.float64, most_bytes=data.nbytes) as rows:
        rows.write(0, 0, data)
        return inspect_rows(rows, picked, events, where, line_freq=line_freq).findings


def inspect_rows(
    rows: Rows, raw: Any, events: pd.DataFrame, where: str, *, line_freq: float | None = None
) -> Inspection:
    """Check the signals of a recording that were read into `rows`, and its events.

    Parameters
    ----------
    rows : Rows
        The channels of `raw`, in SI units.
    raw : mne.io.BaseRaw
        Only its names, types, rate and annotations are used.
    events, where, line_freq
        See `inspect_recording`.
    """
    names, kinds = tuple(raw.ch_names), raw.get_channel_types()
    sfreq, samples = float(raw.info["sfreq"]), rows.shape[1]
    found = list(inspect_events(events, samples, sfreq, where))
    found += _inspect_marks(raw, where)
    maker = MarkMaker(samples)
    outline = OutlineMaker(names, sfreq, samples, rereference="eeg" in kinds)
    channels: list[_Channel] = []
    moving = np.zeros(max(0, samples - 1), bool)
    thin: list[npt.NDArray[Any]] = []
    every = max(1, -(-rows.shape[0] * samples // _MOST_PAIRED))
    lines = (50.0, 60.0) if line_freq is None else (line_freq,)
    for _, block in rows.row_groups():
        missing = ~np.isfinite(block)
        clean = np.where(missing, 0.0, block)
        steps = np.diff(clean, axis=1)
        moving |= (steps != 0).any(axis=0)
        maker.add(block)
        outline.add(clean)
        thin.append(clean[:, ::every].copy())
        channels += [
            _channel(c, s, int(m.sum()), sfreq, lines)
            for c, s, m in zip(clean, steps, missing, strict=True)
        ]
    found += [
        _at(where, n, "sample(s) are NaN or infinite", "error", c.lost)
        for n, c in zip(names, channels, strict=True)
        if c.lost
    ]
    frozen = _longest_stretch(~moving)
    if len(names) > 1 and frozen >= max(5, 0.05 * sfreq):
        what = "sample(s) in a row repeat on all channels"
        found.append(Finding(where, what, "warning", frozen))
    found += _inspect_channels(rows, channels, names, sfreq, where)
    found += _inspect_pairs(np.concatenate(thin), names, where)
    found += _inspect_amplitudes(channels, names, kinds, where)
    found += _inspect_hum(channels, names, lines, where)
    if (again := maker.repeats()) >= 3:
        what = "stretch(es) of signal come twice within the recording (buffers written again?)"
        found.append(Finding(where, what, "warning", again))
    usual = [float(np.median(c.ranges)) for c in channels if len(c.ranges) and not c.flat]
    found.sort(key=lambda f: _ORDER.index(f.severity))
    return Inspection(
        found,
        marks_as_text(maker.marks()),
        outline.outline(),
        float(np.median(usual)) if usual else 0.0,
    )


def _channel(
    signal: Floats, step: Floats, lost: int, sfreq: float, lines: Sequence[float]
) -> _Channel:
    centre, spread = _centre_and_spread(signal)
    second = max(1, round(sfreq))
    whole = signal[: len(signal) // second * second].reshape(-1, second)
    low, high = float(signal.min()), float(signal.max())
    return _Channel(
        lost,
        _longest_stretch(step == 0),
        low,
        high,
        int((signal == low).sum()),
        int((signal == high).sum()),
        centre,
        spread,
        np.ptp(whole, axis=1) if len(whole) else np.zeros(0),
        len(np.unique(signal[:20_000])),
        _hum(signal, sfreq, lines),
    )


def _inspect_marks(raw: Any, where: str) -> Iterator[Finding]:
    skips = [d for d in raw.annotations.description if "ACQ_SKIP" in d or d.startswith("EDGE")]
    if skips:
        yield Finding(where, "gap(s) in the recording's clock", "warning", len(skips))
    for channel in raw.info["bads"]:
        yield _at(where, channel, "marked as bad by its authors", "error", 1)


def _inspect_channels(
    rows: Rows, channels: Sequence[_Channel], names: Sequence[str], sfreq: float, where: str
) -> Iterator[Finding]:
    limits = _shared_limits(channels, rows.shape[1])
    at_limit = np.zeros(len(names), int)
    if limits:
        at_limit = np.concatenate(
            [np.isin(block, sorted(limits)).sum(axis=1) for _, block in rows.row_groups()]
        )
    for name, channel, railed in zip(names, channels, at_limit.tolist(), strict=True):
        yield from _inspect_channel(name, channel, railed, rows.shape[1], sfreq, where)


def _inspect_channel(
    name: str, channel: _Channel, railed: int, samples: int, sfreq: float, where: str
) -> Iterator[Finding]:
    if channel.flat:
        yield _at(where, name, "flat: the signal never changes", "error", samples)
        return
    if channel.still >= _FLAT_S * sfreq:
        yield _at(where, name, "sample(s) in a row are flat", "warning", channel.still)
    if railed:
        share = railed / samples
        bad = share > 0.01
        what = f"sample(s) at the amplifier's limit ({share:.1%})"
        yield _at(where, name, what, "error" if bad else "warning", railed)
        if bad:
            return
    if abs(channel.centre) > 50 * channel.spread:
        what = f"offset of {abs(channel.centre) / channel.spread:.0f} times its spread"
        yield _at(where, name, what, "note", 1)
    if channel.distinct < _FEW_VALUES:
        what = "distinct value(s) only: a marker channel, or numbers rounded too far"
        yield _at(where, name, what, "warning", channel.distinct)
    if len(channel.ranges) >= 10:
        wild = int((channel.ranges > 8 * np.median(channel.ranges)).sum())
        if wild:
            what = "second(s) with more than 8 times the usual range (artefacts)"
            yield _at(where, name, what, "note", wild)


def _inspect_pairs(data: Floats, names: Sequence[str], where: str) -> Iterator[Finding]:
    varying = np.flatnonzero(np.ptp(data, axis=1) > 0)
    if len(varying) < 2:
        return
    alike = np.triu(np.abs(np.corrcoef(data[varying])) > 0.9999, 1)
    for first, second in zip(*np.nonzero(alike), strict=True):
        pair = f"{names[varying[first]]} and {names[varying[second]]}"
        yield Finding(where, f"{pair} carry the same signal (bridged or copied)", "warning", 2)


def _inspect_amplitudes(
    channels: Sequence[_Channel], names: Sequence[str], kinds: Sequence[str], where: str
) -> Iterator[Finding]:
    """Compare the usual range within a second with what heads give off, and with the others'."""
    for kind in dict.fromkeys(kinds):
        own = {
            n: float(np.median(c.ranges))
            for n, c, k in zip(names, channels, kinds, strict=True)
            if k == kind and len(c.ranges) >= 10 and not c.flat
        }
        if not own or kind not in _PLAUSIBLE:
            continue
        usual = float(np.median(list(own.values())))
        unit, factor = UNIT_OF[kind]
        low, high = _PLAUSIBLE[kind]
        if not low <= usual <= high:
            yield Finding(
                where,
                f"{kind} channels with a usual range of {usual * factor:.3g} {unit} in a second, "
                f"expected {low * factor:.3g} to {high * factor:.3g}: another unit than the file "
                "says?",
                "warning",
                len(own),
            )
        if len(own) < 3:
            continue
        for name, value in own.items():
            if value > 10 * usual:
                yield _at(where, name, f"{value / usual:.0f} times as noisy as others", "note", 1)
            elif value < usual / 10:
                yield _at(where, name, f"{value / usual:.1%} of the others' range", "note", 1)


def _inspect_hum(
    channels: Sequence[_Channel], names: Sequence[str], lines: Sequence[float], where: str
) -> Iterator[Finding]:
    humming = [n for n, c in zip(names, channels, strict=True) if c.hum > _HUM]
    if humming:
        worst = max(c.hum for c in channels)
        mains = " or ".join(f"{f:g}" for f in lines)
        listed = ", ".join(humming[:6]) + (", ..." if len(humming) > 6 else "")
        yield Finding(
            where,
            f"channel(s) with mains hum at {mains} Hz, up to {worst:.0f} times the power beside it "
            f"({listed})",
            "note",
            len(humming),
        )


def _hum(signal: Floats, sfreq: float, lines: Sequence[float]) -> float:
    """Return the power around the mains frequency against that of the bands beside it."""
    length = round(2 * sfreq)
    if len(signal) < 4 * length:
        return 0.0
    middle = len(signal) // 2
    stretch = signal[max(0, middle - 30 * length) : middle + 30 * length]
    pieces = stretch[: len(stretch) // length * length].reshape(-1, length)
    pieces = (pieces - pieces.mean(axis=1, keepdims=True)) * np.hanning(length)
    power = (np.abs(np.fft.rfft(pieces, axis=1)) ** 2).mean(axis=0)
    frequencies = np.fft.rfftfreq(length, 1 / sfreq)
    found = 0.0
    for line in lines:
        apart = np.abs(frequencies - line)
        beside = power[(apart >= 2) & (apart <= 5)]
        if line + 6 <= sfreq / 2 and beside.sum() > 0:
            found = max(found, float(power[apart <= 1].mean() / beside.mean()))
    return found


def _shared_limits(channels: Sequence[_Channel], samples: int) -> frozenset[float]:
    """Return the values at which an amplifier cut channels off.

    A limit is an extreme far outside the channel's usual range that two channels share, or that
    a channel sits at for a part of the recording.
    """
    limits: set[float] = set()
    for side in ("low", "high"):
        extremes = [getattr(c, side) for c in channels]
        for channel, value in zip(channels, extremes, strict=True):
            hits = getattr(channel, f"at_{side}")
            far = abs(value - channel.centre) > 10 * channel.spread
            shared = extremes.count(value) > 1
            stuck = hits > 0.001 * samples and hits > 10
            if (far and shared) or (stuck and not channel.flat and (far or shared)):
                limits.add(float(value))
    return frozenset(limits)


def _centre_and_spread(signal: Floats) -> tuple[float, float]:
    low, centre, high = np.percentile(signal, [25, 50, 75])
    spread = (high - low) / 1.349
    return float(centre), float(spread or np.std(signal) or 1.0)


def _longest_stretch(mask: npt.NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _at(where: str, channel: str, what: str, severity: Severity, count: int) -> Finding:
    return Finding(f"{where} {channel}".strip(), what, severity, count, channel)
