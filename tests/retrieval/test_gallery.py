"""Exact search: against brute force, with ties, in any block size."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neuroalign.errors import NeuroalignError
from neuroalign.retrieval import Embeddings, Gallery, convert, decode, encode
from neuroalign.retrieval.gallery import cosine_blocks, stable_top_k


def embeddings(vectors, kind="picture", space="test"):
    n = len(vectors)
    items = pd.DataFrame(
        {"kind": kind, "stimulus": [f"p{i}" for i in range(n)], "label": None, "subject": None},
        index=range(n),
    )
    return Embeddings(np.asarray(vectors, np.float32), items, space)


def brute_force(scores, k):
    """Python's own stable sort, one row at a time."""
    return [sorted(range(len(row)), key=lambda j: -row[j])[:k] for row in scores.tolist()]


# Few distinct values: nearly every row has ties, also across the k-th place.
coarse = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 60)),
    elements=st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0]),
)


@given(coarse, st.integers(1, 8))
@settings(deadline=None, max_examples=150)
def test_top_k_equals_a_stable_sort(scores, k):
    k = min(k, scores.shape[1])
    assert stable_top_k(scores, k).tolist() == brute_force(scores, k)


@pytest.mark.parametrize("k", [1, 5, 40])
def test_search_equals_brute_force(k):
    rng = np.random.default_rng(0)
    queries = embeddings(rng.normal(size=(30, 16)))
    gallery = embeddings(rng.normal(size=(300, 16)))
    ranking = Gallery(gallery).search(queries, k)
    cosines = (queries.vectors.astype(float) @ gallery.vectors.T.astype(float)).astype(np.float32)
    assert ranking.indices.tolist() == brute_force(cosines, k)
    assert np.array_equal(ranking.scores, np.take_along_axis(cosines, ranking.indices, axis=1))


def test_equal_items_tie_and_the_first_comes_first():
    # 61 dimensions and odd counts: a matrix product treats its edges differently.
    rng = np.random.default_rng(1)
    once = rng.normal(size=(17, 61))
    ranking = decode(embeddings(rng.normal(size=(9, 61))), embeddings(np.tile(once, (3, 1))), k=6)
    position = ranking.indices.reshape(9, 2, 3)
    assert (np.diff(position, axis=2) == 17).all()
    assert (np.ptp(ranking.scores.reshape(9, 2, 3), axis=2) == 0).all()


@pytest.mark.parametrize("block_bytes", [1, 4 * 257 * 2, 4 * 257 * 7, 2**30])
def test_scores_do_not_depend_on_the_block_size(block_bytes):
    rng = np.random.default_rng(2)
    queries = embeddings(rng.normal(size=(23, 61))).vectors
    gallery = embeddings(rng.normal(size=(257, 61))).vectors
    whole = np.concatenate([s for _, s in cosine_blocks(queries, gallery)])
    parts = list(cosine_blocks(queries, gallery, block_bytes))
    assert [p.start for p, _ in parts] == list(np.cumsum([0, *(len(s) for _, s in parts)])[:-1])
    assert np.array_equal(np.concatenate([s for _, s in parts]), whole)


def test_one_query_ranks_as_it_does_among_many():
    rng = np.random.default_rng(3)
    queries = embeddings(rng.normal(size=(40, 61)))
    gallery = Gallery(embeddings(np.tile(rng.normal(size=(200, 61)), (2, 1))))
    together = gallery.search(queries, 10)
    for i in (0, 17, 39):
        alone = gallery.search(queries.take([i]), 10)
        assert np.array_equal(alone.indices[0], together.indices[i])
        assert np.array_equal(alone.scores[0], together.scores[i])


def test_the_order_of_the_gallery_only_moves_positions():
    rng = np.random.default_rng(4)
    queries, gallery = embeddings(rng.normal(size=(5, 20))), embeddings(rng.normal(size=(90, 20)))
    order = rng.permutation(90)
    straight = decode(queries, gallery, k=9).table()["found_stimulus"]
    shuffled = decode(queries, gallery.take(order), k=9).table()["found_stimulus"]
    assert straight.tolist() == shuffled.tolist()


def test_the_three_tasks_are_one_search():
    rng = np.random.default_rng(5)
    eeg = embeddings(rng.normal(size=(6, 8)), "eeg")
    pictures = embeddings(rng.normal(size=(7, 8)))
    for task in (decode, encode, convert):
        assert np.array_equal(
            task(eeg, pictures, 3).indices, Gallery(pictures).search(eeg, 3).indices
        )


def test_table_has_a_row_per_query_and_rank():
    rng = np.random.default_rng(6)
    table = decode(embeddings(rng.normal(size=(2, 8)), "eeg"), embeddings(np.eye(8)), 3).table()
    assert table["query"].tolist() == [0, 0, 0, 1, 1, 1]
    assert table["rank"].tolist() == [1, 2, 3, 1, 2, 3]
    assert set(table["query_kind"]) == {"eeg"} and set(table["found_kind"]) == {"picture"}


def test_k_beyond_the_gallery_returns_all_of_it():
    pictures = embeddings(np.eye(4))
    assert sorted(decode(pictures, pictures, 99).indices[0]) == [0, 1, 2, 3]


def test_no_queries_give_an_empty_ranking():
    pictures = embeddings(np.eye(4))
    assert decode(pictures.take([]), pictures, 2).indices.shape == (0, 2)


@pytest.mark.parametrize("k", [0, -1])
def test_k_must_be_positive(k):
    with pytest.raises(NeuroalignError, match=f"`k` has to be a positive integer, got {k}"):
        decode(embeddings(np.eye(3)), embeddings(np.eye(3)), k)


def test_an_empty_gallery_is_refused():
    with pytest.raises(NeuroalignError, match="gallery is empty"):
        Gallery(embeddings(np.eye(3)).take([]))


def test_two_spaces_are_refused_by_name():
    with pytest.raises(NeuroalignError, match=r"'clip'.*'dino'"):
        decode(embeddings(np.eye(3), space="clip"), embeddings(np.eye(3), space="dino"))
