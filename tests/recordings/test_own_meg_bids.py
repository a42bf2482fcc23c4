"""A laboratory's own MEG as BIDS (simulated): split files, rejection, several tasks, its limits."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
import pytest

from laboratory import listing
from miniatures.ctf import CtfChannel, write_ctf
from neuroalign.errors import NeuroalignError
from neuroalign.recordings.bids import prepare_bids
from neuroalign.recordings.doctor import examine

mne_bids = pytest.importorskip("mne_bids")

SFREQ = 500.0
KINDS = ["mag", "mag", "mag", "grad", "grad"]
SIZES = np.array([1e-13, 1e-13, 1e-13, 3e-12, 3e-12])[:, None]  # T, T/m
SETTINGS: dict[str, Any] = {"datatype": "meg", "resample": 100.0, "min_trials": 20}


def events_of(seed: int) -> pd.DataFrame:
    labels = np.random.default_rng(seed).permutation(["face", "house"] * 30)
    return pd.DataFrame({"onset": 1.0 + 1.9 * np.arange(60), "duration": 0.0, "trial_type": labels})


def signals_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(len(KINDS), int(120 * SFREQ))) * SIZES


def write_meg(root: Path, run: str, data: np.ndarray, task: str = "see", seed: int = 1) -> Path:
    info = mne.create_info([f"MEG{i}" for i in range(len(KINDS))], SFREQ, KINDS)
    info["line_freq"] = 50.0
    raw = mne.io.RawArray(data, info, verbose="error")
    path = mne_bids.BIDSPath(subject="01", run=run, task=task, datatype="meg", root=root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no sensor layout is known for made-up channels
        mne_bids.write_raw_bids(
            raw, path, allow_preload=True, format="FIF", overwrite=True, verbose="error"
        )
    file = Path(path.copy().update(suffix="meg", extension=".fif").fpath)
    events_of(seed).to_csv(file.with_name(file.name.replace("_meg.fif", "_events.tsv")),
                           sep="\t", index=False)  # fmt: skip
    return file


def split(file: Path) -> list[Path]:
    """Replace a FIF file by one in parts, named as BIDS names them."""
    raw = mne.io.read_raw_fif(file, preload=True, verbose="error")
    file.unlink()
    raw.save(file, split_size="1.2MB", split_naming="bids", buffer_size_sec=1, verbose="error")
    return sorted(file.parent.glob("*_split-*_meg.fif"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("meg") / "bids"
    for run in ("01", "02"):
        write_meg(root, run, signals_of(int(run)), seed=int(run))
    return root


def test_split_files_are_one_recording(whole: Path, tmp_path: Path) -> None:
    expected = prepare_bids(whole, tmp_path / "whole", **SETTINGS)
    assert len(expected) == 120
    root = tmp_path / "bids"
    for run in ("01", "02"):
        file = write_meg(root, run, signals_of(int(run)), seed=int(run))
    parts = split(file)
    assert len(parts) > 1
    recordings = prepare_bids(root, tmp_path / "split", **SETTINGS)
    # The file rounds to single precision a second time.
    np.testing.assert_allclose(recordings.read(), expected.read(), atol=1e-5)
    parts[0].rename(tmp_path / parts[0].name)
    with pytest.raises(NeuroalignError, match=r"split part\(s\) \[1\] are missing; there are \[2"):
        prepare_bids(root, tmp_path / "out", **SETTINGS)
    (tmp_path / parts[0].name).rename(parts[0])
    parts[-1].unlink()
    diagnosis = examine(root)
    assert diagnosis.status == 2
    assert any(parts[-1].name in f.what for f in diagnosis.findings)


def test_rejection_is_in_femtotesla_and_for_gradiometers_by_the_centimetre(tmp_path: Path) -> None:
    root = tmp_path / "bids"
    for run in ("01", "02"):
        data = signals_of(int(run))
        at = (np.array([10.5, 20.0, 31.4]) * SFREQ).astype(int)  # trials 5, 10 and 16
        if run == "01":
            data[1, at[0] : at[0] + 50] += 6e-12  # 6000 fT on a magnetometer
            data[4, at[1] : at[1] + 50] += 6e-10  # 6000 fT/cm on a gradiometer
            data[3, at[2] : at[2] + 50] += 2e-10  # 2000 fT/cm, which is little
        write_meg(root, run, data, seed=int(run))
    recordings = prepare_bids(root, tmp_path / "out", reject_ft=4000.0, **SETTINGS)
    left_out = {d.reason.split(" (onset")[0]: d.trials for d in recordings.info.dropped}
    assert left_out == {
        "peak to peak above 4000 fT (worst: MEG1)": 1,
        "peak to peak above 4000 fT (worst: MEG4)": 1,
    }
    assert {"name": "reject", "parameters": {"peak_to_peak": 4000.0, "unit": "fT"}}.items() <= next(
        s.model_dump() for s in recordings.info.steps if s.name == "reject"
    ).items()
    with pytest.raises(NeuroalignError, match="femtotesla, which EEG does not measure"):
        prepare_bids(root, tmp_path / "x", datatype="eeg", reject_ft=4000.0)


def test_runs_of_several_tasks_keep_apart(tmp_path: Path) -> None:
    root = tmp_path / "bids"
    for number, task in enumerate(("hear", "see")):
        write_meg(root, "01", signals_of(number), task, seed=number)
    recordings = prepare_bids(root, tmp_path / "out", **SETTINGS)
    table = recordings.trials.groupby("run")["split"].agg(["size", "first"])
    assert table["size"].to_dict() == {"task-hear_run-01": 60, "task-see_run-01": 60}
    assert table["first"].tolist() == ["train", "test"]
    named = prepare_bids(root, tmp_path / "named", test_runs=["task-hear"], **SETTINGS)
    assert set(named.select(split="test").trials["run"]) == {"task-hear_run-01"}
    alone = prepare_bids(root, tmp_path / "alone", task="see", single_run="train", **SETTINGS)
    assert set(alone.trials["run"]) == {"01"}


def test_a_long_recording_comes_out_the_same(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SETTINGS | {"h_freq": 30.0, "reject_ft": 1e5}
    prepare_bids(whole, tmp_path / "short", **options)
    monkeypatch.setattr("neuroalign.recordings.signal_rows.MOST_BYTES", 0)
    monkeypatch.setattr("neuroalign.recordings.signal_rows._AT_A_TIME", 2 * 8 * 60_000)
    monkeypatch.setattr("neuroalign.recordings.continuous._BLOCK_BYTES", 4 * 5 * 151 * 7)
    prepare_bids(whole, tmp_path / "long", **options)
    assert listing(tmp_path / "short") == listing(tmp_path / "long")


def test_without_a_datatype_the_folder_decides(whole: Path) -> None:
    diagnosis = examine(whole)
    assert diagnosis.dataset == "bids"
    assert diagnosis.people == {"sub-01": (2, 120)}
    assert diagnosis.status == 0, diagnosis.findings


def write_ctf_run(root: Path, run: str, seed: int) -> Path:
    """Write a CTF recording of two sensors and a trigger channel as BIDS names it."""
    stem = f"sub-01_task-see_run-{run}"
    folder = root / "sub-01" / "meg" / f"{stem}_meg.ds"
    folder.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    samples = rng.integers(-3000, 3000, (3, int(120 * SFREQ))).astype(np.int32)
    channels = [
        CtfChannel("MLC11-1609", "meg", 1e-16),
        CtfChannel("MLC12-1609", "meg", 1e-16),
        CtfChannel("UPPT001", "stim"),
    ]
    write_ctf(folder, channels, SFREQ, [samples], 1, samples.shape[1])
    events_of(seed).to_csv(folder.with_name(f"{stem}_events.tsv"), sep="\t", index=False)
    return folder


def test_ctf_folders(tmp_path: Path) -> None:
    root = tmp_path / "bids"
    for run in ("01", "02"):
        folder = write_ctf_run(root, run, int(run))
    recordings = prepare_bids(root, tmp_path / "out", **SETTINGS)
    assert len(recordings) == 120
    assert [c.type for c in recordings.info.channels] == ["mag", "mag"]
    raw = mne.io.read_raw_ctf(folder, verbose="error")
    first = np.rint(events_of(2)["onset"].iloc[0] * 100).astype(int)
    data = mne.filter.resample(
        raw.get_data(picks="meg") * 1e15, up=100.0, down=SFREQ, method="polyphase", verbose="error"
    )
    epoch = data[:, first - 50 : first + 101]
    epoch = epoch - epoch[:, :51].mean(axis=1, keepdims=True)
    found = recordings.select(run="02").read()[0]
    for ours, theirs in zip(found, epoch, strict=True):
        assert np.corrcoef(ours, theirs)[0, 1] > 0.99999
    (data_file,) = folder.glob("*.meg4")
    data_file.unlink()
    with pytest.raises(NeuroalignError, match=r"run-02_meg\.ds cannot be read"):
        prepare_bids(root, tmp_path / "again", **SETTINGS)
