"""THINGS-EEG2 in miniature, from its files to decoded pictures."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.linalg

import neuroalign as na
from laboratory import listing, neuroalign
from miniatures.stopped import statuses_of_stopped
from miniatures.things_eeg2 import (
    ALL_CHANNELS,
    OFFICIAL,
    TEST_CONCEPTS,
    MiniatureReader,
    Planted,
    load,
    write_things_eeg2,
)
from neuroalign.recordings import Recordings
from neuroalign.recordings.doctor import examine
from neuroalign.recordings.preparation import prepare
from neuroalign.recordings.readers import recognise
from neuroalign.recordings.readers.things_eeg2 import ThingsEeg2Options, ThingsEeg2Reader
from neuroalign.retrieval import Embeddings


def prepared(folder: Path, out: Path, **options: Any) -> Recordings:
    return prepare(MiniatureReader(), folder, out, options=ThingsEeg2Options(**options))


def check_numbers(
    recordings: Recordings, planted: Planted, whiten: dict[str, np.ndarray] | None = None
) -> None:
    """Compare every number with what was planted, standardised in plain NumPy."""
    for subject in recordings.subjects:
        found = {}
        for kind, split in (("training", "train"), ("test", "test")):
            own = recordings.select(subject=subject, split=split)
            data = planted.signals[subject, kind].astype(np.float64)
            if whiten is not None:
                data = whiten[subject] @ data
            found[kind] = own.read(), data.reshape(-1, *data.shape[2:])
            repeats = data.shape[1]
            table = own.trials
            assert table["stimulus"].tolist() == list(np.repeat(planted.pictures[kind], repeats))
            assert table["repetition"].tolist() == list(range(1, repeats + 1)) * data.shape[0]
            concepts = [n.rpartition("_")[0] for n in table["stimulus"]]
            assert table["label"].tolist() == concepts
        train = found["training"][1]
        mean, std = train.mean(axis=(0, 2)), train.std(axis=(0, 2))
        for got, raw in found.values():
            np.testing.assert_allclose(got, (raw - mean[:, None]) / std[:, None], atol=2e-4)


def test_every_number_arrives_beside_its_picture(tmp_path: Path) -> None:
    planted = write_things_eeg2(tmp_path / "set")
    recordings = prepared(tmp_path / "set", tmp_path / "out")
    assert len(recordings) == 2 * (24 * 4 + 4 * 10)
    check_numbers(recordings, planted)
    assert recordings.info.sfreq == 100
    assert recordings.info.tmin == -0.2
    assert [c.name for c in recordings.info.channels] == planted.channels
    test = recordings.select(split="test").trials
    assert set(test["label"]) == set(TEST_CONCEPTS)
    assert not set(test["label"]) & set(recordings.select(split="train").trials["label"])
    recordings.verify_checksums()


@pytest.mark.parametrize(
    ("shape", "plain_pickle", "dtype"),
    [
        (OFFICIAL, False, "float32"),
        (OFFICIAL, True, "float64"),
        (ALL_CHANNELS, True, "float64"),
        (ALL_CHANNELS, False, "float32"),
    ],
)
def test_official_and_re_exported_files_in_both_pickles(
    tmp_path: Path, plain_pickle: bool, shape: tuple[int, int], dtype: str
) -> None:
    planted = write_things_eeg2(
        tmp_path / "set" / "Preprocessed_data_250Hz",
        people=1,
        shape=shape,
        plain_pickle=plain_pickle,
        dtype=dtype,
    )
    recordings = prepared(tmp_path / "set", tmp_path / "out")
    assert recordings.feature_shape("sub-01") == shape
    assert recordings.info.sfreq == (100 if shape == OFFICIAL else 250)
    check_numbers(recordings, planted)


def test_times_that_kept_the_cut_baseline(tmp_path: Path) -> None:
    planted = write_things_eeg2(
        tmp_path / "set", shape=ALL_CHANNELS, plain_pickle=True, cut_baseline=True
    )
    assert len(planted.times) == ALL_CHANNELS[1] + 10
    recordings = prepared(tmp_path / "set", tmp_path / "out")
    assert recordings.info.tmin == 0
    check_numbers(recordings, planted)


def plain_whitening(data: np.ndarray) -> np.ndarray:
    """The definition, at once: deviations from the mean of repeats, scikit-learn's shrinkage."""
    from sklearn.covariance import ledoit_wolf

    _, repeats, channels, _ = data.shape
    noise = data.astype(np.float64) - data.mean(axis=1, keepdims=True)
    flat = noise.transpose(0, 1, 3, 2).reshape(-1, channels)
    covariance, _ = ledoit_wolf(flat, assume_centered=True)
    return np.linalg.inv(scipy.linalg.sqrtm(covariance * repeats / (repeats - 1)).real)


