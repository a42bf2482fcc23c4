"""Volume series: the lag of the blood's response, and where voxels lie in their volume."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError


def lagged_rows(runs: npt.ArrayLike, lag: int) -> npt.NDArray[np.int64]:
    """Return, for each volume's label, the volume `lag` later in the same run, or -1.

    The blood's response follows the picture by some seconds: with a repetition time of 2.5 s, a
    lag of 2 pairs a label with the volume recorded 5 s later. Only for series that are complete
    in time (rest included): where volumes were taken out, "2 later" is not 5 s later.

    Parameters
    ----------
    runs : array of shape (n_volumes,)
        The run of each volume, in the order of recording.
    lag : int
        Volumes, 0 or more.

    Returns
    -------
    int array of shape (n_volumes,)

    Raises
    ------
    NeuroalignError
        `lag` is negative.
    """
    if lag < 0:
        raise NeuroalignError(f"`lag` must be 0 or more volumes, got {lag}.")
    names = np.asarray(runs)
    rows = np.full(len(names), -1, np.int64)
    for run in dict.fromkeys(names.tolist()):
        block = np.flatnonzero(names == run)
        later = block[lag:]
        rows[block[: len(later)]] = later
    return rows


def c_order_index(
    index: npt.ArrayLike,
    shape: tuple[int, int, int],
    *,
    base: int = 0,
    order: Literal["C", "F"] = "C",
) -> npt.NDArray[np.int64]:
    """Bring flat voxel indices into C order, counted from 0.

    Parameters
    ----------
    index : int array of shape (voxels,)
    shape : (x, y, z)
    base : int
        The number of the first voxel: 0, or 1 as in MATLAB and R.
    order : {"C", "F"}
        "F" for column-major indices (x fastest), as in MATLAB and R.

    Returns
    -------
    int array of shape (voxels,)

    Raises
    ------
    NeuroalignError
        An index lies outside of the volume.
    """
    flat = np.asarray(index, np.int64) - base
    size = math.prod(shape)
    if flat.size and not 0 <= flat.min() <= flat.max() < size:
        raise NeuroalignError(
            f"Voxel indices run from {flat.min() + base} to {flat.max() + base}, but a volume of "
            f"{shape} counted from {base} has {base} to {size - 1 + base}. "
            "Give the right volume shape, and whether the count starts at 0 or 1."
        )
    if order == "C":
        return flat
    x, y, z = np.unravel_index(flat, shape, order="F")
    return np.ravel_multi_index((x, y, z), shape, order="C").astype(np.int64)
