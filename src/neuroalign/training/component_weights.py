r"""Weights for the components of the common space, from predictions of left-out trials.

Ridge shrinks all components of the common space alike, but recordings tell of some far better than
of others. Where z = b y + e, with y component k of the right picture and e of variance v, the
log-likelihood ratio between pictures is linear in :math:`(b / v) \, z y`: so b / v is the weight
of the component. Both are estimated on left-out trials, as predictions of trials that the map was
fitted to are far too good. Few trials estimate them badly, so weights are taken to a power
(`sharpness`) that cross-validation chooses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

AnyArray = npt.NDArray[np.floating]
FloatArray = npt.NDArray[np.float64]


def choose_weights(
    z: AnyArray,
    goal: FloatArray,
    target: npt.NDArray[np.int64],
    fold: npt.NDArray[np.int64],
    sharpness: Sequence[float],
) -> tuple[float, tuple[float, ...], float]:
    """Choose the power, and estimate the weights on all left-out predictions.

    Parameters
    ----------
    z : ndarray of shape (n_items, dim)
        Predictions, each of a map that was fitted without the item's fold.
    goal : ndarray of shape (n_targets, dim), unit vectors
    target : ndarray of shape (n_items,)
        The row of `goal` that each item belongs to.
    fold : ndarray of shape (n_items,)
    sharpness : powers of the weights to try; 0 makes all alike

    Returns
    -------
    sharpness : float
    weights : dim numbers, mean square 1
    two_way : float
        The cross-validated score: in each fold, with the weights of the others.
    """
    scores = np.zeros(len(sharpness))
    for number in np.unique(fold):
        test = fold == number
        weights = _estimate(z[~test], goal[target[~test]])
        for i, power in enumerate(sharpness):
            predicted = z[test] * _powered(weights, power)
            scores[i] += test.sum() * two_way(predicted, goal, target[test])
    best = int(np.argmax(scores))
    weights = _powered(_estimate(z, goal[target]), sharpness[best])
    return sharpness[best], tuple(map(float, weights)), float(scores[best] / len(z))


def two_way(z: AnyArray, goal: FloatArray, target: npt.NDArray[np.int64]) -> float:
    """Return the mean share of distractors below the right target, ties half.

    The candidates are the targets present; of fewer than two nothing can be said: 0.5.
    """
    candidates, right = np.unique(target, return_inverse=True)
    if len(candidates) < 2:
        return 0.5
    scores = z @ goal[candidates].T
    own = np.take_along_axis(scores, right[:, None], axis=1)
    below = (scores < own).sum(1) + 0.5 * ((scores == own).sum(1) - 1)
    return float(below.mean() / (len(candidates) - 1))


def _estimate(z: AnyArray, y: FloatArray) -> FloatArray:
    y = y - y.mean(0)
    slope = np.maximum((z * y).sum(0), 0.0) / np.maximum((y * y).sum(0), 1e-12)
    noise = ((z - slope * y) ** 2).mean(0)
    return np.asarray(slope / np.maximum(noise, 1e-12))


def _powered(weights: FloatArray, power: float) -> FloatArray:
    powered = weights**power
    size = np.sqrt(np.mean(powered**2))
    return powered / size if size > 0 else np.ones_like(weights)
