from __future__ import annotations

import base64
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from PIL import Image

from neuroalign.audit import RULES, Finding, write_audit
from neuroalign.audit.findings import make_audit
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.scores import read_scores, write_scores
from neuroalign.report import write_report

VOID = {"meta", "img", "line", "circle", "br"}


class Page(HTMLParser):
    """What a browser would find: captions, links, pictures, cells; and tags left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.images: list[str] = []
        self.ids: list[str] = []
        self.text: dict[str, list[str]] = {"caption": [], "h2": [], "td": [], "li": [], "pre": []}
        self.theirs: list[str] = []
        self.classes: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        self.classes.append(given.get("class", ""))
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given[a] for a in ("href", "src", "srcset", "data") if a in given]
        if tag == "img":
            self.images.append(given["src"])
        if tag not in VOID:
            self.open.append(tag)
        if tag in self.text:
            self.text[tag].append("")
        if "theirs" in given.get("class", ""):
            self.theirs.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            if tag in self.text:
                self.text[tag][-1] += data
        if self.open and self.open[-1] == "td" and "theirs" in self.classes[-1]:
            self.theirs[-1] += data


@pytest.fixture(scope="module")
def report(finished_run: Path) -> str:
    before = dict(mpl.rcParams)
    path = write_report(finished_run)
    assert path == finished_run / "report.html"
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before
    return path.read_text("utf-8")


def test_the_report_is_one_well_formed_file_that_loads_nothing(report: str) -> None:
    page = Page(report)
    assert page.open == []
    assert page.links
    assert all(link.startswith(("data:image/", "#")) for link in page.links)
    assert {link[1:] for link in page.links if link[0] == "#"} <= set(page.ids)
    assert "url(" not in report
    assert "@import" not in report
    assert "<script" not in report
    assert len(report) < 6e6


def test_every_figure_can_be_decoded_and_lies_beside_the_report(
    report: str, finished_run: Path
) -> None:
    images = Page(report).images
    for image in images:
        kind, _, content = image.partition(";base64,")
        raw = base64.b64decode(content, validate=True)
        if kind == "data:image/svg+xml":
            assert ElementTree.fromstring(raw).tag.endswith("svg")
        else:
            assert Image.open(BytesIO(raw)).convert("L").getextrema() != (255, 255)
    files = sorted(p.name for p in (finished_run / "figures").iterdir())
    stems = {f.split(".")[0] for f in files}
    assert len(images) == len(stems)
    wanted = {
        "decoding-eeg-pictures", "encoding-pictures-fmri", "conversion-eeg-fmri",
        "conversion-fmri-eeg", "conversion-matrix", "training-curves", "embedding-map",
        "scores-decoding",
    }  # fmt: skip
    assert wanted <= stems
    assert all({f"{s}.png", f"{s}.pdf"} <= set(files) for s in stems)


def test_simulated_recordings_are_called_so_everywhere(report: str, finished_run: Path) -> None:
    page = Page(report)
    assert "banner" in page.classes
    assert "SIMULATED recordings" in report
    about_data = [c for c in page.text["caption"] if "How this run" not in c and "Dropped" not in c]
    assert len(about_data) >= 5
    assert all("simulated" in c for c in about_data)


def test_recorded_data_carry_no_such_banner(finished_run: Path, tmp_path: Path) -> None:
    run = _without_recordings(finished_run, tmp_path / "recorded", simulated=False)
    text = write_report(run).read_text("utf-8")
    assert "banner" not in Page(text).classes
    assert "SIMULATED" not in text
    assert "without an audit of the split" in text


def test_what_the_audit_accepted_stands_in_red_at_the_top(
    finished_run: Path, tmp_path: Path
) -> None:
    run = _without_recordings(finished_run, tmp_path / "accepted", simulated=False)
    doubt = ("eeg", "said <twice>", 3, 24, "Why.", "split again.")
    found = [
        Finding("recording-twice", "refusal", *doubt, accepted=True),
        Finding("unequal-classes", "note", *doubt),
    ]
    write_audit(make_audit("run", found, RULES), run / "audit.json")
    text = write_report(run).read_text("utf-8")
    opening, audit = text[: text.index("<nav>")], text[text.index('id="audit"') :]
    banner = opening[opening.index('<div class="banner" role="alert">') :]
    assert "ACCEPTED in spite of the audit" in banner
    assert "recording-twice" in banner
    assert "unequal-classes" not in banner
    assert "said &lt;twice&gt;" in banner
    assert '<li class="refused"><b>accepted: <code>recording-twice</code>' in audit
    assert '<li class="note"><b>note: <code>unequal-classes</code>' in audit
    assert "passed with warnings, after what stands in red was accepted" in audit


def test_sections_stand_in_order_and_say_what_must_be_said(report: str) -> None:
    assert Page(report).text["h2"] == [
        "What was trained on what", "The audit of the split", "Decoding", "Encoding", "Conversion",
        "Models side by side", "Training curves", "The common space", "Each person", "Provenance",
    ]  # fmt: skip
    assert "Decoded content is personal" in report
    assert "what the person saw" in report
    assert "<flat>" not in report  # names and reasons from files are escaped
    assert "&lt;flat&gt; channel" in report
    recipe = next(p for p in Page(report).text["pre"] if "preset: default" in p)
    assert "seed: 0" in recipe


def test_the_tables_hold_the_scores_and_say_why_the_papers_numbers_are_not_there(
    report: str, finished_run: Path
) -> None:
    page = Page(report)
    for score in read_scores(finished_run / "scores.json"):
        if score.subject == "all" and score.metric in ("top1", "two_way_retrieved"):
            assert f"{score.value:.3f}" in page.text["td"]
            assert f"{score.low:.3f} to {score.high:.3f}" in page.text["td"]
    assert set(page.theirs) == set()
    assert "Ferrante et al. 2024 (their data)" not in report
    assert "EEG → pictures" in report and "(simulated recordings; protocol" in report


def test_dropped_trials_are_listed_with_their_reason(report: str) -> None:
    cells = Page(report).text["td"]
    at = cells.index("<flat> channel")
    assert cells[at - 3 : at] == ["eeg", "run 3", "7"]


def test_scores_of_a_run_beside_stand_in_the_table_of_models(
    finished_run: Path, tmp_path: Path
) -> None:
    run = _without_recordings(finished_run, tmp_path / "mine")
    other = _without_recordings(finished_run, tmp_path / "other")
    scores = [s for s in read_scores(other / "scores.json") if s.task == "decoding"]
    write_scores(
        [type(s)(**{**s.__dict__, "value": 0.12345}) for s in scores], other / "scores.json"
    )
    text = write_report(run, [other]).read_text("utf-8")
    assert "default (other)" in text
    assert "<b>0.123</b>" in text
    assert "Recipe of other" in text


def test_recordings_that_moved_are_missed_aloud(
    report: str, finished_run: Path, tmp_path: Path
) -> None:
    run = _without_recordings(finished_run, tmp_path / "moved", embedded=True)
    (run / "evaluation" / "fmri-repeats.parquet").unlink()  # half the grids tell as much
    page = Page(write_report(run).read_text("utf-8"))
    notes = [n for n in page.text["li"] if "no longer at" in n]
    assert len(notes) == 2
    assert all("without scalp maps" in n for n in notes)
    grid = Path("figures", "encoding-pictures-eeg.png")
    with Image.open(run / grid) as kept, Image.open(finished_run / grid) as whole:
        assert kept.height < whole.height  # rows without maps are lower


def test_one_modality_gives_no_conversion(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(tmp_path / "single", ("fmri",))
    (run / "evaluation" / "judge.parquet").unlink()
    page = Page(write_report(run).read_text("utf-8"))
    assert "Conversion" not in page.text["h2"]
    assert "Decoding" in page.text["h2"]


def test_a_run_without_scores_says_what_to_do(finished_run: Path, tmp_path: Path) -> None:
    run = _without_recordings(finished_run, tmp_path / "unscored")
    (run / "scores.json").unlink()
    shutil.rmtree(run / "logs")
    text = write_report(run).read_text("utf-8")
    assert "neuroalign evaluate" in text
    assert "not been scored" in text


@pytest.mark.parametrize("file", ["evaluation/judge.parquet", "split.parquet"])
def test_a_damaged_run_leaves_the_old_report_in_place(
    finished_run: Path, tmp_path: Path, file: str
) -> None:
    run = _without_recordings(finished_run, tmp_path / "damaged")
    (run / "report.html").write_text("the old one")
    (run / "figures").mkdir()
    (run / "figures" / "old.png").write_text("old")
    (run / "evaluation").mkdir(exist_ok=True)
    (run / file).write_text("no table")
    with pytest.raises(NeuroalignError, match=re.escape(file)):
        write_report(run)
    assert (run / "report.html").read_text() == "the old one"
    assert [p.name for p in (run / "figures").iterdir()] == ["old.png"]
    with pytest.raises(NeuroalignError, match="not a run folder"):
        write_report(tmp_path)


def _without_recordings(
    run: Path, out: Path, *, simulated: bool = True, embedded: bool = False
) -> Path:
    """Copy a run, without what takes time to draw; its recipe names recordings that are gone."""
    left_out = ["figures", "report.html", *([] if embedded else ["*.parquet"])]
    shutil.copytree(run, out, ignore=shutil.ignore_patterns(*left_out))
    recipe = (out / "recipe.yaml").read_text()
    lines = [
        f"    recordings: {out / 'gone'}" if line.strip().startswith("recordings:") else line
        for line in recipe.splitlines()
    ]
    (out / "recipe.yaml").write_text("\n".join(lines))
    record = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**record, "simulated": simulated}))
    scores = [
        type(s)(**{**s.__dict__, "simulated": simulated}) for s in read_scores(out / "scores.json")
    ]
    write_scores(scores, out / "scores.json")
    return out
