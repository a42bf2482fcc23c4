"""Epochs: pieces of a continuous recording around the onsets of pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Window:
    """The samples of an epoch relative to the onset: first to last, both included (as in MNE)."""

    first: int
    last: int

    @classmethod
    def of(cls, tmin: float, tmax: float, sfreq: float) -> Window:
        """Return the window from `tmin` to `tmax` seconds, rounded to whole samples."""
        if not tmin < tmax:
            raise NeuroalignError(
                f"An epoch from {tmin:g} to {tmax:g} s is empty: `tmin` must lie before `tmax`."
            )
        return cls(round(tmin * sfreq), round(tmax * sfreq))

    def __len__(self) -> int:
        return self.last - self.first + 1


def onset_samples(onsets_s: npt.ArrayLike, sfreq: float) -> npt.NDArray[np.int64]:
    """Return the sample nearest to each onset (seconds from the first sample)."""
    return np.rint(np.asarray(onsets_s, np.float64) * sfreq).astype(np.int64)


def inside(onsets: npt.NDArray[np.int64], window: Window, n_samples: int) -> tuple[Mask, Mask]:
    """Say which epochs begin after the recording's start, and which end before its end.

    Parameters
    ----------
    onsets : int array of shape (n_onsets,)
        Onset samples.
    window : Window
    n_samples : int
        Of the recording.

    Returns
    -------
    starts_inside, ends_inside : bool arrays of shape (n_onsets,)
    """
    return onsets + window.first >= 0, onsets + window.last < n_samples


def cut_epochs(signals: npt.ArrayLike, onsets: npt.NDArray[np.int64], window: Window) -> Floats:
    """Cut epochs out of a continuous recording.

    Parameters
    ----------
    signals : array of shape (channels, samples)
    onsets : int array of shape (n_trials,)
        Onset samples; each epoch must lie wholly inside (see `inside`).
    window : Window

    Returns
    -------
    ndarray of shape (n_trials, channels, len(window)), float32

    Raises
    ------
    NeuroalignError
        An epoch reaches beyond the recording.
    """
    data = np.asarray(signals)
    starts, ends = inside(onsets, window, data.shape[1])
    if not (starts & ends).all():
        raise NeuroalignError(
            f"{int((~(starts & ends)).sum())} epoch(s) reach beyond the {data.shape[1]} samples "
            "recorded. Leave these trials out first."
        )
    samples = onsets[:, None] + np.arange(window.first, window.last + 1)
    epochs: Floats = np.ascontiguousarray(data[:, samples].transpose(1, 0, 2), np.float32)
    return epochs


def subtract_baseline(
    epochs: Floats, sfreq: float, tmin: float, baseline: tuple[float | None, float | None]
) -> Floats:
    """Subtract, per trial and channel, the mean over the baseline (both ends included).

    Parameters
    ----------
    epochs : array of shape (n_trials, channels, samples)
    sfreq : float
        Samples per second.
    tmin : float
        Time of the first sample in seconds relative to the onset.
    baseline : (start, end)
        In seconds relative to the onset; None is the epoch's first or last sample.

    Raises
    ------
    NeuroalignError
        No sample of the epoch lies inside the baseline.
    """
    first = round(tmin * sfreq)
    start = 0 if baseline[0] is None else round(baseline[0] * sfreq) - first
    end = epochs.shape[2] - 1 if baseline[1] is None else round(baseline[1] * sfreq) - first
    if not 0 <= start <= end < epochs.shape[2]:
        last = (first + epochs.shape[2] - 1) / sfreq
        raise NeuroalignError(
            f"The baseline {baseline[0]} to {baseline[1]} s does not lie inside the epoch, which "
            f"runs from {first / sfreq:g} to {last:g} s. Start the epoch earlier (`tmin`), or "
            "choose another baseline or none."
        )
    mean = epochs[:, :, start : end + 1].mean(axis=2, keepdims=True, dtype=np.float64)
    corrected: Floats = (epochs - mean).astype(np.float32)
    return corrected


def peak_to_peak(epochs: Floats) -> Floats:
    """Return the range of each trial and channel, in the epochs' unit: (n_trials, channels)."""
    ranges: Floats = np.ptp(epochs, axis=2)
    return ranges
