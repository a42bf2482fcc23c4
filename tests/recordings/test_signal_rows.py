"""A table of numbers is the same in memory and in a file."""

from __future__ import annotations

import numpy as np
import pytest

from neuroalign.recordings.signal_rows import Rows


@pytest.mark.parametrize("most_bytes", [0, 2**20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_written_is_read_by_rows_and_columns(most_bytes: int, dtype: type) -> None:
    expected = np.random.default_rng(0).normal(size=(7, 53)).astype(dtype)
    with Rows(7, 53, dtype, most_bytes=most_bytes) as rows:
        rows.write(0, 0, expected[:, :20])
        rows.write(2, 20, expected[2:, 20:])
        np.testing.assert_array_equal(rows.rows(0, 2)[:, 20:], 0)
        rows.write(0, 20, expected[:2, 20:])
        np.testing.assert_array_equal(rows.rows(1, 5), expected[1:5])
        np.testing.assert_array_equal(rows.columns(19, 22), expected[:, 19:22])
        groups = list(rows.row_groups())
        np.testing.assert_array_equal(np.concatenate([g for _, g in groups]), expected)
        spans = [rows.columns(first, last) for first, last in rows.column_spans()]
        np.testing.assert_array_equal(np.concatenate(spans, axis=1), expected)


def test_much_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuroalign.recordings.signal_rows._AT_A_TIME", 8 * 10)
    with Rows(6, 5, np.float64, most_bytes=0) as rows:
        assert [(first, len(g)) for first, g in rows.row_groups()] == [(0, 2), (2, 2), (4, 2)]
        assert list(rows.column_spans()) == [(i, i + 1) for i in range(5)]
