"""The lag of the blood's response, and voxel indices, against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from neuroalign.errors import NeuroalignError
from neuroalign.signals.fmri import c_order_index, lagged_rows


def test_lag_stays_inside_its_run() -> None:
    assert lagged_rows(["a"] * 4 + ["b"] * 3, 2).tolist() == [2, 3, -1, -1, 6, -1, -1]
    assert lagged_rows(["a", "b", "a"], 1).tolist() == [2, -1, -1]
    assert lagged_rows(["a", "b"], 0).tolist() == [0, 1]
    for lag in (2, 3, 5):  # longer than the run
        assert lagged_rows(["a", "a"], lag).tolist() == [-1, -1]
    with pytest.raises(NeuroalignError, match="0 or more"):
        lagged_rows(["a"], -1)


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
