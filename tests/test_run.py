"""A run folder holds what it says, on one process or two, killed and resumed or not."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from laboratory import Laboratory, Process, listing, neuroalign, plain
from moments import Moment
from neuroalign.errors import NeuroalignError
from neuroalign.recipe import load_recipe
from neuroalign.recordings import Recordings
from neuroalign.run import Run, train_run

MODALITIES = ("eeg", "meg", "fmri")


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "bundle" / "model.safetensors")


def logs(run: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in sorted((run / "logs").glob("*.csv"))}


def scores(run: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((run / "scores.json").read_text())
    return found


def assert_same_training(run: Path, reference: Path) -> None:
    """Compare weights and logs to the last bit, and what was split and chosen."""
    ours, theirs = weights(run), weights(reference)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert logs(run) == logs(reference)
    pd.testing.assert_frame_equal(
        pd.read_parquet(run / "split.parquet"), pd.read_parquet(reference / "split.parquet")
    )
    ours, theirs = (json.loads((r / "run.json").read_text()) for r in (run, reference))
    for told in ("best_epochs", "start", "space", "checksums", "recordings", "dropped", "targets"):
        assert ours[told] == theirs[told]


def test_the_folder_holds_what_the_docstring_says(lab: Laboratory) -> None:
    names = {p.name for p in lab.run.iterdir()}
    assert names == {
        *("recipe.yaml", "run.json", "split.parquet", "logs", "checkpoints", "bundle"),
        *("evaluation", "scores.json", "audit.json"),
    }
    assert load_recipe(lab.run / "recipe.yaml") == load_recipe(lab.recipe)
    run = Run(lab.run)
    assert run.simulated
    assert run.record["simulated"] is True
    assert run.record["versions"]["torch"] == torch.__version__
    assert set(run.bundle.modules) == set(MODALITIES)
    for modality in MODALITIES:
        table = pd.read_csv(lab.run / "logs" / f"{modality}-search.csv")
        assert list(table["epoch"]) == list(range(13))
        best = run.record["best_epochs"][modality]
        assert table["two_way"][best] == table["two_way"].max()
        assert table["loss"].iloc[1:].notna().all()
        stated = json.loads((lab.data / modality / "recordings.json").read_text())["subjects"]
        assert run.record["checksums"][modality] == {s: i["sha256"] for s, i in stated.items()}
    assert not list(lab.run.rglob("*partial*"))


def test_the_split_table_accounts_for_every_trial(lab: Laboratory) -> None:
    split = pd.read_parquet(lab.run / "split.parquet")
    seen: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    for modality in MODALITIES:
        trials = Recordings(lab.data / modality).trials
        own = split[split["modality"] == modality]
        merged = trials.merge(own, on=["subject", "array_row"], how="outer", validate="1:1")
        assert len(merged) == len(trials) == len(own)
        assert ((merged["part"] == "test") == (merged["split"] == "test")).all()
        for part, names in seen.items():
            shown = set(merged.loc[merged["part"] == part, "stimulus"])
            assert shown
            names |= shown
    # the same pictures are held out in every modality, or one module would teach another's
    assert not seen["train"] & seen["validation"]
    assert not seen["test"] & (seen["train"] | seen["validation"])
    assert len(seen["validation"]) == round(0.2 * 28)


def test_what_is_there_is_never_overwritten(lab: Laboratory, tmp_path: Path) -> None:
    recipe = load_recipe(lab.recipe)
    before = listing(lab.run)
    with pytest.raises(NeuroalignError, match="already holds a finished run"):
        train_run(recipe, lab.run)
    assert listing(lab.run) == before

    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("do not touch")
    with pytest.raises(NeuroalignError, match="is no run"):
        train_run(recipe, tmp_path / "notes")
    (tmp_path / "file").write_text("nor this")
    with pytest.raises(NeuroalignError, match="is no run"):
        train_run(recipe, tmp_path / "file")
    assert listing(tmp_path) == {
        "file": b"nor this",
        "notes": None,
        "notes/thesis.txt": b"do not touch",
    }


def test_an_unfinished_run_of_another_recipe_is_kept(lab: Laboratory, tmp_path: Path) -> None:
    other = load_recipe(lab.recipe_with(tmp_path / "other.yaml", seed=1))
    shutil.copytree(lab.run / "checkpoints", tmp_path / "run" / "checkpoints")
    shutil.copy(lab.run / "recipe.yaml", tmp_path / "run")
    before = listing(tmp_path)
    with pytest.raises(NeuroalignError, match="unfinished run of another recipe"):
        train_run(other, tmp_path / "run")
    assert listing(tmp_path) == before


def test_a_recipe_that_failed_at_once_may_be_corrected(lab: Laboratory, tmp_path: Path) -> None:
    wrong = lab.recipe_with(tmp_path / "recipe.yaml", validation={"fraction": 0.99})
    with pytest.raises(NeuroalignError, match="too few to split off"):
        train_run(load_recipe(wrong), tmp_path / "run")
    train_run(load_recipe(lab.run / "recipe.yaml"), tmp_path / "run")  # what a run kept, again
    assert_same_training(tmp_path / "run", lab.run)


def test_a_run_that_is_none_or_not_finished_says_so(lab: Laboratory, tmp_path: Path) -> None:
    with pytest.raises(NeuroalignError, match=r"has no recipe\.yaml"):
        Run(tmp_path)
    shutil.copy(lab.run / "recipe.yaml", tmp_path)
    with pytest.raises(NeuroalignError, match="has not finished"):
        Run(tmp_path).record  # noqa: B018
    with pytest.raises(NeuroalignError, match="has not finished"):
        Run(tmp_path).bundle  # noqa: B018


def test_killed_in_mid_epoch_and_resumed_it_scores_as_if_never_killed(
    lab: Laboratory, tmp_path: Path, start: Callable[..., Process]
) -> None:
    run = tmp_path / "run"
    moment = Moment("os.rename", "*/checkpoints/*.pt", count=2, signal=signal.SIGKILL)
    assert start("train", lab.recipe, "--out", run, moment=moment).wait() == -signal.SIGKILL
    assert list(run.glob("checkpoints/.*.partial-*"))  # what it was about to rename
    assert not (run / "run.json").exists()
    assert len(logs(run)) < len(logs(lab.run))
    (run / "checkpoints" / ".eeg-search.partial-killed.pt").write_bytes(b"half a checkpoint")
    assert neuroalign("train", lab.recipe, "--out", run) == 0
    assert neuroalign("evaluate", run) == 0
    assert_same_training(run, lab.run)
    assert scores(run) == scores(lab.run)
    assert not list(run.rglob("*partial*"))


def test_interrupted_it_says_so_and_goes_on(
    lab: Laboratory, tmp_path: Path, start: Callable[..., Process]
) -> None:
    run = tmp_path / "run"
    moment = Moment("os.rename", "*/checkpoints/meg-*.pt")
    process = start("train", lab.recipe, "--out", run, moment=moment)
    assert process.wait() == 2
    assert "Interrupted." in plain(process.output)
    assert "Traceback" not in process.output
    assert not (run / "run.json").exists()
    assert not list(run.rglob("*partial*"))
    train_run(load_recipe(lab.recipe), run)
    assert_same_training(run, lab.run)


def test_scores_do_not_depend_on_the_hash_seed(
    lab: Laboratory, tmp_path: Path, start: Callable[..., Process]
) -> None:
    assert start("train", lab.recipe, "--out", tmp_path / "run").wait() == 0
    assert start("evaluate", tmp_path / "run").wait() == 0
    assert_same_training(tmp_path / "run", lab.run)
    assert scores(tmp_path / "run") == scores(lab.run)


@pytest.fixture(scope="module")
def paper_like() -> dict[str, object]:
    """A random start, raw targets, and no dropout: each process draws its own."""
    small = {"align_dim": 8, "hidden": 8, "depth": 1, "dropout": 0.0}
    eeg = small | {"alignment": "spatial", "network": "time_cnn"}
    return {
        "preset": "paper",
        "space": {"components": [None]},
        "start": {"shares": [0.0]},
        "training": {"epochs": 2, "batch_size": 33},
        "architectures": {"eeg": eeg, "meg": small, "fmri": small},
    }


def test_two_processes_train_what_one_does_and_refuse_together(
    lab: Laboratory, tmp_path: Path, paper_like: dict[str, object], start: Callable[..., Process]
) -> None:
    recipe = lab.recipe_with(tmp_path / "recipe.yaml", **paper_like)
    one, two = tmp_path / "one", tmp_path / "two"
    train_run(load_recipe(recipe), one)
    process = start("train", recipe, "--out", two, "--devices", 2)
    assert process.wait() == 0, process.output
    assert process.output.count("Next: neuroalign evaluate") == 1  # one process speaks
    assert json.loads((two / "run.json").read_text())["devices"] == 2
    for name, table in logs(one).items():
        ours, theirs = (pd.read_csv(run / "logs" / name) for run in (two, one))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, err_msg=table)
    expected = weights(one)
    for name, found in weights(two).items():
        torch.testing.assert_close(found, expected[name], rtol=1e-3, atol=1e-4)

    before = listing(two)
    process = start("train", recipe, "--out", two, "--devices", 2)
    assert process.wait() == 2
    assert process.output.count("already holds a finished run") == 1
    assert "Traceback" not in process.output
    assert listing(two) == before
