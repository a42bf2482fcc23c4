"""The scores of a run: complete, with chance and interval, and right."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from laboratory import Laboratory, Process, neuroalign, plain
from moments import Moment
from neuroalign.assess import IDEAL, RIDGE, evaluate_run, load_stored, score_stored
from neuroalign.assess.ceiling_choice import SPLIT_HALVES
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.ceilings import OTHER_PEOPLE, OWN_REPEATS
from neuroalign.evaluation.floors import SIGNAL_BLIND, UNTRAINED
from neuroalign.evaluation.items import select_test_items
from neuroalign.evaluation.normalised import normalise_conversion
from neuroalign.evaluation.protocols import (
    CandidateRule,
    ConceptRule,
    Expected,
    load_protocol,
    protocol_names,
)
from neuroalign.evaluation.scores import Score, read_scores
from neuroalign.evaluation.tasks import score_retrieval
from neuroalign.recordings import Recordings
from neuroalign.retrieval import Embeddings

MODALITIES = ("eeg", "meg", "fmri")
TASKS = {
    *(("decoding", m, "pictures") for m in MODALITIES),
    *(("encoding", "pictures", m) for m in MODALITIES),
    *(("conversion", a, b) for a, b in permutations(MODALITIES, 2)),
}
SAME = ("task", "source", "target", "metric", "subject", "items")
DIFFERENCE = f"default - {RIDGE}"


@pytest.fixture
def scores(lab: Laboratory) -> list[Score]:
    return read_scores(lab.run / "scores.json")


def one(scores: list[Score], **wanted: object) -> Score:
    found = [s for s in scores if all(getattr(s, k) == v for k, v in wanted.items())]
    assert len(found) == 1, (wanted, found)
    return found[0]


def evaluation(lab: Laboratory, name: str) -> Embeddings:
    return Embeddings.load(lab.run / "evaluation" / f"{name}.parquet")


@pytest.mark.parametrize("model", ["default", RIDGE, IDEAL, DIFFERENCE])
def test_each_task_is_scored_for_each_model(scores: list[Score], model: str) -> None:
    own = [s for s in scores if s.model == model]
    assert {(s.task, s.source, s.target) for s in own} == TASKS
    for task, source, target in TASKS:
        metrics = {s.metric for s in own if (s.task, s.source, s.target) == (task, source, target)}
        assert {"top1", "top5", "two_way_embedding", "two_way_retrieved"} <= metrics


def test_a_score_is_never_alone(scores: list[Score]) -> None:
    ceilings = {IDEAL, OWN_REPEATS, OTHER_PEOPLE, SPLIT_HALVES}
    for score in scores:
        assert score.low <= score.value <= score.high
        assert score.low < score.high, "an interval without width"
        assert np.isfinite(score.chance)
        assert score.simulated
        assert score.items in ("single trials", "averages of 2 repeats")
        if score.metric.endswith("_normalised") or score.task == "reliability":
            continue
        if score.model in ceilings:
            assert score.p is None
        else:
            assert 1 / 1001 <= score.p <= score.p_corrected <= 1
        if " - " not in score.model and score.model not in ceilings:
            assert score.ceiling_name == IDEAL
            best = one(scores, **{f: getattr(score, f) for f in SAME}, model=IDEAL)
            assert score.ceiling == pytest.approx(best.value, rel=1e-12)
            if score.share is not None:
                way = (score.value - score.chance) / (best.value - score.chance)
                assert score.share == pytest.approx(way)
                assert score.share_low <= score.share <= score.share_high


def test_floors_lie_at_chance_and_the_model_above_them(scores: list[Score]) -> None:
    metric = {"metric": "two_way_embedding", "subject": "all", "items": "averages of 2 repeats"}
    decoded = metric | {"task": "decoding", "target": "pictures"}
    for modality in MODALITIES:
        ours = one(scores, model="default", source=modality, **decoded)
        assert ours.p_corrected < 0.05
        for floor in (SIGNAL_BLIND, UNTRAINED):
            score = one(scores, model=floor, source=modality, **decoded)
            assert score.low < score.chance + 0.1 and score.high > score.chance - 0.1
            assert score.value < ours.low


def test_ceilings_of_recorded_data_stand_in_the_table_too(scores: list[Score]) -> None:
    for name in (OWN_REPEATS, OTHER_PEOPLE):
        found = [s for s in scores if s.model == name and s.subject == "all"]
        asked = {("decoding", m, "pictures") for m in MODALITIES}
        asked |= {("encoding", "pictures", m) for m in MODALITIES}
        assert {(s.task, s.source, s.target) for s in found} == asked
        assert all(s.n_gallery == 12 for s in found if s.task == "decoding")
    reliable = [s for s in scores if s.task == "reliability"]
    assert {(s.source, s.model) for s in reliable} == {(m, SPLIT_HALVES) for m in MODALITIES}


def test_what_is_stored_scores_the_same_without_the_recordings(
    lab: Laboratory, scores: list[Score]
) -> None:
    assert score_stored(load_stored(lab.run / "evaluation")) == scores


def test_chance_comes_from_the_gallery(scores: list[Score]) -> None:
    pictures = {"task": "decoding", "model": "default", "subject": "all", "source": "eeg"}
    averages = pictures | {"items": "averages of 2 repeats"}
    top1 = one(scores, metric="top1", **averages)
    assert (top1.n_queries, top1.n_gallery) == (24, 12)
    assert top1.chance == pytest.approx(1 / 12)
    assert one(scores, metric="top5", **averages).chance == pytest.approx(5 / 12)
    assert one(scores, metric="two_way_embedding", **averages).chance == 0.5
    # by design a random retrieval hits the picture itself once in 12 times
    retrieved = one(scores, metric="two_way_retrieved", **averages)
    assert retrieved.chance == pytest.approx(0.5 + 0.5 / 12)
    singles = one(scores, metric="top1", **pictures | {"items": "single trials"})
    assert singles.n_queries == 48


@pytest.mark.parametrize("modality", MODALITIES)
def test_decoding_scores_equal_plain_computations(
    lab: Laboratory, scores: list[Score], modality: str
) -> None:
    queries, pictures = evaluation(lab, f"{modality}-repeats"), evaluation(lab, "pictures")
    cosines = queries.vectors @ pictures.vectors.T
    right = (
        queries.items["stimulus"].to_numpy()[:, None] == pictures.items["stimulus"].to_numpy()
    ).astype(int)
    wanted = {"task": "decoding", "source": modality, "model": "default", "subject": "all"}
    averages = wanted | {"items": "averages of 2 repeats"}
    area = np.mean([roc_auc_score(r, c) for r, c in zip(right, cosines, strict=True)])
    assert one(scores, metric="two_way_embedding", **averages).value == pytest.approx(area)
    first = right[np.arange(len(right)), cosines.argmax(1)].mean()
    assert one(scores, metric="top1", **averages).value == pytest.approx(first)


def test_people_are_scored_one_by_one(scores: list[Score]) -> None:
    wanted = {"task": "decoding", "source": "fmri", "model": "default", "metric": "top5"}
    own = [s for s in scores if all(getattr(s, k) == v for k, v in wanted.items())]
    own = [s for s in own if s.items == "single trials"]
    everyone = one(own, subject="all")
    people = [s for s in own if s.subject != "all"]
    assert [s.subject for s in people] == ["fmri-01", "fmri-02"]
    assert np.mean([s.value for s in people]) == pytest.approx(everyone.value)


def test_nobody_beats_the_ideal_observer(scores: list[Score]) -> None:
    """On average: a score of 24 queries of 12 pictures moves by a few hundredths by luck."""
    checked = 0
    for score in scores:
        if score.model in ("default", RIDGE) and score.metric == "two_way_embedding":
            assert score.ceiling is not None
            assert score.value <= score.ceiling + 0.03
            checked += 1
    assert checked > 2 * len(TASKS)
    for modality in MODALITIES:  # and there is something to be found at all
        decoding = {"task": "decoding", "source": modality, "model": "default", "subject": "all"}
        found = one(scores, metric="two_way_embedding", items="single trials", **decoding)
        assert found.low > found.chance


def test_differences_are_paired(scores: list[Score]) -> None:
    for score in [s for s in scores if s.model == DIFFERENCE]:
        same = {k: getattr(score, k) for k in ("task", "source", "target", "metric", "items")}
        ours = one(scores, model="default", subject="all", **same)
        ridge = one(scores, model=RIDGE, subject="all", **same)
        assert score.value == pytest.approx(ours.value - ridge.value, abs=1e-9)
        assert score.chance == 0


@pytest.mark.parametrize("name", ["paper/encoding", "paper/conversion"])
def test_recorded_data_have_ceilings_in_the_papers_protocols(lab: Laboratory, name: str) -> None:
    """As if these recordings were not simulated: no ideal observer is known."""
    recorded = replace(load_stored(lab.run / "evaluation"), likelihood={}, ceiling=())
    scores = score_stored(recorded, load_protocol(name))
    models, task = {m.name for m in recorded.models}, name.split("/")[1]
    # One of the first five of twice as many responses is another question.
    other = {"top5"} | {s.metric for s in scores if s.metric.endswith("_normalised")}
    ours = [s for s in scores if s.model in models and s.task == task and s.metric not in other]
    beside = OWN_REPEATS if task == "encoding" else f"{OWN_REPEATS}, lower of both sides"
    assert {"two_way_retrieved", "two_way_embedding"} <= {s.metric for s in ours}
    assert {s.ceiling_name for s in ours} == {beside}
    shares = [s for s in ours if s.share is not None]
    assert len(shares) > len(ours) / 2
    for s in shares:
        assert s.ceiling is not None
        assert s.share == pytest.approx((s.value - s.chance) / (s.ceiling - s.chance))


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_scores_people_to_whom_pictures_were_shown_again(
    lab: Laboratory, name: str
) -> None:
    """Two people with two trials of each of 12 test pictures: a protocol's rules, on our items."""
    recorded = replace(load_stored(lab.run / "evaluation"), likelihood={}, ceiling=())
    written = load_protocol(name)
    k = None if written.candidates.k is None else 4
    rules = {
        "items": {"each": ("repeats",)},
        "concepts": ConceptRule(),
        "candidates": CandidateRule(k=k),
        "intervals": written.intervals.model_copy(update={"draws": 100}),
        "expect": Expected(),
    }
    scores = score_stored(recorded, written.model_copy(update=rules))
    models = {m.name for m in recorded.models}
    asked = {(s.task, s.source, s.target) for s in scores if s.model == "default"}
    chosen = written.modalities or MODALITIES
    assert {("decoding", m, "pictures") for m in chosen if "decoding" in written.retrievals} | {
        ("encoding", "pictures", m) for m in chosen if "encoding" in written.retrievals
    } <= asked
    for s in scores:
        # Ranks in a gallery of twice as many halves are another question.
        if s.model in models and s.task == "encoding" and s.metric in ("top1", "two_way_embedding"):
            assert s.ceiling_name == OWN_REPEATS
    if written.people != "pooled":
        people = {s.subject for s in scores if s.model == "default"}
        assert {"all", *(f"{m}-{i:02}" for m in chosen for i in (1, 2))} == people


