"""Separate people: "all" is the mean over them, of people with unequal numbers of queries."""

from collections import defaultdict
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation import tasks
from neuroalign.evaluation.attainable import Ceiling
from neuroalign.evaluation.differences import compare, difference_p_value
from neuroalign.evaluation.metrics import balanced_weights
from neuroalign.evaluation.pairs import Cosines, Matrix
from neuroalign.evaluation.per_query import QueryValues, ratio_interval
from neuroalign.evaluation.permutation import p_value, relabelling
from neuroalign.evaluation.queries import Asked
from neuroalign.evaluation.significance import p_values_by_person
from neuroalign.evaluation.tasks import score_matrix, score_retrieval, values_by_person
from neuroalign.retrieval import Embeddings

ASKED = Asked(
    metrics=(
        *("top1", "top5", "class_top1", "class_top5", "class_accuracy", "balanced_accuracy"),
        *("two_way_embedding", "two_way_retrieved", "median_rank", "mean_reciprocal_rank"),
        *("class_average_precision", "k_way"),
    ),
    k=3,
)
OPTIONS = {"asked": ASKED, "people": "separate"}
DESCRIBED = {"task": "t", "source": "s", "target": "t", "model": "m", "items": "i"}


def pictures(seed=0, n=18):
    """Pictures of three classes, of which the first has most."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "kind": "picture",
            "stimulus": [f"p{i:02d}" for i in range(n)],
            "label": np.repeat(["x", "y", "z"], [n - 8, 5, 3]),
            "subject": None,
        }
    )
    return Embeddings(rng.normal(size=(n, 6)), table, "space")


def recordings(shown, kind, seen, seed=1, signal=1.0):
    """Recordings of people, each of whom saw some of the pictures so many times."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([np.asarray(r) for r in seen.values()])
    people = np.repeat(list(seen), [len(r) for r in seen.values()])
    shared = rng.normal(size=(len(shown), 6))  # what recordings of a picture have in common
    noise = rng.normal(size=(len(rows), 6))
    vectors = signal * shown.vectors[rows] + 0.7 * shared[rows] + noise
    return Embeddings(vectors, shown.items.iloc[rows].assign(kind=kind, subject=people), "space")


def retrieval(task, seed=0, signal=1.0):
    shown = pictures(seed)
    n = len(shown)
    few = [*range(4), n - 1]
    eeg = recordings(shown, "eeg", {"a": np.tile(np.arange(n), 3), "b": few}, seed + 1, signal)
    fmri = recordings(shown, "fmri", {"b": np.arange(n), "c": range(6, 13)}, seed + 2, signal)
    if task == "decoding":
        repeated = np.concatenate([np.arange(n), np.repeat([0, 1], 4)])  # two pictures come often
        return eeg, shown.take(repeated), shown
    if task == "encoding":
        return shown, fmri, shown
    return eeg, fmri, shown


def values_of(task, seed=0, signal=1.0, judge=True):
    queries, gallery, shown = retrieval(task, seed, signal)
    pairs = Cosines(queries.vectors, gallery.vectors)
    return values_by_person(
        pairs, queries.items, gallery.items, shown if judge else None, **OPTIONS
    )


@pytest.mark.parametrize("task", ["decoding", "encoding", "conversion"])
def test_all_is_the_mean_over_people_in_every_metric(task):
    queries, gallery, shown = retrieval(task)
    scores = score_retrieval(
        queries, gallery, pictures=shown, n_permutations=0, **DESCRIBED, **OPTIONS
    )
    by = {(s.subject, s.metric): s for s in scores}
    people = {"decoding": "ab", "encoding": "bc", "conversion": "ab"}[task]
    for metric in ASKED.metrics:
        each = [by[p, metric] for p in people]
        together = by["all", metric]
        assert together.value == pytest.approx(np.mean([s.value for s in each])), metric
        assert together.chance == pytest.approx(np.mean([s.chance for s in each])), metric
        assert together.low <= together.value <= together.high
        assert together.n_queries == sum(s.n_queries for s in each)
    assert len({by[p, "top1"].n_queries for p in people}) == 2
    chances = {round(by[p, "top1"].chance, 6) for p in people}
    assert len(chances) == 2  # people whose level differs: their mean is not that of all queries


def test_in_conversion_the_people_of_both_sides_count_alike():
    """A person asks two people: the mean over these, of means over queries."""
    values = values_of("conversion")
    queries, gallery, _ = retrieval("conversion")
    cells = {}
    for asker, owner in product("ab", "bc"):
        q = (queries.items["subject"] == asker).to_numpy()
        g = (gallery.items["subject"] == owner).to_numpy()
        one = queries.take(q), gallery.take(g)
        found = values_by_person(
            Cosines(one[0].vectors, one[1].vectors),
            one[0].items,
            one[1].items,
            asked=ASKED,
            people="pooled",
        )
        cells[asker, owner] = found["all"]
    assert "top1" not in cells["b", "c"]  # they share no picture: b asks one person only
    for metric in ("top1", "balanced_accuracy", "median_rank", "class_average_precision"):
        found = {k: v[metric] for k, v in cells.items() if metric in v}
        scores, levels = (
            [np.mean([of(v) for (a, _), v in found.items() if a == asker]) for asker in "ab"]
            for of in (QueryValues.value, QueryValues.mean_chance)
        )
        assert values["all"][metric].value() == pytest.approx(np.mean(scores)), metric
        assert values["all"][metric].mean_chance() == pytest.approx(np.mean(levels)), metric
        assert values["b"][metric].value() == pytest.approx(scores[1]), metric


