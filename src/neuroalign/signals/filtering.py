"""Filters and resampling of continuous signals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mne
import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError

Array = npt.NDArray[np.float64]


def filter_signals(
    signals: npt.ArrayLike,
    sfreq: float,
    *,
    l_freq: float | None = None,
    h_freq: float | None = None,
    notch: Sequence[float] = (),
) -> Array:
    """Remove mains hum and keep one band of frequencies, without shifting anything in time.

    MNE's zero-phase FIR filters with their default transition bands.

    Parameters
    ----------
    signals : array of shape (channels, samples)
    sfreq : float
        Samples per second.
    l_freq, h_freq : float, optional
        Edges of the pass band in Hz; None leaves that side open.
    notch : sequence of float
        Frequencies to take out, in Hz.

    Returns
    -------
    ndarray of shape (channels, samples), float64

    Raises
    ------
    NeuroalignError
        The band is empty, or a frequency lies at or above sfreq / 2.
    """
    data = np.array(signals, np.float64)
    _check_band(sfreq, l_freq, h_freq, notch)
    if len(notch):
        data = mne.filter.notch_filter(data, sfreq, np.asarray(notch, float), verbose="error")
    if l_freq is not None or h_freq is not None:
        data = mne.filter.filter_data(data, sfreq, l_freq, h_freq, verbose="error")
    return data


def filter_reach(
    sfreq: float,
    *,
    l_freq: float | None = None,
    h_freq: float | None = None,
    notch: Sequence[float] = (),
) -> float:
    """Return how far, in seconds, one sample can influence others through `filter_signals`.

    Two stretches of a recording that lie further apart than twice this share nothing through the
    filters. Measured by filtering a single impulse. Parameters as in `filter_signals`.
    """
    if l_freq is None and h_freq is None and not len(notch):
        return 0.0
    half = int(sfreq * max(20.0, 8.0 / l_freq if l_freq else 0.0))
    impulse = np.zeros((1, 2 * half + 1))
    impulse[0, half] = 1.0
    response = filter_signals(impulse, sfreq, l_freq=l_freq, h_freq=h_freq, notch=notch)[0]
    touched = np.flatnonzero(np.abs(response) > 1e-9)
    return float(np.abs(touched - half).max() / sfreq) if touched.size else 0.0


def resample_signals(signals: npt.ArrayLike, sfreq: float, new_sfreq: float) -> Array:
    """Change the sampling rate, with a zero-phase anti-aliasing filter (polyphase).

    Parameters
    ----------
    signals : array of shape (channels, samples)
    sfreq, new_sfreq : float
        Samples per second before and after.

    Returns
    -------
    ndarray of shape (channels, round(samples * new_sfreq / sfreq)), float64
    """
    data: Array = np.asarray(signals, np.float64)
    if new_sfreq == sfreq:
        return data
    resampled: Array = mne.filter.resample(
        data, up=new_sfreq, down=sfreq, method="polyphase", verbose="error"
    )
    return resampled


def _check_band(
    sfreq: float, l_freq: float | None, h_freq: float | None, notch: Sequence[float]
) -> None:
    nyquist = sfreq / 2
    named: dict[str, Any] = {"l_freq": l_freq, "h_freq": h_freq}
    named.update({f"notch {f:g}": f for f in notch})
    for name, value in named.items():
        if value is not None and not 0 < value < nyquist:
            raise NeuroalignError(
                f"`{name}` is {value:g} Hz, but at {sfreq:g} samples per second a filter can only "
                f"work between 0 and {nyquist:g} Hz. Choose a lower frequency, or leave this "
                "filter out."
            )
    if l_freq is not None and h_freq is not None and l_freq >= h_freq:
        raise NeuroalignError(
            f"The band from {l_freq:g} to {h_freq:g} Hz is empty: `l_freq` must lie below `h_freq`."
        )
