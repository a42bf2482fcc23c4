"""Epochs that MNE saved: one file is one run of one person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import pandas as pd
from pydantic import Field

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.continuous import UNITS, channels_of
from neuroalign.recordings.quality import Finding
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
from neuroalign.recordings.readers.epochs_checks import EpochsInspector, compare, refuse_unlike
from neuroalign.recordings.readers.epochs_files import (
    blocks_of,
    count_epochs,
    files_in_folder,
    only_subfolder,
    open_epochs,
    orphans,
    split_parts,
    trials_of,
)
from neuroalign.recordings.readers.own_labels import odd_labels
from neuroalign.recordings.runs_settled import people_findings
from neuroalign.recordings.schema import Channel, Dropped, RecordingsInfo
from neuroalign.recordings.splits import Run, TestRule
from neuroalign.recordings.staging import (
    Features,
    SingleRun,
    SplitRules,
    StagedRun,
    assign_splits,
    describe,
    drop_untrainable,
    write_person,
)
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.recordings.written import TestRuns
from neuroalign.signals import steps


class EpochsOptions(Options):
    """What can be chosen; see `neuroalign.recordings.epochs_file.prepare_epochs`."""

    files: tuple[tuple[str, str], ...] = Field((), description="(person, file) in order.")
    modality: Literal["eeg", "meg"] | None = Field(None, description="None: what is there.")
    label_column: str = Field("label", description="Metadata column of the class.")
    stimulus_column: str = Field("stimulus", description="Metadata column of the picture.")
    split_column: str = Field("split", description="Metadata column of train and test.")
    test_runs: TestRuns = Field("last", description="Held-out files.")
    single_run: SingleRun = Field("split", description="A person with one file.")
    min_trials: int = Field(50, description="Leave out people with fewer trials.")
    features: Features = Field("epochs", description="What a trial consists of.")


class EpochsReader(Reader):
    """Reads epochs files of MNE."""

    card: ClassVar[Card] = Card(
        name="epochs",
        title="epochs files of MNE",
        modality=None,
        people="yours",
        trials="yours",
        pictures="the metadata's stimulus, or classes",
        size_gb=None,
        url="https://mne.tools/stable/generated/mne.Epochs.html",
        licence="yours",
        citation="Gramfort et al. (2013), MNE-Python",
        layout=(
            "<person>_*-epo.fif   or   <person>/*-epo.fif, in the order of their names\n"
            "    metadata: stimulus or label, and split if it is decided; split parts beside them"
        ),
    )
    options: ClassVar[type[Options]] = EpochsOptions

    def recognises(self, folder: Path) -> bool:
        """Whether there are epochs files."""
        try:
            return bool(files_in_folder(folder))
        except OSError:
            return False

    def plan(self, folder: Path, options: Options, subjects: Sequence[str] | None) -> Plan:
        """List the files that were given, or those in the folder."""
        chosen = cast(EpochsOptions, options)
        given = [(s, Path(f)) for s, f in chosen.files] or files_in_folder(folder)
        if not given:
            raise NeuroalignError(
                f"No epochs files were given, and {folder} holds none (*-epo.fif). Give files, or "
                "the folder that they lie in."
            )
        people = list(dict.fromkeys(s for s, _ in given))
        if unknown := sorted(set(subjects or ()) - set(people)):
            raise NeuroalignError(
                f"There is no person {', '.join(unknown)}; there are {', '.join(people[:20])}."
            )
        parts: list[Part] = []
        findings: list[Finding] = []
        for subject in people if subjects is None else subjects:
            own = [f for s, f in given if s == subject]
            for number, path in enumerate(own, start=1):
                run = Run(subject, run=f"{number:02d}")
                trials, damage = count_epochs(run.name, path, chosen.modality)
                findings += damage
                where = {"path": str(path), "run": run.run}
                files = split_parts(path) if path.is_file() else ()
                parts.append(Part(subject, run.name, files, trials, where))
        if not chosen.files:
            findings += [*orphans(folder), *only_subfolder(folder, [f for _, f in given])]
        return Plan(tuple(parts), tuple(findings))

    def stage(self, part: Part, options: Options, write: Write) -> Staged:
        """Read one file, some epochs at a time."""
        chosen = cast(EpochsOptions, options)
        path = Path(part.where["path"])
        epochs, used, modality = open_epochs(path, chosen.modality)
        columns = {
            "label": chosen.label_column,
            "stimulus": chosen.stimulus_column,
            "split": chosen.split_column,
        }
        trials = trials_of(epochs, columns, part.where["run"], path)
        aimless = (trials["label"].isna() & trials["stimulus"].isna()).to_numpy(bool)
        kept = np.flatnonzero(~aimless)
        inspector = EpochsInspector(part.name, used.ch_names, used.get_channel_types())
        for data in blocks_of(epochs, kept, used.ch_names, path):
            inspector.add(data)
            write((data * UNITS[modality][1]).astype(np.float32))
        dropped, findings = [], [*inspector.findings(), *_bads(used, part.name)]
        if aimless.any():
            count, reason = int(aimless.sum()), "event(s) with neither class nor picture"
            dropped = [Dropped(where=part.name, trials=count, reason=reason)]
            findings.append(Finding(part.name, reason, "warning", count))
        facts = {
            "modality": modality,
            "sfreq": float(epochs.info["sfreq"]),
            "tmin": float(epochs.tmin),
            "tmax": float(epochs.tmax),
            "samples": len(epochs.times),
            "channels": [c.model_dump() for c in channels_of(used)],
            "flat": inspector.flat(),
            "usual_range": inspector.usual_range(),
            "baseline": None if epochs.baseline is None else list(map(float, epochs.baseline)),
            "file": path.name,
        }
        return Staged(trials.iloc[kept], facts, tuple(dropped), tuple(findings))

    def settle(self, parts: Sequence[StagedPart], options: Options) -> Settled:
        """Check that files agree, and hold out test trials."""
        chosen = cast(EpochsOptions, options)
        first = parts[0].facts
        for part in parts:
            refuse_unlike(first, part)
        staged = [StagedRun(Run(p.part.subject, run=p.part.where["run"]), p) for p in parts]
        rule = _test_rule(staged, chosen)
        rules = SplitRules(
            rule, chosen.single_run, max(5.0, first["tmax"] - first["tmin"]), chosen.min_trials
        )
        kept, few = assign_splits(staged, rules)
        labels = sorted({label for s in kept for label in s.trials["label"].dropna()})
        kept, untrainable = drop_untrainable(kept, labels)
        dropped = (*few, *untrainable)
        if not kept:
            reasons = "; ".join(f"{d.where}: {d.reason}" for d in dropped[:12])
            raise NeuroalignError(
                "No usable trials are left, so there is nothing to write. What was left out: "
                f"{reasons}."
            )
        modality = first["modality"]
        people: dict[str, tuple[StagedPart, ...]] = {}
        for item in kept:
            people[item.run.subject] = (*people.get(item.run.subject, ()), item.part)
        info = RecordingsInfo(
            modality=modality,
            axes=("channels", "samples"),
            units=UNITS[modality][0],
            sfreq=first["sfreq"],
            tmin=first["tmin"],
            channels=tuple(Channel.model_validate(c) for c in first["channels"]),
            steps=(
                steps.record(
                    "epochs made elsewhere", by=("mne",), tmin=first["tmin"], tmax=first["tmax"]
                ),
                steps.record("split", by=(), test_runs=_as_json(rule), single_run=rules.single_run),
            ),
            dropped=dropped,
            source=", ".join(sorted({p.facts["file"] for p in parts}))[:500],
        )
        shape = (len(first["channels"]), first["samples"])
        info = describe(info, chosen.features, shape, first["sfreq"])
        shown = pd.concat([p.trials[["label", "stimulus"]] for p in parts])
        findings = (
            *compare(parts),
            *odd_labels("all files", shown),
            *people_findings([s.run for s in staged], kept, dropped),
        )
        return Settled(people, info, findings)

    def finish(
        self, subject: str, settled: Settled, options: Options, writer: RecordingsWriter
    ) -> None:
        """Standardise with the person's training trials, and write."""
        parts = settled.people[subject]
        write_person(
            subject,
            parts,
            [c.name for c in settled.info.channels],
            writer,
            features=cast(EpochsOptions, options).features,
            rate=parts[0].facts["sfreq"],
        )


def _bads(used: Any, name: str) -> list[Finding]:
    return [
        Finding(f"{name} {c}", "marked as bad by its authors, and used", "warning", 1, c)
        for c in used.info["bads"]
    ]


def _test_rule(staged: Sequence[StagedRun], options: EpochsOptions) -> TestRule:
    """Return the rule: the column of the metadata where it is filled everywhere."""
    given = [bool(s.trials["split"].notna().all()) and len(s.trials) > 0 for s in staged]
    partly = [s.run.name for s in staged if s.trials["split"].notna().any()]
    if partly and not all(given):
        without = ", ".join(s.run.name for s, g in zip(staged, given, strict=True) if not g)
        raise NeuroalignError(
            f"The column {options.split_column!r} is filled in some files but not in {without}. "
            "Fill it everywhere, or nowhere (then `test_runs` decides)."
        )
    return "column" if all(given) else options.test_runs


def _as_json(rule: TestRule) -> Any:
    return rule if rule is None or isinstance(rule, (str, float, int)) else list(rule)
