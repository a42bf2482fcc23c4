"""The baseline every network is held against: a regularised linear map for each person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin

from neuroalign.errors import NeuroalignError
from neuroalign.models.ridge import RidgeSolution, ridge_solution
from neuroalign.recordings.container import Recordings
from neuroalign.retrieval.embeddings import Embeddings


class RidgeDecoder(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression from trials to embeddings, in the manner of scikit-learn.

    The penalty is chosen by leaving out one group (picture) at a time, in closed form: see
    `neuroalign.models.ridge.ridge_solution`.

    Parameters
    ----------
    alphas : array of shape (n_alphas,), optional
        Penalties to try; by default a wide range in units of the data's own scale.

    Attributes
    ----------
    solution_ : RidgeSolution
        Weights, intercept, the chosen penalty and the score of each.
    """

    def __init__(self, alphas: npt.ArrayLike | None = None) -> None:
        self.alphas = alphas

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        groups: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> RidgeDecoder:
        """Fit to trials `X` (n_trials, ...features) and embeddings `y` (n_trials, n_dims).

        Raises
        ------
        NeuroalignError
            See `ridge_solution`.
        """
        self.solution_: RidgeSolution = ridge_solution(
            X, y, groups, alphas=self.alphas, sample_weight=sample_weight
        )
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return the predicted embeddings, shape (n_trials, n_dims); not normalised."""
        return self.solution_.predict(X)


def ridge_embeddings(train: Recordings, test: Recordings, targets: Embeddings) -> Embeddings:
    """Embed recordings by a ridge map fitted for each person on their training trials.

    Repeats of a picture are averaged before fitting, weighted by their number, and the penalty is
    chosen on pictures left out. Where only classes are known, single trials are fitted to the mean
    embedding of their class's pictures, and the penalty is chosen on runs left out (trials, if
    there is but one run).

    What is returned is the prediction less the mean of the training targets: a prediction is
    shrunk towards that mean, which says nothing of the picture and would make all recordings
    alike in encoding and conversion.

    Parameters
    ----------
    train : Recordings
        Training trials only.
    test : Recordings
        Single trials or averages, as they shall be scored.
    targets : Embeddings
        The training pictures (in the model's common space, to be compared with a model).

    Returns
    -------
    Embeddings
        One item for each of `test`, in the space of `targets`.

    Raises
    ------
    NeuroalignError
        A person has no training trials, or a training picture or class has no target.
    """
    return embed_with_ridge(fit_ridge(train, targets), test, targets.space)


def fit_ridge(train: Recordings, targets: Embeddings) -> dict[str, RidgeSolution]:
    """Fit each person's map; see `ridge_embeddings`."""
    return {s: _fit(train.select(subject=s), targets) for s in train.subjects}


def embed_with_ridge(
    solutions: Mapping[str, RidgeSolution], test: Recordings, space: str
) -> Embeddings:
    """Embed recordings by maps that were fitted before; see `ridge_embeddings`."""
    if len(test) == 0:
        raise NeuroalignError(f"{test.path}: this view holds no recordings to embed.")
    strangers = [s for s in test.subjects if s not in solutions]
    if strangers:
        raise NeuroalignError(
            f"{test.path}: no training trials of {', '.join(strangers)}, so no linear map can be "
            "fitted for them. Add training trials, or leave these people out."
        )
    dims = next(iter(solutions.values())).target_mean.shape[-1]
    vectors = np.empty((len(test), dims), np.float32)
    for subject in test.subjects:
        solution = solutions[subject]
        rows = np.flatnonzero((test.trials["subject"] == subject).to_numpy(bool))
        for start in range(0, len(rows), 512):
            part = rows[start : start + 512]
            vectors[part] = solution.predict(test.read(part)) - solution.target_mean
    return Embeddings(vectors, test.trials.assign(kind=test.modality), space)


def _fit(train: Recordings, targets: Embeddings) -> RidgeSolution:
    """Fit one person's map."""
    if train.trials["stimulus"].notna().all():
        averaged = train.average_repeats()
        trials = averaged.trials
        y = target_vectors(trials["stimulus"], targets, "stimulus")
        return ridge_solution(
            averaged.read(), y, trials["stimulus"].map(str), sample_weight=trials["n_averaged"]
        )
    trials = train.trials
    y = np.where(
        trials["stimulus"].notna().to_numpy()[:, None],
        target_vectors(trials["stimulus"], targets, "stimulus"),
        target_vectors(trials["label"].where(trials["stimulus"].isna()), targets, "label"),
    )
    runs = trials[["session", "run"]].astype(object).map(str).agg("\x1f".join, axis=1)
    return ridge_solution(train.read(), y, runs if len(set(runs)) > 1 else None)


def target_vectors(
    names: pd.Series[Any], targets: Embeddings, column: str
) -> npt.NDArray[np.float32]:
    """Return the mean target of each name's pictures; zeros where the name is missing."""
    present = names.notna().to_numpy()
    out = np.zeros((len(names), targets.vectors.shape[1]), np.float32)
    known, code = np.unique(targets.items[column].map(str).to_numpy(str), return_inverse=True)
    wanted = names[present].map(str).to_numpy(str)
    missing = sorted(set(wanted.tolist()) - set(known.tolist()))
    if missing:
        raise NeuroalignError(
            f"{len(missing)} {column} value(s) of the training trials have no picture embedding "
            f"(first: {missing[:3]}). Embed these pictures too."
        )
    means = np.zeros((len(known), out.shape[1]))
    np.add.at(means, code, targets.vectors)
    means /= np.bincount(code)[:, None]
    out[present] = means[np.searchsorted(known, wanted)]
    return out