def test_noise_is_normalised_with_training_trials_only(tmp_path: Path) -> None:
    planted = write_things_eeg2(tmp_path / "set")
    recordings = prepared(tmp_path / "set", tmp_path / "out", mvnn=True)
    whiten = {
        subject: plain_whitening(data)
        for (subject, kind), data in planted.signals.items()
        if kind == "training"
    }
    check_numbers(recordings, planted, whiten)
    (step,) = [s for s in recordings.info.steps if s.name == "multivariate noise normalisation"]
    assert "training pictures" in str(step.fitted_on)

    # Other test trials change no training trial.
    for path in (tmp_path / "set").glob("sub-*/preprocessed_eeg_test.npy"):
        content = load(path)
        content["preprocessed_eeg_data"] = content["preprocessed_eeg_data"] * 3 + 1
        np.save(path, content)
    again = prepared(tmp_path / "set", tmp_path / "again", mvnn=True)
    np.testing.assert_array_equal(
        again.select(split="train").read(), recordings.select(split="train").read()
    )


def test_two_processes_change_nothing(tmp_path: Path) -> None:
    write_things_eeg2(tmp_path / "set")
    prepared(tmp_path / "set", tmp_path / "one")
    prepare(MiniatureReader(), tmp_path / "set", tmp_path / "two", jobs=2)
    assert listing(tmp_path / "one") == listing(tmp_path / "two")


def test_stopped_or_killed_anywhere_it_ends_the_same(tmp_path: Path) -> None:
    write_things_eeg2(tmp_path / "set")
    prepared(tmp_path / "set", tmp_path / "whole", mvnn=True)
    moments = [
        ("open", "*/parts/.sub-02_training*signals.npy", signal.SIGKILL, tmp_path / "a"),
        ("os.rename", "*/parts/sub-01_test", signal.SIGINT, tmp_path / "b"),
        ("open", "*/people/.sub-02*.npy", signal.SIGKILL, tmp_path / "c"),
    ]
    statuses = statuses_of_stopped(MiniatureReader, tmp_path / "set", moments, mvnn=True)
    assert statuses == [-signal.SIGKILL, 130, -signal.SIGKILL]
    for *_, out in moments:
        assert not out.exists()
        prepared(tmp_path / "set", out, mvnn=True)
        assert listing(out) == listing(tmp_path / "whole")


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = write_things_eeg2(tmp_path / "set")
    images = tmp_path / "image_set"
    for kind, folder in (("training", "training_images"), ("test", "test_images")):
        for i, name in enumerate(planted.pictures[kind]):
            concept = name.rpartition("_")[0]
            (images / folder / f"{i:05d}_{concept}").mkdir(parents=True)
            (images / folder / f"{i:05d}_{concept}" / f"{name}.jpg").write_bytes(b"x")
    command = ["prepare", "things-eeg2", tmp_path / "set", "--out", tmp_path / "out"]
    assert neuroalign(*command) == 2  # the miniature has other counts than the published set
    assert "expected 1654 concepts x 10" in capsys.readouterr().err.replace("\n", " ")
    monkeypatch.setattr(ThingsEeg2Reader, "published", MiniatureReader.published)
    assert neuroalign(*command, "--subjects", "2", "--pictures", images, "--mvnn") == 0
    recordings = Recordings(tmp_path / "out")
    assert recordings.subjects == ("sub-02",)
    table = pd.read_csv(tmp_path / "out" / "pictures.tsv", sep="\t")
    assert len(table) == 28
    assert all(Path(p).is_file() for p in table["path"])
    assert neuroalign("doctor", tmp_path / "set") == 0


def test_a_whole_one_is_fine(tmp_path: Path) -> None:
    write_things_eeg2(tmp_path / "set")
    fine = examine(tmp_path / "set", dataset=MiniatureReader())
    assert fine.status == 0, fine.findings
    assert fine.people == {"sub-01": (2, 136), "sub-02": (2, 136)}
    found = recognise(tmp_path / "set")
    assert found is not None
    assert found.card.name == "things-eeg2"


def test_what_is_planted_is_decoded(tmp_path: Path) -> None:
    planted = write_things_eeg2(tmp_path / "set", shape=ALL_CHANNELS)
    recordings = prepared(tmp_path / "set", tmp_path / "out")
    names = sorted(planted.vectors)
    items = pd.DataFrame({"kind": "picture", "stimulus": names, "label": None, "subject": None})
    pictures = Embeddings(np.stack([planted.vectors[n] for n in names]), items, "planted")
    model = na.fit(
        [recordings],
        pictures,
        space={"components": [4], "power": [0.0]},
        training={"epochs": 3, "batch_size": 32, "patience": None},
        architectures={"eeg": {"hidden": 16}},
    )
    test = model.embed(recordings.select(split="test").average_repeats())
    gallery = model.embed_pictures(pictures.select(stimulus=planted.pictures["test"]))
    ranking = na.decode(test, gallery, k=1).table()
    right = (ranking["query_stimulus"] == ranking["found_stimulus"]).mean()
    assert len(ranking) == 2 * len(TEST_CONCEPTS)
    assert right >= 0.75, right
