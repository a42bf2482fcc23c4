"""The score of encoding by class, taken apart by recording."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from neuroalign.evaluation.influence import GalleryInfluence
from neuroalign.evaluation.queries import compare, query_values


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


def test_encoding_by_class_is_sampled_by_recording() -> None:
    rng = np.random.default_rng(2)
    scores, ids = _drawn(rng, 200)
    scores = np.repeat(scores, 40, axis=0)  # forty pictures of a class that ask the same
    missing = pd.array([pd.NA] * 80, "string")
    names = np.array(["face", "house"])
    queries = pd.DataFrame(
        {"stimulus": missing, "label": names[np.repeat([0, 1], 40)], "subject": missing}
    )
    gallery = pd.DataFrame(
        {
            "stimulus": pd.array([pd.NA] * 200, "string"),
            "label": names[ids],
            "subject": "sub-01",
        }
    )
    found = query_values(scores, queries, gallery)["two_way_embedding"]
    interval = found.interval()
    assert len(found.values) == 80 and found.n_gallery == 200
    assert interval.high - interval.low > 0.05  # over pictures alone it would be zero
    assert interval.low < interval.value < interval.high
    same = compare(found, found)
    assert same.value == 0 and same.high - same.low < 0.3