@pytest.mark.parametrize("others", [True, False])
def test_a_person_who_saw_one_picture_again_has_no_ceiling_in_encoding(
    lab: Laboratory, others: bool
) -> None:
    """One response is no choice; everybody's scores are there all the same."""
    recorded = replace(load_stored(lab.run / "evaluation"), likelihood={}, ceiling=())
    repeats = dict(recorded.agreement.repeats)
    for key in [k for k in repeats if k[0] == "eeg"]:
        match = repeats[key]
        lone = match.items["stimulus"] != match.items["stimulus"].iloc[-1]
        if others:
            lone &= match.items["subject"] == "eeg-02"
        scores = np.where(lone.to_numpy(bool)[:, None], np.nan, match.scores)
        repeats[key] = replace(match, scores=scores.astype(np.float32))
    changed = replace(recorded, agreement=replace(recorded.agreement, repeats=repeats))
    found = score_stored(changed)
    people = {
        s.subject for s in found if (s.task, s.target, s.model) == ("encoding", "eeg", OWN_REPEATS)
    }
    assert people == ({"all", "eeg-01"} if others else set())
    ours = {s.subject for s in found if (s.target, s.model) == ("eeg", "default")}
    assert "all" in ours


def test_a_conversion_is_normalised_by_the_decoding_of_its_target(scores: list[Score]) -> None:
    same = {"model": "default", "subject": "all", "items": "averages of 2 repeats"}
    for source, target in permutations(MODALITIES, 2):
        for metric in ("two_way_embedding", "two_way_retrieved"):
            plain_one = one(
                scores, task="conversion", source=source, target=target, metric=metric, **same
            )
            base = one(scores, task="decoding", source=target, metric=metric, **same)
            found = one(
                scores,
                task="conversion",
                source=source,
                target=target,
                metric=f"{metric}_normalised",
                **same,
            )
            assert found.value == pytest.approx(plain_one.value / base.value)
            assert found.low < found.value < found.high
            # Drawn together on the same pictures, not as if the two were independent.
            assert found.low != normalise_conversion(plain_one, base).low


