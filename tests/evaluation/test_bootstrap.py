"""Intervals cover what they promise, and clusters stay together."""

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.bootstrap import (
    bootstrap_interval,
    paired_difference,
    share_interval,
)
from neuroalign.evaluation.spread import Sample


def coverage(draw, truth, n=400):
    rng = np.random.default_rng(0)
    hits = 0
    for i in range(n):
        values, clusters = draw(rng)
        interval = bootstrap_interval(values, clusters, n_boot=200, seed=i, bounds=(-9, 9))
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


def areas(rng, pictures, people, spread=0.0):
    """Scores in 0..1 whose mean over pictures and people is known: a beta of mean 0.7."""
    shift = 0.08 * rng.choice([-1, 1], (pictures, 1)) + spread * rng.normal(size=people).clip(-2, 2)
    mean = 0.7 + np.broadcast_to(shift, (pictures, people))
    return rng.beta(8 * mean, 8 * (1 - mean))


@pytest.mark.parametrize(("pictures", "people"), [(10, 1), (20, 4)])
def test_coverage_of_few_pictures_in_1000_draws(pictures, people):
    rng, held = np.random.default_rng(pictures), 0
    clusters = np.repeat(np.arange(pictures), people)
    for seed in range(1000):
        values = areas(rng, pictures, people).ravel()
        interval = bootstrap_interval(values, clusters, n_boot=150, seed=seed)
        held += interval.low <= 0.7 <= interval.high
    assert 0.93 <= held / 1000 <= 0.97


@pytest.mark.parametrize(("pictures", "people", "spread"), [(60, 6, 0.08)])
def test_coverage_of_people_too_and_what_fixing_them_would_do(pictures, people, spread):
    rng, held, fixed = np.random.default_rng(people), 0, 0
    for seed in range(1000):
        values = areas(rng, pictures, people, spread)
        cluster, person = (i.ravel() for i in np.indices(values.shape))
        options = {"n_boot": 100, "seed": seed}
        both = bootstrap_interval(values.ravel(), cluster, people=person, **options)
        alone = bootstrap_interval(values.ravel(), cluster, **options)
        held += both.low <= 0.7 <= both.high
        fixed += alone.low <= 0.7 <= alone.high
    assert 0.93 <= held / 1000 <= 0.97
    assert fixed / 1000 < 0.8


def test_people_who_differ_in_nothing_but_noise_widen_the_interval_little():
    rng = np.random.default_rng(1)
    ratio = []
    for seed in range(30):
        values = areas(rng, 100, 6)
        cluster, person = (i.ravel() for i in np.indices(values.shape))
        both = bootstrap_interval(values.ravel(), cluster, people=person, seed=seed)
        alone = bootstrap_interval(values.ravel(), cluster, seed=seed)
        ratio.append((both.high - both.low) / (alone.high - alone.low))
    assert (both.n_people, alone.n_people) == (6, 0)
    assert np.median(ratio) < 1.2


def test_people_who_saw_other_pictures_are_no_more_apart_than_their_pictures():
    """Their pictures count once: with Student's 2.57 for six people, where one sample has 1.97."""
    rng, ratio = np.random.default_rng(2), []
    person = np.repeat(np.arange(6), 50)
    for seed in range(100):
        values = areas(rng, 300, 1).ravel()
        both = bootstrap_interval(values, np.arange(300), people=person, seed=seed)
        alone = bootstrap_interval(values, np.arange(300), seed=seed)
        ratio.append((both.high - both.low) / (alone.high - alone.low))
    assert 1.15 < np.mean(ratio) < 1.45


def test_one_person_says_nothing_of_others():
    values = areas(np.random.default_rng(3), 30, 1).ravel()
    alone = bootstrap_interval(values, np.arange(30), people=np.zeros(30))
    assert alone == bootstrap_interval(values, np.arange(30))


def test_bounds_stay_where_a_score_can_be():
    interval = bootstrap_interval([0.99] * 19 + [0.05], np.arange(20))
    assert 0.7 < interval.low < 0.943 < interval.high < 1.0


@pytest.mark.parametrize(("hits", "pictures"), [(1, 10), (19, 20), (40, 200)])
def test_hits_and_misses_have_the_binomial_interval_of_wilson(hits, pictures):
    from scipy.stats import binomtest

    wilson = binomtest(hits, pictures).proportion_ci(method="wilson")
    values = (np.arange(pictures) < hits).astype(float)
    for trials in (1, 3):  # three trials of a picture that stand and fall together
        found = bootstrap_interval(np.tile(values, trials), np.tile(np.arange(pictures), trials))
        assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), rel=1e-12)
    # Trials of a picture that differ are no binomial number of hits.
    mixed = bootstrap_interval(np.r_[values, 1 - values], np.tile(np.arange(pictures), 2))
    assert mixed.high - mixed.low < wilson.high - wilson.low


@pytest.mark.parametrize("pictures", [15, 60])
def test_coverage_of_the_share_of_a_ceiling(pictures):
    rng, held = np.random.default_rng(pictures), 0
    for seed in range(1000):
        easy = 0.12 * rng.normal(size=pictures)
        ours, best = (m + easy + 0.12 * rng.normal(size=pictures) for m in (0.65, 0.8))
        found = share_interval(
            Sample(ours, np.arange(pictures)),
            Sample(best, np.arange(pictures)),
            0.5,
            n_boot=200,
            seed=seed,
        )
        held += found.low <= 0.5 <= found.high
    assert 0.93 <= held / 1000 <= 0.97


def test_the_share_of_a_score_that_is_its_own_ceiling_is_one():
    sample = Sample(np.random.default_rng(4).uniform(0.6, 1, 30), np.arange(30))
    found = share_interval(sample, sample, 0.5)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


def test_no_share_of_a_ceiling_that_may_be_chance():
    rng = np.random.default_rng(5)
    ours, best = (Sample(rng.normal(0.5, 0.1, 20), np.arange(20)) for _ in range(2))
    assert share_interval(ours, best, 0.5) is None


def test_shares_match_pictures_by_name_and_not_by_place():
    rng = np.random.default_rng(6)
    names = np.array([f"p{i}" for i in range(40)])
    values = rng.uniform(0.5, 1, 40)
    order = rng.permutation(40)
    ours = Sample(values * 0.9, names)
    straight = share_interval(ours, Sample(values, names), 0.0)
    mixed = share_interval(ours, Sample(values[order], names[order]), 0.0)
    assert straight == mixed
    assert straight.high - straight.low < 1e-6  # exactly 0.9 of the ceiling, picture by picture
    other = share_interval(ours, Sample(values, names[order]), 0.0)
    assert other.high - other.low > 0.05


def test_the_last_bit_does_not_depend_on_the_order_of_queries():
    rng = np.random.default_rng(7)
    values, clusters, people = rng.random(300), rng.integers(0, 40, 300), rng.integers(0, 4, 300)
    order = rng.permutation(300)
    first = bootstrap_interval(values, clusters, people=people)
    assert first == bootstrap_interval(values[order], clusters[order], people=people[order])


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
