"""P-values of whole retrievals: uniform under the null, and those of scoring anew."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation import confirmation
from neuroalign.evaluation.confirmation import confirm_chance
from neuroalign.evaluation.pairs import Cosines, Matrix
from neuroalign.evaluation.permutation import relabelling
from neuroalign.evaluation.queries import BY_ITEM, Asked, query_values
from neuroalign.evaluation.shuffled import shuffled_scores
from neuroalign.evaluation.tasks import score_retrieval
from neuroalign.retrieval import Embeddings

EVERY = Asked(
    metrics=(
        *("top1", "top5", "class_top1", "class_top5", "class_accuracy", "balanced_accuracy"),
        *("two_way_embedding", "two_way_retrieved", "median_rank", "mean_reciprocal_rank"),
        *("class_average_precision", "k_way"),
    ),
    k=6,
)


def retrieval(seed, signal=0.0, pictures=16, people=3, classes=4, *, encoding=False, known=True):
    """Simulated embeddings; all of one picture's recordings are alike, whatever it shows."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(pictures, 5))
    table = pd.DataFrame(
        {
            "kind": "picture",
            "stimulus": [f"p{i:02d}" for i in range(pictures)],
            "label": [f"c{i % classes}" for i in range(pictures)],
            "subject": None,
        }
    )
    rows = np.repeat(np.arange(pictures), people)
    alike = rng.normal(size=(pictures, 5))[rows]
    recorded = signal * vectors[rows] + alike + 0.5 * rng.normal(size=(len(rows), 5))
    items = table.iloc[rows].assign(
        kind="eeg", subject=[f"s{i % people}" for i in range(len(rows))]
    )
    recordings = Embeddings(recorded, items if known else items.assign(stimulus=None), "x")
    shown = Embeddings(vectors, table, "x")
    return (shown, recordings, shown) if encoding else (recordings, shown, shown)


def score(queries, gallery, judge, asked=EVERY, n=99, seed=0):
    pairs = Cosines(queries.vectors, gallery.vectors)
    found = query_values(pairs, queries.items, gallery.items, judge, asked=asked)
    groups = {"all": np.ones(len(queries), bool)}
    options = {"asked": asked, "n_permutations": n, "seed": seed}
    tallies = shuffled_scores(pairs, queries.items, gallery.items, found, groups, judge, **options)
    return found, {key: tally.scores() for key, tally in tallies.items()}


@pytest.mark.parametrize("encoding", [False, True])
def test_the_look_up_is_scoring_anew_under_other_labels(encoding):
    queries, gallery, judge = retrieval(0, 0.4, encoding=encoding)
    found, null = score(queries, gallery, judge, n=6, seed=3)
    values = found["top1"]
    who = queries.items["subject"].map(str) if not encoding else np.zeros(len(queries))
    drawn = relabelling(values.clusters, values.clusters, who, 6, seed=3)
    rows = drawn.labels(np.arange(len(queries)), np.arange(len(queries)))
    pairs = Cosines(queries.vectors, gallery.vectors)
    for number, labels in enumerate(rows):
        other = queries.items.copy()
        other["stimulus"] = queries.items["stimulus"].to_numpy()[labels]
        other["label"] = queries.items["label"].to_numpy()[labels]
        anew = query_values(pairs, other, gallery.items, judge, asked=EVERY)
        for metric, each in anew.items():
            if encoding and metric not in {*BY_ITEM, "two_way_embedding", "k_way"}:
                continue  # the candidates' labels are shuffled: test_shuffled_candidates.py
            mean = np.average(each.values, weights=each.weights)
            if metric == "median_rank":
                mean = -np.median(each.values)
            assert null["all", metric][number] == pytest.approx(mean, rel=1e-6), metric


