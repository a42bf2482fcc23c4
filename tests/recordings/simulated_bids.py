"""Simulated recordings with planted responses, written as BIDS."""

from __future__ import annotations

import warnings
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest

SFREQ = 100.0
CHANNELS = ["Fz", "Cz", "Pz", "Oz"]
SECONDS = 45.0
#: A face raises Oz by this many microvolts from 0.1 to 0.3 s; a house lowers it.
RESPONSE_UV = 40.0


def planted(seed: int, n_trials: int = 50, scale: float = 1.0) -> tuple[np.ndarray, pd.DataFrame]:
    """Return signals in volts and their events."""
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(4, int(SECONDS * SFREQ))) * 5e-6
    onsets = 2.0 + 0.8 * np.arange(n_trials)
    labels = rng.permutation(np.where(np.arange(n_trials) % 2, "face", "house"))
    for onset, label in zip(onsets, labels, strict=True):
        span = slice(round((onset + 0.1) * SFREQ), round((onset + 0.3) * SFREQ))
        data[3, span] += (1 if label == "face" else -1) * RESPONSE_UV * 1e-6
    return data * scale, pd.DataFrame({"onset": onsets, "duration": 0.0, "trial_type": labels})


def write_run(
    root: Path, subject: str, session: str, run: str, data: np.ndarray, events: pd.DataFrame
) -> None:
    mne_bids = pytest.importorskip("mne_bids")
    pytest.importorskip("pybv")
    info = mne.create_info(CHANNELS, SFREQ, "eeg")
    info["line_freq"] = 50.0
    raw = mne.io.RawArray(data.copy(), info, verbose="error")
    path = mne_bids.BIDSPath(
        subject=subject, session=session, run=run, task="faces", datatype="eeg", root=root
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MNE-BIDS remarks on converting to BrainVision
        mne_bids.write_raw_bids(
            raw, path, allow_preload=True, format="BrainVision", overwrite=True, verbose="error"
        )
    table = path.copy().update(suffix="events", extension=".tsv").fpath
    events.to_csv(table, sep="\t", index=False, na_rep="n/a")
