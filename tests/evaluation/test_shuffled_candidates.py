"""P-values of encoding: what the recordings among the candidates show is shuffled."""

from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from neuroalign.evaluation.pairs import Matrix
from neuroalign.evaluation.permutation import canonical_order, p_value, relabelling, unit_names
from neuroalign.evaluation.queries import Asked, query_values, unit_keys
from neuroalign.evaluation.shuffled import shuffled_scores
from neuroalign.retrieval import Embeddings

BY_CLASS = (
    *("class_top1", "class_top5", "class_accuracy", "balanced_accuracy"),
    *("class_average_precision", "two_way_retrieved"),
)
EVERY = (*BY_CLASS, "two_way_embedding", "k_way")


def encoding(seed, *, known, pictures=24, classes=3, blocks=False, uneven=False, noise=0.3):
    """Pictures that resemble their class, and recordings that show none of it.

    All recordings of a picture (or block) are alike for reasons of their own.
    """
    rng = np.random.default_rng(seed)
    kind = np.arange(pictures) % classes
    vectors = rng.normal(size=(classes, 4))[kind] + noise * rng.normal(size=(pictures, 4))
    table = pd.DataFrame(
        {
            "kind": "picture",
            "stimulus": [f"p{i:02d}" for i in range(pictures)],
            "label": [f"c{i}" for i in kind],
            "subject": None,
        }
    )
    times = np.full(pictures, 2)
    if uneven:
        times[:5] = 4
    rows = np.repeat(np.arange(pictures), times)
    alike = rng.normal(size=(pictures, 4))[rows]
    items = table.iloc[rows].assign(kind="eeg", subject=[f"s{i % 2}" for i in range(len(rows))])
    if blocks:
        items["block"], items["subject"] = items["stimulus"], "s0"
    if not known:
        items, alike = (
            items.assign(stimulus=None),
            alike if blocks else rng.normal(size=alike.shape),
        )
    recorded = alike + 0.3 * rng.normal(size=alike.shape)
    shown = Embeddings(vectors, table, "x")
    return shown, Embeddings(recorded, items, "x")


def shuffled(queries, gallery, matrix, asked, n, seed):
    pairs, everybody = Matrix(matrix), {"all": np.ones(len(queries), bool)}
    found = query_values(pairs, queries.items, gallery.items, queries, asked=asked)
    tallies = shuffled_scores(
        pairs,
        queries.items,
        gallery.items,
        found,
        everybody,
        queries,
        asked=asked,
        n_permutations=n,
        seed=seed,
    )
    return {metric: tally.scores() for (_, metric), tally in tallies.items()}


@pytest.mark.parametrize("ties", ["shared", "last"])
@pytest.mark.parametrize("digits", [1, 7])
@pytest.mark.parametrize(("known", "blocks"), [(True, False), (False, True), (False, False)])
def test_the_look_up_is_scoring_anew_with_other_candidates(known, blocks, digits, ties):
    queries, gallery = encoding(0, known=known, blocks=blocks, uneven=True)
    matrix = np.round(queries.vectors @ gallery.vectors.T, digits)
    asked = Asked(metrics=BY_CLASS if known else EVERY, k=4, ties=ties)
    null = shuffled(queries, gallery, matrix, asked, 6, 3)
    assert set(null) == set(asked.metrics)
    items, owner = gallery.items, gallery.items["subject"].to_numpy(str)
    units = unit_names(
        unit_keys(items, None), owner, lambda: canonical_order(Matrix(matrix), of_candidates=True)
    )
    people = (
        items.groupby("stimulus")["subject"].agg(lambda s: "".join(sorted(set(s))))
        if known
        else None
    )
    who = items["stimulus"].map(people) if known else owner
    key = items["stimulus"] if known else items["label"]
    drawn = relabelling(units, key, who, 6, seed=3)
    rows = drawn.labels(np.arange(len(gallery)), np.arange(len(gallery)))
    assert len(np.unique(items["label"].to_numpy(str)[rows], axis=0)) > 3
    for number, labels in enumerate(rows):
        other = items.copy()
        for column in ("stimulus", "label"):
            other[column] = items[column].to_numpy()[labels]
        anew = query_values(Matrix(matrix), queries.items, other, queries, asked=asked)
        for metric, each in anew.items():
            mean = np.average(each.values, weights=each.weights)
            assert null[metric][number] == pytest.approx(mean, rel=1e-6), metric


@pytest.mark.parametrize(("known", "blocks"), [(True, False), (False, True), (False, False)])
def test_p_values_are_uniform_though_pictures_of_a_class_are_alike(known, blocks):
    found = defaultdict(list)
    asked = Asked(metrics=BY_CLASS if known else EVERY, k=4)
    for seed in range(60):
        queries, gallery = encoding(seed, known=known, blocks=blocks, pictures=15)
        matrix = queries.vectors @ gallery.vectors.T
        rng = np.random.default_rng(seed)
        for metric, scores in shuffled(queries, gallery, matrix, asked, 39, seed).items():
            found[metric].append(drawn_p_value(scores, rng))
            assert p_value(scores[1:], scores[0]) >= found[metric][-1]
    assert set(found) == set(asked.metrics)
    for metric, values in found.items():
        assert kstest(values, "uniform").pvalue > 0.005, metric


def drawn_p_value(scores, rng):
    """Return the p-value with ties decided by lot: uniform even where few scores are possible."""
    better = (scores[1:] > scores[0] + 1e-9).sum()
    tied = (np.abs(scores[1:] - scores[0]) <= 1e-9).sum() + 1
    return (better + rng.random() * tied) / len(scores)


def test_a_signal_is_found():
    queries, gallery = encoding(1, known=False)
    own = queries.items["label"].to_numpy()[:, None] == gallery.items["label"].to_numpy()
    matrix = own + np.random.default_rng(0).normal(0, 0.3, own.shape)
    for metric, scores in shuffled(queries, gallery, matrix, Asked(EVERY, k=4), 99, 0).items():
        assert scores[0] >= scores[1:].max(), metric
        assert metric == "class_top5" or scores[0] > scores[1:].max(), metric
