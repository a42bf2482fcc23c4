"""fMRI preprocessing against SciPy, scikit-learn and plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import scipy.stats

from neuroalign.errors import NeuroalignError
from neuroalign.signals.fmri import (
    c_order_index,
    detrend_runs,
    lagged_rows,
    mask_series,
    zscore_runs,
    zscore_train,
)

RUNS = np.repeat(["a", "b", "c"], [10, 12, 8])


def volumes(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(1000.0, 20.0, size=(30, 5)).astype(np.float32)


def test_zscore_per_run_equals_scipy() -> None:
    x = volumes()
    ours = zscore_runs(x, RUNS)
    for run in "abc":
        rows = run == RUNS
        np.testing.assert_allclose(
            ours[rows], scipy.stats.zscore(x[rows].astype(float)), rtol=1e-3, atol=1e-3
        )


def test_zscore_per_run_of_one_run_does_not_depend_on_another() -> None:
    x, other = volumes(), volumes()
    other[RUNS == "c"] = volumes(seed=1)[RUNS == "c"] * 3
    np.testing.assert_array_equal(
        zscore_runs(x, RUNS)[RUNS != "c"], zscore_runs(other, RUNS)[RUNS != "c"]
    )


def test_zscore_train_uses_training_volumes_alone() -> None:
    x, train = volumes(), RUNS != "c"
    ours = zscore_train(x, train)
    np.testing.assert_allclose(ours[train].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(ours[train].std(axis=0), 1, rtol=1e-4)
    other = x.copy()
    other[~train] *= 7
    np.testing.assert_array_equal(zscore_train(other, train)[train], ours[train])


def test_detrending_takes_the_line_and_leaves_the_mean() -> None:
    x = volumes()
    slopes = np.where(RUNS == "b", 3.0, -2.0)[:, None] * np.arange(30)[:, None]
    ours = detrend_runs(x + slopes, RUNS)
    for run in "abc":
        rows = run == RUNS
        block = (x + slopes)[rows].astype(float)
        np.testing.assert_allclose(ours[rows].mean(axis=0), block.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(
            ours[rows] - ours[rows].mean(axis=0), scipy.signal.detrend(block, axis=0), atol=1e-2
        )


def test_a_run_too_short_to_detrend() -> None:
    with pytest.raises(NeuroalignError, match="run of 2 volume"):
        detrend_runs(np.ones((4, 2)), ["a", "a", "b", "b"])


def test_lag_stays_inside_its_run() -> None:
    assert lagged_rows(["a"] * 4 + ["b"] * 3, 2).tolist() == [2, 3, -1, -1, 6, -1, -1]
    assert lagged_rows(["a", "b", "a"], 1).tolist() == [2, -1, -1]
    assert lagged_rows(["a", "b"], 0).tolist() == [0, 1]
    assert lagged_rows(["a", "a"], 5).tolist() == [-1, -1]
    with pytest.raises(NeuroalignError, match="0 or more"):
        lagged_rows(["a"], -1)


def test_mask_and_index_lead_back_to_the_volume() -> None:
    rng = np.random.default_rng(0)
    series = rng.normal(size=(4, 5, 6, 7)).astype(np.float32)
    mask = rng.random((4, 5, 6)) > 0.6
    flat, index = mask_series(series, mask)
    assert flat.shape == (7, mask.sum())
    rebuilt = np.zeros((4 * 5 * 6, 7), np.float32)
    rebuilt[index] = flat.T
    np.testing.assert_array_equal(rebuilt.reshape(4, 5, 6, 7), series * mask[..., None])


def test_masks_that_do_not_fit() -> None:
    with pytest.raises(NeuroalignError, match="first three numbers"):
        mask_series(np.zeros((2, 2, 2, 3)), np.ones((2, 2, 3)))
    with pytest.raises(NeuroalignError, match="empty"):
        mask_series(np.zeros((2, 2, 2, 3)), np.zeros((2, 2, 2)))


def test_column_major_indices_counted_from_one() -> None:
    shape = (3, 4, 5)
    volume = np.arange(60).reshape(shape)
    matlab = np.array([1, 2, 4, 13, 60])
    expected = volume.ravel(order="F")[matlab - 1]
    ours = c_order_index(matlab, shape, base=1, order="F")
    np.testing.assert_array_equal(volume.ravel()[ours], expected)
    np.testing.assert_array_equal(c_order_index([3, 0], shape), [3, 0])


@pytest.mark.parametrize(("index", "base"), [([0, 5], 1), ([60], 0), ([61], 1)])
def test_indices_outside_the_volume(index: list[int], base: int) -> None:
    with pytest.raises(NeuroalignError, match="Voxel indices run from"):
        c_order_index(index, (3, 4, 5), base=base)


def test_runs_must_be_named_for_every_volume() -> None:
    with pytest.raises(NeuroalignError, match="30 volumes but 29"):
        zscore_runs(volumes(), RUNS[:-1])
