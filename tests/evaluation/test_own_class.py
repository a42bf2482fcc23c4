"""The ceiling by class against plain loops, closed forms, and recordings without any signal."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from neuroalign.evaluation.attainable import Ceiling, beside_ceiling, same_question
from neuroalign.evaluation.ceilings import other_people
from neuroalign.evaluation.own_class import own_class, unit_folds
from neuroalign.evaluation.per_query import QueryValues
from neuroalign.evaluation.queries import query_values
from neuroalign.evaluation.scores import Score
from neuroalign.retrieval import Embeddings


def trials(classes=3, blocks=4, per_block=3, people=2, seed=0):
    """A table of trials in blocks of one class, in a random order of blocks."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        order = rng.permutation(np.repeat(np.arange(classes), blocks))
        for block, c in enumerate(order):
            rows += [(f"s{person}", f"c{c}", str(block))] * per_block
    table = pd.DataFrame(rows, columns=["subject", "label", "block"])
    table.insert(1, "stimulus", pd.array([None] * len(table), "string"))
    return table.assign(run="1", array_row=np.arange(len(table)))


def two_way(found):
    kept = np.isfinite(found.scores).all(axis=1)
    scores = query_values(
        found.scores[kept], found.items[kept].reset_index(drop=True), found.candidates
    )
    return scores["two_way_embedding"].values.mean()  # noqa: PD011


def by_hand(table, features, weights):
    """Leave one block of each class out, loop by loop."""
    names = sorted(table["label"].unique())
    out, noise = np.full((2, len(table), len(names)), np.nan)
    place = {}  # person, block -> which of its class's blocks it is
    for person in table["subject"].unique():
        for name in names:
            own = table[(table["subject"] == person) & (table["label"] == name)]
            for number, block in enumerate(dict.fromkeys(own["block"])):
                place[person, block] = number
    number = np.array([place[p, b] for p, b in zip(table["subject"], table["block"], strict=True)])
    for i in range(len(table)):
        rest = (table["subject"] == table["subject"][i]) & (number != number[i])
        scale = features[rest].std(axis=0)
        apart, freedom = 0.0, 0
        for j, name in enumerate(names):
            chosen = np.flatnonzero(rest & (table["label"] == name))
            mean = sum(weights[k] * features[k] for k in chosen) / weights[chosen].sum()
            share = 0.0
            for block in table["block"][chosen].unique():
                own = [k for k in chosen if table["block"][k] == block]
                centre = sum(weights[k] * features[k] for k in own) / weights[own].sum()
                apart += (((centre - mean) / scale) ** 2).sum()
                share += (weights[own].sum() / weights[chosen].sum()) ** 2
            freedom += table["block"][chosen].nunique() - 1
            out[i, j] = (((features[i] - mean) / scale) ** 2).sum()
            noise[i, j] = share
        out[i] = noise[i] * apart / freedom - out[i]
    return out


def test_it_agrees_with_plain_loops():
    rng = np.random.default_rng(1)
    table = trials()
    features = rng.normal(size=(len(table), 7)) * rng.uniform(0.1, 10, 7)
    found = own_class(table, features)
    np.testing.assert_allclose(
        found.scores, by_hand(table, features, np.ones(len(table))), rtol=1e-5
    )
    weights = rng.integers(1, 5, len(table))
    found = own_class(table.assign(n_averaged=weights), features)
    np.testing.assert_allclose(found.scores, by_hand(table, features, weights), rtol=1e-5)
    assert found.candidates["label"].tolist() == ["c0", "c1", "c2"]
    assert found.candidates["stimulus"].isna().all()
    assert found.items["n_averaged"].tolist() == weights.tolist()


