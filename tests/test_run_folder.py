"""A wrong name is refused at once, in words that help, before anything slow is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from laboratory import Laboratory, neuroalign, plain
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.protocols import Protocol, load_protocol
from neuroalign.run_folder import (
    changed_rules,
    kind_of,
    require_evaluated,
    require_run,
    require_scores,
    require_trained,
)

SLOW = ("torch", "mne", "sklearn", "scipy", "transformers", "matplotlib", "lightning_fabric")
PROGRAM = f"""
import json, sys
from neuroalign.cli.program import run_command
found = []
for arguments in json.loads(sys.argv[1]):
    status = run_command(arguments)
    found.append([status, [name for name in {SLOW!r} if name in sys.modules]])
print(json.dumps(found))
"""


def test_nothing_slow_is_imported_for_a_refusal(lab: Laboratory) -> None:
    run = str(lab.run)
    commands = [
        *([name, "nowhere"] for name in ("audit", "evaluate", "matrix", "report", "tables")),
        *([name, run, "--protocol", "none"] for name in ("audit", "evaluate", "matrix", "tables")),
        ["decode", "nowhere", "eeg"],
        ["encode", "nowhere", "meg"],
        ["convert", "nowhere", "meg", "eeg"],
        ["evaluate", "nowhere", "--stored"],
        ["evaluate", str(lab.data), "--stored"],
        ["compare", run, "nowhere"],
        ["compare", run, run, "--protocol", "none"],
        ["report", run, "--beside", "nowhere"],
        ["split", "nowhere", "--by", "run", "--out", "new"],
        ["tables", run, "--protocol", "nsd/300-way"],
        ["tables", run, "--format", "xml"],
        ["protocols", "none"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=True,
    )
    for command, outcome in zip(commands, json.loads(done.stdout), strict=True):
        assert outcome == [2, []], command


def test_what_is_missing_is_said_from_the_folder_to_the_scores(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(NeuroalignError, match="run is not a run folder: there is no such folder"):
        require_scores(run, load_protocol())
    run.mkdir()
    with pytest.raises(NeuroalignError, match=r"it has no recipe\.yaml"):
        require_evaluated(run)
    (run / "recordings.json").touch()
    with pytest.raises(NeuroalignError, match="it holds recordings"):
        require_run(run)
    (run / "recordings.json").unlink()
    (run / "recipe.yaml").touch()
    require_run(run)
    with pytest.raises(NeuroalignError, match=r"recipe\.yaml is not a run folder: it is a file"):
        require_run(run / "recipe.yaml")
    with pytest.raises(NeuroalignError, match=r"run has not finished: .*before its first epoch"):
        require_trained(run)
    (run / "checkpoints").mkdir()
    with pytest.raises(NeuroalignError, match=r"run has not finished\. .*where it stopped"):
        require_trained(run)
    (run / "run.json").touch()
    require_trained(run)
    with pytest.raises(NeuroalignError, match=r"Run `neuroalign evaluate .*run` first"):
        require_scores(run, load_protocol())
    (run / "evaluation").mkdir()
    (run / "evaluation" / "evaluation.json").touch()
    require_evaluated(run)
    (run / "scores.json").touch()
    require_scores(run, load_protocol())
    with pytest.raises(NeuroalignError) as refused:
        require_scores(run, load_protocol("paper/encoding"))
    assert "no scores of paper/encoding@1" in str(refused.value)
    assert "(there are scores.json)" in str(refused.value)
    assert "--protocol paper/encoding` first" in str(refused.value)


def pilot(**changes: object) -> Protocol:
    fields: dict[str, object] = {"name": "pilot", "version": 1, "title": "t", "source": "s"}
    return Protocol.model_validate(fields | {"metrics": ["top1"]} | changes)


def test_scores_of_other_rules_are_refused_field_by_field(tmp_path: Path) -> None:
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "pilot.json").touch()
    with pytest.raises(NeuroalignError, match=r"there is no pilot\.yaml, so nothing says"):
        require_scores(tmp_path, pilot())
    rules = tmp_path / "scores" / "pilot.yaml"
    rules.write_text(pilot().as_yaml())
    require_scores(tmp_path, pilot())
    require_scores(tmp_path, pilot(title="other", source="words", data="mine"))
    other = pilot(version=2, ties="last", gallery={"pictures": {"each": "all tests"}})
    assert changed_rules(tmp_path, other) == [
        "`version` is 2, was 1",
        "`gallery.pictures.each` is 'all tests', was 'test'",
        "`ties` is 'last', was 'shared'",
    ]
    with pytest.raises(NeuroalignError, match=r"was scored by other rules than those of pilot@2"):
        require_scores(tmp_path, other)
    eeg = pilot(gallery={"pictures": {"eeg": "test"}})
    assert "`gallery.pictures.each` is not stated, was 'test'" in changed_rules(tmp_path, eeg)
    rules.write_text("name: pilot\n")
    with pytest.raises(NeuroalignError, match=r"pilot\.yaml is not a valid protocol"):
        require_scores(tmp_path, pilot())


def test_a_folder_one_level_too_high_is_told_what_lies_in_it(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "recipe.yaml").touch()
    with pytest.raises(NeuroalignError, match=r"there are \S+runs/a, \S+runs/b"):
        require_run(tmp_path / "runs")
    (tmp_path / "data" / "eeg").mkdir(parents=True)
    (tmp_path / "data" / "eeg" / "recordings.json").touch()
    with pytest.raises(NeuroalignError, match=r"there are \S+data/eeg"):
        kind_of(tmp_path / "data")
    assert kind_of(tmp_path / "data" / "eeg") == "recordings"
    assert kind_of(tmp_path / "runs" / "a") == "run"
    assert kind_of(tmp_path / "runs" / "a" / "recipe.yaml") == "recipe"


def test_a_protocol_that_was_nearly_named_is_offered(capsys: pytest.CaptureFixture[str]) -> None:
    assert neuroalign("protocols", "zero-shot-200") == 2
    said = plain(capsys.readouterr().err)
    assert "Did you mean things-eeg2/zero-shot-200 or things-meg/zero-shot-200?" in said
    assert neuroalign("protocols", "xyz") == 2
    assert "Did you mean" not in plain(capsys.readouterr().err)
