"""The matrix of all retrievals of a run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from laboratory import Laboratory, neuroalign, plain
from neuroalign.assess.matrix import (
    GEOMETRY,
    SAME_PICTURE,
    TaskMatrix,
    _pictures,
    run_matrix,
    task_matrix,
)
from neuroalign.assess.stored import Stored, load_stored
from neuroalign.assess.tables import matrix_rows, score_list
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.protocols import GalleryRule, load_protocol
from neuroalign.evaluation.scores import read_scores, write_scores
from neuroalign.evaluation.table_formats import format_table
from neuroalign.report.whole_matrix import draw_matrix, matrix_table
from neuroalign.retrieval.embeddings import Embeddings

KINDS = ("pictures", "eeg", "meg", "fmri")


@pytest.fixture(scope="module")
def stored(_laboratory: Laboratory) -> Stored:
    return load_stored(_laboratory.run / "evaluation")


@pytest.fixture(scope="module")
def matrix(_laboratory: Laboratory, stored: Stored) -> TaskMatrix:
    return task_matrix(stored, scores=read_scores(_laboratory.run / "scores.json"))


def test_it_holds_every_pair(matrix: TaskMatrix) -> None:
    assert set(matrix.kinds) == set(KINDS)
    assert len(matrix.cells) == 16
    for source in KINDS:
        for target in KINDS:
            cell = matrix.cell(source, target)
            assert (cell.source, cell.target) == (source, target)
            assert cell.scores, cell.missing
            both = source == target == "pictures"
            assert cell.basis == (GEOMETRY if both else SAME_PICTURE)


def test_off_the_diagonal_stand_the_three_tasks(lab: Laboratory, matrix: TaskMatrix) -> None:
    scores = read_scores(lab.run / "scores.json")
    for source in KINDS:
        for target in set(KINDS) - {source}:
            own = matrix.cell(source, target).scores[0]
            assert own.p is not None
            assert replace(own, p_corrected=None) in [replace(s, p_corrected=None) for s in scores]
            assert own.metric == "two_way_embedding" and own.subject == "all"


def test_every_cell_has_a_p_value_corrected_over_the_cells(matrix: TaskMatrix) -> None:
    models = [s.model for s in matrix.cells[0].scores]
    assert all([s.model for s in c.scores] == models for c in matrix.cells)
    for number in range(len(models)):
        p = np.array([c.scores[number].p for c in matrix.cells])
        wanted = false_discovery_control(p, method="bh")
        found = [c.scores[number].p_corrected for c in matrix.cells]
        np.testing.assert_allclose(np.array(found, float), wanted)
    assert matrix.cell("pictures", "pictures").scores[0].chance == 0.5


def test_the_diagonal_agrees_with_plain_numpy(matrix: TaskMatrix, stored: Stored) -> None:
    model = stored.models[0]
    for modality, sets in stored.items.items():
        items = model.items[modality][sets[0].slug]
        v, who = items.vectors.astype(float), items.items["subject"].to_numpy()
        what = items.items["stimulus"].to_numpy()
        won = []
        for i in range(len(v)):
            others = np.flatnonzero(who != who[i])
            cosines = v[others] @ v[i]
            right, wrong = cosines[what[others] == what[i]], cosines[what[others] != what[i]]
            won.append(np.mean((right[:, None] > wrong) + 0.5 * (right[:, None] == wrong)))
        own = matrix.cell(modality, modality).scores[0]
        assert own.value == pytest.approx(np.mean(won), abs=1e-6)
        assert own.low < own.value < own.high
        assert own.n_queries == len(v)


def test_pictures_are_asked_of_all_others(matrix: TaskMatrix, stored: Stored) -> None:
    here = stored.models[0].pictures.vectors.astype(float)
    judge = stored.judge.vectors.astype(float)
    near, true = here @ here.T, judge @ judge.T
    np.fill_diagonal(near, -np.inf)
    won = []
    for i in range(len(here)):
        found = near[i].argmax()
        others = [j for j in range(len(here)) if j not in (i, found)]
        won.append(np.mean(true[i, found] > true[i, others]))
    assert matrix.cell("pictures", "pictures").scores[0].value == pytest.approx(
        np.mean(won), abs=1e-6
    )


def test_chance_of_pictures_among_pictures_is_what_random_spaces_score(stored: Stored) -> None:
    """A half: no picture retrieves itself, so that none hits its own by chance."""
    few = np.arange(len(stored.judge)) < 6
    here = replace(
        stored,
        judge=stored.judge.take(few),
        models=tuple(replace(m, pictures=m.pictures.take(few)) for m in stored.models),
    )
    protocol = load_protocol().model_copy(
        update={"gallery": GalleryRule(pictures={"each": "all tests"})}
    )
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(400):
        pictures = here.models[0].pictures
        random = Embeddings(rng.normal(size=pictures.vectors.shape), pictures.items, "random")
        values, _ = _pictures(random, here, protocol)
        assert values.mean_chance() == 0.5
        drawn.append(values.value())
    error = np.std(drawn, ddof=1) / np.sqrt(len(drawn))
    assert abs(np.mean(drawn) - 0.5) < 3 * error
    assert 8 * error < 0.5 / 6  # what hitting one's own picture would add


def test_every_cell_says_what_it_is(matrix: TaskMatrix) -> None:
    table = matrix_table(matrix)
    assert table.shape == (4, 5)
    for cell in table.iloc[:, 1:].to_numpy().ravel():
        assert "chance" in cell and ".." in cell and "\np " in cell
        assert "same picture" in cell or "picture geometry" in cell
    numbers = matrix_rows(matrix)
    assert len(numbers) == sum(len(c.scores) for c in matrix.cells)
    assert all(isinstance(row[c], float) for row in numbers for c in ("value", "low", "chance"))
    for form, mark in (("markdown", "| "), ("latex", r"\toprule"), ("csv", "EEG"), ("json", "[")):
        assert mark in format_table(table, form, title="2-way_score")
    assert draw_matrix(matrix).get_axes()


def test_one_command(lab: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(lab.run, tmp_path / "run")
    assert neuroalign("matrix", run) == 0
    shown = plain(capsys.readouterr().out)
    assert "SIMULATED recordings" in shown and "same picture" in shown
    assert len(json.loads((run / "matrix.json").read_text())["cells"]) == 16
    for suffix in ("png", "svg", "pdf"):
        assert (run / f"matrix.{suffix}").stat().st_size > 1000
    assert neuroalign("matrix", run, "--format", "latex") == 0
    assert r"\begin{tabular}" in capsys.readouterr().out


def test_numbers_for_programs_stand_in_columns_of_their_own(
    lab: Laboratory, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = read_scores(lab.run / "scores.json")
    assert neuroalign("tables", lab.run, "--all", "--format", "csv") == 0
    table = pd.read_csv(StringIO(capsys.readouterr().out))
    for column in ("value", "low", "high", "chance", "p_corrected", "ceiling", "share"):
        stated = [getattr(s, column) for s in scores]
        np.testing.assert_array_equal(table[column], np.array(stated, float))
    assert table["paper"].isna().all() and table["why_not_comparable"].notna().all()
    assert neuroalign("tables", lab.run, "--format", "csv") == 0
    shown = pd.read_csv(StringIO(capsys.readouterr().out))
    assert set(shown["subject"]) == {"all"} and 0 < len(shown) < len(table)


def test_scores_of_a_protocol_that_was_changed_are_not_taken_for_its_own(
    lab: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, file = shutil.copytree(lab.run, tmp_path / "run"), tmp_path / "own.yaml"
    text = (
        "{name: lab/own, version: 1, title: t, source: s, modalities: [eeg], people: pooled,"
        " retrievals: [decoding, encoding], metrics: [two_way_embedding], intervals: {draws: 100}}"
    )
    file.write_text(text)
    option = ("--protocol", file)
    assert neuroalign("evaluate", run, "--stored", *option) == 0
    assert neuroalign("tables", run, "--all", *option) == 0
    file.write_text(text.replace("people: pooled", "people: separate"))
    capsys.readouterr()
    for more in ([], ["--all"], ["--format", "csv"]):
        assert neuroalign("tables", run, *more, *option) == 2
        assert "`people` is 'separate', was 'pooled'" in plain(capsys.readouterr().err)
    after = run_matrix(run, load_protocol(file))
    before = {s.value for s in read_scores(run / "scores" / "lab--own.json")}
    assert after.cell("pictures", "eeg").scores[0].value not in before
    assert after == task_matrix(load_stored(run / "evaluation"), load_protocol(file))
    neighbour = tmp_path / "neighbour.yaml"
    neighbour.write_text(text.replace("lab/own", "lab-own"))
    kept = (run / "scores" / "lab--own.json").read_bytes()
    assert neuroalign("evaluate", run, "--stored", "--protocol", neighbour) == 0
    assert (run / "scores" / "lab--own.json").read_bytes() == kept
    assert neuroalign("evaluate", run, "--stored", *option) == 0
    assert neuroalign("tables", run, "--all", *option) == 0


def test_scores_of_another_version_are_not_shown(lab: Laboratory, tmp_path: Path) -> None:
    first = read_scores(lab.run / "scores.json")[0]
    write_scores([replace(first, protocol="default@0")], tmp_path / "scores.json")
    with pytest.raises(NeuroalignError, match=r"holds scores of default@0, and not of default@1"):
        score_list(tmp_path, load_protocol())


def test_tables_in_the_papers_shape(lab: Laboratory, capsys: pytest.CaptureFixture[str]) -> None:
    assert neuroalign("tables", lab.run) == 0
    shown = plain(capsys.readouterr().out)
    for word in (
        "Decoding",
        "Encoding",
        "Conversion",
        "SIMULATED recordings",
        "why not comparable",
    ):
        assert word in shown
    assert neuroalign("tables", lab.run, "--format", "json", "--model", "ridge per person") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["model"] for row in rows} == {"ridge per person"}
    assert {row["task"] for row in rows} == {"decoding", "encoding", "conversion"}
    given = [row for row in rows if row["metric"] == "two_way_retrieved"]
    assert {row["why_not_comparable"].split(";")[0] for row in given} == {"simulated recordings"}
    assert neuroalign("tables", lab.run, "--model", "oracle") == 2
    assert "no scores of the model 'oracle'; there are" in plain(capsys.readouterr().err)
