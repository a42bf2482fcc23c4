"""A laboratory's own EEG in miniature, from BIDS files to decoded pictures (simulated)."""

from __future__ import annotations

import errno
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("mne_bids")

import neuroalign as na
from laboratory import listing, neuroalign, plain
from miniatures.own_bids import CHANNELS, PATTERNS_UV, PICTURES, SFREQ, PlantedRun, write_own_bids
from miniatures.stopped import statuses_of_stopped
from neuroalign.recordings.bids import prepare_bids
from neuroalign.recordings.doctor import examine
from neuroalign.recordings.preparation import prepare
from neuroalign.recordings.readers.bids import BidsOptions, BidsReader
from neuroalign.retrieval import Embeddings

PLAIN: dict[str, Any] = {"l_freq": 0, "h_freq": 0, "min_trials": 20}


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[PlantedRun]]:
    folder = tmp_path_factory.mktemp("own") / "bids"
    return folder, write_own_bids(folder)


def test_every_number_arrives_beside_its_picture(
    miniature: tuple[Path, list[PlantedRun]], tmp_path: Path
) -> None:
    folder, planted = miniature
    recordings = prepare_bids(folder, tmp_path / "out", **PLAIN)
    assert len(recordings) == sum(len(p.events) for p in planted)
    for subject in ("01", "02"):
        runs = [p for p in planted if p.subject == subject]
        cut = []
        for run in runs:
            samples = run.events["sample"].to_numpy()
            cut.append(np.stack([run.signals[:, s - 10 : s + 61] for s in samples]))
        train = cut[0].astype(np.float64)  # the last run is held out
        mean, std = train.mean(axis=(0, 2)), train.std(axis=(0, 2))
        expected = (np.concatenate(cut) - mean[:, None]) / std[:, None]
        own = recordings.select(subject=f"sub-{subject}")
        np.testing.assert_allclose(own.read(), expected, rtol=1e-3, atol=2e-3)
        table = own.trials
        assert table["stimulus"].tolist() == [s for r in runs for s in r.events["stim_file"]]
        assert table["split"].tolist() == ["train"] * len(cut[0]) + ["test"] * len(cut[1])
        onsets = np.concatenate([r.events["onset"] for r in runs])
        np.testing.assert_allclose(table["onset_s"], onsets, atol=1e-6)
    assert [c.name for c in recordings.info.channels] == list(CHANNELS)
    assert (recordings.info.sfreq, recordings.info.licence) == (SFREQ, "CC0")
    recordings.verify_checksums()


