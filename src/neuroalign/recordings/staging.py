"""Runs that were read and wait: split them, leave out people, standardise, write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.readers.contract import StagedPart
from neuroalign.recordings.schema import Dropped, RecordingsInfo
from neuroalign.recordings.splits import Run, TestRule, choose_test_runs, hold_out_end
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.signals import steps
from neuroalign.signals.eeg import spectrogram
from neuroalign.signals.scaling import fit_scaling

Features = Literal["epochs", "spectrogram"]
SingleRun = Literal["split", "train", "drop"]
_BLOCK, _BLOCK_BYTES = 256, 2**26


@dataclass(frozen=True)
class StagedRun:
    """A run that was read, with the trials that are left of it."""

    run: Run
    part: StagedPart

    @property
    def trials(self) -> pd.DataFrame:
        """The trials that are left."""
        return self.part.trials

    def with_trials(self, trials: pd.DataFrame) -> StagedRun:
        """Return the run with other trials, or other columns of them."""
        return replace(self, part=replace(self.part, trials=trials))


@dataclass(frozen=True)
class SplitRules:
    """How trials become training and test, and which people have enough of them.

    Attributes
    ----------
    test_runs : "last", share, names or None
        See `neuroalign.recordings.splits.choose_test_runs`; "column" keeps a `split` that is
        already in the table.
    single_run : {"split", "train", "drop"}
        What happens to a person with one usable run: hold out its last third in time ("split"),
        use all of it for training, or leave the person out.
    gap_s : float
        With "split": training trials that begin less than this before the first test trial are
        left out.
    min_trials : int
        People with fewer usable trials are left out.
    """

    test_runs: TestRule = "last"
    single_run: SingleRun = "split"
    gap_s: float = 5.0
    min_trials: int = 50


def assign_splits(
    staged: Sequence[StagedRun], rules: SplitRules
) -> tuple[list[StagedRun], list[Dropped]]:
    """Fill in `split` and `held_out`; leave out people who cannot be used, and say why.

    `held_out` says what kind of test a trial is: "run" (a whole run was held out) or "part of a
    run" (the end of a person's only run); it is missing for training trials.

    Returns
    -------
    kept : list of StagedRun
    dropped : list of Dropped
    """
    people = _people(staged)
    dropped: list[Dropped] = []
    for subject, own in list(people.items()):
        count = sum(len(s.trials) for s in own)
        if count < rules.min_trials:
            reason = f"the person has {count} usable trial(s), fewer than {rules.min_trials}"
            dropped.append(Dropped(where=subject, trials=count, reason=reason))
            del people[subject]
        elif len(own) == 1 and rules.single_run == "drop" and rules.test_runs != "column":
            reason = "the person has a single usable run, and none of it may be held out"
            dropped.append(Dropped(where=subject, trials=count, reason=reason))
            del people[subject]
    usable = [s for own in people.values() for s in own]
    if rules.test_runs == "column":
        return _keep_column(usable), dropped
    test = choose_test_runs([s.run for s in usable], rules.test_runs)
    kept = []
    for item in usable:
        if len(people[item.run.subject]) == 1 and rules.single_run == "split" and rules.test_runs:
            trials, gap = _split_in_time(item.trials, rules.gap_s)
            if gap:
                reason = f"within {rules.gap_s:.1f} s before the test part of the only run"
                dropped.append(Dropped(where=item.run.name, trials=gap, reason=reason))
        else:
            held = item.run in test
            mark = pd.Series("run" if held else pd.NA, index=item.trials.index, dtype="string")
            trials = item.trials.assign(split="test" if held else "train", held_out=mark)
        kept.append(item.with_trials(trials))
    return kept, dropped


def drop_untrainable(
    staged: Sequence[StagedRun], classes: Sequence[str]
) -> tuple[list[StagedRun], list[Dropped]]:
    """Leave out people without training trials, or without any of a class that is a target."""
    kept: list[StagedRun] = []
    dropped: list[Dropped] = []
    for subject, own in _people(staged).items():
        table = pd.concat([s.trials for s in own])
        train = table[table["split"] == "train"]
        aimed_at_class = table["stimulus"].isna().all()
        absent = sorted(set(classes) - set(train["label"].dropna())) if aimed_at_class else []
        reason = ""
        if len(train) == 0:
            reason = "the person has no training trials"
        elif absent:
            reason = f"the person has no training trial of the class(es) {', '.join(absent)}"
        if reason:
            dropped.append(Dropped(where=subject, trials=len(table), reason=reason))
        else:
            kept += own
    return kept, dropped


def describe(
    info: RecordingsInfo, features: Features, feature_shape: Sequence[int], rate: float
) -> RecordingsInfo:
    """Add what happens when people are written: standardising, spectrograms.

    Parameters
    ----------
    info : RecordingsInfo
        Everything known so far.
    features : {"epochs", "spectrogram"}
    feature_shape : (channels, samples)
    rate : float
        Samples per second of the epochs.
    """
    done = list(info.steps)
    done.append(
        steps.record("standardise", fitted_on="training trials of each person, per channel")
    )
    changes: dict[str, object] = {"units": "standard deviations"}
    if features == "spectrogram":
        example = spectrogram(np.zeros((1, 1, feature_shape[1])), rate)
        done.append(
            steps.record("short-time Fourier magnitude", by=("scipy",), window_s=0.04, overlap=0.5)
        )
        changes |= {
            "axes": ("channels", "frequencies", "frames"),
            "frequencies": tuple(example.frequencies.tolist()),
            "sfreq": example.frame_rate,
        }
    return info.model_copy(update=changes | {"steps": tuple(done)})


def write_person(
    subject: str,
    parts: Sequence[StagedPart],
    channels: Sequence[str],
    writer: RecordingsWriter,
    *,
    features: Features,
    rate: float,
) -> None:
    """Standardise one person's channels with the training trials, and write all trials.

    Parameters
    ----------
    subject : str
    parts : sequence of StagedPart
        With `split` filled in; their facts name their `channels`.
    channels : sequence of str
        Those that are written, in this order.
    writer : RecordingsWriter
    features : {"epochs", "spectrogram"}
    rate : float
        Samples per second of the epochs.

    Raises
    ------
    NeuroalignError
        A channel is constant over the person's training trials.
    """
    training = (
        epochs[(table["split"] == "train").to_numpy()]
        for part in parts
        for epochs, table in _blocks(part, channels)
    )
    try:
        scaling = fit_scaling(training)
    except NeuroalignError as error:
        raise NeuroalignError(
            f"subject {subject} (channels {', '.join(channels[:8])}): {error}"
        ) from error
    for part in parts:
        for epochs, table in _blocks(part, channels):
            signals = scaling.apply(epochs)
            if features == "spectrogram":
                signals = spectrogram(signals, rate).magnitude
            writer.append(subject, signals, table.drop(columns="staged_row"))


def _blocks(
    part: StagedPart, channels: Sequence[str]
) -> Iterator[tuple[npt.NDArray[np.float32], pd.DataFrame]]:
    names = [c["name"] for c in part.facts["channels"]]
    order = [names.index(c) for c in channels]
    size = max(1, min(_BLOCK, _BLOCK_BYTES // (4 * int(np.prod(part.feature_shape)))))
    for signals, table in part.blocks(size):
        yield signals if order == list(range(len(names))) else signals[:, order], table


def _split_in_time(trials: pd.DataFrame, gap_s: float) -> tuple[pd.DataFrame, int]:
    parts = hold_out_end(trials["onset_s"].to_numpy(np.float64), gap_s)
    held = pd.Series(pd.NA, index=trials.index, dtype="string")
    held[parts == "test"] = "part of a run"
    table = trials.assign(split=parts, held_out=held)
    return table[parts != "gap"], int((parts == "gap").sum())


def _keep_column(staged: Sequence[StagedRun]) -> list[StagedRun]:
    kept = []
    for item in staged:
        held = pd.Series(pd.NA, index=item.trials.index, dtype="string")
        held[item.trials["split"] == "test"] = "as given"
        kept.append(item.with_trials(item.trials.assign(held_out=held)))
    return kept


def _people(staged: Sequence[StagedRun]) -> dict[str, list[StagedRun]]:
    people: dict[str, list[StagedRun]] = {}
    for item in staged:
        people.setdefault(item.run.subject, []).append(item)
    return people
