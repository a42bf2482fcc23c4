"""THINGS-MEG, the raw CTF recordings: reader, card and what names and tables must hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding, Severity
from neuroalign.recordings.readers.card import Bucket, Card
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
from neuroalign.recordings.readers.things_meg import (
    CITATION,
    PICTURES,
    SHOWN,
    TITLE,
    TRIALS,
    URL,
    absent,
)
from neuroalign.recordings.readers.things_meg_runs import (
    BROKEN_SENSOR,
    RawOptions,
    read_events,
    read_table,
    settings_of,
    stage_run,
)
from neuroalign.recordings.readers.things_meg_settling import finish, settle
from neuroalign.recordings.readers.things_meg_trials import (
    Published,
    check_trials,
    compare_codes,
    read_trials,
)
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.signals import steps


class ThingsMegRawReader(Reader):
    """Reads `sub-BIGMEG*`; a part is a run of a person."""

    card: ClassVar[Card] = Card(
        name="things-meg-raw",
        title=f"{TITLE} (raw CTF recordings)",
        modality="meg",
        people="4",
        trials=TRIALS,
        pictures=SHOWN,
        size_gb=241.0,
        url=URL,
        licence="CC0",
        citation=CITATION,
        subjects=("sub-BIGMEG1", "sub-BIGMEG2", "sub-BIGMEG3", "sub-BIGMEG4"),
        sources=(
            Bucket(
                bucket="openneuro.org",
                region="us-east-1",
                root="ds004212/",
                prefixes=("{subject}/", "sourcedata/sample_attributes_P"),
            ),
            PICTURES,
        ),
        layout="""
