"""The trials of ImageNetEEG: their order of recording, which of them are used, their pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.contract import StagedPart
from neuroalign.recordings.readers.imagenet_classes import CLASS_NAMES
from neuroalign.recordings.readers.imagenet_eeg_files import Segments
from neuroalign.recordings.schema import Dropped

#: Readers of this data set leave out shorter and longer segments (in samples).
SHORTEST, LONGEST = 450, 600
#: The list of pictures as they were shown, which the authors give beside the data.
ORDER = "image_order.txt"


def ordered_trials(
    segments: Segments, person: int, shown: dict[str, int] | None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return one person's segments, in the order in which they were recorded where it is known.

    Parameters
    ----------
    segments : Segments
    person : int
    shown : mapping from picture to place, optional
        The order in which pictures were shown. Without it the order of the file is taken for
        that of the recording if each class comes in one piece; the published files are shuffled.

    Returns
    -------
    table : pandas.DataFrame
        `stimulus`, `label`, `synset`, `file_index` (the place in the file), `samples`, `block`
        (each class was shown in one), `order` (missing where it is unknown).
    facts : dict
        `order`: where the order is known from.
    """
    own = segments.table[segments.table["subject"] == person]
    synsets = np.array(segments.synsets, object)[own["label"]]
    table = pd.DataFrame(
        {
            "stimulus": np.array(segments.images, object)[own["image"]],
            "label": [CLASS_NAMES.get(s, s) for s in synsets],
            "synset": synsets,
            "file_index": own.index,
            "samples": own["samples"].to_numpy(),
        }
    )
    runs = 1 + int((synsets[1:] != synsets[:-1]).sum())
    place = np.arange(len(table))
    source = "the file" if runs == len(set(synsets)) else "unknown"
    if shown is not None:
        source, place = ORDER, np.array([shown.get(s, len(shown)) for s in table["stimulus"]])
    if source == "unknown":
        table["block"] = own["label"].to_numpy()
        table["order"] = pd.array([pd.NA] * len(table), dtype="Int64")
    else:
        table = table.iloc[np.argsort(place, kind="stable")].reset_index(drop=True)
        table["block"] = (table["synset"] != table["synset"].shift()).cumsum() - 1
        table["order"] = pd.array(np.arange(len(table)), dtype="Int64")
    return table, {"order": source}


def usable_trials(table: pd.DataFrame, stop: int, name: str) -> tuple[pd.DataFrame, list[Dropped]]:
    """Leave out segments of odd lengths, too short for a crop that ends at `stop`, or unsplit."""
    samples, dropped = table["samples"], []
    keep = np.ones(len(table), bool)
    for wrong, reason in (
        (
            ~samples.between(SHORTEST, LONGEST),
            f"segments of fewer than {SHORTEST} or more than {LONGEST} samples, which the data "
            "set's authors leave out",
        ),
        (samples < stop, f"segments that end before sample {stop}, where the crop does"),
        (table["split"].isna(), "segments that are in no part of the split"),
    ):
        here = wrong.to_numpy(bool) & keep
        if here.any():
            at = ", ".join(map(str, table.loc[here, "file_index"][:5]))
            count = int(here.sum())
            dropped.append(Dropped(where=name, trials=count, reason=f"{reason} (first: {at})"))
        keep &= ~here
    return table[keep].reset_index(drop=True), dropped


def shown_order(path: Path) -> dict[str, int]:
    """Return the place of each picture in the list of pictures as they were shown."""
    names = re.findall(r"n\d{8}_\d+", path.read_text(encoding="utf-8", errors="replace"))
    return {name: place for place, name in reversed(list(enumerate(names)))}


def check_order(path: Path, segments: Segments) -> list[Finding]:
    """Compare the list of pictures as they were shown with those that were recorded."""
    shown = shown_order(path)
    absent = sorted(set(segments.images) - set(shown))
    findings = []
    if absent:
        what = f"it lacks {len(absent)} pictures that were recorded (first: {absent[0]})"
        findings.append(Finding(path.name, what, "fatal" if not shown else "warning", len(absent)))
    classes = [name[:9] for name in sorted(shown, key=lambda name: shown[name])]
    runs = sum(a != b for a, b in pairwise(classes)) + bool(classes)
    if runs != len(set(classes)):
        what = f"{len(set(classes))} classes come in {runs} blocks; each was shown in one"
        findings.append(Finding(path.name, what, "warning", runs))
    return findings


def picture_table(parts: Sequence[StagedPart], folder: Path | None) -> pd.DataFrame:
    """Return one row a picture, sorted by name; `path` is empty where the file is not there."""
    columns = ["stimulus", "label", "synset"]
    table = pd.concat([p.trials[columns] for p in parts]).drop_duplicates("stimulus")
    table = table.sort_values("stimulus", ignore_index=True)
    places = [
        _picture(folder, synset, name)
        for synset, name in zip(table["synset"], table["stimulus"], strict=True)
    ]
    return table.assign(path=places)


def picture_findings(pictures: pd.DataFrame, folder: Path | None) -> list[Finding]:
    """Say how many picture files are not there."""
    lost = pictures.loc[pictures["path"] == "", "stimulus"].tolist()
    if folder is None:
        what = f"no folder was given (--pictures), so {len(lost)} pictures have names but no files"
        return [Finding("pictures", what, "note", len(lost))]
    if not lost:
        return []
    what = f"{len(lost)} of {len(pictures)} are not below {folder} (first: {lost[0]}.JPEG)"
    return [Finding("pictures", what, "warning", len(lost))]


def _picture(folder: Path | None, synset: str, name: str) -> str:
    if folder is None:
        return ""
    for place in (folder / synset, folder / "train" / synset):
        for suffix in (".JPEG", ".jpeg", ".jpg"):
            if (path := place / f"{name}{suffix}").is_file():
                return str(path.resolve())
    return ""
