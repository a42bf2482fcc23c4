"""A laboratory's own EEG in miniature, as BIDS in BrainVision files, with a planted signal."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pandas as pd

SFREQ, SECONDS = 100.0, 63.0
CHANNELS = ("Fz", "Cz", "Pz", "Oz")
PICTURES = tuple(f"{kind}s/{kind}-{i}.jpg" for kind in ("face", "house") for i in range(4))
#: What each picture does to each channel from 0.1 to 0.3 s, in microvolts.
PATTERNS_UV = np.random.default_rng(7).normal(size=(len(PICTURES), len(CHANNELS))) * 12
SCALES = {"01": 1.0, "02": 1.6}
TRIALS = 80


@dataclass(frozen=True)
class PlantedRun:
    """The signals of a run in volts, and its events."""

    subject: str
    run: str
    signals: np.ndarray
    events: pd.DataFrame


def plant(subject: str, run: str) -> PlantedRun:
    """Return noise of 4 microvolts with the person's response to each picture."""
    rng = np.random.default_rng([int(subject), int(run)])
    signals = rng.normal(size=(len(CHANNELS), int(SECONDS * SFREQ))) * 4e-6
    pictures = rng.permutation(np.arange(TRIALS) % len(PICTURES))
    samples = 100 + 75 * np.arange(TRIALS) + rng.integers(0, 20, TRIALS)
    for picture, sample in zip(pictures, samples, strict=True):
        response = PATTERNS_UV[picture][:, None] * SCALES[subject] * 1e-6
        signals[:, sample + 10 : sample + 31] += response
    names = [PICTURES[p] for p in pictures]
    events = pd.DataFrame(
        {
            "onset": samples / SFREQ,
            "duration": 0.3,
            "trial_type": [n.split("/")[0].removesuffix("s") for n in names],
            "stim_file": names,
            "value": pictures + 1,
            "sample": samples,
        }
    )
    return PlantedRun(subject, run, signals, events)


def write_own_bids(
    folder: Path, people: Sequence[str] = ("01", "02"), runs: Sequence[str] = ("01", "02")
) -> list[PlantedRun]:
    """Write the folder, and return what was planted."""
    planted = [plant(s, r) for s in people for r in runs]
    for own in planted:
        write_run(folder, own.subject, own.run, own.signals, own.events)
    description = folder / "dataset_description.json"
    mne_bids.make_dataset_description(
        path=folder, name="Own EEG (simulated)", data_license="CC0", overwrite=True, verbose="error"
    )
    assert description.is_file()
    return planted


def write_run(
    folder: Path,
    subject: str,
    run: str,
    signals: np.ndarray,
    events: pd.DataFrame,
    *,
    sfreq: float = SFREQ,
    channels: Sequence[str] = CHANNELS,
) -> None:
    """Write one run with its sidecar files, replacing what is there."""
    info = mne.create_info(list(channels), sfreq, "eeg")
    info["line_freq"] = 50.0
    raw = mne.io.RawArray(signals.copy(), info, verbose="error")
    path = mne_bids.BIDSPath(
        subject=subject, session="01", run=run, task="see", datatype="eeg", root=folder
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MNE-BIDS remarks on converting to BrainVision
        mne_bids.write_raw_bids(
            raw, path, allow_preload=True, format="BrainVision", overwrite=True, verbose="error"
        )
    table = path.copy().update(suffix="events", extension=".tsv").fpath
    events.to_csv(table, sep="\t", index=False, na_rep="n/a")


def file_of(folder: Path, subject: str, run: str, end: str) -> Path:
    """Return a file of a run by the end of its name, such as "eeg.vhdr"."""
    return folder / f"sub-{subject}/ses-01/eeg/sub-{subject}_ses-01_task-see_run-{run}_{end}"
