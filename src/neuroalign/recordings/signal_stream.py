"""An array on its way to disk, some trials at a time; it is checked as it goes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError


class SignalStream:
    """The signals of one person of recordings, as they are written.

    Parameters
    ----------
    path : Path
        The array file (.npy).
    subject : str
        For errors.
    shape : tuple of int
        Of a trial.
    dtype : numpy.dtype
        float16 or float32.
    feature_name : function from a place on the first axis to its name
        For errors.

    Attributes
    ----------
    shape : tuple of int
    trials : int
        How many were written.
    """

    def __init__(
        self,
        path: Path,
        subject: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        feature_name: Callable[[int], str],
    ) -> None:
        self.shape, self.trials = shape, 0
        self._subject, self._dtype, self._feature_name = subject, dtype, feature_name
        self._digest = hashlib.sha256()
        self._low: npt.NDArray[Any] | None = None
        self._high: npt.NDArray[Any] | None = None
        self._file = path.open("wb")
        write_header(self._file, dtype, (0, *shape))

    @property
    def sha256(self) -> str:
        """Of the numbers written."""
        return self._digest.hexdigest()

    def write(self, data: npt.NDArray[Any]) -> None:
        """Add trials of shape (n_trials, ...features).

        Raises
        ------
        NeuroalignError
            Trials differ in shape, or a value is no finite number of the dtype.
        """
        if data.shape[1:] != self.shape:
            raise NeuroalignError(
                f"subject {self._subject}: a trial has the shape {data.shape[1:]}, but earlier "
                f"ones have {self.shape}."
            )
        self._check_values(data)
        with np.errstate(over="ignore"):
            block = np.ascontiguousarray(data, dtype=self._dtype)
        if not np.isfinite(block).all():
            raise NeuroalignError(
                f"subject {self._subject}: values up to {np.abs(data).max():.3g} do not fit "
                f"{self._dtype}. Normalise the signals first or write float32."
            )
        self._file.write(block.data)
        self._digest.update(block.data)
        self.trials += len(data)

    def complete(self, axis: str) -> None:
        """Write the header for all trials, and have the disk keep them.

        Raises
        ------
        NeuroalignError
            There are no trials, or something on the first axis (`axis`) never changes.
        """
        if self.trials == 0:
            raise NeuroalignError(
                f"subject {self._subject} has no trials. Leave this person out, or give trials."
            )
        self._check_constant(axis)
        self._file.seek(0)
        write_header(self._file, self._dtype, (self.trials, *self.shape))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _check_values(self, data: npt.NDArray[Any]) -> None:
        if data.dtype.kind not in "fiu":
            raise NeuroalignError(
                f"subject {self._subject}: signals are {data.dtype}, not numbers."
            )
        if len(data) == 0:
            return
        finite = np.isfinite(data)
        if not finite.all():
            trial, first = (int(a[0]) for a in np.nonzero(~finite)[:2])
            raise NeuroalignError(
                f"subject {self._subject}, trial {self.trials + trial}: {int((~finite).sum())} "
                f"value(s) are NaN or infinite (first in {self._feature_name(first)}). "
                "Drop such trials or repair the recording before preparing it."
            )
        others = (0, *range(2, data.ndim))
        low, high = data.min(others), data.max(others)
        self._low = low if self._low is None else np.minimum(self._low, low)
        self._high = high if self._high is None else np.maximum(self._high, high)

    def _check_constant(self, axis: str) -> None:
        if self._low is None or self._high is None or self.trials < 2:
            return
        flat = np.flatnonzero(self._low == self._high)
        if flat.size:
            names = ", ".join(self._feature_name(int(i)) for i in flat[:5])
            raise NeuroalignError(
                f"subject {self._subject}: {flat.size} of {self.shape[0]} {axis} never change over "
                f"{self.trials} trials ({names}{', ...' if flat.size > 5 else ''}). A flat channel "
                "or an empty voxel carries no signal and breaks standardising: leave it out."
            )


def write_header(file: BinaryIO, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Write the header of an array file; it can be written again when the first axis has grown."""
    # NumPy pads the header for a growing first axis, so it can be rewritten in place at the end.
    np.lib.format.write_array_header_1_0(
        file, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    )
