"""The spectrogram is SciPy's, in the shapes of the paper."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from neuroalign.errors import NeuroalignError
from neuroalign.signals.eeg import spectrogram


def test_shape_of_the_paper() -> None:
    x = np.random.default_rng(0).normal(size=(2, 128, 440))
    result = spectrogram(x, 1000.0)
    assert result.magnitude.shape == (2, 128, 21, 23)
    assert result.magnitude.dtype == np.float32
    assert result.frequencies.tolist() == pytest.approx(np.arange(0, 501, 25).tolist())
    assert result.frame_rate == 50.0


@pytest.mark.parametrize(("sfreq", "samples"), [(1000.0, 440), (250.0, 176), (500.0, 351)])
def test_equals_scipy(sfreq: float, samples: int) -> None:
    x = np.random.default_rng(1).normal(size=(3, 4, samples)).astype(np.float32)
    expected = np.abs(scipy.signal.stft(x, sfreq, nperseg=int(0.04 * sfreq))[2])
    np.testing.assert_allclose(spectrogram(x, sfreq).magnitude, expected, rtol=1e-5, atol=1e-7)


def test_a_tone_lies_in_its_own_row() -> None:
    times = np.arange(1000) / 1000.0
    result = spectrogram(np.sin(2 * np.pi * 100.0 * times)[None, None], 1000.0)
    middle = result.magnitude[0, 0, :, 5:-5]
    assert (result.frequencies[middle.argmax(axis=0)] == 100.0).all()
    # A Hann window shows a tone of amplitude 1 as 0.5 in a one-sided, amplitude-scaled transform.
    np.testing.assert_allclose(middle.max(axis=0), 0.5, rtol=1e-3)


@pytest.mark.parametrize(("sfreq", "window"), [(25.0, 0.04), (100.0, 5.0)])
def test_windows_that_do_not_fit_are_refused(sfreq: float, window: float) -> None:
    with pytest.raises(NeuroalignError, match=r"A window of .* sample"):
        spectrogram(np.zeros((1, 1, 100)), sfreq, window_s=window)