def test_without_a_signal_it_is_at_chance_though_trials_of_a_block_are_alike():
    rng = np.random.default_rng(2)
    table = trials(classes=2, blocks=3, per_block=6)
    block = table.groupby(["subject", "block"]).ngroup().to_numpy()
    apart, together = [], []
    for _ in range(60):
        drift = 2 * rng.normal(size=(block.max() + 1, 10))[block]
        noise = drift + rng.normal(size=(len(table), 10))
        apart.append(two_way(own_class(table, noise)))
        together.append(two_way(own_class(table.drop(columns="block"), noise)))
    error = np.std(apart) / np.sqrt(len(apart))
    assert np.mean(apart) == pytest.approx(0.5, abs=4 * error)
    assert error < 0.03
    # and had blocks been torn apart, their own noise would have passed for the class
    assert np.mean(together) > 0.85


def test_single_trials_without_a_signal_are_at_chance():
    rng = np.random.default_rng(3)
    table = trials(classes=2, blocks=25, per_block=1).drop(columns="block")
    found = [two_way(own_class(table, rng.normal(size=(len(table), 4)))) for _ in range(60)]
    assert np.mean(found) == pytest.approx(0.5, abs=4 * np.std(found) / np.sqrt(len(found)))


def test_larger_classes_are_not_favoured():
    rng = np.random.default_rng(11)
    table = trials(classes=2, blocks=30, per_block=1, people=1)
    fewer = (table["label"] == "c0") | (table.groupby("label").cumcount() < 10)
    table = table[fewer].reset_index(drop=True)
    found = [two_way(own_class(table, rng.normal(size=(len(table), 10)))) for _ in range(60)]
    assert np.mean(found) == pytest.approx(0.5, abs=4 * np.std(found) / np.sqrt(len(found)))


def test_a_signal_without_noise_scores_one():
    table = trials()
    pattern = np.random.default_rng(4).normal(size=(3, 5))
    features = pattern[table["label"].str[1].astype(int)]
    assert two_way(own_class(table, features)) == 1.0


def test_two_gaussian_classes_are_told_apart_as_well_as_they_can_be():
    rng = np.random.default_rng(5)
    table = trials(classes=2, blocks=1500, per_block=1, people=1).drop(columns="block")
    apart = 1.3
    features = (
        rng.normal(size=(len(table), 1)) + apart * (table["label"] == "c1").to_numpy()[:, None]
    )
    assert two_way(own_class(table, features)) == pytest.approx(norm.cdf(apart / 2), abs=0.02)


def test_a_class_with_one_unit_is_a_wrong_answer_and_no_question():
    table = trials(people=1)
    lone = (table["label"] != "c2") | (
        table["block"] == table["block"][table["label"] == "c2"].min()
    )
    table = table[lone].reset_index(drop=True)
    features = np.random.default_rng(6).normal(size=(len(table), 4))
    found = own_class(table, features)
    of_it = (table["label"] == "c2").to_numpy()
    assert np.isnan(found.scores[of_it]).all()
    assert np.isfinite(found.scores[~of_it]).all()
    assert own_class(table[table["label"] == "c0"], features[:1]) is None


def test_people_without_a_class_have_no_score_for_it():
    table = trials()
    kept = ((table["subject"] == "s0") | (table["label"] != "c2")).to_numpy()
    features = np.random.default_rng(7).normal(size=(len(table), 4))
    found = own_class(table[kept].reset_index(drop=True), features[kept])
    other = (found.items["subject"] == "s1").to_numpy()
    np.testing.assert_array_equal(np.isnan(found.scores), other[:, None] & [False, False, True])


def test_it_does_not_depend_on_the_order_of_the_items():
    table = trials(blocks=12)
    features = np.random.default_rng(8).normal(size=(len(table), 4))
    order = np.random.default_rng(9).permutation(len(table))
    straight = own_class(table, features)
    mixed = own_class(table.iloc[order].reset_index(drop=True), features[order])
    np.testing.assert_allclose(mixed.scores, straight.scores[order], rtol=1e-6)