@pytest.mark.parametrize("encoding", [False, True])
def test_p_values_are_uniform_under_the_null_whatever_recordings_have_in_common(encoding):
    found = {}
    for seed in range(100):
        _, null = score(*retrieval(seed, encoding=encoding), n=59, seed=seed)
        for (_, metric), scores in null.items():
            p = (1 + (scores[1:] >= scores[0] - 1e-9).sum()) / 60
            found.setdefault(metric, []).append(p)
    assert set(found) == set(EVERY.metrics)
    for metric, values in found.items():
        # Where few scores are possible, ties make p-values larger: never smaller.
        assert kstest(values, "uniform", alternative="greater").pvalue > 0.01, metric
    for metric in ("two_way_embedding", "mean_reciprocal_rank"):
        assert kstest(found[metric], "uniform").pvalue > 0.01, metric


@pytest.mark.parametrize("encoding", [False, True])
def test_a_signal_is_found_for_all_and_for_each_person(encoding):
    queries, gallery, judge = retrieval(2, 3.0, encoding=encoding)
    source, target = ("pictures", "eeg") if encoding else ("eeg", "pictures")
    scores = score_retrieval(
        queries,
        gallery,
        **{"task": "encoding" if encoding else "decoding", "source": source, "target": target},
        **{"model": "m", "items": "i", "pictures": judge, "n_permutations": 199},
    )
    two_way = {s.subject: s for s in scores if s.metric == "two_way_embedding"}
    assert set(two_way) == {"all", "s0", "s1", "s2"}
    assert all(s.p == pytest.approx(1 / 200) for s in two_way.values())


@pytest.mark.parametrize("encoding", [False, True])
@pytest.mark.parametrize("known", [True, False])
def test_block_size_and_order_change_no_p_value(monkeypatch, encoding, known):
    queries, gallery, judge = retrieval(3, 0.5, encoding=encoding, known=known)
    _, straight = score(queries, gallery, judge)
    order = np.random.default_rng(0).permutation(len(queries))
    back = np.random.default_rng(1).permutation(len(gallery))
    _, mixed = score(queries.take(order), gallery.take(back), judge)
    monkeypatch.setattr("neuroalign.evaluation.pairs.BLOCK_BYTES", 4096)
    monkeypatch.setattr("neuroalign.evaluation.shuffled._CELLS", 300)
    monkeypatch.setattr("neuroalign.evaluation.shuffled_candidates._CELLS", 300)
    _, small = score(queries, gallery, judge)
    assert len(straight) == (len(EVERY.metrics) if known else 8)
    for key, values in straight.items():
        for other in (mixed, small):
            np.testing.assert_allclose(other[key], values, rtol=1e-5, err_msg=str(key))


def test_right_chance_levels_are_confirmed():
    for seed, encoding in ((4, False), (5, True)):
        queries, gallery, judge = retrieval(seed, 0.5, pictures=15, encoding=encoding)
        pairs = Cosines(queries.vectors, gallery.vectors)
        found = query_values(pairs, queries.items, gallery.items, judge, asked=EVERY)
        confirm_chance(pairs, queries.items, gallery.items, found, judge, where="here", asked=EVERY)


def test_a_wrong_median_is_an_error_that_names_both():
    queries, gallery, judge = retrieval(6, 0.5)
    pairs = Cosines(queries.vectors, gallery.vectors)
    found = query_values(pairs, queries.items, gallery.items, judge, asked=EVERY)
    assert found["median_rank"].level == 8.5
    confirm_chance(pairs, queries.items, gallery.items, found, judge, where="", asked=EVERY)
    for wrong in (6.5, 10.5):
        found["median_rank"] = replace(found["median_rank"], level=wrong)
        with pytest.raises(NeuroalignError, match=rf"median_rank is computed as {wrong:.4f}, but"):
            confirm_chance(pairs, queries.items, gallery.items, found, judge, where="", asked=EVERY)


