"""Ridge in closed form equals scikit-learn's, refitted the slow way."""

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import LeaveOneGroupOut

from neuroalign.errors import NeuroalignError
from neuroalign.models import ridge
from neuroalign.models.ridge import ridge_solution

ALPHAS = np.array([0.1, 3.0, 100.0, 3000.0])


def data(n, p, d=4, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * rng.uniform(0.3, 3, p) + rng.normal(size=p)
    Y = X @ rng.normal(size=(p, d)) / np.sqrt(p) + noise * rng.normal(size=(n, d)) + 5
    return X, Y


@pytest.mark.parametrize(("n", "p"), [(40, 15), (40, 90), (30, 30)])
def test_equals_ridge_cv_of_scikit_learn(n, p):
    X, Y = data(n, p)
    ours = ridge_solution(X, Y, alphas=ALPHAS)
    theirs = RidgeCV(ALPHAS, store_cv_results=True).fit(X, Y)
    errors = theirs.cv_results_.reshape(n, -1, len(ALPHAS)).sum(axis=(0, 1))
    left_out_mean = ((Y - Y.mean(0)) ** 2).sum() * (n / (n - 1)) ** 2
    np.testing.assert_allclose(ours.cv_scores, 1 - errors / left_out_mean, rtol=1e-6)
    assert ours.alpha == theirs.alpha_
    np.testing.assert_allclose(ours.weights, theirs.coef_.T, atol=1e-5)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-4)


@pytest.mark.parametrize(("n", "p"), [(48, 20), (48, 100)])
@pytest.mark.parametrize("weighted", [False, True])
def test_leaving_groups_out_equals_refitting(n, p, weighted):
    X, Y = data(n, p, seed=1)
    rng = np.random.default_rng(2)
    groups = rng.integers(0, 9, n)  # of uneven size
    w = rng.integers(1, 6, n).astype(float) if weighted else np.ones(n)
    ours = ridge_solution(X, Y, groups, alphas=ALPHAS, sample_weight=w)
    for alpha, score in zip(ALPHAS, ours.cv_scores, strict=True):
        error = total = 0.0
        for train, test in LeaveOneGroupOut().split(X, Y, groups):
            fit = Ridge(alpha).fit(X[train], Y[train], sample_weight=w[train])
            error += (w[test, None] * (Y[test] - fit.predict(X[test])) ** 2).sum()
            mean = np.average(Y[train], axis=0, weights=w[train])
            total += (w[test, None] * (Y[test] - mean) ** 2).sum()
        assert score == pytest.approx(1 - error / total, abs=1e-6)
    fit = Ridge(ours.alpha).fit(X, Y, sample_weight=w)
    np.testing.assert_allclose(ours.weights, fit.coef_.T, atol=1e-5)


def test_weights_count_as_repeats():
    X, Y = data(25, 60, seed=3)
    repeats = np.random.default_rng(4).integers(1, 4, 25)
    rows = np.repeat(np.arange(25), repeats)
    averaged = ridge_solution(X, Y, alphas=ALPHAS, sample_weight=repeats)
    single = ridge_solution(X[rows], Y[rows], groups=rows, alphas=ALPHAS)
    np.testing.assert_allclose(averaged.cv_scores, single.cv_scores, atol=1e-8)
    np.testing.assert_allclose(averaged.weights, single.weights, atol=1e-5)


def test_equals_kernel_ridge_of_scikit_learn():
    X, Y = data(30, 200, seed=5)
    ours = ridge_solution(X, Y, alphas=[7.0])
    x, y = X - X.mean(0), Y - Y.mean(0)
    theirs = KernelRidge(alpha=7.0).fit(x, y).predict(x)
    np.testing.assert_allclose(ours.predict(X) - Y.mean(0), theirs, atol=1e-4)


@pytest.mark.parametrize(("n", "p"), [(20, 50), (50, 20)])
def test_blocks_do_not_change_the_solution(n, p, monkeypatch):
    X, Y = data(n, p, seed=6)
    whole = ridge_solution(X, Y)
    monkeypatch.setattr(ridge, "_BLOCK_BYTES", 8 * 7 * max(n, p) // 2)
    parts = ridge_solution(X, Y)
    np.testing.assert_allclose(parts.weights, whole.weights, atol=1e-6)
    assert parts.alpha == pytest.approx(whole.alpha)


def test_units_of_the_features_do_not_matter():
    X, Y = data(40, 80, seed=7)
    volts, microvolts = ridge_solution(X * 1e-6, Y), ridge_solution(X, Y)
    np.testing.assert_allclose(volts.cv_scores, microvolts.cv_scores, atol=1e-6)


def test_features_of_any_shape_and_memory_maps(tmp_path):
    X, Y = data(24, 60, seed=8)
    np.save(tmp_path / "x.npy", X.astype(np.float32).reshape(24, 3, 4, 5))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    solution = ridge_solution(mapped, Y)
    flat = ridge_solution(X.astype(np.float32), Y)
    assert np.array_equal(solution.predict(mapped), flat.predict(X))


def test_pure_noise_gets_the_strongest_shrinkage_or_explains_next_to_nothing():
    rng = np.random.default_rng(9)
    solution = ridge_solution(rng.normal(size=(80, 300)), rng.normal(size=(80, 20)))
    assert solution.cv_scores.max() < 0.02
    assert solution.cv_scores[0] < solution.cv_scores[-1]


def test_a_clear_linear_map_is_found():
    X, Y = data(200, 30, noise=0.1, seed=10)
    assert ridge_solution(X[:150], Y[:150]).cv_scores.max() > 0.95
    prediction = ridge_solution(X[:150], Y[:150]).predict(X[150:])
    assert 1 - ((prediction - Y[150:]) ** 2).sum() / ((Y[150:] - Y[:150].mean(0)) ** 2).sum() > 0.95


def test_bad_input_is_refused():
    X, Y = data(10, 5)
    broken = X.copy()
    broken[3, 2] = np.nan
    for arguments, message in [
        ((X, Y[:9]), "10 trials, targets of shape"),
        ((broken, Y), "features hold NaN or infinite values .first: trial 3"),
        ((np.ones((10, 5)), Y), "All features are constant"),
        ((X, Y, np.zeros(10)), r"10 trials in 1 group"),
        ((X[:2], Y[:2]), "at least three trials"),
    ]:
        with pytest.raises(NeuroalignError, match=message):
            ridge_solution(*arguments)
    with pytest.raises(NeuroalignError, match="positive"):
        ridge_solution(X, Y, alphas=[0.0])
    with pytest.raises(NeuroalignError, match="positive for each trial"):
        ridge_solution(X, Y, sample_weight=np.arange(10))
    with pytest.raises(NeuroalignError, match=r"fitted to 5 features .* have 6"):
        ridge_solution(X, Y).predict(np.ones((2, 6)))
