"""The signal-blind floor: what the time of a recording alone tells about the picture.

A model like any other, in the same space and the same tables, but for one thing: it never looks at
a signal. What it scores above chance, any model could have scored by the clock.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.baselines import target_vectors
from neuroalign.evaluation.signal_blind import design_features
from neuroalign.models.ridge import ridge_solution
from neuroalign.recordings.container import Recordings
from neuroalign.retrieval.embeddings import Embeddings

SIGNAL_BLIND = "signal-blind"
UNTRAINED = "untrained network"
#: Names (sessions, runs, blocks) up to this many become a feature each; places in time are bumps.
_NAMED = ("session", "run", "block")
_BUMPS = 32


def signal_blind_embeddings(
    recordings: Recordings, test: Recordings, targets: Embeddings
) -> Embeddings:
    """Embed recordings by when they were made, and nothing else.

    A ridge regression for each person from the design of their training trials (see
    `evaluation.signal_blind`) to the embeddings of what was shown, its penalty chosen on
    trials left out. A session, run or block is a feature of its
    own; the place in the recording, the place in the run and the onset are 32 overlapping bumps
    each, so that anything that changes with time can be followed.

    Parameters
    ----------
    recordings : Recordings
        Whole: single trials of both splits, for a trial's place among the others. Only training
        trials are fitted to.
    test : Recordings
        A view of them: single trials or averages, as they shall be scored. An average has the
        mean design of its trials.
    targets : Embeddings
        Training pictures, or pictures of their classes.

    Returns
    -------
    Embeddings
        One item for each of `test`, in the space of `targets`: the prediction less the mean
        target, as for the ridge baseline.

    Raises
    ------
    NeuroalignError
        A person has too few training trials, or a training picture has no target.
    """
    trials = recordings.trials
    design = design_features(trials)
    subjects = trials["subject"].astype(str).to_numpy(object)
    training = (trials["split"] == "train").to_numpy(bool, na_value=False)
    asked = test.trials["subject"].astype(str).to_numpy(object)
    behind, counts = test.trials_behind()
    owner = np.repeat(asked, counts)
    vectors = np.zeros((len(test), targets.vectors.shape[1]), np.float32)
    for subject in dict.fromkeys(asked):
        own = np.flatnonzero(subjects == subject)
        features = _expanded(design.iloc[own])
        fitted = training[own]
        part = trials.iloc[own[fitted]]
        if len(part) < 3:
            raise NeuroalignError(
                f"{recordings.path}: {subject} has {len(part)} training trials, too few for the "
                "signal-blind floor. Split each person's trials, or leave the person out."
            )
        goals = target_vectors(part["stimulus"], targets, "stimulus")
        goals += target_vectors(part["label"].where(part["stimulus"].isna()), targets, "label")
        solution = ridge_solution(features[fitted], goals)
        place = pd.Series(np.arange(len(own)), index=trials["array_row"].to_numpy()[own])
        rows = place.loc[behind[owner == subject]].to_numpy()
        predicted = solution.predict(features)[rows] - solution.target_mean
        items = np.flatnonzero(asked == subject)
        number = counts[items]
        starts = np.cumsum(number) - number
        vectors[items] = np.add.reduceat(predicted, starts, axis=0) / number[:, None]
    return Embeddings(vectors, test.trials.assign(kind=test.modality), targets.space)


def _expanded(design: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return one person's design, (n_trials, n_features): names one-hot, places as bumps."""
    columns = []
    for name in design:
        values = design[name].to_numpy(np.float64)
        if name in _NAMED:
            columns.append((values[:, None] == np.unique(values)).astype(np.float64))
        elif np.ptp(values) > 0:
            place = (values - values.min()) / np.ptp(values)
            centres = np.linspace(0, 1, _BUMPS)
            columns.append(np.exp(-0.5 * ((place[:, None] - centres) * (_BUMPS - 1)) ** 2))
    return np.concatenate(columns, axis=1)
