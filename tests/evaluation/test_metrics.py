"""Each metric equals an independent computation, with ties and duplicates."""

import tracemalloc
from math import comb

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.chance import (
    chance_class_accuracy,
    chance_top_k,
    chance_two_way_from_retrieved,
)
from neuroalign.evaluation.metrics import (
    balanced_weights,
    class_accuracy,
    top_k,
    two_way,
    two_way_from_retrieved,
)
from neuroalign.evaluation.pairs import Cosines


def unit(vectors):
    vectors = np.asarray(vectors, np.float64)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


@st.composite
def retrievals(draw):
    """Scores with many ties, and identities with several right candidates or one."""
    n_q, n_g = draw(st.integers(1, 5)), draw(st.integers(2, 25))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = rng.integers(0, draw(st.integers(1, 9)) + 1, (n_q, n_g)).astype(np.float32)
    gallery = rng.integers(0, draw(st.integers(2, 6)), n_g)
    assume(len(set(gallery)) > 1)
    return scores, rng.choice(gallery, n_q), gallery


@pytest.mark.parametrize("k", [1, 5])
def test_top_k_equals_scikit_learn_without_ties(k):
    rng = np.random.default_rng(0)
    scores, queries, gallery = rng.normal(size=(200, 30)), rng.integers(0, 30, 200), np.arange(30)
    found = top_k(scores, queries, gallery, k).mean()
    assert found == pytest.approx(top_k_accuracy_score(queries, scores, k=k, labels=gallery))


@given(retrievals())
@settings(deadline=None, max_examples=100)
def test_two_way_is_the_area_under_each_rows_roc_curve(retrieval):
    scores, queries, gallery = retrieval
    expected = [roc_auc_score(gallery == q, row) for row, q in zip(scores, queries, strict=True)]
    np.testing.assert_allclose(two_way(scores, queries, gallery), expected, atol=1e-12)


@given(retrievals())
@settings(deadline=None, max_examples=50)
def test_two_way_counts_pairs(retrieval):
    scores, queries, gallery = retrieval
    for row, q, found in zip(scores, queries, two_way(*retrieval), strict=True):
        right, wrong = row[gallery == q][:, None], row[gallery != q][None]
        assert found == pytest.approx(np.mean((right > wrong) + 0.5 * (right == wrong)))


@pytest.mark.parametrize("block_bytes", [1, 1000, 2**25])
def test_two_way_of_embeddings_is_two_way_of_the_cosines(block_bytes):
    rng = np.random.default_rng(1)
    queries, gallery = unit(rng.normal(size=(40, 12))), unit(rng.normal(size=(60, 12)))
    q_ids, g_ids = rng.integers(0, 9, 40), np.arange(60) % 9
    found = two_way(Cosines(queries, gallery), q_ids, g_ids, block_bytes)
    np.testing.assert_allclose(found, two_way(queries @ gallery.T, q_ids, g_ids), atol=1e-12)


