"""Each shipped protocol: an oracle gets the best score, chance is chance, leaks gain nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import yaml

from neuroalign.assess import rescore_run, score_stored
from neuroalign.assess.ceilings import measure_agreement
from neuroalign.assess.matrix import task_matrix
from neuroalign.assess.restrict import restrict, unmet
from neuroalign.assess.steps import both_sides, judge_for, steps_of
from neuroalign.assess.stored import Embedded, ItemSet, Stored, load_stored, save_stored
from neuroalign.audit import audit_file, read_audit
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.pairs import Cosines
from neuroalign.evaluation.protocols import (
    Protocol,
    load_protocol,
    of_modality,
    protocol_names,
    protocol_text,
)
from neuroalign.evaluation.queries import QueryValues
from neuroalign.evaluation.tasks import values_by_person
from neuroalign.recordings.schema import Modality
from neuroalign.retrieval import Embeddings

Array = npt.NDArray[np.float64]
#: Vectors of items, from their table and the vectors of the pictures that they show.
Decoder = Callable[[pd.DataFrame, Array, str], Array]
DIMS = 32
MODALITIES = ("eeg", "meg", "fmri")
PEOPLE = ("P1", "P2")
NAMES = protocol_names()


def oracle(_: pd.DataFrame, shown: Array, __: str) -> Array:
    return shown


def random_decoder(seed: int) -> Decoder:
    def vectors(table: pd.DataFrame, _: Array, modality: str) -> Array:
        rng = np.random.default_rng([seed, MODALITIES.index(modality), len(table)])
        return np.pad(rng.normal(size=(len(table), DIMS)), ((0, 0), (0, 3)))

    return vectors


def constant(table: pd.DataFrame, shown: Array, modality: str) -> Array:
    """Score every candidate the same: orthogonal to all pictures and to other modalities."""
    vectors = np.zeros_like(shown)
    vectors[:, DIMS + MODALITIES.index(modality)] = 1
    return vectors


def pictures_of(
    protocol: Protocol, modality: Modality, spread: float
) -> tuple[pd.DataFrame, Array]:
    """Return as many pictures and classes as a protocol expects, sorted by class."""
    n, n_classes = 24, 8
    if protocol.candidates.k:
        n = 3 * protocol.candidates.k
    if protocol.strict:
        n = of_modality(protocol.expect.gallery, modality, n)
        n_classes = of_modality(protocol.expect.classes, modality, n_classes)
    label = np.arange(n) * n_classes // n
    prototypes = np.random.default_rng(0).normal(size=(n_classes, DIMS))
    rng = np.random.default_rng([1, MODALITIES.index(modality)])
    vectors = prototypes[label] + spread * rng.normal(size=(n, DIMS))
    table = pd.DataFrame(
        {
            "kind": "picture",
            "stimulus": [f"{modality}-{i:04d}" for i in range(n)],
            "label": [f"class{c:03d}" for c in label],
            "subject": None,
            "shown": "test",
        }
    )
    return table, np.pad(vectors, ((0, 0), (0, 3)))


def stored_for(protocol: Protocol, decoder: Decoder, spread: float = 0.1) -> Stored:
    """Return an evaluation on which a protocol can be scored; `spread`: of pictures of a class."""
    parts, items, sets = [], {}, {}
    for modality in protocol.modalities or MODALITIES:
        table, vectors = pictures_of(protocol, modality, spread)
        parts.append((table, vectors))
        specs = of_modality(protocol.items, modality, ()) or ("repeats", "trials")
        people = PEOPLE if len(table) < 500 else PEOPLE[:1]
        sets[modality] = tuple(ItemSet(s, s, f"all {s}") for s in specs)
        items[modality] = {}
        for spec in specs:
            times = 2 if spec == "trials" else 1
            repeats = 1 if spec == "trials" else of_modality(protocol.expect.repeats, modality, 3)
            trials = pd.concat(
                [table.assign(kind=modality, subject=p) for p in people for _ in range(times)],
                ignore_index=True,
            ).assign(n_averaged=repeats)
            shown = np.tile(vectors, (len(people) * times, 1))
            items[modality][spec] = Embeddings(decoder(trials, shown, modality), trials, "space")
    judge = Embeddings(
        np.concatenate([v for _, v in parts]),
        pd.concat([t for t, _ in parts], ignore_index=True),
        "encoder",
    )
    own = Embedded("a decoder", Embeddings(judge.vectors, judge.items, "space"), None, items)
    training = pd.DataFrame(
        {"modality": ["eeg"], "stimulus": ["other"], "label": ["else"], "trials": [3]}
    )
    agreement = measure_agreement({}, {}, {}, judge, {})
    return Stored(
        models=(own,),
        judge=judge,
        items=sets,
        training=training,
        seed=0,
        simulated=True,
        likelihood={},
        agreement=agreement,
    )


def scored(stored: Stored, protocol: Protocol) -> Iterator[tuple[tuple[str, ...], QueryValues]]:
    """Yield every value that a protocol asks for."""
    stored = restrict(stored, protocol)
    unmet(stored, protocol)
    steps = list(steps_of(stored, protocol))
    assert steps
    for step in steps:
        queries, gallery = both_sides(step, stored.models[0], stored, protocol)
        found = values_by_person(
            Cosines(queries.vectors, gallery.vectors),
            queries.items,
            gallery.items,
            judge_for(step, stored.judge, queries, gallery),
            asked=protocol.asked,
            people=protocol.people,
        )
        for subject, metrics in found.items():
            for metric, values in metrics.items():
                yield (step.task, step.source, step.target, step.items, subject, metric), values


def value_of(values: QueryValues) -> float:
    if values.level is not None:
        return float(np.median(values.values))
    return float(np.average(values.values, weights=values.weights))


@pytest.mark.parametrize("name", NAMES)
def test_an_oracle_gets_the_best_score(name: str) -> None:
    protocol = load_protocol(name)
    found = dict(scored(stored_for(protocol, oracle), protocol))
    assert {key[-1] for key in found} == set(protocol.metrics)
    for key, values in found.items():
        assert value_of(values) == pytest.approx(1.0, abs=1e-12), key  # a median rank of 1, too
        assert key[-1] == "median_rank" or values.mean_chance() < 1


@pytest.mark.parametrize("name", NAMES)
def test_equal_scores_gain_nothing_from_a_gallery_sorted_by_class(name: str) -> None:
    """Neither order nor file names, which both tell the class here, are ever looked at."""
    protocol = load_protocol(name)
    for key, values in scored(stored_for(protocol, constant, spread=1.0), protocol):
        assert value_of(values) == pytest.approx(values.mean_chance(), abs=1e-9), key


@pytest.mark.parametrize("name", NAMES)
def test_a_random_decoder_scores_chance_within_its_interval(name: str) -> None:
    protocol = load_protocol(name)
    held: list[bool] = []
    drawn: dict[tuple[str, ...], list[float]] = {}
    hits: dict[tuple[str, ...], float] = {}
    for seed in range(6):
        stored = stored_for(protocol, random_decoder(seed), spread=3.0)
        for key, values in scored(stored, protocol):
            if key[-2] != "all":
                continue
            chance = values.mean_chance()
            expected = min(chance, 1) * len(values.values)
            drawn.setdefault(key, []).append(value_of(values) / chance)
            hits[key] = hits.get(key, 0) + expected
            if expected >= 5:  # of fewer hits an interval knows little
                interval = values.interval(n_boot=200)
                held.append(interval.low <= chance <= interval.high)
    assert len(held) < 6 or np.mean(held) > 0.85
    for key, ratios in drawn.items():
        assert abs(np.mean(ratios) - 1) < 4 / np.sqrt(hits[key]), key


def one(protocol: Protocol, stored: Stored, *parts: str) -> QueryValues:
    found = [v for key, v in scored(stored, protocol) if set(parts) <= set(key)]
    assert len(found) == 1
    return found[0]


def pilot(**changes: object) -> Protocol:
    content = {
        "name": "pilot",
        "version": 1,
        "title": "t",
        "source": "s",
        "modalities": ["eeg"],
        "retrievals": ["decoding"],
        "items": {"each": ["repeats"]},
        "metrics": ["top1"],
        "people": "pooled",
    }
    return Protocol.model_validate(content | changes)


def test_recordings_of_other_people_are_no_candidates_where_people_are_separate() -> None:
    encoding = {"retrievals": ["encoding"], "metrics": ["top1", "two_way_embedding"]}
    pooled, separate = pilot(**encoding), pilot(people="separate", **encoding)

    def good_or_bad(table: pd.DataFrame, shown: Array, modality: str) -> Array:
        bad = random_decoder(0)(table, shown, modality)
        return np.where((table["subject"] == "P1").to_numpy()[:, None], shown, bad)

    stored = stored_for(pooled, good_or_bad)
    everyone = one(pooled, stored, "all", "two_way_embedding")
    assert everyone.n_gallery == 48 and len(everyone.values) == 24
    first, second = (one(separate, stored, p, "two_way_embedding") for p in PEOPLE)
    both = one(separate, stored, "all", "two_way_embedding")
    assert first.n_gallery == second.n_gallery == both.n_gallery == 24
    assert value_of(first) == 1 and abs(value_of(second) - 0.5) < 0.2
    assert value_of(both) == pytest.approx((value_of(first) + value_of(second)) / 2)
    assert both.mean_chance() == 0.5


def test_people_with_fewer_items_count_as_much_in_every_table() -> None:
    protocol = pilot(
        people="separate",
        items={"each": ["trials"]},
        modalities=["eeg", "meg"],
        retrievals=["decoding", "encoding", "conversion"],
        metrics=["class_top1", "two_way_embedding", "two_way_retrieved"],
    )

    def good_or_bad(table: pd.DataFrame, shown: Array, modality: str) -> Array:
        bad = random_decoder(0)(table, shown, modality)
        return np.where((table["subject"] == "P1").to_numpy()[:, None], shown, bad)

    stored = stored_for(protocol, good_or_bad)
    own = stored.models[0]
    items = {
        m: {slug: e.take(np.arange(len(e)) < len(e) - 30) for slug, e in sets.items()}
        for m, sets in own.items.items()
    }
    stored = replace(stored, models=(replace(own, items=items),))
    scores = score_stored(stored, protocol)
    rows = {(s.task, s.source, s.target, s.metric, s.subject): s for s in scores}
    plain = {key[:-1] for key in rows if not key[3].endswith("_normalised")}
    assert len({key[:3] for key in plain}) == 6
    for key in plain:
        first, second, every = (rows[(*key, p)] for p in (*PEOPLE, "all"))
        assert every.value == pytest.approx((first.value + second.value) / 2), key
        assert every.chance == pytest.approx((first.chance + second.chance) / 2), key
        assert every.low <= every.value <= every.high
    assert [rows["decoding", "eeg", "pictures", "class_top1", p].n_queries for p in PEOPLE] == [
        48,
        18,
    ]
    ratio = rows["conversion", "eeg", "meg", "two_way_retrieved_normalised", "all"]
    over, under = (
        rows[task, source, target, "two_way_retrieved", "all"].value
        for task, source, target in (
            ("conversion", "eeg", "meg"),
            ("decoding", "meg", "pictures"),
        )
    )
    assert ratio.value == pytest.approx(over / under)
    cell = task_matrix(stored, protocol, scores).cell("eeg", "eeg").scores[0]
    (eeg,) = items["eeg"].values()
    owner = eeg.items["subject"].to_numpy()
    each = []
    for person in PEOPLE:
        asked, others = eeg.take(owner == person), eeg.take(owner != person)
        won = []
        for vector, name in zip(asked.vectors, asked.items["stimulus"], strict=True):
            right = (others.items["stimulus"] == name).to_numpy()
            cosines = others.vectors @ vector
            if right.any():
                won.append(np.mean(cosines[right][:, None] > cosines[~right]))
        each.append((len(won), np.mean(won)))
    assert [n for n, _ in each] == [36, 18]
    assert cell.value == pytest.approx(np.mean([score for _, score in each]), abs=1e-6)


def test_a_second_level_of_people_widens_intervals() -> None:
    def good_or_bad(table: pd.DataFrame, shown: Array, modality: str) -> Array:
        bad = random_decoder(0)(table, shown, modality)
        return np.where((table["subject"] == "P1").to_numpy()[:, None], shown, bad)

    level = {"intervals": {"unit": "picture and person"}}
    for more in ({}, {"retrievals": ["encoding"], "people": "separate"}):
        one_level, two_levels = pilot(**more), pilot(**more, **level)
        stored = stored_for(one_level, good_or_bad)
        a, b = (one(p, stored, "all").interval() for p in (one_level, two_levels))
        assert a.value == b.value and b.high - b.low > 1.5 * (a.high - a.low)


def test_concepts_are_left_out_of_both_sides() -> None:
    protocol = pilot(concepts={"leave_out": ["class000", "class001"]})
    values = one(protocol, stored_for(protocol, oracle), "top1")
    assert values.n_gallery == 18 and len(values.values) == 36
    spelt = pilot(concepts={"leave_out": ["Class000", " CLASS001 "]})
    np.testing.assert_array_equal(one(spelt, stored_for(spelt, oracle)).values, values.values)


def test_a_picture_goes_with_its_concept_whoever_names_it() -> None:
    """Where trials have no label but their pictures do, or the other way round."""
    protocol = pilot(concepts={"leave_out": ["class000", "class001"]})
    stored = stored_for(protocol, oracle)
    own = stored.models[0]
    bare = {
        m: {
            slug: Embeddings(e.vectors, e.items.assign(label=None), e.space)
            for slug, e in sets.items()
        }
        for m, sets in own.items.items()
    }
    trials = replace(stored, models=(replace(own, items=bare),))
    judge = stored.judge
    files = Embeddings(judge.vectors, judge.items.assign(label=None), judge.space)
    for unnamed in (trials, replace(stored, judge=files)):
        values = one(protocol, unnamed, "top1")
        assert values.n_gallery == 18 and len(values.values) == 36


def test_a_concept_that_the_run_does_not_have_cannot_be_left_out() -> None:
    stored = stored_for(pilot(), oracle)
    wrong = pilot(concepts={"leave_out": ["class000", "clas001", "zebra"]})
    with pytest.raises(NeuroalignError) as refused:
        restrict(stored, wrong)
    said = str(refused.value)
    assert "2 of 3 concepts" in said and "'clas001', 'zebra'" in said and "class001" in said
    with pytest.raises(NeuroalignError, match=r"'zebra' \(there are class000, class001, "):
        restrict(stored, pilot(concepts={"leave_out": ["zebra"]}))
    trained_on = pilot(concepts={"leave_out": ["else"]})
    assert len(restrict(stored, trained_on).judge) == len(stored.judge)


def test_what_leaves_nothing_to_be_told_apart_is_refused() -> None:
    stored = stored_for(pilot(), oracle)
    names = [f"class{i:03d}" for i in range(8)]
    none = pilot(concepts={"leave_out": names})
    said = r"no test picture of eeg .*has 24 test .*leave_out` \(8 names\) takes 24 .*Leave fewer"
    with pytest.raises(NeuroalignError, match=said):
        restrict(stored, none)
    own = stored.models[0]
    items = own.items["eeg"]["repeats"]
    one_each = items.items.groupby("label").head(1)["stimulus"]
    few = items.take(items.items["stimulus"].isin(list(one_each)).to_numpy(bool))
    stored = replace(stored, models=(replace(own, items={"eeg": {"repeats": few}}),))
    single = {"concepts": {"leave_out": names[1:]}, "gallery": {"pictures": {"each": "all tests"}}}
    with pytest.raises(NeuroalignError, match=r"1 test picture of eeg .*has 8 .* takes 7 of them"):
        restrict(stored, pilot(retrievals=["encoding"], **single))
    question = one(pilot(**single), stored)  # of which picture it is one may ask all the same
    assert (question.n_gallery, len(question.values)) == (3, 2)


def test_copies_of_one_picture_are_not_told_apart() -> None:
    stored = stored_for(pilot(), oracle)
    same = np.ones_like(stored.judge.vectors)
    judge = Embeddings(same, stored.judge.items, stored.judge.space)
    with pytest.raises(NeuroalignError, match=r"24 are copies of one.*Set `gallery.duplicates: k"):
        restrict(replace(stored, judge=judge), pilot())


def test_new_concepts_may_not_occur_in_training() -> None:
    protocol = pilot(concepts={"zero_shot": True})
    stored = stored_for(protocol, oracle)
    assert value_of(one(protocol, stored, "top1")) == 1
    seen = pd.DataFrame(
        {
            "modality": "eeg",
            "stimulus": ["x", "y"],
            "label": ["class003", "else"],
            "trials": [12, 1],
        }
    )
    leaky = replace(stored, training=seen)
    with pytest.raises(
        NeuroalignError, match=r"1 test concepts of eeg \(class003\) occur in 12 training"
    ):
        list(scored(leaky, protocol))
    own = stored.models[0]
    nameless = own.items["eeg"]["repeats"].items.assign(label=None)
    bare = Embeddings(own.items["eeg"]["repeats"].vectors, nameless, "space")
    unlabelled = replace(stored, models=(replace(own, items={"eeg": {"repeats": bare}}),))
    with pytest.raises(NeuroalignError, match="48 eeg test items have no label"):
        list(scored(unlabelled, protocol))


def test_shared_concepts_can_be_accepted_and_every_score_says_so(tmp_path: Path) -> None:
    protocol = pilot(concepts={"zero_shot": True}, intervals={"draws": 100})
    seen = pd.DataFrame(
        {"modality": "eeg", "stimulus": ["x"], "label": ["class003"], "trials": [12]}
    )
    stored = replace(stored_for(protocol, oracle), training=seen)
    save_stored(stored, tmp_path / "evaluation")
    with pytest.raises(NeuroalignError, match="1 test concepts occur in 12 training"):
        rescore_run(tmp_path, protocol)
    assert not (tmp_path / "scores").exists()
    scores = rescore_run(tmp_path, protocol, accept=["shared-concepts"])
    assert scores and all("not zero-shot" in s.note for s in scores)
    # Once accepted, it stays accepted, and is kept beside the scores.
    assert rescore_run(tmp_path, protocol) == scores
    audit = read_audit(audit_file(tmp_path, protocol))
    assert [f.rule for f in audit.accepted] == ["shared-concepts"]
    # No recordings, and no audit of another protocol: every score says so.
    assert all("the split was not audited for pilot@1" in s.note for s in scores)


def test_counts_that_are_not_as_expected_are_an_error_or_a_note() -> None:
    expect = {"gallery": {"eeg": 200}, "repeats": {"each": 12}, "people": {"eeg": 2}}
    loose, strict = pilot(expect=expect), pilot(expect=expect, strict=True)
    stored = restrict(stored_for(pilot(), oracle), loose)
    message = "24 candidate pictures of eeg instead of 200; 3 trials behind an item of eeg instead"
    assert message in unmet(stored, loose)
    with pytest.raises(NeuroalignError, match=message):
        unmet(stored, strict)


def with_more_pictures(stored: Stored) -> Stored:
    """Add ten pictures of training and five that nobody saw, and a copy of the first of all."""
    rng = np.random.default_rng(5)
    n = 16
    items = pd.DataFrame(
        {
            "kind": "picture",
            "stimulus": [f"more-{i}" for i in range(n)],
            "label": "class000",
            "subject": None,
            "shown": ["training"] * 10 + ["never"] * 6,
        }
    )
    vectors = np.concatenate([rng.normal(size=(n - 1, DIMS + 3)), stored.judge.vectors[:1]])

    def longer(pictures: Embeddings) -> Embeddings:
        return Embeddings(
            np.concatenate([pictures.vectors, vectors]),
            pd.concat([pictures.items, items], ignore_index=True),
            pictures.space,
        )

    own = stored.models[0]
    return replace(
        stored,
        judge=longer(stored.judge),
        models=(replace(own, pictures=longer(own.pictures)),),
        every_picture=True,
    )


@pytest.mark.parametrize(
    ("rule", "duplicates", "n"),
    [
        ("test", "kept", 24),
        ("all tests", "merged", 24),
        ("test and never shown", "kept", 30),
        ("test and never shown", "merged", 29),
        ("every picture", "kept", 40),
        ("every picture", "merged", 39),
    ],
)
def test_the_gallery_holds_the_pictures_that_the_protocol_names(
    rule: str, duplicates: str, n: int
) -> None:
    protocol = pilot(gallery={"pictures": {"each": rule}, "duplicates": duplicates})
    stored = with_more_pictures(stored_for(protocol, oracle))
    values = one(protocol, stored, "top1")
    assert values.n_gallery == n
    assert values.mean_chance() == pytest.approx(1 / n)
    # A copy under another name is a distractor that nothing can tell apart, unless it is merged.
    tied = duplicates == "kept" and n > 24
    assert value_of(values) == pytest.approx(1 - 0.5 / 24 if tied else 1.0)


@pytest.mark.parametrize("rule", ["test", "test and never shown", "every picture"])
@pytest.mark.parametrize("retrieval", ["decoding", "encoding"])
def test_a_merged_copy_stays_a_test_picture_whatever_the_files_are_called(
    rule: str, retrieval: str
) -> None:
    protocol = pilot(
        gallery={"pictures": {"each": rule}, "duplicates": "merged"},
        retrievals=[retrieval],
        metrics=["top1", "two_way_retrieved"],
    )
    stored = with_more_pictures(stored_for(protocol, oracle))
    found = []
    for prefix in ("more-", "aaa-"):  # after and before the names of test pictures
        named = {s: s.replace("more-", prefix) for s in stored.judge.items["stimulus"].astype(str)}

        def renamed(pictures: Embeddings, names: dict[str, str] = named) -> Embeddings:
            items = pictures.items.assign(stimulus=pictures.items["stimulus"].map(names))
            return Embeddings(pictures.vectors, items, pictures.space)

        own = replace(stored.models[0], pictures=renamed(stored.models[0].pictures))
        here = replace(stored, judge=renamed(stored.judge), models=(own,))
        kept = restrict(here, protocol).judge.items
        assert set(kept.loc[kept["shown"] == "test", "stimulus"]) == {
            f"eeg-{i:04d}" for i in range(24)
        }
        for metric in protocol.metrics:
            values = one(protocol, here, metric)
            found.append((metric, values.n_gallery, len(values.values), values.note))
            assert value_of(values) == 1
    assert found[:2] == found[2:]
    everyone = 48 if retrieval == "decoding" else 24
    sizes = {"test": 24, "test and never shown": 29, "every picture": 39}
    size = sizes[rule] if retrieval == "decoding" else 48
    assert found[0] == ("top1", size, everyone, "")


def test_more_pictures_than_were_embedded_are_not_made_up() -> None:
    protocol = pilot(gallery={"pictures": {"eeg": "every picture"}})
    with pytest.raises(NeuroalignError, match="no others were embedded"):
        list(scored(stored_for(protocol, oracle), protocol))


def test_items_and_modalities_that_are_not_there_are_named() -> None:
    stored = stored_for(pilot(), oracle)
    with pytest.raises(NeuroalignError, match=r"items made by 'trials', which were not embedded"):
        restrict(stored, pilot(items={"eeg": ["repeats", "trials"]}))
    with pytest.raises(NeuroalignError, match=r"pilot@1 is for meg recordings; this run has eeg"):
        restrict(stored, pilot(modalities=["meg"]))


def shuffled(stored: Stored, seed: int) -> Stored:
    """Put pictures and items into another order."""
    rng = np.random.default_rng(seed)
    own = stored.models[0]
    order = rng.permutation(len(stored.judge))
    items = {
        m: {slug: e.take(rng.permutation(len(e))) for slug, e in sets.items()}
        for m, sets in own.items.items()
    }
    moved = replace(own, pictures=own.pictures.take(order), items=items)
    return replace(stored, judge=stored.judge.take(order), models=(moved,))


def test_neither_order_nor_blocks_move_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    every = [m for m in pilot_metrics() if m != "median_rank"]
    protocol = pilot(
        modalities=["eeg", "meg"],
        retrievals=["decoding", "encoding", "conversion"],
        metrics=every,
        candidates={"k": 4},
        people="both",
    )
    stored = stored_for(protocol, random_decoder(3), spread=1.0)
    first = {k: v.interval(n_boot=100) for k, v in scored(stored, protocol)}
    assert len(first) > 50
    monkeypatch.setattr("neuroalign.evaluation.pairs.BLOCK_BYTES", 3000)
    for key, values in scored(shuffled(stored, 1), protocol):
        again = values.interval(n_boot=100)
        assert (again.value, again.low, again.high) == pytest.approx(
            (first[key].value, first[key].low, first[key].high), abs=1e-9
        ), key


def pilot_metrics() -> tuple[str, ...]:
    from typing import get_args

    from neuroalign.evaluation.queries import Metric

    return get_args(Metric)


def test_scores_are_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    """Whatever the hash seed and the number of threads."""
    metrics = ["top5", "class_top1", "two_way_embedding", "two_way_retrieved", "k_way_resampled"]
    protocol = pilot(metrics=metrics, candidates={"k": 4}, intervals={"draws": 100})
    save_stored(stored_for(protocol, random_decoder(4), spread=1.0), tmp_path / "evaluation")
    (tmp_path / "pilot.yaml").write_text(yaml.safe_dump(protocol.model_dump(mode="json")))
    program = (
        "import sys\n"
        "from neuroalign.assess import rescore_run\n"
        "from neuroalign.evaluation.protocols import load_protocol\n"
        "rescore_run(sys.argv[1], load_protocol(sys.argv[2]))\n"
    )
    rescore_run(tmp_path, protocol)
    scores = tmp_path / "scores" / "pilot.json"
    here = scores.read_bytes()
    scores.unlink()
    other = {"PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "3"}
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(tmp_path / "pilot.yaml")],
        env=os.environ | other,
        capture_output=True,
        check=True,
    )
    assert scores.read_bytes() == here


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    stored = with_more_pictures(stored_for(pilot(), oracle))
    save_stored(stored, tmp_path)
    again = load_stored(tmp_path)
    assert again.items == stored.items and again.every_picture
    assert again.judge.items["stimulus"].tolist() == stored.judge.items["stimulus"].tolist()
    np.testing.assert_array_equal(again.judge.vectors, stored.judge.vectors)
    (tmp_path / "evaluation.json").unlink()
    with pytest.raises(NeuroalignError, match="holds no complete set of embeddings"):
        load_stored(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_shipped_protocols_say_where_they_come_from(name: str) -> None:
    protocol = load_protocol(name)
    assert protocol.name == name
    assert protocol.label == f"{name}@{protocol.version}"
    described = dict(protocol.described())
    assert all(described.values())
    assert name == "default" or len(described["source"]) > 80


@pytest.mark.parametrize("name", NAMES)
def test_what_moves_a_shipped_protocols_numbers_is_written_in_its_file(name: str) -> None:
    """A default that changes must not change a protocol under the same version."""
    protocol = load_protocol(name)
    needless = {"modalities", "expect"} if name == "default" else {"modalities", "expect", "data"}
    assert set(Protocol.model_fields) - protocol.model_fields_set <= needless
    assert protocol.gallery.model_fields_set == set(type(protocol.gallery).model_fields)
    assert protocol.intervals.model_fields_set == set(type(protocol.intervals).model_fields)
    assert "zero_shot" in protocol.concepts.model_fields_set
    drawn = {"k", "resamples", "seed"} if protocol.candidates.k else {"k"}
    assert protocol.candidates.model_fields_set == drawn


def test_a_listing_says_what_a_protocol_expects_and_how_it_draws() -> None:
    strict = dict(load_protocol("things-meg/zero-shot-200").described())
    assert (
        strict["expects"].startswith("candidate pictures 200") and "an error" in strict["expects"]
    )
    assert "a note" in dict(load_protocol("paper/decoding").described())["expects"]
    own = pilot(ties="last", intervals={"unit": "picture and person", "draws": 200})
    assert dict(own.described())["intervals"] == "drawn again: picture and person; 200 draws"
    assert "behind" in dict(own.described())["ties"]


def written(path: Path, **changes: object) -> Path:
    content = yaml.safe_load(protocol_text("things-fmri/100-way"))
    path.write_text(yaml.safe_dump(content | changes))
    return path


def test_a_protocol_of_ones_own_is_a_file_of_the_same_form(tmp_path: Path) -> None:
    own = load_protocol(written(tmp_path / "own.yaml", name="my-lab/ours", version=3))
    assert own.label == "my-lab/ours@3" and own.slug == "my-lab--ours"
    alike = load_protocol(written(tmp_path / "alike.yaml", name="my/lab-ours"))
    assert alike.slug == "my--lab-ours", "no two names share a file"
    shipped = load_protocol("things-fmri/100-way")
    assert own == shipped.model_copy(update={"name": "my-lab/ours", "version": 3})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "a protocol of that name ships"),
        ({"name": "things-fmri-100-way"}, "a protocol of that name ships"),
        ({"name": "ours", "galery": {}}, r"galery: .*did you mean `gallery`\?"),
        ({"name": "ours", "metrics": ["top3"]}, r"metrics.0: Input should be 'top1', "),
        ({"name": "ours", "metrics": ["k_way"]}, "need each other"),
        ({"name": "ours", "candidates": {"k": 50}}, "need each other"),
        ({"name": "ours", "metrics": ["top1", "top1"]}, "metrics: 'top1' stands there twice"),
        ({"name": "ours", "modalities": ["eeg", "eeg"]}, "modalities: 'eeg' stands there twice"),
        ({"name": "ours", "retrievals": ["decoding"] * 2}, "retrievals: 'decoding' stands there"),
        ({"name": "ours", "concepts": {"leave_out": ["a", "b", "a"]}}, "leave_out: 'a' stands"),
        ({"name": "ours", "items": {"each": ["trials"] * 2}}, "items.each: 'trials' stands there"),
        (
            {"name": "ours", "items": {"eeg": ["by run, label", "by label,run"]}},
            r"items.eeg: 'by label,run' stands there twice \('by run, label' is the same\)",
        ),
        ({"name": "Our Lab"}, "name: String should match"),
        ({"name": "our--lab"}, "name: String should match"),
        ({"name": "our-/lab"}, "name: String should match"),
        ({"name": "ours", "version": 0}, "version: Input should be greater"),
    ],
)
def test_faults_in_a_file_are_named(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(NeuroalignError, match=message):
        load_protocol(written(tmp_path / "own.yaml", **changes))


def test_a_protocol_written_beside_its_scores_is_read_back(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / "p.yaml").write_text(load_protocol(name).as_yaml())
        assert load_protocol(tmp_path / "p.yaml") == load_protocol(name)


def test_what_is_no_protocol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NeuroalignError, match=r"no protocol 'nsd/shared'.*nsd/shared-982"):
        load_protocol("nsd/shared")
    (tmp_path / "list.yaml").write_text("- a\n")
    with pytest.raises(NeuroalignError, match="must hold `field: value` lines"):
        load_protocol(tmp_path / "list.yaml")
    (tmp_path / "torn.yaml").write_text("a: [")
    with pytest.raises(NeuroalignError, match="not a readable YAML file"):
        load_protocol(tmp_path / "torn.yaml")
    file = written(tmp_path / "twice.yaml", name="ours")
    file.write_text(file.read_text() + "name: theirs\n")
    with pytest.raises(NeuroalignError, match=r"(?s)twice\.yaml.*`name` stands there twice"):
        load_protocol(file)
