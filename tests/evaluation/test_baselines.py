"""The per-person linear baseline, on simulated recordings written to disk."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge, RidgeCV

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.baselines import RidgeDecoder, ridge_embeddings
from neuroalign.evaluation.tasks import score_retrieval
from neuroalign.recordings import Recordings, RecordingsInfo, RecordingsWriter
from neuroalign.retrieval import Embeddings

N_TRAIN, N_TEST, DIMS = 60, 20, 8
VOXELS = {"sub-01": 70, "sub-02": 45}


def pictures():
    rng = np.random.default_rng(0)
    n = N_TRAIN + N_TEST
    # A common direction, as in real picture embeddings, which says nothing of the picture.
    vectors = rng.normal(size=(n, DIMS)) + 3
    items = pd.DataFrame(
        {
            "kind": "picture",
            "stimulus": [f"p{i:02d}" for i in range(n)],
            "label": [f"c{i % 4}" for i in range(n)],
            "subject": None,
        }
    )
    return Embeddings(vectors, items, "test")


def write(folder, *, known=True, noise=0.5):
    """Simulated voxels: a random linear map of the picture's embedding for each person."""
    targets, rng = pictures(), np.random.default_rng(1)
    n = len(targets)
    with RecordingsWriter(
        folder, RecordingsInfo(modality="fmri", axes=("voxels",), units="z", simulated=True)
    ) as writer:
        for subject, width in VOXELS.items():
            tuning = rng.normal(size=(DIMS, width))
            picture = np.repeat(np.arange(n), np.where(np.arange(n) % 2, 3, 1))
            signals = targets.vectors[picture] @ tuning + noise * rng.normal(
                size=(len(picture), width)
            )
            table = targets.items.iloc[picture].drop(columns=["kind", "subject"])
            table = table.assign(
                split=np.where(picture < N_TRAIN, "train", "test"),
                run=[str(i % 5) for i in range(len(picture))],
            )
            writer.append(subject, signals, table if known else table.assign(stimulus=None))
    return Recordings(folder)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return write(tmp_path_factory.mktemp("known") / "fmri")


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    return write(tmp_path_factory.mktemp("classes") / "fmri", known=False, noise=0.2)


def test_embeddings_equal_a_fit_by_hand(known):
    targets = pictures()
    found = ridge_embeddings(known.select(split="train"), known.select(split="test"), targets)
    for subject in VOXELS:
        train = known.select(split="train", subject=subject).average_repeats()
        x, w = train.read(), train.trials["n_averaged"]
        y = targets.vectors[[int(s[1:]) for s in train.trials["stimulus"]]]
        decoder = RidgeDecoder().fit(x, y, sample_weight=w)
        by_hand = Ridge(decoder.solution_.alpha).fit(x, y, sample_weight=w)
        test = known.select(split="test", subject=subject)
        expected = by_hand.predict(test.read()) - np.average(y, axis=0, weights=w)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(found.select(subject=subject).vectors, expected, atol=1e-4)
    assert found.space == "test"
    assert (
        found.items["stimulus"].tolist() == known.select(split="test").trials["stimulus"].tolist()
    )
    assert set(found.items["kind"]) == {"fmri"}


@pytest.mark.parametrize("task", ["decoding", "encoding"])
def test_new_pictures_are_found_far_above_chance(known, task):
    targets = pictures()
    test = known.select(split="test").average_repeats()
    recordings = ridge_embeddings(known.select(split="train"), test, targets)
    candidates = targets.take(np.arange(N_TRAIN, N_TRAIN + N_TEST))
    pair = (recordings, candidates) if task == "decoding" else (candidates, recordings)
    scores = score_retrieval(
        *pair,
        task=task,
        source="fmri",
        target="pictures",
        model="ridge",
        items="average of repeats",
        pictures=targets,
        simulated=True,
    )
    found = {s.metric: s for s in scores if s.subject == "all"}
    assert found["two_way_embedding"].low > 0.8
    assert found["two_way_retrieved"].low > 0.6
    assert found["top5"].low > found["top5"].chance


def test_where_only_classes_are_known_single_trials_meet_the_class_mean(classes):
    targets = pictures()
    train, test = classes.select(split="train"), classes.select(split="test")
    found = ridge_embeddings(train, test, targets)
    one = train.select(subject="sub-01")
    means = {
        c: targets.vectors[(targets.items["label"] == c).to_numpy()].mean(0)
        for c in ["c0", "c1", "c2", "c3"]
    }
    y = np.stack([means[c] for c in one.trials["label"]])
    decoder = RidgeDecoder().fit(one.read(), y, groups=one.trials["run"])
    expected = decoder.predict(test.select(subject="sub-01").read()) - y.mean(0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found.select(subject="sub-01").vectors, expected, atol=1e-4)


def test_a_person_or_picture_without_training_is_named(known):
    train, test, targets = known.select(split="train"), known.select(split="test"), pictures()
    with pytest.raises(NeuroalignError, match="no training trials of sub-02"):
        ridge_embeddings(train.select(subject="sub-01"), test, targets)
    with pytest.raises(NeuroalignError, match=r"1 stimulus value.*\['p00'\]"):
        ridge_embeddings(train, test, targets.take(np.arange(1, 80)))
    with pytest.raises(NeuroalignError, match="no recordings to embed"):
        ridge_embeddings(train, test.take([]), targets)


def test_decoder_behaves_as_a_scikit_learn_estimator():
    from sklearn.base import clone
    from sklearn.model_selection import cross_val_score

    rng = np.random.default_rng(2)
    x = rng.normal(size=(50, 20))
    y = x @ rng.normal(size=(20, 3)) + 0.1 * rng.normal(size=(50, 3))
    alphas = np.array([1e-2, 1.0, 100.0])
    decoder = clone(RidgeDecoder(alphas=alphas)).fit(x, y)
    np.testing.assert_allclose(decoder.predict(x), RidgeCV(alphas).fit(x, y).predict(x), atol=1e-4)
    assert cross_val_score(RidgeDecoder(), x, y, cv=3).min() > 0.9
