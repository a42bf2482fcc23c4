"""Signals of a recording of any length: in memory while they are few, in a temporary file else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

#: Below this, all of them are kept in memory; else this much is read at a time.
MOST_BYTES = 2**27
_AT_A_TIME = 2**26


class Rows:
    """A table of numbers that is written and read by rows (channels) and by columns (samples).

    Parameters
    ----------
    rows, columns : int
    dtype : NumPy dtype
    most_bytes : int, optional
        What is larger lies in a temporary file, in the folder that TMPDIR names; None:
        `MOST_BYTES`.
    """

    def __init__(
        self, rows: int, columns: int, dtype: npt.DTypeLike, most_bytes: int | None = None
    ) -> None:
        self.shape, self.dtype = (rows, columns), np.dtype(dtype)
        self._array: npt.NDArray[Any] | None = None
        self._file: BinaryIO | None = None
        if self.nbytes <= (MOST_BYTES if most_bytes is None else most_bytes):
            self._array = np.zeros(self.shape, self.dtype)
        else:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
            self._file.truncate(self.nbytes)

    def __enter__(self) -> Rows:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._array = None
        if self._file is not None:
            self._file.close()

    @property
    def nbytes(self) -> int:
        """The size of all numbers."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def write(self, row: int, column: int, block: npt.NDArray[Any]) -> None:
        """Put a block of shape (rows, columns) where its first number belongs."""
        if self._array is not None:
            self._array[row : row + len(block), column : column + block.shape[1]] = block
            return
        assert self._file is not None
        for number, values in enumerate(np.ascontiguousarray(block, self.dtype)):
            self._file.seek(self._place(row + number, column))
            self._file.write(values.data)

    def rows(self, first: int, last: int) -> npt.NDArray[Any]:
        """Return rows `first` up to `last`, shape (last - first, columns)."""
        if self._array is not None:
            return self._array[first:last]
        return self._read(range(first, last), 0, self.shape[1])

    def columns(self, first: int, last: int) -> npt.NDArray[Any]:
        """Return columns `first` up to `last`, shape (rows, last - first)."""
        if self._array is not None:
            return self._array[:, first:last]
        return self._read(range(self.shape[0]), first, last)

    def row_groups(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Yield the number of the first row of a group, and the group; all at once if in memory."""
        width = max(1, self.shape[1] * self.dtype.itemsize)
        size = max(1, self.shape[0] if self._array is not None else _AT_A_TIME // width)
        for first in range(0, self.shape[0], size):
            yield first, self.rows(first, min(first + size, self.shape[0]))

    def column_spans(self) -> Iterator[tuple[int, int]]:
        """Yield spans of columns that are small enough to be read at once."""
        width = max(1, self.shape[0] * self.dtype.itemsize)
        size = max(1, self.shape[1] if self._array is not None else _AT_A_TIME // width)
        for first in range(0, self.shape[1], size):
            yield first, min(first + size, self.shape[1])

    def _read(self, rows: range, first: int, last: int) -> npt.NDArray[Any]:
        assert self._file is not None
        block = np.empty((len(rows), last - first), self.dtype)
        for number, row in enumerate(rows):
            self._file.seek(self._place(row, first))
            self._file.readinto(memoryview(block[number]).cast("B"))  # type: ignore[attr-defined]
        return block

    def _place(self, row: int, column: int) -> int:
        return (row * self.shape[1] + column) * self.dtype.itemsize
