"""Volume series: detrending, z-scores, the lag of the blood's response, masks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.signal

from neuroalign.errors import NeuroalignError
from neuroalign.signals.scaling import fit_scaling

Floats = npt.NDArray[np.float32]


def detrend_runs(volumes: npt.ArrayLike, runs: npt.ArrayLike) -> Floats:
    """Take each voxel's straight line over time out of each run; the voxel's run mean stays.

    Uses no labels and only the run's own volumes.

    Parameters
    ----------
    volumes : array of shape (n_volumes, voxels)
        In the order of recording.
    runs : array of shape (n_volumes,)
        The run of each volume.
    """
    data = np.array(volumes, np.float32)
    for rows in _rows_of_runs(runs, len(data)):
        block = data[rows].astype(np.float64)
        if len(block) < 3:
            raise NeuroalignError(
                f"A run of {len(block)} volume(s) is too short to detrend: a line needs 3."
            )
        mean = block.mean(axis=0)
        data[rows] = scipy.signal.detrend(block, axis=0, type="linear") + mean
    return data


def zscore_runs(volumes: npt.ArrayLike, runs: npt.ArrayLike) -> Floats:
    """Standardise each voxel within each run, from that run's own volumes.

    The statistics of a test run come from that run, unsupervised (no label is used): a run's
    offset and gain exist nowhere else. Where this is not wanted, use `zscore_train`.
    """
    data = np.array(volumes, np.float32)
    for rows in _rows_of_runs(runs, len(data)):
        data[rows] = fit_scaling([data[rows]]).apply(data[rows])
    return data


def zscore_train(volumes: npt.ArrayLike, train: npt.ArrayLike) -> Floats:
    """Standardise each voxel with mean and standard deviation of the training volumes.

    Parameters
    ----------
    volumes : array of shape (n_volumes, voxels)
    train : bool array of shape (n_volumes,)
        The volumes whose statistics are used.
    """
    data = np.asarray(volumes)
    return fit_scaling([data[np.asarray(train, bool)]]).apply(data)


def lagged_rows(runs: npt.ArrayLike, lag: int) -> npt.NDArray[np.int64]:
    """Return, for each volume's label, the volume `lag` later in the same run, or -1.

    The blood's response follows the picture by some seconds: with a repetition time of 2.5 s, a
    lag of 2 pairs a label with the volume recorded 5 s later. Only for series that are complete
    in time (rest included): where volumes were taken out, "2 later" is not 5 s later.
    """
    if lag < 0:
        raise NeuroalignError(f"`lag` must be 0 or more volumes, got {lag}.")
    names = np.asarray(runs)
    rows = np.full(len(names), -1, np.int64)
    for block in _rows_of_runs(names, len(names)):
        rows[block[: len(block) - lag]] = block[lag:]
    return rows


def mask_series(series: npt.ArrayLike, mask: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Take the voxels inside a mask out of a 4-D series.

    Parameters
    ----------
    series : array of shape (x, y, z, n_volumes)
    mask : array of shape (x, y, z)
        Voxels other than zero are kept.

    Returns
    -------
    volumes : ndarray of shape (n_volumes, voxels), float32
    index : int array of shape (voxels,)
        C-order flat index of each voxel in (x, y, z).
    """
    inside = np.asarray(mask) != 0
    shape = np.shape(series)
    if len(shape) != 4 or shape[:3] != inside.shape:
        raise NeuroalignError(
            f"The mask has the shape {inside.shape}, the series {shape}: the first three numbers "
            "must agree. Bring the mask into the space of the series first."
        )
    if not inside.any():
        raise NeuroalignError("The mask is empty: no voxel would be left.")
    index = np.flatnonzero(inside.ravel(order="C")).astype(np.int64)
    return np.ascontiguousarray(np.asarray(series)[inside].T, np.float32), index


def c_order_index(
    index: npt.ArrayLike, shape: tuple[int, int, int], *, base: int = 0, order: str = "C"
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
    """
    flat = np.asarray(index, np.int64) - base
    size = int(np.prod(shape))
    if order not in ("C", "F") or (flat.size and not 0 <= flat.min() <= flat.max() < size):
        raise NeuroalignError(
            f"Voxel indices run from {flat.min() + base} to {flat.max() + base}, but a volume of "
            f"{shape} counted from {base} has {base} to {size - 1 + base}. "
            "Give the right volume shape, and whether the count starts at 0 or 1."
        )
    if order == "C":
        return flat
    x, y, z = np.unravel_index(flat, shape, order="F")
    return np.ravel_multi_index((x, y, z), shape, order="C").astype(np.int64)


def _rows_of_runs(runs: npt.ArrayLike, n_volumes: int) -> list[npt.NDArray[np.int64]]:
    names = np.asarray(runs)
    if names.shape != (n_volumes,):
        raise NeuroalignError(
            f"{n_volumes} volumes but {names.size} entries that say which run they belong to."
        )
    return [np.flatnonzero(names == run) for run in dict.fromkeys(names.tolist())]
