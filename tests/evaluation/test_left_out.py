"""Conversion by class: the recordings that are candidates are a sample, too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from neuroalign.evaluation.asked import Asked
from neuroalign.evaluation.differences import compare, difference_p_value
from neuroalign.evaluation.left_out import FIXED, representative, with_candidates
from neuroalign.evaluation.pairs import pair_scores
from neuroalign.evaluation.per_query import QueryValues, joined
from neuroalign.evaluation.queries import query_values

METRICS = ("class_top1", "class_accuracy", "class_average_precision")


def mean_of_class_means(values: np.ndarray, classes: np.ndarray, kept: np.ndarray) -> QueryValues:
    """One query, whose value is the mean over two classes of the mean over their candidates."""
    means = [values[kept][classes[kept] == c].mean() for c in (0, 1)]
    score = np.array([np.mean(means)])
    return QueryValues("m", np.arange(1), score, score, np.arange(1), len(kept))


@pytest.mark.parametrize(("size", "units"), [(1, 9), (3, 9), (3, 90)])
def test_candidates_spread_is_that_of_an_independent_formula(size, units):
    rng = np.random.default_rng(units)
    unit = np.repeat(np.arange(units), size)
    classes = unit % 3 // 2  # a third of all units is of class 1
    values = 0.5 + 0.1 * rng.normal(size=units)[unit] + 0.01 * rng.normal(size=len(unit))
    every = np.arange(len(unit))
    whole = mean_of_class_means(values, classes, every)
    found = with_candidates(
        {"m": whole}, lambda kept: {"m": mean_of_class_means(values, classes, kept)}, unit, classes
    )["m"]
    assert found.gallery is not None
    assert found.gallery.values.mean() == pytest.approx(whole.value())  # noqa: PD011
    spread = found.gallery.spread(n_boot=20_000, seed=0)
    means = [values[(classes == c)].reshape(-1, size).mean(axis=1) for c in (0, 1)]
    wanted = sum(m.var(ddof=1) / len(m) for m in means) / 4
    # Units by themselves: exact but for the draws. Twenty groups of several tell the standard
    # deviation to 16 %.
    tolerance = 0.03 if units < 20 else 0.6
    assert spread.over_clusters[0, 0] == pytest.approx(wanted, rel=tolerance)
    assert spread.n_clusters == min(units, 20)


def recordings(blocks: int, size: int, kind: str) -> pd.DataFrame:
    """Blocks of recordings of one of two classes in turn; their pictures are not known."""
    block = np.repeat(np.arange(blocks), size)
    return pd.DataFrame(
        {
            "stimulus": pd.array([None] * len(block), "string"),
            "label": (block % 2).astype(str),
            "subject": kind,
            "block": np.char.add(kind, block.astype(str)),
        }
    )


def conversion(rng: np.random.Generator, asked: np.ndarray) -> dict[str, QueryValues]:
    """Ask 8 blocks of recordings, by a model for which they mean nothing."""
    queries, gallery = recordings(10, 2, "eeg"), recordings(8, 3, "fmri")
    strays = np.repeat(rng.normal(size=(8, 3)), 3, axis=0)
    vectors = strays + rng.normal(size=(24, 3))
    return query_values(asked @ vectors.T, queries, gallery, asked=Asked(metrics=METRICS))


def test_recordings_that_favour_one_model_by_chance_are_no_evidence():
    rng = np.random.default_rng(0)
    shown = np.repeat(np.arange(10), 2) % 2
    alarms: dict[str, list[bool]] = {m: [] for m in METRICS}
    flipped: list[bool] = []
    for _ in range(60):
        asked = 2 * rng.normal(size=(2, 3))[shown] + rng.normal(size=(20, 3))
        ours, theirs = (conversion(rng, asked) for _ in "ab")
        for m in METRICS:
            p = difference_p_value(ours[m], theirs[m], n_boot=100)
            interval = compare(ours[m], theirs[m], n_boot=100)
            assert p is not None and (p < 0.05) == (not interval.low <= 0 <= interval.high)
            alarms[m].append(p <= 0.05)
        m = "class_average_precision"
        sides = (replace(v[m], gallery=None) for v in (ours, theirs))
        flipped.append(difference_p_value(*sides, n_permutations=99) <= 0.05)
    # 0.05 is expected; more than 0.13 of 60 come in 1 of 100 cases.
    assert max(np.mean(a) for a in alarms.values()) <= 0.13
    assert np.mean(flipped) > 0.25


def test_a_class_of_one_unit_says_that_its_candidates_are_fixed():
    rng = np.random.default_rng(1)
    queries, gallery = recordings(6, 2, "eeg"), recordings(2, 6, "fmri")
    sides = [
        query_values(rng.normal(size=(12, 12)), queries, gallery, asked=Asked(metrics=METRICS))
        for _ in "ab"
    ]
    for m in METRICS:
        ours, theirs = (s[m] for s in sides)
        assert ours.candidates_fixed and FIXED in ours.note
        assert difference_p_value(ours, theirs) is None
        assert compare(ours, theirs).low < compare(ours, theirs).high
    # So it is of several galleries, if it is so of one.
    free = query_values(
        rng.normal(size=(12, 12)), queries, recordings(4, 3, "fmri"), asked=Asked(metrics=METRICS)
    )["class_top1"]
    assert not free.candidates_fixed and FIXED not in free.note
    both = joined({"a": free, "b": sides[0]["class_top1"]}, 12, by_person=False)
    assert both.candidates_fixed and FIXED in both.note and both.gallery is None


def test_a_choice_by_its_own_draws_keeps_its_candidates():
    rng = np.random.default_rng(2)
    found = query_values(
        rng.normal(size=(12, 12)),
        recordings(6, 2, "eeg"),
        recordings(4, 3, "fmri"),
        asked=Asked(metrics=("k_way_resampled", "k_way", "two_way_embedding")),
    )
    assert {m: v.candidates_fixed for m, v in found.items()} == {
        "k_way_resampled": True,
        "k_way": False,
        "two_way_embedding": False,
    }
    assert difference_p_value(found["k_way_resampled"], found["k_way_resampled"]) is None


def test_representative_queries_do_not_hang_on_their_order():
    rng = np.random.default_rng(3)
    scores, classes = rng.normal(size=(1000, 5)), rng.integers(0, 4, 1000)
    chosen = representative(pair_scores(scores), classes)
    assert len(chosen) == len(set(chosen.tolist())) == 300
    shares = np.bincount(classes[chosen]) / 300
    assert np.abs(shares - np.bincount(classes) / 1000).max() < 0.01
    order = rng.permutation(1000)
    other = representative(pair_scores(scores[order]), classes[order])
    assert set(order[other].tolist()) == set(chosen.tolist())
    assert representative(pair_scores(scores[:20]), classes[:20]).tolist() == list(range(20))
