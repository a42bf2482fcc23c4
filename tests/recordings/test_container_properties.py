"""Any chain of select, take and average gives what plain NumPy gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroalign.recordings import Recordings, RecordingsInfo, write_recordings

INFO = RecordingsInfo(modality="fmri", axes=("voxels",), units="z")
Case = tuple[dict[str, npt.NDArray[np.float32]], pd.DataFrame]
KEYS = ["subject", "stimulus", "label", "split"]


@st.composite
def recorded(draw: st.DrawFn) -> Case:
    counts = draw(st.lists(st.integers(2, 7), min_size=1, max_size=3))
    width = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    arrays, tables = {}, []
    for person, count in enumerate(counts):
        name = f"s{person}"
        arrays[name] = rng.normal(size=(count, width)).astype(np.float32)
        tables.append(
            pd.DataFrame(
                {
                    "subject": name,
                    "stimulus": rng.choice(np.array(["a", "b", None], object), count),
                    "label": rng.choice(["face", "house"], count),
                    "split": rng.choice(["train", "test"], count),
                }
            )
        )
    return arrays, pd.concat(tables, ignore_index=True)


def opened(factory: pytest.TempPathFactory, case: Case) -> Recordings:
    return write_recordings(factory.mktemp("case") / "r", INFO, *case)


@settings(max_examples=15, deadline=None)
@given(recorded(), st.data())
def test_take_and_select_equal_numpy(
    tmp_path_factory: pytest.TempPathFactory, case: Case, data: st.DataObject
) -> None:
    arrays, trials = case
    recordings = opened(tmp_path_factory, case)
    everything = np.concatenate(list(arrays.values()))
    order = data.draw(st.lists(st.integers(0, len(trials) - 1), max_size=12))
    label = data.draw(st.sampled_from(["face", "house", "car"]))
    view = recordings.take(order).select(label=label)
    expected = [i for i in order if trials["label"][i] == label]
    np.testing.assert_array_equal(view.read(), everything[expected])
    assert view.trials["label"].tolist() == [label] * len(expected)
    assert view.trials["subject"].tolist() == trials["subject"].iloc[expected].tolist()


@settings(max_examples=15, deadline=None)
@given(recorded(), st.data())
def test_averages_equal_the_means_of_their_groups(
    tmp_path_factory: pytest.TempPathFactory, case: Case, data: st.DataObject
) -> None:
    arrays, trials = case
    by = ["subject", *data.draw(st.lists(st.sampled_from(KEYS[1:]), unique=True))]
    order = data.draw(st.lists(st.integers(0, len(trials) - 1), min_size=1, max_size=12))
    averaged = opened(tmp_path_factory, case).take(order).average(by)
    everything = np.concatenate(list(arrays.values()))
    groups: dict[tuple[object, ...], list[int]] = {}
    for i in order:
        key = tuple(None if pd.isna(v) else v for v in trials.loc[i, by])
        groups.setdefault(key, []).append(i)
    expected = np.stack([everything[rows].mean(axis=0) for rows in groups.values()])
    np.testing.assert_allclose(averaged.read(), expected, rtol=1e-4, atol=1e-5)
    assert averaged.trials["n_averaged"].tolist() == [len(rows) for rows in groups.values()]
    assert averaged.trials["subject"].tolist() == [key[0] for key in groups]


@settings(max_examples=10, deadline=None)
@given(recorded(), st.integers(1, 5))
def test_blocks_give_the_items_of_a_view(
    tmp_path_factory: pytest.TempPathFactory, case: Case, size: int
) -> None:
    view = opened(tmp_path_factory, case).average_repeats()
    whole = view.read()
    seen = np.zeros(len(view), int)
    for _, positions, signals in view.blocks(size):
        np.testing.assert_array_equal(signals, whole[positions])
        seen[positions] += 1
    assert (seen == 1).all()
