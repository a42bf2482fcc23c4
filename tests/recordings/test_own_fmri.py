"""Somebody's own fMRI through the frame of all readers: a folder of betas with a table."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import scipy.stats
from sklearn.linear_model import Ridge

from laboratory import listing, neuroalign
from miniatures.damages_own_fmri import BETAS, MASK, TABLE, write
from miniatures.own_fmri import AFFINE, PICTURES, RUNS, TRIALS, latent, write_own_fmri
from neuroalign.errors import NeuroalignError
from neuroalign.recordings import Recordings
from neuroalign.recordings.arrays import prepare_arrays
from neuroalign.recordings.doctor import examine
from neuroalign.recordings.volumes import open_series, read_region

KILLABLE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from moments import Moment, stop_at
from neuroalign.recordings.arrays import prepare_arrays
for line in sys.stdin:
    event, path, number, folder, out = line.rstrip("\\n").split("\\t")
    pid = os.fork()
    if pid == 0:
        stop_at(Moment(event, path, 1, int(number)))
        try:
            prepare_arrays(folder, None, out)
        except KeyboardInterrupt:
            os._exit(2)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.mark.parametrize("kind", ["nifti", "npy"])
def test_a_folder_is_prepared_as_it_lies(tmp_path: Path, kind: str) -> None:
    planted = write_own_fmri(tmp_path / "mine", kind=kind)
    recordings = prepare_arrays(tmp_path / "mine", None, tmp_path / "out")
    assert recordings.subjects == ("p1", "p2")
    for subject, person in planted.items():
        view = recordings.select(subject=subject)
        runs = [scipy.stats.zscore(block) for block in np.split(person.betas, RUNS)]
        trials = (person.table["label"] != "rest").to_numpy()
        np.testing.assert_allclose(view.read(), np.concatenate(runs)[trials], rtol=1e-4, atol=1e-5)
        table = person.table[trials]
        for column in ("stimulus", "label", "confidence"):
            assert view.trials[column].tolist() == table[column].tolist()
        expected = np.where(table["run"] == RUNS, "test", "train")
        assert view.trials["split"].tolist() == expected.tolist()
        index = recordings.voxel_index(subject)
        if kind == "nifti":
            assert index is not None and index.tolist() == person.index.tolist()
            volume = recordings.info.subjects[subject].volume
            assert volume is not None
            np.testing.assert_allclose(np.array(volume.affine), AFFINE)
        else:
            assert index is None
    assert [(d.where, d.trials) for d in recordings.info.dropped] == [("p1", RUNS), ("p2", RUNS)]


def test_files_named_by_person_and_from_the_command_line(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_own_fmri(folder)
    expected = prepare_arrays(folder, None, tmp_path / "expected")
    named = ("--trials", folder / "trials.tsv", "--mask", folder / "{subject}_mask.nii.gz")
    series = folder / "{subject}_betas.nii.gz"
    assert neuroalign("prepare", "arrays", series, *named, "--out", tmp_path / "named") == 0
    assert listing(tmp_path / "named") == listing(expected.path)
    assert neuroalign("prepare", "arrays", folder, "--out", tmp_path / "a", "--subjects", "p2") == 0
    assert Recordings(tmp_path / "a").subjects == ("p2",)
    assert neuroalign("doctor", folder) == 0
    with pytest.raises(NeuroalignError, match=r"names no subject p3; it has p1, p2"):
        prepare_arrays(folder, None, tmp_path / "b", subjects=["p3"])
    with pytest.raises(NeuroalignError, match=r"needs its table"):
        prepare_arrays(folder / "p1_betas.nii.gz", None, tmp_path / "b")


def test_processes_change_nothing(tmp_path: Path) -> None:
    write_own_fmri(tmp_path / "mine")
    for jobs in (1, 2):
        prepare_arrays(tmp_path / "mine", None, tmp_path / str(jobs), jobs=jobs)
    assert listing(tmp_path / "1") == listing(tmp_path / "2")


def test_killed_anywhere_it_ends_the_same_to_the_last_byte(tmp_path: Path) -> None:
    write_own_fmri(tmp_path / "mine")
    expected = listing(prepare_arrays(tmp_path / "mine", None, tmp_path / "whole").path)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLABLE, str(Path(__file__).parents[1])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    out = tmp_path / "out"
    for event, path, number in (
        ("open", "*/parts/.p2*signals.npy", signal.SIGKILL),
        ("open", "*/people/.p2*.npy", signal.SIGINT),
    ):
        process.stdin.write("\t".join(map(str, (event, path, int(number), tmp_path / "mine", out))))
        process.stdin.write("\n")
        process.stdin.flush()
        status = int(process.stdout.readline())
        assert status == (2 if number == signal.SIGINT else -number), path
        assert (tmp_path / ".out.unfinished" / "parts" / "p1").is_dir() and not out.exists()
        assert listing(prepare_arrays(tmp_path / "mine", None, out).path) == expected
        shutil.rmtree(out)
    process.communicate()


def test_the_planted_signal_is_decoded(tmp_path: Path) -> None:
    write_own_fmri(tmp_path / "mine")
    recordings = prepare_arrays(tmp_path / "mine", None, tmp_path / "out")
    gallery = np.array([latent(f"x{i:02d}.jpg") for i in range(PICTURES)])
    right = shown = 0
    for subject in recordings.subjects:
        train = recordings.select(subject=subject, split="train")
        test = recordings.select(subject=subject, split="test")
        targets = np.array([latent(s) for s in train.trials["stimulus"]])
        found = Ridge(alpha=1.0).fit(train.read(), targets).predict(test.read())
        nearest = ((found[:, None] - gallery) ** 2).sum(axis=2).argmin(axis=1)
        right += int((nearest == [int(s[1:3]) for s in test.trials["stimulus"]]).sum())
        shown += len(test)
    assert shown == 2 * (TRIALS - 1)
    assert right > 0.6 * shown  # chance: one in twenty


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int16"])
def test_blocks_of_arrays_are_the_array(
    tmp_path: Path, order: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuroalign.recordings.volumes._BLOCK_BYTES", 200)
    values = (100 * np.random.default_rng(0).normal(size=(23, 7))).astype(dtype)
    np.save(tmp_path / "x.npy", np.asarray(values, order=order))
    rows = np.array([0, 1, 2, 9, 10, 20, 22])
    blocks = list(open_series(tmp_path / "x.npy").blocks(rows))
    assert len(blocks) > 1
    found = np.concatenate([b for _, b in blocks])
    np.testing.assert_array_equal(found, values[rows].astype(np.float32))


def test_blocks_of_nifti_are_its_scaled_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written as int16 with slope and intercept, as betas of GLMs often are."""
    monkeypatch.setattr("neuroalign.recordings.volumes._BLOCK_BYTES", 2000)
    rng = np.random.default_rng(0)
    image = nibabel.Nifti1Image(rng.normal(size=(3, 4, 5, 11)), AFFINE)
    image.header.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "x.nii.gz")
    inside = rng.random((3, 4, 5)) > 0.6
    nibabel.save(nibabel.Nifti1Image(inside.astype(np.uint8), AFFINE), tmp_path / "mask.nii.gz")
    series = open_series(tmp_path / "x.nii.gz", read_region(tmp_path / "mask.nii.gz"))
    rows = np.array([1, 2, 5, 9, 10])
    blocks = [b for _, b in series.blocks(rows)]
    assert len(blocks) > 1
    whole = nibabel.load(tmp_path / "x.nii.gz").get_fdata()
    np.testing.assert_allclose(np.concatenate(blocks), whole[inside].T[rows], rtol=1e-6)


