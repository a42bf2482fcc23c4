"""What is odd in the real EEG is told without being told what, and prepared accordingly."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from laboratory import neuroalign
from neuroalign.recordings.doctor import Diagnosis, examine

DATA = os.environ.get("NEUROALIGN_DATA")
pytestmark = pytest.mark.skipif(
    not DATA, reason="needs real recordings: set NEUROALIGN_DATA to their folder"
)
#: Everything that is worse than a note: severity, where, how it begins, count.
ODD = [
    ("error", "sub-03_ses-02_run-02", "the same signal as sub-03_ses-01_run-02 (100%", 196),
    ("error", "sub-03_ses-03_run-02 TP9", "sample(s) at the amplifier's limit (23.6%)", 7218),
    ("error", "sub-03_ses-03_run-02 AF7", "sample(s) at the amplifier's limit (3.5%)", 1059),
    ("error", "sub-03_ses-03_run-02 AF8", "sample(s) at the amplifier's limit (5.2%)", 1586),
    ("error", "sub-03_ses-03_run-02 TP10", "sample(s) at the amplifier's limit (12.5%)", 3806),
    ("warning", "sub-02_ses-01_run-02 AF7", "sample(s) at the amplifier's limit", 2),
    ("warning", "sub-02_ses-01_run-02 AF8", "sample(s) at the amplifier's limit", 4),
    ("warning", "sub-03_ses-01_run-01", "trials left out of 194: 31% of this run", 61),
    ("warning", "sub-03_ses-03_run-02", "nearly empty: 7 event(s) in 122 s, the last at 3.9 s", 7),
    ("warning", "sub-03_ses-03_run-02", "7 event(s), where the other recordings have 195", 7),
    ("warning", "sub-03_ses-03_run-02", "sample(s) in a row repeat on all channels", 105),
    ("warning", "sub-03_ses-03_run-02 TP9", "sample(s) in a row are flat", 453),
    ("warning", "sub-03_ses-03_run-02 TP10", "sample(s) in a row are flat", 689),
    ("warning", "sub-03_ses-03_run-02", "signals 36.9 times as large as in the person's other", 1),
    ("warning", "sub-03_ses-03_run-02", "left out: nearly empty", 7),
    ("warning", "sub-10_ses-01_run-02", "short: 24.7 s", 24),
    ("warning", "sub-10_ses-01_run-02", "24.7 s recorded, where the other recordings have 123", 24),
    ("warning", "sub-10_ses-01_run-02", "28 event(s), where the other recordings have 195", 28),
    ("warning", "sub-10", "left out: the person has 21 usable trial(s), fewer than 50", 4),
    *(
        ("warning", f"sub-10_ses-0{session}_run-01", what, 1)
        for session in (1, 2, 3)
        for what in (
            "nearly empty: 1 event(s) in 122 s, the last at 0.0 s",
            "1 event(s), where the other recordings have 195",
            "left out: nearly empty",
        )
    ),
]
NOTES = [
    ("n170-bids", "without a column 'stim_file': which picture was shown is not known", 19),
    ("sub-01, sub-02, sub-03, sub-10, sub-11", "people share the same electrode positions", 5),
    ("sub-11", "the test trials are the end of the run that trains", 1),
    ("sub-02_ses-01_run-02", "in the first 0.1 s, with no baseline before them", 1),
    ("sub-03_ses-02_run-01", "in the first 0.1 s, with no baseline before them", 1),
    ("sub-10_ses-02_run-01 AF8", "more than 8 times the usual range", 3),
    ("sub-03_ses-01_run-01", "would be left out: peak to peak above 100 µV (worst: AF7)", 36),
    ("sub-02_ses-01_run-02", "would be left out: the epoch begins before the recording", 1),
    ("sub-03_ses-02_run-02", "would be left out: duplicate", 196),
]


@pytest.fixture(scope="module")
def diagnosis() -> Diagnosis:
    pytest.importorskip("mne_bids")
    return examine(Path(str(DATA)) / "n170-bids")


def test_all_that_is_worse_than_a_note(diagnosis: Diagnosis) -> None:
    found = [
        (f.severity, f.where, f.what, f.count) for f in diagnosis.findings if f.severity != "note"
    ]
    for severity, where, begin, count in ODD:
        fitting = [
            f for f in found if f[:2] == (severity, where) and begin in f[2] and f[3] == count
        ]
        assert len(fitting) == 1, (where, begin, found)
        found.remove(fitting[0])
    assert found == []


@pytest.mark.parametrize(("where", "what", "count"), NOTES)
def test_notes(diagnosis: Diagnosis, where: str, what: str, count: int) -> None:
    notes = [f for f in diagnosis.findings if f.severity == "note" and f.where == where]
    assert any(what in f.what and f.count == count for f in notes), notes


def test_the_verdict(diagnosis: Diagnosis) -> None:
    assert (diagnosis.dataset, diagnosis.status) == ("bids", 1)
    assert diagnosis.people == {
        "sub-01": (6, 1174),
        "sub-02": (2, 395),
        "sub-03": (6, 991),
        "sub-10": (4, 31),
        "sub-11": (1, 192),
    }


def test_a_person_alone_through_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mne_bids")
    folder = Path(str(DATA)) / "n170-bids"
    assert neuroalign("doctor", folder, "--subjects", "11", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "fine"
    assert {f["severity"] for f in told["findings"]} == {"note"}


def test_prepare_leaves_out_what_the_doctor_says(diagnosis: Diagnosis, tmp_path: Path) -> None:
    folder = Path(str(DATA)) / "n170-bids"
    assert neuroalign("prepare", "bids", folder, "--out", tmp_path / "out") == 0
    dropped = pd.read_csv(tmp_path / "out" / "dropped.tsv", sep="\t")
    said = [
        (f.where, f.count, f.what.removeprefix("would be left out: "))
        for f in diagnosis.findings
        if f.what.startswith("would be left out: ")
    ]
    assert sorted(said) == sorted(dropped.itertuples(index=False, name=None))
    findings = pd.read_csv(tmp_path / "out" / "findings.tsv", sep="\t")
    kept = [f for f in diagnosis.findings if not f.what.startswith("would be left out: ")]
    told = sorted((f.where, f.what, f.severity, f.count) for f in kept)
    assert sorted(findings.itertuples(index=False, name=None)) == told
