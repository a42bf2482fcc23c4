"""P-values of items that are asked of each other."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from neuroalign.evaluation.mutual import MutualRetrieval, among_others, picture_geometry
from neuroalign.evaluation.pairs import Cosines
from neuroalign.evaluation.per_query import joined
from neuroalign.evaluation.permutation import p_value
from neuroalign.evaluation.queries import Asked, query_values
from neuroalign.retrieval import Embeddings

ASKED = Asked(metrics=("two_way_embedding", "two_way_retrieved"))


def recordings(seed, people=2, pictures=8, *, by="stimulus", signal=0.0, digits=9, apart=False):
    """Recordings of several people; those of one person and picture are alike.

    The first picture of each person was shown three times, the others once or twice.
    """
    rng = np.random.default_rng(seed)
    shown = rng.normal(size=(pictures, 3))
    parts = []
    for person in range(people):
        times = 1 + np.arange(pictures) % 2
        times[0] = 3
        rows = np.repeat(np.arange(pictures), times)
        vectors = signal * shown[rows] + rng.normal(size=(pictures, 3))[rows]
        vectors = 0.01 + np.round(vectors + 0.3 * rng.normal(size=vectors.shape), digits)
        table = pd.DataFrame(
            {
                "kind": "eeg",
                "stimulus": [f"p{i}{person if apart else ''}" for i in rows],
                "label": [f"c{i % 3}" for i in rows],
                "subject": f"s{person}",
            }
        )
        if by == "label":
            table["stimulus"], table["block"] = None, [f"b{i}" for i in rows]
        parts.append((vectors, table))
    vectors, tables = zip(*parts, strict=True)
    return Embeddings(np.concatenate(vectors), pd.concat(tables, ignore_index=True), "x")


def anew(items, judge=None):
    """Score each person's items among those of the others."""
    owner, parts = items.items["subject"].to_numpy(str), {}
    for person in np.unique(owner):
        own, others = items.take(owner == person), items.take(owner != person)
        pairs = Cosines(own.vectors, others.vectors)
        parts[person] = query_values(pairs, own.items, others.items, judge, asked=ASKED)
    metrics = set.intersection(*(set(p) for p in parts.values()))
    return {
        m: np.mean(joined({s: p[m] for s, p in parts.items()}, len(items), by_person=False).values)
        for m in metrics
    }


def judge_of(items):
    names = np.unique(items.items["stimulus"].astype(str))
    table = pd.DataFrame({"kind": "picture", "stimulus": names, "label": "c", "subject": None})
    return Embeddings(np.random.default_rng(9).normal(size=(len(names), 4)), table, "j")


@pytest.mark.parametrize("look_up", [0, 200])
@pytest.mark.parametrize("digits", [0, 9])
@pytest.mark.parametrize(("by", "people"), [("stimulus", 2), ("stimulus", 3), ("label", 3)])
def test_the_look_up_is_scoring_anew_with_labels_moved_on_both_sides(
    monkeypatch, by, people, digits, look_up
):
    monkeypatch.setattr("neuroalign.evaluation.mutual._LOOK_UP", look_up)  # one way or the other
    items = recordings(0, people, by=by, digits=digits)
    mutual = MutualRetrieval(items, items.items["subject"], by, n_permutations=8, seed=2)
    scores = mutual.two_way().scores()
    assert scores[0] == pytest.approx(anew(items)["two_way_embedding"])
    labels = mutual.labels()
    assert (labels[0] == items.items[by]).all() and len(np.unique(labels, axis=0)) == 9
    for number, names in enumerate(labels):
        other = Embeddings(items.vectors, items.items.assign(**{by: names}), "x")
        assert scores[number] == pytest.approx(anew(other)["two_way_embedding"])


def test_the_retrieved_look_up_is_scoring_anew():
    items = recordings(1, 3, apart=True, digits=1)
    items = Embeddings(items.vectors, items.items.assign(label=None), "x")
    judge = judge_of(items)
    mutual = MutualRetrieval(items, items.items["subject"], "stimulus", n_permutations=6)
    scores = mutual.retrieved(judge, "stimulus").scores()
    for number, names in enumerate(mutual.labels()):
        other = Embeddings(items.vectors, items.items.assign(stimulus=names), "x")
        assert scores[number] == pytest.approx(anew(other, judge)["two_way_retrieved"])


