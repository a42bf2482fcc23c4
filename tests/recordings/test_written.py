"""Options of several values are read as a command line writes them, and as Python has them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from neuroalign.recordings.readers.bids import BidsOptions
from neuroalign.recordings.readers.epochs import EpochsOptions
from neuroalign.recordings.readers.own_files import ArraysOptions


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("last", "last"),
        ("0.25", 0.25),
        (0.25, 0.25),
        ("run-06, run-07", ("run-06", "run-07")),
        ("run-06", ("run-06",)),
        (("1", "2"), ("1", "2")),
        (None, None),
    ],
)
@pytest.mark.parametrize("options", [BidsOptions, EpochsOptions, ArraysOptions])
def test_which_runs_are_held_out(options: type, given: object, read: object) -> None:
    assert options(test_runs=given).test_runs == read


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("-0.1,0", (-0.1, 0.0)),
        (",0", (None, 0.0)),
        ("none", "none"),
        ((-0.2, None), (-0.2, None)),
        (None, None),
    ],
)
def test_the_seconds_of_a_baseline(given: object, read: object) -> None:
    assert BidsOptions(baseline=given).baseline == read


@pytest.mark.parametrize("given", ["-0.1", "a,b", "1,2,3"])
def test_another_baseline_is_refused(given: str) -> None:
    with pytest.raises(ValidationError, match="two times in seconds"):
        BidsOptions(baseline=given)
