"""`datasets`, `doctor`, `fetch` and `prepare NAME`, with a reader that another package brings."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent / "recordings"))
from toy_set import write_toy_set

from laboratory import neuroalign, plain
from neuroalign.cli.arguments import join_listed
from neuroalign.cli.prepare import prepare
from neuroalign.recordings import Recordings


@pytest.fixture
def plugged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that brings the toy set's reader, and one that brings a broken one."""
    site = tmp_path / "site"
    about = site / "toy_package-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[neuroalign.readers]\ntoy = toy_set:ToyReader\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(prepare, "registered_commands", list(prepare.registered_commands))
    monkeypatch.setenv("COLUMNS", "250")
    return about / "entry_points.txt"


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_toy_set(tmp_path / "toy set")


def test_a_reader_of_another_package_is_listed(
    plugged_in: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert neuroalign("datasets") == 0
    assert "https://example.org/toy" in capsys.readouterr().out
    assert neuroalign("datasets", "toy") == 0
    assert "<subject>/session-<n>.npy" in capsys.readouterr().out
    assert neuroalign("datasets", "--json") == 0
    cards = {c["name"]: c for c in json.loads(capsys.readouterr().out)}
    assert cards["toy"]["licence"] == "CC0"
    for card in cards.values():
        assert all(card[k] for k in ("title", "url", "licence", "citation", "layout")), card


def test_its_options_are_flags(plugged_in: Path, toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = ("--scale", 2, "--order", "backwards", "--test", "p03, p05", "--jobs", 2)
    assert neuroalign("prepare", "toy", toy, "--out", out, "--subjects", "s2", *flags) == 0
    recordings = Recordings(out)
    assert recordings.subjects == ("s2",)
    assert set(recordings.select(split="test").trials["stimulus"]) == {"p03", "p05"}
    first = 2 * np.load(toy / "s2" / "session-1.npy")[-1]
    np.testing.assert_allclose(recordings.take([0]).read()[0], first, rtol=1e-6)


def test_a_value_that_is_no_choice_is_refused(
    plugged_in: Path, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = neuroalign("prepare", "toy", toy, "--out", tmp_path / "out", "--order", "random")
    assert status == 2
    said = plain(capsys.readouterr().err)
    assert "--order" in said and "'backwards'" in said and "'random'" in said


def test_people_are_listed_with_spaces_or_commas(
    plugged_in: Path, toy: Path, tmp_path: Path
) -> None:
    command = ("prepare", "toy", toy, "--out", tmp_path / "out")
    assert neuroalign(*command, "--subjects", "s1", "s2") == 0
    assert Recordings(tmp_path / "out").subjects == ("s1", "s2")


@pytest.mark.parametrize(
    ("given", "joined"),
    [
        ("--subjects 1 2 5 --out x", "--subjects 1,2,5 --out x"),
        ("--subjects 1,2 5 --out x", "--subjects 1,2,5 --out x"),
        ("--subjects sub-01 sub-02", "--subjects sub-01,sub-02"),
        ("nsd --subjects 1 /data/nsd --out x", "nsd --subjects 1 /data/nsd --out x"),
        ("--out 1 2 --subjects P3", "--out 1 2 --subjects P3"),
    ],
)
def test_lists_of_people_are_joined(given: str, joined: str) -> None:
    assert join_listed(given.split()) == joined.split()


def test_a_folder_that_looks_like_a_person_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data2").mkdir()
    monkeypatch.chdir(tmp_path)
    assert join_listed(["--subjects", "1", "data2"]) == ["--subjects", "1", "data2"]


def test_doctor_recognises_the_folder(
    plugged_in: Path, toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert neuroalign("doctor", toy) == 0
    said = plain(capsys.readouterr().out)
    assert "is Toy set (`toy`)" in said and "Verdict: fine" in said


@pytest.mark.parametrize("first", [True, False])
def test_doctor_takes_the_options_of_prepare(
    first: bool, plugged_in: Path, toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def doctor(*options: object) -> int:
        return neuroalign("doctor", *((*options, toy) if first else (toy, *options)))

    assert doctor("--scale", "2", "--test", "p03,p05") == 0
    assert f"Next: neuroalign prepare toy '{toy}'" in plain(capsys.readouterr().out)
    assert doctor("--scale", "1e300") == 2
    assert "infinite" in plain(capsys.readouterr().out)
    assert doctor("--order", "random") == 2
    assert "--order" in (said := plain(capsys.readouterr().err)) and "'random'" in said
    assert doctor("--incomplete") == 2
    said = plain(capsys.readouterr().err)
    assert "(`toy`) has no option --incomplete; it has --scale, --order, --test" in said
    assert doctor("--jsn") == 2
    assert "--json" in plain(capsys.readouterr().err)


def test_doctor_lists_all_that_is_wrong(
    plugged_in: Path, toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (toy / "s1" / "session-1.npy").write_bytes(b"\x93NUMPY half a file")
    (toy / "s2" / "session-2.npy").unlink()
    assert neuroalign("doctor", toy, "--json") == 2
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "unusable" and found["dataset"] == "toy"
    assert found["people"] == {"s1": {"parts": 2, "trials": 24}, "s2": {"parts": 1, "trials": 12}}
    assert {f["where"] for f in found["findings"]} == {"s1_session-1", "s2"}
    assert neuroalign("doctor", toy, "--quick") == 2
    assert "session-1" not in capsys.readouterr().out


def test_single_repeated_trials_are_a_warning(
    plugged_in: Path, toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = toy / "s1" / "session-2.npy"
    signals = np.load(file)
    signals[4] = signals[3]
    np.save(file, signals)
    assert neuroalign("doctor", toy) == 1
    said = plain(capsys.readouterr().out)
    assert "1 trial(s), 8% of this part" in said and "usable, with warnings" in said


def test_a_folder_that_nobody_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "holiday.txt").write_text("sea")
    assert neuroalign("doctor", tmp_path) == 2
    assert "looks like none of the data sets" in plain(capsys.readouterr().err)
    assert neuroalign("doctor", tmp_path / "gone") == 2
    assert "There is no folder" in plain(capsys.readouterr().err)


def test_a_broken_package_is_named(plugged_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugged_in.write_text("[neuroalign.readers]\ntoy = no_such_module:Reader\n")
    assert neuroalign("datasets", "toy") == 2
    assert "no_such_module" in plain(capsys.readouterr().err)
    plugged_in.write_text("[neuroalign.readers]\ntoy = collections:OrderedDict\n")
    assert neuroalign("datasets", "toy") == 2
    assert "is a OrderedDict" in plain(capsys.readouterr().err)


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert neuroalign("fetch", "no-such-set", "--out", "x") == 2
    assert "There is no reader 'no-such-set'" in plain(capsys.readouterr().err)
