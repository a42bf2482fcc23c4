"""A run where only classes are known: its ceilings, stored, scored, and in the matrix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from neuroalign.assess.ceilings import Agreement
from neuroalign.assess.diagonal import WITHIN, within_people
from neuroalign.assess.matrix import ENCODER, TaskMatrix, task_matrix
from neuroalign.assess.score import score_stored
from neuroalign.assess.stored import Embedded, ItemSet, Stored, load_stored, save_stored
from neuroalign.evaluation.ceilings import OTHER_PEOPLE_BY_CLASS, OWN_CLASS
from neuroalign.evaluation.own_class import own_class
from neuroalign.evaluation.protocols import Protocol, load_protocol
from neuroalign.evaluation.scores import Score
from neuroalign.recordings import Modality
from neuroalign.report.whole_matrix import draw_matrix, matrix_table
from neuroalign.retrieval import Embeddings

DIMS = 6
KINDS: tuple[Modality, ...] = ("eeg", "fmri")
CLASSES = ("face", "house", "shoe")  # of the last one there are no pictures
RNG = np.random.default_rng(0)
PATTERN = RNG.normal(size=(3, DIMS))
RELIABILITY = ("modality", "subject", "stimulus", "value", "n_averaged", "ncsnr_ceiling")


def recordings(
    modality: str, people: list[str], classes: int, noise: float
) -> tuple[pd.DataFrame, npt.NDArray[np.float64]]:
    """Four blocks of two trials a class and person, in no order; simulated."""
    rows = []
    for person in people:
        for block, code in enumerate(RNG.permutation(np.repeat(np.arange(classes), 4))):
            rows += [(person, CLASSES[code], str(block))] * 2
    table = pd.DataFrame(rows, columns=["subject", "label", "block"]).astype("string")
    table["stimulus"] = pd.array([None] * len(table), "string")
    code = table["label"].map(CLASSES.index).to_numpy(int)
    signals = PATTERN[code] + noise * RNG.normal(size=(len(table), DIMS))
    return table.assign(kind=modality, array_row=np.arange(len(table))), signals


def pictures(space: str) -> Embeddings:
    labels = [CLASSES[i % 2] for i in range(8)]
    vectors = PATTERN[[CLASSES.index(c) for c in labels]] + 0.3 * np.eye(8, DIMS)
    table = pd.DataFrame(
        {"kind": "picture", "stimulus": [f"p{i}" for i in range(8)], "label": labels}
    )
    return Embeddings(vectors, table.assign(subject=None, shown="test"), space)


@pytest.fixture(scope="module")
def stored() -> Stored:
    eeg = recordings("eeg", ["e1", "e2"], 2, 1.5)
    fmri = recordings("fmri", ["f1"], 3, 0.8)
    items = {
        m: {"trials": Embeddings(signals, table, "space")}
        for m, (table, signals) in (("eeg", eeg), ("fmri", fmri))
    }
    targets = pd.DataFrame({"kind": "class", "stimulus": None, "label": CLASSES, "subject": None})
    models = tuple(
        Embedded(name, pictures("space"), Embeddings(PATTERN, targets, "space"), items)
        for name in ("ours", "signal-blind")
    )
    classes = {(m, "trials"): own_class(t, s) for m, (t, s) in (("eeg", eeg), ("fmri", fmri))}
    return Stored(
        models=models,
        judge=pictures("judge"),
        items={m: (ItemSet("trials", "trials", "single trials"),) for m in ("eeg", "fmri")},
        training=pd.DataFrame({"modality": [], "stimulus": [], "label": [], "trials": []}),
        seed=0,
        simulated=True,
        likelihood={},
        agreement=Agreement({}, classes, pd.DataFrame(columns=list(RELIABILITY))),
    )


def protocol(**changes: object) -> Protocol:
    """The default one without top-5: of eight candidates, five hold nearly everything."""
    default = load_protocol()
    metrics = tuple(m for m in default.metrics if not m.endswith("top5"))
    return default.model_copy(update={"name": "by-class", "metrics": metrics} | changes)


@pytest.fixture(scope="module")
def scores(stored: Stored) -> list[Score]:
    return score_stored(stored, protocol())


@pytest.fixture(scope="module")
def matrix(stored: Stored, scores: list[Score]) -> TaskMatrix:
    return task_matrix(stored, protocol(), scores)


def one(scores: list[Score], **wanted: object) -> Score:
    wanted = {"subject": "all", "model": "ours"} | wanted
    found = [s for s in scores if all(getattr(s, k) == v for k, v in wanted.items())]
    assert len(found) == 1, (wanted, found)
    return found[0]


def test_own_class_stands_beside_decoding_and_classification(
    stored: Stored, scores: list[Score]
) -> None:
    for modality, task, classes in (
        ("eeg", "decoding", 2),
        ("eeg", "classification", 2),
        ("fmri", "decoding", 2),
        ("fmri", "classification", 3),
    ):
        match = stored.agreement.classes[modality, "trials"]
        asked = match.items["label"].isin(CLASSES[:classes]).to_numpy(bool)
        right = match.items["label"].map(CLASSES.index).to_numpy(int)[asked]
        best = match.scores[asked][:, :classes].argmax(axis=1) == right
        for metric in ("class_top1", "class_accuracy"):
            ours = one(scores, task=task, source=modality, metric=metric)
            assert (ours.ceiling_name, ours.n_queries) == (OWN_CLASS, asked.sum())
            assert ours.ceiling == pytest.approx(best.mean())
            row = one(scores, task=task, source=modality, metric=metric, model=OWN_CLASS)
            assert row.value == ours.ceiling
            assert row.chance == pytest.approx(1 / classes)
            assert ours.share == pytest.approx(
                (ours.value - ours.chance) / (ours.ceiling - ours.chance)
            )
    people = {(s.source, s.target) for s in scores if s.model == OTHER_PEOPLE_BY_CLASS}
    assert not {"fmri"} & {m for pair in people for m in pair}, "of fMRI there is one person"
    assert ("eeg", "pictures") in people


def encoded(stored: Stored, modality: str) -> tuple[float, float]:
    """Area and nearest item of own class asked from its side, for two classes, by loops."""
    match = stored.agreement.classes[modality, "trials"]
    right = match.items["label"].map(CLASSES.index).to_numpy(int)
    scores, right = match.scores[right < 2][:, :2].astype(float), right[right < 2]
    areas, nearest = [], []
    for c in range(2):
        evidence = scores[:, c] - scores.mean(axis=1)
        areas.append(roc_auc_score(right == c, evidence))
        nearest.append(float(right[evidence.argmax()] == c))
    return float(np.mean(areas)), float(np.mean(nearest))


def test_in_encoding_the_class_asks_for_the_response(stored: Stored, scores: list[Score]) -> None:
    for modality in KINDS:
        area, nearest = encoded(stored, modality)
        for metric, value in (("two_way_embedding", area), ("class_top1", nearest)):
            found = one(scores, task="encoding", target=modality, metric=metric)
            assert (found.ceiling_name, found.ceiling) == (OWN_CLASS, pytest.approx(value))
            assert one(
                scores, task="encoding", target=modality, metric=metric, model=OWN_CLASS
            ).value == pytest.approx(value)


def test_a_conversion_cannot_be_better_than_either_side(
    stored: Stored, scores: list[Score]
) -> None:
    decoded = {m: one(scores, task="decoding", source=m, metric="two_way_embedding") for m in KINDS}
    for source, target in (KINDS, KINDS[::-1]):
        pair = {"task": "conversion", "source": source, "target": target}
        found = one(scores, metric="two_way_embedding", **pair)
        assert found.ceiling == pytest.approx(
            min(decoded[source].ceiling or 0, encoded(stored, target)[0])
        )
        assert found.ceiling_name == f"{OWN_CLASS}, lower of both sides"
        assert one(scores, metric="class_top1", **pair).ceiling is not None


@pytest.mark.parametrize("task", ["encoding", "conversion"])
def test_a_protocol_without_decoding_has_ceilings_too(
    stored: Stored, scores: list[Score], task: str
) -> None:
    found = score_stored(stored, protocol(retrievals=(task,)))
    assert {s.task for s in found if s.subject == "all"} == {task}
    for s in found:
        if s.model == "ours" and not s.metric.endswith("_normalised"):
            same = one(
                scores, task=task, source=s.source, target=s.target, metric=s.metric,
                subject=s.subject,
            )  # fmt: skip
            assert (s.ceiling, s.ceiling_name) == (same.ceiling, same.ceiling_name)
            assert s.ceiling is not None


def test_a_ceiling_of_another_question_is_no_row_of_the_table(stored: Stored) -> None:
    metrics = (*protocol().metrics, "class_average_precision")
    found = score_stored(stored, protocol(metrics=metrics))
    precision = [s for s in found if s.metric == "class_average_precision"]
    by_task = {(s.task, s.model) for s in precision if s.subject == "all"}
    assert ("decoding", "ours") in by_task and ("classification", OWN_CLASS) in by_task
    assert ("decoding", OWN_CLASS) not in by_task
    assert one(precision, task="decoding", source="eeg").ceiling is None


def test_what_is_stored_scores_the_same(
    stored: Stored, scores: list[Score], tmp_path: Path
) -> None:
    save_stored(stored, tmp_path / "evaluation")
    again = load_stored(tmp_path / "evaluation")
    assert score_stored(again, protocol()) == scores
    for key, match in stored.agreement.classes.items():
        np.testing.assert_array_equal(again.agreement.classes[key].scores, match.scores)


def test_concepts_left_out_are_no_candidates_of_the_ceiling(stored: Stored) -> None:
    concepts = protocol().concepts.model_copy(update={"leave_out": ("shoe",)})
    found = score_stored(stored, protocol(concepts=concepts))
    row = one(found, task="decoding", source="fmri", metric="class_top1", model=OWN_CLASS)
    assert (row.n_gallery, row.n_queries) == (2, 16)


def plain_within(items: Embeddings) -> float:
    """Each item among the person's others but those of the same number of block, by loops."""
    t, v = items.items, items.vectors.astype(float)
    blocks = t.drop_duplicates(["subject", "block"])
    number = dict(
        zip(
            zip(blocks["subject"], blocks["block"], strict=True),
            blocks.groupby(["subject", "label"]).cumcount(),
            strict=True,
        )
    )
    place = np.array([number[k] for k in zip(t["subject"], t["block"], strict=True)])
    won = []
    for i in range(len(t)):
        others = np.flatnonzero((t["subject"] == t["subject"][i]) & (place != place[i]))
        same = (t["label"][others] == t["label"][i]).to_numpy(bool)
        right, wrong = v[others[same]] @ v[i], v[others[~same]] @ v[i]
        won.append(np.mean((right[:, None] > wrong) + 0.5 * (right[:, None] == wrong)))
    return float(np.mean(won))


