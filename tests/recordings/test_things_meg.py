"""THINGS-MEG in miniature, from split FIF epochs to decoded pictures."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
import pytest

import neuroalign as na
from laboratory import listing, neuroalign
from miniatures.things_meg import (
    CONCEPTS,
    EPOCHS,
    SESSIONS,
    TEST_CONCEPTS,
    MiniatureEpochs,
    Planted,
    picture_numbers,
    things_pictures,
    write_epochs,
)
from neuroalign.errors import NeuroalignError
from neuroalign.recordings import Recordings
from neuroalign.recordings.doctor import examine
from neuroalign.recordings.preparation import prepare
from neuroalign.recordings.readers import load_reader, recognise
from neuroalign.recordings.readers.things_meg_settling import MegOptions
from neuroalign.recordings.readers.things_meg_trials import (
    Published,
    check_trials,
    compare_codes,
    read_trials,
)
from neuroalign.retrieval import Embeddings

TESTS = Path(__file__).parents[1]
KILLABLE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from moments import Moment, stop_at
from miniatures.things_meg import MiniatureEpochs
from neuroalign.recordings.preparation import prepare
for line in sys.stdin:
    event, path, number, folder, out = line.rstrip("\\n").split("\\t")
    pid = os.fork()
    if pid == 0:
        stop_at(Moment(event, path, 1, int(number)))
        prepare(MiniatureEpochs(), folder, out)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return write_epochs(tmp_path_factory.mktemp("things-meg") / "set")


def prepared(planted: Planted, out: Path, subjects: Any = None, **options: Any) -> Recordings:
    chosen = MegOptions(**options)
    return prepare(MiniatureEpochs(), planted.folder, out, options=chosen, subjects=subjects)


def shown(planted: Planted, person: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the table and the signals of what a person saw, without catch trials."""
    table = planted.tables[person]
    seen = (table["trial_type"] != "catch").to_numpy()
    return table[seen].reset_index(drop=True), planted.epochs[person][seen]


def standardised(signals: np.ndarray, train: np.ndarray) -> np.ndarray:
    mean, std = signals[train].mean(axis=(0, 2)), signals[train].std(axis=(0, 2))
    return (signals - mean[:, None]) / std[:, None]


def test_the_published_counts_are_those_of_the_paper() -> None:
    published = Published()
    assert published.counts == {"exp": 22_248, "test": 2_400, "catch": 2_400}
    assert (published.trials, published.zero_shot) == (27_048, 19_848)


def test_the_miniature_is_real_fif_in_split_parts(planted: Planted) -> None:
    first = planted.folder / "derivatives" / "preprocessed" / "preprocessed_P1-epo.fif"
    assert [p.name for p in sorted(first.parent.glob("preprocessed_P1*"))] == [
        "preprocessed_P1-epo-1.fif",
        "preprocessed_P1-epo-2.fif",
        "preprocessed_P1-epo.fif",
    ]
    epochs = mne.read_epochs(first, verbose="error")
    np.testing.assert_array_equal(epochs.get_data(), planted.epochs[1])
    assert epochs.metadata["image_path"].tolist() == planted.tables[1]["image_path"].tolist()


def test_every_number_arrives_beside_its_picture(planted: Planted, tmp_path: Path) -> None:
    recordings = prepared(planted, tmp_path / "out")
    info = recordings.info
    assert (info.modality, info.sfreq, info.tmin) == ("meg", EPOCHS.sfreq, EPOCHS.tmin)
    assert [c.name for c in info.channels] == [f"MLC1{i}-1609" for i in range(1, 7)]
    assert info.steps[-1].fitted_on == "training trials of each person, per channel"
    trials = recordings.trials
    for person, subject in ((1, "P1"), (2, "P2")):
        own = trials[trials["subject"] == subject]
        table, signals = shown(planted, person)
        stems = [p.split("/")[-1][:-4] for p in table["image_path"]]
        assert own["stimulus"].tolist() == stems
        assert own["label"].tolist() == [s[: s.rindex("_")] for s in stems]
        is_test = (table["trial_type"] == "test").to_numpy()
        assert own["split"].tolist() == np.where(is_test, "test", "train").tolist()
        assert own["session"].astype(int).tolist() == table["session_nr"].tolist()
        assert own["run"].astype(int).tolist() == table["run_nr"].tolist()
        np.testing.assert_allclose(own["onset_s"], table["image_on"])
        for stem in set(stems):
            repeats = own.loc[own["stimulus"] == stem, "repetition"].tolist()
            assert repeats == list(range(1, len(repeats) + 1))
            assert len(repeats) == (SESSIONS if "images_test" in _path(table, stem) else 1)
        expected = standardised(signals, ~is_test)
        np.testing.assert_allclose(recordings.read(own.index), expected, atol=1e-5)
    left_out = pd.read_csv(tmp_path / "out" / "dropped.tsv", sep="\t")
    assert left_out["where"].tolist() == ["P1", "P2"]
    assert left_out["trials"].tolist() == [EPOCHS.catch] * 2
    assert left_out["reason"].str.startswith("catch trials").all()


