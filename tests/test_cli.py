"""The command line: answers on stdout, explanations on stderr, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from laboratory import Laboratory, listing, neuroalign, plain
from neuroalign import __version__
from neuroalign.cli import app

ANSWERS = {
    "decode": ["decode", "RUN", "eeg"],
    "encode": ["encode", "RUN", "meg"],
    "convert": ["convert", "RUN", "fmri", "eeg"],
}


def command(lab: Laboratory, task: str, *further: str) -> list[str]:
    return [str(lab.run) if word == "RUN" else word for word in ANSWERS[task]] + list(further)


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert neuroalign("--version") == 0
    assert capsys.readouterr().out == f"neuroalign {__version__}\n"
    assert neuroalign("--help") == 0
    shown = capsys.readouterr().out
    for registered in app.registered_commands:
        assert registered.name is not None
        assert registered.name in shown
        assert neuroalign(registered.name, "--help") == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], ""),
        (["repair"], "No such command"),
        (["train"], "Missing argument"),
        (["train", "a.yaml", "--fast"], "No such option"),
        (["simulate", "eeg"], "Missing option"),
        (["decode", "run", "smell"], "'smell' is not one of"),
        (["decode", "run", "eeg", "--top", "0"], "--top"),
        (["simulate", "eeg", "--out", "x", "--set", "snr"], "Expected --set FIELD=VALUE"),
        (["simulate", "eeg", "--out", "x", "--set", "charm=3"], "charm"),
        (["prepare", "epochs", "a-epo.fif", "--out", "x"], "Expected SUBJECT=FILE"),
        (
            ["prepare", "arrays", "a.npy", "--trials=t.tsv", "--out=x", "--volume-shape=4,4"],
            "three numbers such as 40,64,64",
        ),
        (["train", "missing.yaml"], "There is no recipe at missing.yaml"),
        (["evaluate", "missing"], "missing is not a run folder"),
        (["report", "missing"], "missing"),
    ],
)
def test_wrong_usage_ends_with_status_2(
    arguments: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert neuroalign(*arguments) == 2
    shown = capsys.readouterr()
    assert complaint in plain(shown.err)
    assert "Traceback" not in shown.err
    assert not list(tmp_path.iterdir())


def test_evaluate_prints_json(lab: Laboratory, capsys: pytest.CaptureFixture[str]) -> None:
    before = listing(lab.run / "bundle")
    assert neuroalign("evaluate", lab.run, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows == json.loads((lab.run / "scores.json").read_text())
    assert listing(lab.run / "bundle") == before


@pytest.mark.parametrize("task", ANSWERS)
def test_answers_as_a_table_and_as_json(
    lab: Laboratory, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert neuroalign(*command(lab, task, "--top", "2")) == 0
    assert capsys.readouterr().out.startswith("Simulated recordings.")
    assert neuroalign(*command(lab, task, "--top", "2", "--json")) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 2 * {"decode": 24, "encode": 12, "convert": 24}[task]
    assert [r["rank"] for r in rows[:4]] == [1, 2, 1, 2]
    for row in rows:
        assert {"query", "rank", "score", "query_stimulus", "found_stimulus"} <= set(row)
        assert ("query_subject" in row) == (task != "encode")
        assert ("found_subject" in row) == (task != "decode")


@pytest.mark.parametrize("task", ANSWERS)
def test_answers_as_a_grid_of_pictures(
    lab: Laboratory, task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ("--picture", _a_test_picture(lab)) if task == "encode" else ("--query", "3")
    assert (
        neuroalign(*command(lab, task, *one, "--top", "2", "--grid", str(tmp_path / "g.png"))) == 0
    )
    assert f"Drawn into {tmp_path / 'g.png'}" in capsys.readouterr().err
    with Image.open(tmp_path / "g.png") as grid:
        assert min(grid.size) > 100
        assert len(set(grid.convert("L").getdata())) > 20  # pictures, not an empty page
    assert list(tmp_path.iterdir()) == [tmp_path / "g.png"]


def test_one_item_is_asked_by_its_number(
    lab: Laboratory, capsys: pytest.CaptureFixture[str]
) -> None:
    one = command(lab, "decode", "--items", "trials", "--query", "5", "--json")
    assert neuroalign(*one) == 0
    assert {r["query"] for r in json.loads(capsys.readouterr().out)} == {0}
    assert neuroalign(*command(lab, "decode", "--query", "24")) == 2
    assert "no item 24 among the 24 eeg test items" in plain(capsys.readouterr().err)


def test_power_prints_a_score_for_each_value(
    lab: Laboratory, capsys: pytest.CaptureFixture[str]
) -> None:
    _, modality, _, _, *options = lab.simulation("fmri", Path("unused"))
    vary = ("--vary", "snr", "--values", "0.0,1.0", "--seeds", "2")
    assert neuroalign("power", modality, *options, *vary) == 0
    shown = capsys.readouterr().out
    assert "Simulated fmri: 2-way score against snr" in shown
    assert neuroalign("power", modality, *options, "--vary", "luck", "--values", "1,2") == 2
    assert "luck" in capsys.readouterr().err


def test_names_with_brackets_are_printed_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / ("a very long folder name " * 4) / "[red]run[/red]"
    assert neuroalign("evaluate", folder) == 2
    assert f"{folder} is not a run folder" in capsys.readouterr().err


def _a_test_picture(lab: Laboratory) -> str:
    rows = json.loads((lab.run / "scores.json").read_text())
    assert rows
    import pandas as pd

    table = pd.read_parquet(lab.run / "evaluation" / "pictures.parquet")
    return str(table["stimulus"][0])
