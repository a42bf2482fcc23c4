"""Spectrogram recordings from epochs: the paper's input for EEG."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.container import Recordings
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.signals.eeg import spectrogram
from neuroalign.signals.steps import record


def write_spectrograms(
    recordings: Recordings, out: str | Path, *, window_s: float = 0.04, overwrite: bool = False
) -> Recordings:
    """Write short-time Fourier magnitudes of epochs as recordings of their own, in a stream.

    Parameters
    ----------
    recordings : Recordings
        With the axes ("channels", "samples"); trials keep their table.
    out : Path
    window_s : float
        Length of a window in seconds; 40 ms in the paper.
    overwrite : bool

    Raises
    ------
    NeuroalignError
        The recordings are no epochs.
    """
    info = recordings.info
    if info.axes != ("channels", "samples") or info.sfreq is None:
        raise NeuroalignError(
            f"{recordings.path} has the axes {info.axes}; spectrograms are made of epochs "
            "(channels x samples)."
        )
    first = spectrogram(
        np.zeros((1, *recordings.feature_shape(recordings.subjects[0]))), info.sfreq
    )
    step = record("spectrogram", by=("scipy",), window_s=window_s, of="magnitude")
    described = info.model_copy(
        update={
            "axes": ("channels", "frequencies", "frames"),
            "sfreq": first.frame_rate,
            "frequencies": tuple(first.frequencies.tolist()),
            "steps": (*info.steps, step),
            "subjects": {},
        }
    )
    with RecordingsWriter(out, described, overwrite=overwrite) as writer:
        for subject, positions, epochs in recordings.blocks(128):
            magnitude = spectrogram(epochs, info.sfreq, window_s=window_s).magnitude
            writer.append(subject, magnitude, recordings.trials.iloc[positions])
    return Recordings(out)
