"""Which segments of ImageNetEEG are for training, validation and testing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.pickles import StoredArray
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.imagenet_eeg_files import Report, Segments, whole_number
from neuroalign.recordings.torch_files import read_torch

SPLIT_PARTS = ("train", "val", "test")
#: Pictures on both sides of a split up to this share are reported, beyond it the split is wrong.
_FEW = 0.05


def read_split(
    path: Path,
    number: int,
    segments: Segments,
    per_person: int | None,
    expected: Sequence[int] | None,
) -> tuple[pd.Series, list[Finding]]:
    """Read which segments are for training, validation and testing.

    Parameters
    ----------
    path : Path
    number : int
        Which of the splits in the file.
    segments : Segments
    per_person : int, optional
        The file is the one for single people, who saw so many pictures: its indices count the
        segments of each person, unless they are too many for that.
    expected : three ints, optional
        How many indices each part is published with.

    Returns
    -------
    split : pandas.Series of str, one a segment
        "train", "val", "test", or missing.
    findings : list of Finding
    """
    split = pd.Series(pd.NA, index=segments.table.index, dtype="string")
    report = Report(path.name)
    parts = _read_parts(report, path, number)
    if report.stopped:
        return split, report.findings
    people = [own.index.to_numpy() for _, own in segments.table.groupby("subject")]
    largest, total = max(map(len, people)), len(segments.table)
    given = sum(map(len, parts.values()))
    count_people = per_person is not None and given <= (largest + total) / 2
    scopes = people if count_people else [segments.table.index.to_numpy()]
    _check_split(report, parts, per_person if count_people and per_person else total, expected)
    if count_people:
        _note_fewer(report, parts, scopes)
    if report.stopped:
        return split, report.findings
    for scope in scopes:
        for part, indices in parts.items():
            split.iloc[scope[[i for i in indices if i < len(scope)]]] = part
    _check_sides(report, split, segments, len(scopes) > 1)
    return split, report.findings


def check_split_file(path: Path, number: int) -> list[Finding]:
    """Look at a file of splits where there are no segments to hold it against."""
    report = Report(path.name)
    _check_twice(report, _read_parts(report, path, number))
    return report.findings


def _read_parts(report: Report, path: Path, number: int) -> dict[str, list[int]]:
    try:
        content = read_torch(path)
    except NeuroalignError as error:
        report.fatal(str(error), 1)
        return {}
    splits = content.get("splits") if isinstance(content, dict) else None
    if not isinstance(splits, list) or not all(isinstance(s, dict) for s in splits):
        report.fatal("it lacks the list of splits under the key 'splits'", 1)
        return {}
    if not 0 <= number < len(splits):
        report.fatal(f"there is no split {number}; it holds {len(splits)}, counted from 0", 1)
        return {}
    return _split_parts(report, splits[number], number)


def _check_twice(report: Report, parts: Mapping[str, list[int]]) -> None:
    every = [i for indices in parts.values() for i in indices]
    twice = len(every) - len(set(every))
    if twice:
        report.fatal(
            f"{twice} indices stand twice in the split, so a trial would be in two parts", twice
        )


def _note_fewer(
    report: Report, parts: Mapping[str, list[int]], people: Sequence[npt.NDArray[np.int64]]
) -> None:
    last = max(i for indices in parts.values() for i in indices)
    fewer = [len(own) for own in people if len(own) <= last]
    if fewer:
        what = (
            f"indices go up to {last}, and {len(fewer)} people have fewer segments (the fewest: "
            f"{min(fewer)}): the indices beyond are left out"
        )
        report.findings.append(Finding(report.name, what, "note", len(fewer)))


def _split_parts(report: Report, given: dict[str, Any], number: int) -> dict[str, list[int]]:
    absent = [p for p in SPLIT_PARTS if p not in given]
    if absent:
        report.fatal(f"split {number} lacks {', '.join(absent)}; it has {sorted(given)}", 1)
        return {}
    parts: dict[str, list[int]] = {}
    for part in SPLIT_PARTS:
        values = (
            given[part].read().tolist() if isinstance(given[part], StoredArray) else given[part]
        )
        whole = [whole_number(v) for v in values] if isinstance(values, list) else [None]
        if not whole or any(i is None for i in whole):
            report.fatal(f"{part!r} of split {number} is not a list of indices", 1)
        parts[part] = [i for i in whole if i is not None]
    return parts


def _check_split(
    report: Report, parts: Mapping[str, list[int]], length: int, expected: Sequence[int] | None
) -> None:
    _check_twice(report, parts)
    every = [i for indices in parts.values() for i in indices]
    outside = [i for i in every if not 0 <= i < length]
    if outside == [length]:  # sources differ by one segment; the splits fit the longer one
        report.warn(f"index {length} is one beyond the {length} segments that are there", 1)
    elif outside:
        report.fatal(
            f"{len(outside)} indices are out of range (first: {outside[0]}; there are {length} "
            "segments): it belongs to another file",
            len(outside),
        )
    if len(every) < 0.9 * length:
        report.fatal(f"it has {len(every)} indices for {length} segments: another file", len(every))
    counts = tuple(len(parts[p]) for p in SPLIT_PARTS)
    if expected is not None and counts != tuple(expected):
        report.warn(
            f"{' / '.join(map(str, counts))} indices to train / val / test, published are "
            f"{' / '.join(map(str, expected))}",
            sum(counts),
        )


def _check_sides(report: Report, split: pd.Series, segments: Segments, single: bool) -> None:
    image = segments.table["image"]
    test = set(image[split == "test"])
    both = test & set(image[split.isin(["train", "val"])])
    if not both:
        return
    what = f"{len(both)} of {len(test)} test pictures are training pictures too"
    if single:
        report.warn(
            f"{what}, of other people: this split is made for one person at a time, so prepare "
            "people into folders of their own (--subjects) or take --splits all",
            len(both),
        )
    elif len(both) > _FEW * len(test):
        report.fatal(
            f"{what}, so scores would be those of known pictures: indices mixed up", len(both)
        )
    else:
        report.warn(what, len(both))
