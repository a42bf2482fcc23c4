"""Statistics of training trials, streamed: standardisation and noise, one person at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from neuroalign.errors import NeuroalignError
from neuroalign.models.alignment import Standardise
from neuroalign.models.module import NeuralModule
from neuroalign.recordings.container import Recordings

FloatArray = npt.NDArray[np.float64]
_TRIALS_AT_ONCE = 128


def mean_and_scale(trials: Recordings, subject: str) -> tuple[FloatArray, FloatArray]:
    """Return the mean per feature and the standard deviation per channel or voxel.

    Parameters
    ----------
    trials : Recordings
        Training trials only.
    subject : str

    Returns
    -------
    mean : ndarray of the shape of one trial
    scale : ndarray of shape (n_channels,) or (n_voxels,)

    Raises
    ------
    NeuroalignError
        The person has fewer than two trials; values are not finite; a channel never changes.
    """
    view = trials.select(subject=subject)
    if len(view) < 2:
        raise NeuroalignError(
            f"{trials.path}: person {subject!r} has {len(view)} training trial(s); an alignment "
            "layer needs at least 2, and in practice hundreds. Leave the person out or record more."
        )
    total = np.zeros(view.feature_shape(subject))
    squares = np.zeros_like(total)
    for _, _, x in view.blocks():
        total += x.sum(0, dtype=np.float64)
        squares += np.einsum("i...,i...->...", x, x, dtype=np.float64)
    mean = total / len(view)
    variance = np.maximum(squares / len(view) - mean**2, 0.0)
    scale = np.sqrt(variance.reshape(len(variance), -1).mean(1))
    if not np.isfinite(scale).all():
        raise NeuroalignError(
            f"{trials.path}: training trials of person {subject!r} hold NaN or infinite values "
            f"(first in {trials.info.axes[0]} {int(np.argmin(np.isfinite(scale)))}), though "
            "recordings never do when they are written: the file is damaged. Prepare it again."
        )
    if (scale == 0).any():
        raise NeuroalignError(
            f"{trials.path}: {int((scale == 0).sum())} {trials.info.axes[0]} of person {subject!r} "
            f"do not change over the training trials (first: {int(np.argmin(scale))}). "
            "Leave them out when preparing the recordings."
        )
    return mean, scale


def fit_standardisation(module: NeuralModule, trials: Recordings) -> None:
    """Store each person's training statistics in the module."""
    for position, subject in enumerate(module.subjects):
        mean, scale = mean_and_scale(trials, subject)
        layer = module.alignment.standardise[position]
        assert isinstance(layer, Standardise)
        layer.mean.copy_(torch.from_numpy(mean))
        layer.scale.copy_(torch.from_numpy(scale))


def noise_whitener(
    trials: Recordings, subject: str, targets: npt.NDArray[np.int64], scale: FloatArray
) -> FloatArray:
    """Return what makes trial-to-trial noise white across channels, or of unit size per voxel.

    Noise is what is left of a standardised trial after the mean of the person's trials with the
    same target. Channels get the symmetric inverse square root of their noise covariance, shrunk
    by a tenth towards its diagonal; voxels, far more than trials, get a scale each.

    Parameters
    ----------
    trials : Recordings
        Training trials only.
    subject : str
    targets : ndarray of shape (n_trials,)
        The target row of each trial, of all people.
    scale : ndarray of shape (n_channels,) or (n_voxels,)
        From `mean_and_scale`.

    Returns
    -------
    ndarray of shape (n_channels, n_channels) or (n_voxels,)
    """
    here = np.flatnonzero(trials.trials["subject"].to_numpy() == subject)
    shape = trials.feature_shape(subject)
    order = here[np.argsort(targets[here], kind="stable")]
    starts = np.flatnonzero(np.diff(targets[order], prepend=-1))
    repeats = np.diff(np.append(starts, len(order)))
    # 2,000 targets of up to 64 trials fix the covariance of some hundred channels.
    groups = np.flatnonzero(repeats > 1)[:2000]
    repeats = np.minimum(repeats[groups], 64)
    by_channel = len(shape) > 1
    moment = np.zeros((shape[0], shape[0]) if by_channel else shape[0])
    if len(groups) == 0:  # all we know then is the total variance, which is already scaled to one
        return np.eye(shape[0]) if by_channel else np.ones(shape[0])
    unit = scale.astype(np.float32).reshape(-1, *[1] * (len(shape) - 1))
    for part in np.array_split(np.arange(len(groups)), -(-repeats.sum() // _TRIALS_AT_ONCE)):
        count = repeats[part]
        first = np.cumsum(count) - count
        within = np.arange(count.sum()) - np.repeat(first, count)
        x = trials.read(order[np.repeat(starts[groups[part]], count) + within]) / unit
        mean = np.add.reduceat(x, first, axis=0) / count.reshape(-1, *[1] * len(shape))
        x -= np.repeat(mean.astype(np.float32), count, axis=0)
        if by_channel:
            flat = x.swapaxes(0, 1).reshape(shape[0], -1)
            moment += flat @ flat.T
        else:
            moment += np.einsum("ij,ij->j", x, x)
    freedom = float((repeats - 1).sum() * np.prod(shape[1:]))
    moment /= freedom
    if not by_channel:
        return np.asarray(1.0 / np.sqrt(np.maximum(moment, 1e-6)))
    shrunk = 0.9 * moment + 0.1 * np.diag(np.diag(moment))
    values, vectors = np.linalg.eigh(shrunk)
    return np.asarray((vectors / np.sqrt(np.maximum(values, 1e-9))) @ vectors.T)
