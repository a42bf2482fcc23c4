"""Scores under further protocols have their place in the report, the paper's beside its own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from neuroalign.evaluation.scores import read_scores, write_scores
from neuroalign.report.contents import read_contents
from neuroalign.report.further import further_section
from neuroalign.report.page import Section, page


def test_each_further_protocol_has_its_table(finished_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished_run, tmp_path / "run"))
    contents = read_contents(run)
    assert further_section(contents) == ""
    assert "Other protocols" not in page("", "", [Section("p", "Other protocols", "")])
    decoding = [s for s in contents.scores if s.task == "decoding" and s.source == "eeg"]
    label = "paper/decoding@1"
    mine = [replace(s, protocol=label, simulated=False) for s in decoding]
    write_scores(mine, run / "scores" / "paper--decoding.json")
    contents.record["datasets"] = {"eeg": "imagenet-eeg"}
    section = further_section(contents)
    assert f"<summary>{label}</summary>" in section
    assert "Ferrante et al. 2024 (their data)" in section and "0.794" in section
    for score in read_scores(run / "scores" / "paper--decoding.json"):
        if (score.subject, score.model) == ("all", contents.model) and score.metric == "top1":
            assert f"{score.value:.3f}" in section
    contents.record["datasets"] = {}
    section = further_section(contents)
    assert "0.794" not in section
    assert "EEG → pictures (EEG of own recordings, not imagenet-eeg)" in section
