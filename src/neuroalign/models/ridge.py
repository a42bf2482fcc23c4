"""Ridge regression to picture embeddings, its penalty chosen on pictures left out.

One eigendecomposition of the smaller of the trial and the feature Gram matrix serves all penalties
and all left-out groups: the residual of a left-out group follows in closed form from the residual
of the full fit (the PRESS identity, for groups). The result is that of leave-one-group-out
cross-validation, without refitting anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from neuroalign.errors import NeuroalignError

Matrix = npt.NDArray[np.float64]
_BLOCK_BYTES = 64 * 2**20
#: Penalties tried by default, in units of the mean eigenvalue of the trial Gram matrix.
_RELATIVE_ALPHAS = np.logspace(-3, 5, 17)


@dataclass(frozen=True, eq=False)
class RidgeSolution:
    """A linear map with an intercept: prediction = x @ weights + intercept.

    Parameters
    ----------
    weights : ndarray of shape (n_features, n_dims), float32
    intercept : ndarray of shape (n_dims,), float32
    alpha : float
        The chosen penalty.
    alphas : ndarray of shape (n_alphas,)
        The penalties tried.
    cv_scores : ndarray of shape (n_alphas,)
        Share of the targets' variance explained on left-out groups, of each penalty.
    target_mean : ndarray of shape (n_dims,), float32
        The weighted mean of the training targets: what is predicted at the mean features.
    """

    weights: npt.NDArray[np.float32]
    intercept: npt.NDArray[np.float32]
    alpha: float
    alphas: Matrix
    cv_scores: Matrix
    target_mean: npt.NDArray[np.float32]

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return the predictions, shape (n_trials, n_dims), for `X` of shape (n_trials, ...)."""
        flat = _flat(np.asarray(X))
        if flat.shape[1] != len(self.weights):
            raise NeuroalignError(
                f"This ridge map was fitted to {len(self.weights)} features a trial, but these "
                f"trials have {flat.shape[1]}."
            )
        predictions: npt.NDArray[np.float32] = (
            flat.astype(np.float32, copy=False) @ self.weights + self.intercept
        )
        return predictions


