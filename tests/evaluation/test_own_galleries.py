"""Galleries of one person each: every metric has a p-value, and its chance is confirmed."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation import tasks
from neuroalign.evaluation.own_galleries import own_galleries, part_of
from neuroalign.evaluation.pairs import Cosines
from neuroalign.evaluation.queries import Asked, query_values
from neuroalign.evaluation.significance import p_values_by_person
from neuroalign.evaluation.tasks import score_retrieval, values_by_person
from neuroalign.retrieval import Embeddings

ASKED = Asked(
    metrics=(
        *("top1", "top5", "class_top1", "class_top5", "class_accuracy", "balanced_accuracy"),
        *("two_way_embedding", "two_way_retrieved", "median_rank", "mean_reciprocal_rank"),
        *("class_average_precision", "k_way"),
    ),
    k=3,
)


def retrieval(seed, task, signal=0.0, pictures=14):
    """Recordings of two people, of whom the second saw two pictures less."""
    rng = np.random.default_rng(seed)
    kind = np.arange(pictures) % 3
    vectors = rng.normal(size=(3, 4))[kind] + 0.5 * rng.normal(size=(pictures, 4))
    table = pd.DataFrame(
        {
            "kind": "picture",
            "stimulus": [f"p{i:02d}" for i in range(pictures)],
            "label": [f"c{i}" for i in kind],
            "subject": None,
        }
    )
    alike = rng.normal(size=(pictures, 4))  # what recordings have in common, of all people

    def recorded(modality):
        rows = np.concatenate([np.arange(pictures), np.arange(pictures - 2)])
        items = table.iloc[rows].assign(
            kind=modality, subject=np.repeat(["a", "b"], [pictures, pictures - 2])
        )
        noise = 0.5 * rng.normal(size=(len(rows), 4))
        return Embeddings(signal * vectors[rows] + alike[rows] + noise, items, "x")

    shown = Embeddings(vectors, table, "x")
    fmri = recorded("fmri")
    if task == "encoding":
        return shown, fmri, shown
    alike = rng.normal(size=(pictures, 4))
    return recorded("eeg"), fmri, shown


def found(queries, gallery, judge, n=39, seed=0):
    pairs = Cosines(queries.vectors, gallery.vectors)
    options = {"asked": ASKED, "pictures": judge}
    values = values_by_person(pairs, queries.items, gallery.items, people="separate", **options)
    return p_values_by_person(
        pairs,
        queries.items,
        gallery.items,
        values,
        separate=True,
        n_permutations=n,
        seed=seed,
        **options,
    )


@pytest.mark.parametrize("task", ["encoding", "conversion"])
def test_every_metric_has_a_p_value(task):
    p = found(*retrieval(0, task, 3.0), n=99)
    assert set(p) == {(who, m) for who in ("all", "a", "b") for m in ASKED.metrics}
    for metric in ("median_rank", "balanced_accuracy", "two_way_embedding", "top1"):
        assert p["all", metric] == 0.01
    order = np.random.default_rng(0).permutation(26)
    queries, gallery, judge = retrieval(0, task, 0.3)
    mixed = found(queries, gallery.take(order), judge)
    assert mixed == pytest.approx(found(queries, gallery, judge))


@pytest.mark.parametrize("task", ["encoding", "conversion"])
def test_p_values_of_joined_galleries_are_uniform(task):
    drawn = defaultdict(list)
    for seed in range(40):
        for (who, metric), p in found(*retrieval(seed, task), n=19, seed=seed).items():
            if who == "all":
                drawn[metric].append(p)
    assert set(drawn) == set(ASKED.metrics)
    for metric, values in drawn.items():
        # Where few scores are possible, ties make p-values larger: never smaller.
        assert kstest(values, "uniform", alternative="greater").pvalue > 0.005, metric
    for metric in ("two_way_embedding", "mean_reciprocal_rank", "class_average_precision"):
        assert kstest(drawn[metric], "uniform").pvalue > 0.005, metric


def test_a_part_of_joined_galleries_is_what_was_joined():
    queries, gallery, judge = retrieval(2, "conversion", 1.0)
    pairs = Cosines(queries.vectors, gallery.vectors)
    options = {"asked": ASKED, "pictures": judge}
    values = values_by_person(pairs, queries.items, gallery.items, people="separate", **options)
    for number, rows in enumerate(own_galleries(gallery.items).values()):
        alone = query_values(pairs.among(rows), queries.items, gallery.items.iloc[rows], **options)
        for metric, joined in values["all"].items():
            part = part_of(joined, number, len(queries))
            for field in ("positions", "values", "chance", "clusters"):
                np.testing.assert_array_equal(getattr(part, field), getattr(alone[metric], field))


@pytest.mark.parametrize("task", ["encoding", "conversion"])
def test_chance_is_confirmed_in_each_gallery(monkeypatch, task):
    queries, gallery, judge = retrieval(3, task, 0.5)
    described = {"task": task, "source": "eeg", "target": "fmri", "model": "m", "items": "i"}
    options = described | {"pictures": judge, "asked": ASKED, "people": "separate"}
    scores = score_retrieval(queries, gallery, n_permutations=9, n_boot=20, **options)
    assert all(s.p is not None for s in scores)

    def wrong(*args, **more):
        values = values_by_person(*args, **more)
        top1 = values["all"]["top1"]
        second = top1.positions >= len(queries)
        chance = np.where(second, 0.5, top1.chance)
        values["all"]["top1"] = replace(top1, chance=chance)
        return values

    monkeypatch.setattr(tasks, "values_by_person", wrong)
    with pytest.raises(NeuroalignError, match="i of b: the chance level of top1 is computed as"):
        score_retrieval(queries, gallery, n_permutations=0, n_boot=20, **options)
