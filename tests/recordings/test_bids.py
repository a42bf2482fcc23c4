"""BIDS folders with planted signals and oddities come out as they should (simulated)."""

from __future__ import annotations

import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.signal
from simulated_bids import CHANNELS, SFREQ, planted, write_run

from neuroalign.errors import MissingDependencyError, NeuroalignError
from neuroalign.recordings import Recordings
from neuroalign.recordings.bids import prepare_bids

SETTINGS: dict[str, Any] = {
    "tmin": -0.1,
    "tmax": 0.4,
    "l_freq": 0,
    "h_freq": 0,
    "baseline": (None, 0.0),
    "reject_uv": 500.0,
    "min_trials": 20,
}


@pytest.fixture(scope="module")
def bids_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with five people.

    sub-01: three runs, the second with an artefact and stray events. sub-02: two runs and a copy
    of the first. sub-03: one run. sub-04: a run of twelve trials. sub-05: three events, a flat
    channel, and no events.tsv.
    """
    root = tmp_path_factory.mktemp("bids")
    for run in (1, 2, 3):
        data, events = planted(run)
        if run == 2:
            data[1, round(10.0 * SFREQ)] += 2e-3
            stray = pd.DataFrame({"onset": [0.0, 44.9, 90.0], "trial_type": "face"})
            button = pd.DataFrame({"onset": [30.05], "trial_type": "button"})
            silent = pd.DataFrame({"onset": [31.05], "trial_type": [None]})
            events = pd.concat([events, stray, button, silent]).sort_values("onset")
        write_run(root, "01", "01", f"{run:02d}", data, events)
    first, first_events = planted(11, scale=3.0)
    write_run(root, "02", "01", "01", first, first_events)
    write_run(root, "02", "01", "02", *planted(12, scale=3.0))
    write_run(root, "02", "02", "01", first, first_events)
    write_run(root, "03", "01", "01", *planted(21, n_trials=50))
    write_run(root, "04", "01", "01", *planted(31, n_trials=12))
    write_run(root, "05", "01", "01", *planted(41, n_trials=3))
    flat, flat_events = planted(42)
    flat[2] = 0
    write_run(root, "05", "01", "02", flat, flat_events)
    write_run(root, "05", "01", "03", *planted(43))
    next(root.rglob("sub-05*run-03_events.tsv")).unlink()
    return root


@pytest.fixture(scope="module")
def recordings(bids_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    out = tmp_path_factory.mktemp("prepared") / "eeg"
    return prepare_bids(bids_root, out, classes=["face", "house"], **SETTINGS)


def test_planted_responses_lie_where_they_were_planted(recordings: Recordings) -> None:
    assert recordings.info.sfreq == SFREQ and recordings.info.tmin == -0.1
    assert [c.name for c in recordings.info.channels] == CHANNELS
    for subject in ("sub-01", "sub-02"):
        for label, sign in (("face", 1), ("house", -1)):
            mean = recordings.select(subject=subject, label=label).read().mean(axis=0)
            assert (sign * mean[3, 21:39] > 0.5).all()
            assert (np.abs(mean[:3]) < 0.5).all()
            assert (np.abs(mean[3, :10]) < 0.5).all()


def test_signals_equal_a_plain_computation(bids_root: Path, recordings: Recordings) -> None:
    epochs = []
    for seed in (11, 12):
        data, events = planted(seed, scale=3.0)
        onsets = np.rint(events["onset"].to_numpy() * SFREQ).astype(int)
        cut = np.stack([data[:, o - 10 : o + 41] for o in onsets])
        epochs.append(cut - cut[:, :, :11].mean(axis=2, keepdims=True))
    mean = epochs[0].mean(axis=(0, 2), keepdims=True)
    expected = (np.concatenate(epochs) - mean) / epochs[0].std(axis=(0, 2), keepdims=True)
    np.testing.assert_allclose(
        recordings.select(subject="sub-02").read(), expected, rtol=1e-3, atol=1e-3
    )


def test_whole_runs_are_held_out(recordings: Recordings) -> None:
    table = recordings.trials
    runs = table[table["subject"] == "sub-01"].groupby("run")["split"].unique()
    assert {run: list(split) for run, split in runs.items()} == {
        "01": ["train"],
        "02": ["train"],
        "03": ["test"],
    }
    assert table.loc[table["split"] == "train", "held_out"].isna().all()
    held = table[table["split"] == "test"].groupby("subject")["held_out"].unique()
    assert {s: list(h) for s, h in held.items()} == {
        "sub-01": ["run"],
        "sub-02": ["run"],
        "sub-03": ["part of a run"],
    }


def test_a_single_run_is_divided_in_time_with_a_gap(recordings: Recordings) -> None:
    own = recordings.select(subject="sub-03").trials
    train = own.loc[own["split"] == "train", "onset_s"]
    test = own.loc[own["split"] == "test", "onset_s"]
    assert len(test) == 16
    assert test.min() - train.max() >= 5.0


def test_everything_that_was_left_out_is_listed(recordings: Recordings) -> None:
    reasons = [(d.where, d.trials, d.reason) for d in recordings.info.dropped]

    def once(where: str, trials: int, text: str) -> None:
        matches = [r for r in reasons if r[0] == where and text in r[2]]
        assert len(matches) == 1 and matches[0][1] == trials, (where, text, reasons)

    once("sub-01_ses-01_run-02", 1, "begins before the recording (onset at 0.000 s)")
    once("sub-01_ses-01_run-02", 2, "ends after the recording (onset at 44.900, 90.000 s)")
    once("sub-01_ses-01_run-02", 1, "not of the classes face, house")
    once("sub-01_ses-01_run-02", 1, "neither class nor picture")
    once("sub-01_ses-01_run-02", 1, "peak to peak above 500 µV (worst: Cz) (onset at 10.000 s)")
    once("sub-02_ses-02_run-01", 50, "same signal as sub-02_ses-01_run-01 (100% of it)")
    once("sub-03_ses-01_run-01", 6, "before the test part of the only run")
    once("sub-04", 12, "12 usable trial(s), fewer than 20")
    once("sub-05_ses-01_run-01", 3, "nearly empty")
    once("sub-05_ses-01_run-02", 50, "1 of 4 channels unusable (Pz: 4500 flat")
    once("sub-05_ses-01_run-03", 0, "no events.tsv")
    assert recordings.subjects == ("sub-01", "sub-02", "sub-03")


def test_every_event_is_kept_or_listed(bids_root: Path, recordings: Recordings) -> None:
    events = sum(len(pd.read_csv(p, sep="\t")) for p in bids_root.rglob("*_events.tsv"))
    assert len(recordings) + sum(d.trials for d in recordings.info.dropped) == events


def test_findings_about_the_raw_files_are_kept(recordings: Recordings) -> None:
    table = pd.read_csv(recordings.path / "findings.tsv", sep="\t")
    flat = table[table["where"] == "sub-05_ses-01_run-02 Pz"]
    assert flat["severity"].tolist() == ["error"]
    assert any("same signal" in what for what in table["what"])


def test_steps_say_what_was_done_and_on_what(recordings: Recordings) -> None:
    done = {s.name: s for s in recordings.info.steps}
    assert list(done) == ["epochs", "baseline", "reject", "split", "standardise"]
    assert done["standardise"].fitted_on == "training trials of each person, per channel"
    assert done["split"].parameters["test_runs"] == "last"
    assert "mne" not in done["standardise"].versions


def test_test_trials_do_not_touch_training_numbers(
    bids_root: Path, recordings: Recordings, tmp_path: Path
) -> None:
    changed = tmp_path / "bids"
    shutil.copytree(bids_root, changed)
    data, events = planted(99, scale=4.0)
    write_run(changed, "01", "01", "03", data, events)
    other = prepare_bids(
        changed, tmp_path / "out", classes=["face", "house"], subjects=["01"], **SETTINGS
    )
    mine = recordings.select(subject="sub-01")
    np.testing.assert_array_equal(
        other.select(split="train").read(), mine.select(split="train").read()
    )
    assert not np.allclose(other.select(split="test").read(), mine.select(split="test").read())


def test_spectrograms_are_scipys_of_the_standardised_epochs(
    bids_root: Path, recordings: Recordings, tmp_path: Path
) -> None:
    pictures = prepare_bids(
        bids_root,
        tmp_path / "out",
        classes=["face", "house"],
        features="spectrogram",
        subjects=["sub-02"],
        **SETTINGS,
    )
    assert pictures.info.axes == ("channels", "frequencies", "frames")
    assert pictures.info.frequencies == (0.0, 25.0, 50.0)
    assert pictures.info.sfreq == 50.0
    epochs = recordings.select(subject="sub-02").read()
    expected = np.abs(scipy.signal.stft(epochs, SFREQ, nperseg=4)[2])
    np.testing.assert_allclose(pictures.read(), expected, rtol=1e-4, atol=1e-5)


def test_pictures_come_from_their_column(tmp_path: Path) -> None:
    _, events = planted(1)
    events["stim_file"] = [f"faces/{i % 5}.jpg" for i in range(len(events))]
    for run in ("01", "02"):
        write_run(tmp_path / "bids", "01", "01", run, planted(int(run))[0], events)
    recordings = prepare_bids(tmp_path / "bids", tmp_path / "out", label_column="kind", **SETTINGS)
    assert recordings.trials["stimulus"].nunique() == 5
    assert recordings.trials["label"].isna().all()


def test_a_few_bad_channels_are_interpolated(tmp_path: Path) -> None:
    import mne

    mne_bids = pytest.importorskip("mne_bids")
    montage = mne.channels.make_standard_montage("biosemi16")
    rng = np.random.default_rng(0)
    _, events = planted(1)
    for run in ("01", "02"):
        data = rng.normal(size=(16, 4500)) * 1e-5
        if run == "02":
            data[4] = 0
        raw = mne.io.RawArray(
            data, mne.create_info(montage.ch_names, SFREQ, "eeg"), verbose="error"
        ).set_montage(montage)
        raw.info["line_freq"] = 50.0
        raw.set_annotations(mne.Annotations(events["onset"], 0.0, events["trial_type"]))
        path = mne_bids.BIDSPath(
            subject="01", run=run, task="faces", datatype="eeg", root=tmp_path / "bids"
        )
        mne_bids.write_raw_bids(
            raw, path, allow_preload=True, format="BrainVision", verbose="error"
        )
    recordings = prepare_bids(tmp_path / "bids", tmp_path / "out", **SETTINGS)
    assert recordings.info.steps[0].name == "interpolate bad channels"
    assert recordings.trials["session"].isna().all()
    assert all(c.position is not None for c in recordings.info.channels)
    channel = recordings.select(run="02").read()[:, 4]
    assert channel.std() > 0.1
    findings = pd.read_csv(tmp_path / "out" / "findings.tsv", sep="\t")
    assert any(f"interpolated: {montage.ch_names[4]}" in what for what in findings["what"])


def test_stretches_marked_as_bad_are_no_trials_and_spoil_those_they_touch(tmp_path: Path) -> None:
    for run in ("01", "02"):
        data, events = planted(int(run))
        if run == "01":
            marks = pd.DataFrame(
                {"onset": [10.1, 30.0], "duration": [0.5, 0.9], "trial_type": "BAD_muscle"}
            )
            events = pd.concat([events, marks]).sort_values("onset")
        events["trial_type"] = events["trial_type"].replace("house", "badge")
        events["duration"] = events["duration"].clip(lower=0.3)
        write_run(tmp_path / "bids", "01", "01", run, data, events)
    recordings = prepare_bids(tmp_path / "bids", tmp_path / "out", **SETTINGS)
    assert set(recordings.trials["label"]) == {"face", "badge"}
    left_out = {d.reason: d.trials for d in recordings.info.dropped}
    # Epochs run from 0.1 s before an onset (2.0, 2.8, ...) to 0.4 s after it.
    assert left_out == {
        "event(s) that mark a stretch, and are no trials": 2,
        "the epoch overlaps a stretch marked as bad (onset at 10.000, 30.000, 30.800 s)": 3,
    }
    onsets = recordings.select(run="01").trials["onset_s"]
    assert not set(onsets.round(3)) & {10.0, 30.0, 30.8}


def test_channels_that_cannot_be_interpolated_cost_the_run(tmp_path: Path) -> None:
    import mne

    mne_bids = pytest.importorskip("mne_bids")
    names = [f"MEG {i}" for i in range(12)]
    info = mne.create_info(names, SFREQ, "mag")
    for channel in info["chs"]:
        channel["loc"][:3] = [0.0, 0.1, 0.05]  # all in one place, and no head shape
    info["line_freq"] = 50.0
    for run in ("01", "02"):
        data = np.random.default_rng(int(run)).normal(size=(12, 4500)) * 1e-13
        if run == "02":
            data[4] = 0
        raw = mne.io.RawArray(data, info, verbose="error")
        _, events = planted(1)
        raw.set_annotations(mne.Annotations(events["onset"], 0.0, events["trial_type"]))
        path = mne_bids.BIDSPath(
            subject="01", run=run, task="t", datatype="meg", root=tmp_path / "bids"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no sensor layout is known for made-up channels
            mne_bids.write_raw_bids(raw, path, allow_preload=True, format="FIF", verbose="error")
    options = {"datatype": "meg", "resample": 0, "min_trials": 20, "single_run": "train"}
    recordings = prepare_bids(tmp_path / "bids", tmp_path / "out", **options)
    assert set(recordings.trials["run"]) == {"01"}
    assert any("MEG 4 unusable, and not to be" in d.reason for d in recordings.info.dropped)


def test_single_runs_may_serve_training_alone_or_not_at_all(
    bids_root: Path, tmp_path: Path
) -> None:
    options = {**SETTINGS, "classes": ["face", "house"], "subjects": ["02", "03"]}
    train = prepare_bids(bids_root, tmp_path / "train", single_run="train", **options)
    assert set(train.select(subject="sub-03").trials["split"]) == {"train"}
    without = prepare_bids(bids_root, tmp_path / "drop", single_run="drop", **options)
    assert without.subjects == ("sub-02",)
    assert any(
        d.where == "sub-03" and "single usable run" in d.reason for d in without.info.dropped
    )


def test_resampling_and_filters_are_applied(bids_root: Path, tmp_path: Path) -> None:
    recordings = prepare_bids(
        bids_root, tmp_path / "out", subjects=["02"], classes=["face", "house"],
        **{**SETTINGS, "resample": 50.0, "h_freq": 20.0, "notch": [40.0]},
    )  # fmt: skip
    assert recordings.info.sfreq == 50.0 and recordings.read().shape[2] == 26
    assert [s.name for s in recordings.info.steps][:3] == ["notch", "band-pass", "resample"]


def test_meg_comes_out_in_the_shape_of_the_paper(tmp_path: Path) -> None:
    import mne

    mne_bids = pytest.importorskip("mne_bids")
    rng = np.random.default_rng(0)
    info = mne.create_info(["MEG 001", "MEG 002", "EOG"], 600.0, ["mag", "mag", "eog"])
    for channel in info["chs"][:2]:
        channel["loc"][:3] = [0.0, 0.1, 0.05]
    info["dev_head_t"] = mne.Transform("meg", "head", mne.transforms.translation(z=0.02))
    info["line_freq"] = 50.0
    _, events = planted(1)
    for run in ("01", "02"):
        raw = mne.io.RawArray(rng.normal(size=(3, 27_000)) * 1e-12, info, verbose="error")
        raw.set_annotations(mne.Annotations(events["onset"], 0.0, events["trial_type"]))
        path = mne_bids.BIDSPath(
            subject="01", run=run, task="t", datatype="meg", root=tmp_path / "bids"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no sensor layout is known for made-up channels
            mne_bids.write_raw_bids(raw, path, allow_preload=True, format="FIF", verbose="error")
    recordings = prepare_bids(tmp_path / "bids", tmp_path / "out", datatype="meg")
    assert recordings.modality == "meg" and recordings.info.sfreq == 120.0
    assert recordings.feature_shape("sub-01") == (2, 181)
    position = recordings.info.channels[0].position
    assert position == pytest.approx((0.0, 0.1, 0.07), abs=1e-6)
    train = recordings.select(split="train").read()
    np.testing.assert_allclose(train.std(axis=(0, 2)), 1, rtol=1e-3)
    assert np.abs(train[:, :, :61].mean(axis=2)).max() < 0.1


def test_runs_shorter_than_the_filter_are_left_out(bids_root: Path, tmp_path: Path) -> None:
    with pytest.raises(NeuroalignError, match=r"No usable trials.*shorter than the filter"):
        prepare_bids(bids_root, tmp_path / "out", subjects=["02"], **{**SETTINGS, "l_freq": 0.05})
    assert not (tmp_path / "out").exists()


def test_a_person_who_lacks_a_class_in_training_is_left_out(tmp_path: Path) -> None:
    for subject in ("01", "02"):
        for run in ("01", "02"):
            data, events = planted(int(subject) * 10 + int(run))
            if subject == "02" and run == "01":
                events["trial_type"] = "face"
            write_run(tmp_path / "bids", subject, "01", run, data, events)
    recordings = prepare_bids(tmp_path / "bids", tmp_path / "out", **SETTINGS)
    assert recordings.subjects == ("sub-01",)
    dropped = [d for d in recordings.info.dropped if d.where == "sub-02"]
    assert dropped[0].trials == 100
    assert "no training trial of the class(es) house" in dropped[0].reason


def test_a_class_nobody_saw_leaves_nothing(bids_root: Path, tmp_path: Path) -> None:
    with pytest.raises(NeuroalignError, match=r"No usable trials.*not of the classes car"):
        prepare_bids(bids_root, tmp_path / "out", classes=["car"])


def test_rates_that_differ_need_resampling(tmp_path: Path) -> None:
    import mne

    mne_bids = pytest.importorskip("mne_bids")
    for run, sfreq in (("01", 100.0), ("02", 200.0)):
        data = np.random.default_rng(0).normal(size=(2, int(45 * sfreq))) * 1e-5
        raw = mne.io.RawArray(data, mne.create_info(["A", "B"], sfreq, "eeg"), verbose="error")
        raw.info["line_freq"] = 50.0
        _, events = planted(1)
        raw.set_annotations(mne.Annotations(events["onset"], 0.0, events["trial_type"]))
        path = mne_bids.BIDSPath(
            subject="01", run=run, task="t", datatype="eeg", root=tmp_path / "bids"
        )
        mne_bids.write_raw_bids(
            raw, path, allow_preload=True, format="BrainVision", verbose="error"
        )
    with pytest.raises(NeuroalignError, match="at 200 Hz, earlier runs at 100 Hz"):
        prepare_bids(tmp_path / "bids", tmp_path / "out", **SETTINGS)
    both = prepare_bids(tmp_path / "bids", tmp_path / "out", **SETTINGS, resample=50.0)
    assert both.trials["run"].nunique() == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subjects": ["09"]}, "no subject.s. 09; there are 01, 02, 03, 04, 05"),
        ({"task": "music"}, "no eeg or meg recordings of the task 'music'"),
        ({"datatype": "meg"}, "no meg recordings"),
        ({"datatype": "ecog"}, "must be 'eeg' or 'meg', got 'ecog'"),
        ({"datatype": "meg", "reject_uv": 100.0}, "microvolts"),
        ({"label_column": "kind"}, "neither the column 'kind' nor 'stim_file'"),
        ({"test_runs": ["run-77"]}, "'run-77' is none of the usable runs"),
    ],
)
def test_requests_that_cannot_be_met(
    bids_root: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(NeuroalignError, match=message):
        prepare_bids(bids_root, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_missing_folder_and_damaged_files(bids_root: Path, tmp_path: Path) -> None:
    with pytest.raises(NeuroalignError, match="There is no folder"):
        prepare_bids(tmp_path / "nowhere", tmp_path / "out")
    broken = tmp_path / "bids"
    shutil.copytree(bids_root, broken)
    header = next(broken.rglob("sub-02*run-02_eeg.vhdr"))
    header.write_text("not a header")
    with pytest.raises(NeuroalignError, match=r"sub-02_ses-01_task-faces_run-02.*cannot be read"):
        prepare_bids(broken, tmp_path / "out", subjects=["02"])
    events = next(broken.rglob("sub-01*run-01_events.tsv"))
    events.write_text("time\tkind\n1\tface\n")
    with pytest.raises(NeuroalignError, match="numeric column `onset`"):
        prepare_bids(broken, tmp_path / "out", subjects=["01"])


def test_a_missing_package_is_named_with_its_extra(
    bids_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mne_bids", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'neuroalign\[bids\]'"):
        prepare_bids(bids_root, tmp_path / "out")


def test_an_existing_folder_is_not_touched(
    bids_root: Path, recordings: Recordings, tmp_path: Path
) -> None:
    before = (recordings.path / "recordings.json").read_bytes()
    with pytest.raises(NeuroalignError, match="already exists"):
        prepare_bids(bids_root, recordings.path, classes=["face", "house"], **SETTINGS)
    assert (recordings.path / "recordings.json").read_bytes() == before
