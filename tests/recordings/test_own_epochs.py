"""A laboratory's own MEG epochs in miniature, from FIF files to decoded pictures (simulated)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neuroalign as na
from laboratory import listing, neuroalign, plain
from miniatures.own_epochs import (
    CHANNELS,
    PATTERNS_FT,
    PICTURES,
    SAMPLES,
    SFREQ,
    TMIN,
    TRIALS,
    PlantedEpochs,
    plant,
    write_file,
    write_own_epochs,
)
from neuroalign.recordings import Recordings
from neuroalign.recordings.doctor import examine
from neuroalign.recordings.epochs_file import prepare_epochs
from neuroalign.recordings.preparation import prepare
from neuroalign.recordings.readers.epochs import EpochsOptions, EpochsReader
from neuroalign.retrieval import Embeddings


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[PlantedEpochs]]:
    folder = tmp_path_factory.mktemp("own") / "epochs"
    return folder, write_own_epochs(folder)


@pytest.fixture(scope="module")
def recordings(
    miniature: tuple[Path, list[PlantedEpochs]], tmp_path_factory: pytest.TempPathFactory
) -> Recordings:
    out = tmp_path_factory.mktemp("prepared") / "meg"
    return prepare_epochs(miniature[0], out, modality="meg")


def test_every_number_arrives_beside_its_picture(
    miniature: tuple[Path, list[PlantedEpochs]], recordings: Recordings
) -> None:
    for subject in ("ann", "bob"):
        first, second = (p for p in miniature[1] if p.subject == subject)
        mean, std = first.data.mean(axis=(0, 2)), first.data.std(axis=(0, 2))
        both = np.concatenate([first.data, second.data])
        own = recordings.select(subject=subject)
        expected = (both - mean[:, None]) / std[:, None]
        np.testing.assert_allclose(own.read(), expected, rtol=1e-3, atol=1e-3)
        table = pd.concat([first.metadata, second.metadata])
        assert own.trials["stimulus"].tolist() == table["stimulus"].tolist()
        assert own.trials["label"].tolist() == table["label"].tolist()
        assert own.trials["split"].tolist() == ["train"] * TRIALS + ["test"] * TRIALS
    info = recordings.info
    assert (info.sfreq, info.tmin) == (SFREQ, TMIN)
    assert [c.name for c in info.channels] == list(CHANNELS)
    recordings.verify_checksums()


def test_the_command_takes_files_or_their_folder(
    miniature: tuple[Path, list[PlantedEpochs]],
    recordings: Recordings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = miniature[0]
    command = ["prepare", "epochs"]  # of what is there, as the doctor
    assert neuroalign(*command, folder, "--out", tmp_path / "folder", "--jobs", "2") == 0
    assert listing(tmp_path / "folder") == listing(recordings.path)
    files = [f"{s}={folder / f'{s}_{n}-epo.fif'}" for s in ("ann", "bob") for n in (1, 2)]
    assert neuroalign(*command, *files, "--out", tmp_path / "files") == 0
    assert listing(tmp_path / "files") == listing(recordings.path)
    capsys.readouterr()
    assert neuroalign(*command, folder / "ann_1-epo.fif", "--out", tmp_path / "x") == 2
    assert "Expected SUBJECT=FILE" in plain(capsys.readouterr().err)


def test_files_may_lie_in_a_folder_for_each_person(
    miniature: tuple[Path, list[PlantedEpochs]], recordings: Recordings, tmp_path: Path
) -> None:
    for own in miniature[1]:
        (tmp_path / "set" / own.subject).mkdir(parents=True, exist_ok=True)
        write_file(tmp_path / "set" / own.subject / own.file, own.data, own.metadata)
    other = prepare_epochs(tmp_path / "set", tmp_path / "out", modality="meg")
    np.testing.assert_array_equal(other.read(), recordings.read())


def test_stopped_and_resumed_it_ends_the_same(
    miniature: tuple[Path, list[PlantedEpochs]], recordings: Recordings, tmp_path: Path
) -> None:
    read: list[str] = []

    class Stopped(EpochsReader):
        def stage(self, part, options, write):
            read.append(part.name)
            staged = super().stage(part, options, write)
            if read == ["ann_run-01", "ann_run-02"]:
                raise KeyboardInterrupt
            return staged

    options = EpochsOptions(modality="meg")
    with pytest.raises(KeyboardInterrupt):
        prepare(Stopped(), miniature[0], tmp_path / "out", options=options)
    prepare(Stopped(), miniature[0], tmp_path / "out", options=options)
    assert read == ["ann_run-01", "ann_run-02", "ann_run-02", "bob_run-01", "bob_run-02"]
    assert listing(tmp_path / "out") == listing(recordings.path)


def test_split_parts_are_read_together_or_missed_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(1500, len(CHANNELS), SAMPLES)) * 1e-13
    metadata = pd.DataFrame({"stimulus": [f"p{i}" for i in rng.integers(0, 9, 1500)]})
    folder = tmp_path / "set"
    folder.mkdir()
    write_file(folder / "ann_1-epo.fif", data, metadata, split_size="2MB")
    assert sorted(p.name for p in folder.iterdir()) == [
        "ann_1-epo-1.fif",
        "ann_1-epo-2.fif",
        "ann_1-epo.fif",
    ]
    recordings = prepare_epochs(folder, tmp_path / "out", modality="meg", single_run="train")
    expected = (data - data.mean(axis=(0, 2))[:, None]) / data.std(axis=(0, 2))[:, None]
    np.testing.assert_allclose(recordings.read(), expected, rtol=1e-3, atol=1e-3)
    assert recordings.trials["stimulus"].tolist() == metadata["stimulus"].tolist()
    (folder / "ann_1-epo-1.fif").unlink()
    diagnosis = examine(folder)
    assert diagnosis.status == 2
    assert any("ann_1-epo-1.fif" in f.what for f in diagnosis.findings)


def test_a_whole_one_is_fine(miniature: tuple[Path, list[PlantedEpochs]]) -> None:
    diagnosis = examine(miniature[0])
    assert (diagnosis.dataset, diagnosis.verdict) == ("epochs", "fine")
    assert diagnosis.findings == ()
    assert diagnosis.people == {"ann": (2, 72), "bob": (2, 72)}


def test_what_is_planted_is_decoded(recordings: Recordings) -> None:
    table = pd.DataFrame(
        {"kind": "picture", "stimulus": list(PICTURES), "label": None, "subject": None}
    )
    pictures = Embeddings(PATTERNS_FT.astype(np.float32), table, "planted")
    model = na.fit(
        [recordings],
        pictures,
        space={"components": [4], "power": [0.0]},
        training={"epochs": 3, "batch_size": 16, "patience": None},
        architectures={"meg": {"hidden": 16}},
    )
    test = model.embed(recordings.select(split="test"))
    ranking = na.decode(test, model.embed_pictures(pictures), k=1).table()
    right = (ranking["query_stimulus"] == ranking["found_stimulus"]).mean()
    assert len(ranking) == 2 * TRIALS
    assert right > 0.7, right  # a sixth by chance


def test_numbers_of_pictures_are_the_same_names_beside_missing_ones(tmp_path: Path) -> None:
    tmp_path.joinpath("set").mkdir()
    for file in ("bob_1-epo.fif", "bob_2-epo.fif"):
        own = plant("bob", file)
        numbers = own.metadata["stimulus"].str[-1].astype(float)
        if file == "bob_2-epo.fif":
            numbers[:3] = None
        else:
            numbers = numbers.astype(int)
        write_file(tmp_path / "set" / file, own.data, own.metadata.assign(stimulus=numbers))
    options = EpochsOptions(min_trials=20)
    recordings = prepare(EpochsReader(), tmp_path / "set", tmp_path / "out", options=options)
    assert set(recordings.trials["stimulus"].dropna()) == set("012345")


def test_a_folder_a_level_too_high_is_noted(tmp_path: Path) -> None:
    """`<person>/*-epo.fif` is a layout too, so this cannot be refused."""
    own = plant("bob", "bob_1-epo.fif")
    (tmp_path / "lab" / "epochs").mkdir(parents=True)
    write_file(tmp_path / "lab" / "epochs" / "bob_1-epo.fif", own.data, own.metadata)
    found = examine(tmp_path / "lab", quick=True)
    assert list(found.people) == ["epochs"]
    (note,) = [f.what for f in found.findings if "counts as one person" in f.what]
    assert note.endswith(f"give {tmp_path / 'lab' / 'epochs'}")
    assert list(examine(tmp_path / "lab" / "epochs", quick=True).people) == ["bob"]