def test_the_command_and_two_processes_make_the_same(
    miniature: tuple[Path, list[PlantedRun]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = miniature
    chosen: dict[str, Any] = {"baseline": (-0.1, 0.0), "notch": [45.0], "single_run": "train"}
    prepare_bids(folder, tmp_path / "one", **chosen)
    command = ["prepare", "bids", folder, "--out", tmp_path / "two", "--jobs", "2"]
    flags = ("--baseline", "-0.1,0", "--notch", "45", "--single-run", "train")
    assert neuroalign(*command, "--subjects", "1", "2", *flags) == 0
    one, two = listing(tmp_path / "one"), listing(tmp_path / "two")
    # Without --subjects the table of participants is looked at as well.
    assert {k: v for k, v in one.items() if k != "findings.tsv"} == {
        k: v for k, v in two.items() if k != "findings.tsv"
    }
    capsys.readouterr()
    for flag in ("--baseline", "--notch"):
        assert neuroalign(*command, "--overwrite", flag, "soon") == 2
        assert "got 'soon'" in plain(capsys.readouterr().err)


def test_stopped_and_resumed_it_ends_the_same(
    miniature: tuple[Path, list[PlantedRun]], tmp_path: Path
) -> None:
    folder, _ = miniature
    options = BidsOptions(l_freq=0, h_freq=0)
    prepare(BidsReader(), folder, tmp_path / "whole", options=options)
    read: list[str] = []

    class Stopped(BidsReader):
        def stage(self, part, options, write):
            read.append(part.name)
            staged = super().stage(part, options, write)
            if read == ["sub-01_ses-01_run-01", "sub-01_ses-01_run-02"]:
                raise KeyboardInterrupt
            return staged

        def finish(self, subject, settled, options, writer):
            super().finish(subject, settled, options, writer)
            read.append(subject)
            if read.count("sub-02") == 1:
                raise KeyboardInterrupt

    out = tmp_path / "out"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            prepare(Stopped(), folder, out, options=options)
        assert not out.exists()
    prepare(Stopped(), folder, out, options=options)
    parts = [f"sub-0{s}_ses-01_run-0{r}" for s, r in ((1, 1), (1, 2), (1, 2), (2, 1), (2, 2))]
    assert read == [*parts, "sub-01", "sub-02", "sub-02"]
    assert listing(out) == listing(tmp_path / "whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "whole"]


def test_killed_it_goes_on_to_the_same_bytes(
    miniature: tuple[Path, list[PlantedRun]], tmp_path: Path
) -> None:
    folder, _ = miniature
    options: dict[str, Any] = {"l_freq": 0.0, "h_freq": 0.0}
    prepare(BidsReader(), folder, tmp_path / "whole", options=BidsOptions(**options))
    moments = [
        ("open", "*/parts/.*sub-01_ses-01_run-02*signals.npy", signal.SIGKILL, tmp_path / "a"),
        ("os.rename", "*/people/sub-01", signal.SIGINT, tmp_path / "b"),
    ]
    statuses = statuses_of_stopped(BidsReader, folder, moments, **options)
    assert statuses == [-signal.SIGKILL, 130]
    for out in (tmp_path / "a", tmp_path / "b"):
        kept = out.with_name(f".{out.name}.unfinished") / "parts" / "sub-01_ses-01_run-01"
        assert (kept / "staged.json").is_file()
        assert not out.exists()
        prepare(BidsReader(), folder, out, options=BidsOptions(**options))
        assert listing(out) == listing(tmp_path / "whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "whole"]


def test_a_full_disk_is_not_blamed_on_the_recording(
    miniature: tuple[Path, list[PlantedRun]],
) -> None:
    reader, options = BidsReader(), BidsOptions()
    part = reader.plan(miniature[0], options, None).parts[0]

    def full(_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        reader.stage(part, options, full)


def test_a_whole_one_is_fine(miniature: tuple[Path, list[PlantedRun]]) -> None:
    diagnosis = examine(miniature[0])
    assert (diagnosis.dataset, diagnosis.verdict) == ("bids", "fine"), diagnosis.findings
    assert diagnosis.people == {"sub-01": (2, 160), "sub-02": (2, 160)}
    assert {f.severity for f in diagnosis.findings} <= {"note"}
    assert neuroalign("doctor", miniature[0], "--quick") == 0


def test_what_is_planted_is_decoded(
    miniature: tuple[Path, list[PlantedRun]], tmp_path: Path
) -> None:
    recordings = prepare_bids(miniature[0], tmp_path / "out", **PLAIN)
    table = pd.DataFrame(
        {"kind": "picture", "stimulus": list(PICTURES), "label": None, "subject": None}
    )
    pictures = Embeddings(PATTERNS_UV.astype(np.float32), table, "planted")
    model = na.fit(
        [recordings],
        pictures,
        space={"components": [4], "power": [0.0]},
        training={"epochs": 3, "batch_size": 16, "patience": None},
        architectures={"eeg": {"hidden": 16}},
    )
    test = model.embed(recordings.select(split="test"))
    ranking = na.decode(test, model.embed_pictures(pictures), k=1).table()
    right = (ranking["query_stimulus"] == ranking["found_stimulus"]).mean()
    assert len(ranking) == 160
    assert right > 0.7, right  # an eighth by chance
