"""Scores of stored embeddings stay tied to an audit, whether or not the recordings are there."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from laboratory import Laboratory, neuroalign, plain
from neuroalign.assess.audited import known_audit
from neuroalign.assess.stored import load_stored
from neuroalign.audit import RULES, Finding, audit_file, read_audit, write_audit
from neuroalign.compare import compare_runs
from neuroalign.evaluation.protocols import Protocol, load_protocol
from neuroalign.evaluation.scores import read_scores
from neuroalign.report.audited import accepted_banner, audit_section
from neuroalign.report.contents import read_contents
from neuroalign.run_folder import scores_file

CLASS_FROM_TIME = Finding(
    "class-from-time", "refusal", "eeg", "the class is told", 1, 1, "why", "remedy", accepted=True
)


@pytest.fixture
def run(lab: Laboratory, tmp_path: Path) -> Path:
    return Path(shutil.copytree(lab.run, tmp_path / "run"))


@pytest.fixture
def gone(run: Path) -> Path:
    """A run whose recordings are no longer there."""
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    for part in recipe["modalities"].values():
        part["recordings"] += "-moved"
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return run


def quick(folder: Path, **more: object) -> Protocol:
    """A protocol that takes no time, as a file."""
    content = {
        "name": "quick",
        "version": 1,
        "title": "Quick",
        "source": "a test",
        "modalities": ["eeg"],
        "retrievals": ["encoding"],
        "people": "pooled",
        "metrics": ["top1"],
        "intervals": {"draws": 100},
    }
    (folder / "quick.yaml").write_text(yaml.safe_dump(content | more))
    return load_protocol(folder / "quick.yaml")


def stored(run: Path, *more: object) -> int:
    return neuroalign("evaluate", run, "--stored", *more)


def refused(run: Path, *, accepted: bool) -> None:
    """Let the kept audit of the default protocol refuse the split."""
    audit = read_audit(run / "audit.json")
    finding = replace(CLASS_FROM_TIME, accepted=accepted)
    write_audit(replace(audit, findings=(finding,)), run / "audit.json")


def test_the_kept_audit_is_shown_and_what_it_refuses_is_not_scored(
    gone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(gone, accepted=False)
    before = (gone / "scores.json").stat().st_mtime_ns
    assert stored(gone) == 2
    said = plain(capsys.readouterr().err)
    assert "refuses an evaluation; nothing was scored" in said
    assert "--accept class-from-time" in said
    assert (gone / "scores.json").stat().st_mtime_ns == before
    assert stored(gone, "--accept", "no-such-rule") == 2
    assert "There is no audit rule no-such-rule" in plain(capsys.readouterr().err)


def test_what_was_accepted_stays_accepted_and_is_said_again(
    gone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol = quick(tmp_path)
    file = audit_file(gone, protocol)
    audit = replace(read_audit(gone / "audit.json"), protocol=protocol.label)
    write_audit(replace(audit, findings=(CLASS_FROM_TIME,)), file)
    assert stored(gone, "--protocol", tmp_path / "quick.yaml") == 0
    assert "accepted: class-from-time: eeg: the class is told" in plain(capsys.readouterr().out)
    assert not any("audited" in s.note for s in read_scores(scores_file(gone, protocol)))
    assert [f.rule for f in read_audit(file).accepted] == ["class-from-time"]


def test_another_protocol_is_audited_anew_while_the_recordings_are_there(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol = quick(tmp_path)
    assert known_audit(run, protocol).not_audited
    assert stored(run, "--protocol", tmp_path / "quick.yaml") == 0
    assert "Audit of the split: passed" in plain(capsys.readouterr().out)
    audit = read_audit(audit_file(run, protocol))
    assert (audit.protocol, audit.verdict, audit.not_audited) == ("quick@1", "passed", "")
    assert not known_audit(run, protocol).not_audited
    other = protocol.model_copy(update={"ties": "last"})  # of the same name and version
    assert "found under" in known_audit(run, other).not_audited
    assert not any("audited" in s.note for s in read_scores(scores_file(run, protocol)))


def test_without_recordings_every_score_and_the_output_say_that_it_was_not(
    gone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol = quick(tmp_path)
    assert stored(gone, "--protocol", tmp_path / "quick.yaml") == 0
    said = plain(capsys.readouterr().out)
    assert "The split was not audited for quick@1: what was found under default@1" in said
    assert "eeg-moved" in said  # where the recordings were looked for
    scores = read_scores(scores_file(gone, protocol))
    assert all("the split was not audited for quick@1" in s.note for s in scores)
    audit = read_audit(audit_file(gone, protocol))
    assert (audit.verdict, audit.exit_status) == ("not audited", 1)
    contents = read_contents(gone)
    assert "NOT AUDITED for quick@1" in accepted_banner(contents)
    assert "Scored by quick@1 without an audit" in audit_section(contents)


def test_what_another_protocol_was_refused_for_holds_and_is_accepted_anew(
    gone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(gone, accepted=True)  # under the default protocol
    protocol = quick(tmp_path)
    option = ("--protocol", tmp_path / "quick.yaml")
    assert stored(gone, *option) == 2
    assert "class-from-time: eeg: the class is told" in plain(capsys.readouterr().err)
    assert stored(gone, *option, "--accept", "class-from-time") == 0
    assert "accepted: class-from-time" in plain(capsys.readouterr().out)
    assert [f.rule for f in read_audit(audit_file(gone, protocol)).accepted] == ["class-from-time"]


def test_shared_concepts_that_were_accepted_can_be_scored_again(
    lab: Laboratory, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol = quick(tmp_path, concepts={"zero_shot": True})
    option = ("--protocol", tmp_path / "quick.yaml")
    described = run / "evaluation" / "training.parquet"
    test = load_stored(run / "evaluation").judge.items["label"].iloc[0]
    training = load_stored(run / "evaluation").training
    training.assign(label=test).to_parquet(described)
    assert stored(run, *option) == 2
    assert "--accept shared-concepts" in plain(capsys.readouterr().err)
    assert stored(run, *option, "--accept", "shared-concepts") == 0
    capsys.readouterr()
    scores = read_scores(scores_file(run, protocol))
    assert all("not zero-shot" in s.note for s in scores)
    assert stored(run, *option, "--json") == 0
    assert "accepted: shared-concepts" in plain(capsys.readouterr().err)
    assert read_scores(scores_file(run, protocol)) == scores
    assert neuroalign("tables", run, *option, "--format", "csv") == 0
    assert "accepted: shared-concepts" in plain(capsys.readouterr().err)
    doubts = compare_runs(run, lab.run, protocol=protocol).doubts
    assert any("run: scored in spite of its audit: shared-concepts" in d for d in doubts)


def test_without_any_audit_all_rules_count_as_not_looked_at(gone: Path) -> None:
    (gone / "audit.json").unlink()
    audit = known_audit(gone, load_protocol())
    assert audit.verdict == "not audited"
    assert {s.rule for s in audit.skipped} == set(RULES)
    assert "there is no audit.json" in audit.not_audited
