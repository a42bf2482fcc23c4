"""MNE epochs files with metadata (simulated) become recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
import pytest

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.epochs_file import prepare_epochs

SFREQ = 120.0


def write_epochs(
    path: Path, seed: int, kind: str = "mag", n: int = 40, channels: int = 4, **columns: object
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(n, channels, 61)) * (1e-13 if kind == "mag" else 1e-5)
    events = np.column_stack([np.arange(n) * 100 + 60, np.zeros(n, int), np.arange(n) % 2 + 1])
    base: dict[str, object] = {"stimulus": [f"pic{i % 8}.jpg" for i in range(n)]}
    metadata = pd.DataFrame(base | columns, index=range(n)) if columns is not None else None
    epochs = mne.EpochsArray(
        data,
        mne.create_info([f"ch{i}" for i in range(channels)], SFREQ, kind),
        events,
        tmin=-0.1,
        event_id={"face": 1, "house": 2},
        metadata=metadata,
        verbose="error",
    )
    epochs.save(path, overwrite=True, verbose="error")
    return data


def test_epochs_are_standardised_with_training_trials(tmp_path: Path) -> None:
    train = write_epochs(tmp_path / "one-epo.fif", 1)
    test = write_epochs(tmp_path / "two-epo.fif", 2)
    recordings = prepare_epochs(
        {"sub-01": [tmp_path / "one-epo.fif", tmp_path / "two-epo.fif"]},
        tmp_path / "out",
        modality="meg",
    )
    mean = train.mean(axis=(0, 2), keepdims=True)
    std = train.std(axis=(0, 2), keepdims=True)
    np.testing.assert_allclose(
        recordings.select(split="train").read(), (train - mean) / std, rtol=1e-3, atol=1e-3
    )
    np.testing.assert_allclose(
        recordings.select(split="test").read(), (test - mean) / std, rtol=1e-3, atol=1e-3
    )
    assert recordings.info.sfreq == SFREQ
    assert recordings.info.tmin == pytest.approx(-0.1)
    assert [c.type for c in recordings.info.channels] == ["mag"] * 4
    assert recordings.trials["stimulus"].nunique() == 8


def test_a_split_column_decides(tmp_path: Path) -> None:
    path = tmp_path / "one-epo.fif"
    write_epochs(path, 1, "eeg", split=["train"] * 30 + ["test"] * 10, label="face")
    recordings = prepare_epochs({"a": [path]}, tmp_path / "out", min_trials=10)
    assert recordings.trials["split"].tolist() == ["train"] * 30 + ["test"] * 10
    assert recordings.trials["label"].eq("face").all()


def test_one_file_is_divided_in_time(tmp_path: Path) -> None:
    path = tmp_path / "one-epo.fif"
    write_epochs(path, 1, "eeg", n=120)
    recordings = prepare_epochs({"a": [path]}, tmp_path / "out")
    table = recordings.trials
    assert (table["split"] == "test").sum() == 40
    assert set(table.loc[table["split"] == "test", "held_out"]) == {"part of a run"}
    assert sum(d.trials for d in recordings.info.dropped) + len(table) == 120


def test_event_names_serve_where_there_is_no_metadata(tmp_path: Path) -> None:
    paths = []
    for run in (1, 2):
        path = tmp_path / f"{run}-epo.fif"
        write_epochs(path, run, "eeg")
        epochs = mne.read_epochs(path, verbose="error")
        epochs.metadata = None
        epochs.save(path, overwrite=True, verbose="error")
        paths.append(path)
    recordings = prepare_epochs({"a": paths}, tmp_path / "out")
    assert recordings.trials["label"].tolist() == ["face", "house"] * 40


def test_spectrograms_of_epochs(tmp_path: Path) -> None:
    paths = [tmp_path / "1-epo.fif", tmp_path / "2-epo.fif"]
    for seed, path in enumerate(paths):
        write_epochs(path, seed, "eeg")
    recordings = prepare_epochs({"a": paths}, tmp_path / "out", features="spectrogram")
    assert recordings.info.axes == ("channels", "frequencies", "frames")
    assert recordings.feature_shape("a")[:2] == (4, len(recordings.info.frequencies))


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    one, two = tmp_path / "one-epo.fif", tmp_path / "two-epo.fif"
    write_epochs(one, 1, "eeg")
    write_epochs(two, 2, "eeg", channels=3)

    def refused(message: str, paths: Any, **options: Any) -> None:
        with pytest.raises(NeuroalignError, match=message):
            prepare_epochs(paths, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()

    refused("differs from the first file in its channels", {"a": [one, two]})
    refused("does not exist", {"a": [tmp_path / "none-epo.fif"]})
    refused("No epochs files", {})
    refused("must be 'eeg' or 'meg', got 'fmri'", {"a": [one]}, modality="fmri")
    refused("with meg channels", {"a": [one]}, modality="meg")
    refused("neither 'label' nor 'picture', only stimulus", {"a": [one]}, stimulus_column="picture")
    broken = tmp_path / "broken-epo.fif"
    broken.write_bytes(b"junk")
    refused("cannot be read as MNE epochs", {"a": [broken]})
    write_epochs(two, 2, "eeg", split="train")
    refused("filled in some files but not in b_run-01", {"a": [two], "b": [one]})