def test_within_people_agrees_with_plain_loops(stored: Stored) -> None:
    for modality in KINDS:
        items = stored.models[0].items[modality]["trials"]
        found = within_people(items)
        assert found is not None
        assert found.values.mean() == pytest.approx(plain_within(items), abs=1e-6)  # noqa: PD011
        assert len(found.values) == len(items)
        assert found.gallery is not None
        assert found.gallery.values.mean() == pytest.approx(found.values.mean())  # noqa: PD011


def test_within_people_by_picture_needs_a_picture_twice(stored: Stored) -> None:
    items = stored.models[0].items["eeg"]["trials"]
    names = items.items.groupby(["subject", "label"]).cumcount().astype("string")
    once = Embeddings(items.vectors, items.items.assign(stimulus=names + items.items["label"]), "x")
    assert within_people(once) is None
    twice = once.items.assign(stimulus=(names.astype(int) // 2).astype("string"))
    found = within_people(Embeddings(items.vectors, twice, "x"))
    assert found is not None and "over classes" not in found.note


def test_every_cell_of_the_matrix_has_a_ceiling(matrix: TaskMatrix, stored: Stored) -> None:
    names = {}
    for cell in matrix.cells:
        own = cell.scores[0]
        assert own.ceiling is not None
        names[cell.source, cell.target] = own.ceiling_name
    assert names["pictures", "pictures"] == ENCODER
    assert matrix.cell("pictures", "pictures").scores[0].ceiling == 1.0
    eeg, fmri = matrix.cell("eeg", "eeg"), matrix.cell("fmri", "fmri")
    assert names["eeg", "eeg"] == WITHIN
    assert eeg.scores[0].ceiling == pytest.approx(
        plain_within(stored.models[0].items["eeg"]["trials"]), abs=1e-6
    )
    assert fmri.basis == "same class, within the person"
    assert fmri.scores[0].value == pytest.approx(
        plain_within(stored.models[0].items["fmri"]["trials"]), abs=1e-6
    )
    assert names["fmri", "fmri"] == OWN_CLASS


def test_the_table_and_the_figure_show_chance_floors_and_ceiling(matrix: TaskMatrix) -> None:
    for cell in matrix_table(matrix).iloc[:, 1:].to_numpy().ravel():
        assert "chance" in cell and "signal-blind" in cell and "ceiling" in cell
    texts = [t.get_text() for t in draw_matrix(matrix).get_axes()[0].texts]
    levels = [t for t in texts if t.startswith("chance")]
    assert len(levels) == 9
    assert all("floors" in t and "ceiling" in t for t in levels)


def test_one_person_who_saw_nothing_twice_has_an_empty_cell(
    stored: Stored, scores: list[Score]
) -> None:
    def alone(model: Embedded) -> Embedded:
        items = model.items["fmri"]["trials"]
        names = pd.array([f"q{i}" for i in range(len(items))], "string")
        known = Embeddings(items.vectors, items.items.assign(stimulus=names), items.space)
        return replace(model, items={**model.items, "fmri": {"trials": known}})

    changed = replace(stored, models=tuple(alone(m) for m in stored.models))
    cell = task_matrix(changed, protocol(), scores).cell("fmri", "fmri")
    assert "saw nothing twice" in cell.missing
