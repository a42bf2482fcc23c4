"""Component weights against the known slope and noise of simulated predictions."""

import numpy as np
import pytest
from small_runs import make_pictures, small_recipe

from neuroalign.evaluation.metrics import two_way as reference_two_way
from neuroalign.training.component_weights import choose_weights, two_way
from neuroalign.training.pipeline import candidate_spaces

SLOPE = np.array([0.5, 0.2, 0.2, 0.0])
NOISE = np.array([0.3, 0.1, 0.4, 0.2])


def simulated(n_targets, repeats, seed=0):
    rng = np.random.default_rng(seed)
    goal = rng.normal(size=(n_targets, 4))
    goal /= np.linalg.norm(goal, axis=1, keepdims=True)
    target = np.repeat(np.arange(n_targets), repeats)
    z = SLOPE * goal[target] + NOISE * rng.normal(size=(len(target), 4))
    return z, goal, target, target % 5


def test_they_are_slope_over_noise_variance():
    z, goal, target, fold = simulated(400, 50)
    power, weights, _ = choose_weights(z, goal, target, fold, [1.0])
    expected = SLOPE / NOISE**2
    expected /= np.sqrt(np.mean(expected**2))
    assert power == 1.0
    np.testing.assert_allclose(weights, expected, atol=0.02)


def test_they_make_the_ranking_of_the_likelihood():
    """With the same slope and noise everywhere but in one component, drowned in noise."""
    z, goal, target, fold = simulated(60, 40, seed=1)
    z[:, 2] += 3 * np.random.default_rng(2).normal(size=len(z))
    even = choose_weights(z, goal, target, fold, [0.0])
    sharp = choose_weights(z, goal, target, fold, [1.0])
    assert even[1] == (1.0,) * 4
    assert sharp[2] > even[2] + 0.05
    power, _, score = choose_weights(z, goal, target, fold, [0.0, 0.5, 1.0])
    assert power > 0
    assert score >= max(even[2], sharp[2])


def test_the_score_of_a_fold_has_weights_from_the_others():
    """Predictions without any relation score chance, however many weights there are."""
    rng = np.random.default_rng(3)
    goal = rng.normal(size=(100, 30))
    goal /= np.linalg.norm(goal, axis=1, keepdims=True)
    z, target = rng.normal(size=(100, 30)), np.arange(100)
    _, _, score = choose_weights(z, goal, target, target % 5, [1.0])
    assert abs(score - 0.5) < 0.1


def test_predictions_of_the_wrong_sign_leave_everything_alike():
    goal = np.eye(4)[np.arange(20) % 4]
    z = -(goal - goal.mean(0))
    _, weights, score = choose_weights(z, goal, np.arange(20), np.arange(20) % 5, [1.0])
    assert weights == (1.0,) * 4
    assert score < 0.5


def test_the_two_way_score_is_that_of_the_evaluation():
    z, goal, target, _ = simulated(30, 2)
    names = np.array([f"p{t:02d}" for t in range(30)])
    expected = reference_two_way(z @ goal.T, names[target], names).mean()
    assert two_way(z, goal, target) == pytest.approx(expected)
    assert two_way(z[:2], goal, np.array([3, 3])) == 0.5


def test_no_candidate_space_is_as_rich_as_its_pictures_are_many():
    recipe = small_recipe(space={"components": [4, 2, 5, None], "power": [0.0, 0.25]})
    assert {s.dim for s in candidate_spaces(make_pictures(16), recipe)} == {2, 4}
    assert {s.dim for s in candidate_spaces(make_pictures(40), recipe)} == {2, 4, 5}
    assert {s.dim for s in candidate_spaces(make_pictures(6), recipe)} == {2}
    only = small_recipe(space={"components": [None], "power": [0.25]})
    assert [s.dim for s in candidate_spaces(make_pictures(16), only)] == [6]