def test_weights_of_levels_within_levels():
    first = np.array([0, 0, 0, 0, 1, 1, 2])
    second = np.array([5, 5, 6, 6, 5, 7, 5])
    third = np.array([1, 2, 1, 1, 1, 1, 1])
    values = np.arange(7.0)
    of_first = np.mean([np.mean([0, 1]), np.mean([2, 3])]), np.mean([4, 5]), 6
    found = np.average(values, weights=balanced_weights(first, second, third))
    assert found == pytest.approx(np.mean(of_first))


@pytest.mark.parametrize(
    "metric", ["top1", "median_rank", "balanced_accuracy", "two_way_retrieved"]
)
def test_p_values_are_of_the_mean_over_people(metric):
    """The look-up against scoring anew, with every label of the queries swapped."""
    queries, gallery, shown = retrieval("decoding", signal=0.2)
    pairs = Cosines(queries.vectors, gallery.vectors)
    sides = queries.items, gallery.items
    values = values_by_person(pairs, *sides, shown, **OPTIONS)
    p = p_values_by_person(
        pairs, *sides, values, shown, asked=ASKED, separate=True, n_permutations=19, seed=4
    )
    units = values["all"][metric].clusters
    drawn = relabelling(units, units, queries.items["subject"], 19, seed=4)
    rows = drawn.labels(np.arange(len(queries)), np.arange(len(queries)))
    null = defaultdict(list)
    for labels in rows:
        other = queries.items.copy()
        for column in ("stimulus", "label"):
            other[column] = queries.items[column].to_numpy()[labels]
        anew = values_by_person(pairs, other, gallery.items, shown, **OPTIONS)
        for who in ("all", "a", "b"):
            found = anew[who][metric].value()
            null[who].append(-found if metric == "median_rank" else found)
    for who, scores in null.items():
        assert p[who, metric] == pytest.approx(p_value(scores[1:], scores[0])), who


def test_p_values_are_uniform_under_the_null():
    drawn = defaultdict(list)
    for seed in range(80):
        queries, gallery, _ = retrieval("decoding", 3 * seed, signal=0.0)
        pairs = Cosines(queries.vectors, gallery.vectors)
        sides = queries.items, gallery.items
        asked = Asked(metrics=("two_way_embedding", "mean_reciprocal_rank", "top1"))
        values = values_by_person(pairs, *sides, asked=asked, people="separate")
        p = p_values_by_person(
            pairs, *sides, values, asked=asked, separate=True, n_permutations=29, seed=seed
        )
        for metric in asked.metrics:
            drawn[metric].append(p["all", metric])
    for metric, values in drawn.items():
        assert kstest(values, "uniform", alternative="greater").pvalue > 0.005, metric
    for metric in ("two_way_embedding", "mean_reciprocal_rank"):
        assert kstest(drawn[metric], "uniform").pvalue > 0.005, metric


def scored(hits, sizes, seed=0):
    """Return the values of "all" where people hit so often; a picture is seen by all or by few."""
    rng = np.random.default_rng(seed)
    n = max(sizes)
    table = pd.DataFrame({"stimulus": [f"p{i}" for i in range(n)], "label": "x", "subject": None})
    rows = np.concatenate([rng.permutation(n)[:size] for size in sizes])
    people = np.repeat(list("abcdef"[: len(sizes)]), sizes)
    queries = table.iloc[rows].assign(subject=people).reset_index(drop=True)
    matrix = rng.uniform(size=(len(rows), n)) * 0.5
    good = rng.uniform(size=len(rows)) < np.repeat(hits, sizes)
    matrix[np.arange(len(rows)), rows] = np.where(good, 1.0, -1.0)
    found = values_by_person(
        Matrix(matrix), queries, table, asked=Asked(metrics=("top1",)), people="separate"
    )
    return found["all"]["top1"]


