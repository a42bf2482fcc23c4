"""A small finished run, made by the real steps, and pictures that anybody may draw."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neuroalign.evaluation.normalised import normalise_conversion
from neuroalign.evaluation.scores import write_scores
from neuroalign.evaluation.tasks import score_retrieval
from neuroalign.recipe import Recipe, dump_recipe, make_recipe
from neuroalign.recordings import Recordings
from neuroalign.retrieval import Embeddings
from neuroalign.simulation import SimulationConfig, simulate
from neuroalign.training.logs import EpochLog
from neuroalign.training.pipeline import fit_bundle

SIZES = {
    "eeg": {"channels": 16, "sfreq": 25.0, "tmin": -0.04, "tmax": 0.4},
    "fmri": {"voxels": (30, 60), "shared_components": 2},
}


@pytest.fixture(scope="session")
def report_pictures(tmp_path_factory: pytest.TempPathFactory) -> Embeddings:
    """Return 30 pictures of five classes, with files."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    names = [f"thing-{i:02d}" for i in range(30)]
    for i, name in enumerate(names):
        colour = tuple(int(c) for c in rng.integers(0, 255, 3))
        Image.new("RGB", (24, 16 if i % 2 else 24), colour).save(folder / f"{name}.png")
    items = pd.DataFrame(
        {
            "kind": "picture",
            "stimulus": names,
            "label": [f"class-{i % 5}" for i in range(30)],
            "subject": None,
            "category": ["odd" if i % 2 else "even" for i in range(30)],
            "path": [str(folder / f"{n}.png") for n in names],
        }
    )
    return Embeddings(rng.standard_normal((30, 8)), items, "test-space")


@pytest.fixture(scope="session")
def report_recordings(
    report_pictures: Embeddings, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Recordings]:
    """Return simulated EEG and fMRI of two people each."""
    folder = tmp_path_factory.mktemp("recordings")
    return {
        m: simulate(
            SimulationConfig(
                modality=m, subjects=2, latents=4, test_pictures=8, test_repeats=2, snr=0.5, **sizes
            ),
            report_pictures,
            folder / m,
        )
        for m, sizes in SIZES.items()
    }


@pytest.fixture(scope="session")
def make_run(
    report_pictures: Embeddings, report_recordings: dict[str, Recordings]
) -> Callable[..., Path]:
    """Return a function that makes a run folder out of its real parts."""

    def make(out: Path, modalities: tuple[str, ...] = ("eeg", "fmri"), **changes: object) -> Path:
        recordings = {m: report_recordings[m] for m in modalities}
        recipe = make_recipe(
            {
                "name": out.name,
                "pictures": "shipped",
                "encoder": "offline",
                "training": {"epochs": 2},
                "space": {"components": [4], "power": [0.0]},
                "modalities": {m: {"recordings": str(r.path)} for m, r in recordings.items()},
                **changes,
            }
        )
        out.mkdir()
        (out / "recipe.yaml").write_text(dump_recipe(recipe))
        _fill(out, recipe, recordings, report_pictures)
        return out

    return make


def _fill(
    out: Path, recipe: Recipe, recordings: dict[str, Recordings], pictures: Embeddings
) -> None:
    fitted = fit_bundle(recordings, pictures, recipe)
    fitted.bundle.save(out / "bundle")
    for modality in recordings:
        log = EpochLog(out, f"{modality}-search")
        for epoch in range(3):
            log({"epoch": float(epoch), "loss": 3.0 - epoch, "two_way": 0.5 + 0.1 * epoch})
    shutil.rmtree(out / "logs" / "tensorboard", ignore_errors=True)
    parts = []
    for modality, r in recordings.items():
        part = r.trials["split"].astype(object).to_numpy().copy()
        part[np.flatnonzero(part == "train")[fitted.validation[modality]]] = "validation"
        table = r.trials[["subject", "array_row"]].assign(part=part)
        table.insert(0, "modality", modality)
        parts.append(table)
    pd.concat(parts).to_parquet(out / "split.parquet", index=False)
    names = set().union(*(r.select(split="test").trials["stimulus"] for r in recordings.values()))
    judge = pictures.select(stimulus=sorted(names))
    candidates = fitted.bundle.embed_pictures(judge)
    judge.save(out / "evaluation" / "judge.parquet")
    candidates.save(out / "evaluation" / "pictures.parquet")
    scores, tests = [], {}
    common = {"model": "default", "items": "averages of 2 repeats", "pictures": judge}
    common |= {"simulated": True, "n_boot": 50}
    for modality, r in recordings.items():
        embeddings = fitted.bundle.embed(r.select(split="test").average_repeats())
        embeddings.save(out / "evaluation" / f"{modality}-repeats.parquet")
        tests[modality] = embeddings
        scores += score_retrieval(
            embeddings, candidates, task="decoding", source=modality, target="pictures", **common
        )
        scores += score_retrieval(
            candidates, embeddings, task="encoding", source="pictures", target=modality, **common
        )
    for a in tests:
        for b in tests:
            if a != b:
                found = score_retrieval(
                    tests[a], tests[b], task="conversion", source=a, target=b, **common
                )
                scores += found
                base = {(s.source, s.metric): s for s in scores if s.task == "decoding"}
                ours = next(s for s in found if s.metric == "two_way_retrieved")
                scores.append(normalise_conversion(ours, base[b, ours.metric]))
    write_scores(scores, out / "scores.json")
    record = {
        "neuroalign": "0",
        "versions": {"numpy": np.__version__},
        "simulated": True,
        "model": "default",
        "space": fitted.bundle.space.name,
        "best_epochs": fitted.best_epochs,
        "dropped": [{"modality": "eeg", "where": "run 3", "trials": 7, "reason": "<flat> channel"}],
    }
    (out / "run.json").write_text(json.dumps(record))


@pytest.fixture(scope="session")
def finished_run(make_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "small")
