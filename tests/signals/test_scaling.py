"""Statistics gathered block by block equal NumPy's on the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from neuroalign.errors import NeuroalignError
from neuroalign.signals.scaling import fit_scaling


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=6),
    st.floats(-1e4, 1e4),
    st.integers(0, 2**32 - 1),
)
def test_blocks_give_what_the_whole_gives(sizes: list[int], offset: float, seed: int) -> None:
    whole = np.random.default_rng(seed).normal(offset, 2.0, size=(sum(sizes) + 2, 3, 4))
    blocks = np.split(whole, np.cumsum(sizes))
    scaling = fit_scaling(blocks)
    np.testing.assert_allclose(scaling.mean, whole.mean(axis=(0, 2)), rtol=1e-10, atol=1e-8)
    np.testing.assert_allclose(scaling.scale, whole.std(axis=(0, 2)), rtol=1e-7)


def test_voxels_equal_scikit_learn() -> None:
    x = np.random.default_rng(0).normal(5.0, 3.0, size=(50, 7))
    expected = StandardScaler().fit(x[:40]).transform(x)
    ours = fit_scaling([x[:40]]).apply(x)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_a_feature_that_never_changes_is_named() -> None:
    x = np.random.default_rng(0).normal(size=(10, 4, 3))
    x[:, 2] = 1234.5678
    with pytest.raises(NeuroalignError, match=r"1 of 4 .*positions \[2\]"):
        fit_scaling([x[:5], x[5:]])


def test_tiny_but_real_signals_are_not_called_constant() -> None:
    x = np.random.default_rng(0).normal(size=(10, 2, 3)) * 1e-13
    np.testing.assert_allclose(fit_scaling([x]).apply(x).std(axis=(0, 2)), 1, rtol=1e-5)


def test_no_trials_no_statistics() -> None:
    with pytest.raises(NeuroalignError, match="no training trials"):
        fit_scaling([np.zeros((0, 3, 4))])
