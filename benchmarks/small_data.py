"""What each part of the preset `default` is worth on simulated recordings: a Markdown table.

    python benchmarks/small_data.py            # all conditions, some minutes on 2 cores
    python benchmarks/small_data.py --quick    # one seed, small conditions only

Everything is simulated. Scores are 2-way, from the embedding, on averages of the test repeats of
pictures never seen in training, chance 0.5. Beside each score stands its paired difference to
ridge per person with a 95 % bootstrap interval over test pictures; seeds draw new people, noise
and test pictures.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from joblib import Parallel, delayed

from neuroalign.evaluation.baselines import ridge_embeddings
from neuroalign.evaluation.bootstrap import paired_difference
from neuroalign.evaluation.metrics import two_way
from neuroalign.evaluation.queries import retrieval_values
from neuroalign.images import embed_pictures, shipped_pictures
from neuroalign.models.space import fit_space
from neuroalign.recipe import fit_recipe
from neuroalign.recordings import Recordings
from neuroalign.recordings.spectrograms import write_spectrograms
from neuroalign.retrieval import Embeddings
from neuroalign.simulation import SimulationConfig, ideal_scores, simulate
from neuroalign.training.pipeline import fit_bundle

Values = npt.NDArray[np.float64]

#: Overrides of the preset `default`, each without one ingredient.
WITHOUT: dict[str, dict[str, Any]] = {
    "no space": {"space": {"centre": False, "components": [None], "power": [0.0]}},
    "no weights": {"start": {"sharpness": [0.0]}},
    "no whitening": {"start": {"whiten": [False]}},
    "no sharing": {"start": {"shares": [0.0]}},
    "no fine-tuning": {"training": {"epochs": 0}},
    "no refit": {"training": {"refit": False}},
}
PAPER: dict[str, dict[str, Any]] = {
    "paper, tau 0.1": {"training": {"temperature": 0.1}},
    "paper, frozen random": {"align": "frozen_random"},
}


@dataclass(frozen=True)
class Condition:
    """A simulated experiment; `pictures` of None are those that ship with the package."""

    name: str
    config: dict[str, Any]
    seeds: int
    pictures: int | None = None
    without: tuple[str, ...] = tuple(WITHOUT)
    papers: tuple[str, ...] = ()


FMRI: dict[str, Any] = {"modality": "fmri"}
EEG: dict[str, Any] = {"modality": "eeg", "channels": 64}
LARGE: dict[str, Any] = FMRI | {
    "subjects": 2,
    "voxels": (400, 600),
    "training_repeats": 1,
    "test_pictures": 100,
}
FEW = ("no weights", "no fine-tuning")
# The slowest first, so that two processes end at about the same time.
CONDITIONS = (
    Condition(
        "fMRI, 3,000 pictures, nonlinear, low noise",
        LARGE | {"nonlinearity": 3.0, "latent_noise": 0.7, "test_repeats": 1},
        1,
        3100,
        FEW,
    ),
    Condition("fMRI, 3,000 pictures", LARGE, 1, 3100, FEW),
    # As in the report of the paper's recipe losing to ridge: 4 people, some 350 training pictures
    # three times, 2,000 voxels, 560 numbers.
    Condition(
        "fMRI, 345 pictures x 3, 2,000 voxels each",
        FMRI | {"training_repeats": 3, "voxels": (2000, 2000), "test_pictures": 80},
        1,
        None,
        (),
        tuple(PAPER),
    ),
    Condition("EEG, 355 pictures", EEG, 1, None, ("no weights", "no sharing")),
    Condition("fMRI, 355 pictures", FMRI, 2),
    Condition("fMRI, 355 pictures, nonlinear", FMRI | {"nonlinearity": 3.0}, 1),
    Condition("EEG, 100 pictures", EEG | {"training_pictures": 100}, 3),
    Condition("fMRI, 100 pictures", FMRI | {"training_pictures": 100}, 4),
    Condition("fMRI, 50 pictures", FMRI | {"training_pictures": 50}, 3),
)


def synthetic_pictures(n: int, dim: int = 256) -> Embeddings:
    """Draw random embeddings with a spectrum that decays as those of real pictures do."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n, dim)) * np.arange(1, dim + 1) ** -0.7 + 0.3 / np.sqrt(dim)
    names = [f"synthetic-{i:05d}" for i in range(n)]
    items = pd.DataFrame({"kind": "picture", "stimulus": names, "label": None, "subject": None})
    return Embeddings(vectors, items, "synthetic")


