r"""Ridge solutions that alignment layers start from, chosen by cross-validation over targets.

For people s = 1..S with features x and weights W_s = W_0 + D_s, the penalty
:math:`\|W_0\|^2 / \rho + \sum_s \|D_s\|^2 / (1 - \rho)` gives one kernel ridge regression with

.. math:: k((x, s), (x', s')) = x^T x' \, (\rho + (1 - \rho) [s = s'])

`share` (rho) = 0 is a separate ridge per person, 1 is one map for everybody, between them people
lend each other strength. People with different numbers of voxels cannot share weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.linalg

from neuroalign.models.space import CommonSpace
from neuroalign.training.component_weights import choose_weights
from neuroalign.training.start_data import StartData, apply_whitener

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

#: Penalties, relative to the mean eigenvalue of the kernel.
PENALTIES = tuple(float(p) for p in np.geomspace(0.1, 1000.0, 9))


@dataclass(frozen=True)
class StartChoice:
    """What cross-validation chose for one modality."""

    whiten: bool
    share: float
    penalty: float
    two_way: float
    sharpness: float = 0.0
    #: Weights of the components of the common space; () for equal ones.
    weights: tuple[float, ...] = ()


def _kernels(data: StartData, whiten: bool) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return x^T x' between all items (zero between people who cannot share) and the person."""
    sizes = [len(x) for x in data.x]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    person = np.repeat(np.arange(len(sizes)), sizes)
    out = np.zeros((len(person), len(person)))
    # Two people at a time: whitened copies of all of them would take as much memory again.
    for i in range(len(sizes)):
        own = data.features(i, whiten=whiten)
        for j in range(i, len(sizes) if data.can_share else i + 1):
            other = own if j == i else data.features(j, whiten=whiten)
            rows, columns = slice(*starts[i : i + 2]), slice(*starts[j : j + 2])
            out[rows, columns] = own @ other.T
            out[columns, rows] = out[rows, columns].T
    return out, person


def _weighted(kernel: FloatArray, person: npt.NDArray[np.int64], share: float) -> FloatArray:
    same = person[:, None] == person[None, :]
    return np.where(same, 1.0, share) * kernel


def choose_start(
    data: StartData,
    spaces: Sequence[CommonSpace],
    target_vectors: npt.NDArray[np.float32],
    *,
    shares: Sequence[float],
    whiten: Sequence[bool] = (False, True),
    sharpness: Sequence[float] = (0.5, 1.0),
    folds: int = 5,
    seed: int = 0,
) -> list[StartChoice]:
    """Cross-validate over targets: the best start of one modality in each candidate space.

    Within a space, whitening, share and penalty are those of the least squared error, which moves
    smoothly where a score over few classes jumps. Component weights, which change the scale of
    errors, and spaces, whose errors cannot be compared, are chosen by 2-way scores.

    Parameters
    ----------
    data : StartData
    spaces : candidate spaces
    target_vectors : ndarray of shape (n_targets, d)
        Unit embeddings, before any space's transform.
    shares : values of rho to try (those above 0 need people of equal features)
    whiten : whether to whiten the noise: what to try
    sharpness : powers of the component weights to try (see `component_weights`)
    folds : int
        Each group (picture, or run) is left out once.

    Returns
    -------
    list of StartChoice
        One per space, with the cross-validated 2-way score among the targets left out.
    """
    target = np.concatenate(data.target)
    distinct, group = np.unique(np.concatenate(data.group), return_inverse=True)
    folds = min(folds, len(distinct))
    fold = (np.random.default_rng(seed).permutation(len(distinct)) % folds)[group]
    goals = [_unit(_apply(space, target_vectors)) for space in spaces]
    shares = [s for s in shares if s == 0.0 or data.can_share] or [0.0]
    lowest = [np.inf] * len(spaces)
    best: list[tuple[StartChoice, Float32Array]] = [None] * len(spaces)  # type: ignore[list-item]
    for white in whiten:
        kernel, person = _kernels(data, white)
        for share in shares:
            # People who share nothing are small problems instead of a large one.
            parts = [person == i for i in range(len(data.subjects))]
            if share > 0:
                parts = [np.ones(len(person), bool)]
            shape = (len(PENALTIES), len(person))
            left_out = [np.empty((*shape, goal.shape[1]), np.float32) for goal in goals]
            centre = [np.empty_like(z[0]) for z in left_out]
            for part in map(np.flatnonzero, parts):
                # The mean over all items, the left-out ones too: without them it would be the
                # lower the higher theirs are, and what is predicted of them seem worse than it is.
                for here, goal in zip(centre, goals, strict=True):
                    here[part] = goal[target[part]].mean(0)
                weighted = _weighted(kernel[np.ix_(part, part)], person[part], share)
                _predict_left_out(weighted, part, target, fold, goals, centre, left_out)
            for i, (goal, predicted) in enumerate(zip(goals, left_out, strict=True)):
                y = goal[target] - centre[i]
                errors = [np.square(z - y).sum() for z in predicted]
                j = int(np.argmin(errors))
                if errors[j] < lowest[i]:
                    lowest[i] = errors[j]
                    choice = StartChoice(white, share, PENALTIES[j], 0.0)
                    best[i] = choice, predicted[j].copy()
    choices = []
    for (choice, z), goal in zip(best, goals, strict=True):
        # Fewer targets than components (a handful of classes) cannot tell components apart.
        powers = sharpness if len(np.unique(target)) > goal.shape[1] else (0.0,)
        power, weights, score = choose_weights(z, goal, target, fold, powers)
        choices.append(replace(choice, two_way=score, sharpness=power, weights=weights))
    return choices


