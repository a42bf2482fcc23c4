"""ImageNetEEG in miniature, from its files to decoded pictures."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.signal

import neuroalign as na
from laboratory import listing, neuroalign
from miniatures.imagenet_eeg import (
    CHANNELS,
    ODD_LENGTHS,
    MiniatureReader,
    Planted,
    load,
    save,
    write_imagenet_eeg,
)
from miniatures.stopped import statuses_of_stopped
from neuroalign.recordings import Recordings
from neuroalign.recordings.doctor import examine
from neuroalign.recordings.preparation import prepare
from neuroalign.recordings.readers import recognise
from neuroalign.recordings.readers.imagenet_classes import CLASS_NAMES
from neuroalign.recordings.readers.imagenet_eeg import SIGNALS, ImageNetEegOptions
from neuroalign.retrieval import Embeddings


def prepared(folder: Path, out: Path, **options: Any) -> Recordings:
    options = {"features": "samples"} | options
    return prepare(MiniatureReader(), folder, out, options=ImageNetEegOptions(**options))


def check_numbers(recordings: Recordings, planted: Planted, start: int, stop: int) -> None:
    """Compare every number with what was planted, standardised in plain NumPy."""
    table = recordings.trials
    for subject in recordings.subjects:
        own = table[table["subject"] == subject]
        segments = [planted.segments[i] for i in own["file_index"]]
        raw = np.stack([s["eeg"][:, start:stop] for s in segments]).astype(np.float64)
        train = raw[(own["split"] == "train").to_numpy()]
        mean, std = train.mean(axis=(0, 2)), train.std(axis=(0, 2))
        expected = (raw - mean[:, None]) / std[:, None]
        np.testing.assert_allclose(recordings.read(own.index), expected, atol=1e-4)
        assert own["stimulus"].tolist() == [s["stimulus"] for s in segments]
        assert own["label"].tolist() == [CLASS_NAMES[s["synset"]] for s in segments]
        assert {f"sub-{s['subject']:02d}" for s in segments} == {subject}


def test_every_number_arrives_beside_its_picture(tmp_path: Path) -> None:
    planted = write_imagenet_eeg(tmp_path / "set")
    recordings = prepared(tmp_path / "set", tmp_path / "out")
    check_numbers(recordings, planted, 20, 460)
    table, split = recordings.trials, planted.splits["all"][0]
    wanted = dict.fromkeys((*split["train"], *split["val"]), "train")
    wanted |= dict.fromkeys(split["test"], "test")
    gone = [3, 11]  # 449 and 601 samples; the one of 450 is too short for the crop
    assert set(wanted) - set(table["file_index"]) == {*gone, 20}
    assert table["split"].tolist() == [wanted[i] for i in table["file_index"]]
    reasons = pd.read_csv(tmp_path / "out" / "dropped.tsv", sep="\t")
    assert reasons["trials"].tolist() == [2, 1]
    assert "fewer than 450 or more than 600" in reasons["reason"][0]
    assert (table["repetition"] == 1).all()
    assert recordings.info.tmin == 0.02
    assert recordings.info.sfreq == 1000
    test = set(table.loc[table["split"] == "test", "stimulus"])
    assert not test & set(table.loc[table["split"] == "train", "stimulus"])
    recordings.verify_checksums()


def test_spectrograms_are_those_of_scipy(tmp_path: Path) -> None:
    write_imagenet_eeg(tmp_path / "set")
    samples = prepared(tmp_path / "set", tmp_path / "samples")
    spectrograms = prepared(tmp_path / "set", tmp_path / "spectrograms", features="spectrogram")
    _, _, expected = scipy.signal.stft(samples.read(), 1000, nperseg=40)
    assert expected.shape[1:] == (CHANNELS, 21, 23)
    np.testing.assert_allclose(spectrograms.read(), np.abs(expected), atol=1e-5)
    assert spectrograms.info.axes == ("channels", "frequencies", "frames")
    assert spectrograms.info.frequencies[:2] == (0.0, 25.0)


@pytest.mark.parametrize(
    ("band", "old_format", "tensors"),
    [
        ("5-95", False, False),
        ("14-70", True, True),
        ("55-95", True, False),
        ("raw", True, False),
        ("raw", False, True),
    ],
)
def test_bands_and_both_formats_of_pytorch(
    tmp_path: Path, band: str, old_format: bool, tensors: bool
) -> None:
    planted = write_imagenet_eeg(
        tmp_path / "block", band=band, old_format=old_format, tensors=tensors
    )
    recordings = prepared(tmp_path, tmp_path / "out", band=band, crop="0:440")
    check_numbers(recordings, planted, 0, 440)
    assert {s.name for s in recordings.info.steps} >= (
        {"crop", "standardise"} | ({"band-pass, by its authors"} if band != "raw" else set())
    )


def test_the_crop_of_the_papers_authors_needs_longer_segments(tmp_path: Path) -> None:
    planted = write_imagenet_eeg(tmp_path / "set")
    recordings = prepared(tmp_path / "set", tmp_path / "out", crop="40:480")
    check_numbers(recordings, planted, 40, 480)
    short = [i for i, s in enumerate(planted.segments) if s["eeg"].shape[1] < 480]
    assert sorted(short) == sorted(i for i, n in ODD_LENGTHS.items() if n < 480)
    assert not set(short) & set(recordings.trials["file_index"])
    with pytest.raises(ValueError, match="two numbers of samples"):
        ImageNetEegOptions(crop="20-460")
    with pytest.raises(ValueError, match="must lie within"):
        ImageNetEegOptions(crop="460:20")


def test_another_split_and_the_one_for_single_people(tmp_path: Path) -> None:
    planted = write_imagenet_eeg(tmp_path / "set")
    second = prepared(tmp_path / "set", tmp_path / "second", split=1)
    test = {planted.segments[i]["stimulus"] for i in planted.splits["all"][1]["test"]}
    assert set(second.select(split="test").trials["stimulus"]) == test
    single = prepared(tmp_path / "set", tmp_path / "single", splits="single")
    places = planted.splits["single"][0]["test"]  # in each person's own segments
    per_person = len(planted.segments) // 2
    for number, subject in enumerate(single.subjects):
        found = single.select(split="test", subject=subject).trials["file_index"]
        expected = {number * per_person + p for p in places} - set(ODD_LENGTHS)
        assert set(found) == expected
    findings = (tmp_path / "single" / "findings.tsv").read_text()
    assert "test pictures are training pictures too, of other people" in findings


def test_the_split_for_single_people_may_reach_beyond_those_with_fewer_segments(
    tmp_path: Path,
) -> None:
    planted = write_imagenet_eeg(tmp_path / "set")
    path = tmp_path / "set" / SIGNALS["5-95"]
    content = load(path)
    del content["dataset"][60:]  # the last four of the second person
    save(path, content)
    recordings = prepared(tmp_path / "set", tmp_path / "out", splits="single")
    test = planted.splits["single"][0]["test"]
    found = recordings.select(split="test", subject="sub-02").trials["file_index"]
    assert set(found) == {32 + p for p in test if p < 28} - set(ODD_LENGTHS)
    assert "indices go up to 31, and 1 people have fewer segments (the fewest: 28)" in (
        (tmp_path / "out" / "findings.tsv").read_text()
    )


def test_blocks_and_order(tmp_path: Path) -> None:
    planted = write_imagenet_eeg(tmp_path / "shuffled")
    unknown = prepared(tmp_path / "shuffled", tmp_path / "unknown").trials
    assert unknown["order"].isna().all()
    assert len(unknown[["subject", "label", "block"]].drop_duplicates()) == 8
    assert unknown.groupby("subject")["block"].nunique().tolist() == [4, 4]

    in_file = write_imagenet_eeg(tmp_path / "file", shuffled=False)
    known = prepared(tmp_path / "file", tmp_path / "from-file").trials
    listed = write_imagenet_eeg(tmp_path / "list", list_order=True)
    from_list = prepared(tmp_path / "list", tmp_path / "from-list").trials
    assert in_file.shown == listed.shown == planted.shown
    for table in (known, from_list):
        for _, own in table.groupby("subject"):
            places = [planted.shown.index(s) for s in own["stimulus"]]
            assert places == sorted(places)
            assert own["order"].tolist() == places
            assert own["block"].tolist() == [p // 8 for p in places]


def test_two_processes_change_nothing(tmp_path: Path) -> None:
    write_imagenet_eeg(tmp_path / "set")
    prepared(tmp_path / "set", tmp_path / "one")
    options = ImageNetEegOptions(features="samples")
    prepare(MiniatureReader(), tmp_path / "set", tmp_path / "two", options=options, jobs=2)
    assert listing(tmp_path / "one") == listing(tmp_path / "two")


def test_stopped_or_killed_anywhere_it_ends_the_same(tmp_path: Path) -> None:
    write_imagenet_eeg(tmp_path / "set")
    prepared(tmp_path / "set", tmp_path / "whole")
    moments = [
        ("open", "*/parts/.sub-02*signals.npy", signal.SIGKILL, tmp_path / "a"),
        ("os.rename", "*/parts/sub-02", signal.SIGINT, tmp_path / "b"),
        ("open", "*/people/.sub-02*.npy", signal.SIGKILL, tmp_path / "c"),
    ]
    statuses = statuses_of_stopped(MiniatureReader, tmp_path / "set", moments, features="samples")
    assert statuses == [-signal.SIGKILL, 130, -signal.SIGKILL]
    for *_, out in moments:
        assert not out.exists()
        prepared(tmp_path / "set", out)
        assert listing(out) == listing(tmp_path / "whole")


def test_the_command_reads_the_published_shape(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = write_imagenet_eeg(tmp_path / "set", channels=128, old_format=False)
    pictures = tmp_path / "train"
    for name in planted.vectors:
        (pictures / name[:9]).mkdir(parents=True, exist_ok=True)
        (pictures / name[:9] / f"{name}.JPEG").write_bytes(b"x")
    out = tmp_path / "out"
    command = ["prepare", "imagenet-eeg", tmp_path / "set", "--out", out, "--subjects", "P2"]
    assert neuroalign(*command, "--features", "samples", "--pictures", pictures) == 0
    recordings = Recordings(out)
    assert recordings.subjects == ("sub-02",)
    assert recordings.feature_shape("sub-02") == (128, 440)
    check_numbers(recordings, planted, 20, 460)
    table = pd.read_csv(out / "pictures.tsv", sep="\t")
    assert all(Path(p).is_file() for p in table["path"])
    assert set(table["stimulus"]) == set(recordings.trials["stimulus"])
    # The real reader says that these are not the published counts.
    findings = (out / "findings.tsv").read_text()
    assert "64 segments, published are 11964 or 11965" in findings
    assert "48 / 8 / 8 indices to train / val / test, published are 7970" in findings
    capsys.readouterr()
    assert neuroalign(*command[:-1], "P7", "--overwrite") == 2
    assert "no person 'P7'" in capsys.readouterr().err


def test_a_whole_one_is_fine(tmp_path: Path) -> None:
    write_imagenet_eeg(tmp_path / "set", list_order=True)
    write_imagenet_eeg(tmp_path / "set", band="14-70")
    fine = examine(tmp_path / "set", dataset=MiniatureReader(), options=ImageNetEegOptions())
    assert fine.status == 0, fine.findings
    assert {f.severity for f in fine.findings} == {"note"}
    assert fine.people == {"sub-01": (1, 32), "sub-02": (1, 32)}
    found = recognise(tmp_path / "set")
    assert found is not None
    assert found.card.name == "imagenet-eeg"


def test_what_is_planted_is_decoded(tmp_path: Path) -> None:
    planted = write_imagenet_eeg(tmp_path / "set")
    recordings = prepared(tmp_path / "set", tmp_path / "out")
    names = sorted(planted.vectors)
    items = pd.DataFrame({"kind": "picture", "stimulus": names, "label": None, "subject": None})
    pictures = Embeddings(np.stack([planted.vectors[n] for n in names]), items, "planted")
    model = na.fit(
        [recordings],
        pictures,
        space={"components": [4], "power": [0.0]},
        training={"epochs": 3, "batch_size": 16, "patience": None},
        architectures={"eeg": {"hidden": 16}},
    )
    test = model.embed(recordings.select(split="test"))
    seen = sorted(set(test.items["stimulus"]))
    ranking = na.decode(test, model.embed_pictures(pictures.select(stimulus=seen)), k=1).table()
    right = (ranking["query_stimulus"] == ranking["found_stimulus"]).mean()
    assert len(seen) == 4
    assert right > 0.75, right
