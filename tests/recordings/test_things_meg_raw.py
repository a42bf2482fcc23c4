"""The raw CTF runs of THINGS-MEG in miniature, from their integers to decoded pictures."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
import pytest
import scipy.signal

from laboratory import listing, neuroalign
from miniatures.ctf import read_integers, write_integers
from miniatures.stopped import statuses_of_stopped
from miniatures.things_meg import (
    BLOCK_S,
    EPOCHS,
    LAG_SAMPLES,
    RAW_SFREQ,
    SESSIONS,
    MiniatureRaw,
    Planted,
    ShortRaw,
    channels,
    events_file,
    picture_numbers,
    run_folder,
    write_raw,
)
from neuroalign.errors import NeuroalignError
from neuroalign.recordings import Recordings
from neuroalign.recordings.doctor import examine
from neuroalign.recordings.preparation import prepare
from neuroalign.recordings.readers import recognise
from neuroalign.recordings.readers.things_meg_runs import RawOptions

BLOCK = round(BLOCK_S * RAW_SFREQ)
SENSORS = [c.name for c in channels() if c.kind == "meg"]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_raw(tmp_path_factory.mktemp("things-meg-raw") / "set")


def prepared(planted: Planted, out: Path, subjects: Any = None, **options: Any) -> Recordings:
    chosen = RawOptions(**options)
    return prepare(MiniatureRaw(), planted.folder, out, options=chosen, subjects=subjects)


def seen(planted: Planted, key: tuple[int, int, int]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the rows and onset samples of what was shown in a run, without catch trials."""
    table = planted.tables[key[0]]
    rows = table[(table["session_nr"] == key[1]) & (table["run_nr"] == key[2])]
    mask = (rows["trial_type"] != "catch").to_numpy()
    return rows[mask], planted.onsets[key][mask]


def change(folder: Path, key: tuple[int, int, int], edit: Any) -> None:
    """Let `edit` change the stored integers of a run, (channels, samples), in place."""
    ds = run_folder(folder, *key)
    stored = read_integers(ds, len(channels()), BLOCK)
    edit(stored)
    write_integers(ds, stored, BLOCK)


def test_the_miniature_is_a_ctf_recording(planted: Planted) -> None:
    raw = mne.io.read_raw_ctf(run_folder(planted.folder, 1, 2, 1), verbose="error")
    assert raw.info["sfreq"] == RAW_SFREQ
    kinds = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    assert [n for n, kind in kinds.items() if kind == "mag"] == SENSORS
    assert (kinds["BG1-1609"], kinds["UPPT001"]) == ("ref_meg", "stim")
    np.testing.assert_allclose(
        raw.get_data(picks=SENSORS[:-1]) * 1e15, planted.continuous[1, 2, 1], atol=1e-6
    )
    events = mne.find_events(raw, "UPPT001", verbose="error")
    assert events[:-1, 0].tolist() == (planted.onsets[1, 2, 1] - LAG_SAMPLES).tolist()
    assert events[:, 2].tolist() == [64] * (len(events) - 1) + [32]


def test_at_the_recorded_rate_every_sample_is_the_planted_one(
    planted: Planted, tmp_path: Path
) -> None:
    options = {"resample": RAW_SFREQ, "baseline": "none", "standardise": False}
    recordings = prepared(planted, tmp_path / "out", tmin=-0.1, tmax=0.4, **options)
    trials = recordings.trials
    assert len(trials) == 2 * 52
    for key, signals in planted.continuous.items():
        subject, session, run = f"P{key[0]}", f"{key[1]:02d}", f"{key[2]:02d}"
        own = trials[
            (trials["subject"] == subject) & (trials["session"] == session) & (trials["run"] == run)
        ]
        rows, onsets = seen(planted, key)
        assert own["stimulus"].tolist() == [Path(p).stem for p in rows["image_path"]]
        np.testing.assert_allclose(own["onset_s"], onsets / RAW_SFREQ)
        np.testing.assert_allclose(own["trigger_onset_s"], (onsets - LAG_SAMPLES) / RAW_SFREQ)
        expected = np.stack([signals[:, o - 120 : o + 481] for o in onsets])
        np.testing.assert_allclose(recordings.read(own.index), expected, atol=1e-3)


