"""A BIDS folder of EEG or MEG, by names and tables: its recordings, and what of it is odd."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neuroalign.errors import MissingDependencyError, NeuroalignError
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.splits import Run

EXTENSIONS = {
    "eeg": [".vhdr", ".edf", ".bdf", ".set"],
    "meg": [".fif", ".ds", ".sqd", ".con", ".meg4"],
}
_NAMES = ("subject", "session", "run", "split")


@dataclass(frozen=True)
class Recording:
    """One recording: its run, its main file, all files that belong to it, and its events."""

    run: Run
    path: Path
    files: tuple[Path, ...]
    events: Path


def find_recordings(
    root: Path, datatype: str | None, task: str | None, subjects: Sequence[str] | None
) -> tuple[str, list[Recording]]:
    """Return the datatype and the recordings, in the order of their names.

    Parameters
    ----------
    root : Path
    datatype : {"eeg", "meg"} or None
        None: EEG if there is any, else MEG.
    task : str or None
        Only this task.
    subjects : sequence of str or None
        Only these people ("1", "01" or "sub-01").

    Raises
    ------
    MissingDependencyError
        MNE-BIDS is not installed.
    NeuroalignError
        There is no such folder or person, or no recording.
    """
    mne_bids = load_mne_bids()
    if not root.is_dir():
        raise NeuroalignError(f"{root} is not a folder. Give the root of a BIDS dataset.")
    present = sorted(p.name.removeprefix("sub-") for p in root.glob("sub-*") if p.is_dir())
    wanted = None if subjects is None else [_known(s, present, root) for s in subjects]
    kinds = [datatype] if datatype else ["eeg", "meg"]
    for kind in kinds:
        paths = mne_bids.find_matching_paths(
            root,
            subjects=wanted,
            tasks=task,
            datatypes=kind,
            suffixes=kind,
            extensions=EXTENSIONS[kind],
            # Not what lies in derivatives, or in another data set further down.
            ignore_nosub=True,
        )
        if paths:
            return kind, _recordings(paths)
    looked = ", ".join(e for kind in kinds for e in EXTENSIONS[kind])
    raise NeuroalignError(
        f"{root} holds no {' or '.join(kinds)} recordings"
        f"{f' of the task {task!r}' if task else ''} (subjects: "
        f"{', '.join(present[:20]) or 'none'}; looked for "
        f"{looked} in sub-*/[ses-*/]{'|'.join(kinds)}/). "
        "Check the path, `datatype` and `task`."
    )


def events_of(recordings: Sequence[Recording]) -> dict[str, pd.DataFrame | NeuroalignError]:
    """Read the table of events of each recording that has one, or why it cannot be read."""
    found: dict[str, pd.DataFrame | NeuroalignError] = {}
    for recording in recordings:
        if recording.events.is_file():
            try:
                found[recording.run.name] = read_events(recording.events)
            except NeuroalignError as error:
                found[recording.run.name] = error
    return found


def check_recording(
    recording: Recording,
    events: pd.DataFrame | NeuroalignError | None,
    columns: Sequence[str],
) -> Iterator[Finding]:
    """Check the files of one recording by names and tables.

    Parameters
    ----------
    recording : Recording
    events : pandas.DataFrame, NeuroalignError or None
        Of `events_of`.
    columns : sequence of str
        Those of the events that hold the class and the picture.
    """
    name, path = recording.run.name, recording.path
    for file in recording.files:
        if file.is_file() and file.stat().st_size == 0:
            yield Finding(name, f"{file.name} is empty", "fatal", 0)
    if path.suffix == ".vhdr":
        yield from _check_brainvision(name, path)
    if "_split-" in path.name:
        yield from _check_split(name, path)
    yield from _check_events(name, recording.events, events, columns)
    sidecar = sidecar_of(path)
    if sidecar is None:
        what = f"no sidecar {path.name.rsplit('.', 1)[0]}.json (rate, mains, reference)"
        yield Finding(name, what, "note", 1)
    elif read_sidecar(path) is None:
        yield Finding(name, f"{sidecar} is not a JSON object", "fatal", 1)
    if not path.with_name(f"{_stem(path)}_channels.tsv").is_file():
        yield Finding(name, f"no {_stem(path)}_channels.tsv: no units, no bad channels", "note", 1)


def read_events(path: Path) -> pd.DataFrame:
    """Read a table of events.

    Raises
    ------
    NeuroalignError
        It is not a table with a numeric column `onset`.
    """
    try:
        events = pd.read_csv(path, sep="\t", na_values=["n/a"])
        events["onset"] = pd.to_numeric(events["onset"]).astype(float)
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise NeuroalignError(
            f"{path} is not a table with a numeric column `onset`: {error}. BIDS asks for one row "
            "per event with the onset in seconds."
        ) from error
    return events


def sidecar_of(path: Path) -> Path | None:
    """Return the JSON file that describes a recording: beside it, or further up for all."""
    beside = path.with_name(path.name.rsplit(".", 1)[0].split("_split-")[0] + ".json")
    suffix = path.name.rsplit(".", 1)[0].rsplit("_", 1)[-1]
    plain = path.with_name(f"{_stem(path)}_{suffix}.json")
    for candidate in (plain, beside):
        if candidate.is_file():
            return candidate
    entities = set(_stem(path).split("_"))
    for folder in path.parents[:4]:
        for candidate in sorted(folder.glob(f"*_{suffix}.json")):
            if set(candidate.name.rsplit("_", 1)[0].split("_")) <= entities:
                return candidate
    return None


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """Return what a recording's JSON file says; {} without one, None if it is damaged."""
    sidecar = sidecar_of(path)
    if sidecar is None:
        return {}
    try:
        content = json.loads(sidecar.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def load_mne_bids() -> Any:
    """Import MNE-BIDS.

    Raises
    ------
    MissingDependencyError
        It is not installed.
    """
    try:
        import mne_bids
    except ImportError as error:
        raise MissingDependencyError("mne-bids", "bids", "Reading BIDS folders") from error
    return mne_bids


def _known(name: str, present: Sequence[str], root: Path) -> str:
    wanted = name.removeprefix("sub-")
    fitting = [p for p in present if p == wanted]
    if not fitting and wanted.isdigit():
        fitting = [p for p in present if p.isdigit() and int(p) == int(wanted)]
    if len(fitting) != 1:
        raise NeuroalignError(
            f"{root} has no subject(s) {name}; there are {', '.join(present[:20])}."
        )
    return fitting[0]


def _recordings(paths: Sequence[Any]) -> list[Recording]:
    # Parts of a split FIF file are read with their first part.
    first = [p for p in paths if p.split in (None, "01", "1")]
    firsts = {_stem(Path(p.fpath)) for p in first}
    orphans: dict[str, Any] = {}
    for path in paths:
        if _stem(Path(path.fpath)) not in firsts:
            orphans.setdefault(_stem(Path(path.fpath)), path)
    wanted = sorted([*first, *orphans.values()], key=lambda p: str(p.fpath))
    plain = [Run(f"sub-{p.subject}", p.session, p.run) for p in wanted]
    found = []
    for path, run in zip(wanted, plain, strict=True):
        if plain.count(run) > 1:  # several tasks, acquisitions or processings
            stem = _stem(Path(path.fpath)).split("_")
            others = tuple(e for e in stem if e.split("-")[0] not in ("sub", "ses", "run"))
            run = Run(run.subject, run.session, run.run, others)
        file = Path(path.fpath)
        events = file.with_name(f"{_stem(file)}_events.tsv")
        found.append(Recording(run, file, _files(file), events))
    return found


def _files(path: Path) -> tuple[Path, ...]:
    """Return everything that a recording is read from."""
    stem = _stem(path)
    person = "_".join(e for e in stem.split("_") if e.split("-")[0] in ("sub", "ses"))
    found = [p for p in path.parent.glob(f"{stem}_*") if p.is_file()]
    found += [p for p in path.parent.glob(f"{person}_*") if re.search("electrodes|coords", p.name)]
    if path.is_dir():
        found += [p for p in path.rglob("*") if p.is_file()]
    return tuple(sorted(set(found)))


def _stem(path: Path) -> str:
    """Return the name without suffix, extension and number of a split part."""
    return "_".join(p for p in path.name.split("_")[:-1] if not p.startswith("split-"))


def _check_events(
    name: str,
    path: Path,
    events: pd.DataFrame | NeuroalignError | None,
    columns: Sequence[str],
) -> Iterator[Finding]:
    if events is None:
        yield Finding(name, f"there is no {path.name} beside it", "warning", 0)
        return
    if isinstance(events, NeuroalignError):
        yield Finding(name, str(events), "fatal", 1)
        return
    if not any(c in events for c in columns):
        yield Finding(
            name,
            f"events.tsv has neither the column {columns[0]!r} nor {columns[1]!r}, only "
            f"{', '.join(map(str, events.columns))}. Say which columns hold the class and the "
            "picture (`label_column`, `stimulus_column`)",
            "fatal",
            len(events),
        )
    if "duration" not in events:
        what = f"{path.name} has no column `duration`, which BIDS asks for (n/a will do)"
        yield Finding(name, what, "fatal", len(events))
    else:
        durations = pd.to_numeric(events["duration"], errors="coerce")
        if (negative := int((durations < 0).sum())) > 0:
            yield Finding(name, f"event(s) of negative duration in {path.name}", "fatal", negative)
    if (endless := int(np.isinf(events["onset"]).sum())) > 0:
        yield Finding(name, f"infinite onset(s) in {path.name}", "fatal", endless)


def _check_brainvision(name: str, path: Path) -> Iterator[Finding]:
    text = path.read_bytes().decode("utf-8", "replace")
    for key in ("DataFile", "MarkerFile"):
        match = re.search(rf"^{key}=(.+?)\s*$", text, re.MULTILINE)
        if match and not path.with_name(match[1].replace("$b", path.stem)).is_file():
            what = f"{path.name} names {match[1]}, which is not there"
            yield Finding(name, what, "fatal" if key == "DataFile" else "warning", 1)


def _check_split(name: str, path: Path) -> Iterator[Finding]:
    """Look for parts of a split file that are missing before the last one that is there."""
    suffix = path.name.rsplit("_", 1)[-1]
    parts = path.parent.glob(f"{_stem(path)}_split-*_{suffix}")
    numbers = sorted(int(m[1]) for p in parts if (m := re.search(r"_split-(\d+)_", p.name)))
    missing = sorted(set(range(1, numbers[-1] + 1)) - set(numbers))
    if missing:
        what = f"split part(s) {missing} are missing; there are {numbers}"
        yield Finding(name, what, "fatal", len(missing))
