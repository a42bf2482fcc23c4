"""What a ridge start is fitted to: averages of repeats, standardised, with what whitens them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.container import Recordings
from neuroalign.training.statistics import mean_and_scale, noise_whitener

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

#: More items than this are thinned out: the kernel of a ridge start is (items x items).
MAX_ITEMS = 4096
MAX_BYTES = 768 * 2**20


@dataclass(frozen=True)
class StartData:
    """One modality's training items, averaged over repeats and standardised.

    `x[s]` (n_s, features) of each person; `target[s]` (n_s,) their target rows; `group[s]` (n_s,)
    what cross-validation must not divide: a picture, or a run where only classes are known;
    `whitener[s]` see `noise_whitener`.
    """

    subjects: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    x: tuple[Float32Array, ...]
    target: tuple[npt.NDArray[np.int64], ...]
    group: tuple[npt.NDArray[np.int64], ...]
    whitener: tuple[FloatArray, ...]

    @property
    def can_share(self) -> bool:
        """Whether people have the same features."""
        return len(self.subjects) > 1 and len(set(self.shapes)) == 1

    def features(self, person: int, *, whiten: bool) -> Float32Array:
        """Return a person's items, shape (n_items, n_features), whitened if asked for."""
        x = self.x[person]
        return apply_whitener(x, self.whitener[person], self.shapes[person]) if whiten else x

    def only(self, people: Sequence[int]) -> StartData:
        """Return the data of some people, by their positions."""
        parts = (self.subjects, self.shapes, self.x, self.target, self.group, self.whitener)
        return StartData(*(tuple(part[i] for i in people) for part in parts))  # type: ignore[arg-type]


def load_start_data(
    trials: Recordings,
    targets: npt.NDArray[np.int64],
    *,
    max_items: int = MAX_ITEMS,
    whiten: bool = True,
    seed: int = 0,
) -> StartData:
    """Average the repeats of training trials and standardise them.

    Trials without pictures, of which only the class is known, are not averaged.

    Parameters
    ----------
    trials : Recordings
        Training trials only.
    targets : ndarray of shape (n_trials,)
        The target row of each.
    max_items : int
        Very large sets are thinned to so many items in all, and to `MAX_BYTES` of features.
    whiten : bool
        Whether whitening may be asked for; without it, noise is not measured.
    seed : int
        Decides what is left out where there are too many.

    Raises
    ------
    NeuroalignError
        A person's trials all have the same target, or see `mean_and_scale`.
    """
    subjects = trials.subjects
    shapes = tuple(trials.feature_shape(s) for s in subjects)
    pictured = bool(trials.trials["stimulus"].notna().all())
    averaged = trials.average_repeats() if pictured else trials
    position = dict(zip(_keys(trials), targets, strict=True))
    room = min(max_items, MAX_BYTES // (4 * max(map(math.prod, shapes)))) // len(subjects)
    x, y, groups, whiteners = [], [], [], []
    for number, subject in enumerate(subjects):
        view = averaged.select(subject=subject)
        if len(view) > room:
            chosen = np.random.default_rng([seed, number]).permutation(len(view))[:room]
            view = view.take(np.sort(chosen))
        mean, scale = mean_and_scale(trials, subject)
        signals = view.read()
        signals -= mean.astype(np.float32)
        signals /= scale.reshape(-1, *[1] * (mean.ndim - 1)).astype(np.float32)
        x.append(signals.reshape(len(signals), -1))
        y.append(np.array([position[k] for k in _keys(view)], np.int64))
        if (y[-1] == y[-1][0]).all():
            raise NeuroalignError(
                f"{trials.path}: the training trials of person {subject!r} (less those held out "
                f"for validation) all show the same {'picture' if pictured else 'class'}, so no "
                "ridge map can start their alignment layer. Leave the person out, record more, or "
                "set `start: {kind: random}` in the recipe."
            )
        groups.append(y[-1] if pictured else _stretches(view.trials) + 10_000 * number)
        whiteners.append(noise_whitener(trials, subject, targets, scale) if whiten else np.empty(0))
    return StartData(subjects, shapes, tuple(x), tuple(y), tuple(groups), tuple(whiteners))


def pooled(data: StartData) -> StartData:
    """Make one person of all, their features padded with zeros to the widest (align: none).

    Noise is not whitened: it differs from person to person, and there is but one layer.
    """
    widest = tuple(max(sizes) for sizes in zip(*data.shapes, strict=True))
    padded = []
    for x, shape in zip(data.x, data.shapes, strict=True):
        missing = [(0, want - have) for have, want in zip(shape, widest, strict=True)]
        padded.append(np.pad(x.reshape(-1, *shape), [(0, 0), *missing]).reshape(len(x), -1))
    return StartData(
        ("everybody",),
        (widest,),
        (np.concatenate(padded),),
        (np.concatenate(data.target),),
        (np.concatenate(data.group),),
        (np.eye(widest[0]) if len(widest) > 1 else np.ones(widest),),
    )


def apply_whitener(x: Float32Array, whitener: FloatArray, shape: tuple[int, ...]) -> Float32Array:
    """Whiten flattened trials (n, features)."""
    w = whitener.astype(np.float32)
    if w.ndim == 1:
        return np.asarray(x * w)
    folded = x.reshape(len(x), shape[0], -1)
    return np.asarray(np.matmul(w, folded).reshape(len(x), -1))


def _stretches(trials: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the run of each trial; of people with fewer than 4 runs, the quarter of the run."""
    runs = pd.factorize(_text(trials["session"]) + "/" + _text(trials["run"]))[0]
    if runs.max() + 1 >= 4:
        return np.asarray(runs, np.int64)
    place = trials.groupby(runs).cumcount().to_numpy()
    length = np.bincount(runs)[runs]
    return np.asarray(4 * runs + 4 * place // length, np.int64)


def _text(column: pd.Series) -> pd.Series:
    return column.astype("string").fillna("")


def _keys(view: Recordings) -> list[tuple[str, str]]:
    return list(
        zip(
            _text(view.trials["stimulus"]),
            _text(view.trials["label"]),
            strict=True,
        )
    )
