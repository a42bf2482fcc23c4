"""A laboratory's own MEG epochs in miniature, as MNE saves them, with a planted signal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mne
import numpy as np
import pandas as pd

SFREQ, SAMPLES, TMIN = 100.0, 41, -0.1
CHANNELS = tuple(f"MEG {i:03d}" for i in range(1, 6))
PICTURES = tuple(f"picture-{i}" for i in range(6))
#: What each picture does to each channel from 0.1 s on, in femtotesla.
PATTERNS_FT = np.random.default_rng(9).normal(size=(len(PICTURES), len(CHANNELS))) * 300
TRIALS = 36
FILES = {"ann": ("ann_1-epo.fif", "ann_2-epo.fif"), "bob": ("bob_1-epo.fif", "bob_2-epo.fif")}


@dataclass(frozen=True)
class PlantedEpochs:
    """The epochs of one file in tesla, and their metadata."""

    subject: str
    file: str
    data: np.ndarray
    metadata: pd.DataFrame


def plant(subject: str, file: str) -> PlantedEpochs:
    """Return noise of 100 fT with the response to each picture."""
    rng = np.random.default_rng(list(file.encode()))
    data = rng.normal(size=(TRIALS, len(CHANNELS), SAMPLES)) * 100e-15
    pictures = rng.permutation(np.arange(TRIALS) % len(PICTURES))
    data[:, :, 20:] += PATTERNS_FT[pictures][:, :, None] * 1e-15
    metadata = pd.DataFrame(
        {
            "stimulus": [PICTURES[p] for p in pictures],
            "label": [f"class-{p % 2}" for p in pictures],
        }
    )
    return PlantedEpochs(subject, file, data, metadata)


def write_own_epochs(folder: Path) -> list[PlantedEpochs]:
    """Write two files for each of two people, and return what was planted."""
    folder.mkdir(parents=True)
    planted = [plant(subject, f) for subject, files in FILES.items() for f in files]
    for own in planted:
        write_file(folder / own.file, own.data, own.metadata)
    return planted


def write_file(
    path: Path,
    data: np.ndarray,
    metadata: pd.DataFrame | None,
    *,
    sfreq: float = SFREQ,
    tmin: float = TMIN,
    channels: tuple[str, ...] = CHANNELS,
    bads: tuple[str, ...] = (),
    kind: str = "mag",
    split_size: str = "2GB",
    baseline: tuple[float, float] | None = None,
    fmt: str = "double",
) -> None:
    """Save epochs; `kind` is the type of their channels."""
    rng = np.random.default_rng(len(data))
    onsets = 200 * np.arange(len(data)) + rng.integers(0, 90, len(data))
    info = mne.create_info(list(channels), sfreq, kind)
    info["bads"] = list(bads)
    events = np.column_stack([onsets, np.zeros(len(data), int), np.ones(len(data), int)])
    epochs = mne.EpochsArray(
        data,
        info,
        events,
        tmin,
        {"shown": 1},
        metadata=metadata,
        baseline=baseline,
        verbose="error",
    )
    epochs.save(path, fmt=fmt, overwrite=True, split_size=split_size, verbose="error")
