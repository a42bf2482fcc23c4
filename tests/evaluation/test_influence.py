"""The score of encoding by class, taken apart by recording."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from neuroalign.evaluation.differences import compare
from neuroalign.evaluation.influence import GalleryInfluence
from neuroalign.evaluation.queries import query_values


def _auc(scores: np.ndarray, query_ids: np.ndarray, gallery_ids: np.ndarray) -> float:
    return float(
        np.mean(
            [roc_auc_score(gallery_ids == q, row) for q, row in zip(query_ids, scores, strict=True)]
        )
    )


def _drawn(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of one query of either class over n recordings, and their classes."""
    ids = rng.integers(0, 2, n)
    evidence = rng.normal(size=n) + 0.6 * ids
    return np.stack([-evidence, evidence]), ids


def test_mean_is_the_mean_area_under_the_curve() -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 3, 50)
    scores = np.round(rng.normal(size=(7, 50)), 1)  # with ties
    query_ids = rng.integers(0, 3, 7)
    influence = GalleryInfluence(ids)
    influence.add(scores[:4], query_ids[:4])
    influence.add(scores[4:], query_ids[4:])
    assert np.isclose(influence.values().mean(), _auc(scores, query_ids, ids))


def test_interval_is_as_wide_as_new_recordings_make_it() -> None:
    rng = np.random.default_rng(1)
    scores = [_drawn(rng, 120) for _ in range(300)]
    truth = np.std([_auc(s, np.arange(2), ids) for s, ids in scores])
    estimates = []
    for s, ids in scores:
        influence = GalleryInfluence(ids)
        influence.add(s, np.arange(2))
        estimates.append(influence.values().std(ddof=1) / np.sqrt(len(ids)))
    # 300 draws tell a standard deviation to 4 %; the projection leaves out terms of order 1/n.
    assert abs(np.mean(estimates) / truth - 1) < 0.15


def _encoding(
    scores: np.ndarray, ids: np.ndarray, **columns: object
) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """Return an encoding by class: forty pictures of either class that ask the same."""
    names = np.array(["face", "house"])
    missing = pd.array([pd.NA] * 80, "string")
    shown = pd.array([f"p{i}" for i in range(80)], "string")
    queries = pd.DataFrame(
        {"stimulus": shown, "label": names[np.repeat([0, 1], 40)], "subject": missing}
    )
    gallery = pd.DataFrame(
        {
            "stimulus": pd.array([pd.NA] * len(ids), "string"),
            "label": names[ids],
            "subject": "sub-01",
            **columns,
        }
    )
    return np.repeat(scores, 40, axis=0), queries, gallery


def test_what_a_perfect_encoding_says_hangs_on_the_blocks_of_the_recordings() -> None:
    ids = np.repeat([0, 1], 30)
    scores = np.stack([1.0 - ids, 1.0 * ids])
    question = _encoding(scores, ids, session="1", run="1", block=np.repeat(np.arange(6), 10))
    found = query_values(*question)
    interval = found["two_way_embedding"].interval()
    assert interval.value == interval.high == 1
    # six of six, exactly: with 0.025 in the lower tail
    assert interval.low == pytest.approx(0.025 ** (1 / 6))
    assert interval.n_clusters == 6


def test_classes_and_pictures_that_ask_alike_are_a_sample_of_nothing() -> None:
    scores, ids = _drawn(np.random.default_rng(6), 100)
    question = _encoding(scores, ids)
    pictures = query_values(*question)["two_way_embedding"].interval()
    first = [0, 40]
    asking = question[1].iloc[first].reset_index(drop=True).assign(stimulus=pd.NA)
    classes = query_values(question[0][first], asking, question[2])["two_way_embedding"].interval()
    assert (classes.n_clusters, pictures.n_clusters) == (100, 100)
    assert (classes.value, classes.low, classes.high) == pytest.approx(
        (pictures.value, pictures.low, pictures.high)
    )
    # Pictures that ask differently are a sample too.
    noise = np.random.default_rng(7).normal(size=question[0].shape)
    mixed = query_values(question[0] + noise, *question[1:])["two_way_embedding"].interval()
    assert mixed.n_clusters == 80


def test_pictures_of_a_class_are_one_question() -> None:
    scores, ids = _drawn(np.random.default_rng(5), 60)
    found = query_values(*_encoding(scores, ids))
    assert set(found) > {"two_way_embedding", "class_top1"}
    for metric, values in found.items():
        if metric != "two_way_embedding":
            assert sorted(set(values.clusters)) == ["face", "house"], metric
            assert values.interval().n_clusters == 2


def test_encoding_by_class_is_sampled_by_recording() -> None:
    scores, ids = _drawn(np.random.default_rng(2), 200)
    found = query_values(*_encoding(scores, ids))["two_way_embedding"]
    interval = found.interval()
    assert len(found.values) == 80 and found.n_gallery == 200
    assert interval.high - interval.low > 0.05  # over pictures alone it would be zero
    assert interval.low < interval.value < interval.high
    same = compare(found, found)
    assert same.value == 0 and same.high - same.low < 0.3
