"""Small simulated recordings and recipes that the training tests, and their scripts, share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from neuroalign.recipe import FitRecipe, TrainingRecipe, fit_recipe
from neuroalign.recordings import Recordings
from neuroalign.recordings.schema import RecordingsInfo
from neuroalign.recordings.writer import write_recordings
from neuroalign.retrieval import Embeddings

DIM = 6


def make_pictures(n: int = 40) -> Embeddings:
    rng = np.random.default_rng(7)
    items = pd.DataFrame(
        {
            "kind": "picture",
            "stimulus": [f"p{i:02d}" for i in range(n)],
            "label": [f"c{i % 4}" for i in range(n)],
            "subject": None,
        }
    )
    return Embeddings(rng.normal(size=(n, DIM)) + 0.3, items, "test-encoder")


def write_fmri(
    folder: Path,
    pictures: Embeddings,
    *,
    widths: dict[str, int] | None = None,
    repeats: int = 2,
    n_test: int = 8,
    noise: float = 1.0,
    test_offset: float = 0.0,
    train_offset: float = 0.0,
) -> Recordings:
    """Write voxels that are linear in the picture; the last `n_test` pictures are test pictures.

    The offsets shift the signals of one split, to see who looks at them.
    """
    signals, tables = {}, []
    for number, (subject, width) in enumerate((widths or {"anna": 12, "ben": 15}).items()):
        rng = np.random.default_rng(number)
        shown = np.repeat(np.arange(len(pictures)), repeats)
        tuning = rng.normal(size=(DIM, width))
        x = pictures.vectors[shown] @ tuning + noise * rng.normal(size=(len(shown), width)) + 2
        split = np.where(shown >= len(pictures) - n_test, "test", "train")
        x[split == "test"] += test_offset
        x[split == "train", 0] += train_offset * np.arange((split == "train").sum())
        signals[subject] = x
        tables.append(
            pd.DataFrame(
                {
                    "subject": subject,
                    "stimulus": pictures.items["stimulus"].to_numpy()[shown],
                    "label": pictures.items["label"].to_numpy()[shown],
                    "split": split,
                    "run": [str(i % 4) for i in range(len(shown))],
                }
            )
        )
    info = RecordingsInfo(modality="fmri", axes=("voxels",), units="au", simulated=True)
    return write_recordings(folder, info, signals, pd.concat(tables, ignore_index=True))


def settings(**changes: object) -> TrainingRecipe:
    base = fit_recipe("default").training.model_dump()
    small = {"batch_size": 16, "epochs": 3, "learning_rate": 0.01}
    return TrainingRecipe.model_validate(base | small | changes)


def small_recipe(preset: str = "default", **changes: object) -> FitRecipe:
    fmri = {"align_dim": None, "hidden": 16, "depth": 1}
    return fit_recipe(
        preset,
        **{
            "space": {"components": [4], "power": [0.0]},
            "architectures": {"fmri": fmri},
            "validation": {"fraction": 0.3},
            **changes,
        },
    )