def ridge_solution(
    X: npt.ArrayLike,
    Y: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    *,
    alphas: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> RidgeSolution:
    """Fit a ridge regression with an intercept; the penalty explains most on left-out groups.

    Minimises `sum_i w_i |y_i - b - x_i W|^2 + alpha |W|^2`. Time grows with the cube of the smaller
    of trials and features; memory with its square, beside `X` itself, which is read in blocks.

    Parameters
    ----------
    X : array of shape (n_trials, ...features)
        May be a memory map.
    Y : array of shape (n_trials, n_dims)
        Targets.
    groups : array of shape (n_trials,), optional
        What is left out together: the picture, or the run where only classes are known. Default:
        each trial is its own group, right for averages of all trials of a picture.
    alphas : array of shape (n_alphas,), optional
        Penalties to try, positive. Default: 17 from 1e-3 to 1e5 times the mean eigenvalue of the
        centred trial Gram matrix.
    sample_weight : array of shape (n_trials,), optional
        Positive weights, such as the number of trials behind an average.

    Returns
    -------
    RidgeSolution

    Raises
    ------
    NeuroalignError
        Counts differ, values are not finite, features are constant, or there are less than three
        trials or two groups.
    """
    flat, targets = _flat(np.asarray(X)), np.asarray(Y, np.float64)
    n = len(flat)
    w = np.ones(n) if sample_weight is None else np.asarray(sample_weight, np.float64)
    ids = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    _check(flat, targets, ids, w)

    root = np.sqrt(w)
    x_mean = np.concatenate([w @ block for _, block in _columns(flat)]) / w.sum()
    y_mean = w @ targets / w.sum()
    scaled = root[:, None] * (targets - y_mean)

    U, eigenvalues = _decompose(flat, x_mean, root)
    penalties = (
        _RELATIVE_ALPHAS * eigenvalues.sum() / n
        if alphas is None
        else np.atleast_1d(np.asarray(alphas, np.float64))
    )
    if (penalties <= 0).any() or not np.isfinite(penalties).all():
        raise NeuroalignError("`alphas` have to be positive and finite.")
    projected = U.T @ scaled
    members = _members(ids)
    total = _left_out_error(U, np.zeros_like(eigenvalues), projected, scaled, root, members)
    errors = [
        _left_out_error(U, eigenvalues / (eigenvalues + a), projected, scaled, root, members)
        for a in penalties
    ]
    scores = 1.0 - np.asarray(errors) / total
    alpha = float(penalties[int(scores.argmax())])

    dual = root[:, None] * (U @ (projected / (eigenvalues + alpha)[:, None]))
    weights = np.empty((flat.shape[1], targets.shape[1]), np.float32)
    intercept = y_mean.copy()
    for part, block in _columns(flat):
        rows = (block - x_mean[part]).T @ dual
        weights[part] = rows
        intercept -= x_mean[part] @ rows
    return RidgeSolution(
        weights,
        intercept.astype(np.float32),
        alpha,
        penalties,
        scores,
        y_mean.astype(np.float32),
    )


def _left_out_error(
    U: Matrix,
    shrink: Matrix,
    projected: Matrix,
    scaled: Matrix,
    root: Matrix,
    members: list[npt.NDArray[np.int64]],
) -> float:
    """Return the weighted sum of squared errors on left-out groups.

    In coordinates scaled by the root of the weights the fit is H = q q' + U shrink U', with q the
    unit vector along `root` (the intercept); a group F left out has the residual
    (I - H_FF)^-1 (residual of the full fit)_F.
    """
    residual = scaled - U @ (shrink[:, None] * projected)
    q = root / np.linalg.norm(root)
    if len(members) == len(residual):
        leverage = (U**2) @ shrink + q**2
        residual = residual / np.maximum(1 - leverage, 1e-12)[:, None]
        return float((residual**2).sum())
    error = 0.0
    for rows in members:
        part = U[rows]
        kept = np.eye(len(rows)) - (part * shrink) @ part.T - np.outer(q[rows], q[rows])
        error += float((np.linalg.solve(kept, residual[rows]) ** 2).sum())
    return error


def _decompose(flat: npt.NDArray[np.floating], mean: Matrix, root: Matrix) -> tuple[Matrix, Matrix]:
    """Return left singular vectors and squared singular values of the centred, weighted data."""
    n, p = flat.shape
    if n <= p:
        gram = np.zeros((n, n))
        for part, block in _columns(flat):
            centred = root[:, None] * (block - mean[part])
            gram += centred @ centred.T
        values, vectors = eigh(gram, overwrite_a=True)
        keep = _positive(values)
        return np.ascontiguousarray(vectors[:, keep]), values[keep]
    # (X - m)' w (X - m), trials in blocks
    step = max(1, _BLOCK_BYTES // (8 * p))
    gram = np.zeros((p, p))
    for start in range(0, n, step):
        centred = root[start : start + step, None] * (flat[start : start + step] - mean)
        gram += centred.T @ centred
    values, vectors = eigh(gram, overwrite_a=True)
    keep = _positive(values)
    vectors = vectors[:, keep] / np.sqrt(values[keep])
    U = np.empty((n, int(keep.sum())))
    for start in range(0, n, step):
        centred = root[start : start + step, None] * (flat[start : start + step] - mean)
        U[start : start + step] = centred @ vectors
    return U, values[keep]


def _positive(values: Matrix) -> npt.NDArray[np.bool_]:
    top = float(values[-1])
    keep: npt.NDArray[np.bool_] = values > max(top, 0.0) * 1e-10
    if not keep.any():
        raise NeuroalignError(
            "All features are constant over the training trials: nothing can be learnt from them."
        )
    return keep


def _columns(flat: npt.NDArray[np.floating]) -> Iterator[tuple[slice, Matrix]]:
    """Yield blocks of features in float64."""
    step = max(1, _BLOCK_BYTES // (8 * len(flat)))
    for start in range(0, flat.shape[1], step):
        part = slice(start, min(start + step, flat.shape[1]))
        yield part, flat[:, part].astype(np.float64)


def _members(ids: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    order = np.argsort(ids, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(ids[order])) + 1)


def _flat(X: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return X.reshape(len(X), -1)


def _check(
    flat: npt.NDArray[np.floating], targets: Matrix, ids: npt.NDArray[np.int64], weights: Matrix
) -> None:
    counts = {len(flat), len(targets), len(ids), len(weights)}
    if targets.ndim != 2 or len(counts) != 1:
        raise NeuroalignError(
            "Ridge needs a row of targets, a group and a weight for each trial: got "
            f"{len(flat)} trials, targets of shape {targets.shape}, {len(ids)} groups and "
            f"{len(weights)} weights."
        )
    if len(flat) < 3 or len(np.unique(ids)) < 2:
        raise NeuroalignError(
            f"Ridge needs at least three trials in two groups to choose its penalty; got "
            f"{len(flat)} trials in {len(np.unique(ids))} group(s)."
        )
    for name, values in (("features", flat), ("targets", targets), ("weights", weights)):
        sums = values.reshape(len(values), -1).sum(axis=1, dtype=np.float64)
        if not np.isfinite(sums).all():
            first = int(np.flatnonzero(~np.isfinite(sums))[0])
            raise NeuroalignError(f"The {name} hold NaN or infinite values (first: trial {first}).")
    if (weights <= 0).any():
        raise NeuroalignError("`sample_weight` has to be positive for each trial.")
