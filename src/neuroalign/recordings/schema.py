"""What a recordings folder says about itself: recordings.json and the trial table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from neuroalign.errors import NeuroalignError

SCHEMA_VERSION = 1
Modality = Literal["eeg", "meg", "fmri"]

#: The columns that every trial table has; others may stand beside them.
TRIAL_COLUMNS = (
    "subject",
    "stimulus",
    "label",
    "split",
    "session",
    "run",
    "repetition",
    "onset_s",
    "array_row",
)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Channel(_Model):
    """One sensor: its name, MNE type (`eeg`, `mag`, ...) and position in metres (head frame)."""

    name: str
    type: str
    position: tuple[float, float, float] | None = None


class Volume(_Model):
    """Where the voxels of an fMRI person lie: C-order flat indices into a volume."""

    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...] | None = None
    index_file: str


class Step(_Model):
    """A preprocessing step, with the trials whose statistics it used (None: no statistics)."""

    name: str
    parameters: dict[str, Any] = {}
    versions: dict[str, str] = {}
    fitted_on: str | None = None


class Dropped(_Model):
    """Something that was left out, and why. Nothing is dropped in silence."""

    where: str
    trials: int
    reason: str


class SubjectInfo(_Model):
    """What the signal file of one person must hold."""

    trials: int
    shape: tuple[int, ...]
    dtype: str
    sha256: str
    volume: Volume | None = None


class RecordingsInfo(_Model):
    """The content of recordings.json.

    `axes` names the feature axes: ("channels", "samples"), ("channels", "frequencies",
    "frames") or ("voxels",). `tmin` is the time of the first sample in seconds relative to the
    picture's onset; `sfreq` is in Hz (of frames, for spectrograms). `dataset` is the name of the
    reader that they came through (`neuroalign datasets`).
    """

    schema_version: int = SCHEMA_VERSION
    modality: Modality
    axes: tuple[str, ...]
    units: str
    simulated: bool = False
    sfreq: float | None = None
    tmin: float | None = None
    channels: tuple[Channel, ...] = ()
    frequencies: tuple[float, ...] = ()
    subjects: dict[str, SubjectInfo] = {}
    steps: tuple[Step, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    source: str = ""
    licence: str = ""
    dataset: str = ""


def validate_trials(trials: pd.DataFrame, n_trials: Mapping[str, int], where: str) -> None:
    """Check a trial table against the number of signal rows of each person.

    Raises
    ------
    NeuroalignError
        A column is missing, a person has no signals, a row is out of range or stands twice,
        a split has another name than train or test, or a trial has neither picture nor class.
    """
    missing = [c for c in TRIAL_COLUMNS if c not in trials]
    if missing:
        raise NeuroalignError(f"{where}: the trial table lacks the column(s) {missing}.")
    strangers = sorted(set(trials["subject"]) - set(n_trials))
    if strangers:
        raise NeuroalignError(f"{where}: no signals for the subject(s) {strangers}.")
    for subject, count in n_trials.items():
        rows = trials.loc[trials["subject"] == subject, "array_row"]
        if len(rows) != count:
            raise NeuroalignError(
                f"{where}: subject {subject} has {count} recorded trials but {len(rows)} rows in "
                "the trial table; each trial needs exactly one."
            )
        if sorted(rows) != list(range(count)):
            twice = sorted(map(int, rows[rows.duplicated()].unique()))[:5]
            raise NeuroalignError(
                f"{where}: `array_row` of subject {subject} must hold each of 0..{count - 1} once; "
                f"{'duplicates: ' + str(twice) if twice else 'some lie outside'}."
            )
    unknown = sorted(set(trials["split"].dropna()) - {"train", "test"})
    if unknown or trials["split"].isna().any():
        raise NeuroalignError(
            f"{where}: `split` must be 'train' or 'test', got {unknown or 'missing values'}. "
            "Validation pictures are split off the training data later."
        )
    aimless = trials["stimulus"].isna() & trials["label"].isna()
    if aimless.any():
        raise NeuroalignError(
            f"{where}: {int(aimless.sum())} trial(s) have neither a stimulus nor a label, so "
            f"nothing can be learnt from them (first: row {int(np.flatnonzero(aimless)[0])})."
        )
