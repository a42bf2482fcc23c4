"""Scores of the three tasks: oracles score 1, random decoders chance, nothing depends on order."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.differences import compare
from neuroalign.evaluation.normalised import normalise_conversion
from neuroalign.evaluation.per_query import QueryValues, ratio_interval
from neuroalign.evaluation.queries import retrieval_values
from neuroalign.evaluation.scores import Score, read_scores, write_scores
from neuroalign.evaluation.tasks import score_matrix, score_retrieval
from neuroalign.retrieval import Embeddings, concatenate

N, DIMS = 40, 24
PEOPLE = ("sub-01", "sub-02")
DESCRIBED = {"task": "t", "source": "eeg", "target": "pictures", "model": "m", "items": "trials"}


def pictures(n=N, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(n, DIMS))
    items = pd.DataFrame(
        {
            "kind": "picture",
            "stimulus": [f"p{i:03d}" for i in range(n)],
            "label": [f"class{i % 8}" for i in range(n)],
            "subject": None,
        }
    )
    return Embeddings(vectors, items, "test")


def recordings(kind="eeg", noise=0.0, seed=1, repeats=1, of=None):
    """Noisy copies of the picture embeddings, for each person; noise 1 is as strong as they are."""
    source = pictures() if of is None else of
    rng = np.random.default_rng(seed)
    parts = [
        Embeddings(
            source.vectors + noise / np.sqrt(DIMS) * rng.normal(size=source.vectors.shape),
            source.items.assign(kind=kind, subject=person, repetition=repeat),
            "test",
        )
        for person in PEOPLE
        for repeat in range(repeats)
    ]
    return concatenate(parts)


def random_like(embeddings, seed):
    vectors = np.random.default_rng(seed).normal(size=embeddings.vectors.shape)
    return Embeddings(vectors, embeddings.items, "test")


def class_only(embeddings):
    return Embeddings(embeddings.vectors, embeddings.items.assign(stimulus=None), "test")


def score(queries, gallery, judge=True, **more):
    return score_retrieval(
        queries, gallery, pictures=pictures() if judge else None, **(DESCRIBED | more)
    )


def by_metric(scores, subject="all"):
    return {s.metric: s for s in scores if s.subject == subject}


TASKS = {
    "decoding": (recordings(repeats=2), pictures()),
    "encoding": (pictures(), recordings(repeats=2)),
    "conversion": (recordings("eeg", repeats=2), recordings("fmri")),
}
ITEM = {"top1", "top5", "two_way_embedding", "two_way_retrieved"}
CLASS = {"class_top1", "class_top5", "class_accuracy", "balanced_accuracy"}


@pytest.mark.parametrize("task", TASKS)
def test_an_oracle_scores_one_on_items(task):
    scores = score(*TASKS[task])
    assert {s.subject for s in scores} == {"all", *PEOPLE}
    for s in scores:
        # The nearest class mean is not the nearest item: an oracle of pictures may miss it.
        if s.metric not in ("class_accuracy", "balanced_accuracy"):
            assert s.value == 1.0 == s.high, s
            assert s.chance < 1
            assert s.low < 1
    assert set(by_metric(scores)) == ITEM | CLASS


@pytest.mark.parametrize("swap", [False, True])
def test_an_oracle_scores_one_on_classes(swap):
    labels = pictures().items["label"].str.removeprefix("class").astype(int).to_numpy()
    prototypes = Embeddings(np.eye(DIMS)[labels], pictures().items, "test")
    pair = [class_only(recordings(of=prototypes)), prototypes]
    scores = score(*(pair[::-1] if swap else pair))
    assert set(by_metric(scores)) == CLASS | {"two_way_embedding", "two_way_retrieved"}
    assert all(s.value == 1.0 for s in scores)
    assert by_metric(scores)["two_way_embedding"].note.startswith("over classes")
    assert by_metric(scores)["two_way_retrieved"].note.startswith("over classes")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("known", ["picture", "class"])
def test_random_decoders_score_chance_in_each_metric(task, known):
    """Over independent random decoders the mean is chance, within its own standard error."""
    queries, gallery = TASKS[task]
    if known == "class":
        queries = class_only(queries)
    values, chance = {}, {}
    for seed in range(20):
        a, b = random_like(queries, 2 * seed), random_like(gallery, 2 * seed + 1)
        for s in score(a, b, n_boot=2):
            values.setdefault((s.metric, s.subject), []).append(s.value)
            chance[s.metric, s.subject] = s.chance
    for key, drawn in values.items():
        error = np.std(drawn, ddof=1) / np.sqrt(len(drawn))
        assert abs(np.mean(drawn) - chance[key]) < 4 * error + 1e-9, (key, np.mean(drawn))


def test_intervals_of_random_decoders_hold_chance():
    """In 95 of 100 cases, for each metric; scores are independent, as the bootstrap assumes."""
    items = pictures(96).items
    rng = np.random.default_rng(4)
    held = {}
    for seed in range(60):
        scores = rng.normal(size=(96, 96))
        for s in score_matrix(
            scores, items, items, pictures=pictures(96), n_boot=300, seed=seed, **DESCRIBED
        ):
            held.setdefault(s.metric, []).append(s.low <= s.chance <= s.high)
    assert set(held) == ITEM | CLASS
    for metric, hits in held.items():
        assert np.mean(hits) >= 0.87, (metric, np.mean(hits))


def test_uneven_repeats_in_the_gallery_enter_chance():
    """A picture with nine of sixteen recordings is hit by chance nine times in sixteen."""
    few = pictures(8)
    gallery = few.take([0] * 9 + list(range(1, 8)))
    values = retrieval_values(random_like(few, 5), gallery, few)
    np.testing.assert_allclose(values["top1"].chance, [9 / 16] + [1 / 16] * 7)
    drawn = []
    for seed in range(100):
        found = retrieval_values(random_like(few, seed), random_like(gallery, 1000 + seed), few)
        drawn.append(found["two_way_retrieved"].values)
    error = np.std(drawn, axis=0) / np.sqrt(100)
    assert (np.abs(np.mean(drawn, axis=0) - values["two_way_retrieved"].chance) < 4 * error).all()


def test_two_way_equals_scikit_learn_on_duplicates():
    queries, gallery = recordings(noise=1.0, repeats=2), recordings("fmri", noise=1.0, seed=7)
    cosines = queries.vectors @ gallery.vectors.T
    right = queries.items["stimulus"].to_numpy()[:, None] == gallery.items["stimulus"].to_numpy()
    expected = [roc_auc_score(r, c) for r, c in zip(right, cosines, strict=True)]
    found = retrieval_values(queries, gallery)["two_way_embedding"]
    np.testing.assert_allclose(found.values, expected, atol=1e-6)


def test_order_of_items_does_not_matter():
    queries, gallery = recordings(noise=2.0), recordings("fmri", noise=2.0, seed=8)
    rng = np.random.default_rng(9)
    shuffled = queries.take(rng.permutation(len(queries))), gallery.take(rng.permutation(80))
    first = {(s.metric, s.subject): s for s in score(queries, gallery)}
    for s in score(*shuffled):
        other = first[s.metric, s.subject]
        assert (s.value, s.low, s.high, s.chance) == pytest.approx(
            (other.value, other.low, other.high, other.chance), abs=1e-9
        )


def test_numbers_do_not_change_with_the_hash_seed():
    """Ranks that pass through a Python set would."""
    program = (
        "import numpy as np, pandas as pd\n"
        "from neuroalign.retrieval import Embeddings\n"
        "from neuroalign.evaluation.tasks import score_retrieval\n"
        "rng = np.random.default_rng(0)\n"
        "items = pd.DataFrame({'kind': 'eeg', 'stimulus': [f'p{i}' for i in range(30)],\n"
        "    'label': [f'c{i % 3}' for i in range(30)], 'subject': None})\n"
        "a, b = (Embeddings(rng.integers(1, 4, (30, 3)), items, 's') for _ in range(2))\n"
        "print(score_retrieval(a, b, task='t', source='s', target='t', model='m', items='i',\n"
        "    pictures=a, n_boot=50))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "12345")
    }
    assert len(outputs) == 1
    assert "two_way_retrieved" in outputs.pop()


def test_encoding_scores_each_person_in_their_own_gallery():
    good, bad = recordings().select(subject="sub-01"), recordings().select(subject="sub-02")
    gallery = concatenate([good, random_like(bad, 10)])
    scores = score(pictures(), gallery)
    assert by_metric(scores, "sub-01")["top1"].value == 1.0
    assert by_metric(scores, "sub-01")["top1"].n_gallery == N
    assert by_metric(scores, "sub-02")["top1"].value < 0.2
    assert by_metric(scores)["top1"].n_gallery == 2 * N


def test_decoding_scores_each_person_by_their_own_queries():
    good, bad = recordings().select(subject="sub-01"), recordings().select(subject="sub-02")
    scores = score(concatenate([good, random_like(bad, 11)]), pictures())
    one, two = by_metric(scores, "sub-01")["top1"], by_metric(scores, "sub-02")["top1"]
    assert one.value == 1.0 and two.value < 0.2
    assert one.n_queries == two.n_queries == N
    assert by_metric(scores)["top1"].value == pytest.approx((one.value + two.value) / 2)


def test_trials_of_one_picture_are_one_unit():
    few = recordings(noise=2.0, seed=12)
    many = concatenate([few] * 20)
    narrow, wide = (
        by_metric(score(q, pictures(), cluster=c))["two_way_embedding"]
        for q, c in ((many, None), (few, ["stimulus"]))
    )
    assert (narrow.low, narrow.high) == pytest.approx((wide.low, wide.high))
    naive = (
        by_metric(score(many, pictures(), cluster=["subject", "stimulus", "trial"]))
        if ("trial" in many.items)
        else None
    )
    assert naive is None


def test_blocks_are_the_unit_where_only_classes_are_known():
    rng = np.random.default_rng(13)
    block = np.repeat(np.arange(24), 9)
    labels = np.array([f"class{b % 8}" for b in block])
    items = pd.DataFrame(
        {"kind": "fmri", "stimulus": None, "label": labels, "subject": "s", "block": block}
    )
    vectors = np.repeat(rng.normal(size=(24, DIMS)), 9, axis=0)
    values = retrieval_values(Embeddings(vectors, items, "test"), pictures())
    assert values["class_top1"].interval().n_clusters == 24
    single = retrieval_values(Embeddings(vectors, items.drop(columns="block"), "test"), pictures())
    assert single["class_top1"].interval().n_clusters == 216


def test_pictures_that_the_two_sides_do_not_share_leave_the_retrieved_two_way():
    """As in the paper: three data sets, no picture in common."""
    half = np.arange(N) < N // 2
    source = recordings(noise=0.5).take(np.tile(half, 2))
    target = recordings("fmri", noise=0.5, seed=14).take(np.tile(~half, 2))
    found = by_metric(score(source, target))
    assert "top1" not in found
    assert found["two_way_retrieved"].chance == 0.5
    assert found["two_way_retrieved"].value > 0.7  # the nearest other picture is found
    assert found["two_way_embedding"].note == "over classes: no picture is on both sides"


def test_queries_without_a_right_candidate_are_counted_in_the_note():
    found = by_metric(score(recordings(), pictures().take(np.arange(30))))
    assert found["top1"].n_queries == 60
    assert found["top1"].note == "the other 20 have no right candidate"
    assert found["two_way_retrieved"].n_queries == 80


def test_score_matrix_of_the_cosines_is_score_retrieval():
    queries, gallery = recordings(noise=2.0), recordings("fmri", noise=2.0, seed=15)
    for a, b in ((queries, gallery), (pictures(), gallery)):
        cosines = (a.vectors.astype(float) @ b.vectors.T.astype(float)).astype(np.float32)
        plain = score_matrix(cosines, a.items, b.items, pictures=pictures(), **DESCRIBED)
        assert plain == score(a, b)


def test_log_likelihoods_keep_their_last_digits():
    items = pictures(3).items
    scores = np.full((3, 3), -1e9) + 1e-3 * np.eye(3)
    found = score_matrix(
        scores, items, items, task="t", source="s", target="t", model="ideal", items="i"
    )
    assert by_metric(found)["top1"].value == 1.0


def test_the_ideal_observers_score_stands_beside():
    ideal = score(recordings(noise=0.5), pictures())
    for s in score(recordings(noise=2.0), pictures(), ceiling=ideal, simulated=True):
        assert s.simulated
        assert s.ceiling == by_metric(ideal, s.subject)[s.metric].value


def test_paired_comparison_of_two_models():
    good = retrieval_values(recordings(noise=1.0), pictures())["two_way_embedding"]
    bad = retrieval_values(recordings(noise=3.0), pictures())["two_way_embedding"]
    difference = compare(good, bad)
    assert difference.value == pytest.approx(np.mean(good.values - bad.values))  # noqa: PD011
    assert difference.low > 0
    assert difference.n_clusters == N
    with pytest.raises(NeuroalignError, match="one metric on the same queries"):
        compare(good, bad.among(np.arange(80) < 7))


def conversion(metric="two_way_retrieved", value=0.671, low=0.62, high=0.72):
    return Score(
        "conversion", "fmri", "eeg", "m", metric, value, low, high, 0.51, 99, 99, items="trials"
    )


def decoding(value=0.802, low=0.76, high=0.84):
    return Score(
        "decoding", "eeg", "pictures", "m", "two_way_retrieved", value, low, high, 0.51, 9, 9, "t"
    )


def test_normalised_conversion_is_over_the_decoding_of_the_target():
    found = normalise_conversion(conversion(), decoding())
    assert found.value == pytest.approx(0.8370, abs=5e-4)  # the paper's fMRI -> EEG
    assert found.chance == pytest.approx(0.51 / 0.802)
    assert found.low < 0.62 / 0.802 < found.value < 0.72 / 0.802 < found.high
    exact = normalise_conversion(conversion(), decoding(low=0.802, high=0.802))
    assert (exact.low, exact.high) == pytest.approx((0.62 / 0.802, 0.72 / 0.802))


def test_normalised_interval_covers():
    rng = np.random.default_rng(16)
    hits = 0
    for _ in range(400):
        c, d = 0.65 + 0.02 * rng.normal(), 0.80 + 0.02 * rng.normal()
        half = 1.96 * 0.02
        s = normalise_conversion(
            conversion(value=c, low=c - half, high=c + half),
            decoding(value=d, low=d - half, high=d + half),
        )
        hits += s.low <= 0.65 / 0.80 <= s.high
    assert 0.925 <= hits / 400 <= 0.98


def test_a_ratio_drawn_together_cancels_what_is_hard_for_both():
    rng = np.random.default_rng(17)
    pictures, people = 60, 3
    easy = 0.1 * rng.normal(size=(pictures, 1))
    sides = []
    for mean in (0.65, 0.8):
        values = (mean + easy + 0.03 * rng.normal(size=(pictures, people))).ravel()
        chance, positions = np.full(len(values), 0.5), np.arange(len(values))
        units = np.repeat(np.arange(pictures), people)
        sides.append(QueryValues("two_way_retrieved", positions, values, chance, units, pictures))
    top, bottom = sides
    intervals = [v.interval() for v in sides]
    found = ratio_interval(top, bottom)
    apart = normalise_conversion(
        *(
            make(value=i.value, low=i.low, high=i.high)
            for make, i in zip((conversion, decoding), intervals, strict=True)
        )
    )
    together = normalise_conversion(conversion(), decoding(), found)
    assert (together.low, together.high) == (found.low, found.high)
    assert found.value == pytest.approx(intervals[0].value / intervals[1].value)
    assert found.high - found.low < 0.6 * (apart.high - apart.low)
    # People behind one of them only cannot be drawn for both.
    assert ratio_interval(replace(top, people=units.astype(str)), bottom) is None


def test_normalising_by_another_modality_is_refused():
    with pytest.raises(NeuroalignError, match=r"conversion to eeg .* got two_way_retrieved of eeg"):
        normalise_conversion(conversion(metric="top1"), decoding())


def test_scores_round_trip(tmp_path):
    scores = score(recordings(noise=2.0), pictures())
    write_scores(scores, tmp_path / "scores.json")
    assert read_scores(tmp_path / "scores.json") == scores


def bad_inputs():
    nothing = pictures().items.assign(stimulus=None, label=None)
    nameless = Embeddings(pictures().vectors, nothing, "test")
    yield (nameless, pictures()), "nothing tells which candidates are right"
    yield (recordings().take([]), pictures()), "got 0 and 40"
    yield (recordings(), pictures().take([0])), "two candidates: got 80 and 1"
    other = Embeddings(pictures().vectors, pictures().items, "other")
    yield (recordings(), other), "'test'.*'other'"
    more = pictures(50)
    yield (recordings(), more), r"lack 10 of 50 stimulus values .* \['p040'"


@pytest.mark.parametrize(("pair", "message"), list(bad_inputs()))
def test_what_cannot_be_scored_is_explained(pair, message):
    with pytest.raises(NeuroalignError, match=message):
        score(*pair)


def test_a_matrix_that_does_not_fit_is_refused():
    items = pictures(3).items
    with pytest.raises(NeuroalignError, match=r"\(2, 3\), but there are 3 queries and 3"):
        score_matrix(np.zeros((2, 3)), items, items, **DESCRIBED)
    broken = np.zeros((3, 3))
    broken[1, 2] = np.nan
    with pytest.raises(NeuroalignError, match="first: query 1, candidate 2"):
        score_matrix(broken, items, items, **DESCRIBED)
