"""Paired p-values: uniform where models are alike, and of one mind with the interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from neuroalign.evaluation.asked import Asked
from neuroalign.evaluation.bootstrap import Interval
from neuroalign.evaluation.differences import compare, difference_p_value
from neuroalign.evaluation.pairs import pair_scores
from neuroalign.evaluation.per_query import GalleryValues, QueryValues
from neuroalign.evaluation.queries import query_values
from neuroalign.evaluation.spread import spread_of
from neuroalign.evaluation.tasks import values_by_person

PICTURES, PEOPLE = 20, 4


def of_people(scores: np.ndarray, **further) -> QueryValues:
    """Return a value for each picture (row) and person (column)."""
    picture, person = (x.ravel() for x in np.indices(scores.shape))
    values = scores.ravel()
    return QueryValues(
        "two_way_embedding",
        np.arange(len(values)),
        values,
        np.full(len(values), 0.5),
        picture,
        2,
        people=person.astype(str),
        **further,
    )


def false_alarms(pairs) -> tuple[float, float]:
    """Return how often p <= 0.05, and 0.3; p and interval must agree."""
    found = []
    for ours, theirs in pairs:
        p = difference_p_value(ours, theirs, n_boot=200)
        interval = compare(ours, theirs, n_boot=200)
        assert p is not None and (p < 0.05) == (not interval.low <= 0 <= interval.high)
        found.append(p)
    return float(np.mean(np.array(found) <= 0.05)), float(np.mean(np.array(found) <= 0.3))


def models_that_suit_other_people(draws: int):
    """Two models, equal over all people; each person's recordings suit one of them better."""
    rng = np.random.default_rng(0)
    for _ in range(draws):
        level = 0.7 + 0.05 * rng.normal(size=(2, 1, PEOPLE))
        yield tuple(of_people(x + 0.05 * rng.normal(size=(PICTURES, PEOPLE))) for x in level)


def test_people_who_favour_one_model_are_no_evidence_where_people_are_sampled():
    pairs = list(models_that_suit_other_people(300))
    often, more_often = false_alarms(pairs)
    assert 0.01 < often <= 0.08
    assert 0.2 < more_often < 0.4
    # Flipped picture by picture, each person's favour would count as that of twenty pictures.
    fixed = [[replace(side, people=None) for side in pair] for pair in pairs[:100]]
    assert np.mean([difference_p_value(*p, n_permutations=199) < 0.05 for p in fixed]) > 0.3


def encoding_by_class(rng: np.random.Generator, evidence: np.ndarray) -> QueryValues:
    """Ask recordings in blocks of four for the class of 20 pictures, which resemble each other."""
    blocks = np.arange(len(evidence)) // 4
    shown = blocks % 2
    asked = np.repeat([0, 1], 10)
    missing = pd.array([None] * 20, "string")
    queries = pd.DataFrame(
        {"stimulus": [f"p{i}" for i in range(20)], "subject": missing, "label": asked.astype(str)}
    )
    gallery = pd.DataFrame(
        {
            "stimulus": pd.array([None] * len(evidence), "string"),
            "subject": "sub-01",
            "label": shown.astype(str),
            "block": blocks.astype(str),
        }
    )
    scores = np.where(asked[:, None] == 1, evidence, -evidence)
    scores = scores + 0.1 * rng.normal(size=scores.shape)
    metrics = ("two_way_embedding",)
    return query_values(scores, queries, gallery, asked=Asked(metrics=metrics))[metrics[0]]


def test_recordings_that_favour_one_model_are_no_evidence_where_they_are_candidates():
    rng = np.random.default_rng(1)

    def pair() -> tuple[QueryValues, QueryValues]:
        strays = np.repeat(rng.normal(size=(2, 12)), 4, axis=1)
        recordings = strays + rng.normal(size=(2, 48))
        ours, theirs = (encoding_by_class(rng, x) for x in recordings)
        return ours, theirs

    pairs = [pair() for _ in range(200)]
    often, more_often = false_alarms(pairs)
    assert often <= 0.09
    assert 0.2 < more_often < 0.42
    fixed = [[replace(side, gallery=None) for side in p] for p in pairs[:50]]
    assert np.mean([difference_p_value(*p, n_permutations=199) < 0.05 for p in fixed]) > 0.5