def test_zero_shot_drops_the_training_trials_of_test_concepts(
    planted: Planted, tmp_path: Path
) -> None:
    recordings = prepared(planted, tmp_path / "out", protocol="zero-shot")
    train = recordings.trials[recordings.trials["split"] == "train"]
    kept = set(CONCEPTS) - set(TEST_CONCEPTS)
    assert set(train["label"]) == kept
    assert train.groupby("subject").size().tolist() == [EPOCHS.zero_shot] * 2
    assert set(recordings.trials.loc[recordings.trials["split"] == "test", "label"]) == set(
        TEST_CONCEPTS
    )
    dropped = [d for d in recordings.info.dropped if "zero-shot" in d.reason]
    assert [d.trials for d in dropped] == [len(TEST_CONCEPTS) * SESSIONS] * 2
    table, signals = shown(planted, 1)
    labels = np.array([p.split("/")[-1].rpartition("_")[0] for p in table["image_path"]])
    used = (table["trial_type"] == "exp").to_numpy() & ~np.isin(labels, TEST_CONCEPTS)
    expected = standardised(signals, used)[used]
    own = train[train["subject"] == "P1"]
    np.testing.assert_allclose(recordings.read(own.index), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"tmin": 0.0, "tmax": 0.6}, slice(2, 15)),
        ({"tmin": 0.5}, slice(12, 29)),
        ({"tmax": 0.0}, slice(0, 3)),
    ],
)
def test_a_window_is_cut_out(
    planted: Planted, tmp_path: Path, options: dict[str, float], steps: slice
) -> None:
    recordings = prepared(planted, tmp_path / "out", ["1"], standardise=False, **options)
    expected = shown(planted, 1)[1][:, :, steps]
    own = recordings.trials["subject"] == "P1"
    np.testing.assert_array_equal(recordings.read(recordings.trials.index[own]), expected)
    assert recordings.info.tmin == pytest.approx(-0.1 + steps.start / EPOCHS.sfreq)
    assert recordings.info.units == "standard deviations of the baseline"


def test_baseline_and_rate_can_be_changed(planted: Planted, tmp_path: Path) -> None:
    signals = shown(planted, 1)[1]
    flat = prepared(planted, tmp_path / "mean", ["1"], baseline="mean", standardise=False)
    own = flat.trials.index[flat.trials["subject"] == "P1"]
    expected = signals - signals[:, :, :3].mean(axis=2, keepdims=True)
    np.testing.assert_allclose(flat.read(own), expected, atol=1e-5)
    half = prepared(planted, tmp_path / "half", ["1"], resample=10.0, standardise=False)
    assert half.info.sfreq == 10.0
    found = half.read(own)
    table = shown(planted, 1)[0]
    numbers = np.array([picture_numbers(Path(p).stem) for p in table["image_path"]])
    noiseless = np.einsum("tk,kcs->tcs", numbers, planted.patterns[1])[:, :, ::2]
    error = [np.abs(found[:, :, 1:13] - noiseless[:, :, 1 + k : 13 + k]).mean() for k in (-1, 0, 1)]
    assert error[1] < 0.3
    assert error[1] < 0.8 * min(error[0], error[2])


def test_a_window_beyond_the_epochs_is_refused(planted: Planted, tmp_path: Path) -> None:
    with pytest.raises(NeuroalignError, match=r"from -0.5 to 1.3 s reaches beyond"):
        prepared(planted, tmp_path / "out", tmin=-0.5)


def test_the_command_line_does_the_same_in_two_processes(
    planted: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = things_pictures(tmp_path / "THINGS")
    once = prepared(planted, tmp_path / "once", pictures=pictures, incomplete=True)
    command = ("prepare", "things-meg", planted.folder, "--out", tmp_path / "two", "--incomplete")
    assert neuroalign(*command, "--pictures", pictures, "--jobs", "2") == 0
    one, two = (listing(tmp_path / n) for n in ("once", "two"))
    reported = two.pop("findings.tsv")
    assert reported is not None
    assert b"6 channels, published 271" in reported
    one.pop("findings.tsv")
    assert one == two
    table = pd.read_csv(once.path / "pictures.tsv", sep="\t")
    assert all(Path(p).is_file() for p in table["path"])
    assert set(table["stimulus"]) == set(once.trials["stimulus"])
    assert neuroalign(*command[:4], tmp_path / "none") == 2
    assert "6 channels, published 271" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["1", "01", "P1", "sub-BIGMEG1"])
def test_people_are_found_by_any_of_their_names(
    planted: Planted, tmp_path: Path, name: str
) -> None:
    recordings = prepared(planted, tmp_path / "out", [name])
    assert recordings.subjects == ("P1",)
    with pytest.raises(NeuroalignError, match="no person 'P9'"):
        prepared(planted, tmp_path / "not", ["P9"])


