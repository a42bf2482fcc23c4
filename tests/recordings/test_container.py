"""Views of recordings give what plain NumPy and pandas give."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neuroalign.errors import NeuroalignError
from neuroalign.recordings import Recordings, RecordingsInfo, write_recordings


def info(**changes: object) -> RecordingsInfo:
    fields: dict[str, object] = {
        "modality": "eeg",
        "axes": ("channels", "samples"),
        "units": "µV",
        "sfreq": 100.0,
        "tmin": 0.0,
    }
    return RecordingsInfo(**(fields | changes))  # type: ignore[arg-type]


def table(subject: str, n: int, **columns: object) -> pd.DataFrame:
    base: dict[str, object] = {
        "subject": subject,
        "stimulus": [f"pic{i % 3}" for i in range(n)],
        "label": ["face" if i % 2 else "house" for i in range(n)],
        "split": ["test" if i >= n - 2 else "train" for i in range(n)],
        "run": [str(i // 4) for i in range(n)],
    }
    return pd.DataFrame(base | columns)


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "sub-01": rng.normal(size=(9, 3, 5)).astype(np.float32),
        "sub-02": rng.normal(size=(6, 3, 5)).astype(np.float32),
    }


@pytest.fixture(scope="module")
def folder(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("recordings") / "eeg"
    trials = pd.concat([table(s, len(a)) for s, a in arrays.items()])
    write_recordings(out, info(), arrays, trials)
    return out


@pytest.fixture
def recordings(folder: Path) -> Recordings:
    return Recordings(folder)


def test_reads_back_what_was_written(recordings: Recordings, arrays: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(recordings.read(), np.concatenate(list(arrays.values())))
    assert recordings.subjects == ("sub-01", "sub-02")
    assert recordings.feature_shape("sub-02") == (3, 5)
    assert recordings.modality == "eeg"
    assert len(recordings) == 15
    recordings.verify_checksums()


def test_any_tool_can_open_the_files(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(np.load(folder / "signals" / "sub-01.npy"), arrays["sub-01"])
    assert len(pd.read_parquet(folder / "trials.parquet")) == 15
    assert json.loads((folder / "recordings.json").read_text())["modality"] == "eeg"


def test_select_by_value_and_by_list(recordings: Recordings) -> None:
    test = recordings.select(split="test")
    assert test.trials["split"].eq("test").all() and len(test) == 4
    both = recordings.select(subject="sub-01", stimulus=["pic0", "pic2"])
    assert sorted(set(both.trials["stimulus"])) == ["pic0", "pic2"]
    assert both.subjects == ("sub-01",)
    np.testing.assert_array_equal(both.read(), recordings.read(np.array([0, 2, 3, 5, 6, 8])))


def test_select_compares_text_columns_as_text(recordings: Recordings) -> None:
    assert len(recordings.select(run=1)) == len(recordings.select(run="1")) == 6


def test_select_treats_a_missing_value_as_equal_to_nothing(tmp_path: Path) -> None:
    trials = table("s", 4, stimulus=["a", None, "b", None])
    signals = np.random.default_rng(1).normal(size=(4, 3, 5))
    recordings = write_recordings(tmp_path / "r", info(), {"s": signals}, trials)
    assert recordings.select(stimulus="a").trials["array_row"].tolist() == [0]
    assert recordings.select(stimulus=["a", "b", None]).trials["array_row"].tolist() == [0, 2]


def test_select_by_an_unknown_column_names_the_columns(recordings: Recordings) -> None:
    with pytest.raises(NeuroalignError, match=r"no column 'picture'.*stimulus"):
        recordings.select(picture="a")


def test_take_keeps_the_order_and_allows_repeats(
    recordings: Recordings, arrays: dict[str, np.ndarray]
) -> None:
    everything = np.concatenate(list(arrays.values()))
    order = [14, 0, 0, 9, -1]
    np.testing.assert_array_equal(recordings.take(order).read(), everything[order])


def test_take_with_a_mask(recordings: Recordings) -> None:
    mask = np.zeros(15, bool)
    mask[[3, 11]] = True
    np.testing.assert_array_equal(recordings.take(mask).read(), recordings.read([3, 11]))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([15], "15 were asked for, but this view holds 15"),
        (np.ones(3, bool), "one entry for each of the 15"),
        ([0.5], "whole numbers"),
    ],
)
def test_take_refuses_what_it_cannot_mean(
    recordings: Recordings, items: object, message: str
) -> None:
    with pytest.raises(NeuroalignError, match=message):
        recordings.take(items)  # type: ignore[arg-type]


def test_an_empty_view_still_knows_its_shape(recordings: Recordings) -> None:
    empty = recordings.select(label="car")
    assert len(empty) == 0 and empty.subjects == ()
    assert empty.read().shape == (0, 3, 5)
    assert recordings.read([]).shape == (0, 3, 5)
    assert list(empty.blocks()) == []
    assert empty.average_repeats().trials["n_averaged"].tolist() == []


def test_average_repeats_equals_the_mean_of_the_trials(recordings: Recordings) -> None:
    averaged = recordings.average_repeats()
    everything = recordings.read()
    keys = ["subject", "stimulus", "label", "split"]
    groups = recordings.trials.groupby(keys, sort=False).indices
    assert len(averaged) == len(groups)
    for item, rows in enumerate(groups.values()):
        np.testing.assert_allclose(
            averaged.read([item])[0], everything[rows].mean(axis=0), rtol=1e-5, atol=1e-6
        )
        assert averaged.trials["n_averaged"][item] == len(rows)


def test_averages_of_averages_weigh_every_trial_alike(recordings: Recordings) -> None:
    twice = recordings.average(["subject", "stimulus"]).average(["subject"])
    np.testing.assert_allclose(twice.read([0])[0], recordings.read(np.arange(9)).mean(0), rtol=1e-4)
    assert twice.trials["n_averaged"].tolist() == [9, 6]


def test_columns_that_differ_within_an_average_become_missing(recordings: Recordings) -> None:
    averaged = recordings.average(["subject", "label"]).trials
    assert averaged["stimulus"].isna().all()
    assert averaged["label"].tolist() == ["house", "face", "house", "face"]


def test_average_refuses_to_mix_people(recordings: Recordings) -> None:
    with pytest.raises(NeuroalignError, match="add 'subject'"):
        recordings.average(["stimulus"])


def test_average_by_an_unknown_column(recordings: Recordings) -> None:
    with pytest.raises(NeuroalignError, match="picture to average by"):
        recordings.average(["subject", "picture"])


def test_blocks_cover_every_item_once(recordings: Recordings) -> None:
    view = recordings.take(np.random.default_rng(2).permutation(15))
    everything = view.read()
    seen = []
    for subject, positions, signals in view.blocks(size=4):
        assert len(positions) <= 4
        assert set(view.trials["subject"].iloc[positions]) == {subject}
        np.testing.assert_array_equal(signals, everything[positions])
        seen += positions.tolist()
    assert sorted(seen) == list(range(15))


def test_people_of_different_width_are_read_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    arrays = {"a": rng.normal(size=(4, 7)), "b": rng.normal(size=(4, 9))}
    trials = pd.concat([table(s, 4) for s in arrays])
    fmri = info(modality="fmri", axes=("voxels",), sfreq=None, tmin=None)
    recordings = write_recordings(tmp_path / "r", fmri, arrays, trials)
    with pytest.raises(NeuroalignError, match=r"shapes \[\(7,\), \(9,\)\]"):
        recordings.read()
    assert recordings.select(subject="b").read().shape == (4, 9)
    assert [s.shape[1] for _, _, s in recordings.blocks()] == [7, 9]


def test_an_unknown_person(recordings: Recordings) -> None:
    with pytest.raises(NeuroalignError, match="no subject 'sub-09'; there are sub-01, sub-02"):
        recordings.feature_shape("sub-09")


def copy_of(folder: Path, tmp_path: Path) -> Path:
    target = tmp_path / "copy"
    for file in folder.rglob("*"):
        if file.is_file():
            path = target / file.relative_to(folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read_bytes())
    return target


def test_changed_signals_are_found_by_their_checksum(folder: Path, tmp_path: Path) -> None:
    copy = copy_of(folder, tmp_path)
    file = copy / "signals" / "sub-02.npy"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    recordings = Recordings(copy)
    with pytest.raises(NeuroalignError, match=r"sub-02\.npy.*checksum"):
        recordings.verify_checksums()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "recordings.json").unlink(), "not a recordings folder"),
        (lambda d: (d / "recordings.json").write_text("{"), "not valid JSON"),
        (lambda d: (d / "recordings.json").write_text("[]"), "schema version None"),
        (lambda d: (d / "trials.parquet").unlink(), "incomplete"),
        (lambda d: (d / "trials.parquet").write_text("no table"), "not a readable Parquet"),
        (lambda d: (d / "signals" / "sub-01.npy").unlink(), r"sub-01\.npy is missing"),
        (lambda d: (d / "signals" / "sub-01.npy").write_bytes(b"junk"), "not a readable array"),
        (
            lambda d: np.save(d / "signals" / "sub-01.npy", np.zeros((9, 3, 4), np.float32)),
            r"\(9, 3, 4\) float32, but recordings.json expects \(9, 3, 5\)",
        ),
    ],
)
def test_damaged_folders_are_refused(
    folder: Path, tmp_path: Path, damage: object, message: str
) -> None:
    copy = copy_of(folder, tmp_path)
    damage(copy)  # type: ignore[operator]
    with pytest.raises(NeuroalignError, match=message):
        Recordings(copy)


def test_unknown_fields_and_other_versions_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = copy_of(folder, tmp_path)
    content = json.loads((copy / "recordings.json").read_text())
    (copy / "recordings.json").write_text(json.dumps(content | {"colour": "blue"}))
    with pytest.raises(NeuroalignError, match="does not fit the schema"):
        Recordings(copy)
    (copy / "recordings.json").write_text(json.dumps(content | {"schema_version": 99}))
    with pytest.raises(NeuroalignError, match="version 99"):
        Recordings(copy)


def test_a_file_is_not_a_recordings_folder(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NeuroalignError, match="not a recordings folder"):
        Recordings(folder / "trials.parquet")
    with pytest.raises(NeuroalignError, match="not a recordings folder"):
        Recordings(tmp_path / "nowhere")


def test_repr_says_when_recordings_are_simulated(recordings: Recordings, tmp_path: Path) -> None:
    assert "15 items, 2 people" in repr(recordings) and "simulated" not in repr(recordings)
    signals = np.random.default_rng(4).normal(size=(4, 3, 5))
    simulated = write_recordings(
        tmp_path / "r", info(simulated=True), {"s": signals}, table("s", 4)
    )
    assert "simulated" in repr(simulated)
