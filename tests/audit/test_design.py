"""Designs that give the class away are told from those that do not, without a signal."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from miniatures.imagenet_eeg import MiniatureReader, write_imagenet_eeg
from neuroalign.audit import audit_run
from neuroalign.audit.design import ALPHA, DesignTest, test_design
from neuroalign.audit.levels import one_with_class
from neuroalign.recordings.arrays import prepare_arrays
from neuroalign.recordings.preparation import prepare
from neuroalign.recordings.readers.imagenet_eeg import ImageNetEegOptions

CLASSES, EACH, PEOPLE = 8, 24, 3


def trials(label: np.ndarray, part: np.ndarray, run: np.ndarray | None = None) -> pd.DataFrame:
    n = label.shape[1]
    people = [
        pd.DataFrame(
            {
                "subject": f"s{person}",
                "concept": [f"n{c:02d}" for c in label[person]],
                "part": part[person],
                "session": pd.NA,
                "run": pd.NA if run is None else run.astype(str),
                "onset_s": np.nan,
                "array_row": np.arange(n),
            }
        )
        for person in range(len(label))
    ]
    return pd.concat(people, ignore_index=True)


def blocks(rng: np.random.Generator) -> np.ndarray:
    """Each class in one go, in another order for each person, as ImageNetEEG was recorded."""
    return np.stack([np.repeat(rng.permutation(CLASSES), EACH) for _ in range(PEOPLE)])


def within_classes(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hold out a sixth of each class, as ImageNetEEG's own split does."""
    part = np.full(label.shape, "train", object)
    for own, parts in zip(label, part, strict=True):
        for c in range(CLASSES):
            parts[rng.permutation(np.flatnonzero(own == c))[: EACH // 6]] = "test"
    return part


def outcome(table: pd.DataFrame) -> DesignTest:
    found = test_design(table, draws=499)
    assert found is not None
    return found


def test_imagenet_eegs_blocks_are_refused_and_a_shuffled_order_is_not() -> None:
    rng = np.random.default_rng(0)
    label = blocks(rng)
    found = outcome(trials(label, within_classes(label, rng)))
    assert found.p < ALPHA
    assert found.accuracy > 0.9
    assert found.chance == pytest.approx(1 / CLASSES, abs=0.02)
    assert (found.n_test, found.n_classes) == (PEOPLE * CLASSES * EACH // 6, CLASSES)
    shuffled = np.stack([rng.permutation(own) for own in label])
    assert outcome(trials(shuffled, within_classes(shuffled, rng))).p > ALPHA


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_miniature_of_imagenet_eeg_is_refused(shuffled: bool, tmp_path: Path) -> None:
    """As its files come, with segments in any order: the reader knows which block each is of."""
    write_imagenet_eeg(tmp_path / "set", shuffled=shuffled)
    options = ImageNetEegOptions(features="samples")
    made = prepare(MiniatureReader(), tmp_path / "set", tmp_path / "out", options=options)
    assert {f.rule for f in audit_run(made.path).refusals} == {"class-from-time"}


def test_blocks_are_no_leak_when_none_is_on_both_sides() -> None:
    """Eight blocks in random order in each of six runs; the last two runs are the test."""
    rng = np.random.default_rng(1)
    run = np.repeat(np.arange(6), CLASSES * 4)
    order = [[np.repeat(rng.permutation(CLASSES), 4) for _ in range(6)] for _ in range(PEOPLE)]
    label = np.stack([np.concatenate(o) for o in order])
    whole_runs = np.where(run >= 4, "test", "train")
    assert outcome(trials(label, np.stack([whole_runs] * PEOPLE), run)).p > ALPHA
    at_random = np.where(rng.random(label.shape) < 0.25, "test", "train")
    assert outcome(trials(label, at_random, run)).p < ALPHA


def test_two_blocks_of_one_person_are_enough() -> None:
    """Here no permutation of blocks could be significant: that trials have neighbours is."""
    label = np.repeat([[0, 1]], 30, axis=1)
    part = np.where(np.random.default_rng(2).random(label.shape) < 0.3, "test", "train")
    found = outcome(trials(label, part))
    assert found.p < ALPHA
    assert "right before and after" in found.told_by


def sessions_of_classes(people: int, classes: int, *, named: bool, runs: int = 4) -> pd.DataFrame:
    """Each class in a session of its own, whose last run is held out."""
    session = np.repeat(np.arange(classes), runs * 10)
    run = np.tile(np.repeat(np.arange(runs), 10), classes)
    part = np.where(run == runs - 1, "test", "train")
    table = trials(np.stack([session] * people), np.stack([part] * people), run)
    if named:
        return table.assign(session=np.tile(session, people).astype(str))
    return table.assign(run=(np.tile(session * runs + run, people)).astype(str))


@pytest.mark.parametrize(("people", "classes"), [(1, 2), (1, 3), (6, 2)])
def test_class_and_session_in_one_are_found_however_few_they_are(people: int, classes: int) -> None:
    """Whole runs are held out, and permutations of two times four runs are too few for a test."""
    table = sessions_of_classes(people, classes, named=True)
    one = one_with_class(table)
    assert one is not None
    assert (one.name, one.n_parts, one.n_test) == ("session", people * classes, len(table) // 4)
    assert len(one.people) == people
    mixed = table.assign(concept=np.roll(table["concept"], 25))
    assert one_with_class(mixed) is None


def test_class_and_person_in_one_are_found() -> None:
    label = np.repeat([[0], [1], [1]], 12, axis=1)
    table = trials(label, np.resize(["train", "train", "test"], label.shape))
    one = one_with_class(table)
    assert one is not None
    assert (one.name, one.n_parts, one.n_test) == ("person", 3, 12)
    assert one_with_class(table.assign(part=np.repeat(["train", "train", "test"], 12))) is None


def test_where_no_test_can_tell_the_least_p_says_so() -> None:
    """One person, two classes, one in each half of eight runs: 2 of 70 orders are like that."""
    few = outcome(sessions_of_classes(1, 2, named=False))
    assert few.accuracy == 1
    # Of two ways; permuting the two blocks of the test alone comes to nothing.
    assert few.attainable == pytest.approx(2 * 2 / 70)
    assert few.p >= 2 / 70
    # Seven such runs a class, or three classes, are enough: 2 of 3,432 orders, 6 of 34,650.
    for enough in (
        sessions_of_classes(1, 2, named=False, runs=7),
        sessions_of_classes(1, 3, named=False),
    ):
        assert outcome(enough).attainable < ALPHA
        assert outcome(enough).p < ALPHA


def test_people_with_one_order_of_classes_are_one_draw() -> None:
    """What one person's order happens to tell is not told six times over."""
    run = np.repeat(np.arange(4), 12)
    held = np.where(run >= 3, "test", "train")
    for seed in range(4):
        label = np.random.default_rng(seed).permutation(np.resize([0, 1, 2], len(run)))
        one, many = (
            outcome(trials(np.stack([label] * n), np.stack([held] * n), run)) for n in (1, 4)
        )
        assert (one.p, one.accuracy, one.attainable) == (many.p, many.accuracy, many.attainable)


def test_clean_designs_are_not_refused() -> None:
    """Blocks in random order with whole runs held out, and single trials held out at random."""
    refused = []
    run = np.repeat(np.arange(6), 16)
    for seed in range(12):
        rng = np.random.default_rng([8, seed])
        blocks_of_four = np.concatenate([np.repeat(rng.permutation(4), 4) for _ in range(6)])
        shuffled = rng.permutation(blocks_of_four)
        for label, part in (
            (blocks_of_four, run >= 4),
            (shuffled, rng.random(len(run)) < 0.25),
        ):
            table = trials(label[None], np.where(part, "test", "train")[None], run)
            refused.append(one_with_class(table) is not None or outcome(table).p < ALPHA)
    assert sum(refused) == 0


def test_the_order_of_rows_and_the_names_of_classes_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    label = np.stack([rng.permutation(np.repeat(np.arange(4), 12)) for _ in range(2)])
    part = np.where(rng.random(label.shape) < 0.3, "test", "train")
    table = trials(label, part)
    mixed = table.sample(frac=1, random_state=0)
    assert outcome(mixed) == outcome(table)


def test_classes_on_one_side_only_cannot_be_told() -> None:
    label = np.repeat([[0, 1, 2, 3]], 10, axis=1)
    table = trials(label, np.where(label < 2, "train", "test"))
    assert test_design(table) is None
    assert test_design(table.assign(concept=pd.NA)) is None


@pytest.mark.skipif("NEUROALIGN_DATA" not in os.environ, reason="needs the real recordings")
def test_volumes_of_one_block_on_both_sides_are_refused(tmp_path: Path) -> None:
    source = Path(os.environ["NEUROALIGN_DATA"]) / "haxby2001-vt"
    table = pd.read_csv(source / "volumes.tsv", sep="\t")
    whole_runs = {"test_runs": 0.25}
    prepare_arrays(source / "bold.npy", source / "volumes.tsv", tmp_path / "runs", **whole_runs)  # type: ignore[arg-type]
    assert audit_run(tmp_path / "runs").verdict == "passed"
    at_random = np.random.default_rng(0).random(len(table)) < 0.25
    table.assign(split=np.where(at_random, "test", "train")).to_csv(
        tmp_path / "random.tsv", sep="\t", index=False
    )
    prepare_arrays(source / "bold.npy", tmp_path / "random.tsv", tmp_path / "volumes")
    audit = audit_run(tmp_path / "volumes")
    assert {f.rule for f in audit.refusals} == {"class-from-time"}
    assert {f.rule for f in audit.findings if f.severity == "warning"} == {"fitted-on-test"}
