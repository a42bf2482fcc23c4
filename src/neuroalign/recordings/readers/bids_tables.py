"""What the tables of a BIDS folder say of its people and recordings, against what is there."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.bids_layout import Recording


def provenance(root: Path) -> dict[str, str]:
    """Return name and licence of the dataset; the file is only recommended to be there."""
    try:
        content = json.loads((root / "dataset_description.json").read_text())
    except (OSError, ValueError):
        content = {}
    description = content if isinstance(content, dict) else {}
    return {
        "source": str(description.get("Name", root.name)),
        "licence": str(description.get("License", "")),
    }


def check_tables(
    root: Path, recordings: Sequence[Recording], *, everybody: bool
) -> Iterator[Finding]:
    """Check dataset_description.json, participants.tsv and scans.tsv.

    Parameters
    ----------
    root : Path
    recordings : sequence of Recording
    everybody : bool
        Whether `recordings` are those of all people.
    """
    yield from _check_description(root)
    if everybody:
        yield from _check_participants(root)
        recorded = {r.run.subject for r in recordings}
        for person in sorted(p.name for p in root.glob("sub-*") if p.is_dir()):
            if person not in recorded:
                yield Finding(
                    person, "has a folder but no recording that was asked for", "warning", 0
                )
    yield from _check_scans(recordings)
    yield from _check_numbers(recordings)


def _check_description(root: Path) -> Iterator[Finding]:
    path = root / "dataset_description.json"
    if not path.is_file():
        yield Finding(root.name, "no dataset_description.json: name and licence unknown", "note", 1)
        return
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as error:
        yield Finding(root.name, f"dataset_description.json is damaged: {error}", "warning", 1)


def _check_participants(root: Path) -> Iterator[Finding]:
    path = root / "participants.tsv"
    if not path.is_file():
        yield Finding(root.name, "no participants.tsv", "note", 1)
        return
    table = _read(path)
    if table is None or "participant_id" not in table:
        what = "participants.tsv is not a table with a column participant_id"
        yield Finding(root.name, what, "fatal", 1)
        return
    listed = table["participant_id"].dropna().astype(str).tolist()
    present = {p.name for p in root.glob("sub-*") if p.is_dir()}
    for person in dict.fromkeys(listed):
        if person not in present:
            what = "stands in participants.tsv but has no folder"
            yield Finding(person, what, "warning", 1)
        if (count := listed.count(person)) > 1:
            yield Finding(person, "rows of participants.tsv for one person", "warning", count)
    for person in sorted(present - set(listed)):
        yield Finding(person, "has a folder but no row in participants.tsv", "warning", 1)


def _check_scans(recordings: Sequence[Recording]) -> Iterator[Finding]:
    folders: dict[Path, list[Recording]] = {}
    for recording in recordings:
        folders.setdefault(recording.path.parent.parent, []).append(recording)
    for folder, own in folders.items():
        for path in sorted(folder.glob("*_scans.tsv")):
            table = _read(path)
            if table is None or "filename" not in table:
                what = f"{path.name} is not a table with a column filename"
                yield Finding(own[0].run.subject, what, "warning", 1)
                continue
            yield from _compare_scans(path, table, own)


def _compare_scans(path: Path, table: pd.DataFrame, own: Sequence[Recording]) -> Iterator[Finding]:
    files = table["filename"].dropna().astype(str).tolist()
    for file in files:
        if not (path.parent / file).exists():
            what = f"{file} stands in {path.name} but is not there"
            yield Finding(own[0].run.subject, what, "warning", 1)
    for recording in own:
        if str(recording.path.relative_to(path.parent)) not in files:
            what = f"stands not in {path.name}: added later?"
            yield Finding(recording.run.name, what, "note", 1)
    if "acq_time" in table:
        times = pd.to_datetime(table["acq_time"], errors="coerce", utc=True, format="ISO8601")
        by_file = dict(zip(table["filename"].astype(str), times, strict=True))
        known = [by_file.get(str(r.path.relative_to(path.parent))) for r in own]
        dated = [(r, t) for r, t in zip(own, known, strict=True) if t is not None and t == t]
        for (one, first), (other, second) in itertools.pairwise(dated):
            if second < first:
                what = (
                    f"recorded before {one.run.name}, says {path.name}: runs are taken in the "
                    "order of their names, and the last is held out"
                )
                yield Finding(other.run.name, what, "warning", 1)


def _check_numbers(recordings: Sequence[Recording]) -> Iterator[Finding]:
    """Look for runs that are missing between others."""
    sessions: dict[tuple[str, str | None], list[str]] = {}
    for recording in recordings:
        run = recording.run
        sessions.setdefault((run.subject, run.session), []).append(run.run or "")
    for (subject, session), runs in sessions.items():
        numbers = {int(r) for r in runs if re.fullmatch(r"\d+", r)}
        missing = sorted(set(range(1, max(numbers, default=0) + 1)) - numbers)
        if missing:
            where = subject if session is None else f"{subject}_ses-{session}"
            listed = ", ".join(f"run-{n:02d}" for n in missing[:6])
            yield Finding(where, f"{listed} missing before run-{max(numbers):02d}", "warning", 1)


def _read(path: Path) -> pd.DataFrame | None:
    try:
        return pd.read_csv(path, sep="\t", dtype=str)
    except (OSError, ValueError):
        return None