@pytest.mark.parametrize("sizes", [(60, 15), (40, 40), (80, 20, 20)])
def test_intervals_cover_the_mean_over_people(sizes):
    """Not the mean over queries, which such intervals miss where people differ."""
    truth = (0.85, 0.4, 0.6)[: len(sizes)]
    goal, of_queries = np.mean(truth), np.average(truth, weights=sizes)
    intervals = [scored(truth, sizes, seed).interval(n_boot=300) for seed in range(250)]
    held = [i.low <= goal <= i.high for i in intervals]
    assert 0.91 <= np.mean(held) <= 0.985
    # as wide as the people's own variances say, who count alike
    error = np.sqrt(sum(p * (1 - p) / n for p, n in zip(truth, sizes, strict=True))) / len(sizes)
    width = np.median([i.high - i.low for i in intervals]) / (2 * 1.96)
    assert width == pytest.approx(error, rel=0.12)
    if len(set(sizes)) > 1:
        assert np.mean([i.low <= of_queries <= i.high for i in intervals]) < 0.85


def test_the_number_of_a_persons_queries_that_are_drawn_adds_nothing():
    """Each person always right or always wrong: which queries are drawn changes nothing."""
    values = scored((1.0, 0.0), (30, 6))
    interval = values.interval()
    assert interval.value == pytest.approx(0.5) == values.value()
    assert interval.low > 0.35 and interval.high < 0.65  # the exact binomial bounds
    pooled = replace(values, strata=None)
    assert pooled.value() == pytest.approx(30 / 36)


def test_paired_differences_and_ratios_weigh_people_alike():
    ours, theirs = scored((0.9, 0.5), (40, 10), 1), scored((0.6, 0.5), (40, 10), 1)
    difference = compare(ours, theirs)
    person = np.repeat([0, 1], [40, 10])
    raw = ours.values - theirs.values  # noqa: PD011
    by_person = [raw[person == i].mean() for i in (0, 1)]
    assert difference.value == pytest.approx(np.mean(by_person))
    assert difference.low < difference.value < difference.high
    assert difference.value == pytest.approx(ours.value() - theirs.value())
    swapped = compare(theirs, ours)
    assert (-swapped.high, -swapped.low) == pytest.approx((difference.low, difference.high))
    ratio = ratio_interval(ours, theirs)
    assert ratio.value == pytest.approx(ours.value() / theirs.value())
    # A difference of the person with few queries alone counts as half of one of all.
    alone = replace(ours, values=theirs.values + (person == 1))  # noqa: PD011
    assert compare(alone, theirs).value == pytest.approx(0.5)
    assert difference_p_value(alone, theirs) < 0.02


def test_ceilings_stand_beside_as_the_mean_over_people():
    queries, gallery, shown = retrieval("decoding", signal=1.0)
    best = values_by_person(
        Cosines(retrieval("decoding", signal=9.0)[0].vectors, gallery.vectors),
        queries.items,
        gallery.items,
        shown,
        **OPTIONS,
    )
    scores = score_retrieval(
        queries,
        gallery,
        pictures=shown,
        ceiling=Ceiling("best", best),
        n_permutations=0,
        **DESCRIBED,
        **OPTIONS,
    )
    by = {(s.subject, s.metric): s for s in scores}
    for metric in ("top1", "two_way_embedding", "median_rank", "class_average_precision"):
        together = by["all", metric]
        each = [by[p, metric].ceiling for p in "ab"]
        assert together.ceiling == pytest.approx(np.mean(each))
        if metric in ("top1", "two_way_embedding"):
            way = (together.value - together.chance) / (together.ceiling - together.chance)
            assert together.share == pytest.approx(way)


@pytest.mark.parametrize("metric", ["top1", "median_rank"])
def test_a_wrong_chance_level_of_the_person_with_few_queries_is_an_error(monkeypatch, metric):
    queries, _, gallery = retrieval("decoding", signal=0.5)
    options = DESCRIBED | OPTIONS | {"pictures": gallery, "n_permutations": 0, "n_boot": 20}
    score_retrieval(queries, gallery, **options)

    def wrong(*args, **more):
        values = values_by_person(*args, **more)
        each = values["all"][metric]
        few = each.positions >= 54
        chance = np.where(few, each.chance + (0.5 if metric == "top1" else 12), each.chance)
        values["all"][metric] = replace(each, chance=chance)
        return values

    monkeypatch.setattr(tasks, "values_by_person", wrong)
    with pytest.raises(NeuroalignError, match=f"the chance level of {metric} is computed as"):
        score_retrieval(queries, gallery, **options)


def test_order_of_queries_moves_nothing():
    queries, gallery, shown = retrieval("decoding", signal=0.3)
    matrix = queries.vectors @ gallery.vectors.T
    order = np.random.default_rng(0).permutation(len(queries))
    options = DESCRIBED | OPTIONS | {"pictures": shown, "n_permutations": 19}
    straight = score_matrix(matrix, queries.items, gallery.items, **options)
    mixed = score_matrix(matrix[order], queries.items.iloc[order], gallery.items, **options)
    other = {(s.subject, s.metric): s for s in mixed}
    for s in straight:
        o = other[s.subject, s.metric]
        assert (o.value, o.low, o.high, o.chance, o.p) == pytest.approx(
            (s.value, s.low, s.high, s.chance, s.p)
        )
