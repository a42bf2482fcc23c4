"""P-values of recordings that are asked of recordings of their own kind."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from neuroalign.assess import diagonal_chance
from neuroalign.assess.diagonal import within_people
from neuroalign.assess.diagonal_chance import (
    confirm_recordings,
    geometry_p_value,
    recordings_p_value,
)
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.mutual import MutualRetrieval
from neuroalign.retrieval import Embeddings


def one_person(seed, *, known, signal=0.0, repeats=4, pictures=6):
    """Recordings of one person: of pictures shown several times, or of blocks of a class."""
    rng = np.random.default_rng(seed)
    what, n = np.tile(np.arange(pictures), repeats), pictures * repeats
    table = pd.DataFrame(
        {
            "kind": "eeg",
            "stimulus": [f"p{i}" for i in what],
            "label": [f"c{i % 2}" for i in what],
            "subject": "s",
        }
    )
    shared = signal * np.eye(pictures, 5)[what % 2 if not known else what]
    if known:
        return Embeddings(shared + rng.normal(size=(n, 5)), table, "x")
    blocks = np.repeat(np.arange(n), 2)
    vectors = (shared + rng.normal(size=(n, 5)))[blocks]  # what trials of a block have in common
    table = table.iloc[blocks].assign(stimulus=None, block=[f"b{i:02d}" for i in blocks])
    return Embeddings(vectors + 0.3 * rng.normal(size=vectors.shape), table, "x")


def p_of(items, seed=0):
    return recordings_p_value(items, within_people(items), None, seed=seed)


@pytest.mark.parametrize("known", [True, False])
def test_p_values_within_a_person_are_uniform(monkeypatch, known):
    def few(*args, **options):
        return MutualRetrieval(*args, n_permutations=39, **options)

    monkeypatch.setattr(diagonal_chance, "MutualRetrieval", few)
    values = within_people(one_person(0, known=known))  # says what is scored, and no more
    found = [
        recordings_p_value(one_person(seed, known=known), values, None, seed=seed)
        for seed in range(60)
    ]
    assert kstest(found, "uniform").pvalue > 0.01


@pytest.mark.parametrize("known", [True, False])
def test_a_signal_within_a_person_is_found(known):
    items = one_person(0, known=known, signal=2.0)
    values = within_people(items)
    assert p_of(items) <= 0.002
    folds = values.clusters if known else items.items["block"]
    assert len(np.unique(folds)) > 4
    confirm_recordings(items, values, None, "here")


def test_the_first_labelling_scores_what_stands_in_the_cell():
    for known in (True, False):
        items = one_person(1, known=known, signal=1.0)
        values = within_people(items)
        sides, by, single = diagonal_chance._sides(items, values)
        tally = MutualRetrieval(items, sides, by, single=single, n_permutations=1).two_way()
        assert tally.scores()[0] == pytest.approx(np.mean(values.values))


def test_a_wrong_chance_level_of_picture_geometry_is_an_error():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"kind": "picture", "stimulus": list("abcdefgh"), "label": "c"})
    spaces = [
        Embeddings(rng.normal(size=(8, 3)), table.assign(subject=None), name) for name in "xy"
    ]
    assert 0 < geometry_p_value(*spaces, 0.5) <= 1
    with pytest.raises(NeuroalignError, match="pictures among pictures: the chance level of"):
        geometry_p_value(*spaces, 0.5 + 0.5 / 8)
