"""Audits of runs: before training and after, by the commands that users give, and in the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from poison import RUNS

from laboratory import Laboratory, listing, neuroalign, plain
from neuroalign.assess.stored import load_stored
from neuroalign.audit import (
    RULES,
    Finding,
    admit_run,
    audit_file,
    audit_files,
    audit_run,
    read_audit,
    write_audit,
)
from neuroalign.audit.findings import make_audit
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.protocols import ConceptRule, load_protocol
from neuroalign.recordings import Recordings
from neuroalign.report.audited import accepted_banner, audit_section
from neuroalign.report.contents import read_contents


@pytest.fixture
def run(lab: Laboratory, tmp_path: Path) -> Path:
    """A copy of the laboratory's run, to be spoiled."""
    return Path(shutil.copytree(lab.run, tmp_path / "run"))


def refused(path: Path) -> set[str]:
    return {f.rule for f in audit_run(path).refusals}


def test_the_laboratory_passes_before_and_after_training(
    lab: Laboratory, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (lab.run, lab.recipe):
        assert neuroalign("audit", path, "--json") == 0
        content = json.loads(capsys.readouterr().out)
        assert content["verdict"] == "passed"
        assert set(content["rules"]) == set(RULES)
        skipped = {s["rule"] for s in content["skipped"]}
        assert ("chosen-on-test" in skipped) == (path == lab.recipe)
    stored = read_audit(lab.run / "audit.json")
    assert stored.verdict == "passed"
    assert not stored.accepted


def test_validation_items_are_the_same_before_and_after_training(lab: Laboratory) -> None:
    from neuroalign.audit.material import open_material

    before, after = open_material(lab.recipe).trials, open_material(lab.run).trials
    for modality, trials in after.items():
        assert set(trials["part"]) == {"train", "validation", "test"}
        pd.testing.assert_frame_equal(before[modality], trials, check_dtype=False)


@pytest.mark.parametrize("name", RUNS)
def test_a_spoiled_run_is_caught_by_its_rule_and_its_clean_twin_passes(
    name: str, run: Path
) -> None:
    RUNS[name].twin(run)
    assert audit_run(run).verdict == "passed"
    RUNS[name].poison(run)
    assert refused(run) == {RUNS[name].rule}


def test_scores_refuse_what_is_not_of_the_encoder_that_was_stored(run: Path) -> None:
    RUNS["another encoder: judge"].poison(run)
    with pytest.raises(NeuroalignError, match="judge in hf:another/encoder@abc, not"):
        load_stored(run / "evaluation")


def test_a_refused_run_is_not_scored_unless_told(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = pd.read_parquet(run / "split.parquet")
    again = split[split["part"] == "test"].head(3).assign(part="validation")
    pd.concat([split, again]).to_parquet(run / "split.parquet")
    before = listing(run)
    assert neuroalign("evaluate", run) == 2
    said = plain(capsys.readouterr().err)
    assert "eeg, split.parquet: 3 of 48 test trials are recorded as training or validation" in said
    assert "nothing was scored" in said
    assert "--accept chosen-on-test" in said
    assert listing(run) == before
    assert neuroalign("audit", run) == 2
    assert "refusal: chosen-on-test" in plain(capsys.readouterr().out)

    with pytest.raises(NeuroalignError, match="refuses"):
        admit_run(run, ["recording-twice"])
    with pytest.raises(NeuroalignError, match="no audit rule everything"):
        admit_run(run, ["everything"])
    audit = admit_run(run, ["chosen-on-test"])
    write_audit(audit, run / "audit.json")
    assert read_audit(run / "audit.json") == audit
    assert audit.verdict == "passed with warnings"
    assert "chosen-on-test" in accepted_banner(read_contents(run))


def test_each_protocol_has_an_audit_of_its_own(run: Path) -> None:
    protocol = load_protocol().model_copy(
        update={"name": "mine/zero-shot", "concepts": ConceptRule(zero_shot=True)}
    )
    audit = audit_run(run, protocol)
    assert audit.protocol == "mine/zero-shot@1"
    doubt = Finding("shared-concepts", "refusal", "eeg", "x", 1, 1, "y", "z")
    refused_audit = make_audit("run", [doubt], RULES, audit.protocol)
    write_audit(refused_audit.accept(["shared-concepts"]), audit_file(run, protocol))
    assert audit_files(run) == [run / "audit.json", run / "audits" / "mine--zero-shot.json"]
    contents = read_contents(run)
    assert "scored by mine/zero-shot@1" in accepted_banner(contents)
    assert audit_section(contents).count("searched for leaks") == 2


def test_a_protocol_of_other_modalities_is_not_audited_for(lab: Laboratory) -> None:
    with pytest.raises(NeuroalignError, match=r"nsd/300-way@1 is for fmri recordings; .* has eeg"):
        audit_run(lab.root / "data" / "eeg", load_protocol("nsd/300-way"))


def test_a_report_says_that_the_split_passed(lab: Laboratory) -> None:
    contents = read_contents(lab.run)
    assert "<b>passed</b>" in audit_section(contents)
    assert accepted_banner(contents) == ""


def test_split_and_audit_by_command(
    lab: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = lab.data / "eeg", tmp_path / "new"
    assert neuroalign("split", data, "--by", "picture", "--out", out, "--test-share", 0.5) == 0
    assert f"Audit of {out}: passed" in plain(capsys.readouterr().out)
    new = Recordings(out)
    assert new.select(split="test").trials["stimulus"].nunique() == 20
    np.testing.assert_array_equal(new.read([0, 5]), Recordings(data).read([0, 5]))
    assert neuroalign("split", data, "--by", "run", "--out", tmp_path / "r", "--test", "9") == 2
    assert "'9' is no run" in plain(capsys.readouterr().err)
    assert not (tmp_path / "r").exists()
    assert neuroalign("audit", tmp_path / "nowhere") == 2


def test_the_worst_finding_decides() -> None:
    def finding(severity: str) -> Finding:
        return Finding("recording-twice", severity, "eeg", "x", 1, 1, "y", "z")  # type: ignore[arg-type]

    def status(*severities: str) -> int:
        return make_audit("run", [finding(s) for s in severities], RULES).exit_status

    assert (status(), status("note"), status("note", "warning")) == (0, 0, 1)
    assert status("note", "refusal", "warning") == 2
    audit = make_audit("run", [finding(s) for s in ("note", "warning", "refusal")], RULES)
    assert [f.severity for f in audit.findings] == ["refusal", "warning", "note"]
    accepted = audit.accept(["recording-twice"])
    assert accepted.exit_status == 1
    assert [f.accepted for f in accepted.findings] == [True, False, False]
