"""Streamed writing of recordings: chunk by chunk, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow

from neuroalign.errors import NeuroalignError
from neuroalign.files import atomic_folder
from neuroalign.recordings.container import Recordings
from neuroalign.recordings.schema import (
    TRIAL_COLUMNS,
    RecordingsInfo,
    SubjectInfo,
    Volume,
    validate_trials,
)
from neuroalign.recordings.signal_stream import SignalStream

_SCRATCH = "scratch"
_DTYPES: dict[str, Any] = {
    **dict.fromkeys(("subject", "stimulus", "label", "split", "session", "run"), "string"),
    "onset_s": "float64",
    "repetition": "Int64",
    "array_row": "int64",
}


class RecordingsWriter:
    """Write recordings in a stream; the folder appears only when all of it is valid.

    Parameters
    ----------
    out : Path
        The folder to make.
    info : RecordingsInfo
        Everything but `subjects`, which the writer fills in.
    dtype : str
        "float32" (default) or "float16" (half the disk; 3 significant digits).
    overwrite : bool
        Replace an existing folder once the new one is complete.

    Examples
    --------
    >>> with RecordingsWriter(out, info) as writer:  # doctest: +SKIP
    ...     writer.append("sub-01", signals, trials)
    """

    def __init__(
        self,
        out: str | Path,
        info: RecordingsInfo,
        *,
        dtype: str = "float32",
        overwrite: bool = False,
    ) -> None:
        if dtype not in ("float16", "float32"):
            raise NeuroalignError(f"`dtype` must be float16 or float32, got {dtype!r}.")
        self.out, self.info, self.dtype = Path(out), info, np.dtype(dtype)
        self._overwrite = overwrite
        self._streams: dict[str, SignalStream] = {}
        self._volumes: dict[str, Volume] = {}
        self._tables: list[pd.DataFrame] = []
        self._stack = ExitStack()

    def __enter__(self) -> RecordingsWriter:
        self._partial = self._stack.enter_context(
            atomic_folder(self.out, overwrite=self._overwrite)
        )
        (self._partial / "signals").mkdir()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._finish()
                self._close_files()
        except BaseException as late:
            self._abandon_files()
            self._stack.__exit__(type(late), late, late.__traceback__)
            raise
        if error is not None:
            self._abandon_files()
        self._stack.__exit__(kind, error, trace)

    def append(self, subject: str, signals: npt.ArrayLike, trials: pd.DataFrame) -> None:
        """Add trials of one person.

        Parameters
        ----------
        subject : str
        signals : array of shape (n_trials, ...features)
        trials : pandas.DataFrame
            n_trials rows; `subject` and `array_row` are filled in, absent optional columns are
            left missing.

        Raises
        ------
        NeuroalignError
            Counts or shapes do not fit, or a value is NaN or infinite.
        """
        data = np.asarray(signals)
        self._check_axes(subject, data)
        if len(data) != len(trials):
            raise NeuroalignError(
                f"subject {subject}: {len(data)} trials of signals but {len(trials)} rows in the "
                "trial table. Each recorded trial needs exactly one row."
            )
        stream = self._streams.get(subject) or self._open(subject, data.shape[1:])
        table = trials.reset_index(drop=True).copy()
        table["subject"] = subject
        table["array_row"] = np.arange(stream.trials, stream.trials + len(table))
        stream.write(data)
        self._tables.append(table.reindex(columns=[*TRIAL_COLUMNS, *_extra_columns(table)]))

    def set_volume(
        self,
        subject: str,
        index: npt.ArrayLike,
        shape: tuple[int, int, int],
        affine: npt.ArrayLike | None = None,
    ) -> None:
        """State where a person's voxels lie: C-order flat indices into a volume of `shape`."""
        flat = np.asarray(index, np.int64)
        name = f"signals/{subject}-voxels.npy"
        np.save(self._partial / name, flat)
        matrix = None if affine is None else tuple(map(tuple, np.asarray(affine, float).tolist()))
        self._volumes[subject] = Volume(shape=shape, affine=matrix, index_file=name)

    def scratch_folder(self) -> Path:
        """Return a folder for intermediate files, gone when the recordings are complete."""
        folder = self._partial / _SCRATCH
        folder.mkdir(exist_ok=True)
        return folder

    def add_table(self, name: str, table: pd.DataFrame) -> None:
        """Keep a further table, such as the findings about the raw files, as `<name>.tsv`."""
        table.to_csv(self._partial / f"{name}.tsv", sep="\t", index=False)

    def add_array(self, name: str, subject: str, array: npt.ArrayLike) -> None:
        """Keep a further array of a person, such as the noise ceiling SNR of each voxel.

        It becomes `<name>/<subject>.npy`.
        """
        (self._partial / name).mkdir(exist_ok=True)
        np.save(self._partial / name / f"{subject}.npy", np.asarray(array))

    def _check_axes(self, subject: str, data: npt.NDArray[Any]) -> None:
        if data.ndim != len(self.info.axes) + 1:
            raise NeuroalignError(
                f"subject {subject}: signals have {data.ndim - 1} feature axes, expected "
                f"{len(self.info.axes)} ({', '.join(self.info.axes)}) after the trial axis."
            )
        for axis, names in (
            ("channels", [c.name for c in self.info.channels]),
            ("frequencies", self.info.frequencies),
        ):
            if names and axis in self.info.axes:
                found = data.shape[1 + self.info.axes.index(axis)]
                if found != len(names):
                    raise NeuroalignError(
                        f"subject {subject}: the signals have {found} {axis}, but {len(names)} "
                        "were announced for these recordings."
                    )

    def _open(self, subject: str, shape: tuple[int, ...]) -> SignalStream:
        if not subject or Path(subject).name != subject:
            raise NeuroalignError(f"{subject!r} cannot name a subject: it must be a file name.")
        path = self._partial / "signals" / f"{subject}.npy"
        stream = SignalStream(path, subject, tuple(shape), self.dtype, self._feature_name)
        self._streams[subject] = stream
        return stream

    def _feature_name(self, position: int) -> str:
        if self.info.channels:
            return f"channel {self.info.channels[position].name}"
        return f"{self.info.axes[0].removesuffix('s')} {position}"

    def _finish(self) -> None:
        shutil.rmtree(self._partial / _SCRATCH, ignore_errors=True)
        if not self._streams:
            raise NeuroalignError(f"{self.out}: no trials were written.")
        subjects = {}
        for subject, stream in self._streams.items():
            self._check_volume(subject, stream)
            stream.complete(self.info.axes[0])
            subjects[subject] = SubjectInfo(
                trials=stream.trials,
                shape=stream.shape,
                dtype=str(self.dtype),
                sha256=stream.sha256,
                volume=self._volumes.get(subject),
            )
        trials = pd.concat(self._tables, ignore_index=True)
        for column, dtype in _DTYPES.items():
            try:
                trials[column] = trials[column].astype(dtype)
            except (TypeError, ValueError) as error:
                raise NeuroalignError(
                    f"{self.out}: the column {column!r} of the trial table cannot be stored as "
                    f"{dtype}: {error}."
                ) from error
        validate_trials(trials, {s: i.trials for s, i in subjects.items()}, str(self.out))
        try:
            trials.to_parquet(self._partial / "trials.parquet", index=False)
        except pyarrow.ArrowException as error:
            raise NeuroalignError(
                f"{self.out}: the trial table cannot be stored: {error}. A column must hold "
                "values of one kind."
            ) from error
        info = self.info.model_copy(update={"subjects": subjects})
        (self._partial / "recordings.json").write_text(info.model_dump_json(indent=2) + "\n")
        if info.dropped:
            pd.DataFrame([d.model_dump() for d in info.dropped]).to_csv(
                self._partial / "dropped.tsv", sep="\t", index=False
            )

    def _check_volume(self, subject: str, stream: SignalStream) -> None:
        volume = self._volumes.get(subject)
        if volume is None:
            return
        index = np.load(self._partial / volume.index_file)
        size = int(np.prod(volume.shape))
        if index.shape != stream.shape or not 0 <= index.min() <= index.max() < size:
            raise NeuroalignError(
                f"subject {subject}: {index.size} voxel indices from {index.min()} to "
                f"{index.max()} do not describe {stream.shape[0]} voxels of a volume of "
                f"{volume.shape} (0 to {size - 1})."
            )

    def _close_files(self) -> None:
        for stream in self._streams.values():
            stream.close()

    def _abandon_files(self) -> None:
        """Close files that are about to be removed; a full disk may refuse what they still hold."""
        for stream in self._streams.values():
            with suppress(OSError):
                stream.close()


def write_recordings(
    out: str | Path,
    info: RecordingsInfo,
    signals: Mapping[str, npt.ArrayLike],
    trials: pd.DataFrame,
    *,
    overwrite: bool = False,
) -> Recordings:
    """Write arrays that are in memory as a recordings folder, and open it.

    Parameters
    ----------
    signals : mapping from subject to array of shape (n_trials, ...features)
    trials : pandas.DataFrame
        Has a column `subject`; the rows of a person are in the order of that person's array.
    """
    with RecordingsWriter(out, info, overwrite=overwrite) as writer:
        strangers = sorted(set(trials["subject"]) - set(signals))
        if strangers:
            raise NeuroalignError(f"The trial table names people without signals: {strangers}.")
        for subject, array in signals.items():
            writer.append(subject, array, trials[trials["subject"] == subject])
    return Recordings(out)


def _extra_columns(table: pd.DataFrame) -> list[str]:
    return [c for c in table.columns if c not in TRIAL_COLUMNS]
