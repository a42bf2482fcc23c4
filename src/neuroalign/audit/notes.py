"""What a careful reviewer would also ask: people, sizes of classes, trials that overlap in time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neuroalign.audit.findings import Finding, Skipped, some
from neuroalign.audit.material import Material
from neuroalign.evaluation.signal_blind import recorded_order

UNTRAINED_PEOPLE = "untrained-people"
UNEQUAL_CLASSES = "unequal-classes"
FEW_TEST_ITEMS = "few-test-items"
OVERLAPPING_TRIALS = "overlapping-trials"

_UNEQUAL = 1.5
_FEW = 20


def untrained_people(material: Material) -> Iterator[Finding]:
    """Find people who are tested and were never trained on."""
    for modality, trials in material.trials.items():
        tested = set(trials.loc[trials["part"] == "test", "subject"])
        strangers = sorted(tested - set(trials.loc[trials["part"] == "train", "subject"]))
        if strangers:
            yield Finding(
                UNTRAINED_PEOPLE,
                "warning",
                modality,
                f"{len(strangers)} of {len(tested)} people of the test set have no training trials",
                len(strangers),
                len(tested),
                "Each person has an alignment layer of their own: without training trials there is "
                "none.",
                "hold out runs, pictures or concepts of each person instead, or leave these people "
                "out.",
                some(strangers),
            )


def unequal_classes(material: Material) -> Iterator[Finding | Skipped]:
    """Note test classes of different sizes."""
    for modality, trials in material.trials.items():
        test = (trials["part"] == "test").to_numpy(bool)
        sizes = material.concepts(modality)[test].value_counts()
        if len(sizes) < 2:
            yield Skipped(UNEQUAL_CLASSES, modality, "fewer than two classes are known in the test")
        elif sizes.max() > _UNEQUAL * sizes.min():
            yield Finding(
                UNEQUAL_CLASSES,
                "note",
                modality,
                f"the {len(sizes)} test classes have {sizes.min()} to {sizes.max()} trials",
                int(sizes.max()),
                int(sizes.sum()),
                f"Always answering {sizes.index[0]!r} is right for {sizes.max() / sizes.sum():.1%} "
                "of the trials, whatever chance level a number of classes suggests.",
                "read the balanced accuracy.",
            )


def few_test_items(material: Material) -> Iterator[Finding]:
    """Note test sets that are too small to tell much."""
    for modality, trials in material.trials.items():
        test = trials[trials["part"] == "test"]
        shown = test["stimulus"].dropna().nunique()
        count, kind = (shown, "pictures") if shown else (len(test), "trials")
        if 0 < count < _FEW:
            yield Finding(
                FEW_TEST_ITEMS,
                "note",
                modality,
                f"the test set has {count} {kind}",
                count,
                count,
                "Intervals over so few are wide, and may be too narrow all the same.",
                "hold out more (`neuroalign split --test-share`).",
            )


def overlapping_trials(material: Material) -> Iterator[Finding | Skipped]:
    """Find test trials whose samples are in part those of a training trial."""
    for modality, trials in material.trials.items():
        length = _length_s(material, modality)
        if length is None or trials["onset_s"].isna().any() or trials["run"].isna().any():
            yield Skipped(OVERLAPPING_TRIALS, modality, "onsets or the length of trials not known")
            continue
        table = trials.iloc[recorded_order(trials)]
        test = (table["part"] == "test").to_numpy(bool)
        place = table[["subject", "session", "run"]].astype("string").fillna("")
        same_run = (place.to_numpy()[1:] == place.to_numpy()[:-1]).all(axis=1)
        gap = np.diff(table["onset_s"].to_numpy(np.float64))
        # Onsets that start anew within a run belong to different recordings of the same name.
        close = same_run & (gap >= 0) & (gap < length) & (test[1:] != test[:-1])
        ends = np.concatenate([[False], close]) | np.concatenate([close, [False]])
        count = int((ends & test).sum())
        if count:
            yield Finding(
                OVERLAPPING_TRIALS,
                "warning",
                modality,
                f"{count} of {int(test.sum())} test trials overlap with a training trial (they are "
                f"{length:.2f} s long)",
                count,
                int(test.sum()),
                "They share samples, and what lingers from one trial is in the next.",
                "hold out whole runs (`neuroalign split --by run`).",
            )


def _length_s(material: Material, modality: str) -> float | None:
    recordings = material.recordings[modality]  # type: ignore[index]
    rate = recordings.info.sfreq
    if rate is None or recordings.info.axes[-1] not in ("samples", "frames"):
        return None
    return float(recordings.feature_shape(recordings.subjects[0])[-1] / rate)
