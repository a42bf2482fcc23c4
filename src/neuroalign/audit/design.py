"""The test of a design: whether the class of test trials is told without their signals."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from neuroalign.audit.levels import Guessed, guessed_by_part, parts_of_recording
from neuroalign.evaluation.signal_blind import (
    PLACE_IN_RUN,
    TIME,
    design_features,
    recorded_order,
)

#: A shuffled design is refused by mistake this often.
ALPHA = 0.01
_DRAWS = 999
_MOST_CLASSES = 64
_TREES = 20
_FEATURE_SETS = {"session, run, block or time": TIME, "the place within its run": PLACE_IN_RUN}

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DesignTest:
    """How well the class of test trials is told without their signals.

    Attributes
    ----------
    told_by : str
        Which part of the design tells it best.
    accuracy, chance : float
        Over all test trials; chance is the mean over permutations of the test labels.
    p : float
        Share of permutations that score as high; corrected for the ways that were tried.
    attainable : float
        The smallest p that the best of the ways could have come to: with two blocks, permutations
        of blocks are few.
    n_test, n_classes : int
        Test trials whose class occurs in their person's training trials, and those classes.
    """

    told_by: str
    accuracy: float
    chance: float
    p: float
    attainable: float
    n_test: int
    n_classes: int


def test_design(trials: pd.DataFrame, *, seed: int = 0, draws: int = _DRAWS) -> DesignTest | None:
    """Predict the class of test trials from their place in the recording.

    Three ways are tried, within each person. (1) A random forest is fitted to the design features
    of the training trials, once to those that say when a trial was recorded and once to those that
    say where in its run. Its null distribution permutes the labels of whole stretches of test
    trials with one class, for trials of one block are no independent draws. (2) A test trial is
    given the classes of the training trials of its part of the recording: session, run, block,
    half, quarter, and so on; stretches of training and test trials are permuted together, so that
    few of them in the test are enough. (3) A test trial is given the class of the training trials
    recorded right before and after it, which is right where blocks of a class were divided between
    training and test; here the labels of a person's trials are permuted singly.

    People with the same order of classes are permuted alike: they are one draw, not many.

    Parameters
    ----------
    trials : pandas.DataFrame
        A trial table with `part` (test or another) and `concept`, the class.
    seed : int
    draws : int
        Permutations.

    Returns
    -------
    DesignTest or None
        None where no person has two classes in both parts.
    """
    table = trials.iloc[recorded_order(trials)].reset_index(drop=True)
    features = design_features(table)
    test = (table["part"] == "test").to_numpy(bool)
    people = []
    for _, rows in table.groupby("subject", sort=False).indices.items():
        person = _person(table, features, test, np.asarray(rows, np.int64), draws, seed)
        if person is not None:
            people.append(person)
    if not people:
        return None
    n_test = sum(p.n_test for p in people)
    ways = _ways(people, draws)
    best = min(ways, key=lambda w: w.p)
    # Of ways that could come to no small p, none needs a correction (Tarone 1990).
    hopeful = [w for w in ways if w.attainable < ALPHA] or ways
    p = min(1.0, len(hopeful) * min(w.p for w in hopeful))
    classes = {c for person in people for c in person.classes}
    attainable = len(hopeful) * min(w.attainable for w in hopeful)
    return DesignTest(
        best.told_by, best.accuracy, best.chance, p, min(1.0, attainable), n_test, len(classes)
    )


test_design.__test__ = False  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _Person:
    """One person's right answers, and as many permutations' worth of them."""

    hits: dict[str, tuple[float, _Floats]]
    parts: dict[str, Guessed]
    same: tuple[float, _Floats]
    n_pairs: int
    n_test: int
    classes: frozenset[str]
    order: int
    rarity: float
    test_rarity: float


@dataclass(frozen=True)
class _Way:
    told_by: str
    accuracy: float
    chance: float
    p: float
    attainable: float


def _ways(people: Sequence[_Person], draws: int) -> list[_Way]:
    """Add people up, way by way."""
    orders = {p.order: p for p in people}.values()
    hits = _added([p.hits for p in people])
    ways = []
    if hits:
        p, told_by = _strongest(hits)
        n_test, (right, null) = sum(p.n_test for p in people), hits[told_by]
        rarity = sum(p.test_rarity for p in orders)
        chance = float(null.mean()) / n_test
        ways.append(_Way(told_by, right / n_test, chance, p, math.exp(-rarity)))
    parts = _added(
        [{n: (g.right - g.by_chance, g.null) for n, g in p.parts.items()} for p in people]
    )
    if parts:
        p, name = _strongest(parts)
        tried = [person.parts[name] for person in people]
        right, by_chance, n = (
            sum(getattr(g, k) for g in tried) for k in ("right", "by_chance", "n_test")
        )
        told_by = f"the training trials of the same {name}"
        rarity = sum(p.rarity for p in orders)
        ways.append(_Way(told_by, right / n, by_chance / n, p, math.exp(-rarity)))
    pairs = sum(p.n_pairs for p in people)
    if pairs:
        same = sum(p.same[0] for p in people)
        null = np.sum([p.same[1] for p in people], axis=0)
        told_by = "the training trials right before and after it"
        p_same, p_all = (float((1 + (null >= n).sum()) / (draws + 1)) for n in (same, pairs))
        ways.append(_Way(told_by, same / pairs, float(null.mean()) / pairs, p_same, p_all))
    return ways


def _person(
    table: pd.DataFrame,
    features: pd.DataFrame,
    test: npt.NDArray[np.bool_],
    rows: _Ints,
    draws: int,
    seed: int,
) -> _Person | None:
    concept = table["concept"].to_numpy(object)
    rows = rows[~pd.isna(concept[rows])]
    shared = set(concept[rows[~test[rows]]]) & set(concept[rows[test[rows]]])
    if len(shared) < 2:
        return None
    held = pd.Series(concept[rows[test[rows]]]).value_counts(sort=False)
    # The most frequent ones tell enough, and a forest of thousands of classes would not fit.
    classes = sorted(sorted(shared), key=lambda c: -int(held[c]))[:_MOST_CLASSES]
    rows = rows[np.isin(concept[rows].astype(str), classes)]
    labels = pd.Categorical(concept[rows], categories=classes).codes.astype(np.int64)
    side = test[rows]
    order = zlib.crc32(repr(classes).encode() + labels.tobytes() + side.tobytes())
    rng = np.random.default_rng([seed, order])
    stretch = _stretches(table, rows[side], labels[side])
    hits = {}
    for name, columns in _FEATURE_SETS.items():
        used = [c for c in columns if c in features]
        if not used:
            continue
        design = features[used].to_numpy(np.float64)[rows]
        forest = RandomForestClassifier(_TREES, random_state=seed)
        forest.fit(design[~side], labels[~side])
        hits[name] = _permuted_hits(forest.predict(design[side]), labels[side], stretch, rng, draws)
    every = _stretches(table, rows, labels)
    parts = parts_of_recording(features.iloc[rows], side)
    guessed = guessed_by_part(parts, side, labels, every, _changes(table, rows), rng, draws)
    pairs = _neighbours(table, rows, side)
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    null = np.zeros(draws)
    if len(pairs):
        for i in range(draws):
            mixed = rng.permutation(labels)
            null[i] = (mixed[pairs[:, 0]] == mixed[pairs[:, 1]]).sum()
    return _Person(
        hits,
        guessed,
        (float(same.sum()), null),
        len(pairs),
        int(side.sum()),
        frozenset(classes),
        order,
        _rarity(labels, every),
        _rarity(labels[side], stretch),
    )


def _rarity(labels: _Ints, stretch: _Ints) -> float:
    """Return minus the log of the least p that permutations of stretches can come to.

    That is the number of ways to hand the classes out among the stretches, where classes with as
    many stretches as each other may change names.
    """
    first = np.searchsorted(stretch, np.arange(int(stretch[-1]) + 1))
    sizes = Counter(labels[first].tolist())
    same = Counter(sizes.values())
    return math.lgamma(len(first) + 1) - sum(
        math.lgamma(n + 1) for n in (*sizes.values(), *same.values())
    )


def _stretches(table: pd.DataFrame, rows: _Ints, labels: _Ints) -> _Ints:
    """Return the number of the stretch of one class, session, run and block of each trial."""
    new = np.diff(labels, prepend=labels[:1]) != 0
    new |= np.diff(_changes(table, rows, ("session", "run", "block")), prepend=0) != 0
    return np.cumsum(new)


def _changes(
    table: pd.DataFrame, rows: _Ints, columns: Sequence[str] = ("session", "run")
) -> _Ints:
    """Count, up to each trial, how often a name in these columns has changed."""
    changed = np.zeros(len(rows) - 1, bool)
    for column in columns:
        if column in table:
            names = table[column].astype("string").fillna("").to_numpy(object)[rows]
            changed |= names[1:] != names[:-1]
    return np.concatenate([[0], np.cumsum(changed)])


def _permuted_hits(
    predicted: _Ints, labels: _Ints, stretch: _Ints, rng: np.random.Generator, draws: int
) -> tuple[float, _Floats]:
    """Count right answers, and again with the labels of whole stretches permuted."""
    n_stretches = int(stretch[-1]) + 1
    votes = np.zeros((n_stretches, int(max(predicted.max(), labels.max())) + 1), np.int64)
    np.add.at(votes, (stretch, predicted), 1)
    of_stretch = labels[np.searchsorted(stretch, np.arange(n_stretches))]
    every = np.arange(n_stretches)
    null = [float(votes[every, rng.permutation(of_stretch)].sum()) for _ in range(draws)]
    return float((predicted == labels).sum()), np.array(null)


def _neighbours(table: pd.DataFrame, rows: _Ints, test: npt.NDArray[np.bool_]) -> _Ints:
    """Pair test trials with the training trials next to them in their session and run."""
    adjacent = (np.diff(rows) == 1) & (np.diff(_changes(table, rows)) == 0)
    crossing = np.flatnonzero(adjacent & (test[1:] != test[:-1]))
    return np.column_stack([crossing, crossing + 1]).astype(np.int64)


def _added(
    tried: Sequence[dict[str, tuple[float, _Floats]]],
) -> dict[str, tuple[float, _Floats]]:
    """Add people up, of what was tried for all of them."""
    return {
        name: (sum(t[name][0] for t in tried), np.sum([t[name][1] for t in tried], axis=0))
        for name in dict.fromkeys(n for t in tried for n in t)
        if all(name in t for t in tried)
    }


def _strongest(tried: dict[str, tuple[float, _Floats]]) -> tuple[float, str]:
    """Return p and name of the best of several, corrected by the maximum."""
    scores, nulls = [], []
    for right, null in tried.values():
        spread = float(null.std()) or 1.0
        scores.append((right - null.mean()) / spread)
        nulls.append((null - null.mean()) / spread)
    best = int(np.argmax(scores))
    # A hair's breadth: the same number of right answers must count as equal after the division.
    high = np.max(nulls, axis=0) >= scores[best] - 1e-9
    return float((1 + high.sum()) / (len(high) + 1)), list(tried)[best]
