"""EEG and MEG of a laboratory, stored as BIDS: one part a recording."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import BeforeValidator, Field

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.continuous import UNITS, Cutting, stage_run, unread_run
from neuroalign.recordings.damage import NO_SPACE
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.bids_layout import (
    Recording,
    check_recording,
    events_of,
    find_recordings,
    load_mne_bids,
    read_events,
    read_sidecar,
)
from neuroalign.recordings.readers.bids_tables import check_tables, provenance
from neuroalign.recordings.readers.card import Card
from neuroalign.recordings.readers.contract import (
    Options,
    Part,
    Plan,
    Reader,
    Settled,
    Staged,
    StagedPart,
    Write,
)
from neuroalign.recordings.runs_settled import choose, people_findings
from neuroalign.recordings.schema import RecordingsInfo
from neuroalign.recordings.splits import Run
from neuroalign.recordings.staging import (
    Features,
    SingleRun,
    SplitRules,
    assign_splits,
    describe,
    drop_untrainable,
    write_person,
)
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.recordings.written import TestRuns, as_interval
from neuroalign.signals import steps
from neuroalign.signals.eeg import EEG_DEFAULTS
from neuroalign.signals.meg import MEG_DEFAULTS
from neuroalign.signals.preprocessing import Preprocessing

_LEAST_GAP_S = 5.0
_DEFAULT = "None: the default of the datatype; 0: none."


class BidsOptions(Options):
    """What can be chosen; see `neuroalign.recordings.bids.prepare_bids`."""

    datatype: Literal["eeg", "meg"] | None = Field(None, description="None: what is there.")
    task: str | None = Field(None, description="Only this task.")
    tmin: float | None = Field(None, description="Start of an epoch, seconds.")
    tmax: float | None = Field(None, description="End of an epoch, seconds.")
    l_freq: float | None = Field(None, description=f"High-pass, Hz. {_DEFAULT}")
    h_freq: float | None = Field(None, description=f"Low-pass, Hz. {_DEFAULT}")
    notch: tuple[float, ...] | None = Field(None, description="Mains frequencies, Hz.")
    resample: float | None = Field(None, description=f"New sampling rate, Hz. {_DEFAULT}")
    baseline: Annotated[
        tuple[float | None, float | None] | Literal["none"] | None, BeforeValidator(as_interval)
    ] = Field(None, description="Seconds whose mean is subtracted.")
    reject_uv: float | None = Field(None, description="EEG: largest peak to peak, µV.")
    reject_ft: float | None = Field(None, description="MEG: largest peak to peak, fT or fT/cm.")
    test_runs: TestRuns = Field("last", description="Held-out runs.")
    single_run: SingleRun = Field("split", description="A person with one usable run.")
    min_run_trials: int = Field(10, description="Leave out runs with fewer trials.")
    min_trials: int = Field(50, description="Leave out people with fewer trials.")
    features: Features = Field("epochs", description="What a trial consists of.")
    label_column: str = Field("trial_type", description="Column of the class.")
    stimulus_column: str = Field("stim_file", description="Column of the picture.")
    classes: tuple[str, ...] | None = Field(None, description="Only these classes.")

    def settings(self, datatype: str) -> Preprocessing:
        """Return the preprocessing for a datatype.

        Raises
        ------
        NeuroalignError
            A rejection level is in the unit of the other datatype, or a value is impossible.
        """
        for level, other, unit in (
            (self.reject_uv, "meg", "`reject_uv` is in microvolts, which MEG does not measure"),
            (self.reject_ft, "eeg", "`reject_ft` is in femtotesla, which EEG does not measure"),
        ):
            if level and datatype == other:
                raise NeuroalignError(f"{unit}. Leave it out, or give the other one.")
        reject = self.reject_uv if datatype == "eeg" else self.reject_ft
        numbers = {
            "l_freq": self.l_freq,
            "h_freq": self.h_freq,
            "resample": self.resample,
            "reject": reject,
        }
        changes: dict[str, Any] = {k: v or None for k, v in numbers.items() if v is not None}
        edges = (("tmin", self.tmin), ("tmax", self.tmax), ("notch", self.notch))
        changes |= {k: v for k, v in edges if v is not None}
        if self.baseline is not None:
            changes["baseline"] = None if self.baseline == "none" else self.baseline
        return replace(EEG_DEFAULTS if datatype == "eeg" else MEG_DEFAULTS, **changes)


class BidsReader(Reader):
    """Reads EEG or MEG in the BIDS layout."""

    card: ClassVar[Card] = Card(
        name="bids",
        title="EEG or MEG as BIDS",
        modality=None,
        people="yours",
        trials="yours",
        pictures="stim_file of events.tsv, or classes",
        size_gb=None,
        url="https://bids.neuroimaging.io",
        licence="yours",
        citation="Pernet et al. (2019), EEG-BIDS; Niso et al. (2018), MEG-BIDS",
        layout=(
            "sub-*/[ses-*/]eeg/*_eeg.{vhdr,edf,bdf,set}   or   meg/*_meg.{fif,ds,sqd,con}\n"
            "    *_events.tsv beside each: onset, and trial_type or stim_file\n"
            "    *_channels.tsv, *_eeg.json: recommended\n"
            "dataset_description.json, participants.tsv: recommended"
        ),
    )
    options: ClassVar[type[Options]] = BidsOptions

    def recognises(self, folder: Path) -> bool:
        """Whether there are recordings named as BIDS names them."""
        try:
            patterns = [f"sub-*/{s}{k}/*_{k}.*" for s in ("", "ses-*/") for k in UNITS]
            return any(next(folder.glob(p), None) is not None for p in patterns)
        except OSError:
            return False

    def plan(self, folder: Path, options: Options, subjects: Sequence[str] | None) -> Plan:
        """Find recordings, and check their sidecar files and tables."""
        chosen = cast(BidsOptions, options)
        if chosen.datatype is not None:
            chosen.settings(chosen.datatype)
        datatype, recordings = find_recordings(folder, chosen.datatype, chosen.task, subjects)
        chosen.settings(datatype)
        columns = (chosen.label_column, chosen.stimulus_column)
        findings = list(check_tables(folder, recordings, everybody=subjects is None))
        events = events_of(recordings)
        for recording in recordings:
            findings += check_recording(recording, events.get(recording.run.name), columns)
        tables = {n: e for n, e in events.items() if not isinstance(e, NeuroalignError)}
        if not any(chosen.stimulus_column in e for e in tables.values()):
            what = (
                f"recordings without a column {chosen.stimulus_column!r}: which picture was shown "
                "is not known, so classes are the targets"
            )
            findings.append(Finding(folder.name, what, "note", len(recordings)))
        meg_too = next(folder.glob("sub-*/**/meg/*_meg.*"), None) is not None
        if chosen.datatype is None and datatype == "eeg" and meg_too:
            what = "holds MEG too, which is not looked at: give `datatype`"
            findings.append(Finding(folder.name, what, "note", 1))
        about = provenance(folder) | {"datatype": datatype}
        parts = [_part(r, len(tables.get(r.run.name, ())), about) for r in recordings]
        return Plan(tuple(parts), tuple(findings))

    def stage(self, part: Part, options: Options, write: Write) -> Staged:
        """Inspect, mend, filter and cut one recording."""
        chosen = cast(BidsOptions, options)
        events, path = Path(part.where["events"]), Path(part.where["path"])
        if not events.is_file():
            return unread_run("there is no events.tsv beside it")
        datatype = part.where["datatype"]
        cutting = Cutting(
            datatype,
            chosen.settings(datatype),
            chosen.label_column,
            chosen.stimulus_column,
            chosen.classes,
            chosen.min_run_trials,
        )
        sidecar = read_sidecar(path) or {}
        mains = sidecar.get("PowerLineFrequency")
        line_freq = float(mains) if isinstance(mains, (int, float)) and mains > 0 else None
        try:
            with warnings.catch_warnings():
                # Gaps in the sidecar files (no landmarks, no line frequency) are listed by plan.
                warnings.simplefilter("ignore")
                raw = _open(path)
                findings = _against_sidecar(raw, sidecar, part.name)
                staged = stage_run(
                    raw, read_events(events), part.name, cutting, write, line_freq=line_freq
                )
        except NeuroalignError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in NO_SPACE:
                raise  # it is the output, or the temporary file, that does not fit
            words = str(error).rstrip(".") or type(error).__name__
            raise NeuroalignError(
                f"{path} cannot be read: {words}. Repair or copy "
                "the file again, or leave this person out (`subjects`)."
            ) from error
        return replace(staged, findings=(*findings, *staged.findings))

    def settle(self, parts: Sequence[StagedPart], options: Options) -> Settled:
        """Leave out copies and what does not fit the first run; reject, and hold out runs."""
        chosen = cast(BidsOptions, options)
        where = parts[0].part.where
        settings = chosen.settings(where["datatype"])
        unit = UNITS[where["datatype"]][0]
        runs = [(_run(p.part), p) for p in parts]
        used = choose(runs, settings, unit, chosen.min_run_trials)
        reach = settings.reach(used.sfreq) if used.runs else 0.0
        gap = max(_LEAST_GAP_S, 2 * reach + settings.tmax - settings.tmin)
        rules = SplitRules(chosen.test_runs, chosen.single_run, gap, chosen.min_trials)
        kept, few = assign_splits(used.runs, rules)
        labels = chosen.classes or sorted({x for s in kept for x in s.trials["label"].dropna()})
        kept, untrainable = drop_untrainable(kept, labels)
        dropped = (*used.dropped, *few, *untrainable)
        if not kept:
            reasons = "; ".join(f"{d.where}: {d.reason}" for d in dropped[:12])
            raise NeuroalignError(
                "No usable trials are left, so there is nothing to write. What was left out: "
                f"{reasons}."
            )
        info = RecordingsInfo(
            modality=where["datatype"],
            axes=("channels", "samples"),
            units=unit,
            sfreq=settings.rate(used.sfreq),
            tmin=settings.tmin,
            channels=used.channels,
            steps=_steps(settings, unit, used.interpolated, rules),
            dropped=dropped,
            source=where["source"],
            licence=where["licence"],
        )
        shape = kept[0].part.feature_shape
        findings = (*used.findings, *people_findings([r for r, _ in runs], kept, dropped))
        people: dict[str, tuple[StagedPart, ...]] = {}
        for item in kept:
            people[item.run.subject] = (*people.get(item.run.subject, ()), item.part)
        info = describe(info, chosen.features, shape, settings.rate(used.sfreq))
        return Settled(people, info, findings)

    def finish(
        self, subject: str, settled: Settled, options: Options, writer: RecordingsWriter
    ) -> None:
        """Standardise with the person's training trials, and write."""
        chosen, parts = cast(BidsOptions, options), settled.people[subject]
        settings = chosen.settings(parts[0].part.where["datatype"])
        write_person(
            subject,
            parts,
            [c.name for c in settled.info.channels],
            writer,
            features=chosen.features,
            rate=settings.rate(parts[0].facts["sfreq"]),
        )


