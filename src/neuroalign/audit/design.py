"""The rule about designs that give the class away: a classifier that never sees a signal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from neuroalign.audit.findings import Finding, Skipped
from neuroalign.audit.material import Material
from neuroalign.evaluation.signal_blind import (
    PLACE_IN_RUN,
    TIME,
    design_features,
    recorded_order,
)

CLASS_FROM_TIME = "class-from-time"

#: A shuffled design is refused by mistake this often.
ALPHA = 0.01
#: Share of the way from chance to 1 below which a class that can be told is a warning only.
SMALL = 0.01
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
    n_test, n_classes : int
        Test trials whose class occurs in their person's training trials, and those classes.
    """

    told_by: str
    accuracy: float
    chance: float
    p: float
    n_test: int
    n_classes: int


def class_from_time(material: Material) -> Iterator[Finding | Skipped]:
    """Find classes that can be told from time, run, block or trial index alone."""
    for modality, trials in material.trials.items():
        test = test_design(trials.assign(concept=material.concepts(modality)))
        if test is None:
            yield Skipped(
                CLASS_FROM_TIME,
                modality,
                "no two classes of a person occur in both training and test trials",
            )
        elif test.p < ALPHA:
            excess = (test.accuracy - test.chance) / (1 - test.chance)
            yield Finding(
                CLASS_FROM_TIME,
                "refusal" if excess >= SMALL else "warning",
                modality,
                f"the class of {test.n_test} test trials is told without any signal, from "
                f"{test.told_by}: {test.accuracy:.3f} right, against {test.chance:.3f} by chance "
                f"(p = {test.p:.3f})",
                test.n_test,
                int((trials["part"] == "test").sum()),
                "Whatever drifts in the course of a recording then tells the class, and no score "
                "shows how much of it came from the pictures. (Where the table was only sorted by "
                "class after the recording, give it the onsets, runs and sessions.)",
                "record classes in random order; until then hold out whole blocks or runs that "
                "share none with training (`neuroalign split --by run`), and whole classes where "
                "each has one block (`--by concept`).",
            )


def test_design(trials: pd.DataFrame, *, seed: int = 0, draws: int = _DRAWS) -> DesignTest | None:
    """Predict the class of test trials from their place in the recording.

    Two ways are tried, within each person. (1) A random forest is fitted to the design features of
    the training trials, once to those that say when a trial was recorded and once to those that
    say where in its run. Its null distribution permutes the labels of whole stretches of test
    trials with one class, for trials of one block are no independent draws. (2) A test trial is
    given the class of the training trials recorded right before and after it, which is right where
    blocks of a class were divided between training and test; here the labels of a person's trials
    are permuted singly.

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
    rng = np.random.default_rng(seed)
    people = []
    for _, rows in table.groupby("subject", sort=False).indices.items():
        person = _person(table, features, test, np.asarray(rows, np.int64), rng, draws, seed)
        if person is not None:
            people.append(person)
    if not people:
        return None
    n_test = sum(p.n_test for p in people)
    tried = {
        name: (sum(p.hits[name][0] for p in people), np.sum([p.hits[name][1] for p in people], 0))
        for name in dict.fromkeys(n for p in people for n in p.hits)
        if all(name in p.hits for p in people)
    }
    p_forest, best, right, by_chance = _strongest(tried)
    told = (best, right / n_test, by_chance / n_test)
    p = p_forest
    pairs = sum(p_.n_pairs for p_ in people)
    if pairs:
        same = sum(p_.same[0] for p_ in people)
        null = np.sum([p_.same[1] for p_ in people], axis=0)
        p_next = float((1 + (null >= same).sum()) / (draws + 1))
        p = min(1.0, 2 * min(p_forest, p_next))
        if p_next < p_forest:
            told = (
                "the training trials right before and after it",
                same / pairs,
                null.mean() / pairs,
            )
    classes = {c for p_ in people for c in p_.classes}
    return DesignTest(told[0], float(told[1]), float(told[2]), p, n_test, len(classes))


test_design.__test__ = False  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _Person:
    """Right answers for one person, and as many permutations' worth of them."""

    hits: dict[str, tuple[int, _Ints]]
    same: tuple[int, _Ints]
    n_pairs: int
    n_test: int
    classes: frozenset[str]


def _person(
    table: pd.DataFrame,
    features: pd.DataFrame,
    test: npt.NDArray[np.bool_],
    rows: _Ints,
    rng: np.random.Generator,
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
    pairs = _neighbours(table, rows, side)
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    null = np.zeros(draws, np.int64)
    if len(pairs):
        for i in range(draws):
            mixed = rng.permutation(labels)
            null[i] = (mixed[pairs[:, 0]] == mixed[pairs[:, 1]]).sum()
    n_test = int(side.sum())
    return _Person(hits, (int(same.sum()), null), len(pairs), n_test, frozenset(classes))


def _stretches(table: pd.DataFrame, rows: _Ints, labels: _Ints) -> _Ints:
    """Return the number of the stretch of one class, session, run and block of each trial."""
    changes = np.diff(labels) != 0
    for column in ("session", "run", "block"):
        if column in table:
            names = table[column].astype("string").fillna("").to_numpy(object)[rows]
            changes |= names[1:] != names[:-1]
    return np.concatenate([[0], np.cumsum(changes)])


def _permuted_hits(
    predicted: _Ints, labels: _Ints, stretch: _Ints, rng: np.random.Generator, draws: int
) -> tuple[int, _Ints]:
    """Count right answers, and again with the labels of whole stretches permuted."""
    n_stretches = int(stretch[-1]) + 1
    votes = np.zeros((n_stretches, int(max(predicted.max(), labels.max())) + 1), np.int64)
    np.add.at(votes, (stretch, predicted), 1)
    of_stretch = labels[np.searchsorted(stretch, np.arange(n_stretches))]
    every = np.arange(n_stretches)
    null = np.array([votes[every, rng.permutation(of_stretch)].sum() for _ in range(draws)])
    return int((predicted == labels).sum()), null


def _neighbours(table: pd.DataFrame, rows: _Ints, test: npt.NDArray[np.bool_]) -> _Ints:
    """Pair test trials with the training trials next to them in their session and run."""
    adjacent = np.diff(rows) == 1
    for column in ("session", "run"):
        if column in table:
            names = table[column].astype("string").fillna("").to_numpy(object)[rows]
            adjacent &= names[1:] == names[:-1]
    crossing = np.flatnonzero(adjacent & (test[1:] != test[:-1]))
    return np.column_stack([crossing, crossing + 1]).astype(np.int64)


def _strongest(tried: dict[str, tuple[int, _Ints]]) -> tuple[float, str, float, float]:
    """Return p, name, right answers and chance of the best way, corrected by the maximum."""
    scores, nulls, names = [], [], []
    for name, (right, null) in tried.items():
        spread = float(null.std()) or 1.0
        names.append(name)
        scores.append((right - null.mean()) / spread)
        nulls.append((null - null.mean()) / spread)
    best = int(np.argmax(scores))
    # A hair's breadth: the same number of right answers must count as equal after the division.
    high = np.max(nulls, axis=0) >= scores[best] - 1e-9
    right, null = tried[names[best]]
    return float((1 + high.sum()) / (len(high) + 1)), names[best], float(right), float(null.mean())
