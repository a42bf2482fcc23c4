"""Parts of a recording that lie on both sides of a split, and what they tell of the class.

Where a session, a run, a block or a stretch of time holds trials of both sides, a test trial can be
given the classes of the training trials of the same part, without any signal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]

_NAMED = (("session",), ("run",), ("block",), ("session", "run"))
#: A recording, and a run, is also looked at in so many parts of equal length.
_OF_RECORDING = (2, 4, 8, 16)
_OF_RUN = (2, 4, 8)


@dataclass(frozen=True)
class OneWith:
    """Parts of the recording that hold one class each.

    Attributes
    ----------
    name : str
        What the parts are: session, run, block, run of a session, or person.
    n_parts : int
        Those with trials of both sides, over all people concerned.
    n_test : int
        Their test trials.
    people : tuple of str
    """

    name: str
    n_parts: int
    n_test: int
    people: tuple[str, ...]


def one_with_class(trials: pd.DataFrame) -> OneWith | None:
    """Find out whether class and session, run, block or person are one.

    No chance is asked for: where each session on both sides holds a single class, the class of its
    test trials is known from the session, whether or not the design was drawn by lot.

    Parameters
    ----------
    trials : pandas.DataFrame
        A trial table with `part` (test or another) and `concept`, the class.

    Returns
    -------
    OneWith or None
        The parts with most test trials; None if no person has two such parts, of two classes, that
        hold at least half of the person's test trials.
    """
    known = trials[trials["concept"].notna()]
    found: dict[str, list[OneWith]] = {}
    for person, own in known.groupby(known["subject"].astype(str), sort=True):
        for columns in _NAMED:
            if set(columns) <= set(own) and own[list(columns)].notna().all(axis=None):
                name = " of a ".join(reversed(columns))
                keys = own[list(columns)].astype(str).agg("\x1f".join, axis=1)
                found.setdefault(name, []).extend(_one(own, keys, name, (str(person),)))
    subjects = known["subject"].astype(str)
    people = tuple(sorted(set(subjects)))
    found["person"] = list(_one(known, subjects, "person", people))
    merged = [
        OneWith(
            name,
            sum(o.n_parts for o in ones),
            sum(o.n_test for o in ones),
            tuple(p for o in ones for p in o.people),
        )
        for name, ones in found.items()
        if ones
    ]
    return max(merged, key=lambda o: o.n_test, default=None)


def _one(
    own: pd.DataFrame, keys: pd.Series[str], name: str, people: tuple[str, ...]
) -> Iterator[OneWith]:
    test = own["part"] == "test"
    both = keys.isin(set(keys[test]) & set(keys[~test]))
    pairs = pd.DataFrame({"part": keys[both], "concept": own.loc[both, "concept"]})
    pairs = pairs.drop_duplicates()
    if len(pairs) < 2 or pairs["part"].duplicated().any() or len(set(pairs["concept"])) < 2:
        return
    n_test = int((both & test).sum())
    if 2 * n_test >= int(test.sum()):
        yield OneWith(name, len(pairs), n_test, people)


@dataclass(frozen=True)
class Parts:
    """One way to divide a person's trials.

    Attributes
    ----------
    number : ndarray of shape (n_trials,), int64
        The part of each trial.
    of_run : bool
        Whether the same part of every run is one part.
    """

    number: _Ints
    of_run: bool = False


def parts_of_recording(features: pd.DataFrame) -> dict[str, Parts]:
    """Divide a person's trials into parts, in several ways.

    Parameters
    ----------
    features : pandas.DataFrame
        One person's rows of `evaluation.signal_blind.design_features`.

    Returns
    -------
    dict from a name in words to Parts
    """
    found = {}
    for columns in _NAMED:
        if set(columns) <= set(features):
            codes = features[list(columns)].to_numpy(np.int64)
            number = np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)
            found[" of a ".join(reversed(columns))] = Parts(number.astype(np.int64))
    for column, name, counts in (
        ("position", "{} of the recording", _OF_RECORDING),
        ("position_in_run", "{} of its run", _OF_RUN),
    ):
        if column in features:
            place = features[column].to_numpy(np.float64)
            place = (place - place.min()) / (np.ptp(place) + 1)
            for n in counts:
                part = "half" if n == 2 else f"{n}th"
                number = np.floor(place * n).astype(np.int64)
                found[name.format(part)] = Parts(number, column == "position_in_run")
    return found


@dataclass(frozen=True)
class Guessed:
    """What parts of one kind tell of the classes of test trials.

    Attributes
    ----------
    right, by_chance : float
        A test trial is given a class as often as the training trials of its part have it, or as
        all training trials have it: the sum of these shares of the right classes.
    n_test : int
        Test trials in parts that hold training trials too.
    null : ndarray of shape (draws,)
        `right - by_chance` with the classes permuted.
    """

    right: float
    by_chance: float
    n_test: int
    null: _Floats


def guessed_by_part(
    parts: dict[str, Parts],
    test: _Mask,
    labels: _Ints,
    stretch: _Ints,
    run: _Ints,
    rng: np.random.Generator,
    draws: int,
) -> dict[str, Guessed]:
    """Guess classes by parts of each kind, and again with the classes of stretches permuted.

    Stretches of both sides change classes with each other: the order of the whole recording is
    what was drawn by lot; that within each run, where the parts are places within the run. What
    the training trials of all parts tell is taken off, since it is not the part's: classes that
    are equally frequent in every run agree across a split more often than permuted ones do.
    `stretch` and `run` are numbers that never fall.
    """
    n_classes = int(labels.max()) + 1
    used = {
        name: p
        for name, p in parts.items()
        if len(set(p.number[test].tolist()) & set(p.number[~test].tolist())) > 1
    }
    first = np.searchsorted(stretch, np.arange(int(stretch[-1]) + 1))
    of_stretch, run_of_stretch = labels[first], run[first]
    null = {name: np.empty(draws) for name in used}
    for i in range(draws if used else 0):
        anywhere = rng.permutation(of_stretch)[stretch]
        in_run = of_stretch[np.lexsort((rng.random(len(first)), run_of_stretch))][stretch]
        for name, p in used.items():
            mixed = in_run if p.of_run else anywhere
            right, by_chance, _ = _shares(p.number, test, mixed, n_classes)
            null[name][i] = right - by_chance
    return {
        n: Guessed(*_shares(p.number, test, labels, n_classes), null[n]) for n, p in used.items()
    }


def _shares(part: _Ints, test: _Mask, labels: _Ints, n_classes: int) -> tuple[float, float, int]:
    n_parts = int(part.max()) + 1
    cell = part * n_classes + labels
    size = n_parts * n_classes
    trained = np.bincount(cell[~test], minlength=size).reshape(n_parts, n_classes)
    tested = np.bincount(cell[test], minlength=size).reshape(n_parts, n_classes)
    totals = trained.sum(axis=1)
    tested = tested[totals > 0]
    right = (trained[totals > 0] * tested).sum(axis=1) / totals[totals > 0]
    by_chance = tested.sum(axis=0) @ trained.sum(axis=0) / totals.sum()
    return float(right.sum()), float(by_chance), int(tested.sum())
