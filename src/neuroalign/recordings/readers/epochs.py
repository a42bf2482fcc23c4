"""Epochs that MNE saved: one file is one run of one person."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import mne
import numpy as np
import numpy.typing as npt
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

_BLOCK_BYTES = 2**26
_PATTERN = re.compile(r"(?P<start>.*?)[-_]epo\.fif(\.gz)?$")


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
            return bool(_in_folder(folder))
        except OSError:
            return False

    def plan(self, folder: Path, options: Options, subjects: Sequence[str] | None) -> Plan:
        """List the files that were given, or those in the folder."""
        chosen = cast(EpochsOptions, options)
        given = [(s, Path(f)) for s, f in chosen.files] or _in_folder(folder)
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
                trials, damage = _count(run.name, path, chosen.modality)
                findings += damage
                where = {"path": str(path), "run": run.run}
                files = _split_parts(path) if path.is_file() else ()
                parts.append(Part(subject, run.name, files, trials, where))
        if not chosen.files:
            findings += _orphans(folder)
        return Plan(tuple(parts), tuple(findings))

    def stage(self, part: Part, options: Options, write: Write) -> Staged:
        """Read one file, some epochs at a time."""
        chosen = cast(EpochsOptions, options)
        path = Path(part.where["path"])
        epochs, used, modality = _read(path, chosen.modality)
        columns = {
            "label": chosen.label_column,
            "stimulus": chosen.stimulus_column,
            "split": chosen.split_column,
        }
        trials = _trials(epochs, columns, part.where["run"], path)
        aimless = (trials["label"].isna() & trials["stimulus"].isna()).to_numpy(bool)
        kept = np.flatnonzero(~aimless)
        inspector = EpochsInspector(part.name, used.ch_names, used.get_channel_types())
        for data in _blocks(epochs, kept, used.ch_names, path):
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


def _in_folder(folder: Path) -> list[tuple[str, Path]]:
    """Return person and path of each epochs file: by folder, else by the start of its name."""
    found = []
    for path in sorted([*folder.glob("*epo.fif*"), *folder.glob("*/*epo.fif*")]):
        match = _PATTERN.fullmatch(path.name)
        if match:
            own = path.parent.name if path.parent != folder else match["start"].split("_")[0]
            found.append((own, path))
    return found


def _split_parts(path: Path) -> tuple[Path, ...]:
    """Return the file and the parts that it goes on in."""
    stem = path.name.removesuffix(".gz").removesuffix(".fif")
    more = [p for p in path.parent.glob(f"{stem}-*.fif*") if re.search(r"-\d+\.fif", p.name)]
    return (path, *sorted(more))


def _orphans(folder: Path) -> Iterator[Finding]:
    """Look for split parts of files that are not there."""
    for path in sorted([*folder.glob("*epo-*.fif*"), *folder.glob("*/*epo-*.fif*")]):
        first = path.with_name(re.sub(r"-\d+(\.fif)", r"\1", path.name))
        if not first.exists():
            what = f"{path.name} goes on from {first.name}, which is not there"
            yield Finding(path.parent.name, what, "fatal", 1)


def _count(name: str, path: Path, modality: str | None) -> tuple[int, list[Finding]]:
    """Count the epochs of a file by its header, and say if it cannot be read."""
    if path.is_file() and path.stat().st_size == 0:
        return 0, [Finding(name, f"{path.name} is empty", "fatal", 0)]
    try:
        count = len(_read(path, modality)[0].events)
    except NeuroalignError as error:
        return 0, [Finding(name, str(error), "fatal", 1)]
    if count == 0:
        what = f"{path.name} holds no epochs: all were dropped before it was saved. Leave it out"
        return 0, [Finding(name, what, "fatal", 0)]
    return count, []


def _read(path: Path, modality: str | None) -> tuple[Any, Any, str]:
    """Open epochs; return them, an object that describes the channels used, and the modality."""
    if not path.is_file():
        raise NeuroalignError(
            f"{path} does not exist or is no file. Give MNE epochs files (*-epo.fif)."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            epochs = mne.read_epochs(path, preload=False, verbose="error")
            found = modality or ("meg" if "meg" in epochs else "eeg")
            picks = mne.pick_types(epochs.info, meg=found == "meg", eeg=found == "eeg", exclude=())
            if len(picks) == 0:
                raise ValueError(f"there are {', '.join(sorted(set(epochs.get_channel_types())))}")
            info = mne.pick_info(epochs.info, picks)
            return epochs, mne.EvokedArray(np.zeros((len(picks), 1)), info), found
    except Exception as error:
        raise NeuroalignError(
            f"{path} cannot be read as MNE epochs with {modality or 'eeg or meg'} channels: {error}"
        ) from error


def _blocks(
    epochs: Any, kept: npt.NDArray[np.int64], names: list[str], path: Path
) -> Iterator[Any]:
    """Yield the data of some epochs, shape (n_trials, channels, samples)."""
    size = max(1, _BLOCK_BYTES // (8 * len(names) * len(epochs.times)))
    for start in range(0, len(kept), size):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield epochs[kept[start : start + size]].get_data(
                    picks=names, copy=False, verbose="error"
                )
        except Exception as error:
            raise NeuroalignError(
                f"{path}: epochs from number {start} on cannot be read: {error}. Repair or copy "
                "the file again, with all of its parts."
            ) from error


def _bads(used: Any, name: str) -> list[Finding]:
    return [
        Finding(f"{name} {c}", "marked as bad by its authors, and used", "warning", 1, c)
        for c in used.info["bads"]
    ]


def _trials(epochs: Any, columns: dict[str, str], run: str, path: Path) -> pd.DataFrame:
    count = len(epochs.events)
    meta = epochs.metadata if epochs.metadata is not None else pd.DataFrame(index=range(count))
    names = {code: name for name, code in epochs.event_id.items()}
    table = pd.DataFrame(
        {
            own: _names(meta[given]).to_numpy(object)
            if given in meta
            else np.full(count, pd.NA, object)
            for own, given in columns.items()
        },
    ).astype("string")
    if table["label"].isna().all() and table["stimulus"].isna().all():
        if epochs.metadata is not None:
            raise NeuroalignError(
                f"{path}: its metadata has {_lacking(meta, columns)}. Say which columns hold "
                "the class and the picture (`label_column`, `stimulus_column`)."
            )
        table["label"] = pd.array([names[code] for code in epochs.events[:, 2]], dtype="string")
    if unknown := sorted(set(table["split"].dropna()) - {"train", "test"}):
        raise NeuroalignError(
            f"{path}: the column {columns['split']!r} of its metadata says {', '.join(unknown)}; "
            "only train and test are known. Leave others out, or name another `split_column`."
        )
    onsets = (epochs.events[:, 0] - epochs.events[:, 0].min(initial=0)) / epochs.info["sfreq"]
    session = pd.Series(pd.NA, index=table.index, dtype="string")
    return table.assign(onset_s=onsets, run=run, session=session)


def _names(column: pd.Series) -> pd.Series:
    """Return text; whole numbers become floats beside missing values, but stay the same names."""
    if column.dtype.kind == "f" and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype("string")


def _lacking(meta: pd.DataFrame, columns: dict[str, str]) -> str:
    label, stimulus = columns["label"], columns["stimulus"]
    there = [c for c in (label, stimulus) if c in meta]
    if there:
        return f"nothing in the column(s) {', '.join(map(repr, there))}"
    return f"neither {label!r} nor {stimulus!r}, only {', '.join(meta.columns)}"


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
