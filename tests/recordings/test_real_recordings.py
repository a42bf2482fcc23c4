"""The oddities of the real recordings are found, and nothing goes missing unlisted."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neuroalign.recordings import Recordings
from neuroalign.recordings.arrays import prepare_arrays
from neuroalign.recordings.bids import prepare_bids

DATA = os.environ.get("NEUROALIGN_DATA")
pytestmark = pytest.mark.skipif(
    not DATA, reason="needs real recordings: set NEUROALIGN_DATA to their folder"
)


@pytest.fixture(scope="module")
def eeg(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    pytest.importorskip("mne_bids")
    out = tmp_path_factory.mktemp("real") / "n170"
    return prepare_bids(Path(str(DATA)) / "n170-bids", out, classes=["face", "house"])


@pytest.fixture(scope="module")
def findings(eeg: Recordings) -> pd.DataFrame:
    return pd.read_csv(eeg.path / "findings.tsv", sep="\t")


def test_who_is_left_and_what_is_held_out(eeg: Recordings) -> None:
    table = eeg.trials[eeg.trials["split"] == "test"]
    held = table.groupby(["subject", "session", "run"])["held_out"].unique().map(list)
    assert held.to_dict() == {
        ("sub-01", "01", "06"): ["run"],
        ("sub-02", "01", "02"): ["run"],
        ("sub-03", "03", "01"): ["run"],
        ("sub-11", "01", "01"): ["part of a run"],
    }
    train = eeg.trials[eeg.trials["split"] == "train"]
    assert set(train["subject"]) == {"sub-01", "sub-02", "sub-03", "sub-11"}


def test_every_onset_is_kept_or_listed(eeg: Recordings) -> None:
    assert len(eeg) + sum(d.trials for d in eeg.info.dropped) == 2783


@pytest.mark.parametrize(
    ("where", "trials", "reason"),
    [
        ("sub-03_ses-02_run-02", 196, "same signal as sub-03_ses-01_run-02"),
        ("sub-03_ses-03_run-02", 7, "nearly empty"),
        ("sub-10_ses-01_run-01", 1, "nearly empty"),
        ("sub-10_ses-02_run-01", 1, "nearly empty"),
        ("sub-10_ses-03_run-01", 1, "nearly empty"),
        ("sub-02_ses-01_run-02", 1, "begins before the recording (onset at 0.000 s)"),
        ("sub-03_ses-02_run-01", 1, "begins before the recording (onset at 0.028 s)"),
    ],
)
def test_what_cannot_be_used_is_left_out(
    eeg: Recordings, where: str, trials: int, reason: str
) -> None:
    matches = [d for d in eeg.info.dropped if d.where == where and reason in d.reason]
    assert [d.trials for d in matches] == [trials]


def test_a_person_with_a_single_short_run_is_left_out(eeg: Recordings) -> None:
    (person,) = [d for d in eeg.info.dropped if d.where == "sub-10"]
    assert "fewer than 50" in person.reason


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("sub-02_ses-01_run-02 AF7", "amplifier's limit"),
        ("sub-02_ses-01_run-02 AF8", "amplifier's limit"),
        ("sub-03_ses-03_run-02 TP9", "amplifier's limit"),
        ("sub-03_ses-03_run-02 TP10", "in a row are flat"),
        ("sub-03_ses-03_run-02", "repeat on all channels"),
        ("sub-03_ses-02_run-02", "same signal"),
        ("sub-10_ses-01_run-02", "short: 24.7 s"),
        ("sub-10_ses-02_run-01 AF8", "artefacts"),
        ("sub-02_ses-01_run-02", "no baseline before them"),
    ],
)
def test_oddities_of_the_raw_files_are_found(findings: pd.DataFrame, where: str, what: str) -> None:
    here = findings[findings["where"] == where]["what"]
    assert any(what in text for text in here), here.tolist()


def test_good_recordings_are_not_accused(findings: pd.DataFrame) -> None:
    accused = findings[findings["severity"] != "note"]["where"]
    assert not [w for w in accused if w.startswith(("sub-01", "sub-11"))]


def test_haxby_volumes(tmp_path: Path) -> None:
    folder = Path(str(DATA)) / "haxby2001-vt"
    recordings = prepare_arrays(
        folder / "bold.npy",
        folder / "volumes.tsv",
        tmp_path / "haxby",
        test_runs=0.25,
        voxel_index=folder / "voxel_index.npy",
        index_base=1,
        index_order="F",
        volume_shape=(40, 64, 64),
    )
    assert len(recordings) == 864 and recordings.feature_shape("sub-01") == (577,)
    assert recordings.info.dropped == ()
    assert set(recordings.select(split="test").trials["run"]) == {"9", "10", "11"}
    assert recordings.trials["label"].nunique() == 8
    index = recordings.voxel_index("sub-01")
    assert index is not None
    x, y, z = np.unravel_index(index, (40, 64, 64))
    # Ventral temporal cortex: both hemispheres, a few neighbouring slices.
    assert (x.min(), x.max(), z.min(), z.max()) == (6, 34, 22, 31) and len(set(y)) <= 14
    np.testing.assert_allclose(recordings.select(run="4").read().std(axis=0), 1, rtol=1e-3)