def test_the_papers_steps(planted: Planted, tmp_path: Path) -> None:
    recordings = prepared(planted, tmp_path / "out")
    info, trials = recordings.info, recordings.trials
    assert (info.sfreq, info.tmin) == (120.0, -0.5)
    assert recordings.read([0]).shape == (1, 6, 181)
    assert [c.name for c in info.channels] == SENSORS[:-1]
    assert all(c.type == "mag" and c.position is not None for c in info.channels)
    own = trials.index[trials["subject"] == "P2"]
    expected = []
    for key, signals in planted.continuous.items():
        if key[0] == 2:
            slow = scipy.signal.resample_poly(signals, 1, 10, axis=1, padtype="line")
            starts = np.rint(seen(planted, key)[1] / 10).astype(int) - 60
            epochs = np.stack([slow[:, s : s + 181] for s in starts])
            expected.append(epochs - epochs[:, :, :61].mean(axis=2, keepdims=True))
    whole = np.concatenate(expected)
    train = (trials.loc[own, "split"] == "train").to_numpy()
    mean, std = whole[train].mean(axis=(0, 2)), whole[train].std(axis=(0, 2))
    np.testing.assert_allclose(
        recordings.read(own), (whole - mean[:, None]) / std[:, None], atol=2e-3
    )
    assert (trials.groupby(["subject", "split"]).size() == [12, 40, 12, 40]).all()
    tests = trials[trials["split"] == "test"].groupby(["subject", "stimulus"])["repetition"]
    assert tests.agg(list).tolist() == [[1, 2, 3, 4]] * 6
    names = [s.name for s in info.steps]
    assert names[-2:] == ["split", "standardise"]
    assert {"resample", "epochs", "baseline", "drop sensors"} <= set(names)


def test_onsets_come_from_either_witness_and_both_are_compared(
    planted: Planted, tmp_path: Path
) -> None:
    sensor = prepared(planted, tmp_path / "sensor", ["1"], standardise=False)
    trigger = prepared(planted, tmp_path / "trigger", ["1"], onsets="trigger", standardise=False)
    lag = sensor.trials["onset_s"] - trigger.trials["onset_s"]
    np.testing.assert_allclose(lag, LAG_SAMPLES / RAW_SFREQ)
    found = pd.read_csv(tmp_path / "sensor" / "findings.tsv", sep="\t")
    about = found[found["what"].str.contains("after the triggers")]
    assert len(about) == 2 * SESSIONS
    assert set(about["severity"]) == {"note"}
    assert about["what"].str.contains(r"15.0 ms .*from 15.0 to 15.0 ms").all()


def test_a_wandering_trigger_is_a_warning(tmp_path: Path) -> None:
    planted = write_raw(tmp_path / "set", (1,), 2)
    path = events_file(planted.folder, 1, 2, 2)
    events = pd.read_csv(path, sep="\t")
    events.loc[3, "sample"] += 60
    events.to_csv(path, sep="\t", index=False)
    found = examine(planted.folder, dataset=ShortRaw())
    warned = [f for f in found.findings if f.severity == "warning"]
    assert [f.where for f in warned] == ["P1_ses-02_run-02"]
    assert "15.0 ms after the triggers" in warned[0].what
    assert "from 15.0 to 65.0 ms" in warned[0].what
    assert warned[0].count == 1


@pytest.mark.parametrize("seconds", [0.2, 0.8])
def test_a_dropout_is_found_without_being_told(tmp_path: Path, seconds: float) -> None:
    planted = write_raw(tmp_path / "set", (1,), 2)
    key = (1, 1, 2)
    onset = int(planted.onsets[key][2])
    first, last = onset + 300, onset + 300 + round(seconds * RAW_SFREQ)

    def drop(stored: np.ndarray) -> None:
        stored[:8, first:last] = 0

    change(planted.folder, key, drop)
    options = {"resample": RAW_SFREQ, "tmin": -0.1, "tmax": 0.5, "baseline": "none"}
    recordings = prepare(
        ShortRaw(),
        planted.folder,
        tmp_path / "out",
        options=RawOptions(standardise=False, **options),
    )
    findings = (tmp_path / "out" / "findings.tsv").read_text()
    assert f"stand still for {seconds:.1f}" in findings
    assert f"at {first / RAW_SFREQ:.3f} s" in findings
    own = recordings.trials[(recordings.trials["session"] == "01")]
    own = own[own["run"] == "02"]
    hit = own[(own["onset_s"] - onset / RAW_SFREQ).abs() < 1e-6]
    rows, onsets = seen(planted, key)
    if seconds > 0.5:
        assert len(hit) == 0 and len(own) == len(rows) - 1
        assert "stand still for more than 0.5 s" in (tmp_path / "out" / "dropped.tsv").read_text()
        return
    signals = planted.continuous[key].copy()
    signals[:, first:last] = 0  # what the file holds
    middle = np.median(signals, axis=1)
    signals[:, first:last] = middle[:, None]
    expected = np.stack([signals[:, o - 120 : o + 601] for o in onsets])
    np.testing.assert_allclose(recordings.read(own.index), expected, atol=1e-3)
    assert "1 trial(s) touch it" in findings


