"""Standardising with statistics that come from the training trials alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation per channel or voxel (float64 arrays of shape (features,))."""

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    def apply(self, signals: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return (signals - mean) / scale; axis 1 of `signals` is the channel or voxel."""
        data = np.asarray(signals)
        shape = (1, -1, *[1] * (data.ndim - 2))
        return ((data - self.mean.reshape(shape)) / self.scale.reshape(shape)).astype(np.float32)


def fit_scaling(blocks: Iterable[npt.ArrayLike]) -> Scaling:
    """Measure mean and standard deviation of each channel or voxel, one block at a time.

    Parameters
    ----------
    blocks : iterable of arrays of shape (n_trials, features, ...)
        Training trials only: whoever calls this decides whose statistics are used.

    Returns
    -------
    Scaling
        The standard deviation divides by the number of values (ddof 0).

    Raises
    ------
    NeuroalignError
        There are no values, or a channel or voxel never changes.
    """
    count, mean, squares = 0, np.zeros(0), np.zeros(0)
    for block in blocks:
        data = np.asarray(block, np.float64)
        data = np.moveaxis(data, 1, 0).reshape(data.shape[1], -1)
        if data.shape[1] == 0:
            continue
        here, here_mean = data.shape[1], data.mean(axis=1)
        here_squares = ((data - here_mean[:, None]) ** 2).sum(axis=1)
        if count == 0:
            count, mean, squares = here, here_mean, here_squares
            continue
        # Chan's update: stable where the plain sum of squares would cancel.
        total, shift = count + here, here_mean - mean
        squares = squares + here_squares + shift**2 * count * here / total
        mean = mean + shift * here / total
        count = total
    if count == 0:
        raise NeuroalignError("There are no training trials to take the statistics from.")
    scale = np.sqrt(squares / count)
    flat = np.flatnonzero(~(scale > 1e-12 * np.maximum(np.abs(mean), 1e-12)))
    if flat.size:
        raise NeuroalignError(
            f"{flat.size} of {len(scale)} channels or voxels never change over the training "
            f"trials (positions {flat[:5].tolist()}{', ...' if flat.size > 5 else ''}), so they "
            "cannot be standardised. Leave them out."
        )
    return Scaling(mean, scale)