@pytest.mark.parametrize(("task", "source", "target"), sorted(TASKS))
def test_an_oracle_scores_one_in_the_galleries_of_the_run(
    lab: Laboratory, task: str, source: str, target: str
) -> None:
    pictures, judge = evaluation(lab, "pictures"), evaluation(lab, "judge")
    row = pd.Series(range(len(pictures)), index=pictures.items["stimulus"])

    def oracle(side: str) -> Embeddings:
        """Give each item the embedding of its own picture."""
        if side == "pictures":
            return pictures
        items = evaluation(lab, f"{side}-repeats").items
        return Embeddings(pictures.vectors[row[items["stimulus"]]], items, pictures.space)

    found = score_retrieval(
        oracle(source),
        oracle(target),
        task=task,
        source=source,
        target=target,
        model="oracle",
        items="averages of 2 repeats",
        pictures=judge,
    )
    assert {s.metric for s in found} >= {"top1", "top5", "two_way_embedding", "two_way_retrieved"}
    assert {s.value for s in found} == {1.0}


def test_a_random_decoder_scores_chance(lab: Laboratory) -> None:
    pictures, judge = evaluation(lab, "pictures"), evaluation(lab, "judge")
    items = evaluation(lab, "eeg-trials").items
    many = pd.concat([items] * 20, ignore_index=True)
    noise = np.random.default_rng(0).normal(size=(len(many), pictures.vectors.shape[1]))
    found = score_retrieval(
        Embeddings(noise, many, pictures.space),
        pictures,
        task="decoding",
        source="eeg",
        target="pictures",
        model="random",
        items="single trials",
        pictures=judge,
    )
    for score in [s for s in found if s.subject == "all"]:
        assert score.value == pytest.approx(score.chance, abs=0.04), score.metric