def test_p_is_students_with_the_variance_of_the_interval():
    rng = np.random.default_rng(2)
    of_candidates = [GalleryValues(0.6 + 0.2 * rng.normal(size=15), np.arange(15)) for _ in "ab"]
    ours, theirs = (
        replace(
            of_people(np.full((PICTURES, PEOPLE), float(g.values.mean()))),  # noqa: PD011
            people=None,
            gallery=replace(g, alone=True),
        )
        for g in of_candidates
    )
    mine, other = (g.values for g in of_candidates)  # noqa: PD011
    difference = mine - other
    spread = spread_of([ours.sample()], 500, 3)
    assert spread.over_clusters == 0  # nothing in the queries varies
    moved = replace(of_candidates[0], values=difference).spread(n_boot=500, seed=3)
    # A score interval's variance is that at the null value: half of the range from -1 to 1.
    share = (1 + difference.mean()) / 2
    at_null = moved.over_clusters[0, 0] * 0.25 / (share * (1 - share))
    wanted = 2 * student.sf(abs(difference.mean()) / np.sqrt(at_null), 14)
    assert difference_p_value(ours, theirs, n_boot=500, seed=3) == pytest.approx(wanted, rel=1e-4)
    assert difference_p_value(ours, ours) == 1


def test_no_p_value_where_nothing_tells_how_candidates_move_a_score():
    ours, theirs = next(models_that_suit_other_people(1))
    assert difference_p_value(ours, theirs) is not None
    assert difference_p_value(replace(ours, candidates_fixed=True), theirs) is None
    assert difference_p_value(ours, replace(theirs, candidates_fixed=True)) is None
    assert difference_p_value(replace(ours, level=3.0), replace(theirs, level=3.0)) is None


def ranks(rng: np.random.Generator, people: int, pictures: int = 40) -> np.ndarray:
    """Ranks among 100: people's medians stray around 25, further than their pictures do."""
    centre = 25 + 7 * rng.normal(size=people)
    return np.clip(np.round(centre + 4 * rng.normal(size=(pictures, people))), 1, 100)


@pytest.mark.parametrize("apart", [False, True])
def test_medians_of_few_people_hold_the_median_of_all(apart):
    rng = np.random.default_rng(4)
    held = {"one": 0, "difference": 0}
    for _ in range(200):
        sides = []
        for _ in "ab":
            table = ranks(rng, 4)
            strata = np.tile(np.arange(4), len(table))[:, None] if apart else None
            side = replace(of_people(table, level=50.0, strata=strata), metric="median_rank")
            sides.append(replace(side, n_gallery=100))
        found: dict[str, Interval] = {
            "one": sides[0].interval(n_boot=100),
            "difference": compare(*sides, n_boot=100),
        }
        held["one"] += found["one"].low <= 25 <= found["one"].high
        held["difference"] += found["difference"].low <= 0 <= found["difference"].high
        assert found["one"].low >= 1 and found["one"].high <= 100
        assert found["one"].n_people == 4
    assert min(held.values()) >= 0.92 * 200


def test_of_one_person_alone_a_median_says_nothing_of_others():
    values = replace(of_people(ranks(np.random.default_rng(5), 1), level=50.0), n_gallery=100)
    assert values.interval() == replace(values, people=None).interval()


@pytest.mark.parametrize("asking", [1, 3])
@pytest.mark.parametrize("answering", [0, 1, 3])
@pytest.mark.parametrize("people", ["pooled", "separate"])
def test_people_who_are_held_fixed_are_named(asking, answering, people):
    rng = np.random.default_rng(6)
    shown = [f"p{i}" for i in range(8)]

    def of(n: int) -> pd.DataFrame:
        whose = np.repeat([f"s{i}" for i in range(n)], 8).astype(object) if n else [None] * 8
        return pd.DataFrame({"stimulus": shown * max(n, 1), "label": None, "subject": whose})

    queries, gallery = of(asking), of(answering)
    found = values_by_person(
        pair_scores(rng.normal(size=(len(queries), len(gallery)))),
        queries,
        gallery,
        asked=Asked(metrics=("two_way_embedding",), by_person=True),
        people=people,
    )["all"]["two_way_embedding"]
    level = asking if asking > 1 or people == "pooled" else answering
    if level < 2:
        wanted = "people held fixed in the interval"
    elif answering:
        wanted = "people of one side held fixed in the interval"
    else:
        wanted = ""
    assert found.note == wanted
    assert found.interval().n_people == (level if level > 1 else 0)
