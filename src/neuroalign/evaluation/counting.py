"""Counting in large matrices: in threads, and in sorted rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")


def in_threads(function: Callable[[slice], T], parts: Sequence[slice]) -> list[T]:
    """Return the function of each part; NumPy lets threads run side by side.

    Not on two cores: after a matrix product one of them goes on waiting for the next (OpenBLAS),
    and sharing the other is slower than doing one part after the other.
    """
    workers = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    if workers <= 2 or len(parts) == 1:
        return [function(p) for p in parts]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, parts))


def count_below(
    ordered: npt.NDArray[np.floating], values: npt.NDArray[np.floating], *, equal: bool
) -> npt.NDArray[np.int64]:
    """Count the entries of each sorted row that are below (or equal to) each value of that row.

    Parameters
    ----------
    ordered : ndarray of shape (n, m)
        Rows in ascending order.
    values : ndarray of shape (n, k)
    equal : bool
        Count equal entries too.

    Returns
    -------
    ndarray of shape (n, k), int
    """
    # A binary search in all rows at once: NumPy's own takes one sorted array.
    low = np.zeros(values.shape, np.int64)
    high = np.full(values.shape, ordered.shape[1], np.int64)
    for _ in range(ordered.shape[1].bit_length()):
        middle = (low + high) // 2
        found = np.take_along_axis(ordered, np.minimum(middle, ordered.shape[1] - 1), axis=1)
        further = (found <= values if equal else found < values) & (low < high)
        low, high = np.where(further, middle + 1, low), np.where(further, high, middle)
    return low


def count_true(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Count the true entries of each row (faster than count_nonzero along an axis)."""
    found: npt.NDArray[np.int64] = mask.view(np.uint8).sum(axis=1, dtype=np.uint32).astype(np.int64)
    return found
