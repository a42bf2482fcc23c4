"""All runs in view: which are copies, which channels they share, what is rejected and held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.copies import SAME, Fingerprints, alike, marks_from_text
from neuroalign.recordings.quality import Finding, Severity
from neuroalign.recordings.readers.contract import StagedPart
from neuroalign.recordings.schema import Channel, Dropped
from neuroalign.recordings.splits import Run
from neuroalign.recordings.staging import StagedRun
from neuroalign.signals.preprocessing import Preprocessing

#: A range of magnetometers in fT is compared as it is; one of gradiometers (fT/m) in fT/cm.
_PER_CM = 0.01
_FAR = 10.0
#: A run that loses more than this share of its trials deserves a look.
_MUCH = 0.25


@dataclass(frozen=True)
class Chosen:
    """What is used of all runs.

    Attributes
    ----------
    runs : list of StagedRun
    channels : tuple of Channel
        Of the first usable run; the others are brought into their order.
    sfreq : float
        Samples per second of the first usable run.
    interpolated : int
        Runs with channels that others stand in for.
    dropped, findings
    """

    runs: list[StagedRun]
    channels: tuple[Channel, ...]
    sfreq: float
    interpolated: int
    dropped: list[Dropped]
    findings: list[Finding]


def choose(
    staged: Sequence[tuple[Run, StagedPart]],
    settings: Preprocessing,
    unit: str,
    min_trials: int,
) -> Chosen:
    """Decide which runs and trials are used.

    Parameters
    ----------
    staged : sequence of (Run, StagedPart)
        In the order of recording, as `continuous.stage_run` left them.
    settings : Preprocessing
    unit : str
        Of the ranges, for the reasons.
    min_trials : int
        Runs with fewer trials left are left out.

    Raises
    ------
    NeuroalignError
        Sampling rates differ between runs, and no common one is asked for.
    """
    copies, findings = _copies([part for _, part in staged])
    findings += _among_runs([part for _, part in staged])
    kept: list[StagedRun] = []
    dropped: list[Dropped] = []
    channels: tuple[Channel, ...] = ()
    sfreq, interpolated = 0.0, 0
    for run, part in staged:
        facts, name = part.facts, part.part.name
        if name in copies and not facts["unusable"]:
            reason = f"duplicate: {copies[name]}; the first is kept"
            dropped.append(Dropped(where=name, trials=facts["events"], reason=reason))
            continue
        dropped += [Dropped.model_validate(d) for d in facts["left_out"]]
        if facts["unusable"]:
            dropped.append(Dropped(where=name, trials=facts["trials"], reason=facts["unusable"]))
            what = f"left out: {facts['unusable']}"
            findings.append(Finding(name, what, "warning", facts["trials"]))
            continue
        if not channels:
            channels = tuple(Channel.model_validate(c) for c in facts["channels"])
            sfreq = facts["sfreq"]
        wanted, names = [c.name for c in channels], [c["name"] for c in facts["channels"]]
        if lacking := [n for n in wanted if n not in names]:
            reason = f"lacks the channel(s) {', '.join(lacking)} that earlier runs have"
            dropped.append(Dropped(where=name, trials=facts["trials"], reason=reason))
            findings.append(Finding(name, f"left out: {reason}", "warning", facts["trials"]))
            continue
        if extra := [n for n in names if n not in wanted]:
            what = f"further channels left out: {', '.join(extra)}"
            findings.append(Finding(name, what, "note", len(extra)))
        if settings.resample is None and facts["sfreq"] != sfreq:
            raise NeuroalignError(
                f"{name} was recorded at {facts['sfreq']:g} Hz, earlier runs at {sfreq:g} Hz. Give "
                "`resample`, a rate to bring all of them to."
            )
        trials, reasons = _reject(part, channels, settings.reject, unit)
        dropped += reasons
        lost = facts["trials"] - len(trials)
        if lost > _MUCH * facts["trials"]:
            what = f"trials left out of {facts['trials']}: {lost / facts['trials']:.0%} of this run"
            findings.append(Finding(name, what, "warning", lost))
        if len(trials) < min_trials:
            reason = f"{len(trials)} trial(s) left after rejection, fewer than {min_trials}"
            dropped.append(Dropped(where=name, trials=len(trials), reason=reason))
            findings.append(Finding(name, f"left out: {reason}", "warning", len(trials)))
            continue
        interpolated += bool(facts["interpolated"])
        table = trials.assign(session=run.session, run=_run_name(run))
        kept.append(StagedRun(run, part).with_trials(table))
    return Chosen(kept, channels, sfreq, interpolated, dropped, findings)


def people_findings(
    before: Sequence[Run], after: Sequence[StagedRun], dropped: Sequence[Dropped]
) -> list[Finding]:
    """Say who is left out altogether, and whose test trials share a run with the training."""
    left: dict[str, list[StagedRun]] = {}
    for item in after:
        left.setdefault(item.run.subject, []).append(item)
    found = []
    for subject in dict.fromkeys(r.subject for r in before):
        own = left.get(subject, [])
        if not own:
            reasons = [d.reason for d in dropped if d.where == subject] or ["no usable recording"]
            runs = sum(r.subject == subject for r in before)
            found.append(Finding(subject, f"left out: {reasons[0]}", "warning", runs))
        elif (own[0].trials["held_out"] == "part of a run").any():
            what = "usable recording(s): the test trials are the end of the run that trains"
            found.append(Finding(subject, what, "note", len(own)))
    return found


def _copies(parts: Sequence[StagedPart]) -> tuple[dict[str, str], list[Finding]]:
    """Find runs whose signal an earlier one has; one that can be used counts as the earlier.

    Returns
    -------
    copies : mapping from a run that is there twice to what it is a copy of
    findings : list of Finding
        Those, and runs that are alike without being surely the same.
    """
    read = [p for p in parts if "marks" in p.facts]
    ordered = sorted(read, key=lambda p: bool(p.facts["unusable"]))
    events = {p.part.name: int(p.facts["events"]) for p in read}
    prints = Fingerprints()
    copies: dict[str, str] = {}
    findings = []
    for name, part in ((p.part.name, p) for p in ordered):
        copy = prints.add(name, marks_from_text(part.facts["marks"]))
        if copy is not None:
            copies[name] = f"the same signal as {copy[0]} ({copy[1]:.0%} of it)"
            findings.append(Finding(name, copies[name], "error", events[name]))
    for pair in alike(
        {p.part.name: p.facts["outline"] for p in ordered if p.part.name not in copies}
    ):
        if pair.first in copies or pair.second in copies:
            continue
        same = pair.correlation >= SAME
        what = (
            f"{'the same' if same else 'much the same'} signal as {pair.first}, in another scale, "
            f"reference or filter (correlation {pair.correlation:.3f} over {pair.seconds:.0f} s)"
        )
        if same:
            copies[pair.second] = what
        severity: Severity = "error" if same else "warning"
        findings.append(Finding(pair.second, what, severity, events[pair.second]))
    return copies, findings


def _reject(
    part: StagedPart, channels: Sequence[Channel], level: float | None, unit: str
) -> tuple[pd.DataFrame, list[Dropped]]:
    """Leave out trials with too large a range; list them with those outside the recording."""
    facts, name = part.facts, part.part.name
    names = [c["name"] for c in facts["channels"]]
    order = [names.index(c.name) for c in channels]
    reasons: dict[int, tuple[str, float]] = {i: (r, s) for i, r, s in facts["outside"]}
    trials = part.trials
    quiet: npt.NDArray[np.bool_] = np.ones(len(trials), bool)
    if level is not None and len(trials):
        ranges = np.stack(trials["ranges"].to_list())[:, order]
        scale = np.array([_PER_CM if c.type == "grad" else 1.0 for c in channels])
        ranges = ranges * scale.astype(np.float32)
        quiet = np.all(ranges <= level, axis=1)
        wild = trials[~quiet]
        for row, position, onset in zip(
            ranges[~quiet], wild["position"], wild["onset_s"], strict=True
        ):
            worst = channels[int(row.argmax())].name
            what = f"peak to peak above {level:g} {unit} (worst: {worst})"
            reasons[int(position)] = what, float(onset)
    dropped = []
    ordered = [reasons[i] for i in sorted(reasons)]
    for reason in dict.fromkeys(r for r, _ in ordered):
        onsets = [s for r, s in ordered if r == reason]
        text = f"{reason}{_listed(onsets)}"
        dropped.append(Dropped(where=name, trials=len(onsets), reason=text))
    kept = trials[quiet].drop(columns=["position", "ranges"]).reset_index(drop=True)
    return kept, dropped


def _listed(onsets: Sequence[float]) -> str:
    listed = ", ".join(f"{s:.3f}" for s in onsets[:6])
    return f" (onset at {listed}{', ...' if len(onsets) > 6 else ''} s)"


def _run_name(run: Run) -> str | None:
    if not run.others:
        return run.run
    return "_".join([*run.others, *([f"run-{run.run}"] if run.run else [])])


def _among_runs(parts: Sequence[StagedPart]) -> list[Finding]:
    """Compare runs with each other: rates, lengths, amplitudes, events, electrodes."""
    read = [p for p in parts if "usual_range" in p.facts]
    found = _odd_ones(read, "seconds", "s recorded", 0.5)
    found += _odd_ones(read, "events", "event(s)", 0.5)
    found += _odd_ranges(read)
    rates = [p.facts["sfreq"] for p in read]
    if len(set(rates)) > 1:
        usual = max(sorted(set(rates)), key=rates.count)
        found += [
            Finding(p.part.name, f"recorded at {r:g} Hz, others at {usual:g} Hz", "warning", 1)
            for p, r in zip(read, rates, strict=True)
            if r != usual
        ]
    first: dict[str, Any] = {}
    for part in read:
        key, name = part.facts["order"], part.part.name
        if part.facts["trials"] < 10:
            continue
        if key in first and part.facts["marks"] != first[key].facts["marks"]:
            what = f"the same events as {first[key].part.name}, to the millisecond: copied?"
            found.append(Finding(name, what, "warning", part.facts["trials"]))
        first.setdefault(key, part)
    return found + _shared_places(read)


def _odd_ones(parts: Sequence[StagedPart], key: str, unit: str, share: float) -> list[Finding]:
    """Find runs with far less of something than is usual."""
    if len(parts) < 3:
        return []
    usual = float(np.median([p.facts[key] for p in parts]))
    return [
        Finding(
            p.part.name,
            f"{p.facts[key]:.3g} {unit}, where the other recordings have {usual:.3g}",
            "warning",
            int(p.facts[key]),
        )
        for p in parts
        if p.facts[key] < share * usual
    ]


def _odd_ranges(parts: Sequence[StagedPart]) -> list[Finding]:
    """Find runs, and people, whose signals are on quite another scale than the others'."""
    by_person: dict[str, list[StagedPart]] = {}
    for part in parts:
        if part.facts["usual_range"] > 0:
            by_person.setdefault(part.part.subject, []).append(part)
    usual = {
        s: float(np.median([p.facts["usual_range"] for p in own])) for s, own in by_person.items()
    }
    found = []
    for subject, own in by_person.items():
        others = [u for s, u in usual.items() if s != subject]
        ratio = usual[subject] / float(np.median(others)) if len(others) >= 2 else 1.0
        if not 1 / _FAR <= ratio <= _FAR:
            what = f"signals {ratio:.3g} times as large as other people's: another unit?"
            found.append(Finding(subject, what, "warning", len(own)))
        for part in own if len(own) >= 3 else ():
            ratio = part.facts["usual_range"] / usual[subject]
            if not 1 / _FAR <= ratio <= _FAR:
                what = f"signals {ratio:.3g} times as large as in the person's other recordings"
                found.append(Finding(part.part.name, what, "warning", 1))
    return found


def _shared_places(parts: Sequence[StagedPart]) -> list[Finding]:
    """Notice electrode positions that are the same for several people: nobody measured them."""
    places: dict[str, set[str]] = {}
    for part in parts:
        own = [(c["name"], c["position"]) for c in part.facts["channels"] if c["type"] == "eeg"]
        if own and all(p is not None for _, p in own):
            places.setdefault(str(sorted(own)), set()).add(part.part.subject)
    for subjects in places.values():
        if len(subjects) > 1:
            what = "people share the same electrode positions: a template, not measured"
            return [Finding(", ".join(sorted(subjects)[:6]), what, "note", len(subjects))]
    return []
