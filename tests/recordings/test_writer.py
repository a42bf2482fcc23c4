"""Writing is streamed, whole or absent, and refuses what could not be learnt from."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neuroalign.errors import NeuroalignError
from neuroalign.recordings import (
    Channel,
    Dropped,
    Recordings,
    RecordingsInfo,
    RecordingsWriter,
    Step,
    write_recordings,
)

EEG = RecordingsInfo(
    modality="eeg",
    axes=("channels", "samples"),
    units="µV",
    channels=(Channel(name="Oz", type="eeg"), Channel(name="Pz", type="eeg")),
)
FMRI = RecordingsInfo(modality="fmri", axes=("voxels",), units="z")


def trials(n: int, **columns: object) -> pd.DataFrame:
    base: dict[str, object] = {"label": ["a", "b"] * (n // 2), "split": "train"}
    return pd.DataFrame(base | columns, index=range(n))


def signals(n: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 2, 6)).astype(np.float32)


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir()]


def test_chunks_of_several_people_may_interleave(tmp_path: Path) -> None:
    with RecordingsWriter(tmp_path / "r", EEG) as writer:
        for part in range(3):
            for person in ("a", "b"):
                writer.append(person, signals(2, seed=part), trials(2, run=part))
    recordings = Recordings(tmp_path / "r")
    for person in ("a", "b"):
        own = recordings.select(subject=person)
        expected = np.concatenate([signals(2, seed=p) for p in range(3)])
        np.testing.assert_array_equal(
            own.take(np.argsort(own.trials["array_row"])).read(), expected
        )
    recordings.verify_checksums()


def test_nothing_appears_before_the_end_and_nothing_stays_after_a_failure(tmp_path: Path) -> None:
    def fail(error: BaseException) -> None:
        with RecordingsWriter(tmp_path / "r", EEG) as writer:
            writer.append("a", signals(), trials(4))
            assert not (tmp_path / "r").exists()
            raise error

    for error in (KeyboardInterrupt(), RuntimeError("boom")):
        with pytest.raises(type(error)):
            fail(error)
        assert leftovers(tmp_path) == []
    with pytest.raises(NeuroalignError, match="disk is full"):
        fail(OSError(errno.ENOSPC, "No space left on device"))
    assert leftovers(tmp_path) == []


def test_an_existing_folder_is_kept_unless_asked_otherwise(tmp_path: Path) -> None:
    people = {"a": signals()}
    table = trials(4, subject="a")
    write_recordings(tmp_path / "r", EEG, people, table)
    with pytest.raises(NeuroalignError, match="already exists"):
        write_recordings(tmp_path / "r", EEG, people, table)
    with pytest.raises(NeuroalignError, match="NaN"):
        write_recordings(
            tmp_path / "r", EEG, {"a": np.full((4, 2, 6), np.nan)}, table, overwrite=True
        )
    np.testing.assert_array_equal(Recordings(tmp_path / "r").read(), people["a"])
    replaced = write_recordings(tmp_path / "r", EEG, {"a": signals(seed=9)}, table, overwrite=True)
    np.testing.assert_array_equal(replaced.read(), signals(seed=9))
    assert leftovers(tmp_path) == ["r"]


def test_float16_halves_the_file_and_refuses_what_does_not_fit(tmp_path: Path) -> None:
    with RecordingsWriter(tmp_path / "half", EEG, dtype="float16") as writer:
        writer.append("a", signals(), trials(4))
    recordings = Recordings(tmp_path / "half")
    np.testing.assert_array_equal(recordings.read(), signals().astype(np.float16))
    recordings.verify_checksums()
    with (
        pytest.raises(NeuroalignError, match="do not fit float16"),
        RecordingsWriter(tmp_path / "big", EEG, dtype="float16") as writer,
    ):
        writer.append("a", signals() * 1e6, trials(4))
    with pytest.raises(NeuroalignError, match="float16 or float32, got 'float64'"):
        RecordingsWriter(tmp_path / "wide", EEG, dtype="float64")


def test_the_header_of_a_growing_file_is_one_that_numpy_reads(tmp_path: Path) -> None:
    with RecordingsWriter(tmp_path / "r", FMRI) as writer:
        for part in range(12):
            x = np.random.default_rng(part).normal(size=(100, 3))
            writer.append("a", x, trials(100))
    assert np.load(tmp_path / "r" / "signals" / "a.npy").shape == (1200, 3)


@pytest.mark.parametrize(
    ("array", "table", "message"),
    [
        (np.ones((4, 6)), trials(4), "1 feature axes, expected 2"),
        (signals(3), trials(4), "3 trials of signals but 4 rows"),
        (np.ones((4, 3, 6)), trials(4), "3 channels, but 2 were announced"),
        (signals().astype(complex), trials(4), "not numbers"),
        (signals(), trials(4, split="val"), "'train' or 'test', got .'val'"),
        (signals(), trials(4, split=None), "missing values"),
        (signals(), trials(4, label=None), "4 trial.s. have neither a stimulus nor a label"),
        (signals(), trials(4, onset_s="soon"), "'onset_s'.*float64"),
        (signals(), trials(4, extra=[1, "x", 2, 3]), "one kind"),
        (signals()[:0], trials(0), "subject a has no trials"),
    ],
)
def test_input_that_does_not_fit_is_refused(
    tmp_path: Path, array: np.ndarray, table: pd.DataFrame, message: str
) -> None:
    with (
        pytest.raises(NeuroalignError, match=message),
        RecordingsWriter(tmp_path / "r", EEG) as writer,
    ):
        writer.append("a", array, table)
    assert leftovers(tmp_path) == []


def test_not_a_number_is_named_by_trial_and_channel(tmp_path: Path) -> None:
    broken = signals()
    broken[2, 1, 3] = np.inf
    with (
        pytest.raises(NeuroalignError, match=r"subject a, trial 6: 1 value.*channel Pz"),
        RecordingsWriter(tmp_path / "r", EEG) as writer,
    ):
        writer.append("a", signals(), trials(4))
        writer.append("a", broken, trials(4))


def test_a_constant_channel_is_named_even_across_chunks(tmp_path: Path) -> None:
    flat = signals()
    flat[:, 0] = 3.0
    with (
        pytest.raises(
            NeuroalignError, match=r"1 of 2 channels never change over 8 trials .channel Oz"
        ),
        RecordingsWriter(tmp_path / "r", EEG) as writer,
    ):
        writer.append("a", flat, trials(4))
        writer.append("a", flat, trials(4))
    moving = flat.copy()
    moving[0, 0, 0] = 4.0
    with RecordingsWriter(tmp_path / "r", EEG) as writer:
        writer.append("a", flat, trials(4))
        writer.append("a", moving, trials(4))


def test_a_shape_may_not_change_within_a_person(tmp_path: Path) -> None:
    with (
        pytest.raises(NeuroalignError, match=r"shape \(5,\), but earlier ones have \(3,\)"),
        RecordingsWriter(tmp_path / "r", FMRI) as writer,
    ):
        writer.append("a", np.ones((4, 3)), trials(4))
        writer.append("a", np.ones((4, 5)), trials(4))


@pytest.mark.parametrize("name", ["", "a/b", "../up"])
def test_a_subject_must_be_able_to_name_a_file(tmp_path: Path, name: str) -> None:
    with (
        pytest.raises(NeuroalignError, match="cannot name a subject"),
        RecordingsWriter(tmp_path / "r", EEG) as writer,
    ):
        writer.append(name, signals(), trials(4))


def test_signals_and_table_must_name_the_same_people(tmp_path: Path) -> None:
    with pytest.raises(NeuroalignError, match=r"people without signals: .'b'"):
        write_recordings(tmp_path / "r", EEG, {"a": signals()}, trials(4, subject="b"))
    with pytest.raises(NeuroalignError, match="no trials were written"):
        write_recordings(tmp_path / "r", EEG, {}, trials(0, subject="a"))


def test_voxels_keep_their_place(tmp_path: Path) -> None:
    with RecordingsWriter(tmp_path / "r", FMRI) as writer:
        writer.append("a", np.random.default_rng(0).normal(size=(4, 3)), trials(4))
        writer.set_volume("a", [5, 1, 7], (2, 2, 2), np.eye(4))
    recordings = Recordings(tmp_path / "r")
    index = recordings.voxel_index("a")
    assert index is not None and index.tolist() == [5, 1, 7]
    volume = recordings.info.subjects["a"].volume
    assert volume is not None and volume.shape == (2, 2, 2)
    assert np.array_equal(np.array(volume.affine), np.eye(4))


@pytest.mark.parametrize("index", [[0, 1], [0, 1, 8], [-1, 0, 1]])
def test_voxels_must_lie_in_their_volume(tmp_path: Path, index: list[int]) -> None:
    with (
        pytest.raises(NeuroalignError, match="do not describe 3 voxels"),
        RecordingsWriter(tmp_path / "r", FMRI) as writer,
    ):
        writer.append("a", np.random.default_rng(0).normal(size=(4, 3)), trials(4))
        writer.set_volume("a", index, (2, 2, 2))


def test_intermediate_files_are_gone_at_the_end(tmp_path: Path) -> None:
    with RecordingsWriter(tmp_path / "r", EEG) as writer:
        np.save(writer.scratch_folder() / "part.npy", signals())
        writer.append("a", np.load(writer.scratch_folder() / "part.npy"), trials(4))
    assert sorted(leftovers(tmp_path / "r")) == ["recordings.json", "signals", "trials.parquet"]


def test_steps_and_what_was_dropped_are_kept(tmp_path: Path) -> None:
    info = EEG.model_copy(
        update={
            "steps": (Step(name="notch", parameters={"frequencies": [50.0]}),),
            "dropped": (Dropped(where="sub-09", trials=3, reason="too few"),),
        }
    )
    with RecordingsWriter(tmp_path / "r", info) as writer:
        writer.append("a", signals(), trials(4, block=[1, 1, 2, 2]))
        writer.add_table("findings", pd.DataFrame({"where": ["run"], "count": [1]}))
    recordings = Recordings(tmp_path / "r")
    assert recordings.info.steps == info.steps
    assert recordings.info.dropped == info.dropped
    assert recordings.trials["block"].tolist() == [1, 1, 2, 2]
    assert pd.read_csv(tmp_path / "r" / "dropped.tsv", sep="\t")["reason"].tolist() == ["too few"]
    assert pd.read_csv(tmp_path / "r" / "findings.tsv", sep="\t")["where"].tolist() == ["run"]