@pytest.mark.parametrize("by", ["stimulus", "label"])
def test_p_values_are_uniform_though_each_direction_repeats_the_other(by):
    found = []
    for seed in range(200):
        items = recordings(seed, 2, by=by)
        scores = MutualRetrieval(
            items, items.items["subject"], by, n_permutations=59, seed=seed
        ).two_way()
        found.append(p_value(scores.scores()[1:], scores.scores()[0]))
    assert kstest(found, "uniform").pvalue > 0.01


def test_the_retrieved_p_values_are_uniform():
    found = []
    for seed in range(100):
        items = recordings(seed, 2, apart=True)
        mutual = MutualRetrieval(
            items, items.items["subject"], "stimulus", n_permutations=59, seed=seed
        )
        scores = mutual.retrieved(judge_of(items), "stimulus").scores()
        found.append(p_value(scores[1:], scores[0]))
    assert kstest(found, "uniform").pvalue > 0.01


def test_order_and_blocks_change_no_score(monkeypatch):
    items = recordings(3, 3, signal=0.5)
    for table, by in ((items.items, "stimulus"), (items.items.assign(stimulus=None), "label")):
        here = Embeddings(items.vectors, table, "x")
        order = np.random.default_rng(0).permutation(len(here))
        mixed = here.take(order)
        straight, other = (
            MutualRetrieval(i, i.items["subject"], by, n_permutations=19).two_way().scores()
            for i in (here, mixed)
        )
        np.testing.assert_allclose(straight, other)
        with monkeypatch.context() as patched:
            patched.setattr("neuroalign.evaluation.pairs.BLOCK_BYTES", 4096)
            patched.setattr("neuroalign.evaluation.mutual._CELLS", 300)
            small = MutualRetrieval(here, table["subject"], by, n_permutations=19).two_way()
        np.testing.assert_allclose(straight, small.scores())


def test_people_who_respond_alike_are_found():
    items = recordings(4, 3, signal=3.0, pictures=12)
    scores = MutualRetrieval(items, items.items["subject"], "stimulus").two_way().scores()
    assert p_value(scores[1:], scores[0]) == pytest.approx(1 / 1001)


def spaces(seed, n, signal=0.0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "kind": "picture",
            "stimulus": [f"p{i:02d}" for i in rng.permutation(n)],
            "label": "c",
            "subject": None,
        }
    )
    own = rng.normal(size=(n, 4))
    return Embeddings(signal * own + rng.normal(size=(n, 4)), table, "run"), Embeddings(
        own, table, "encoder"
    )


def test_picture_geometry_swaps_places():
    pictures, judge = spaces(0, 9, 0.5)
    asked = Asked(metrics=("two_way_retrieved",))
    scores = picture_geometry(pictures, judge, n_permutations=2000).scores()

    def score(table):
        matrix = among_others(pictures.vectors)
        found = query_values(matrix, table, table, judge, asked=asked)
        return np.mean(found["two_way_retrieved"].values)

    assert scores[0] == pytest.approx(score(pictures.items))
    rng = np.random.default_rng(1)
    drawn = [
        score(pictures.items.assign(stimulus=rng.permutation(pictures.items["stimulus"])))
        for _ in range(200)
    ]
    assert kstest(drawn, scores[1:]).pvalue > 0.01
    # over all places that pictures could swap, exactly one half: a picture is no answer to itself
    assert scores[1:].mean() == pytest.approx(0.5, abs=5 * scores[1:].std() / 2000**0.5)
    order = rng.permutation(9)
    other = picture_geometry(pictures.take(order), judge.take(order[::-1]), n_permutations=50)
    np.testing.assert_allclose(
        other.scores(), picture_geometry(pictures, judge, n_permutations=50).scores()
    )


def test_p_values_of_picture_geometry_are_uniform():
    found = []
    for seed in range(120):
        scores = picture_geometry(*spaces(seed, 10), n_permutations=59, seed=seed).scores()
        found.append(p_value(scores[1:], scores[0]))
    assert kstest(found, "uniform").pvalue > 0.01
    scores = picture_geometry(*spaces(0, 30, 5.0)).scores()
    assert p_value(scores[1:], scores[0]) == pytest.approx(1 / 1001)
