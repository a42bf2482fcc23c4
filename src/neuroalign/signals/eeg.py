"""What is particular to EEG: the paper's spectrograms, and defaults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.signal

from neuroalign.errors import NeuroalignError
from neuroalign.signals.preprocessing import Preprocessing

#: Chosen on the training runs of real single-trial EEG; see docs/datasets/n170.md.
EEG_DEFAULTS = Preprocessing(
    tmin=-0.1, tmax=0.6, l_freq=0.5, h_freq=40.0, baseline=None, reject=100.0
)


@dataclass(frozen=True)
class Spectrogram:
    """Short-time Fourier magnitudes, shape (n_trials, channels, frequencies, frames).

    `frequencies` are in Hz; `frame_rate` is in frames per second; the first frame is centred on
    the first sample of the epoch.
    """

    magnitude: npt.NDArray[np.float32]
    frequencies: npt.NDArray[np.float64]
    frame_rate: float


def spectrogram(epochs: npt.ArrayLike, sfreq: float, *, window_s: float = 0.04) -> Spectrogram:
    """Turn epochs into spectrogram "pictures", as the paper does.

    Hann windows of 40 ms that overlap by half, the ends padded with zeros (`scipy.signal.stft`).
    An epoch of 440 samples at 1000 Hz becomes 21 frequencies by 23 frames.

    Parameters
    ----------
    epochs : array of shape (n_trials, channels, samples)
    sfreq : float
        Samples per second.
    window_s : float
        Length of a window in seconds.

    Raises
    ------
    NeuroalignError
        The window is shorter than 2 samples or longer than an epoch.

    References
    ----------
    Ferrante et al. (2024), the section on EEG preprocessing.
    """
    data = np.asarray(epochs, np.float32)
    length = int(round(window_s * sfreq, 6))
    if not 2 <= length <= data.shape[2]:
        raise NeuroalignError(
            f"A window of {window_s * 1000:g} ms is {length} sample(s) at {sfreq:g} Hz; it must "
            f"be at least 2 and at most the epoch's {data.shape[2]}. Choose another window."
        )
    frequencies, _, values = scipy.signal.stft(data, sfreq, nperseg=length)
    return Spectrogram(
        np.abs(values).astype(np.float32), frequencies, sfreq / (length - length // 2)
    )
