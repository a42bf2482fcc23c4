"""Embeddings: what they accept, how they are cut and joined, and what comes back from disk."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroalign.errors import NeuroalignError
from neuroalign.retrieval import Embeddings, concatenate


def items(n, **columns):
    table = {"kind": "eeg", "stimulus": [f"p{i % 3}" for i in range(n)], "label": None}
    return pd.DataFrame(table | {"subject": "sub-01"} | columns, index=range(n))


@pytest.fixture
def some():
    rng = np.random.default_rng(0)
    return Embeddings(rng.normal(size=(20, 7)), items(20, trial=np.arange(20)), "test")


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-30, 1e-3, 1.0, 1e3, 1e30]))
@settings(deadline=None, max_examples=40)
def test_any_finite_vector_becomes_a_unit_vector(seed, scale):
    raw = np.random.default_rng(seed).normal(size=(5, 33)) * scale
    unit = Embeddings(raw.astype(np.float32), items(5), "test").vectors
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, expected, rtol=1e-5, atol=1e-7)


def test_cutting_and_joining_change_no_bit(some):
    again = some
    for _ in range(5):
        again = again.take(np.arange(20))
    assert np.array_equal(again.vectors, some.vectors)
    joined = concatenate([some.take(np.arange(8)), some.take(np.arange(8, 20))])
    assert np.array_equal(joined.vectors, some.vectors)
    pd.testing.assert_frame_equal(joined.items, some.items)


def test_the_callers_array_is_not_shared():
    raw = np.eye(3, dtype=np.float32)
    made = Embeddings(raw, items(3), "test")
    raw[:] = 0
    assert np.array_equal(made.vectors, np.eye(3))


def test_take_by_position_mask_or_nothing(some):
    assert some.take([3, 1]).items["trial"].tolist() == [3, 1]
    assert some.take(np.arange(20) < 2).items["trial"].tolist() == [0, 1]
    assert len(some.take([])) == 0


def test_select_by_value_list_and_missing_values(some):
    assert set(some.select(stimulus="p1").items["stimulus"]) == {"p1"}
    assert len(some.select(stimulus=["p0", "p2"], trial=3)) == 1
    names = some.items["stimulus"].astype("string")
    assert len(some.select(stimulus=names.unique())) == len(some)  # an array of pandas
    nullable = some.items.assign(session=pd.array([None] * 19 + ["a"], dtype="string"))
    assert len(Embeddings(some.vectors, nullable, "test").select(session="a")) == 1
    with pytest.raises(NeuroalignError, match="no column 'colour'"):
        some.select(colour="red")


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((3, 2)), "3, 2.*2 items"),
        (np.ones(2), "one vector per item"),
        (np.array([[1, 1], [0, 0]]), "first: item 1"),
        (np.array([[np.nan, 1], [1, 0]]), "first: item 0"),
        (np.array([[1, 1], [np.inf, 0]]), "first: item 1"),
    ],
)
def test_vectors_without_a_direction_are_refused(vectors, message):
    with pytest.raises(NeuroalignError, match=message):
        Embeddings(vectors, items(2), "test")


def test_missing_item_columns_are_named():
    with pytest.raises(NeuroalignError, match="subject"):
        Embeddings(np.eye(2), items(2).drop(columns="subject"), "test")


def test_joining_nothing_or_two_spaces_is_refused(some):
    with pytest.raises(NeuroalignError, match="no embeddings to join"):
        concatenate([])
    with pytest.raises(NeuroalignError, match="different spaces"):
        concatenate([some, Embeddings(some.vectors, some.items, "other")])


def test_round_trip_keeps_every_bit(some, tmp_path):
    some.save(tmp_path / "e.parquet")
    again = Embeddings.load(tmp_path / "e.parquet")
    assert np.array_equal(again.vectors, some.vectors)
    assert again.space == some.space
    pd.testing.assert_frame_equal(again.items, some.items)


def test_round_trip_of_no_items_keeps_the_dimensions(some, tmp_path):
    some.take([]).save(tmp_path / "e.parquet")
    assert Embeddings.load(tmp_path / "e.parquet").vectors.shape == (0, 7)


def test_any_parquet_reader_can_read_it(some, tmp_path):
    some.save(tmp_path / "e.parquet")
    table = pq.read_table(tmp_path / "e.parquet").to_pandas()
    assert np.array_equal(np.stack(table["vector"]), some.vectors)


def test_unreadable_or_foreign_files_are_explained(some, tmp_path):
    with pytest.raises(NeuroalignError, match="not a readable table"):
        Embeddings.load(tmp_path / "absent.parquet")
    (tmp_path / "junk.parquet").write_bytes(b"junk")
    with pytest.raises(NeuroalignError, match="not a readable table"):
        Embeddings.load(tmp_path / "junk.parquet")
    some.items.to_parquet(tmp_path / "other.parquet")
    with pytest.raises(NeuroalignError, match="not one of embeddings"):
        Embeddings.load(tmp_path / "other.parquet")


def test_an_item_column_may_not_hide_the_vectors(some, tmp_path):
    clash = Embeddings(some.vectors, some.items.assign(vector=0), "test")
    with pytest.raises(NeuroalignError, match="'vector'"):
        clash.save(tmp_path / "e.parquet")
    assert not list(tmp_path.iterdir())
