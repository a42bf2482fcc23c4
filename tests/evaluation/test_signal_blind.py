"""What a trial table alone says about when a trial was recorded, and nothing else."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroalign.evaluation.signal_blind import design_features, recorded_order


def table(n_runs: int = 3, per_run: int = 4) -> pd.DataFrame:
    run = np.repeat(np.arange(1, n_runs + 1), per_run)
    place = np.tile(np.arange(per_run), n_runs)
    one = pd.DataFrame(
        {
            "label": np.where(place % 2, "face", "house"),
            "stimulus": [f"p{i}" for i in range(len(run))],
            "split": np.where(run == n_runs, "test", "train"),
            "session": "1",
            "run": [f"run-{r}" for r in run],
            "onset_s": place * 2.0,
            "array_row": np.arange(len(run)),
        }
    )
    return pd.concat([one.assign(subject=s) for s in ("a", "b")], ignore_index=True)


def test_features_are_the_place_in_the_recording() -> None:
    features = design_features(table())
    assert list(features.columns) == ["run", "position", "position_in_run", "onset_s"]
    one = features.iloc[:12]
    assert one["position"].tolist() == list(range(12))
    assert one["run"].tolist() == np.repeat([0, 1, 2], 4).tolist()
    assert one["position_in_run"].tolist() == [0, 1, 2, 3] * 3
    assert np.array_equal(features.iloc[12:], one), "each person starts anew"


def test_runs_are_ordered_by_number_and_not_by_letter() -> None:
    trials = table(n_runs=11, per_run=1)
    assert design_features(trials)["run"].tolist() == [*range(11)] * 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_neither_names_nor_the_order_of_rows_matter(seed: int) -> None:
    trials = table()
    rng = np.random.default_rng(seed)
    expected = design_features(trials)
    shuffled = trials.sample(frac=1, random_state=np.random.RandomState(seed % 2**31))
    renamed = shuffled.assign(
        label=rng.permutation(shuffled["label"]),
        stimulus=rng.permutation(shuffled["stimulus"]),
        split=rng.permutation(shuffled["split"]),
    )
    pd.testing.assert_frame_equal(design_features(renamed).loc[expected.index], expected)


def test_without_runs_and_onsets_only_the_order_is_left() -> None:
    trials = table().assign(run=pd.NA, session=pd.NA, onset_s=np.nan)
    assert list(design_features(trials).columns) == ["position"]


def test_a_column_that_is_missing_somewhere_is_not_used() -> None:
    trials = table()
    trials.loc[3, "onset_s"] = np.nan
    assert "onset_s" not in design_features(trials)


@pytest.mark.parametrize("column", ["onset_s", "run", "array_row"])
def test_recorded_order_needs_no_column_but_the_subject(column: str) -> None:
    trials = table()
    order = recorded_order(trials.drop(columns=column))
    assert sorted(order) == list(range(len(trials)))
    assert trials["subject"].iloc[order].is_monotonic_increasing
