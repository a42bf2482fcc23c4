"""THINGS-fMRI in miniature, both forms, end to end: every number against what was planted."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from laboratory import listing, neuroalign
from miniatures.things_fmri import (
    AFFINE,
    CATCH_PER_RUN,
    CONCEPTS,
    EXEMPLARS,
    SHAPE,
    SMALL,
    VOXELS,
    MiniatureReader,
    Planted,
    latent,
    write_pictures,
    write_store,
    write_things_fmri,
)
from neuroalign.errors import NeuroalignError
from neuroalign.recordings import Recordings
from neuroalign.recordings.doctor import examine
from neuroalign.recordings.preparation import prepare
from neuroalign.recordings.readers.pandas_store import find_store
from neuroalign.recordings.readers.things_fmri import ThingsFmri, ThingsFmriOptions

HERE = Path(__file__).parent
PER_SESSION = SMALL.trials
VISUAL = np.arange(VOXELS) % 10 < 8  # those in one of the drawn ROIs
KILLABLE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from miniatures.things_fmri import MiniatureReader
from moments import Moment, stop_at
from neuroalign.recordings.preparation import prepare
for line in sys.stdin:
    event, path, count, number, folder, out = line.rstrip("\\n").split("\\t")
    pid = os.fork()
    if pid == 0:
        stop_at(Moment(event, path, int(count), int(number)))
        try:
            prepare(MiniatureReader(), folder, out)
        except KeyboardInterrupt:
            os._exit(2)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Planted]]:
    """Two people in both forms; to be read and never changed."""
    folder = tmp_path_factory.mktemp("things") / "fmri"
    planted = write_things_fmri(folder, volumes=True)
    return folder, planted


def prepared(folder: Path, out: Path, **options: Any) -> Recordings:
    subjects = options.pop("subjects", ["1", "sub-02"])
    return prepare(
        MiniatureReader(), folder, out, options=ThingsFmriOptions(**options), subjects=subjects
    )


def planted_rows(recordings: Recordings, subject: str, person: Planted) -> np.ndarray:
    """Return the planted trial of each written one, by session and picture."""
    table = recordings.trials[recordings.trials["subject"] == subject]
    keys = person.trials["session"].map("{:02d}".format) + person.trials["stimulus"]
    place = pd.Series(person.trials.index, index=keys)
    return place[table["session"] + table["stimulus"]].to_numpy()


@pytest.mark.parametrize("form", ["tables", "volumes"])
def test_every_number_arrives_beside_its_picture(
    both: tuple[Path, dict[str, Planted]], tmp_path: Path, form: str
) -> None:
    folder, planted = both
    recordings = prepared(folder, tmp_path / "out", form=form, zscore="none")
    assert recordings.subjects == ("sub-01", "sub-02")
    for subject, person in planted.items():
        view = recordings.select(subject=subject)
        rows = planted_rows(recordings, subject, person)
        assert sorted(rows) == list(range(SMALL.sessions * PER_SESSION))
        np.testing.assert_allclose(view.read(), person.betas.T[rows][:, VISUAL], rtol=1e-6)
        shown = person.trials.iloc[rows].reset_index(drop=True)
        table = view.trials.reset_index(drop=True)
        assert table["split"].tolist() == shown["trial_type"].tolist()
        assert table["label"].tolist() == shown["concept"].tolist()
        assert table["run"].tolist() == shown["run"].map("{:02d}".format).tolist()
        if form == "tables":
            assert table["trial"].tolist() == shown["trial"].tolist() == sorted(rows)
        expected = [r if t == "test" else 1 for t, r in zip(
            shown["trial_type"], shown["session"], strict=True
        )]  # fmt: skip
        assert table["repetition"].tolist() == expected
        index = recordings.voxel_index(subject)
        assert index is not None and index.tolist() == person.index[VISUAL].tolist()
        volume = recordings.info.subjects[subject].volume
        assert volume is not None and volume.shape == SHAPE
        np.testing.assert_allclose(np.array(volume.affine), AFFINE)
    recordings.verify_checksums()
    dropped = [(d.trials, d.reason[:11]) for d in recordings.info.dropped]
    catch = (SMALL.runs * CATCH_PER_RUN, "catch trial")
    assert dropped == ([catch] * 2 * SMALL.sessions if form == "volumes" else [])


def test_noise_ceilings_are_kept(both: tuple[Path, dict[str, Planted]], tmp_path: Path) -> None:
    folder, planted = both
    out = tmp_path / "out"
    prepared(folder, out)
    for subject, person in planted.items():
        table = person.voxels[VISUAL]
        for name in ("nc_singletrial", "nc_testset", "voxel_id"):
            found = np.load(out / name / f"{subject}.npy")
            np.testing.assert_allclose(found, table[name], rtol=1e-6)
        ncsnr = np.load(out / "ncsnr" / f"{subject}.npy").astype(float)
        for n, name in ((1, "nc_singletrial"), (12, "nc_testset")):
            ceiling = 100 * ncsnr**2 / (ncsnr**2 + 1 / n)
            np.testing.assert_allclose(ceiling, table[name], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("zscore", ["session", "person"])
def test_scaling_uses_training_trials_alone(
    both: tuple[Path, dict[str, Planted]], tmp_path: Path, zscore: str
) -> None:
    folder, planted = both
    recordings = prepared(folder, tmp_path / "out", zscore=zscore, subjects=["2"])
    person = planted["sub-02"]
    train = (person.trials["trial_type"] == "train").to_numpy()
    betas = person.betas[VISUAL].T.astype(np.float32).astype(float)
    expected = np.empty_like(betas)
    session = person.trials["session"].to_numpy() if zscore == "session" else np.ones(len(train))
    for group in np.unique(session):
        own = session == group
        fit = betas[own & train]
        expected[own] = (betas[own] - fit.mean(axis=0)) / fit.std(axis=0)
    np.testing.assert_allclose(recordings.read(), expected, rtol=1e-4, atol=1e-5)
    step = next(s for s in recordings.info.steps if s.name == "z-score")
    assert step.fitted_on == f"training trials of each {zscore}, per voxel"


@pytest.mark.parametrize(
    ("roi", "places"),
    [
        (("V1",), [0]),
        (("V1", "hV4"), [0, 3]),
        (("?FFA", "LO1 (prf)"), [4, 5, 6]),
        (("all",), list(range(10))),
    ],
)
def test_roi_columns_choose_voxels(
    both: tuple[Path, dict[str, Planted]], tmp_path: Path, roi: tuple[str, ...], places: list[int]
) -> None:
    folder, planted = both
    recordings = prepared(folder, tmp_path / "out", roi=roi, zscore="none", subjects=["1"])
    chosen = np.isin(np.arange(VOXELS) % 10, places)
    person = planted["sub-01"]
    np.testing.assert_allclose(recordings.read(), person.betas[chosen].T, rtol=1e-6)
    assert recordings.info.steps[0].parameters == {"roi": list(roi)}


@pytest.mark.parametrize(("names", "store"), [("text", "fixed"), ("numbers", "table")])
def test_stores_of_either_format_and_kind_of_name(
    both: tuple[Path, dict[str, Planted]], tmp_path: Path, names: str, store: str
) -> None:
    write_things_fmri(tmp_path / "fmri", names=names, store=store)
    expected = prepared(both[0], tmp_path / "expected", form="tables")
    found = prepared(tmp_path / "fmri", tmp_path / "found")
    np.testing.assert_array_equal(found.read(), expected.read())


def test_voxels_are_found_by_their_number(
    both: tuple[Path, dict[str, Planted]], tmp_path: Path
) -> None:
    folder, planted = both
    copy = shutil.copytree(folder, tmp_path / "fmri")
    person = planted["sub-01"]
    order = np.random.default_rng(0).permutation(VOXELS)
    path = copy / "betas_csv" / "sub-01_ResponseData.h5"
    write_store(path, person.betas[order], person.trials["trial"], order)
    shuffled = prepared(copy, tmp_path / "out", form="tables", subjects=["1"])
    plain = prepared(folder, tmp_path / "plain", form="tables", subjects=["1"])
    np.testing.assert_array_equal(shuffled.read(), plain.read())


def test_blocks_of_a_store_are_those_of_pandas(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    betas = rng.normal(size=(60, 9))
    write_store(tmp_path / "x.h5", betas, pd.Series(range(9)), np.arange(60) * 3)
    store = find_store(tmp_path / "x.h5")
    rows = np.array([0, 1, 5, 40, 41, 59])
    np.testing.assert_array_equal(store.read(rows, ["7", "2"]), betas[rows][:, [7, 2]])
    whole = pd.read_hdf(tmp_path / "x.h5")
    np.testing.assert_array_equal(store.column("voxel_id"), whole["voxel_id"])


def test_volumes_without_the_voxel_table(tmp_path: Path) -> None:
    planted = write_things_fmri(tmp_path / "fmri", people=1, tables=False, volumes=True)
    found = prepared(tmp_path / "fmri", tmp_path / "out", subjects=["1"], zscore="none")
    rows = planted_rows(found, "sub-01", planted["sub-01"])
    np.testing.assert_allclose(found.read(), planted["sub-01"].betas.T[rows], rtol=1e-6)
    assert "all voxels of the brain mask" in (tmp_path / "out" / "findings.tsv").read_text()
    assert found.info.steps[0].parameters == {"roi": ["all"]}
    with pytest.raises(NeuroalignError, match="but the ROI V1 is one of its columns"):
        prepared(tmp_path / "fmri", tmp_path / "other", subjects=["1"], roi=("V1",))


def test_conditions_that_say_the_type_of_a_trial(tmp_path: Path) -> None:
    write_things_fmri(tmp_path / "fmri", people=1, tables=False, volumes=True)
    plain = prepared(tmp_path / "fmri", tmp_path / "plain", subjects=["1"])
    for path in tmp_path.rglob("*_conditions.tsv"):
        table = pd.read_csv(path, sep="\t", index_col=0)
        test = table["image_filename"].str.contains(f"_{EXEMPLARS + 1:02d}s")

        catch = table["image_filename"].str.startswith("catch")
        kinds = np.where(catch, "catch", np.where(test, "test", "train"))
        table.assign(trial_type=kinds).to_csv(path, sep="\t")
    said = prepared(tmp_path / "fmri", tmp_path / "said", subjects=["1"])
    pd.testing.assert_frame_equal(said.trials, plain.trials)
    one = prepared(tmp_path / "fmri", tmp_path / "one", subjects=["1"], sessions=("1",))
    assert len(one) == PER_SESSION


def test_catch_trials_under_other_names(tmp_path: Path) -> None:
    write_things_fmri(tmp_path / "fmri", people=1, tables=False, volumes=True)
    plain = prepared(tmp_path / "fmri", tmp_path / "plain", subjects=["1"])
    for path in tmp_path.rglob("*_conditions.tsv"):
        path.write_text(path.read_text().replace("catch/catch_", "blob/blob_"))
    with pytest.raises(NeuroalignError, match="session 1 has 20 training and 8 test trials"):
        prepared(tmp_path / "fmri", tmp_path / "out", subjects=["1"])
    found = prepared(tmp_path / "fmri", tmp_path / "out", subjects=["1"], catch=("blob/*",))
    np.testing.assert_array_equal(found.read(), plain.read())


def test_zero_shot_drops_training_pictures_of_test_concepts(
    both: tuple[Path, dict[str, Planted]], tmp_path: Path
) -> None:
    folder, _ = both
    found = prepared(folder, tmp_path / "out", protocol="zero-shot")
    test = set(found.select(split="test").trials["label"])
    assert test == set(CONCEPTS[: SMALL.test])
    assert not test & set(found.select(split="train").trials["label"])
    lost = SMALL.sessions * SMALL.train * SMALL.test // len(CONCEPTS)
    assert [(d.where, d.trials) for d in found.info.dropped] == [("sub-01", lost), ("sub-02", lost)]


def test_chosen_sessions(both: tuple[Path, dict[str, Planted]], tmp_path: Path) -> None:
    found = prepared(both[0], tmp_path / "out", sessions=("ses-things02",))
    assert set(found.trials["session"]) == {"02"}
    assert len(found) == 2 * PER_SESSION
    with pytest.raises(NeuroalignError, match="no session '3': sessions are 1 to 2"):
        prepared(both[0], tmp_path / "other", sessions=("3",))
    with pytest.raises(NeuroalignError, match="one session alone does not show"):
        prepared(both[0], tmp_path / "other", sessions=("1",), form="volumes")


def test_from_the_command_line(
    both: tuple[Path, dict[str, Planted]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ThingsFmri, "published", SMALL)
    folder, planted = both
    write_pictures(tmp_path / "things", planted["sub-01"])
    out = tmp_path / "out"
    options = ("--roi", "V1,IT", "--zscore", "none", "--pictures", tmp_path / "things")
    command = ("prepare", "things-fmri", folder, "--out", out, "--subjects", "2", *options)
    assert neuroalign(*command) == 0
    found = Recordings(out)
    assert found.subjects == ("sub-02",)
    chosen = np.isin(np.arange(VOXELS) % 10, [0, 7])
    np.testing.assert_allclose(found.read(), planted["sub-02"].betas[chosen].T, rtol=1e-6)
    pictures = pd.read_csv(out / "pictures.tsv", sep="\t")
    assert len(pictures) == SMALL.sessions * SMALL.train + SMALL.test
    assert all(Path(p).is_file() for p in pictures["path"])
    name = tmp_path.resolve() / "things" / "aircraft_carrier" / "aircraft_carrier_01s.jpg"
    assert str(name) in set(pictures["path"])
    capsys.readouterr()
    assert neuroalign("doctor", folder, "--subjects", "1", "2") == 0
    assert "THINGS-fMRI" in capsys.readouterr().out


def test_processes_change_nothing(both: tuple[Path, dict[str, Planted]], tmp_path: Path) -> None:
    for jobs in (1, 2):
        prepare(MiniatureReader(), both[0], tmp_path / str(jobs), jobs=jobs)
    assert listing(tmp_path / "1") == listing(tmp_path / "2")


def test_killed_anywhere_it_ends_the_same_to_the_last_byte(
    both: tuple[Path, dict[str, Planted]], tmp_path: Path
) -> None:
    prepare(MiniatureReader(), both[0], tmp_path / "whole")
    expected = listing(tmp_path / "whole")
    process = subprocess.Popen(
        [sys.executable, "-c", KILLABLE, str(HERE.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    out = tmp_path / "out"
    for event, path, number in (
        ("open", "*/parts/.*sub-01_ses-02*signals.npy", signal.SIGKILL),
        ("open", "*/people/.sub-02*.npy", signal.SIGINT),
    ):
        fields = (event, path, 1, int(number), both[0], out)
        process.stdin.write("\t".join(map(str, fields)) + "\n")
        process.stdin.flush()
        status = int(process.stdout.readline())
        assert status == (2 if number == signal.SIGINT else -number), (event, path)
        assert not out.exists()
        prepare(MiniatureReader(), both[0], out)
        assert listing(out) == expected, (event, path)
        shutil.rmtree(out)
    process.communicate()


def test_the_planted_signal_is_decoded(
    both: tuple[Path, dict[str, Planted]], tmp_path: Path
) -> None:
    recordings = prepared(both[0], tmp_path / "out")
    right = shown = 0
    for subject in recordings.subjects:
        train = recordings.select(subject=subject, split="train")
        test = recordings.select(subject=subject, split="test").average_repeats()
        targets = np.array([latent(s) for s in train.trials["stimulus"]])
        ridge = Ridge(alpha=10.0).fit(train.read(), targets)
        gallery = np.array([latent(s) for s in test.trials["stimulus"]])
        scores = np.corrcoef(ridge.predict(test.read()), gallery)[: len(test), len(test) :]
        right += int((scores.argmax(axis=1) == np.arange(len(test))).sum())
        shown += len(test)
    assert shown == 2 * SMALL.test
    assert right >= shown - 1  # chance: a quarter


def test_a_voxel_without_numbers_is_left_out_and_listed(tmp_path: Path) -> None:
    planted = write_things_fmri(tmp_path / "fmri", people=1)["sub-01"]
    betas = planted.betas.copy()
    betas[1, 30] = np.nan
    betas[2, planted.trials["session"] == 2] = 0.25
    path = tmp_path / "fmri" / "betas_csv" / "sub-01_ResponseData.h5"
    write_store(path, betas, planted.trials["trial"], np.arange(VOXELS))
    found = prepared(tmp_path / "fmri", tmp_path / "out", subjects=["1"], zscore="none")
    kept = VISUAL.copy()
    kept[[1, 2]] = False
    np.testing.assert_allclose(found.read(), betas[kept].T, rtol=1e-6)
    assert np.load(tmp_path / "out" / "voxel_id" / "sub-01.npy").tolist() == list(
        np.flatnonzero(kept)
    )
    index = found.voxel_index("sub-01")
    assert index is not None and index.tolist() == planted.index[kept].tolist()
    assert [d.where for d in found.info.dropped] == [f"sub-01, 2 of {VISUAL.sum()} voxels"]


def test_a_person_under_two_names_is_refused(tmp_path: Path) -> None:
    write_things_fmri(tmp_path / "fmri", people=1)
    for path in list((tmp_path / "fmri").rglob("sub-01_*")):
        copy = path.with_name(path.name.replace("sub-01", "sub-02"))
        shutil.copy(path, copy)
        if copy.suffix == ".csv":
            pd.read_csv(copy).assign(subject_id=2).to_csv(copy, index=False)
    with pytest.raises(NeuroalignError, match=r"sub-02_ses-01: .*100%.*sub-01_ses-01: one was cop"):
        prepared(tmp_path / "fmri", tmp_path / "out")


def test_people_who_are_not_there_are_named(tmp_path: Path) -> None:
    write_things_fmri(tmp_path / "fmri", people=1)
    found = examine(tmp_path / "fmri", dataset=MiniatureReader(), quick=True)
    assert found.status == 1 and "sub-02, sub-03" in found.findings[0].what
    asked = examine(tmp_path / "fmri", dataset=MiniatureReader(), subjects=["3"], quick=True)
    assert asked.status == 2


def test_the_published_counts(tmp_path: Path) -> None:
    """9,840 trials a person, as published, of a few voxels."""
    planted = write_things_fmri(tmp_path / "fmri", people=1)["sub-01"]
    folder = tmp_path / "fmri" / "betas_csv"
    train = [f"thing{i % 720}_{i // 720 + 1:02d}s" for i in range(8640)]
    rows = []
    for session in range(12):
        for run in range(10):
            start = 720 * session + 72 * run
            names = train[start : start + 72] + [f"thing{10 * run + i}_13s" for i in range(10)]
            kinds = ["train"] * 72 + ["test"] * 10
            for kind, name in zip(kinds, names, strict=True):
                rows.append((kind, session + 1, run + 1, 1, f"{name}.jpg"))
    table = pd.DataFrame(rows, columns=["trial_type", "session", "run", "subject_id", "stimulus"])
    table["trial_id"] = range(9840)
    table["concept"] = table["stimulus"].str.rpartition("_")[0]
    table.to_csv(folder / "sub-01_StimulusMetadata.csv", index=False)
    betas = np.random.default_rng(0).normal(size=(VOXELS, 9840))
    write_store(
        folder / "sub-01_ResponseData.h5", betas, table["trial_id"], planted.voxels["voxel_id"]
    )
    found = examine(tmp_path / "fmri", subjects=["1"], quick=True)
    assert found.people == {"sub-01": (12, 9840)}
    assert found.status == 0, found.findings
