"""What is scored: single test trials, or averages of them, by a name that tables show."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.container import Recordings

_BY, _COMMA, _GROUPS = r"by (\w+(?:, *\w+)*)", r", *", r"groups of 0*([1-9]\d*)"


@dataclass(frozen=True)
class TestItems:
    """A view of test trials under a name.

    `slug` names its file, `description` stands in tables.
    """

    __test__ = False  # not a pytest class

    slug: str
    description: str
    view: Recordings


def item_slug(spec: str) -> str:
    """Return the file name of the items that a recipe's `test_items` entry names."""
    return re.sub(r"[ ,]+", "-", spec.strip())


def item_key(spec: str) -> Hashable:
    """Return what is the same of all ways to write down the same test items."""
    spec = spec.strip()
    if match := re.fullmatch(_BY, spec):
        return frozenset(re.split(_COMMA, match[1]))
    if match := re.fullmatch(_GROUPS, spec):
        return int(match[1])
    return spec


def select_test_items(recordings: Recordings, spec: str, *, seed: int = 0) -> TestItems:
    """Return the test items that a recipe's `test_items` entry names.

    Parameters
    ----------
    recordings : Recordings
    spec : str
        `trials`; `repeats`: all test trials of a person with one picture averaged (or of a class,
        where pictures are unknown); `by COLUMN, ...`: averages of a person's trials that agree in
        these columns and their class; `groups of N`: averages of N of a person's trials of a
        class, drawn without replacement (a rest of fewer than N is left out, and the description
        says how many trials that are).
    seed : int
        Fixes the groups.
    """
    test = recordings.select(split="test")
    if len(test) == 0:
        raise NeuroalignError(
            f"{recordings.path} has no test trials (split == 'test') to score: all were trained "
            "on. Hold some out with `neuroalign split`, and train again on what it writes."
        )
    name = item_slug(spec)
    if spec == "trials":
        stored = "n_averaged" in test.trials and (test.trials["n_averaged"] > 1).any()
        return TestItems(name, _averaged(test, "repeats") if stored else "single trials", test)
    if spec == "repeats":
        view = test.average_repeats()
        return TestItems(name, _averaged(view, "repeats"), view)
    if match := re.fullmatch(_BY, spec):
        columns = re.split(_COMMA, match[1])
        unknown = [c for c in columns if c not in test.trials]
        if unknown:
            raise NeuroalignError(
                f"`test_items: {spec}`: {recordings.path} has no column {unknown[0]!r}; there are "
                f"{', '.join(test.trials.columns)}."
            )
        view = test.average(["subject", "label", *columns])
        return TestItems(name, _averaged(view, f"a {' and '.join(columns)}"), view)
    if match := re.fullmatch(_GROUPS, spec):
        size = int(match[1])
        view = _groups(test, size, seed)
        rest = len(test) - size * len(view)
        left = f" ({rest} of {len(test)} trials fill no group)" if rest else ""
        return TestItems(name, f"averages of {size} trials of a class{left}", view)
    raise NeuroalignError(
        f"`test_items: {spec}` is not understood; write `trials`, `repeats`, `by COLUMN` or "
        "`groups of N`."
    )


def _averaged(view: Recordings, what: str) -> str:
    counts = view.trials["n_averaged"]
    low, high = int(counts.min()), int(counts.max())
    number = str(low) if low == high else f"{low} to {high}"
    what = what if what == "repeats" else f"trials of {what}"
    return f"averages of {number} {what}"


def _groups(test: Recordings, size: int, seed: int) -> Recordings:
    table = test.trials
    order = np.random.default_rng(seed).permutation(len(table))
    shuffled = test.take(order)
    rank = shuffled.trials.groupby(["subject", "label"], sort=False, dropna=False).cumcount()
    shuffled.trials["group"] = (rank // size).astype("string")
    by = ["subject", "label", "group"]
    # Rows are counted, and not what they average already; of an unknown class there is no group.
    group = shuffled.trials.groupby(by, sort=False, dropna=False).ngroup().to_numpy(np.int64)
    named = shuffled.trials["label"].notna().to_numpy(bool)
    full = shuffled.take(np.flatnonzero(named & (np.bincount(group)[group] == size)))
    if len(full) == 0:
        raise NeuroalignError(
            f"{test.path}: no person has {size} test trials of a class to average; ask for fewer."
        )
    return full.average(by)