@pytest.mark.parametrize("decoder", ["random", "heavy tails", "perfect"])
@pytest.mark.parametrize("asked", ["abcd", "ab"])
@pytest.mark.parametrize("sizes", [(3, 3, 20, 20), (20, 20, 3, 3), (1, 3, 8, 28), (5, 5, 5, 5)])
def test_chance_of_class_accuracy_is_confirmed_whatever_the_sizes(sizes, asked, decoder):
    """Whatever the scores are like: what is confirmed is the level of a random decoder."""
    rng = np.random.default_rng(0)
    label = np.repeat(list("abcd"), sizes)
    gallery = pd.DataFrame({"stimulus": None, "label": label, "subject": None})
    rows = np.resize([int(np.argmax(label == c)) for c in asked], 300)
    queries = gallery.iloc[rows].assign(subject="s").reset_index(drop=True)
    matrix = (label == queries["label"].to_numpy()[:, None]).astype(float)
    if decoder != "perfect":
        draw = rng.standard_normal if decoder == "random" else partial(rng.standard_t, 2)
        matrix = draw(size=matrix.shape)
    metrics = ("class_accuracy", "balanced_accuracy")
    every = Asked(metrics=metrics)
    found = query_values(matrix, queries, gallery, asked=every)
    options = {"where": "here", "asked": every}
    confirm_chance(Matrix(matrix), queries, gallery, found, **options)
    for metric in metrics:
        right = found[metric].mean_chance()
        for wrong in {0.25, right + 0.04, right - 0.04}:
            if abs(wrong - right) < 0.03:
                continue  # this is 1 / 4 for all classes together
            off = {metric: replace(found[metric], chance=np.full(300, wrong))}
            with pytest.raises(NeuroalignError, match=rf"{metric} is computed as {wrong:.4f}, but"):
                confirm_chance(Matrix(matrix), queries, gallery, off, **options)


@pytest.mark.parametrize("metric", ["top1", "class_top5", "two_way_retrieved", "k_way"])
def test_a_wrong_chance_level_is_an_error_that_names_both(metric):
    queries, gallery, judge = retrieval(6, 0.5)
    pairs = Cosines(queries.vectors, gallery.vectors)
    found = query_values(pairs, queries.items, gallery.items, judge, asked=EVERY)
    right = found[metric].mean_chance()
    found[metric] = replace(found[metric], chance=found[metric].chance * 0.5)
    message = rf"decoding: the chance level of {metric} is computed as {right / 2:.4f}, but"
    with pytest.raises(NeuroalignError, match=message):
        confirm_chance(
            pairs, queries.items, gallery.items, found, judge, where="decoding", asked=EVERY
        )


def test_a_level_at_which_hardly_any_miss_is_drawn_is_confirmed():
    # Five of eight right ones in 16: one order in 78 has none among the first five, and all
    # pictures of a class see the same order.
    label = np.repeat(["a", "b"], 8)
    gallery = pd.DataFrame({"stimulus": None, "label": label, "subject": "s"})
    queries = gallery.assign(subject=None)
    row = np.random.default_rng(0).normal(size=16)
    asked = Asked(metrics=("class_top5", "class_top1"))
    options = {"where": "here", "asked": asked}
    for seed in range(30):
        found = query_values(np.tile(row, (16, 1)), queries, gallery, asked=asked)
        assert found["class_top5"].mean_chance() == pytest.approx(1 - 56 / 4368)
        pairs = Matrix(np.tile(row, (16, 1)))
        confirm_chance(pairs, queries, gallery, found, seed=seed, **options)
    found["class_top5"] = replace(found["class_top5"], chance=np.full(16, 0.8))
    with pytest.raises(NeuroalignError, match=r"class_top5 is computed as 0\.8000, but"):
        confirm_chance(pairs, queries, gallery, found, **options)


def test_a_decoder_that_ties_everywhere_is_at_chance_and_p_one():
    queries, gallery, judge = retrieval(7)
    flat = Matrix(np.zeros((len(queries), len(gallery))))
    found = query_values(flat, queries.items, gallery.items, judge, asked=EVERY)
    confirm_chance(flat, queries.items, gallery.items, found, judge, where="", asked=EVERY)
    groups = {"all": np.ones(len(queries), bool)}
    null = shuffled_scores(
        flat, queries.items, gallery.items, found, groups, judge, asked=EVERY, n_permutations=19
    )
    for key in (("all", "top1"), ("all", "two_way_embedding"), ("all", "class_top5")):
        np.testing.assert_allclose(null[key].scores(), null[key].scores()[0])
    assert confirmation.ORDERS >= 100
