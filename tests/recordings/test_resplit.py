"""Recordings split anew: the same signals, or standardised again as if prepared so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neuroalign.audit import audit_run
from neuroalign.errors import NeuroalignError
from neuroalign.recordings import Recordings, RecordingsInfo, Step, write_recordings
from neuroalign.recordings.resplit import write_split
from neuroalign.signals.scaling import fit_scaling

STANDARDISED = Step(name="standardise", fitted_on="training trials of each person, per channel")
SPLIT = Step(name="split")


def trials(n: int = 24) -> pd.DataFrame:
    one = pd.DataFrame(
        {
            "stimulus": [f"p{i % 12}" for i in range(n)],
            "label": [f"c{i % 4}" for i in range(n)],
            "split": ["train"] * (n - 6) + ["test"] * 6,
            "session": "1",
            "run": [str(i // 6) for i in range(n)],
            "repetition": 1,
            "onset_s": [float(i % 6) for i in range(n)],
            "mark": np.arange(n),
        }
    )
    return pd.concat([one.assign(subject=s) for s in ("a", "b")], ignore_index=True)


def raw_signals() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    offset, gain = np.array([5.0, -2.0, 0.0])[:, None], np.array([10.0, 1.0, 0.1])[:, None]
    return {s: rng.standard_normal((24, 3, 8)) * gain + offset for s in ("a", "b")}


def recordings(out: Path, *steps: Step) -> Recordings:
    """Write epochs, standardised with the training trials where the steps say so."""
    table, signals = trials(), raw_signals()
    if STANDARDISED in steps:
        train = (table["split"] == "train").to_numpy()[:24]
        signals = {s: fit_scaling([x[train]]).apply(x) for s, x in signals.items()}
    info = RecordingsInfo(
        modality="eeg", axes=("channels", "samples"), units="µV", sfreq=10.0, steps=steps
    )
    return write_recordings(out, info, signals, table)


def test_signals_without_statistics_are_the_same_files(tmp_path: Path) -> None:
    old = recordings(tmp_path / "old", SPLIT)
    (old.path / "findings.tsv").write_text("kept\n")
    new = write_split(old, tmp_path / "new", by="picture", test_share=0.25, seed=1)
    for person in ("a", "b"):
        files = [r.path / "signals" / f"{person}.npy" for r in (old, new)]
        assert files[0].samefile(files[1])
    new.verify_checksums()
    assert (new.path / "findings.tsv").read_text() == "kept\n"
    test = set(new.select(split="test").trials["stimulus"])
    assert len(test) == 3
    assert not test & set(new.select(split="train").trials["stimulus"])
    last = new.info.steps[-1]
    assert (last.name, last.parameters["groups"], last.parameters["seed"]) == (
        "split",
        "picture",
        1,
    )
    assert set(last.parameters["test"]) == test


def test_standardised_signals_are_as_if_prepared_with_the_new_split(tmp_path: Path) -> None:
    old = recordings(tmp_path / "old", SPLIT, STANDARDISED)
    new = write_split(old, tmp_path / "new", by="run", test=["1"])
    names = [s.name for s in new.info.steps]
    assert names == ["split", "standardise", "split", "standardise"]
    for person, raw in raw_signals().items():
        own = new.select(subject=person)
        marks = own.trials["mark"].to_numpy()
        train = (own.trials["split"] == "train").to_numpy()
        expected = fit_scaling([raw[marks[train]]]).apply(raw[marks])
        np.testing.assert_allclose(own.read(), expected, atol=2e-6)
        np.testing.assert_allclose(own.read()[train].mean(axis=(0, 2)), 0, atol=1e-6)


def test_sessions_that_were_standardised_alone_are_standardised_alone_again(tmp_path: Path) -> None:
    within = Step(name="z-score", fitted_on="training trials of the same person and session")
    rng = np.random.default_rng(5)
    raw = {s: rng.standard_normal((24, 30)) * 3 + 7 for s in ("a", "b")}
    table = trials().assign(stimulus=pd.NA, session=["1", "2"] * 24).drop(columns="run")
    table["run"] = "1"
    train = (table["split"] == "train").to_numpy()[:24]
    done = {s: x.copy() for s, x in raw.items()}
    for x in done.values():
        for first in (0, 1):
            own = np.arange(first, 24, 2)
            x[own] = fit_scaling([x[own[train[own]]]]).apply(x[own])
    info = RecordingsInfo(modality="fmri", axes=("voxels",), units="z-score", steps=(within,))
    old = write_recordings(tmp_path / "old", info, done, table)
    new = write_split(old, tmp_path / "new", by="concept", test=["c1", "c2"])
    for person, signals in raw.items():
        for session in ("1", "2"):
            own = new.select(subject=person, session=session)
            rows = own.trials["mark"].to_numpy()
            fitted = rows[(own.trials["split"] == "train").to_numpy()]
            expected = fit_scaling([signals[fitted]]).apply(signals[rows])
            np.testing.assert_allclose(own.read(), expected, atol=1e-5)
    assert (
        new.info.steps[-1].fitted_on
        == "training trials of each person and session, after the split"
    )
    held = write_split(old, tmp_path / "held", by="session", test=["2"])
    assert "a session 2, b session 2: held out whole" in str(held.info.steps[-1].fitted_on)


def test_trials_that_are_left_out_are_listed_and_the_rest_keeps_its_signals(tmp_path: Path) -> None:
    old = recordings(tmp_path / "old", SPLIT)
    new = write_split(old, tmp_path / "new", by="run", test=["a_ses-1_run-0"])
    left_out = {d.where: d.trials for d in new.info.dropped}
    assert left_out == {"a": 6, "b": 12}
    raw = raw_signals()
    for person in ("a", "b"):
        own = new.select(subject=person)
        marks = own.trials["mark"].to_numpy()
        np.testing.assert_array_equal(own.read(), raw[person][marks].astype(np.float32))


def test_test_trials_can_be_kept_and_their_groups_left_out_of_training(tmp_path: Path) -> None:
    old = recordings(tmp_path / "old", SPLIT, STANDARDISED)
    new = write_split(old, tmp_path / "new", by="picture", keep_test=True)
    assert new.select(split="test").trials["mark"].tolist() == [*range(18, 24)] * 2
    assert new.select(split="train").trials["mark"].tolist() == [*range(6), *range(12, 18)] * 2
    assert {d.where: d.trials for d in new.info.dropped} == {"a": 6, "b": 6}
    for split in ("test", "train"):  # standardised with numbers that no test trial entered
        here = old.trials["split"].eq(split) & old.trials["mark"].isin(new.trials["mark"])
        before = old.take(here.to_numpy(bool)).read()
        np.testing.assert_array_equal(new.select(split=split).read(), before)
    assert new.info.steps[-1].parameters["keep_test"] is True
    assert audit_run(new.path).exit_status == 0


def test_a_person_held_out_whole_is_standardised_with_their_own_trials(tmp_path: Path) -> None:
    old = recordings(tmp_path / "old", SPLIT, STANDARDISED)
    labels_only = old.trials.drop(columns=["array_row"]).assign(stimulus=pd.NA)
    signals = {s: old.select(subject=s).read() for s in old.subjects}
    info = old.info.model_copy(update={"subjects": {}})
    unnamed = write_recordings(tmp_path / "unnamed", info, signals, labels_only)
    new = write_split(unnamed, tmp_path / "new", by="person", test=["b"])
    np.testing.assert_allclose(new.select(subject="b").read().mean(axis=(0, 2)), 0, atol=1e-6)
    assert "b: held out whole, unsupervised" in str(new.info.steps[-1].fitted_on)
    again = write_split(new, tmp_path / "again", by="run", test=["0"])
    train = again.select(subject="b", split="train").read()
    np.testing.assert_allclose(train.mean(axis=(0, 2)), 0, atol=1e-6)


def test_what_cannot_be_undone_is_refused_with_the_reason(tmp_path: Path) -> None:
    magnitude = Step(name="short-time Fourier magnitude")
    old = recordings(tmp_path / "old", SPLIT, STANDARDISED, magnitude)
    with pytest.raises(NeuroalignError, match="'short-time Fourier magnitude' cannot be undone"):
        write_split(old, tmp_path / "new", by="run")
    assert [p.name for p in tmp_path.iterdir()] == ["old"]


def test_an_existing_folder_is_kept_unless_asked(tmp_path: Path) -> None:
    old = recordings(tmp_path / "old", SPLIT)
    write_split(old, tmp_path / "new", by="run", test=["1"])
    with pytest.raises(NeuroalignError, match="already exists"):
        write_split(old, tmp_path / "new", by="concept")
    new = write_split(old, tmp_path / "new", by="concept", test=["c0"], overwrite=True)
    assert set(new.select(split="test").trials["label"]) == {"c0"}
