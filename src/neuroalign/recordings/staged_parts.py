"""Parts on disk: written whole or not at all, and known again by a later run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict

from neuroalign import __version__
from neuroalign.errors import NeuroalignError
from neuroalign.files import atomic_folder
from neuroalign.recordings.damage import damage_explained
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.contract import Options, Part, Reader, Staged, StagedPart
from neuroalign.recordings.schema import Dropped
from neuroalign.recordings.signal_stream import write_header

Digests = npt.NDArray[np.uint64]


class TrialSink:
    """Takes the trials of one part: checks them, remembers a digest of each, and keeps them.

    Parameters
    ----------
    part : Part
    file : Path or None
        Where they are kept; None: nowhere (they are only looked at).
    """

    def __init__(self, part: Part, file: Path | None) -> None:
        self._part, self._path = part, file
        self._file: BinaryIO | None = None
        self._digests: list[bytes] = []
        self.shape: tuple[int, ...] | None = None
        self.trials = 0

    def __enter__(self) -> TrialSink:
        if self._path is not None:
            self._file = self._path.open("wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        with self._file:
            if error is None and self.shape is not None:
                self._file.seek(0)
                write_header(self._file, np.dtype(np.float32), (self.trials, *self.shape))

    def write(self, block: npt.NDArray[Any]) -> None:
        """Add trials of shape (n_trials, ...features).

        Raises
        ------
        NeuroalignError
            A value is NaN or infinite, or trials differ in shape.
        """
        with np.errstate(over="ignore"):  # too large becomes infinite, and is refused below
            signals = np.ascontiguousarray(block, np.float32)
        if len(signals) == 0:
            return
        if self.shape is None:
            self.shape = signals.shape[1:]
            if self._file is not None:
                write_header(self._file, np.dtype(np.float32), (0, *self.shape))
        if signals.shape[1:] != self.shape:
            raise NeuroalignError(
                f"{self._part.name}: a trial has the shape {signals.shape[1:]}, but earlier ones "
                f"have {self.shape}. All trials of a part must agree."
            )
        self._check_finite(signals)
        self._digests += [
            hashlib.blake2b(trial.tobytes(), digest_size=8).digest() for trial in signals
        ]
        self.trials += len(signals)
        if self._file is not None:
            self._file.write(signals.data)

    @property
    def digests(self) -> Digests:
        """One number a trial, the same where all its values are the same; shape (trials,)."""
        return np.frombuffer(b"".join(self._digests), np.uint64)

    def _check_finite(self, signals: npt.NDArray[np.float32]) -> None:
        # A sum is quick, and holds NaN or infinity if any of its terms does.
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(signals.sum(dtype=np.float64)):
                return
        finite = np.isfinite(signals)
        if finite.all():
            return
        bad = np.flatnonzero(~finite.reshape(len(signals), -1).all(axis=1))
        raise NeuroalignError(
            f"{self._part.name}: {int((~finite).sum())} value(s) of {len(bad)} trial(s) are NaN or "
            f"infinite (first: trial {self.trials + int(bad[0])} of this part), so they would "
            f"spoil every score. Read from {_names(self._part)}: copy or download it again, or "
            "leave this person out."
        )


class _Record(BaseModel):
    """staged.json: what is known of a part beside its signals and its table."""

    model_config = ConfigDict(extra="forbid")

    key: str
    bytes: int
    feature_shape: tuple[int, ...]
    facts: dict[str, Any]
    dropped: tuple[Dropped, ...]
    findings: tuple[Finding, ...]


def part_key(reader: Reader, part: Part, options: Options) -> str:
    """Return a hash of everything that determines the content of a staged part."""
    files = [(str(p), (s := p.stat()).st_size, s.st_mtime_ns) for p in part.files]
    content = [
        __version__,
        f"{type(reader).__module__}.{type(reader).__qualname__}",
        part.subject,
        part.name,
        dict(part.where),
        json.loads(options.model_dump_json()),
        files,
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def stage_part(reader: Reader, part: Part, options: Options, folder: Path, key: str) -> None:
    """Stage one part into `folder`, which appears when all of it is there.

    `key` is its `part_key` of before: were a file to change meanwhile, it would be done again.
    """
    with atomic_folder(folder, overwrite=True) as partial:
        with TrialSink(part, partial / "signals.npy") as sink:
            staged = look_at(reader, part, options, sink)
        staged.trials.to_parquet(partial / "trials.parquet", index=False)
        np.save(partial / "digests.npy", sink.digests)
        record = _Record(
            key=key,
            bytes=(partial / "signals.npy").stat().st_size,
            feature_shape=sink.shape or (),
            facts=dict(staged.facts),
            dropped=staged.dropped,
            findings=staged.findings,
        )
        (partial / "staged.json").write_text(record.model_dump_json())


def look_at(reader: Reader, part: Part, options: Options, sink: TrialSink) -> Staged:
    """Let the reader stage a part into `sink`, and number its trials.

    Raises
    ------
    NeuroalignError
        The part cannot be read, or has another number of trials than of rows in its table.
    """
    write: Callable[[npt.NDArray[Any]], None] = sink.write
    with damage_explained(part.name, _names(part), reader.card.name):
        staged = reader.stage(part, options, write)
    if sink.trials != len(staged.trials):
        raise NeuroalignError(
            f"{part.name}: {sink.trials} trials of signals were read but its table has "
            f"{len(staged.trials)} rows. Each trial needs exactly one."
        )
    trials = staged.trials.reset_index(drop=True).assign(staged_row=np.arange(sink.trials))
    return Staged(trials, staged.facts, staged.dropped, staged.findings)


def is_staged(folder: Path, key: str) -> bool:
    """Whether a part with this key lies whole in `folder`."""
    try:
        record = _Record.model_validate_json((folder / "staged.json").read_text())
        size = (folder / "signals.npy").stat().st_size
    except (OSError, ValueError):
        return False
    return record.key == key and record.bytes == size


def open_part(part: Part, folder: Path) -> StagedPart:
    """Open what `stage_part` wrote."""
    record = _Record.model_validate_json((folder / "staged.json").read_text())
    return StagedPart(
        part,
        folder / "signals.npy",
        pd.read_parquet(folder / "trials.parquet"),
        record.facts,
        record.feature_shape,
        np.load(folder / "digests.npy"),
        record.dropped,
        record.findings,
    )


def _names(part: Part) -> str:
    return ", ".join(str(p) for p in part.files[:3]) + (", ..." if len(part.files) > 3 else "")
