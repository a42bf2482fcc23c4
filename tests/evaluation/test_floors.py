"""The signal-blind floor: at chance in a clean design, above it where time tells the class."""

import numpy as np
import pandas as pd
import pytest

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.floors import signal_blind_embeddings
from neuroalign.evaluation.tasks import score_retrieval
from neuroalign.recordings import Recordings, RecordingsInfo, RecordingsWriter
from neuroalign.retrieval import Embeddings

CLASSES, PER_CLASS = 6, 20


def pictures():
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(CLASSES), PER_CLASS)
    vectors = rng.normal(size=(CLASSES, 12))[label] + 0.5 * rng.normal(size=(len(label), 12))
    items = pd.DataFrame(
        {
            "kind": "picture",
            "stimulus": [f"p{i:03d}" for i in range(len(label))],
            "label": [f"c{i}" for i in label],
            "subject": None,
        }
    )
    return Embeddings(vectors, items, "x")


def recorded(folder, *, in_blocks, signals=None):
    """Simulated recordings of noise: one block a class, or all classes mixed."""
    shown = pictures()
    info = RecordingsInfo(modality="eeg", axes=("channels", "samples"), units="V", simulated=True)
    with RecordingsWriter(folder, info) as writer:
        for person in range(2):
            rng = np.random.default_rng(person)
            order = rng.permutation(len(shown))
            if in_blocks:
                order = order[np.argsort(order // PER_CLASS, kind="stable")]
            table = shown.items.iloc[order].drop(columns=["kind", "subject"])
            table = table.assign(split=np.where(order % 4 == 0, "test", "train"))
            table["run"] = [str(i // PER_CLASS) for i in range(len(order))]
            noise = rng.normal(size=(len(order), 3, 5)) if signals is None else signals
            writer.append(f"s{person}", noise, table)
    return Recordings(folder)


def class_score(recordings, view=None):
    shown = pictures()
    view = recordings.select(split="test") if view is None else view
    found = signal_blind_embeddings(recordings, view, shown)
    candidates = shown.select(stimulus=sorted(set(view.trials["stimulus"])))
    scores = score_retrieval(
        found,
        candidates,
        **{"task": "decoding", "source": "eeg", "target": "pictures", "model": "signal-blind"},
        items="single trials",
        simulated=True,
        n_permutations=499,
    )
    return next(s for s in scores if s.metric == "class_accuracy" and s.subject == "all")


def test_blocks_of_one_class_are_told_by_the_clock(tmp_path):
    score = class_score(recorded(tmp_path / "eeg", in_blocks=True))
    assert score.low > 0.7
    assert score.p == pytest.approx(1 / 500)


def test_mixed_classes_are_not(tmp_path):
    score = class_score(recorded(tmp_path / "eeg", in_blocks=False))
    assert score.low < score.chance < score.high
    assert score.p > 0.02


def test_signals_are_never_looked_at(tmp_path):
    one = recorded(tmp_path / "a", in_blocks=True)
    other = recorded(
        tmp_path / "b", in_blocks=True, signals=np.random.default_rng(9).random((120, 3, 5))
    )
    found = [signal_blind_embeddings(r, r.select(split="test"), pictures()) for r in (one, other)]
    np.testing.assert_array_equal(found[0].vectors, found[1].vectors)


def test_an_average_has_the_mean_of_its_trials(tmp_path):
    whole = recorded(tmp_path / "eeg", in_blocks=True)
    test = whole.select(split="test")
    single = signal_blind_embeddings(whole, test, pictures())
    again = signal_blind_embeddings(
        whole, test.average(["subject", "stimulus", "label"]), pictures()
    )
    np.testing.assert_allclose(again.vectors, single.vectors, atol=1e-6)  # of one trial each
    by_class = test.average(["subject", "label"])
    found = signal_blind_embeddings(whole, by_class, pictures())
    assert len(found) == 2 * CLASSES
    assert set(found.items["n_averaged"]) == {PER_CLASS // 4}


def test_a_person_without_training_trials_is_named(tmp_path):
    whole = recorded(tmp_path / "eeg", in_blocks=False)
    table = whole.trials
    table.loc[table["subject"] == "s1", "split"] = "test"
    with pytest.raises(NeuroalignError, match="s1 has 0 training trials"):
        signal_blind_embeddings(whole, whole.select(split="test"), pictures())