def test_folds_hold_units_together_and_take_alike_from_all_classes():
    table = trials(blocks=25, per_block=2)
    fold = unit_folds(table)
    assert set(fold) == set(range(10))
    together = table.assign(fold=fold).groupby(["subject", "block"])["fold"].nunique()
    assert (together == 1).all()
    taken = table.assign(fold=fold).groupby(["fold", "subject", "label"]).size()
    assert (taken.groupby("fold").max() == taken.groupby("fold").min()).all()
    few = unit_folds(trials(blocks=4))
    assert set(few) == set(range(4))
    unknown = table.assign(label=table["label"].where(table["label"] != "c1"))
    np.testing.assert_array_equal(unit_folds(unknown) == -1, unknown["label"].isna())


def test_other_people_find_the_class_that_people_share():
    rng = np.random.default_rng(10)
    table = trials(people=3).assign(kind="eeg")
    pattern = rng.normal(size=(3, 20))[table["label"].str[1].astype(int)]
    names = ["c0", "c1", "c2"]
    alike = Embeddings(pattern + 0.1 * rng.normal(size=pattern.shape), table, "x")
    assert two_way(other_people(alike, names, "label")) == 1.0
    vectors = rng.normal(size=pattern.shape)
    found = other_people(Embeddings(vectors, table, "x"), names, "label")
    unit = Embeddings(vectors, table, "x").vectors.astype(float)
    means = np.zeros((3, 20))
    for person in ("s1", "s2"):
        for c in range(3):
            chosen = (table["subject"] == person) & (table["label"] == names[c])
            mean = unit[chosen.to_numpy()].mean(axis=0)
            means[c] += mean / np.linalg.norm(mean)
    expected = unit[0] @ means.T / np.linalg.norm(means, axis=1)
    np.testing.assert_allclose(found.scores[0], expected, rtol=1e-4, atol=1e-6)
    assert other_people(alike.select(subject="s0"), names, "label") is None


def score(metric="class_top1", chance=0.5, gallery=96, note=""):
    head = ("decoding", "eeg", "pictures", "m", metric, 0.7, 0.6, 0.8, chance, 10, gallery)
    return Score(*head, items="single trials", note=note)


def test_a_ceiling_is_one_of_the_same_question():
    nearest = score()
    assert same_question(nearest, score(gallery=2))
    assert not same_question(nearest, score(chance=0.125, gallery=8))
    precision = score("class_average_precision", chance=0.51)
    assert not same_question(precision, score("class_average_precision", chance=0.75, gallery=2))
    by_class = "over classes: the picture is not known"
    pairs = score("two_way_embedding", note=by_class)
    assert same_question(pairs, score("two_way_embedding", gallery=2, note=by_class))
    assert not same_question(pairs, score("two_way_embedding"))


def ceiling(metric, values, *, gallery=2, **more):
    n = len(values)
    level = 0.5 if metric == "two_way_embedding" else 1 / gallery
    found = QueryValues(metric, np.arange(n), values, np.full(n, level), np.arange(n), gallery)
    return Ceiling("own class", {"all": {metric: found}}, **more)


def test_a_score_and_its_ceiling_stand_beside_each_other():
    values = np.repeat([1.0, 0.0], [9, 1])
    ours = ceiling("class_top1", np.repeat([1.0, 0.0], [7, 3])).by_person["all"]["class_top1"]
    found = beside_ceiling(score(), ours, ceiling("class_top1", values))
    assert found.ceiling == pytest.approx(0.9)
    assert found.share == pytest.approx(0.2 / 0.4)
    apart = beside_ceiling(score(), ours, ceiling("class_top1", values, paired=False))
    assert (apart.ceiling, apart.share) == (found.ceiling, pytest.approx(found.share))
    assert apart.share_low != found.share_low


def test_a_share_of_what_never_varies_is_not_certain():
    ones = np.ones(6)
    perfect = ceiling("class_top1", ones)
    ours = perfect.by_person["all"]["class_top1"]
    low = ours.interval().low
    described = Score(
        *("decoding", "fmri", "pictures", "m", "class_top1", 1.0, low, 1.0, 0.5, 6, 96),
        items="averages",
    )
    found = beside_ceiling(described, ours, perfect)
    assert found.share == 1.0
    assert found.share_low < 0.8
