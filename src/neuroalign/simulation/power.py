"""Power analysis: the score to expect, against people, trials, repeats or signal-to-noise ratio."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from pydantic import ValidationError
from scipy.stats import t as student_t
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.metrics import two_way
from neuroalign.recordings.container import Recordings
from neuroalign.retrieval.embeddings import Embeddings
from neuroalign.settings import faults
from neuroalign.simulation.config import SimulationConfig
from neuroalign.simulation.generate import simulate
from neuroalign.simulation.ideal import ideal_scores


def ridge_scores(recordings: Recordings, pictures: Embeddings) -> np.ndarray:
    """Decode a person's averaged test recordings by ridge regression onto the embedding.

    The plain linear baseline: training repeats averaged, features standardised, the penalty chosen
    by leave-one-picture-out on the training pictures.

    Parameters
    ----------
    recordings : Recordings
        One person, both splits.
    pictures : Embeddings
        Must hold every training picture.

    Returns
    -------
    ndarray of shape (n_test_items, n_test_pictures)
        Cosines of predicted with true embeddings. Items in the order of
        ``recordings.select(split="test").average_repeats()``, pictures in that of `pictures`.
    """
    train = recordings.select(split="train").average_repeats()
    test = recordings.select(split="test").average_repeats()
    place = {name: i for i, name in enumerate(pictures.items["stimulus"])}
    targets = pictures.vectors[[place[s] for s in train.trials["stimulus"]]]
    model = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(0, 8, 17)))
    model.fit(train.read().reshape(len(train), -1), targets)
    predicted = model.predict(test.read().reshape(len(test), -1))
    predicted /= np.linalg.norm(predicted, axis=1, keepdims=True)
    gallery = pictures.select(stimulus=set(test.trials["stimulus"]))
    return np.asarray(predicted @ gallery.vectors.T)


def expected_scores(recordings: Recordings, pictures: Embeddings) -> dict[str, float]:
    """Return the decoding 2-way of ridge regression and of the ideal observer, mean over people.

    Each on the averaged repeats of the test pictures, among the test pictures.
    """
    people: dict[str, list[float]] = {"ridge": [], "ideal": []}
    for subject in recordings.subjects:
        own = recordings.select(subject=subject)
        test = own.select(split="test").average_repeats()
        names = test.trials["stimulus"].to_numpy(str)
        gallery = pictures.select(stimulus=set(names))
        candidates = gallery.items["stimulus"].to_numpy(str)
        for model, scores in (
            ("ridge", ridge_scores(own, pictures)),
            ("ideal", ideal_scores(test, gallery)),
        ):
            people[model].append(float(two_way(scores, names, candidates).mean()))
    return {model: float(np.mean(values)) for model, values in people.items()}


def power_curve(
    config: SimulationConfig,
    pictures: Embeddings,
    vary: str,
    values: Sequence[float],
    *,
    seeds: int = 5,
    jobs: int = 1,
) -> pd.DataFrame:
    """Simulate, decode and score at each value of one property of the experiment.

    Parameters
    ----------
    config : SimulationConfig
        Everything else about the experiment; its `seed` is the first of the seeds.
    pictures : Embeddings
    vary : str
        A number in the config: "subjects", "training_pictures", "training_repeats",
        "test_repeats", "snr", ...
    values : sequence of numbers
    seeds : int
        Repetitions with new people and noise, at least 2.
    jobs : int
        Processes (joblib).

    Returns
    -------
    pandas.DataFrame
        One row per value: `value`, `ridge`, `ridge_low`, `ridge_high`, `ideal`, `ideal_low`,
        `ideal_high` (2-way on averaged test items; the 95 % interval is that of one experiment's
        score: the mean plus or minus Student's t times the spread over seeds), `chance`, `seeds`.

    Raises
    ------
    NeuroalignError
        `vary` is not such a property, or a value is not possible.
    """
    if seeds < 2:
        raise NeuroalignError(f"`seeds` must be at least 2 to give an interval, got {seeds}.")
    cells = [
        (value, _changed(config, vary, value, config.seed + s))
        for value in values
        for s in range(seeds)
    ]
    scores = Parallel(n_jobs=jobs)(delayed(_one)(changed, pictures) for _, changed in cells)
    table = pd.DataFrame(scores).assign(value=[value for value, _ in cells])
    rows = []
    for value, group in table.groupby("value", sort=False):
        row: dict[str, object] = {"value": value}
        for model in ("ridge", "ideal"):
            mean = float(group[model].mean())
            half = float(student_t.ppf(0.975, seeds - 1) * group[model].std(ddof=1))
            row |= {model: mean, f"{model}_low": mean - half, f"{model}_high": mean + half}
        rows.append({**row, "chance": 0.5, "seeds": seeds})
    return pd.DataFrame(rows)


def _changed(config: SimulationConfig, vary: str, value: float, seed: int) -> SimulationConfig:
    change: dict[str, object] = {vary: value}
    try:
        return SimulationConfig(**{**config.model_dump(), **change, "seed": seed})
    except ValidationError as error:
        raise NeuroalignError(
            f"A power analysis cannot set {vary!r} to {value!r}:\n  "
            + "\n  ".join(faults(error, SimulationConfig))
            + "\nVary a number in the config, such as 'subjects', 'training_pictures', "
            "'training_repeats', 'test_repeats' or 'snr'."
        ) from error


def _one(config: SimulationConfig, pictures: Embeddings) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="neuroalign-power-") as folder:
        recordings = simulate(config, pictures, Path(folder) / "recordings")
        return expected_scores(recordings, pictures)
