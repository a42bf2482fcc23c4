"""Order and file names gain a decoder nothing: they never reach it, and ties are shared.

A decoder could cheat by them in two ways. It could read them: so a model sees signals and people
alone, one trial at a time. Or it could leave candidates tied, and have ties broken in its favour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_protocols import NAMES, Array, scored, stored_for, value_of

from laboratory import Laboratory
from neuroalign.assess.stored import Stored
from neuroalign.evaluation.baselines import embed_with_ridge, fit_ridge
from neuroalign.evaluation.floors import signal_blind_embeddings
from neuroalign.evaluation.protocols import load_protocol
from neuroalign.recordings import Recordings, write_recordings
from neuroalign.retrieval import Embeddings
from neuroalign.run import Run


def of_its_class(table: pd.DataFrame, shown: Array, _: str) -> Array:
    """Know the class and nothing of the picture: all recordings of a class are alike."""
    means = pd.DataFrame(shown).groupby(table["label"].to_numpy(object)).transform("mean")
    return means.to_numpy(np.float64)


def one_picture_a_class(stored: Stored) -> Stored:
    """Give all candidates of a class one vector: what is left to tell them is name and place."""
    judge = stored.judge
    vectors = of_its_class(judge.items, np.asarray(judge.vectors, np.float64), "")
    own = stored.models[0]
    pictures = Embeddings(vectors, own.pictures.items, own.pictures.space)
    return replace(stored, models=(replace(own, pictures=pictures),))


def turned(stored: Stored) -> Stored:
    """Name the files backwards, and put the pictures into the opposite order."""

    def renamed(items: pd.DataFrame) -> pd.DataFrame:
        stem = items["stimulus"].str.rsplit("-", n=1, expand=True)
        number = (9999 - stem[1].astype(int)).map("{:04d}".format)
        return items.assign(stimulus=stem[0] + "-" + number)

    def backwards(embeddings: Embeddings) -> Embeddings:
        whole = Embeddings(embeddings.vectors, renamed(embeddings.items), embeddings.space)
        return whole.take(np.arange(len(whole))[::-1])

    own = stored.models[0]
    items = {
        m: {
            k: Embeddings(e.vectors, renamed(e.items), e.space)  # the queries stay where they are
            for k, e in sets.items()
        }
        for m, sets in own.items.items()
    }
    moved = replace(own, pictures=backwards(own.pictures), items=items)
    return replace(stored, judge=backwards(stored.judge), models=(moved,))


@pytest.mark.parametrize("name", NAMES)
def test_no_protocol_lets_names_or_places_break_a_tie(name: str) -> None:
    """Files of a class share a prefix and lie together; those that come first win nothing."""
    protocol = load_protocol(name)
    stored = one_picture_a_class(stored_for(protocol, of_its_class, spread=1.0))
    there = {key: value_of(v) for key, v in scored(stored, protocol)}
    back = {key: value_of(v) for key, v in scored(turned(stored), protocol)}
    assert there.keys() == back.keys()
    for key, value in there.items():
        drawn = protocol.candidates.k is not None  # others are drawn where names change
        assert back[key] == pytest.approx(value, abs=0.02 if drawn else 1e-9), key


Embed = Callable[[Recordings, Recordings], np.ndarray]


@pytest.fixture
def ways(lab: Laboratory) -> dict[str, Embed]:
    """Every kind of model that is scored, fitted to training trials; then, what embeds a view."""
    run = Run(lab.run)
    maps = fit_ridge(run.recordings["eeg"].select(split="train"), run.pictures)
    return {
        "network": lambda _, view: run.bundle.embed(view).vectors,
        "ridge": lambda _, view: embed_with_ridge(maps, view, "x").vectors,
        "signal-blind": lambda all_, v: signal_blind_embeddings(all_, v, run.pictures).vectors,
    }


@pytest.mark.parametrize("way", ["network", "ridge", "signal-blind"])
def test_names_and_neighbours_never_reach_a_model(
    way: str, ways: dict[str, Embed], lab: Laboratory, tmp_path: Path
) -> None:
    whole = Recordings(lab.data / "eeg")
    trials = whole.trials.copy()
    test = (trials["split"] == "test").to_numpy(bool)
    for column in ("stimulus", "label"):
        trials.loc[test, column] = trials.loc[test, column].to_numpy()[::-1]
    signals = {s: whole.select(subject=s).read() for s in whole.subjects}
    write_recordings(tmp_path / "renamed", whole.info, signals, trials)
    renamed = Recordings(tmp_path / "renamed")
    view = whole.take(test)
    embedded = ways[way](whole, view)
    np.testing.assert_array_equal(ways[way](renamed, renamed.take(test)), embedded)
    order = np.random.default_rng(0).permutation(len(view))
    np.testing.assert_allclose(ways[way](whole, view.take(order)), embedded[order], atol=2e-6)