def test_a_gap_in_the_clock_is_found(tmp_path: Path) -> None:
    planted = write_raw(tmp_path / "set", (1,), 2)
    key = (1, 2, 1)
    onset = int(planted.onsets[key][1])

    def gap(stored: np.ndarray) -> None:
        stored[-1, onset + 100 :] += 2500  # a quarter of a second, in ticks of 0.1 ms

    change(planted.folder, key, gap)
    recordings = prepare(ShortRaw(), planted.folder, tmp_path / "out")
    findings = (tmp_path / "out" / "findings.tsv").read_text()
    assert f"gap in the recording's clock of 0.250 s at {(onset + 100) / RAW_SFREQ:.3f}" in findings
    missing = 2 * 13 - len(recordings)
    assert missing == (
        planted.tables[1].query("session_nr == 2 and run_nr == 1")["trial_type"].iloc[1] != "catch"
    )


def test_the_command_line_does_the_same_in_two_processes(planted: Planted, tmp_path: Path) -> None:
    prepared(
        planted, tmp_path / "one", ["1"], incomplete=True, protocol="zero-shot", onsets="trigger"
    )
    command = ("prepare", "things-meg-raw", planted.folder, "--out", tmp_path / "two")
    options = (
        "--incomplete",
        "--protocol",
        "zero-shot",
        "--onsets",
        "trigger",
        "--jobs",
        "2",
        "--subjects",
        "1",
    )
    assert neuroalign(*command, *options) == 0
    one, two = (listing(tmp_path / n) for n in ("one", "two"))
    for files in (one, two):
        files.pop("findings.tsv")  # the miniature's counts are not the published ones
    assert one == two
    zero_shot = Recordings(tmp_path / "two").trials
    assert (zero_shot["split"] == "train").sum() == EPOCHS.zero_shot


def test_a_whole_one_is_fine(planted: Planted) -> None:
    found = examine(planted.folder, dataset=MiniatureRaw(), subjects=["2"])
    assert found.status == 0, found.findings
    assert found.people == {"P2": (2 * SESSIONS, 52)}
    recognised = recognise(planted.folder)
    assert recognised is not None and recognised.card.name == "things-meg-raw"


def test_a_filter_beyond_the_new_rate_is_refused(planted: Planted, tmp_path: Path) -> None:
    with pytest.raises(NeuroalignError, match="cannot be kept at 120 samples"):
        prepared(planted, tmp_path / "out", h_freq=80.0)


def test_the_authors_band_is_a_real_band(planted: Planted, tmp_path: Path) -> None:
    narrow = prepared(
        planted, tmp_path / "narrow", ["1"], l_freq=2.0, h_freq=20.0, standardise=False
    )
    wide = prepared(planted, tmp_path / "wide", ["1"], standardise=False)
    power = []
    for recordings in (wide, narrow):
        spectrum = np.abs(np.fft.rfft(recordings.read() * np.hanning(181), axis=2)) ** 2
        above = np.fft.rfftfreq(181, 1 / 120) > 30
        power.append(spectrum[:, :, above].sum())
    assert power[1] < 0.01 * power[0]


def test_what_is_planted_is_decoded(planted: Planted, tmp_path: Path) -> None:
    recordings = prepared(planted, tmp_path / "out")
    right = []
    for subject in recordings.subjects:
        own = recordings.trials[recordings.trials["subject"] == subject]
        signals = recordings.read(own.index)[:, :, 60:].reshape(len(own), -1)
        goals = np.stack([picture_numbers(s) for s in own["stimulus"]])
        train = (own["split"] == "train").to_numpy()
        kernel = signals[train] @ signals[train].T
        weights = np.linalg.solve(kernel + 50 * np.eye(train.sum()), goals[train])
        guess = signals[~train] @ signals[train].T @ weights
        names = sorted(set(own.loc[~train, "stimulus"]))
        candidates = np.stack([picture_numbers(n) for n in names])
        distance = ((guess[:, None] - candidates[None]) ** 2).sum(axis=2)
        found = np.array(names)[distance.argmin(axis=1)]
        right += (found == own.loc[~train, "stimulus"].to_numpy()).tolist()
    assert len(right) == 24
    assert np.mean(right) > 0.8, right


def test_killed_it_goes_on_and_ends_the_same_to_the_last_byte(
    planted: Planted, tmp_path: Path
) -> None:
    expected = listing(prepared(planted, tmp_path / "whole").path)
    out = tmp_path / "out"
    part = "*/parts/.*P2_ses-02_run-01*signals.npy"
    moments = [
        ("open", part, signal.SIGKILL, out),
        ("os.rename", "*/people/P2", signal.SIGINT, out),
    ]
    found = statuses_of_stopped(MiniatureRaw, planted.folder, moments)
    assert found == [-signal.SIGKILL, 130]
    prepared(planted, out)
    assert listing(out) == expected