def test_killed_in_the_middle_it_ends_the_same_to_the_last_byte(
    planted: Planted, tmp_path: Path
) -> None:
    whole = listing(prepared(planted, tmp_path / "whole").path)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLABLE, str(TESTS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    out = tmp_path / "out"
    for path in ("*/parts/.*P1_ses-03*signals.npy", "*/people/.P2*.npy"):
        fields = ("open", path, int(signal.SIGKILL), planted.folder, out)
        process.stdin.write("\t".join(map(str, fields)) + "\n")
        process.stdin.flush()
        assert int(process.stdout.readline()) == -signal.SIGKILL, path
        assert not out.exists()
        prepared(planted, out)
        assert listing(out) == whole, path
        shutil.rmtree(out)
    process.communicate()


def test_a_whole_one_is_fine(planted: Planted, tmp_path: Path) -> None:
    pictures = things_pictures(tmp_path / "THINGS")
    found = examine(
        planted.folder, dataset=MiniatureEpochs(), options=MegOptions(pictures=pictures)
    )
    assert found.status == 0, found.findings
    assert {f.severity for f in found.findings} == {"note"}
    assert found.people == {"P1": (SESSIONS, 52), "P2": (SESSIONS, 52)}
    recognised = recognise(planted.folder)
    assert recognised is not None and recognised.card.name == "things-meg"
    assert load_reader("things-meg").card.subjects == ("P1", "P2", "P3", "P4")


def test_doctor_accepts_a_part_of_the_set_as_prepare_does(
    planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert neuroalign("doctor", planted.folder, "--quick") == 2
    assert "add --incomplete" in capsys.readouterr().out
    assert neuroalign("doctor", planted.folder, "--quick", "--incomplete") == 1
    assert "Next: neuroalign prepare things-meg" in capsys.readouterr().out


def test_what_is_planted_is_decoded(planted: Planted, tmp_path: Path) -> None:
    recordings = prepared(planted, tmp_path / "out")
    names = sorted(set(recordings.trials["stimulus"]))
    items = pd.DataFrame({"kind": "picture", "stimulus": names, "label": None, "subject": None})
    pictures = Embeddings(np.stack([picture_numbers(n) for n in names]), items, "planted")
    model = na.fit(
        [recordings],
        pictures,
        space={"components": [3], "power": [0.0]},
        training={"epochs": 3, "batch_size": 16, "patience": None},
        architectures={"meg": {"hidden": 16}},
    )
    test = model.embed(recordings.select(split="test"))
    seen = sorted(set(test.items["stimulus"]))
    ranking = na.decode(test, model.embed_pictures(pictures.select(stimulus=seen)), k=1).table()
    right = (ranking["query_stimulus"] == ranking["found_stimulus"]).mean()
    assert (len(test), len(seen)) == (24, 3)
    assert right > 0.8, right


def _path(table: pd.DataFrame, stem: str) -> str:
    return next(p for p in table["image_path"] if p.endswith(f"/{stem}.jpg"))


def test_a_table_of_the_published_size_is_accepted_as_it_is() -> None:
    published = Published()
    rows = []
    for session in range(1, published.sessions + 1):
        for kind, count in (("exp", 1854), ("test", 200), ("catch", 200)):
            number, folder = (session, "meg") if kind == "exp" else (13, f"{kind}_meg")
            rows += [
                (kind, f"images_{folder}/c{k:04d}_{number:02d}s.jpg", session, k)
                for k in range(count)
            ]
    raw = pd.DataFrame(rows, columns=["trial_type", "image_path", "session_nr", "k"])
    place = raw.groupby("session_nr").cumcount()
    raw["run_nr"] = 1 + place * published.runs // (published.trials // published.sessions)
    shown = raw["trial_type"] != "catch"
    raw["things_category_nr"] = (raw["k"] + 1).where(shown)
    exemplar = raw["image_path"].str[-7:-5].astype(int)
    raw["things_image_nr"] = (20 * (raw["k"] + 1) + exemplar).where(shown)
    person = read_trials(raw, "P1", published)
    paths = raw["image_path"]
    assert len(person.table) == 27_048
    assert person.findings == ()
    assert list(check_trials(person.table, paths, "P1", published, incomplete=False)) == []
    codes = raw["things_image_nr"].fillna(999_999).to_numpy(float)
    assert list(compare_codes(codes, person.table, "P1")) == []
    train = person.table[person.table["trial_type"] == "exp"]
    assert len(train) == 22_248
    assert (~train["label"].isin(person.test_concepts)).sum() == 19_848
    short = check_trials(person.table[:-1], paths[:-1], "P1", published, incomplete=False)
    assert [f.what for f in short] == [
        "2,399 catch trials, published 2,400",
        "session 12 has 2,253 rows, published 2,254",
    ]
