"""What a reader is: a data set's files turned into recordings, one piece of work at a time.

A preparation has four steps, and each reader says how its data set takes them::

    plan    look at names, headers and tables; list the parts, and all that is wrong
    stage   read one part (a session or run of a person) and leave its trials on disk
    settle  with the trial tables of all parts in view: drop, split, describe
    finish  write one person's trials, scaled with statistics of the training trials

Only `stage` and `finish` touch signals. They run part by part and person by person, in any order
and in other processes, and what they finished is kept when a preparation is interrupted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.card import Card
from neuroalign.recordings.schema import Dropped, RecordingsInfo
from neuroalign.recordings.writer import RecordingsWriter

Signals = npt.NDArray[np.float32]
#: Takes the next trials of a part, of shape (n_trials, ...features).
Write = Callable[[npt.NDArray[Any]], None]


class Options(BaseModel):
    """What a user may choose; each field of a subclass becomes an option of the command line.

    Fields are bool, int, float, str, Path, Literal of strings, or tuples of strings, each with a
    default and a description; None may stand for "not given".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Part:
    """A piece of work that is done whole or again.

    Attributes
    ----------
    subject : str
    name : str
        Unique in the plan, usable as a file name, such as "sub-01_ses-02".
    files : tuple of Path
        What it reads. Where one of them has changed, the part is done again.
    trials : int
        How many are expected; what the progress bar counts.
    where : mapping
        Whatever else the reader needs to find it, as JSON can hold it.
    """

    subject: str
    name: str
    files: tuple[Path, ...]
    trials: int
    where: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a folder holds, found without reading signals.

    A finding of the severity "fatal" is one that `prepare` stops at.
    """

    parts: tuple[Part, ...]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Staged:
    """What a reader says of a part beside its signals.

    Attributes
    ----------
    trials : pandas.DataFrame
        A row for each trial that was written, in the same order: columns of the trial table as
        far as they are known, and any others.
    facts : mapping
        What must agree between parts or be described later (sfreq, channels, ...), as JSON can
        hold it.
    """

    trials: pd.DataFrame
    facts: Mapping[str, Any] = field(default_factory=dict)
    dropped: tuple[Dropped, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class StagedPart:
    """A part that waits on disk.

    `trials` has the column `staged_row`, the row of the signals, whatever is selected from it or
    added to it. `digests` holds a number for each row of the signals, the same where all values
    of two trials are the same. A doctor's parts have no file of signals: settle without it.
    """

    part: Part
    signals: Path | None
    trials: pd.DataFrame
    facts: Mapping[str, Any]
    feature_shape: tuple[int, ...]
    digests: npt.NDArray[np.uint64]
    dropped: tuple[Dropped, ...] = ()
    findings: tuple[Finding, ...] = ()

    def blocks(self, size: int = 256) -> Iterator[tuple[Signals, pd.DataFrame]]:
        """Yield signals of up to `size` trials and their rows of `trials`, in that order.

        The file is read, not mapped: mapped pages would count as memory of the process.
        """
        assert self.signals is not None
        shape, offset = _header(self.signals)
        width = int(np.prod(shape[1:]))
        rows = self.trials["staged_row"].to_numpy(np.int64)
        for start in range(0, len(rows), size):
            wanted = rows[start : start + size]
            first, last = int(wanted.min()), int(wanted.max()) + 1
            near = last - first <= 4 * len(wanted)
            spans = [(first, last)] if near else [(int(r), int(r) + 1) for r in wanted]
            read = [
                np.fromfile(
                    self.signals,
                    dtype=np.float32,
                    count=(stop - begin) * width,
                    offset=offset + 4 * begin * width,
                )
                for begin, stop in spans
            ]
            block = (read[0] if near else np.concatenate(read)).reshape(-1, *shape[1:])
            if near and not np.array_equal(wanted, np.arange(first, last)):
                block = block[wanted - first]
            yield block, self.trials.iloc[start : start + size]


@dataclass(frozen=True)
class Settled:
    """Everything decided: who is written, which trials, and what the recordings say.

    Attributes
    ----------
    people : mapping from subject to parts
        In the order of recording; the `trials` of each part are complete but for `subject` and
        `array_row`.
    info : RecordingsInfo
        Without `subjects`.
    findings : tuple of Finding
        About parts against each other.
    pictures : pandas.DataFrame, optional
        One row a picture: `stimulus`, `label`, `path`, and others.
    """

    people: Mapping[str, tuple[StagedPart, ...]]
    info: RecordingsInfo
    findings: tuple[Finding, ...] = ()
    pictures: pd.DataFrame | None = None


class Reader(ABC):
    """Reads one data set or one kind of folder. It holds no state.

    Attributes
    ----------
    card : Card
    options : type of Options
    """

    card: ClassVar[Card]
    options: ClassVar[type[Options]]

    @abstractmethod
    def recognises(self, folder: Path) -> bool:
        """Whether `folder` looks like this data set, complete or not; quick, and never raises."""

    @abstractmethod
    def plan(self, folder: Path, options: Options, subjects: Sequence[str] | None) -> Plan:
        """List the parts of these people (None: of all), and everything that is wrong.

        Raises
        ------
        NeuroalignError
            Nothing can be planned at all. All else is a finding: `doctor` shows the whole list.
        """

    @abstractmethod
    def stage(self, part: Part, options: Options, write: Write) -> Staged:
        """Read one part, and `write` its trials as float32, block by block.

        Raises
        ------
        NeuroalignError
            The part cannot be read as it must be.
        """

    @abstractmethod
    def settle(self, parts: Sequence[StagedPart], options: Options) -> Settled:
        """Decide what is written, from the tables and facts of all parts.

        Raises
        ------
        NeuroalignError
            The parts contradict each other, or nothing is left to write.
        """

    def finish(
        self,
        subject: str,
        settled: Settled,
        options: Options,  # noqa: ARG002 - for the readers that override this
        writer: RecordingsWriter,
    ) -> None:
        """Write one person's trials; as they were staged, unless a reader does it otherwise."""
        for part in settled.people[subject]:
            for signals, trials in part.blocks():
                writer.append(subject, signals, trials.drop(columns="staged_row"))


def _header(path: Path) -> tuple[tuple[int, ...], int]:
    """Return the shape of an array file, and where its numbers begin."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype != np.float32:
            raise NeuroalignError(
                f"{path} holds {dtype}, expected float32: it is not a staged part."
            )
        return shape, file.tell()
