"""Noise normalisation against scikit-learn, the definition, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from sklearn.covariance import ledoit_wolf

from neuroalign.errors import NeuroalignError
from neuroalign.signals.noise_normalisation import NoiseCovariance


def make(conditions: int, repeats: int, channels: int, samples: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(channels, channels))
    evoked = 5 * rng.normal(size=(conditions, 1, channels, samples))
    data = evoked + mixing @ rng.normal(size=(conditions, repeats, channels, samples))
    trials = data.reshape(-1, channels, samples)
    return trials, np.repeat(np.arange(conditions), repeats), mixing @ mixing.T


@pytest.mark.parametrize(("samples", "repeats"), [(3, 2), (40, 4)])
def test_it_is_the_inverse_root_of_the_shrunk_covariance(samples: int, repeats: int) -> None:
    trials, conditions, _ = make(6, repeats, 5, samples)
    noise = NoiseCovariance()
    noise.add(trials, conditions)
    deviations = trials.reshape(6, repeats, 5, samples)
    deviations = deviations - deviations.mean(axis=1, keepdims=True)
    flat = np.moveaxis(deviations, 2, 3).reshape(-1, 5)
    covariance, shrinkage = ledoit_wolf(flat, assume_centered=True)
    assert shrinkage > 0
    expected = np.linalg.inv(scipy.linalg.sqrtm(covariance * repeats / (repeats - 1)).real)
    np.testing.assert_allclose(noise.whitening(), expected, rtol=1e-8, atol=1e-10)


def test_blocks_of_trials_change_nothing() -> None:
    trials, conditions, _ = make(12, 3, 4, 20)
    whole, blocks = NoiseCovariance(), NoiseCovariance()
    whole.add(trials, conditions)
    for start in range(0, len(trials), 6):
        blocks.add(trials[start : start + 6], conditions[start : start + 6])
    np.testing.assert_allclose(blocks.whitening(), whole.whitening(), rtol=1e-10)


def test_noise_becomes_white_whatever_the_signal() -> None:
    trials, conditions, covariance = make(400, 4, 6, 50)
    noise = NoiseCovariance()
    noise.add(trials, conditions)
    whitening = noise.whitening()
    np.testing.assert_allclose(whitening @ covariance @ whitening.T, np.eye(6), atol=0.03)
    np.testing.assert_allclose(whitening, whitening.T, atol=1e-12)


def test_what_cannot_be_told_is_an_error() -> None:
    trials, _, _ = make(8, 1, 3, 10)
    single = NoiseCovariance()
    single.add(trials, np.arange(8))
    with pytest.raises(NeuroalignError, match="shown twice"):
        single.whitening()
    with pytest.raises(NeuroalignError, match="shown twice"):
        NoiseCovariance().whitening()
    silent = NoiseCovariance()
    silent.add(np.zeros((8, 3, 10)), np.repeat(np.arange(4), 2))
    with pytest.raises(NeuroalignError, match="dimensions"):
        silent.whitening()
