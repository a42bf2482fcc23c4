"""Intervals cover what they promise, and clusters stay together."""

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.bootstrap import bootstrap_interval, paired_difference


def coverage(draw, truth, n=400):
    rng = np.random.default_rng(0)
    hits = 0
    for i in range(n):
        values, clusters = draw(rng)
        interval = bootstrap_interval(values, clusters, n_boot=500, seed=i, bounds=(-9, 9))
        hits += interval.low <= truth <= interval.high
    return hits / n


def test_coverage_of_independent_queries():
    assert 0.925 <= coverage(lambda rng: (rng.normal(size=100), np.arange(100)), 0.0) <= 0.975


def test_coverage_of_clustered_queries_and_what_ignoring_clusters_would_do():
    def clustered(rng):
        shared = np.repeat(rng.normal(size=80), 10)
        return shared + rng.normal(size=800), np.repeat(np.arange(80), 10)

    assert 0.915 <= coverage(clustered, 0.0) <= 0.975
    naive = coverage(lambda rng: (clustered(rng)[0], np.arange(800)), 0.0, n=200)
    assert naive < 0.75


def test_interval_is_close_to_scipys():
    values = np.random.default_rng(1).random(150)
    ours = bootstrap_interval(values, np.arange(150), n_boot=20000)
    theirs = scipy_bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=2e-3)


def test_order_of_queries_and_names_of_clusters_do_not_matter():
    rng = np.random.default_rng(3)
    values, clusters = rng.random(200), rng.choice(["a", "b", "c", "d", "e"], 200)
    order = rng.permutation(200)
    first = bootstrap_interval(values, clusters, seed=4)
    second = bootstrap_interval(values[order], clusters[order], seed=4)
    third = bootstrap_interval(values, np.char.add("picture-", clusters), seed=4)
    for other in (second, third):
        assert (other.low, other.high) == pytest.approx((first.low, first.high), abs=1e-12)
    assert first.n_clusters == 5


def test_same_seed_same_interval_other_seed_another():
    values = np.random.default_rng(5).random(50)
    a, b, c = (bootstrap_interval(values, np.arange(50), seed=s) for s in (1, 1, 2))
    assert a == b
    assert a != c


def test_weights_are_those_of_the_mean():
    values, weights = np.array([1.0, 0.0, 0.0, 1.0]), np.array([3.0, 1.0, 1.0, 3.0])
    assert bootstrap_interval(values, np.arange(4), weights=weights).value == 0.75


def test_a_perfect_score_keeps_the_exact_binomial_bound():
    # Clopper and Pearson: 20 of 20 right leaves room down to 0.025 ** (1 / 20).
    from scipy.stats import binomtest

    exact = binomtest(20, 20).proportion_ci(method="exact")
    interval = bootstrap_interval(np.ones(20), np.arange(20))
    assert (interval.low, interval.high) == pytest.approx((exact.low, exact.high))


def test_one_cluster_says_almost_nothing():
    interval = bootstrap_interval([0.6, 0.8], ["p1", "p1"])
    assert interval.value == pytest.approx(0.7)
    assert interval.low < 0.02 and interval.high > 0.98
    assert interval.n_clusters == 1


def test_paired_difference_cancels_what_is_hard_for_both():
    rng = np.random.default_rng(6)
    hard = rng.random(100)
    theirs = 0.8 * hard
    ours = theirs + 0.05 + 0.02 * rng.normal(size=100)
    paired = paired_difference(ours, theirs, np.arange(100))
    assert paired.value == pytest.approx((ours - theirs).mean())
    assert 0.03 < paired.low < paired.value < paired.high < 0.07
    alone, other = (bootstrap_interval(v, np.arange(100)) for v in (ours, theirs))
    assert alone.low < other.high  # unpaired, nothing could be told apart


@pytest.mark.parametrize(
    ("values", "clusters", "weights", "message"),
    [
        ([], [], None, "got 0 values"),
        ([1.0, 0.0], [1], None, "2 values, 1 clusters"),
        ([1.0, np.nan], [1, 2], None, "first: query 1"),
        ([1.0, 0.5], [1, 2], [1.0, 0.0], "no positive weight"),
    ],
)
def test_what_cannot_be_resampled_is_refused(values, clusters, weights, message):
    with pytest.raises(NeuroalignError, match=message):
        bootstrap_interval(values, clusters, weights=weights)


def test_paired_needs_the_same_queries():
    with pytest.raises(NeuroalignError, match="got 2 and 3"):
        paired_difference([1, 0], [1, 0, 1], [0, 1])
