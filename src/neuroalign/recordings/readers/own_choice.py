"""Which of somebody's own volumes and voxels are used, and why others are not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.contract import Part
from neuroalign.recordings.readers.own_files import ArraysOptions
from neuroalign.recordings.schema import Dropped
from neuroalign.recordings.volumes import VoxelWatch


def check_split(options: ArraysOptions, table: pd.DataFrame) -> list[Finding]:
    """Each volume that may become a trial must be for training or for testing."""
    trials = ~table["label"].isin(options.drop_labels)
    trials &= table["label"].notna() | table["stimulus"].notna()
    wrong = trials & ~table["split"].isin(["train", "test"]).fillna(False).astype(bool)
    if not wrong.any():
        return []
    row = int(wrong.to_numpy().argmax())
    what = (
        f"{options.trials}: `{options.split_column}` of {int(wrong.sum())} volume(s) must be "
        f"'train' or 'test' (first: row {row}, {table['split'].iloc[row]!s})"
    )
    return [Finding(str(options.split_column), what, "fatal", int(wrong.sum()))]


def usable_voxels(watch: VoxelWatch, subject: str) -> tuple[npt.NDArray[np.bool_], list[Dropped]]:
    """Return which voxels can be used, shape (voxels,), and how many cannot for which reason.

    Raises
    ------
    NeuroalignError
        None can be used.
    """
    usable = watch.usable
    if not usable.any():
        raise NeuroalignError(
            f"subject {subject}: none of the {len(usable)} voxels can be used "
            f"({int(watch.lost.sum())} hold NaN or infinite values, {int(watch.still.sum())} never "
            "change in some run)."
        )
    return usable, [
        Dropped(where=f"{subject}, {count} of {len(usable)} voxels", trials=0, reason=why)
        for count, why in watch.reasons("never changes in some run")
    ]


def choose_volumes(
    trials: pd.DataFrame, source: npt.NDArray[np.int64], subject: str, options: ArraysOptions
) -> tuple[pd.DataFrame, list[Dropped]]:
    """Leave out the volumes that are no trials, and say why.

    Parameters
    ----------
    trials : pandas.DataFrame
        A row for each of the person's volumes.
    source : int array of shape (volumes,)
        Where the response to each is recorded; negative where it is not.
    subject : str
    options : ArraysOptions

    Raises
    ------
    NeuroalignError
        Nothing is left to train on.
    """
    label, classes = trials["label"], options.classes
    checks = (
        (label.isin(options.drop_labels), f"not a trial: {', '.join(options.drop_labels)}"),
        (label.isna() & trials["stimulus"].isna(), "volume(s) with neither class nor picture"),
        (
            ~label.isin(classes) if classes is not None else pd.Series(False, label.index),
            f"not of the classes {', '.join(classes or ())}",
        ),
        (pd.Series(source < 0, label.index), f"no volume {options.lag} later in the run"),
    )
    keep = np.ones(len(trials), bool)
    dropped = []
    for mask, reason in checks:
        here = mask.to_numpy(bool) & keep
        if here.any():
            dropped.append(Dropped(where=subject, trials=int(here.sum()), reason=reason))
        keep &= ~here
    kept = trials[keep]
    if not (kept["split"] == "train").any():
        raise NeuroalignError(
            f"subject {subject} has no training volumes left ({len(kept)} for testing). Check the "
            "test runs, `classes` and `drop_labels`, or leave this person out of the table."
        )
    return kept, dropped


def odd_volumes(part: Part, dropped: Sequence[Dropped], level: int) -> tuple[Finding, ...]:
    """Warn of voxels that are left out, and of volumes in which nothing can have been measured."""
    found = [Finding(part.name, f"{d.where}: {d.reason}", "warning", 1) for d in dropped]
    if level:
        what = f"{level} volume(s) have the same value in all voxels, as when a scan is filled up"
        found.append(Finding(part.name, what, "warning", level))
    return tuple(found)
