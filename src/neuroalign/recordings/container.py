"""Recordings: one modality's trials of several people, as a folder that any tool can open.

::

    trials.parquet          a row a trial
    signals/<subject>.npy   (trials, ...features), C order, float16 or float32
    recordings.json         modality, axes, channels or voxels, steps, provenance, checksums
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import ValidationError

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.schema import (
    SCHEMA_VERSION,
    Channel,
    Dropped,
    Modality,
    RecordingsInfo,
    Step,
    SubjectInfo,
    validate_trials,
)
from neuroalign.selection import matching_rows

__all__ = ["Channel", "Dropped", "Modality", "Recordings", "RecordingsInfo", "Step"]

_RELEASE_BYTES = 64 * 2**20


class Recordings:
    """A read-only view of recordings: some trials, or averages of trials, of some people.

    Signals stay on disk until `read` or `blocks` asks for them.

    Parameters
    ----------
    path : Path
        A folder written by `RecordingsWriter`.

    Attributes
    ----------
    info : RecordingsInfo
    trials : pandas.DataFrame
        One row per item of this view (see `TRIAL_COLUMNS`); in an averaged view the column
        `n_averaged` counts the trials behind each item.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.info = _read_info(self.path)
        self.trials = _read_trials(self.path, self.info)
        self._rows = self.trials["array_row"].to_numpy(np.int64)
        self._offsets = np.arange(len(self.trials) + 1)
        for subject in self.info.subjects:
            self._signals(subject)  # shapes are verified on opening

    def __len__(self) -> int:
        return len(self.trials)

    def __repr__(self) -> str:
        kind = "simulated " if self.info.simulated else ""
        return (
            f"<Recordings {self.path.name}: {kind}{self.info.modality}, {len(self)} items, "
            f"{len(self.subjects)} people, axes {self.info.axes}>"
        )

    @property
    def modality(self) -> Modality:
        """`eeg`, `meg` or `fmri`."""
        return self.info.modality

    @cached_property
    def subjects(self) -> tuple[str, ...]:
        """The people in this view, in the order of recordings.json."""
        present = set(self.trials["subject"])
        return tuple(s for s in self.info.subjects if s in present)

    def feature_shape(self, subject: str) -> tuple[int, ...]:
        """Return the shape of one trial of `subject`."""
        return self._subject(subject).shape

    def select(self, **conditions: object) -> Recordings:
        """Keep the items whose columns equal a value, or one of a list of values.

        Columns of text are compared as text (`run=3` finds "3"); a missing value equals nothing.

        Examples
        --------
        >>> recordings.select(split="test", subject=["sub-01", "sub-02"])  # doctest: +SKIP
        """
        return self.take(matching_rows(self.trials, conditions, str(self.path)))

    def take(self, items: npt.ArrayLike) -> Recordings:
        """Return the view that holds the items at these positions, in this order.

        A boolean array with one entry per item keeps the items where it is true.
        """
        positions = self._positions(items)
        lengths = np.diff(self._offsets)[positions]
        return self._view(
            self.trials.iloc[positions].reset_index(drop=True),
            self._rows[_expand(self._offsets[:-1][positions], lengths)],
            np.concatenate([[0], np.cumsum(lengths)]),
        )

    def average(self, by: Sequence[str]) -> Recordings:
        """Average the trials that agree in the columns `by` (which must include `subject`).

        Columns that differ within a group become missing. Order: first appearance.
        """
        if "subject" not in by:
            raise NeuroalignError("Trials of different people cannot be averaged: add 'subject'.")
        unknown = [column for column in by if column not in self.trials]
        if unknown:
            raise NeuroalignError(
                f"{self.path}: no column(s) {', '.join(unknown)} to average by; "
                f"there are {', '.join(self.trials.columns)}."
            )
        if len(self) == 0:
            return self._view(self.trials.assign(n_averaged=0), self._rows, self._offsets)
        group = self.trials.groupby(list(by), sort=False, dropna=False).ngroup().to_numpy()
        order = np.argsort(group, kind="stable")
        starts = np.flatnonzero(np.diff(group[order], prepend=-1))
        table = self.trials.iloc[order[starts]].reset_index(drop=True)
        grouped = self.trials.groupby(group)
        varies = grouped.nunique(dropna=False).to_numpy() > 1
        for position, column in enumerate(self.trials.columns):
            if varies[:, position].any():
                table[column] = table[column].mask(varies[:, position])
        lengths = np.diff(self._offsets)[order]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = self._rows[_expand(self._offsets[:-1][order], lengths)]
        bounds = np.append(starts, len(order))
        # Recordings may hold averages themselves, and say so in this column.
        counts = self.trials.get("n_averaged", pd.Series(np.diff(self._offsets)))
        table["n_averaged"] = np.add.reduceat(counts.to_numpy(np.int64)[order], starts)
        return self._view(table, rows, offsets[bounds])

    def average_repeats(self) -> Recordings:
        """Average all trials of one person with one picture (or class, where none is known)."""
        return self.average(["subject", "stimulus", "label", "split"])

    def read(self, items: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """Return the signals at these positions of the view, all of one feature shape.

        Returns
        -------
        ndarray of shape (n_items, ...features), float32
        """
        positions = np.arange(len(self)) if items is None else self._positions(items)
        names = self.trials["subject"].to_numpy(object)[positions]
        people = dict.fromkeys(names) if len(names) else self.info.subjects
        shapes = {self.feature_shape(s) for s in people}
        if len(shapes) != 1:
            raise NeuroalignError(
                f"{self.path}: one array cannot hold trials of the shapes {sorted(shapes)}; "
                "read one person at a time, or use `blocks`."
            )
        out = np.empty((len(positions), *shapes.pop()), np.float32)
        for subject in dict.fromkeys(names):
            here = np.flatnonzero(names == subject)
            out[here] = self._read_subject(str(subject), positions[here])
        return out

    def blocks(
        self, size: int = 256
    ) -> Iterator[tuple[str, npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
        """Yield (subject, positions, signals) for at most `size` items of one person at a time."""
        names = self.trials["subject"].to_numpy(object)
        for subject in self.subjects:
            positions = np.flatnonzero(names == subject)
            for start in range(0, len(positions), size):
                part = positions[start : start + size]
                yield subject, part, self._read_subject(subject, part)

    def verify_checksums(self) -> None:
        """Compare every signal file with the checksum in recordings.json."""
        for subject, expected in self.info.subjects.items():
            signals = self._signals(subject)
            digest = hashlib.sha256()
            for start in range(0, len(signals), 256):
                digest.update(np.ascontiguousarray(signals[start : start + 256]).data)
            if digest.hexdigest() != expected.sha256:
                raise NeuroalignError(
                    f"{self._signal_path(subject)}: the content does not match its checksum "
                    f"({digest.hexdigest()[:12]} against {expected.sha256[:12]}). The file was "
                    "changed or damaged after it was written: prepare these recordings again."
                )

    def voxel_index(self, subject: str) -> npt.NDArray[np.int64] | None:
        """Return the C-order flat index of each voxel in the person's volume, if known."""
        volume = self._subject(subject).volume
        return None if volume is None else np.load(self.path / volume.index_file)

    def trials_behind(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the trials that make up each item, as rows of its person's signal file.

        Returns
        -------
        rows : ndarray of int64
            `array_row` of the trials of the first item, then of the second, ...
        counts : ndarray of shape (n_items,), int64
            How many there are of each item: 1 unless the view is averaged.
        """
        return self._rows.copy(), np.diff(self._offsets)

    def _view(
        self, trials: pd.DataFrame, rows: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]
    ) -> Recordings:
        view = object.__new__(Recordings)
        view.path, view.info, view.trials = self.path, self.info, trials
        view._rows, view._offsets = rows, offsets
        return view

    def _subject(self, subject: str) -> SubjectInfo:
        try:
            return self.info.subjects[subject]
        except KeyError as error:
            raise NeuroalignError(
                f"{self.path}: no subject {subject!r}; there are {', '.join(self.info.subjects)}."
            ) from error

    def _positions(self, items: npt.ArrayLike) -> npt.NDArray[np.int64]:
        chosen = np.asarray(items)
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise NeuroalignError(
                    f"A boolean choice of items needs one entry for each of the {len(self)} "
                    f"items, got the shape {chosen.shape}."
                )
            return np.flatnonzero(chosen)
        if chosen.size and chosen.dtype.kind not in "iu":
            raise NeuroalignError(f"Items are chosen by whole numbers, got {chosen.dtype}.")
        positions: npt.NDArray[np.int64] = chosen.astype(np.int64).ravel()
        if positions.size and not -len(self) <= positions.min() <= positions.max() < len(self):
            raise NeuroalignError(
                f"{self.path}: items {positions.min()} to {positions.max()} were asked for, but "
                f"this view holds {len(self)} (0 to {len(self) - 1})."
            )
        return positions

    def _signal_path(self, subject: str) -> Path:
        return self.path / "signals" / f"{subject}.npy"

    def _signals(self, subject: str) -> np.memmap[Any, Any]:
        path, expected = self._signal_path(subject), self.info.subjects[subject]
        try:
            signals = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError as error:
            raise NeuroalignError(
                f"{path} is missing, though recordings.json names it. "
                "The folder is incomplete: copy it again or prepare it again."
            ) from error
        except (ValueError, EOFError) as error:
            raise NeuroalignError(f"{path} is not a readable array: {error}.") from error
        found = (signals.shape, str(signals.dtype))
        wanted = ((expected.trials, *expected.shape), expected.dtype)
        if found != wanted:
            raise NeuroalignError(
                f"{path} holds {found[0]} {found[1]}, but recordings.json expects "
                f"{wanted[0]} {wanted[1]}: the folder mixes files of two runs. Prepare it again."
            )
        return cast(np.memmap[Any, Any], signals)

    def _read_subject(
        self, subject: str, positions: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        signals = self._signals(subject)
        lengths = np.diff(self._offsets)[positions]
        rows = self._rows[_expand(self._offsets[:-1][positions], lengths)]
        row_bytes = max(1, signals[:1].nbytes)
        mapped: mmap.mmap = signals._mmap  # type: ignore[attr-defined]
        out = np.empty((len(positions), *signals.shape[1:]), np.float32)
        step = max(1, _RELEASE_BYTES // row_bytes)
        ends = np.cumsum(lengths)
        start = 0
        while start < len(positions):
            before = int(ends[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + step, side="right")))
            count = lengths[start:stop]
            block = np.asarray(signals[rows[before : ends[stop - 1]]], np.float32)
            if (count > 1).any():
                block = np.add.reduceat(block, np.cumsum(count) - count, axis=0)
                block /= count.reshape(-1, *[1] * (block.ndim - 1))
            out[start:stop] = block
            start = stop
            # Without this, pages once read count as this process's memory for ever.
            if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
                mapped.madvise(mmap.MADV_DONTNEED)
        return out


def _expand(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Concatenate the ranges start..start+length without a Python loop."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())


def _read_info(path: Path) -> RecordingsInfo:
    file = path / "recordings.json"
    try:
        content = json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NeuroalignError(
            f"{path} is not a recordings folder: it has no recordings.json. "
            "Give the folder that `neuroalign prepare` or `neuroalign simulate` wrote."
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise NeuroalignError(f"{file} is not valid JSON: {error}.") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise NeuroalignError(
            f"{file} has schema version {version}, but this neuroalign reads version "
            f"{SCHEMA_VERSION}. Prepare the recordings again, or install the matching release."
        )
    try:
        return RecordingsInfo.model_validate(content)
    except ValidationError as error:
        raise NeuroalignError(f"{file} does not fit the schema: {error}") from error


def _read_trials(path: Path, info: RecordingsInfo) -> pd.DataFrame:
    file = path / "trials.parquet"
    try:
        trials = pd.read_parquet(file)
    except FileNotFoundError as error:
        raise NeuroalignError(f"{file} is missing: the recordings folder is incomplete.") from error
    except (OSError, ValueError) as error:
        raise NeuroalignError(f"{file} is not a readable Parquet table: {error}.") from error
    validate_trials(trials, {s: i.trials for s, i in info.subjects.items()}, str(file))
    return trials