def test_evaluating_again_gives_the_same_file_and_prints_it(
    lab: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(lab.run, tmp_path / "copy")
    (copy / "scores.json").unlink()
    assert neuroalign("evaluate", copy) == 0
    assert (copy / "scores.json").read_bytes() == (lab.run / "scores.json").read_bytes()
    shown = plain(capsys.readouterr().out)
    for task in ("decoding", "encoding", "conversion"):
        assert f"{task} of simulated recordings" in shown
    assert f"Next: neuroalign report {copy}" in shown


def test_scores_come_from_the_stored_embeddings_alone(
    lab: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No model, no recipe, no recordings, no pictures: a folder of embeddings, and its audit."""
    shutil.copytree(lab.run / "evaluation", tmp_path / "evaluation")
    shutil.copy(lab.run / "audit.json", tmp_path)
    assert neuroalign("evaluate", tmp_path, "--stored") == 0
    assert (tmp_path / "scores.json").read_bytes() == (lab.run / "scores.json").read_bytes()
    assert neuroalign("evaluate", tmp_path, "--stored", "--protocol", "paper/encoding") == 0
    assert "Protocol paper/encoding@1" in plain(capsys.readouterr().out)
    found = read_scores(tmp_path / "scores" / "paper--encoding.json")
    kept = load_protocol(tmp_path / "scores" / "paper--encoding.yaml")
    assert kept == load_protocol("paper/encoding")
    assert {s.protocol for s in found} == {"paper/encoding@1"}
    scored = [s for s in found if s.model == "default"]
    assert {(s.task, s.subject) for s in scored} == {("encoding", "all")}
    assert all("12 candidate pictures of fmri instead of 982" in s.note for s in found)
    assert neuroalign("evaluate", tmp_path, "--stored", "--protocol", "nsd/shared-982") == 2
    assert "12 candidate pictures of fmri instead of 982" in plain(capsys.readouterr().err)
    assert not (tmp_path / "scores" / "nsd--shared-982.json").exists()


def test_a_protocol_of_ones_own_adds_to_what_is_stored(
    lab: Laboratory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(lab.run, tmp_path / "run")
    own = tmp_path / "own.yaml"
    own.write_text(
        "{name: pilot, version: 2, title: t, source: s, modalities: [eeg], retrievals: [decoding],"
        " items: {each: ['by run, stimulus']}, metrics: [top1, median_rank, k_way],"
        " candidates: {k: 10}, gallery: {pictures: {each: every picture}},"
        " expect: {people: {eeg: 9}}}"
    )
    assert neuroalign("evaluate", run, "--protocol", own) == 0
    missed = "not as pilot@2 expects: 2 people of eeg instead of 9"
    assert missed in plain(capsys.readouterr().out)
    found = read_scores(run / "scores" / "pilot.json")
    assert {s.protocol for s in found} == {"pilot@2"}
    further = Embeddings.load(run / "evaluation" / "further-judge.parquet").items["shown"]
    assert set(further) == {"training"}, "every picture was shown to somebody"
    top1 = one(found, model="default", metric="top1", subject="all")
    assert top1.n_gallery == 12 + len(further) == 40
    assert (run / "scores.json").read_bytes() == (lab.run / "scores.json").read_bytes()
    assert evaluation(lab, "pictures").items.equals(
        Embeddings.load(run / "evaluation" / "pictures.parquet").items
    )
    assert neuroalign("evaluate", run, "--stored") == 0
    assert (run / "scores.json").read_bytes() == (lab.run / "scores.json").read_bytes()


def test_protocols_are_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert neuroalign("protocols") == 0
    listed = plain(capsys.readouterr().out)
    for name in ("default@1", "paper/conversion@1", "things-meg/zero-shot-200@1", "nsd/300-way@1"):
        assert name in listed
    assert neuroalign("protocols", "nsd/300-way") == 0
    assert capsys.readouterr().out.startswith("name: nsd/300-way\nversion: 1\n")
    assert neuroalign("protocols", "nsd/300-way", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["candidates"]["k"] == 300
    assert neuroalign("protocols", "nsd/301-way") == 2
    assert "There is no protocol 'nsd/301-way'" in plain(capsys.readouterr().err)


def test_interrupted_it_leaves_the_scores_that_were_there(
    lab: Laboratory, tmp_path: Path, start: Callable[..., Process]
) -> None:
    run = shutil.copytree(lab.run, tmp_path / "run")
    shutil.rmtree(run / "evaluation")
    process = start("evaluate", run, moment=Moment("os.rename", "*/evaluation/judge.parquet"))
    assert process.wait() == 2
    assert "Interrupted." in plain(process.output)
    assert "Traceback" not in process.output
    assert (run / "scores.json").read_bytes() == (lab.run / "scores.json").read_bytes()
    assert not list(run.rglob("*partial*"))


def test_a_run_that_has_not_finished_is_not_scored(lab: Laboratory, tmp_path: Path) -> None:
    shutil.copy(lab.run / "recipe.yaml", tmp_path)
    with pytest.raises(NeuroalignError, match="has not finished"):
        evaluate_run(tmp_path)


@pytest.mark.parametrize("what", ["signals", "test trials"])
def test_recordings_that_changed_since_the_training_are_refused(
    lab: Laboratory, tmp_path: Path, what: str
) -> None:
    run = shutil.copytree(lab.run, tmp_path / "run")
    data = shutil.copytree(lab.data, tmp_path / "data")
    recipe = (run / "recipe.yaml").read_text().replace(str(lab.data), str(data))
    (run / "recipe.yaml").write_text(recipe)
    if what == "signals":
        described = json.loads((data / "meg" / "recordings.json").read_text())
        described["subjects"]["meg-02"]["sha256"] = "0" * 64
        (data / "meg" / "recordings.json").write_text(json.dumps(described))
    else:
        table = pd.read_parquet(data / "meg" / "trials.parquet")
        table.loc[table["split"] == "train", "split"] = "test"
        table.to_parquet(data / "meg" / "trials.parquet", index=False)
    with pytest.raises(NeuroalignError, match=f"meg holds other {what} than when .* was trained"):
        evaluate_run(run)
    assert not list((tmp_path / "run").glob("*partial*"))


@pytest.fixture
def eeg(lab: Laboratory) -> Recordings:
    return Recordings(lab.data / "eeg")


def test_items_are_single_trials_or_averages(eeg: Recordings) -> None:
    test = eeg.select(split="test")
    trials, repeats = (select_test_items(eeg, spec) for spec in ("trials", "repeats"))
    assert (len(trials.view), len(repeats.view)) == (len(test), len(test) // 2)
    assert (trials.description, repeats.description) == ("single trials", "averages of 2 repeats")
    by_run = select_test_items(eeg, "by run, stimulus")
    assert by_run.slug == "by-run-stimulus"
    assert set(by_run.view.trials["n_averaged"]) <= {1, 2}
    np.testing.assert_allclose(
        repeats.view.read([0])[0],
        test.select(
            subject=repeats.view.trials["subject"][0], stimulus=repeats.view.trials["stimulus"][0]
        )
        .read()
        .mean(0),
        rtol=1e-5,
        atol=1e-5,
    )


def test_groups_hold_each_trial_at_most_once(eeg: Recordings) -> None:
    groups = select_test_items(eeg, "groups of 2", seed=3).view
    assert set(groups.trials["n_averaged"]) == {2}
    assert groups.trials["label"].notna().all()
    singles = eeg.select(split="test")
    whole = {s: singles.select(subject=s).read().sum(0) for s in singles.subjects}
    for subject in groups.subjects:  # each class has an even number of trials: nothing is left
        found = 2 * groups.select(subject=subject).read().sum(0)
        np.testing.assert_allclose(found, whole[subject], rtol=1e-3, atol=1e-3)
    again = select_test_items(eeg, "groups of 2", seed=3).view
    np.testing.assert_array_equal(again.read(), groups.read())


def test_trials_that_fill_no_group_are_counted(eeg: Recordings) -> None:
    test = eeg.select(split="test")
    test.trials["label"] = [f"class {i % 5}" for i in range(len(test))]
    n = test.trials.groupby(["subject", "label"]).size()
    for size in (2, 3, 4):
        found = select_test_items(test, f"groups of {size}")
        rest = int((n % size).sum())
        assert len(found.view) == (n // size).sum() and rest
        said = f"averages of {size} trials of a class ({rest} of {len(test)} trials fill no group)"
        assert found.description == said
    # Rows that hold averages are trials like others, and those without a class are in no group.
    test.trials["n_averaged"] = 3
    test.trials["label"] = test.trials["label"].mask(test.trials["label"] == "class 0")
    found = select_test_items(test, "groups of 2")
    n = n[n.index.get_level_values("label") != "class 0"]
    assert set(found.view.trials["n_averaged"]) == {6} and found.view.trials["label"].notna().all()
    lost = len(test) - 2 * (n // 2).sum()
    assert f"({lost} of {len(test)} trials fill no group)" in found.description


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("averages", "is not understood; write `trials`"),
        ("by colour", "has no column 'colour'; there are"),
        ("groups of 0", "is not understood; write `trials`"),
        ("groups of 99", "no person has 99 test trials of a class"),
    ],
)
def test_items_that_cannot_be_are_refused_before_the_training(
    lab: Laboratory,
    tmp_path: Path,
    spec: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = lab.recipe_with(tmp_path / "r.yaml", modalities={"eeg": {"test_items": [spec]}})
    assert neuroalign("train", recipe, "--out", tmp_path / "run") == 2
    assert message in plain(capsys.readouterr().err)
    assert not list(tmp_path.glob("run/checkpoints/*"))
