"""Metrics of ranks equal their definitions, averaged over every order of equal scores."""

from __future__ import annotations

from itertools import combinations, permutations
from math import comb

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.chance import chance_median_rank
from neuroalign.evaluation.metrics import (
    average_precision,
    best_rank,
    by_rank,
    k_way,
    reciprocal_rank,
    top_k,
    two_way,
)
from neuroalign.evaluation.pairs import Cosines, Matrix
from neuroalign.evaluation.ranks import Ranks, RightCandidates

Array = npt.NDArray[np.float64]
N_K = 3


def unit(vectors: Array) -> npt.NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def of_an_order(right: list[bool]) -> dict[str, float]:
    """Follow the definitions on a list of candidates, best first, of which some are right."""
    places = [i + 1 for i, r in enumerate(right) if r]
    wrong = [i + 1 for i, r in enumerate(right) if not r]
    # One right candidate among two drawn wrong ones: how often it comes first.
    draws = [p < min(d) for p in places for d in combinations(wrong, N_K - 1)]
    return {
        "top_k": float(places[0] <= 2),
        "two_way": float(np.mean([p < w for p in places for w in wrong])),
        "best_rank": float(places[0]),
        "reciprocal_rank": 1 / places[0],
        "average_precision": float(np.mean([(i + 1) / p for i, p in enumerate(places)])),
        "k_way": float(np.mean(draws)) if draws else np.nan,
    }


