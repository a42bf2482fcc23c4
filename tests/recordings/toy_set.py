"""A data set of nothing but arrays, and its reader: to test what all readers share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from neuroalign.errors import NeuroalignError
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
from neuroalign.recordings.schema import RecordingsInfo
from neuroalign.recordings.writer import RecordingsWriter

TRIALS, VOXELS, SESSIONS = 12, 5, 2


def write_toy_set(folder: Path, people: int = 2, seed: int = 0) -> Path:
    """Write `<subject>/session-<n>.npy` with a table of pictures beside each."""
    rng = np.random.default_rng(seed)
    for person in range(1, people + 1):
        (folder / f"s{person}").mkdir(parents=True)
        for session in range(1, SESSIONS + 1):
            file = folder / f"s{person}" / f"session-{session}.npy"
            np.save(file, rng.normal(size=(TRIALS, VOXELS)))
            names = [f"p{i:02d}" for i in rng.permutation(TRIALS)]
            pd.DataFrame({"picture": names}).to_csv(file.with_suffix(".csv"), index=False)
    return folder


class ToyOptions(Options):
    """What can be chosen."""

    scale: float = Field(1.0, description="Factor of all signals.")
    order: Literal["as is", "backwards"] = Field("as is", description="Order of trials.")
    test: tuple[str, ...] = Field(("p00", "p01"), description="Test pictures.")
    pictures: Path | None = Field(None, description="The folder of the pictures.")


class ToyReader(Reader):
    """Reads the toy set."""

    card: ClassVar[Card] = Card(
        name="toy",
        title="Toy set",
        modality="fmri",
        people="2",
        trials="24 each",
        pictures="12",
        size_gb=0.001,
        url="https://example.org/toy",
        licence="CC0",
        citation="Nobody (2026)",
        subjects=("s1", "s2"),
        layout="<subject>/session-<n>.npy",
    )
    options: ClassVar[type[Options]] = ToyOptions

    def recognises(self, folder: Path) -> bool:
        return any(folder.glob("s*/session-*.npy"))

    def plan(self, folder: Path, options: Options, subjects: Sequence[str] | None) -> Plan:
        parts, findings = [], []
        for subject in subjects or sorted(p.name for p in folder.glob("s*")):
            files = sorted((folder / subject).glob("session-*.npy"))
            if len(files) != SESSIONS:
                what = f"{len(files)} sessions, expected {SESSIONS}"
                findings.append(Finding(subject, what, "fatal", len(files)))
            for file in files:
                name = f"{subject}_{file.stem}"
                parts.append(Part(subject, name, (file, file.with_suffix(".csv")), TRIALS))
        return Plan(tuple(parts), tuple(findings))

    def stage(self, part: Part, options: Options, write: Write) -> Staged:
        assert isinstance(options, ToyOptions)
        signals = np.load(part.files[0], allow_pickle=False)
        names = pd.read_csv(part.files[1])["picture"]
        if options.order == "backwards":
            signals, names = signals[::-1], names[::-1]
        for start in range(0, len(signals), 5):
            write(options.scale * signals[start : start + 5])
        return Staged(pd.DataFrame({"stimulus": names}), {"voxels": signals.shape[1]})

    def settle(self, parts: Sequence[StagedPart], options: Options) -> Settled:
        assert isinstance(options, ToyOptions)
        people: dict[str, tuple[StagedPart, ...]] = {}
        for part in parts:
            split = np.where(part.trials["stimulus"].isin(options.test), "test", "train")
            session = part.part.name.rsplit("-", 1)[-1]
            trials = part.trials.assign(split=split, session=session)
            done = _replaced(part, trials)
            people[part.part.subject] = (*people.get(part.part.subject, ()), done)
        if len({p.facts["voxels"] for p in parts}) > 1:
            raise NeuroalignError("Sessions differ in their number of voxels.")
        names = sorted({n for p in parts for n in p.trials["stimulus"]})
        info = RecordingsInfo(modality="fmri", axes=("voxels",), units="toys")
        return Settled(people, info, pictures=pd.DataFrame({"stimulus": names}))

    def finish(
        self, subject: str, settled: Settled, options: Options, writer: RecordingsWriter
    ) -> None:
        super().finish(subject, settled, options, writer)
        writer.add_array("extra", subject, np.arange(VOXELS, dtype=np.float32))


def _replaced(part: StagedPart, trials: pd.DataFrame) -> Any:
    from dataclasses import replace

    return replace(part, trials=trials)


class ElsewhereReader(ToyReader):
    """Refuses to work in the process that made it."""

    def __init__(self) -> None:
        self.made_in = os.getpid()

    def stage(self, part: Part, options: Options, write: Write) -> Staged:
        assert self.made_in != os.getpid()
        return super().stage(part, options, write)

    def finish(
        self, subject: str, settled: Settled, options: Options, writer: RecordingsWriter
    ) -> None:
        assert self.made_in != os.getpid()
        super().finish(subject, settled, options, writer)