def _predict_left_out(
    kernel: FloatArray,
    part: npt.NDArray[np.int64],
    target: npt.NDArray[np.int64],
    fold: npt.NDArray[np.int64],
    goals: Sequence[FloatArray],
    centre: Sequence[Float32Array],
    out: Sequence[Float32Array],
) -> None:
    """Predict each of the items `part` from those of other folds, for each space and penalty.

    `kernel` is between the items `part`; predictions, less `centre[space]` (items, dim), go to
    their rows of `out[space]` (penalties, items, dim).
    """
    fold = fold[part]
    y = [goal[target[part]] - c[part] for goal, c in zip(goals, centre, strict=True)]
    for number in np.unique(fold):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if not len(train):  # all that a person saw fell into one fold: predicted is the mean
            for predictions in out:
                predictions[:, part[test]] = 0.0
            continue
        values, vectors = scipy.linalg.eigh(kernel[np.ix_(train, train)])
        left = kernel[np.ix_(test, train)] @ vectors
        unit = values.mean()
        for i, seen in enumerate(y):
            projected = vectors.T @ seen[train]
            for j, penalty in enumerate(PENALTIES):
                shrunk = projected / (np.maximum(values, 0) + penalty * unit)[:, None]
                out[i][j][part[test]] = left @ shrunk


def _apply(space: CommonSpace, vectors: npt.NDArray[np.float32]) -> FloatArray:
    centred = (vectors - space.mean).astype(np.float64)
    return centred if space.projection is None else centred @ space.projection


def _unit(x: FloatArray) -> FloatArray:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def solve_start(
    data: StartData,
    choice: StartChoice,
    space: CommonSpace,
    target_vectors: npt.NDArray[np.float32],
) -> list[npt.NDArray[np.float32]]:
    """Return each person's map (dim, features) of standardised trials.

    A map predicts how far the target lies from the mean of the person's targets. The mean itself
    is left out: it says nothing of the trial, and as ridge shrinks towards it, it would make the
    recordings of a person alike, and those of two people differ, whatever they saw.

    As in cross-validation, people who share nothing have a penalty of their own.

    Parameters
    ----------
    data : StartData
    choice : StartChoice
    space : CommonSpace
        The one that `choice` was made for.
    target_vectors : ndarray of shape (n_targets, d)
        As in `choose_start`.
    """
    goal = _unit(_apply(space, target_vectors))
    target = np.concatenate(data.target)
    person = np.repeat(np.arange(len(data.x)), [len(x) for x in data.x])
    people = range(len(data.subjects))
    groups = [list(people)] if choice.share > 0 else [[i] for i in people]
    dual = np.empty((len(person), goal.shape[1]), np.float32)
    for group in groups:
        part = np.flatnonzero(np.isin(person, group))
        y = goal[target[part]]
        kernel, within = _kernels(data.only(group), choice.whiten)
        weighted = _weighted(kernel, within, choice.share)
        strength = choice.penalty * np.trace(weighted) / len(weighted)
        weighted[np.diag_indices_from(weighted)] += strength
        dual[part] = scipy.linalg.solve(weighted, y - y.mean(0), assume_a="pos")
    maps = []
    component = np.array(choice.weights or np.ones(goal.shape[1]), np.float32)
    everybody = None
    if choice.share > 0:
        everybody = _sum_of_maps(data, choice.whiten, dual, person, people)
    for i in people:
        own = _sum_of_maps(data, choice.whiten, dual, person, [i])
        w = own if everybody is None else choice.share * everybody + (1 - choice.share) * own
        if choice.whiten:  # the whitener is symmetric: fold it into the weights
            w = apply_whitener(w, data.whitener[i], data.shapes[i])
        maps.append(component[:, None] * w)
    return maps


def _sum_of_maps(
    data: StartData,
    whiten: bool,
    dual: npt.NDArray[np.float32],
    person: npt.NDArray[np.int64],
    people: Sequence[int] | range,
) -> npt.NDArray[np.float32]:
    parts = [dual[person == i].T @ data.features(i, whiten=whiten) for i in people]
    return np.asarray(sum(parts[1:], start=parts[0]))
