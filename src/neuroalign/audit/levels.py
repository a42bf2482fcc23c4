"""Parts of a recording that lie on both sides of a split, and what they tell of the class.

Where a session, a run, a block or a stretch of time holds trials of both sides, a test trial can be
given the classes of the training trials of the same part, without any signal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

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
#: So many labels are permuted at a time.
_CHUNK = 200_000


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
                keys = own.groupby(list(columns), sort=False).ngroup()
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
    own: pd.DataFrame, keys: pd.Series[Any], name: str, people: tuple[str, ...]
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


def parts_of_recording(features: pd.DataFrame, test: _Mask) -> dict[str, Parts]:
    """Divide a person's trials into parts, in several ways.

    Parameters
    ----------
    features : pandas.DataFrame
        One person's rows of `evaluation.signal_blind.design_features`, in the order of recording.
    test : ndarray of shape (n_trials,), bool

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
    # Wherever the borders are: the training right before, or right after, what is held out.
    turns = np.diff(test.astype(np.int64), prepend=int(test[0]))
    found["piece that the test trials end"] = Parts(np.cumsum(turns < 0))
    found["piece that the test trials begin"] = Parts(np.cumsum(turns > 0))
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
    null: dict[str, list[_Floats]] = {name: [] for name in used}
    chunk = max(1, _CHUNK // len(labels))
    for start in range(0, draws if used else 0, chunk):
        n = min(chunk, draws - start)
        anywhere = rng.permuted(np.tile(of_stretch, (n, 1)), axis=1)[:, stretch]
        in_run = of_stretch[np.argsort(run_of_stretch + rng.random((n, len(first))))][:, stretch]
        for name, p in used.items():
            mixed = in_run if p.of_run else anywhere
            right, by_chance, _ = _shares(p.number, test, mixed, n_classes)
            null[name].append(right - by_chance)
    found = {}
    for name, p in used.items():
        right, by_chance, n_test = _shares(p.number, test, labels[None], n_classes)
        found[name] = Guessed(
            float(right[0]), float(by_chance[0]), n_test, np.concatenate(null[name])
        )
    return found


def _shares(
    part: _Ints, test: _Mask, labels: _Ints, n_classes: int
) -> tuple[_Floats, _Floats, int]:
    """Return both sums of `Guessed` for each row of labels, (n_draws, n_trials)."""
    n_draws, n_parts = len(labels), int(part.max()) + 1
    cell = (np.arange(n_draws)[:, None] * n_parts + part) * n_classes + labels
    size, shape = n_draws * n_parts * n_classes, (n_draws, n_parts, n_classes)
    trained = np.bincount(cell[:, ~test].reshape(-1), minlength=size).reshape(shape)
    tested = np.bincount(cell[:, test].reshape(-1), minlength=size).reshape(shape)
    totals = trained[0].sum(axis=1)
    tested = tested[:, totals > 0]
    right = ((trained[:, totals > 0] * tested).sum(axis=2) / totals[totals > 0]).sum(axis=1)
    by_chance = (tested.sum(axis=1) * trained.sum(axis=1)).sum(axis=1) / totals.sum()
    return right, by_chance, int(tested[0].sum())