sub-BIGMEG1/ses-01/meg/sub-BIGMEG1_ses-01_task-main_run-01_meg.ds/     a CTF recording
sub-BIGMEG1/ses-01/meg/sub-BIGMEG1_ses-01_task-main_run-01_events.tsv  its onsets
sourcedata/sample_attributes_P1.csv                                    the picture of each trial
""",
    )
    options: ClassVar[type[Options]] = RawOptions
    published: ClassVar[Published] = Published()

    def recognises(self, folder: Path) -> bool:
        """Whether a CTF recording of anybody is there."""
        return any(folder.glob("sub-BIGMEG*/ses-*/meg/*_meg.ds"))

    def plan(self, folder: Path, options: Options, subjects: Sequence[str] | None) -> Plan:
        """List the runs of these people, or of all who are there, and all that is wrong."""
        assert isinstance(options, RawOptions)
        named = self.card.people_named(subjects)
        there = [n for n in named if subjects is not None or (folder / n).exists()] or list(named)
        plans = [_plan_person(folder, int(n[-1]), options, self.published) for n in there]
        return Plan(
            tuple(p for plan in plans for p in plan.parts),
            (
                *absent([n for n in named if n not in there]),
                *(f for p in plans for f in p.findings),
            ),
        )

    def stage(self, part: Part, options: Options, write: Write) -> Staged:
        """Read a run; see `things_meg_runs.stage_run`."""
        assert isinstance(options, RawOptions)
        return stage_run(part, options, self.published, write)

    def settle(self, parts: Sequence[StagedPart], options: Options) -> Settled:
        """Apply the protocol and number the repeats; see `things_meg_settling.settle`."""
        assert isinstance(options, RawOptions)
        done = (
            steps.record("drop sensors", by=(), broken=BROKEN_SENSOR),
            steps.record("fill dropouts", longest_s=0.5, by_value="median of the run"),
            *settings_of(options).steps("fT"),
            steps.record("onsets", by=("mne",), taken_from=options.onsets),
        )
        return settle(parts, options, self.published, done, "fT")

    def finish(
        self, subject: str, settled: Settled, options: Options, writer: RecordingsWriter
    ) -> None:
        """Write a person, scaled by the training trials."""
        assert isinstance(options, RawOptions)
        finish(subject, settled, options, writer)


def _person_folder(folder: Path, number: int) -> Path:
    """Return where the raw sessions of a person lie."""
    return folder / f"sub-BIGMEG{number}"


def _plan_person(folder: Path, number: int, options: RawOptions, published: Published) -> Plan:
    """List the runs of a person as parts, and all that names and tables have wrong."""
    name = f"P{number}"
    source = folder / "sourcedata" / f"sample_attributes_{name}.csv"
    where = f"{name} ({source.name})"
    if not _person_folder(folder, number).is_dir():
        what = f"the folder sub-BIGMEG{number} is not there"
        return Plan((), (Finding(name, what, "fatal", 1),))
    try:
        raw = read_table(source)
    except NeuroalignError as error:
        return Plan((), (Finding(where, str(error), "fatal", 1),))
    person = read_trials(raw, where, published)
    found, parts = list(person.findings), []
    if len(person.table):
        found += check_trials(
            person.table, raw["image_path"], where, published, incomplete=options.incomplete
        )
    known: set[str] = set()
    severity: Severity = "warning" if options.incomplete else "fatal"
    for session in sorted(set(person.table["session"])):
        runs = person.table[person.table["session"] == session]
        meg = _person_folder(folder, number) / f"ses-{session:02d}" / "meg"
        names = {int(r): f"{_stem(number, session, int(r))}_meg.ds" for r in runs["run"].unique()}
        known |= set(names.values())
        if not meg.is_dir():
            what = f"session {session} is not there ({len(names)} runs)"
            found.append(Finding(f"{name}_ses-{session:02d}", what, severity, len(names)))
            continue
        for run, ds in names.items():
            part, more = _plan_run(person.table, meg / ds, source, name, session, run, severity)
            found += more
            parts += [part] if part else []
    there = sorted(p.name for p in _person_folder(folder, number).glob("ses-*/meg/*_meg.ds"))
    strangers = [ds for ds in there if ds not in known]
    if strangers and len(person.table):
        what = f"{len(strangers)} recording(s) that the table does not know are left out: " + (
            ", ".join(strangers[:4])
        )
        found.append(Finding(name, what, "warning", len(strangers)))
    return Plan(tuple(parts), tuple(found))


def _plan_run(
    table: pd.DataFrame,
    ds: Path,
    source: Path,
    name: str,
    session: int,
    run: int,
    severity: Severity,
) -> tuple[Part | None, list[Finding]]:
    where = f"{name}_ses-{session:02d}_run-{run:02d}"
    rows = table[(table["session"] == session) & (table["run"] == run)]
    events = ds.with_name(ds.name.replace("_meg.ds", "_events.tsv"))
    if not ds.exists():
        return None, [Finding(where, f"{ds.name} is not there", severity, len(rows))]
    if not ds.is_dir():
        what = f"{ds.name} is a file, expected a folder: a CTF recording has several files"
        return None, [Finding(where, what, "fatal", 1)]
    signals = sorted(ds.glob("*meg4"))
    header = ds / f"{ds.stem}.res4"
    lost = [header.name] if not _filled(header) else []
    lost += [f"{ds.stem}.meg4"] if not _filled(ds / f"{ds.stem}.meg4") else []
    lost += [events.name] if not _filled(events) else []
    if lost:
        what = f"{' and '.join(lost)} is not there or empty"
        return None, [Finding(where, what, "fatal", len(lost))]
    try:
        found = list(_check_events(read_events(events), rows, where))
    except NeuroalignError as error:
        return None, [Finding(where, str(error), "fatal", 1)]
    count = int((rows["trial_type"] != "catch").sum())
    files = (header, *signals, events, source)
    place = {"session": session, "run": run}
    return Part(name, where, files, count, place), found


def _check_events(events: pd.DataFrame, rows: pd.DataFrame, where: str) -> Iterator[Finding]:
    if len(events) != len(rows):
        what = (
            f"events.tsv has {len(events)} rows, but the table has {len(rows)} trials of this run: "
            "nobody can tell which picture belongs to which onset"
        )
        yield Finding(where, what, "fatal", abs(len(events) - len(rows)))
        return
    samples = events["sample"].to_numpy(np.float64)
    falls = int((np.diff(samples[np.isfinite(samples)]) <= 0).sum())
    if falls:
        what = f"{falls} onset(s) of events.tsv do not come after the one before: rows were moved"
        yield Finding(where, what, "fatal", falls)
    yield from compare_codes(events["value"].to_numpy(np.float64), rows, where)


def _filled(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _stem(number: int, session: int, run: int) -> str:
    return f"sub-BIGMEG{number}_ses-{session:02d}_task-main_run-{run:02d}"
