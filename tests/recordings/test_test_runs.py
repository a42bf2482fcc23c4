"""Which runs are held out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.splits import Run, choose_test_runs, hold_out_end

RUNS = [
    *(Run("sub-01", "01", f"{i:02d}") for i in range(1, 7)),
    Run("sub-02", "01", "01"),
    Run("sub-02", "02", "01"),
    Run("sub-03", None, "01"),
]


def names(rule: object) -> list[str]:
    return sorted(r.name for r in choose_test_runs(RUNS, rule))  # type: ignore[arg-type]


def test_the_last_run_of_everybody_with_two() -> None:
    assert names("last") == ["sub-01_ses-01_run-06", "sub-02_ses-02_run-01"]


def test_a_share_is_rounded_up_but_leaves_a_training_run() -> None:
    assert names(0.3) == [
        "sub-01_ses-01_run-05",
        "sub-01_ses-01_run-06",
        "sub-02_ses-02_run-01",
    ]
    assert len(names(0.99)) == 6


def test_named_runs() -> None:
    assert names(["run-06"]) == ["sub-01_ses-01_run-06"]
    assert names(["06"]) == ["sub-01_ses-01_run-06"]
    assert names("ses-02") == ["sub-02_ses-02_run-01"]
    assert names(["sub-01_run-02", "sub-02_ses-01_run-01"]) == [
        "sub-01_ses-01_run-02",
        "sub-02_ses-01_run-01",
    ]


def test_nothing_held_out() -> None:
    assert names(None) == []


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (["run-09"], "'run-09' is none of the usable runs .sub-01_ses-01_run-01"),
        (1.5, "between 0 and 1, got 1.5"),
        (0, "between 0 and 1, got 0"),
        (["sub-03"], "Subject sub-03 has 1 usable run"),
    ],
)
def test_rules_that_cannot_work(rule: object, message: str) -> None:
    with pytest.raises(NeuroalignError, match=message):
        names(rule)


@given(
    st.lists(st.integers(0, 100_000), min_size=3, max_size=60, unique=True),
    st.floats(0, 20),
)
def test_the_end_of_a_run_lies_behind_a_gap(milliseconds: list[int], gap: float) -> None:
    onsets = np.array(milliseconds) / 1000
    parts = hold_out_end(onsets, gap)
    test, train = onsets[parts == "test"], onsets[parts == "train"]
    assert len(test) == len(onsets) // 3
    assert set(parts) <= {"train", "gap", "test"}
    if len(train):
        assert train.max() <= test.min() - gap


def test_too_few_trials_to_divide() -> None:
    assert hold_out_end([1.0, 2.0], 0.5).tolist() == ["train", "train"]