def measure(condition: Condition, seed: int) -> pd.DataFrame:
    """Return the 2-way score of each test item (rows) by each model (columns)."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    n = condition.pictures
    pictures = synthetic_pictures(n) if n else embed_pictures(shipped_pictures(), "offline")
    with tempfile.TemporaryDirectory(prefix="neuroalign-benchmark-") as folder:
        config = SimulationConfig(**condition.config, seed=seed, split_seed=seed)
        recordings = simulate(config, pictures, Path(folder) / "recordings")
        test = recordings.select(split="test").average_repeats()
        gallery = pictures.select(stimulus=set(test.trials["stimulus"]))
        found = {
            "ridge": _ridge(recordings, test, pictures, gallery),
            "paper": _paper(recordings, pictures, gallery, Path(folder)),
            "default": _fit("default", {}, recordings, pictures, gallery),
        }
        for name in condition.without:
            found[name] = _fit("default", WITHOUT[name], recordings, pictures, gallery)
        for name in condition.papers:
            found[name] = _fit("paper", PAPER[name], recordings, pictures, gallery)
        names = test.trials["stimulus"].to_numpy(str)
        candidates = gallery.items["stimulus"].to_numpy(str)
        found["ideal"] = two_way(ideal_scores(test, gallery), names, candidates)
    table = pd.DataFrame(found)
    means = ", ".join(f"{k} {v:.3f}" for k, v in table.mean().items())
    print(f"{condition.name}, seed {seed}: {means}", file=sys.stderr, flush=True)
    return table.assign(condition=condition.name, picture=[f"{seed}/{s}" for s in names])


def _fit(
    preset: str,
    override: dict[str, Any],
    recordings: Recordings,
    pictures: Embeddings,
    gallery: Embeddings,
) -> Values:
    fitted = fit_bundle({recordings.modality: recordings}, pictures, fit_recipe(preset, **override))
    test = recordings.select(split="test").average_repeats()
    return _score(fitted.bundle.embed(test), fitted.bundle.space.transform(gallery))


def _paper(
    recordings: Recordings, pictures: Embeddings, gallery: Embeddings, folder: Path
) -> Values:
    """The paper reads EEG as spectrograms; all else reads samples."""
    if recordings.modality == "eeg":
        recordings = write_spectrograms(recordings, folder / "spectrograms")
    return _fit("paper", {}, recordings, pictures, gallery)


def _ridge(
    recordings: Recordings, test: Recordings, pictures: Embeddings, gallery: Embeddings
) -> Values:
    train = recordings.select(split="train")
    space = fit_space(pictures.select(stimulus=set(train.trials["stimulus"])))
    return _score(
        ridge_embeddings(train, test, space.transform(pictures)), space.transform(gallery)
    )


def _score(embedded: Embeddings, gallery: Embeddings) -> Values:
    return retrieval_values(embedded, gallery)["two_way_embedding"].values  # noqa: PD011 (a field)


def report(values: pd.DataFrame) -> str:
    """Return the Markdown tables: scores, then differences to ridge with their intervals."""
    models = ["ridge", "paper", *PAPER, "default", *WITHOUT, "ideal"]
    models = [m for m in models if m in values]
    conditions = list(dict.fromkeys(values["condition"]))
    head = f"| simulated | {' | '.join(models)} |\n| --- |{' --- |' * len(models)}\n"
    scores, differences = head, head.replace("| ridge ", "")[: -len(" --- |\n")] + "\n"
    for name in conditions:
        part = values[values["condition"] == name]
        cells, gains = [], []
        for model in models:
            here = part[part[model].notna()]
            if here.empty:
                cells.append("")
                gains.append("")
                continue
            cells.append(f"{here[model].mean():.3f}")
            gap = paired_difference(here[model], here["ridge"], here["picture"])
            gains.append(f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})")
        scores += f"| {name} | {' | '.join(cells)} |\n"
        differences += f"| {name} | {' | '.join(gains[1:])} |\n"
    return f"2-way, chance 0.5\n\n{scores}\nDifference to ridge per person\n\n{differences}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--quick", action="store_true", help="one seed, small conditions only")
    parser.add_argument("--only", default="", help="conditions whose name contains this")
    arguments = parser.parse_args()
    chosen = [c for c in CONDITIONS if arguments.only in c.name]
    if arguments.quick:
        chosen = [c for c in chosen if "100 pictures" in c.name]
    cells = [(c, seed) for c in chosen for seed in range(1 if arguments.quick else c.seeds)]
    tables = Parallel(n_jobs=arguments.jobs, batch_size=1)(
        delayed(measure)(*cell) for cell in cells
    )
    print(report(pd.concat(tables, ignore_index=True)))


if __name__ == "__main__":
    main()