@given(retrievals(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_two_way_does_not_depend_on_item_order(retrieval, random):
    scores, queries, gallery = retrieval
    order = random.sample(range(len(gallery)), len(gallery))
    shuffled = two_way(scores[:, order], queries, gallery[order])
    np.testing.assert_allclose(shuffled, two_way(*retrieval), atol=1e-12)


def brute_retrieved(p, candidates, own, r):
    """Follow the definition word by word."""
    if own == r:
        return 1.0
    cosine = (candidates.astype(float) @ p.astype(float)).astype(np.float32)
    wins = [
        1.0 if cosine[r] > cosine[d] else 0.5 if cosine[r] == cosine[d] else 0.0
        for d in range(len(candidates))
        if d not in (own, r)
    ]
    return np.mean(wins)


@st.composite
def picture_sets(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, q = draw(st.integers(3, 12)), draw(st.integers(1, 5))
    # Small integers in two dimensions: equal cosines, and pictures with the same content.
    candidates = unit(rng.integers(1, 4, (n, 2)))
    own = rng.integers(-1, n, q)
    pictures = np.where(own[:, None] < 0, unit(rng.integers(1, 4, (q, 2))), candidates[own])
    return pictures.astype(np.float32), candidates, own, rng


@given(picture_sets(), st.sampled_from([1, 2**20]))
@settings(deadline=None, max_examples=100)
def test_two_way_from_retrieved_follows_its_definition(pictures_set, block_bytes):
    pictures, candidates, own, rng = pictures_set
    retrieved = rng.integers(0, len(candidates), len(own))
    # Two candidates leave no distractor only if the own picture is one and not retrieved.
    expected = [
        brute_retrieved(p, candidates, o, r)
        for p, o, r in zip(pictures, own, retrieved, strict=True)
    ]
    found = two_way_from_retrieved(pictures, candidates, own, retrieved, block_bytes)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(picture_sets(), st.booleans())
@settings(deadline=None, max_examples=100)
def test_chance_from_retrieved_is_the_mean_over_every_possible_retrieval(pictures_set, even):
    pictures, candidates, own, rng = pictures_set
    n = len(candidates)
    multiplicity = np.full(n, 2) if even else rng.integers(1, 5, n)
    expected = np.zeros(len(own))
    for r in range(n):
        drawn = two_way_from_retrieved(pictures, candidates, own, np.full(len(own), r))
        expected += multiplicity[r] / multiplicity.sum() * drawn
    found = chance_two_way_from_retrieved(pictures, candidates, own, multiplicity)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_retrieved_needs_a_distractor():
    pictures = unit(np.eye(2))
    with pytest.raises(NeuroalignError, match="at least three"):
        two_way_from_retrieved(pictures, pictures, np.array([0, 1]), np.array([1, 0]))


def test_class_accuracy_of_cosines_is_the_nearest_class_mean():
    rng = np.random.default_rng(2)
    queries, gallery = unit(rng.normal(size=(150, 10))), unit(rng.normal(size=(90, 10)))
    labels = np.array(["cat", "house", "tool"])[np.repeat([0, 1, 2], [20, 30, 40])]
    truth = rng.choice(["cat", "house", "tool"], 150, p=[0.6, 0.3, 0.1])
    centroids = np.stack([gallery[labels == c].mean(0) for c in ("cat", "house", "tool")])
    scale = np.linalg.norm(centroids, axis=1)
    # Add a coordinate that makes all centroids equally long, so that distance orders as product.
    longest = scale.max() + 1
    extra = np.sqrt(longest**2 - scale**2)[:, None]
    reference = KNeighborsClassifier(1).fit(np.hstack([centroids, extra]), ["cat", "house", "tool"])
    predicted = reference.predict(np.hstack([queries, np.zeros((150, 1))]))
    hits = class_accuracy(queries @ gallery.T, truth, labels)
    assert np.array_equal(hits, predicted == truth)
    balanced = np.average(hits, weights=balanced_weights(truth))
    assert balanced == pytest.approx(balanced_accuracy_score(truth, predicted))


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
@settings(deadline=None, max_examples=30)
def test_chance_top_k_equals_a_count_of_subsets(seed, k):
    rng = np.random.default_rng(seed)
    gallery, queries = rng.integers(0, 4, 9), np.arange(5)  # class 4 is in no gallery
    right = [(gallery == q).sum() for q in queries]
    expected = [1 - comb(9 - m, k) / comb(9, k) for m in right]
    np.testing.assert_allclose(chance_top_k(queries, gallery, k), expected, atol=1e-12)


def test_chance_comes_from_the_gallery_and_not_from_a_larger_set():
    # THINGS-MEG: 200 test pictures of 720 categories are the candidates.
    ids = np.arange(200)
    assert chance_top_k(ids, ids, 1).mean() == pytest.approx(0.005)
    assert chance_top_k(ids, ids, 5).mean() == pytest.approx(0.025)
    level = chance_class_accuracy(np.array(["house", "tool"]), np.array(["face", "house", "house"]))
    np.testing.assert_allclose(level, [0.5, 0.0])


@pytest.mark.parametrize(
    "sizes", [(3, 3, 20, 20), (20, 20, 3, 3), (5, 6, 9, 12), (1, 1, 2), (1, 40), (4, 4, 4)]
)
@pytest.mark.parametrize("asked", [1, 2, 3])
def test_chance_of_class_accuracy_is_what_random_decoders_score(sizes, asked):
    """Brute force: embeddings drawn at random, whose queries cover some of the classes only."""
    rng = np.random.default_rng(sum(sizes))
    label = np.repeat(np.arange(len(sizes)), sizes)
    truth = label[label < asked]
    queries = np.repeat(truth, 4)
    hits = np.empty((400, len(queries)))
    for i in range(len(hits)):
        asking, answering = (unit(rng.normal(size=(n, 48))) for n in (len(queries), len(label)))
        hits[i] = class_accuracy(asking @ answering.T, queries, label)
    level = chance_class_accuracy(queries, label)
    for weights in (np.ones(len(queries)), balanced_weights(queries)):
        scores = np.average(hits, axis=1, weights=weights)
        error = scores.std(ddof=1) / np.sqrt(len(scores))
        assert abs(scores.mean() - np.average(level, weights=weights)) < 3.5 * error
        assert error < 0.025
    if asked >= len(sizes):  # the names that a decoder gives are one each, whatever the sizes
        assert np.average(level, weights=balanced_weights(queries)) == pytest.approx(1 / len(sizes))


def test_chance_of_class_accuracy_has_closed_forms():
    """Orthant probabilities of a normal distribution, and a uniform guess among equal classes."""
    sizes = np.array([2, 5, 9])
    level = chance_class_accuracy(np.arange(3), np.repeat(np.arange(3), sizes))
    for own in range(3):
        one, other = (i for i in range(3) if i != own)
        var = 1 / sizes
        rho = var[own] / np.sqrt((var[own] + var[one]) * (var[own] + var[other]))
        assert level[own] == pytest.approx(0.25 + np.arcsin(rho) / (2 * np.pi), abs=1e-10)
    many = np.repeat(np.arange(700), 3)
    np.testing.assert_allclose(chance_class_accuracy(many, many), 1 / 700)
    uneven = np.random.default_rng(0).integers(1, 60, 300)
    level = chance_class_accuracy(np.arange(300), np.repeat(np.arange(300), uneven))
    assert level.sum() == pytest.approx(1, abs=1e-9)


def test_a_query_without_right_candidate_or_distractor_is_refused():
    scores = np.zeros((1, 3))
    with pytest.raises(NeuroalignError, match=r"no candidate of its own.*first: query 0, dog"):
        two_way(scores, np.array(["dog"]), np.array(["cat", "cat", "cow"]))
    with pytest.raises(NeuroalignError, match="no distractor"):
        two_way(scores, np.array(["cat"]), np.array(["cat", "cat", "cat"]))


@pytest.mark.parametrize("k", [0, 4])
def test_k_has_to_fit_the_gallery(k):
    with pytest.raises(NeuroalignError, match="between 1 and the size of the gallery, 3"):
        top_k(np.zeros((1, 3)), np.zeros(1), np.zeros(3), k)


def test_memory_is_bounded_by_the_block_and_not_by_the_pairs():
    rng = np.random.default_rng(3)
    vectors, ids = unit(rng.normal(size=(5000, 8))), np.arange(5000)
    tracemalloc.start()
    try:
        two_way(Cosines(vectors, vectors), ids, ids, block_bytes=2**21)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5000 * 5000 * 4 / 5  # one matrix of scores would be 100 MB
