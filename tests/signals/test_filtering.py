"""Filters keep the band they promise, in place, and say how far they reach."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from neuroalign.errors import NeuroalignError
from neuroalign.signals.filtering import filter_reach, filter_signals, resample_signals

SFREQ = 250.0
TIMES = np.arange(int(30 * SFREQ)) / SFREQ
MIDDLE = slice(int(5 * SFREQ), int(25 * SFREQ))


def tone(frequency: float) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * TIMES)[None]


def level(signal: np.ndarray) -> float:
    return float(np.std(signal[:, MIDDLE]) * np.sqrt(2))


@pytest.mark.parametrize(
    ("frequency", "kept"), [(0.1, 0.0), (2.0, 1.0), (10.0, 1.0), (25.0, 1.0), (60.0, 0.0)]
)
def test_the_band_is_kept_and_the_rest_is_not(frequency: float, kept: float) -> None:
    filtered = filter_signals(tone(frequency), SFREQ, l_freq=1.0, h_freq=30.0)
    assert level(filtered) == pytest.approx(kept, abs=0.02)


def test_a_tone_in_the_band_does_not_shift() -> None:
    filtered = filter_signals(tone(10.0), SFREQ, l_freq=1.0, h_freq=30.0)
    np.testing.assert_allclose(filtered[:, MIDDLE], tone(10.0)[:, MIDDLE], atol=0.02)


def test_a_notch_takes_out_the_mains_and_leaves_its_neighbours() -> None:
    assert level(filter_signals(tone(50.0), SFREQ, notch=[50.0])) < 0.02
    assert level(filter_signals(tone(45.0), SFREQ, notch=[50.0])) == pytest.approx(1.0, abs=0.02)


def test_no_filter_leaves_the_signals_alone() -> None:
    np.testing.assert_array_equal(filter_signals(tone(3.0), SFREQ), tone(3.0))


@pytest.mark.parametrize(
    "settings",
    [{"l_freq": 0.5, "h_freq": 40.0}, {"h_freq": 20.0}, {"l_freq": 1.0, "notch": (50.0,)}],
)
def test_what_lies_beyond_the_reach_does_not_touch(settings: dict[str, object]) -> None:
    reach = filter_reach(SFREQ, **settings)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    one = rng.normal(size=(1, len(TIMES)))
    other = one.copy()
    cut = 15.0
    other[:, cut < TIMES] = rng.normal(size=int((cut < TIMES).sum()))
    first = filter_signals(one, SFREQ, **settings)  # type: ignore[arg-type]
    second = filter_signals(other, SFREQ, **settings)  # type: ignore[arg-type]
    before = cut - reach >= TIMES
    np.testing.assert_allclose(first[:, before], second[:, before], atol=1e-6)
    assert not np.allclose(first[:, ~before], second[:, ~before], atol=1e-6)
    assert 0 < reach < 8


def test_nothing_reaches_without_filters() -> None:
    assert filter_reach(SFREQ) == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"h_freq": 125.0}, "`h_freq` is 125 Hz.*between 0 and 125 Hz"),
        ({"l_freq": -1.0}, "`l_freq` is -1 Hz"),
        ({"notch": [150.0]}, "notch 150"),
        ({"l_freq": 40.0, "h_freq": 30.0}, "40 to 30 Hz is empty"),
    ],
)
def test_impossible_filters_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(NeuroalignError, match=message):
        filter_signals(tone(1.0), SFREQ, **settings)  # type: ignore[arg-type]


def test_resampling_equals_scipy_and_keeps_tones_in_place() -> None:
    at_120 = resample_signals(tone(10.0), 250.0, 120.0)
    expected = scipy.signal.resample_poly(tone(10.0), 12, 25, axis=1, padtype="constant")
    assert at_120.shape == (1, 3600)
    times = np.arange(3600) / 120.0
    middle = (times > 2) & (times < 28)
    np.testing.assert_allclose(at_120[:, middle], expected[:, middle], atol=0.01)
    np.testing.assert_allclose(
        at_120[0, middle], np.sin(2 * np.pi * 10.0 * times[middle]), atol=0.01
    )


def test_resampling_removes_what_the_new_rate_cannot_hold() -> None:
    assert np.std(resample_signals(tone(90.0), 250.0, 120.0)[:, 500:3000]) < 0.02


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    np.testing.assert_array_equal(resample_signals(tone(3.0), 250.0, 250.0), tone(3.0))
