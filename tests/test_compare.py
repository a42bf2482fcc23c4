"""Two runs are compared on the same items, or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from laboratory import Laboratory, neuroalign, plain
from neuroalign.compare import Comparison, Difference, compare_runs
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.protocols import load_protocol
from neuroalign.retrieval import Embeddings


def copy_of(lab: Laboratory, folder: Path) -> Path:
    """Copy what a comparison looks at, under another name."""
    out = folder / "other"
    out.mkdir()
    for name in ("recipe.yaml", "run.json"):
        shutil.copy(lab.run / name, out)
    shutil.copytree(lab.run / "evaluation", out / "evaluation")
    return out


def change(run: Path, name: str, how) -> None:
    path = run / "evaluation" / f"{name}.parquet"
    how(Embeddings.load(path)).save(path)


def noisy(items: Embeddings) -> Embeddings:
    noise = np.random.default_rng(0).normal(size=items.vectors.shape)
    return Embeddings(items.vectors + 0.2 * noise, items.items, items.space)


def find(found: Comparison, **wanted: str) -> Difference:
    chosen = [
        d for d in found.differences if all(getattr(d.score, k) == v for k, v in wanted.items())
    ]
    assert len(chosen) == 1
    return chosen[0]


DECODING = {"task": "decoding", "source": "eeg", "metric": "two_way_embedding"}


def test_a_run_does_not_differ_from_itself(lab: Laboratory, tmp_path: Path) -> None:
    found = compare_runs(lab.run, copy_of(lab, tmp_path))
    assert found.names == (lab.run.name, "other")
    for each in found.differences:
        assert each.ours == each.theirs
        assert each.score.value == 0
        assert each.score.low <= 0 <= each.score.high
        assert each.score.p == 1


def test_other_pictures_under_the_same_names_are_refused(lab: Laboratory, tmp_path: Path) -> None:
    other = copy_of(lab, tmp_path)

    def rotated(items: Embeddings) -> Embeddings:
        return Embeddings(np.roll(items.vectors, 1, axis=0), items.items, items.space)

    judge = next(p.stem for p in (other / "evaluation").glob("judge*.parquet"))
    change(other, judge, rotated)
    with pytest.raises(NeuroalignError, match=r"by the same name are different pictures"):
        compare_runs(lab.run, other)


def test_an_evaluation_that_was_passed_on_alone_is_compared(
    lab: Laboratory, tmp_path: Path
) -> None:
    other = copy_of(lab, tmp_path)
    for name in ("recipe.yaml", "run.json"):
        (other / name).unlink()
    found = compare_runs(lab.run, other)
    assert any("run.json is missing" in r for r in found.remarks)
    assert all(d.score.value == 0 for d in found.differences)


def test_a_difference_is_that_of_plain_computations(lab: Laboratory, tmp_path: Path) -> None:
    other = copy_of(lab, tmp_path)
    change(other, "eeg-repeats", noisy)
    found = find(
        compare_runs(lab.run, other), **DECODING, subject="all", items="averages of 2 repeats"
    )
    area = []
    for run in (lab.run, other):
        queries = Embeddings.load(run / "evaluation" / "eeg-repeats.parquet")
        pictures = Embeddings.load(run / "evaluation" / "pictures.parquet")
        cosines = queries.vectors @ pictures.vectors.T
        right = (
            queries.items["stimulus"].to_numpy()[:, None] == pictures.items["stimulus"].to_numpy()
        )
        area.append(np.mean([roc_auc_score(r, c) for r, c in zip(right, cosines, strict=True)]))
    assert (found.ours, found.theirs) == pytest.approx(area)
    assert found.score.value == pytest.approx(area[0] - area[1])
    assert found.score.low < found.score.value < found.score.high
    assert 0 < found.score.p <= found.score.p_corrected <= 1


def test_items_are_matched_by_what_they_are(lab: Laboratory, tmp_path: Path) -> None:
    other = copy_of(lab, tmp_path)
    change(other, "eeg-repeats", noisy)
    straight = compare_runs(lab.run, other)
    order = np.random.default_rng(1).permutation(24)
    for folder in (".", "ridge-per-person", "untrained-network", "signal-blind"):
        change(other, f"{folder}/eeg-repeats", lambda items: items.take(order))
    assert compare_runs(lab.run, other) == straight


def test_other_items_are_refused_and_named(lab: Laboratory, tmp_path: Path) -> None:
    other = copy_of(lab, tmp_path)
    change(other, "meg-repeats", lambda items: items.take(np.arange(len(items) - 1)))
    with pytest.raises(NeuroalignError, match=r"run has 24, other has 23, and 23 are the same"):
        compare_runs(lab.run, other)


def test_other_signals_of_the_same_trials_are_stated(lab: Laboratory, tmp_path: Path) -> None:
    other = copy_of(lab, tmp_path)
    record = json.loads((other / "run.json").read_text())
    record["checksums"]["eeg"] = dict.fromkeys(record["checksums"]["eeg"], "0" * 64)
    (other / "run.json").write_text(json.dumps(record))
    remarks = compare_runs(lab.run, other).remarks
    assert [r for r in remarks if r.startswith("eeg: the same trials, but other signals")]
    assert not [r for r in remarks if r.startswith("meg")]


def test_a_run_that_was_not_evaluated_is_named(lab: Laboratory, tmp_path: Path) -> None:
    other = copy_of(lab, tmp_path)
    shutil.rmtree(other / "evaluation")
    with pytest.raises(NeuroalignError, match="no complete set of embeddings"):
        compare_runs(lab.run, other)


def test_data_that_are_not_a_protocols_are_no_ground_for_comparison_either(
    lab: Laboratory, tmp_path: Path
) -> None:
    other = copy_of(lab, tmp_path)
    with pytest.raises(NeuroalignError, match="12 candidate pictures of fmri instead of 982"):
        compare_runs(lab.run, other, protocol=load_protocol("nsd/shared-982"))
    found = compare_runs(lab.run, other, protocol=load_protocol("paper/conversion"))
    doubts = [d for d in found.doubts if "not as paper/conversion@1 expects" in d]
    assert len(doubts) == 2 and all("instead of" in d for d in doubts)


def test_the_command_prints_a_table_or_json(
    lab: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = copy_of(lab, tmp_path)
    assert neuroalign("compare", lab.run, other) == 0
    printed = plain(capsys.readouterr().out)
    assert "difference" in printed and "+0.000" in printed
    assert neuroalign("compare", lab.run, other, "--json") == 0
    rows = json.loads(capsys.readouterr().out)["differences"]
    assert {r["subject"] for r in rows} > {"all"}


def test_a_run_is_not_compared_with_itself(lab: Laboratory) -> None:
    again = lab.run.parent / "." / lab.run.name
    with pytest.raises(NeuroalignError, match="compared with itself"):
        compare_runs(lab.run, again)
