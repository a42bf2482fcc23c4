"""Epochs, baselines and rejection equal MNE's, and each trial left out has its reason."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from neuroalign.errors import NeuroalignError
from neuroalign.signals.eeg import EEG_DEFAULTS
from neuroalign.signals.epochs import Window, cut_epochs, onset_samples, subtract_baseline
from neuroalign.signals.meg import MEG_DEFAULTS
from neuroalign.signals.preprocessing import Preprocessing, preprocess_run

SFREQ = 200.0


def noise(seconds: float = 20.0, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(channels, int(seconds * SFREQ)))


def mne_epochs(data: np.ndarray, onsets: np.ndarray, **options: object) -> mne.Epochs:
    raw = mne.io.RawArray(data, mne.create_info(len(data), SFREQ, "eeg"), verbose="error")
    samples = np.round(onsets * SFREQ).astype(int)
    events = np.column_stack([samples, np.zeros_like(samples), np.ones_like(samples)])
    return mne.Epochs(raw, events, preload=True, verbose="error", **options)


@pytest.mark.parametrize("baseline", [None, (None, 0.0), (-0.1, 0.0), (None, None)])
def test_epochs_and_baseline_equal_mne(baseline: tuple[float | None, float | None] | None) -> None:
    data, onsets = noise(), np.array([1.0, 3.337, 7.5, 12.0])
    settings = Preprocessing(tmin=-0.2, tmax=0.5, baseline=baseline)
    ours = preprocess_run(data, SFREQ, onsets, settings)
    theirs = mne_epochs(data, onsets, tmin=-0.2, tmax=0.5, baseline=baseline)
    assert ours.epochs.dtype == np.float32
    np.testing.assert_allclose(ours.epochs, theirs.get_data(), rtol=1e-4, atol=1e-5)


def test_filtered_epochs_equal_mne() -> None:
    data, onsets = noise(), np.array([2.0, 5.0, 9.0])
    settings = Preprocessing(tmin=0.0, tmax=0.5, l_freq=1.0, h_freq=30.0, notch=(50.0,))
    info = mne.create_info(3, SFREQ, "eeg")
    raw = mne.io.RawArray(data.copy(), info, verbose="error")
    raw.notch_filter([50.0], verbose="error").filter(1.0, 30.0, verbose="error")
    theirs = mne_epochs(raw.get_data(), onsets, tmin=0.0, tmax=0.5, baseline=None)
    ours = preprocess_run(data, SFREQ, onsets, settings)
    np.testing.assert_allclose(ours.epochs, theirs.get_data(), rtol=1e-3, atol=1e-4)


def test_rejection_leaves_out_the_trials_that_mne_leaves_out() -> None:
    data, onsets = noise(), np.arange(1.0, 18.0, 1.0)
    data[1, int(4.2 * SFREQ)] += 50.0
    data[2, int(9.1 * SFREQ)] -= 80.0
    settings = Preprocessing(tmin=-0.2, tmax=0.5, reject=20.0)
    ours = preprocess_run(data, SFREQ, onsets, settings, channel_names=("a", "b", "c"))
    theirs = mne_epochs(data, onsets, tmin=-0.2, tmax=0.5, baseline=None, reject={"eeg": 20.0})
    np.testing.assert_array_equal(np.flatnonzero(ours.kept), theirs.selection)
    assert np.flatnonzero(~ours.kept).tolist() == [3, 8]
    assert ours.reasons[3] == "peak to peak above 20 µV (worst: b)"
    assert ours.reasons[8] == "peak to peak above 20 µV (worst: c)"
    assert (ours.reasons[ours.kept] == "").all()


def test_epochs_that_reach_beyond_the_recording_are_left_out_with_a_reason() -> None:
    onsets = np.array([0.0, 0.1, 0.2, 19.4, 19.495, 19.5, 25.0, -3.0])
    ours = preprocess_run(noise(), SFREQ, onsets, Preprocessing(tmin=-0.2, tmax=0.5))
    assert ours.kept.tolist() == [False, False, True, True, True, False, False, False]
    assert ours.reasons[[0, 1, 7]].tolist() == ["the epoch begins before the recording"] * 3
    assert ours.reasons[[5, 6]].tolist() == ["the epoch ends after the recording"] * 2


def test_the_onset_lies_where_tmin_says() -> None:
    data = np.zeros((1, 2000))
    data[0, round(5.0 * SFREQ)] = 1.0
    ours = preprocess_run(data, SFREQ, [5.0], Preprocessing(tmin=-0.1, tmax=0.2))
    assert ours.epochs[0, 0].argmax() == round(0.1 * SFREQ)
    resampled = preprocess_run(data, SFREQ, [5.0], Preprocessing(-0.1, 0.2, resample=100.0))
    assert resampled.sfreq == 100.0
    assert resampled.epochs[0, 0].argmax() == round(0.1 * 100)


def test_no_onsets_give_no_epochs() -> None:
    ours = preprocess_run(noise(), SFREQ, [], Preprocessing(-0.1, 0.2, reject=5.0))
    assert ours.epochs.shape == (0, 3, 61)


def test_meg_defaults_give_the_181_samples_of_the_paper() -> None:
    data = np.random.default_rng(1).normal(size=(2, 12_000))
    ours = preprocess_run(data, 1200.0, [2.0, 5.0], MEG_DEFAULTS)
    assert ours.epochs.shape == (2, 2, 181)
    assert ours.sfreq == 120.0
    np.testing.assert_allclose(ours.epochs[:, :, :61].mean(axis=2), 0, atol=1e-5)


def test_what_lies_beyond_the_reach_does_not_touch_an_epoch() -> None:
    settings = Preprocessing(0.0, 0.5, l_freq=1.0, h_freq=30.0, resample=80.0)
    reach = settings.reach(SFREQ)
    one = noise(30.0)
    other = one.copy()
    other[:, int(20.0 * SFREQ) :] += 5.0
    onsets = [20.0 - reach - 0.5 - 1 / SFREQ, 19.4]
    first = preprocess_run(one, SFREQ, onsets, settings).epochs
    second = preprocess_run(other, SFREQ, onsets, settings).epochs
    np.testing.assert_allclose(first[0], second[0], atol=1e-5)
    assert not np.allclose(first[1], second[1], atol=1e-2)


def test_cutting_beyond_the_recording_is_refused() -> None:
    with pytest.raises(NeuroalignError, match=r"1 epoch.s. reach beyond"):
        cut_epochs(np.zeros((1, 100)), np.array([50, 95]), Window(-5, 10))


@pytest.mark.parametrize("baseline", [(-0.5, 0.0), (0.0, 0.7), (0.2, 0.1)])
def test_a_baseline_outside_the_epoch_is_refused(baseline: tuple[float, float]) -> None:
    epochs = np.zeros((2, 1, 81), np.float32)
    with pytest.raises(NeuroalignError, match="does not lie inside the epoch"):
        subtract_baseline(epochs, SFREQ, -0.1, baseline)


def test_onsets_go_to_the_nearest_sample() -> None:
    assert onset_samples([0.0, 0.0124, 0.0126], 200.0).tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reject": 0.0}, "rejection level must be a positive number"),
        ({"resample": -1.0}, "`resample` must be a positive"),
        ({"resample": 60.0, "h_freq": 40.0}, "40 Hz cannot be kept at 60 samples"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(NeuroalignError, match=message):
        Preprocessing(-0.1, 0.5, **settings)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(NeuroalignError, match=r"0\.5 to 0\.1 s is empty"):
        preprocess_run(noise(), SFREQ, [5.0], Preprocessing(0.5, 0.1))


def test_every_step_is_recorded_with_its_numbers_and_versions() -> None:
    settings = Preprocessing(
        -0.1, 0.5, l_freq=1.0, h_freq=30.0, notch=(50.0,), resample=100.0,
        baseline=(None, 0.0), reject=90.0,
    )  # fmt: skip
    recorded = {s.name: s for s in settings.steps("µV")}
    assert list(recorded) == ["notch", "band-pass", "resample", "epochs", "baseline", "reject"]
    assert recorded["band-pass"].parameters["l_freq"] == 1.0
    assert recorded["band-pass"].versions == {"mne": mne.__version__}
    assert recorded["reject"].parameters == {"peak_to_peak": 90.0, "unit": "µV"}
    assert all(step.fitted_on is None for step in recorded.values())
    assert [s.name for s in EEG_DEFAULTS.steps("µV")] == ["band-pass", "epochs", "reject"]
