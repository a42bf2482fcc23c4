"""Each run's line, mean and spread, gathered block by block, against SciPy on the whole run."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import scipy.stats

from neuroalign.errors import NeuroalignError
from neuroalign.signals.run_fits import RunFits

RUNS = np.array([*"aaaaaaaa", *"bbbbbb", *"acac", *"ccccc"], object)  # not all in one piece


def drifting(seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(800, 10, size=(len(RUNS), 6))
    return (x + 3 * np.arange(len(RUNS))[:, None]).astype(np.float32)


def fitted(volumes: np.ndarray, *, detrend: bool, zscore: bool) -> RunFits:
    fits = RunFits(RUNS, detrend=detrend, zscore=zscore)
    for start in range(0, len(RUNS), 5):
        fits.see(slice(start, min(start + 5, len(RUNS))), volumes[start : start + 5])
    return fits


@pytest.mark.parametrize("zscore", [False, True])
@pytest.mark.parametrize("detrend", [False, True])
def test_runs_fitted_in_blocks_are_those_of_scipy(detrend: bool, zscore: bool) -> None:
    volumes = drifting()
    expected = volumes.astype(np.float64)
    for run in "abc":
        block = expected[run == RUNS]
        if detrend:  # the run's mean stays
            block = scipy.signal.detrend(block, axis=0) + block.mean(axis=0)
        expected[run == RUNS] = scipy.stats.zscore(block) if zscore else block
    rows = np.array([3, 4, 12, 15, 20])
    keep = np.array([True, False, True, True, True, False])
    found = fitted(volumes, detrend=detrend, zscore=zscore).apply(rows, volumes[rows], keep)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected[rows][:, keep], rtol=1e-5, atol=2e-4)


def test_a_run_does_not_depend_on_another() -> None:
    volumes, other = drifting(), drifting()
    other[RUNS == "c"] *= 7
    rows, keep = np.flatnonzero(RUNS != "c"), np.ones(6, bool)
    found = [
        fitted(x, detrend=True, zscore=True).apply(rows, x[rows], keep) for x in (volumes, other)
    ]
    np.testing.assert_array_equal(*found)


def test_a_run_that_is_a_line_cannot_be_standardised() -> None:
    volumes = (5 + 2 * np.arange(10, dtype=np.float32))[:, None] * np.ones((1, 2), np.float32)
    fits = RunFits(["a"] * 10, detrend=True, zscore=True)
    fits.see(slice(0, 10), volumes)
    with pytest.raises(NeuroalignError, match="2 of 2 voxels never change once their line"):
        fits.apply(np.arange(10), volumes, np.ones(2, bool))


def test_a_run_too_short_to_detrend() -> None:
    with pytest.raises(NeuroalignError, match="run of 2 volume"):
        RunFits(["a", "a", "b", "b"], detrend=True, zscore=False)
