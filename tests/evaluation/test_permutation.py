"""Permutation p-values: uniform where nothing is to be found, and never by trial."""

import numpy as np
import pytest
from scipy.stats import kstest, permutation_test

from neuroalign.evaluation.correction import corrected
from neuroalign.evaluation.permutation import p_value, paired_p_value, relabelling
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.spread import Sample


def test_a_p_value_is_never_zero_and_ties_count():
    assert p_value(np.zeros(99), 1.0) == 0.01
    assert p_value(np.ones(99), 1.0) == 1.0
    assert p_value([0.0, 1.0, 2.0], 1.0 + 1e-12) == 0.75  # rounding is no evidence


def test_a_picture_takes_on_another_pictures_label_with_all_its_trials():
    pictures = np.repeat(["a", "b", "c", "d"], 6)
    people = np.tile([0, 0, 0, 1, 1, 1], 4)
    drawn = relabelling(pictures, pictures, people, 50)
    labels = drawn.labels(np.arange(24) // 6, np.arange(24)).reshape(51, 4, 6)
    assert (labels == labels[:, :, :1]).all()
    assert (labels[0, :, 0] == np.arange(4)).all()  # first the truth
    assert (np.sort(labels[:, :, 0], axis=1) == np.arange(4)).all()
    assert len(np.unique(labels[1:, :, 0], axis=0)) > 10


def test_labels_stay_among_pictures_that_the_same_people_saw():
    pictures = np.array(["a", "a", "b", "b", "c", "d", "e"])
    people = np.array([1, 2, 1, 2, 1, 1, 2])
    drawn = relabelling(pictures, pictures, people, 100)
    assert set(map(tuple, drawn.donor)) <= {(i, 1 - i, j, 5 - j, 4) for i in (0, 1) for j in (2, 3)}


def test_labels_are_shuffled_within_a_run_that_holds_several():
    runs, labels = np.repeat([0, 1, 2], 8), np.tile([0, 1], 12)
    drawn = relabelling(runs, labels, np.zeros(24), 30)
    assert (drawn.donor // 8 == np.arange(24) // 8).all()


def test_labels_do_not_depend_on_the_order_of_queries():
    rng = np.random.default_rng(0)
    pictures, order = np.repeat(np.arange(10), 3), rng.permutation(30)
    people = np.zeros(30)
    straight = relabelling(pictures, pictures, people, 20, seed=1)
    mixed = relabelling(pictures[order], pictures[order], people, 20, seed=1)
    rows = np.arange(30)
    np.testing.assert_array_equal(
        straight.labels(pictures, rows)[:, order], mixed.labels(pictures[order], rows)
    )


def test_paired_p_values_are_uniform_where_models_are_alike():
    rng = np.random.default_rng(1)
    found = []
    for seed in range(400):
        shared = rng.normal(size=(15, 1)) + 0.3 * rng.normal(size=(15, 4))
        sample = Sample(shared.ravel(), np.repeat(np.arange(15), 4))
        found.append(paired_p_value(sample, n_permutations=199, seed=seed))
    assert kstest(found, "uniform").pvalue > 0.01
    # as if the four trials of a picture were independent:
    naive = [
        paired_p_value(
            Sample((rng.normal(size=(15, 1)) + np.zeros((15, 4))).ravel(), np.arange(60)),
            n_permutations=199,
            seed=seed,
        )
        for seed in range(100)
    ]
    assert np.mean(np.array(naive) < 0.05) > 0.2


def test_paired_p_value_is_scipys_on_single_trials():
    values = np.random.default_rng(2).normal(0.4, 1, 25)
    theirs = permutation_test(
        (values, np.zeros(25)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=20000,
        vectorized=True,
        rng=np.random.default_rng(3),
    ).pvalue
    ours = paired_p_value(Sample(values, np.arange(25)), n_permutations=20000)
    assert ours == pytest.approx(theirs, abs=0.012)


def cell(p, model="default", protocol=""):
    return Score(
        *("decoding", "eeg", "pictures", model, "top1", 0.5, 0.4, 0.6, 0.1, 9, 9, "trials"),
        p=p,
        protocol=protocol,
    )


def test_correction_is_benjamini_and_hochbergs_within_a_model():
    p = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216]
    # by hand: p m / rank, then the smallest of what follows
    wanted = [0.01, 0.04, 0.084, 0.084, 0.084, 0.1, 0.74 / 7, 0.216, 0.216, 0.216]
    ideal = [cell(0.001, "ideal observer") for _ in range(50)]
    out = corrected([*ideal, *(cell(v) for v in p), cell(None)])
    assert [s.p_corrected for s in out[50:60]] == pytest.approx(wanted)
    assert out[60].p_corrected is None
    assert [s.p_corrected for s in out[:50]] == pytest.approx([0.001] * 50)


def test_correction_keeps_the_false_discovery_rate():
    rng, shares = np.random.default_rng(4), []
    for _ in range(300):
        null = rng.random(40)
        real = rng.beta(0.02, 4, 10)
        out = corrected([cell(v) for v in (*null, *real)])
        found = np.array([s.p_corrected <= 0.05 for s in out])
        shares.append(found[:40].sum() / max(1, found.sum()))
    assert np.mean(shares) < 0.06