def _part(recording: Recording, trials: int, about: dict[str, str]) -> Part:
    run = recording.run
    where = about | {
        "path": str(recording.path),
        "events": str(recording.events),
        "run": [run.session, run.run, list(run.others)],
    }
    return Part(run.subject, run.name, recording.files, trials, where)


def _run(part: Part) -> Run:
    session, run, others = part.where["run"]
    return Run(part.subject, session, run, tuple(others))


def _open(path: Path) -> Any:
    mne_bids = load_mne_bids()
    return mne_bids.read_raw_bids(mne_bids.get_bids_path_from_fname(path), verbose="error")


def _against_sidecar(raw: Any, sidecar: dict[str, Any], name: str) -> list[Finding]:
    """Compare what the file holds with what the JSON beside it says of it."""
    sfreq = float(raw.info["sfreq"])
    checks = (
        ("SamplingFrequency", sfreq, 0.01, "Hz"),
        ("RecordingDuration", raw.n_times / sfreq, 0.1, "s"),
    )
    found = []
    for key, actual, tolerance, unit in checks:
        stated = sidecar.get(key)
        if isinstance(stated, (int, float)) and abs(stated - actual) > tolerance + 2 / sfreq:
            what = f"{actual:g} {unit} are in the file, but its sidecar's {key} says {stated:g}"
            if key == "RecordingDuration" and actual < stated:
                what += ": cut short?"
            found.append(Finding(name, what, "warning", 1))
    for kind in ("EEG", "MEG"):
        stated = sidecar.get(f"{kind}ChannelCount")
        actual = len([k for k in raw.get_channel_types() if k in (kind.lower(), "mag", "grad")])
        if isinstance(stated, int) and stated and actual and stated != actual:
            what = f"{actual} {kind} channels are in the file, but its sidecar says {stated}"
            found.append(Finding(name, what, "warning", abs(actual - stated)))
    return found


def _steps(
    settings: Preprocessing, unit: str, interpolated: int, rules: SplitRules
) -> tuple[Any, ...]:
    done = list(settings.steps(unit))
    if interpolated:
        done.insert(0, steps.record("interpolate bad channels", by=("mne",), runs=interpolated))
    rule = rules.test_runs
    done.append(
        steps.record(
            "split",
            by=(),
            test_runs=rule if rule is None or isinstance(rule, (str, float)) else list(rule),
            single_run=rules.single_run,
            gap_s=round(rules.gap_s, 3),
            min_trials=rules.min_trials,
        )
    )
    return tuple(done)