def of_every_order(scores: Array, right: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Average over all orders of the candidates, equal scores in each possible way."""
    drawn = []
    for order in permutations(range(len(scores))):
        ordered = sorted(order, key=lambda j: -scores[j])
        drawn.append(of_an_order([bool(right[j]) for j in ordered]))
    return {m: float(np.mean([d[m] for d in drawn])) for m in drawn[0]}


METRICS = {
    "top_k": lambda s, q, g: top_k(s, q, g, 2),
    "two_way": two_way,
    "best_rank": best_rank,
    "reciprocal_rank": reciprocal_rank,
    "average_precision": average_precision,
    "k_way": lambda s, q, g: k_way(s, q, g, N_K),
}


@st.composite
def small_retrievals(draw: st.DrawFn) -> tuple[Array, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Few candidates with many ties, of which one to four are right."""
    n = draw(st.integers(4, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gallery = rng.integers(0, 3, n)
    queries = np.unique(gallery)
    assume(len(queries) > 1 and (np.bincount(gallery)[queries] <= n - N_K + 1).all())
    return (
        rng.integers(0, draw(st.integers(1, 5)), (len(queries), n)).astype(float),
        queries,
        gallery,
    )


@given(small_retrievals())
@settings(deadline=None, max_examples=12)
def test_each_metric_is_its_mean_over_the_orders_of_equal_scores(
    retrieval: tuple[Array, npt.NDArray[np.int64], npt.NDArray[np.int64]],
) -> None:
    scores, queries, gallery = retrieval
    expected = [of_every_order(row, gallery == q) for row, q in zip(scores, queries, strict=True)]
    for name, metric in METRICS.items():
        found = metric(scores, queries, gallery)
        np.testing.assert_allclose(found, [e[name] for e in expected], atol=1e-9, err_msg=name)


@given(small_retrievals())
@settings(deadline=None, max_examples=6)
def test_chance_is_the_mean_over_every_order_of_the_gallery(
    retrieval: tuple[Array, npt.NDArray[np.int64], npt.NDArray[np.int64]],
) -> None:
    _, queries, gallery = retrieval
    ranks = RightCandidates(queries, gallery).tied_ranks()
    functions = {
        "top_k": ranks.top_k(2),
        "two_way": ranks.two_way(),
        "best_rank": ranks.best_rank(),
        "reciprocal_rank": ranks.reciprocal_rank(),
        "average_precision": ranks.average_precision(),
        "k_way": ranks.k_way(N_K),
    }
    for row, q in enumerate(queries):
        expected = of_every_order(np.zeros(len(gallery)), gallery == q)
        for name, found in functions.items():
            assert found[row] == pytest.approx(expected[name], abs=1e-9), name


def large(
    seed: int, n_queries: int = 40, n_gallery: int = 90, n_ids: int = 12
) -> tuple[Array, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    gallery = np.concatenate([np.arange(n_ids), rng.integers(0, n_ids, n_gallery - n_ids)])
    return rng.normal(size=(n_queries, n_gallery)), rng.integers(0, n_ids, n_queries), gallery


@pytest.mark.parametrize("n_ids", [2, 12, 60])
def test_average_precision_and_two_way_are_those_of_scikit_learn(n_ids: int) -> None:
    scores, queries, gallery = large(0, n_ids=n_ids)
    right = gallery == queries[:, None]
    pairs = list(zip(right, scores, strict=True))
    precision = [average_precision_score(r, s) for r, s in pairs]
    np.testing.assert_allclose(average_precision(scores, queries, gallery), precision)
    area = [roc_auc_score(r, s) for r, s in pairs]
    np.testing.assert_allclose(two_way(scores, queries, gallery), area)


def test_two_of_two_is_two_way_and_all_of_them_is_top_1() -> None:
    scores, queries, gallery = large(1, n_gallery=30, n_ids=30)
    np.testing.assert_allclose(
        k_way(scores, queries, gallery, 2), two_way(scores, queries, gallery)
    )
    np.testing.assert_allclose(
        k_way(scores, queries, gallery, 30), top_k(scores, queries, gallery, 1), atol=1e-9
    )


def test_drawn_distractors_agree_with_the_closed_form() -> None:
    scores, queries, gallery = large(2)
    scores = np.round(scores, 1)  # with ties
    right = RightCandidates(queries, gallery)
    (block,) = Matrix(scores).blocks(right.width)
    ranks = right.ranks(block)
    exact = ranks.k_way(10)
    drawn = np.stack([ranks.k_way_resampled(10, resamples=30, seed=seed) for seed in range(40)])
    error = drawn.std(axis=0, ddof=1) / np.sqrt(40)
    assert (np.abs(drawn.mean(axis=0) - exact) <= 4 * error + 1e-9).all()
    assert drawn.std() > 0


def test_drawing_distractors_out_of_the_gallery_gives_the_same() -> None:
    """The numbers drawn stand for candidates: draw these, and compare their scores."""
    scores, queries, gallery = large(3, n_queries=4, n_gallery=20, n_ids=20)
    rng = np.random.default_rng(4)
    for row, q in zip(scores, queries, strict=True):
        right, wrong = row[gallery == q], row[gallery != q]
        draws = np.stack([rng.permutation(wrong)[:4] for _ in range(4000)])
        share = (right > draws.max(axis=1)).mean()
        exact = k_way(row[None], np.array([q]), gallery, 5)[0]
        assert share == pytest.approx(exact, abs=4 * np.sqrt(0.25 / 4000))


def test_draws_do_not_depend_on_the_order_of_queries() -> None:
    scores, queries, gallery = large(5)
    names = np.array([f"q{i}" for i in range(len(queries))])
    order = np.random.default_rng(6).permutation(len(queries))

    def drawn(rows: npt.NDArray[np.int64]) -> Array:
        right = RightCandidates(queries[rows], gallery)
        (block,) = Matrix(scores[rows]).blocks(right.width)
        ranks = right.ranks(block)
        return ranks.k_way_resampled(8, resamples=5, seed=0, keys=names[rows])

    np.testing.assert_array_equal(drawn(np.arange(len(queries)))[order], drawn(order))


def test_more_candidates_than_there_are_is_refused() -> None:
    scores, queries, gallery = large(7, n_gallery=30, n_ids=30)
    with pytest.raises(
        NeuroalignError, match=r"30 of them wrong; this gallery has only 29 .*between 2 and 30"
    ):
        k_way(scores, queries, gallery, 31)


def test_the_strict_tie_rule_puts_right_candidates_last() -> None:
    gallery, queries = np.array([0, 1, 1, 2]), np.array([0, 1])
    right = RightCandidates(queries, gallery)
    (block,) = Matrix(np.ones((2, 4))).blocks(right.width)
    ranks = right.ranks(block).last()
    assert ranks.two_way().tolist() == [0, 0]
    assert ranks.best_rank().tolist() == [4, 3]
    assert ranks.top_k(3).tolist() == [0, 1]


@pytest.mark.parametrize("sizes", [[1] * 10, [1] * 11, [3, 1, 5, 2], [4, 4]])
def test_the_median_rank_of_chance_is_that_of_shuffled_galleries(sizes: list[int]) -> None:
    gallery = np.repeat(np.arange(len(sizes)), sizes)
    queries = np.arange(len(sizes))
    # All orders at once: the chance that the best right one stands at each place.
    n = len(gallery)
    exact = np.zeros(n)
    for size in sizes:
        exact += [comb(n - place, size - 1) / comb(n, size) for place in range(1, n + 1)]
    cumulated = np.cumsum(exact) / len(sizes)
    low = int(np.argmax(cumulated >= 0.5 - 1e-9)) + 1
    high = int(np.argmax(cumulated > 0.5 + 1e-9)) + 1
    assert chance_median_rank(queries, gallery) == (low + high) / 2
    if set(sizes) == {1}:
        assert chance_median_rank(queries, gallery) == (n + 1) / 2


def near_duplicates(seed: int, n: int, dims: int) -> npt.NDArray[np.float32]:
    """Unit vectors of which many are equal, or differ in the last bits only."""
    rng = np.random.default_rng(seed)
    few = rng.normal(size=(n // 6, dims))[rng.integers(0, n // 6, n)]
    return unit(few + rng.choice([0.0, 1e-7, 1e-6], (n, 1)) * rng.normal(size=(n, dims)))


@pytest.mark.parametrize("n_ids", [3, 70])
@pytest.mark.parametrize("dims", [3, 200])
def test_fast_products_count_as_exact_sums_do(n_ids: int, dims: int) -> None:
    """Neither block, nor order, nor the noise of float32 products moves a count."""
    rng = np.random.default_rng(8)
    queries, gallery = near_duplicates(9, 60, dims), near_duplicates(10, 120, dims)
    gallery[:60] = queries
    ids = np.concatenate([np.arange(n_ids), rng.integers(0, n_ids, 120 - n_ids)])
    own = rng.integers(0, n_ids, 60)
    exact = (queries.astype(float) @ gallery.astype(float).T).astype(np.float32)
    cosines, order = Cosines(queries, gallery), rng.permutation(120)
    shuffled = Cosines(queries, gallery[order])
    for metric in (Ranks.two_way, Ranks.reciprocal_rank, Ranks.average_precision):
        wanted = by_rank(exact, own, ids, metric)
        for block_bytes in (1, 3000, 2**25):
            assert (by_rank(cosines, own, ids, metric, block_bytes) == wanted).all()
            assert (by_rank(shuffled, own, ids[order], metric, block_bytes) == wanted).all()


def test_rounding_stays_within_the_tolerance() -> None:
    rng = np.random.default_rng(11)
    for dims in (2, 50, 768):
        cosines = Cosines(unit(rng.normal(size=(200, dims))), unit(rng.normal(size=(300, dims))))
        off = np.abs(cosines.near(slice(0, 200)).astype(float) - cosines.exact(slice(0, 200)))
        assert off.max() < cosines.tolerance / 2
        assert cosines.tolerance < 1e-5


def test_first_candidates_are_all_that_tie() -> None:
    queries = unit(np.random.default_rng(12).normal(size=(5, 6)))
    gallery = np.concatenate([queries, queries[:2], -queries])
    (block,) = Cosines(queries, gallery).blocks()
    rows, columns = block.first()
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [
        (0, 0), (0, 5), (1, 1), (1, 6), (2, 2), (3, 3), (4, 4),
    ]  # fmt: skip
