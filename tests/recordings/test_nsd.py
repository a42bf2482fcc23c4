"""The Natural Scenes Dataset in miniature, from its files to decoded pictures."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest

import neuroalign as na
from laboratory import listing, neuroalign
from miniatures.nsd import (
    EXPERIMENT,
    STIMULI,
    TRIALS,
    Planted,
    beta_folder,
    coco_ids,
    colours,
    features,
    roi_folder,
    write_miniature,
)
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.items import select_test_items
from neuroalign.images import open_picture, pictures_from_table
from neuroalign.recordings import Recordings
from neuroalign.recordings.doctor import examine
from neuroalign.recordings.preparation import prepare
from neuroalign.recordings.quality import read_findings
from neuroalign.recordings.readers import nsd_betas, nsd_trials, recognise
from neuroalign.recordings.readers.nsd import NsdOptions, NsdReader
from neuroalign.recordings.resplit import write_split
from neuroalign.retrieval import Embeddings


def prepared(folder: Path, out: Path, subjects: Any = None, **options: Any) -> Recordings:
    options = {"sessions": 2} | options
    return prepare(NsdReader(), folder, out, options=NsdOptions(**options), subjects=subjects)


@pytest.fixture(scope="module")
def two_people(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    folder = tmp_path_factory.mktemp("nsd") / "set"
    return write_miniature(folder, subjects=("subj01", "subj02"), info=True)


def percent(planted: Planted, subject: str, sessions: int = 2) -> np.ndarray:
    """Return what was planted in the mask: (sessions, 750, voxels), percent signal change."""
    inside = planted.masks[subject] > 0
    stored = [planted.betas[subject, k][:, inside] for k in range(1, sessions + 1)]
    return np.stack(stored) / 300


def zscored(planted: Planted, subject: str) -> np.ndarray:
    raw = percent(planted, subject)
    train = ~planted.shared[: 2 * TRIALS].reshape(2, TRIALS)
    pairs = zip(raw, train, strict=True)
    return np.concatenate([(r - r[t].mean(0)) / r[t].std(0) for r, t in pairs])


def shown(planted: Planted, subject: str, trials: int = 2 * TRIALS) -> np.ndarray:
    return planted.pictures[int(subject[-2:]) - 1, :trials]


LAYOUTS = {
    "as published": {},
    "in one piece": {"chunks": None},
    "chunks of trials and voxels": {"chunks": (100, 3, 2, 2)},
    "NIfTI": {"container": "nifti"},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
@pytest.mark.parametrize("block", [8 * 2**20, 2000], ids=["one block", "many"])
def test_every_number_arrives_beside_its_picture(
    tmp_path: Path, layout: dict[str, Any], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nsd_betas, "_BLOCK_BYTES", block)
    planted = write_miniature(tmp_path / "set", **layout)
    recordings = prepared(tmp_path / "set", tmp_path / "out", zscore="none")
    table = recordings.trials
    np.testing.assert_allclose(
        recordings.read(), percent(planted, "subj01").reshape(2 * TRIALS, -1), rtol=1e-6
    )
    ids = shown(planted, "subj01")
    assert table["stimulus"].tolist() == [f"nsd-{i:05d}" for i in ids]
    assert table["nsd_id"].tolist() == ids.tolist()
    assert (
        table["split"].tolist() == np.where(planted.shared[: 2 * TRIALS], "test", "train").tolist()
    )
    assert table["session"].tolist() == ["01"] * TRIALS + ["02"] * TRIALS
    assert table["trial"].tolist() == [*range(1, TRIALS + 1)] * 2
    assert table.groupby(["session", "run"]).size().tolist() == [63, 62] * 12
    assert recordings.info.units == "percent signal change"
    volume = recordings.info.subjects["subj01"].volume
    index = np.load(tmp_path / "out" / volume.index_file)
    assert volume.shape == planted.masks["subj01"].shape
    np.testing.assert_array_equal(index, np.flatnonzero(planted.masks["subj01"].ravel() > 0))
    np.testing.assert_allclose(volume.affine, planted.affines["subj01"], atol=1e-4)
    np.testing.assert_array_equal(
        np.load(tmp_path / "out" / "ncsnr" / "subj01.npy"), planted.ncsnr["subj01"].ravel()[index]
    )
    recordings.verify_checksums()


def test_repeats_are_numbered_in_the_order_of_time(two_people: Planted, tmp_path: Path) -> None:
    table = prepared(two_people.folder, tmp_path / "out").trials
    times: dict[tuple[str, int], int] = {}
    for _, trial in table.iterrows():
        key = trial["subject"], trial["nsd_id"]
        times[key] = times.get(key, 0) + 1
        assert trial["repetition"] == times[key]
    assert set(times.values()) == {1, 2}


def test_each_session_is_standardised_with_its_training_trials(
    two_people: Planted, tmp_path: Path
) -> None:
    recordings = prepared(two_people.folder, tmp_path / "out")
    for subject in ("subj01", "subj02"):
        np.testing.assert_allclose(
            recordings.select(subject=subject).read(), zscored(two_people, subject), atol=2e-5
        )
    step = recordings.info.steps[-1]
    assert (step.name, step.fitted_on) == ("z-score", "training trials of each person and session")
    assert recordings.info.units == "z-score"
    # So another split can be fitted again, session by session.
    assert len(write_split(recordings, tmp_path / "again", by="picture")) == 4 * TRIALS


@pytest.mark.parametrize("most", [128 * 2**20, 4 * 40 * 100], ids=["at once", "in stretches"])
def test_averages_of_repeats(
    two_people: Planted, tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nsd_trials, "_MOST_AVERAGED_BYTES", most)
    recordings = prepared(two_people.folder, tmp_path / "out", repeats="averaged")
    for subject in ("subj01", "subj02"):
        single, own = zscored(two_people, subject), recordings.select(subject=subject)
        ids = shown(two_people, subject)
        order = list(dict.fromkeys(ids.tolist()))
        assert own.trials["nsd_id"].tolist() == order
        expected = np.stack([single[ids == i].mean(0) for i in order])
        np.testing.assert_allclose(own.read(), expected, atol=2e-5)
        table = own.trials
        assert table["n_averaged"].tolist() == [int((ids == i).sum()) for i in order]
        shared = set(ids[two_people.shared[: 2 * TRIALS]].tolist())
        assert set(table.loc[table["split"] == "test", "nsd_id"]) == shared
        assert own.average_repeats().trials["n_averaged"].tolist() == table["n_averaged"].tolist()
        across = [len(set(np.flatnonzero(ids == i) // TRIALS)) > 1 for i in order]
        assert table["session"].isna().tolist() == across and any(across)

    assert select_test_items(recordings, "trials").description == "averages of 1 to 2 repeats"


def test_pictures_are_those_of_the_brick(two_people: Planted, tmp_path: Path) -> None:
    recordings = prepared(two_people.folder, tmp_path / "out")
    ids = np.unique(recordings.trials["nsd_id"])
    listed = pd.read_csv(tmp_path / "out" / "pictures.tsv", sep="\t")
    np.testing.assert_array_equal(listed["nsd_id"], ids)
    np.testing.assert_array_equal(listed["coco_id"], coco_ids()[ids])
    assert set(listed["coco_split"]) == {"train2017", "val2017"}
    assert (
        listed["shared"].tolist()
        == np.isin(ids, two_people.pictures[0][two_people.shared]).tolist()
    )
    pictures = pictures_from_table(tmp_path / "out" / "pictures.tsv")
    assert pictures.table["stimulus"].tolist() == [f"nsd-{i:05d}" for i in ids]
    for position in (0, len(ids) // 2, len(ids) - 1):
        opened = open_picture(pictures.table["path"].iloc[position])
        np.testing.assert_array_equal(np.asarray(opened), colours()[ids[position]])
    assert pictures.table["path"][0] == f"{two_people.folder / STIMULI}::imgBrick/{ids[0]}"


def test_no_pictures_no_paths_and_a_warning(tmp_path: Path) -> None:
    write_miniature(tmp_path / "set", stimuli=False)
    prepared(tmp_path / "set", tmp_path / "out")
    assert pd.read_csv(tmp_path / "out" / "pictures.tsv", sep="\t")["path"].isna().all()
    (found,) = [f for f in read_findings(tmp_path / "out" / "findings.tsv") if "no paths" in f.what]
    assert found.severity == "warning" and "nothing can be trained" in found.what


def test_versions_of_betas_and_containers(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    planted = write_miniature(folder, sessions=1)
    other = planted.betas["subj01", 1]
    for version, offset in (("betas_fithrf", 300), ("betas_assumehrf", 600)):
        betas = beta_folder(folder, "subj01", version)
        shutil.copytree(beta_folder(folder, "subj01"), betas)
        with h5py.File(betas / "betas_session01.hdf5", "r+") as file:
            file["betas"][:] = (other + offset).transpose(0, 3, 2, 1)
    changed = nibabel.Nifti1Image(np.moveaxis(other + 900, 0, -1), planted.affines["subj01"])
    nibabel.save(changed, beta_folder(folder, "subj01") / "betas_session01.nii.gz")
    expected = percent(planted, "subj01", 1)[0]
    for number, (added, options) in enumerate(
        [
            (0, {}),
            (0, {"container": "hdf5"}),
            (3, {"container": "nifti"}),
            (1, {"betas": "betas_fithrf"}),
            (2, {"betas": "betas_assumehrf"}),
        ]
    ):
        out = tmp_path / f"out{number}"
        found = prepared(folder, out, sessions=1, zscore="none", **options)
        np.testing.assert_allclose(found.read(), expected + added, atol=1e-5)
        assert options.get("betas", "betas_fithrf_GLMdenoise_RR") in found.info.source


def test_other_regions(two_people: Planted, tmp_path: Path) -> None:
    areas = nibabel.load(
        roi_folder(two_people.folder, "subj01") / "prf-visualrois.nii.gz"
    ).get_fdata()
    for name, values, inside in (
        ("all", (), areas > 0),
        ("v1", ("1", "2"), np.isin(areas, [1, 2])),
    ):
        found = prepared(
            two_people.folder,
            tmp_path / name,
            subjects=["1"],
            roi="prf-visualrois",
            roi_values=values,
            zscore="none",
        )
        expected = two_people.betas["subj01", 2][:, inside] / 300
        np.testing.assert_allclose(found.read()[TRIALS:], expected, rtol=1e-6)
        index = np.load(tmp_path / name / found.info.subjects["subj01"].volume.index_file)
        np.testing.assert_array_equal(index, np.flatnonzero(inside))
    assert found.info.steps[1].parameters == {"roi": "prf-visualrois", "values": ["1", "2"]}


@pytest.mark.parametrize("name", ["2", "02", "sub-02", "subj02"])
def test_people_by_any_of_their_names(two_people: Planted, tmp_path: Path, name: str) -> None:
    assert prepared(two_people.folder, tmp_path / "out", [name], sessions=1).subjects == ("subj02",)


def test_unknown_and_absent_people(two_people: Planted, tmp_path: Path) -> None:
    with pytest.raises(NeuroalignError, match=r"no person '9'; there are subj01, subj02"):
        prepared(two_people.folder, tmp_path / "out", ["9"])
    with pytest.raises(NeuroalignError, match=r"subj03, subj07 asked for; there is subj01, subj02"):
        prepared(two_people.folder, tmp_path / "out", ["3", "7", "1"])


def test_voxels_that_stand_still_in_a_session_are_left_out_and_listed(tmp_path: Path) -> None:
    planted = write_miniature(tmp_path / "set")
    index = np.flatnonzero(planted.masks["subj01"].ravel() > 0)
    shape = planted.masks["subj01"].shape
    # One voxel in all trials of a session, another in all training trials of the other.
    every, train = np.arange(TRIALS), np.flatnonzero(~planted.shared[TRIALS : 2 * TRIALS])
    for session, voxel, trials in ((1, 3, every), (2, 17, train)):
        betas = planted.betas["subj01", session]
        betas[(trials, *np.unravel_index(index[voxel], shape))] = 0
        file = beta_folder(tmp_path / "set", "subj01") / f"betas_session{session:02d}.hdf5"
        with h5py.File(file, "r+") as opened:
            opened["betas"][:] = betas.transpose(0, 3, 2, 1)
    recordings = prepared(tmp_path / "set", tmp_path / "out")
    kept = np.delete(np.arange(len(index)), [3, 17])
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = zscored(planted, "subj01")[:, kept]
    np.testing.assert_allclose(recordings.read(), expected, atol=2e-5)
    volume = np.load(tmp_path / "out" / recordings.info.subjects["subj01"].volume.index_file)
    np.testing.assert_array_equal(volume, index[kept])
    ratio = np.load(tmp_path / "out" / "ncsnr" / "subj01.npy")
    np.testing.assert_array_equal(ratio, planted.ncsnr["subj01"].ravel()[index[kept]])
    dropped = pd.read_csv(tmp_path / "out" / "dropped.tsv", sep="\t")
    assert dropped["where"].tolist() == ["subj01, 1 of 40 voxels"] * 2
    assert [r[-10:] for r in dropped["reason"]] == ["session 01", "session 02"]


def test_37_sessions_give_the_papers_numbers(tmp_path: Path) -> None:
    write_miniature(tmp_path / "set", sessions=37, chunks=None, stimuli=False)
    table = prepared(tmp_path / "set", tmp_path / "out", sessions=37).trials
    trials = table["split"].value_counts()
    pictures = table.drop_duplicates("stimulus")["split"].value_counts()
    assert (trials["train"], trials["test"]) == (24_980, 2_770)
    assert (pictures["train"], pictures["test"]) == (8_859, 982)


def test_a_whole_person_is_fine_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = write_miniature(tmp_path / "set", subjects=("subj04",), sessions=30, chunks=None)
    assert isinstance(recognise(tmp_path / "set"), NsdReader)
    assert neuroalign("doctor", tmp_path / "set") == 0
    out = tmp_path / "out"
    command = ("prepare", "nsd", tmp_path / "set", "--out", out, "--zscore", "none")
    assert neuroalign(*command, "--subjects", "4") == 0
    recordings = Recordings(out)
    expected = percent(planted, "subj04", 30).reshape(30 * TRIALS, -1)
    np.testing.assert_allclose(recordings.read(), expected, rtol=1e-6)
    assert recordings.trials["stimulus"].nunique() == 9_209
    assert neuroalign("prepare", "nsd", tmp_path / "set", "--out", out, "--sessions", "41") == 2
    assert "--sessions" in capsys.readouterr().err


def test_doctor_says_fine_of_the_sessions_asked_for(two_people: Planted) -> None:
    found = examine(two_people.folder, options=NsdOptions(sessions=2))
    assert (found.status, found.dataset) == (0, "nsd")
    assert found.people == {"subj01": (2, 1500), "subj02": (2, 1500)}
    assert examine(two_people.folder).status == 1  # 2 of 40 sessions


def test_processes_change_nothing(two_people: Planted, tmp_path: Path) -> None:
    prepared(two_people.folder, tmp_path / "one")
    options = NsdOptions(sessions=2)
    prepare(NsdReader(), two_people.folder, tmp_path / "two", options=options, jobs=2)
    assert listing(tmp_path / "one") == listing(tmp_path / "two")


KILLABLE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from moments import Moment, stop_at
from neuroalign.recordings.preparation import prepare
from neuroalign.recordings.readers.nsd import NsdOptions, NsdReader
for line in sys.stdin:
    event, path, number, out = line.rstrip("\\n").split("\\t")
    pid = os.fork()
    if pid == 0:
        stop_at(Moment(event, path, 1, int(number)))
        try:
            prepare(NsdReader(), sys.argv[2], out, options=NsdOptions(sessions=2))
        except KeyboardInterrupt:
            os._exit(2)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def test_killed_or_interrupted_it_ends_the_same(two_people: Planted, tmp_path: Path) -> None:
    prepared(two_people.folder, tmp_path / "whole")
    moments = (
        ("os.rename", "*/parts/subj02_session01", signal.SIGKILL, -signal.SIGKILL),
        ("open", "*/people/.subj02*.npy", signal.SIGINT, 2),
    )
    outs = [tmp_path / f"out{i}" for i in range(len(moments))]
    orders = "".join(
        f"{event}\t{path}\t{int(number)}\t{out}\n"
        for (event, path, number, _), out in zip(moments, outs, strict=True)
    )
    command = [sys.executable, "-c", KILLABLE, str(Path(__file__).parents[1]), two_people.folder]
    done = subprocess.run(command, input=orders, capture_output=True, text=True, check=True)
    assert [int(line) for line in done.stdout.split()] == [m[-1] for m in moments]
    for out in outs:
        assert not out.exists()
        prepared(two_people.folder, out)
        assert listing(out) == listing(tmp_path / "whole")


def test_what_was_planted_is_decoded(two_people: Planted, tmp_path: Path) -> None:
    recordings = prepared(two_people.folder, tmp_path / "out", ["1"], sessions=1)
    ids = np.unique(recordings.trials["nsd_id"])
    items = pd.DataFrame(
        {
            "kind": "picture",
            "stimulus": [f"nsd-{i:05d}" for i in ids],
            "label": None,
            "subject": None,
        }
    )
    pictures = Embeddings(features(ids), items, "colours of the squares")
    bundle = na.fit(
        recordings,
        pictures,
        space={"components": [12], "power": [0.0]},
        start={"shares": [0.0]},
        training={"epochs": 1, "batch_size": 256},
        architectures={"fmri": {"align_dim": None, "hidden": 16, "depth": 1}},
    )
    test = recordings.select(split="test")
    names = sorted(set(test.trials["stimulus"]))
    gallery = pictures.take(np.flatnonzero(pictures.items["stimulus"].isin(names)))
    found = bundle.embed(test).vectors @ bundle.embed_pictures(gallery).vectors.T
    right = (
        gallery.items["stimulus"].to_numpy()[found.argmax(1)] == test.trials["stimulus"].to_numpy()
    )
    assert len(names) > 50
    assert right.mean() > 0.3  # chance: below 0.02


def test_the_design_is_not_needed_twice(two_people: Planted, tmp_path: Path) -> None:
    """Without its copies (table of pictures, responses) the same comes out."""
    folder = tmp_path / "set"
    shutil.copytree(two_people.folder, folder)
    (folder / EXPERIMENT / "nsd_stim_info_merged.csv").unlink()
    for path in folder.rglob("responses.tsv"):
        path.unlink()
    alone, both = prepared(folder, tmp_path / "a"), prepared(two_people.folder, tmp_path / "b")
    pd.testing.assert_frame_equal(alone.trials, both.trials)
    assert alone.info.subjects == both.info.subjects  # with the checksums of all signals