def test_a_series_of_one_person_among_several_is_not_guessed(tmp_path: Path) -> None:
    write_own_fmri(tmp_path / "mine", kind="npy")
    (tmp_path / "mine" / "p2_betas.npy").rename(tmp_path / "mine" / "betas_of_p2.npy")
    found = examine(tmp_path / "mine")
    assert found.status == 2
    assert "not clear which is that of p2" in found.findings[0].what


def test_one_series_for_several_people_holds_them_all(tmp_path: Path) -> None:
    planted = write_own_fmri(tmp_path / "mine", kind="npy")
    folder = tmp_path / "mine"
    for path in folder.glob("*.npy"):
        path.unlink()
    both = [person.betas[:, :20] for person in planted.values()]
    np.save(folder / "betas.npy", np.concatenate(both))
    recordings = prepare_arrays(folder, None, tmp_path / "out", zscore="none")
    trials = np.concatenate([(p.table["label"] != "rest") for p in planted.values()])
    np.testing.assert_allclose(recordings.read(), np.concatenate(both)[trials], rtol=1e-6)
    np.save(folder / "betas.npy", both[0])
    with pytest.raises(NeuroalignError, match=r"of p1 and p2 and holds 60 volumes.*has 120"):
        prepare_arrays(folder, None, tmp_path / "other")


def _big_endian(folder: Path) -> None:
    image = nibabel.load(folder / BETAS)
    header = image.header.as_byteswapped(">")
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), None, header), folder / BETAS)


def _column_by_column(folder: Path) -> None:
    inside = np.asarray(nibabel.load(folder / MASK).dataobj) > 0
    betas = np.asarray(nibabel.load(folder / BETAS).dataobj)[inside].T
    (folder / BETAS).unlink()
    np.save(folder / "p1_betas.npy", np.asfortranarray(betas.astype(">f8")))


def _marked(folder: Path) -> None:
    text = (folder / TABLE).read_text().replace("\n", "\r\n")
    (folder / TABLE).write_bytes(b"\xef\xbb\xbf" + text.encode())


@pytest.mark.parametrize("change", [_big_endian, _column_by_column, _marked])
def test_what_looks_odd_and_is_whole_gives_the_same_numbers(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    write(folder)
    wanted = prepare_arrays(folder, None, tmp_path / "wanted")
    change(folder)
    found = prepare_arrays(folder, None, tmp_path / "found")
    np.testing.assert_array_equal(
        found.select(subject="p1").read(), wanted.select(subject="p1").read()
    )
    assert found.trials.equals(wanted.trials)
