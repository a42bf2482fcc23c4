"""Look at the events of one recording: what of them is odd."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.recordings.quality import Finding, Severity

Floats = npt.NDArray[np.float64]

FEW_EVENTS = 10
_SHORT_S = 60.0
_TOO_CLOSE_S = 0.1
#: A class with fewer than this share of the events of the most frequent one.
_RARE = 0.25
_ORDERED_Z = 5.0


def inspect_events(
    events: pd.DataFrame, n_samples: int, sfreq: float, where: str
) -> Iterator[Finding]:
    """Check the events of one recording.

    Parameters
    ----------
    events : pandas.DataFrame
        A column `onset` (seconds from the first sample); `trial_type`, `value` and `sample` where
        known.
    n_samples : int
    sfreq : float
        Samples per second.
    where : str
        The name of the recording.
    """
    duration = n_samples / sfreq
    onsets = events["onset"].to_numpy(np.float64)
    if duration < _SHORT_S:
        yield Finding(
            where, f"short: {duration:.1f} s (seconds recorded)", "warning", int(duration)
        )
    if len(onsets) == 0:
        yield Finding(where, "no events", "error", 0)
        return
    yield from _coverage(onsets, duration, where)
    yield from _impossible(onsets, duration, where)
    yield from _rhythm(onsets, where)
    yield from _columns(events, onsets, sfreq, where)
    if "trial_type" in events and len(onsets) >= FEW_EVENTS:
        yield from _classes(events["trial_type"], where)


def _coverage(onsets: Floats, duration: float, where: str) -> Iterator[Finding]:
    known = onsets[np.isfinite(onsets)]
    last = float(known.max(initial=0.0))
    silence = duration - last
    if len(onsets) < FEW_EVENTS:
        stop = f", the last at {last:.1f} s" if len(known) else ""
        yield Finding(
            where,
            f"nearly empty: {len(onsets)} event(s) in {duration:.0f} s{stop}",
            "warning",
            len(onsets),
        )
    elif silence > max(10.0, 0.2 * duration):
        yield Finding(
            where, f"events stop {silence:.0f} s before the recording does", "note", int(silence)
        )
    late = int((known >= duration).sum())
    if late > len(known) / 2:
        yield Finding(
            where,
            f"onsets reach {last:g} s but the recording lasts {duration:.1f} s: are they in "
            "samples or milliseconds?",
            "error",
            late,
        )


def _impossible(onsets: Floats, duration: float, where: str) -> Iterator[Finding]:
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


def _rhythm(onsets: Floats, where: str) -> Iterator[Finding]:
    known = onsets[np.isfinite(onsets)]
    gaps = np.diff(known)
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
    between = np.diff(np.sort(known))
    if len(between) >= FEW_EVENTS:
        usual = float(np.median(between))
        long = between > max(5 * usual, usual + 2.0)
        if long.any():
            yield Finding(
                where,
                f"pause(s) between events of up to {between.max():.1f} s, usually {usual:.2f} s "
                "(a break, or missing events)",
                "note",
                int(long.sum()),
            )


def _columns(events: pd.DataFrame, onsets: Floats, sfreq: float, where: str) -> Iterator[Finding]:
    if "sample" in events:
        samples = pd.to_numeric(events["sample"], errors="coerce").to_numpy(np.float64)
        # The first sample may be counted from 0 or from 1.
        apart = np.abs(samples - onsets * sfreq) > 2.0
        if apart.any():
            yield Finding(
                where,
                "event(s) whose `sample` is another moment than their `onset`; the onset is used",
                "warning",
                int(apart.sum()),
            )
    if "trial_type" in events and "value" in events:
        pairs = events[["trial_type", "value"]].dropna().drop_duplicates()
        twice = pairs["value"].duplicated(keep=False)
        if twice.any():
            code = pairs.loc[twice, "value"].iloc[0]
            names = sorted(map(str, pairs.loc[pairs["value"] == code, "trial_type"]))
            yield Finding(
                where,
                f"event code(s) that stand for several classes (`value` {code}: "
                f"{', '.join(names[:4])})",
                "warning",
                int(pairs.loc[twice, "value"].nunique()),
            )


def _classes(column: pd.Series, where: str) -> Iterator[Finding]:
    counts = column.dropna().astype(str).value_counts()
    if len(counts) == 1:
        yield Finding(
            where, f"only one class of event: {counts.index[0]}", "warning", int(counts.iloc[0])
        )
    if not 2 <= len(counts) <= 20:
        return
    rare = counts[counts < _RARE * counts.iloc[0]]
    for name, count in rare.items():
        yield Finding(
            where,
            f"event(s) of the class {name}, against {counts.iloc[0]} of {counts.index[0]}",
            "note",
            int(count),
        )
    yield from _order(column.dropna().astype(str), where)


def _order(labels: pd.Series, where: str) -> Iterator[Finding]:
    """Compare the number of changes of class with that of a shuffled order."""
    values = labels.to_numpy(object)
    shares = labels.value_counts(normalize=True).to_numpy()
    chance = 1 - float((shares**2).sum())
    expected = chance * (len(values) - 1)
    spread = np.sqrt(max(expected * (1 - chance), 1e-9))
    changes = int((values[1:] != values[:-1]).sum())
    if abs(changes - expected) > _ORDERED_Z * spread:
        kind = "in blocks" if changes < expected else "in turn"
        yield Finding(
            where,
            f"changes of class, {expected:.0f} expected by chance: the classes come {kind}, so "
            "drifts of the recording can look like classes",
            "note",
            changes,
        )
