"""From one continuous recording to its epochs, with a reason for each trial left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.container import Step
from neuroalign.signals import steps
from neuroalign.signals.epochs import (
    Floats,
    Mask,
    Window,
    cut_epochs,
    inside,
    onset_samples,
    peak_to_peak,
    subtract_baseline,
)
from neuroalign.signals.filtering import filter_reach, filter_signals, resample_signals


@dataclass(frozen=True)
class Preprocessing:
    """How continuous EEG or MEG becomes epochs.

    Attributes
    ----------
    tmin, tmax : float
        The epoch in seconds relative to the onset, both ends included.
    l_freq, h_freq : float or None
        The pass band in Hz; None leaves that side open.
    notch : tuple of float
        Frequencies in Hz to take out (the mains and its harmonics).
    resample : float or None
        The new sampling rate in Hz; None keeps the recorded one.
    baseline : (start, end) or None
        Seconds relative to the onset whose mean is subtracted per trial and channel; None inside
        the pair means the epoch's first or last sample; None instead of the pair: no baseline.
    reject : float or None
        Trials with a larger range (peak to peak) on any channel are left out; in the unit of the
        epochs (microvolts for EEG, femtotesla for MEG magnetometers). None keeps all.
    """

    tmin: float
    tmax: float
    l_freq: float | None = None
    h_freq: float | None = None
    notch: tuple[float, ...] = ()
    resample: float | None = None
    baseline: tuple[float | None, float | None] | None = None
    reject: float | None = None

    def __post_init__(self) -> None:
        if self.reject is not None and not self.reject > 0:
            raise NeuroalignError(
                f"The rejection level must be a positive number, got {self.reject:g}."
            )
        if self.resample is not None and not self.resample > 0:
            raise NeuroalignError(
                f"`resample` must be a positive number of Hz, got {self.resample:g}."
            )
        if self.resample and self.h_freq and self.h_freq >= self.resample / 2:
            raise NeuroalignError(
                f"`h_freq` {self.h_freq:g} Hz cannot be kept at {self.resample:g} samples per "
                f"second (at most {self.resample / 2:g} Hz). Lower `h_freq` or raise `resample`."
            )

    def reach(self, sfreq: float) -> float:
        """Return how many seconds one sample can spread through the filters."""
        reach = filter_reach(sfreq, l_freq=self.l_freq, h_freq=self.h_freq, notch=self.notch)
        # SciPy's polyphase filter spans 10 samples of the slower rate on either side.
        return reach + (10 / min(self.resample, sfreq) if self.resample else 0.0)

    def rate(self, sfreq: float) -> float:
        """Return the sampling rate of the epochs of a recording at `sfreq`."""
        return self.resample or sfreq

    def steps(self, unit: str) -> tuple[Step, ...]:
        """Return the record of these steps, in order."""
        done: list[Step] = []
        if self.notch:
            done.append(steps.record("notch", by=("mne",), frequencies=list(self.notch)))
        if self.l_freq is not None or self.h_freq is not None:
            done.append(
                steps.record(
                    "band-pass",
                    by=("mne",),
                    method="zero-phase FIR",
                    l_freq=self.l_freq,
                    h_freq=self.h_freq,
                )
            )
        if self.resample is not None:
            done.append(steps.record("resample", by=("mne", "scipy"), sfreq=self.resample))
        done.append(steps.record("epochs", tmin=self.tmin, tmax=self.tmax))
        if self.baseline is not None:
            done.append(steps.record("baseline", interval_s=list(self.baseline)))
        if self.reject is not None:
            done.append(steps.record("reject", peak_to_peak=self.reject, unit=unit))
        return tuple(done)


@dataclass(frozen=True)
class RunEpochs:
    """The epochs of one recording.

    Attributes
    ----------
    epochs : array of shape (n_kept, channels, samples), float32
    kept : bool array of shape (n_onsets,)
        The onsets that `epochs` belong to.
    reasons : array of shape (n_onsets,), object (str)
        Why an onset was left out; empty where it was kept.
    sfreq : float
        Samples per second of the epochs.
    """

    epochs: Floats
    kept: Mask
    reasons: npt.NDArray[np.object_]
    sfreq: float


def preprocess_run(
    signals: npt.ArrayLike,
    sfreq: float,
    onsets_s: npt.ArrayLike,
    settings: Preprocessing,
    *,
    channel_names: tuple[str, ...] = (),
    unit: str = "µV",
) -> RunEpochs:
    """Filter, resample and cut one recording; leave out what cannot be used and say why.

    Parameters
    ----------
    signals : array of shape (channels, samples)
    sfreq : float
        Samples per second.
    onsets_s : array of shape (n_onsets,)
        Seconds from the first sample.
    settings : Preprocessing
    channel_names : tuple of str
        For the reasons.
    unit : str
        The unit of `signals`, for the reasons.

    Returns
    -------
    RunEpochs
        Trials are left out when their epoch begins before or ends after the recording, or when
        a channel's range lies above `settings.reject`.
    """
    data = filter_signals(
        signals, sfreq, l_freq=settings.l_freq, h_freq=settings.h_freq, notch=settings.notch
    )
    rate = settings.rate(sfreq)
    data = resample_signals(data, sfreq, rate)
    onsets = onset_samples(onsets_s, rate)
    window = Window.of(settings.tmin, settings.tmax, rate)
    starts, ends = inside(onsets, window, data.shape[1])
    reasons = np.full(len(onsets), "", dtype=object)
    reasons[~starts] = "the epoch begins before the recording"
    reasons[starts & ~ends] = "the epoch ends after the recording"
    kept = starts & ends
    epochs = cut_epochs(data, onsets[kept], window)
    if settings.baseline is not None:
        epochs = subtract_baseline(epochs, rate, settings.tmin, settings.baseline)
    if settings.reject is not None and len(epochs):
        ranges = peak_to_peak(epochs)
        quiet = (ranges <= settings.reject).all(axis=1)
        names = channel_names or tuple(str(i) for i in range(data.shape[0]))
        for trial, row in zip(np.flatnonzero(kept)[~quiet], ranges[~quiet], strict=True):
            reasons[trial] = (
                f"peak to peak above {settings.reject:g} {unit} (worst: {names[row.argmax()]})"
            )
        kept[np.flatnonzero(kept)[~quiet]] = False
        epochs = epochs[quiet]
    return RunEpochs(epochs, kept, reasons, rate)
