"""The test of a design whose classes nobody named: whether pictures are told without signals.

It scores the same floor as every table: `evaluation.floors.signal_blind_embeddings` predicts what
was shown from the time of the recording alone. Its score is a mean 2-way accuracy, of the shown
test picture against each other test picture of the person.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.audit.design import ALPHA, DesignTest
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.floors import signal_blind_embeddings
from neuroalign.evaluation.signal_blind import recorded_order
from neuroalign.recordings.container import Recordings
from neuroalign.retrieval.embeddings import Embeddings

_DRAWS = 999
_BLOCK = 1024
_FLOOR = "the time of recording (the signal-blind floor)"
_BESIDE = "the training pictures right before and after it"

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Told:
    """One person's trials in the order of recording, predicted in one way.

    `worth` holds the 2-way accuracy that each trial would have with each test picture, shape
    (n_trials, n_pictures); `shown` is the picture it has.
    """

    worth: _Floats
    shown: _Ints
    order: int

    @property
    def right(self) -> float:
        return self._sum(self.shown)

    def shifted(self, rng: np.random.Generator, draws: int) -> _Floats:
        """Move what was shown along by a random number of trials, which keeps blocks whole."""
        n = len(self.shown)
        every = np.array([self._sum(np.roll(self.shown, k)) for k in range(n)])
        return every[rng.integers(0, n, draws)]

    def mixed(self, rng: np.random.Generator, draws: int) -> _Floats:
        """Permute what was shown."""
        return np.array([self._sum(rng.permutation(self.shown)) for _ in range(draws)])

    def _sum(self, shown: _Ints) -> float:
        return float(self.worth[np.arange(len(shown)), shown].sum())


def test_pictures(
    recordings: Recordings,
    parts: pd.Series[str],
    pictures: Embeddings,
    *,
    seed: int = 0,
    draws: int = _DRAWS,
) -> DesignTest:
    """Predict the pictures of test trials from their place in the recording.

    Two ways are tried. (1) The signal-blind floor: a ridge regression for each person from the
    time of recording to the embeddings of the training pictures. Under the null hypothesis the
    sequence of test pictures could as well have begun elsewhere: it is moved along, person by
    person, so that blocks stay blocks. (2) The mean embedding of the training pictures shown right
    before and after a test trial; here the test pictures of a person are permuted singly.

    Parameters
    ----------
    recordings : Recordings
        Training and test; each trial names its picture.
    parts : pandas.Series
        The part of each trial: test or another.
    pictures : Embeddings
        All pictures that were shown.
    seed : int
    draws : int

    Returns
    -------
    DesignTest
        With 2-way accuracies.

    Raises
    ------
    NeuroalignError
        A trial names no picture, or the floor cannot be fitted.
    """
    trials = recordings.trials
    nameless = int(trials["stimulus"].isna().sum())
    if nameless:
        raise NeuroalignError(f"{nameless} of {len(trials)} trials do not name their picture")
    vectors = pictures.vectors - pictures.vectors.mean(axis=0)
    centred = Embeddings(vectors, pictures.items, pictures.space)
    tested = (parts == "test").to_numpy(bool)
    blind = signal_blind_embeddings(recordings, recordings.take(tested), centred)
    predicted = pd.Series(np.arange(len(blind)), index=_keys(blind.items))
    place = pd.Series(np.arange(len(pictures)), index=pictures.items["stimulus"].map(str))
    table = trials.assign(test=tested).iloc[recorded_order(trials)]
    floors, neighbours = [], []
    for _, own in table.groupby(table["subject"].astype(str), sort=True):
        test = own["test"].to_numpy(bool)
        shown = place.loc[own["stimulus"].map(str)].to_numpy(np.int64)
        candidates, which = np.unique(shown[test], return_inverse=True)
        if len(candidates) < 2 or test.all():
            continue
        order = zlib.crc32(repr(own["stimulus"].map(str).tolist()).encode())
        rows = predicted.loc[_keys(own[test])].to_numpy(np.int64)
        against = centred.vectors[candidates]
        floors.append(_Told(_two_way(blind.vectors[rows], against), which, order))
        beside, has = _beside(own, test, shown, centred.vectors)
        if has.any():
            values = np.full((len(which), len(candidates)), 0.5)
            values[has] = _two_way(beside[has], against)
            neighbours.append((_Told(values, which, order), int(has.sum())))
    if not floors:
        raise NeuroalignError("nobody has training trials and two test pictures")
    return _outcome(floors, neighbours, seed, draws)


test_pictures.__test__ = False  # type: ignore[attr-defined]


def _keys(items: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([items["subject"].astype(str), items["array_row"]])


def _two_way(
    predicted: npt.NDArray[np.float32], pictures: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Return the 2-way accuracy that each prediction would have with each picture."""
    unit = pictures / np.maximum(np.linalg.norm(pictures, axis=1, keepdims=True), 1e-12)
    values = np.empty((len(predicted), len(pictures)))
    for start in range(0, len(predicted), _BLOCK):
        part = slice(start, start + _BLOCK)
        # Rounded: what differs in its last digits only is a tie, and ties are worth one half.
        scores = pd.DataFrame(np.round(predicted[part].astype(np.float64) @ unit.T, 9))
        values[part] = (scores.rank(axis=1).to_numpy() - 1) / (len(pictures) - 1)
    return values


def _beside(
    own: pd.DataFrame,
    test: npt.NDArray[np.bool_],
    shown: _Ints,
    vectors: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return the mean of the training pictures right beside each test trial, and who has any."""
    run = own[["session", "run"]].astype("string").fillna("").to_numpy(object)
    adjacent = (run[1:] == run[:-1]).all(axis=1)
    total = np.zeros((len(own), vectors.shape[1]), np.float32)
    count = np.zeros(len(own))
    for here, there in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        use = adjacent & test[here] & ~test[there]
        total[here][use] += vectors[shown[there][use]]
        count[here] += use
    return total[test], count[test] > 0


def _outcome(
    floors: list[_Told], neighbours: list[tuple[_Told, int]], seed: int, draws: int
) -> DesignTest:
    n_test = sum(len(f.shown) for f in floors)
    n_pictures = max(f.worth.shape[1] for f in floors)
    right = sum(f.right for f in floors)
    null = np.sum(
        [f.shifted(np.random.default_rng([seed, f.order]), draws) for f in floors], axis=0
    )
    told = (_FLOOR, right / n_test, float(null.mean()) / n_test)
    p = _share(null, right)
    attainable = 1 / math.prod({f.order: len(f.shown) for f in floors}.values())
    hopeful = [p] if attainable < ALPHA else []
    if neighbours:
        right = sum(t.right for t, _ in neighbours)
        null = np.sum(
            [t.mixed(np.random.default_rng([seed, t.order, 1]), draws) for t, _ in neighbours],
            axis=0,
        )
        p_beside = _share(null, right)
        n = sum(n for _, n in neighbours)
        idle = sum(len(t.shown) for t, _ in neighbours) - n  # trials beside none count one half
        if p_beside < p:
            told = (_BESIDE, (right - 0.5 * idle) / n, (float(null.mean()) - 0.5 * idle) / n)
        orders = {t.order: math.lgamma(t.worth.shape[1] + 1) for t, _ in neighbours}
        p_least = math.exp(-sum(orders.values()))
        hopeful += [p_beside] if p_least < ALPHA else []
        p, attainable = min(p, p_beside), min(attainable, p_least)
    p = min(1.0, len(hopeful) * min(hopeful)) if hopeful else p
    return DesignTest(*told, p, attainable, n_test, n_pictures)


def _share(null: _Floats, right: float) -> float:
    # A hair's breadth: equal sums of halves may differ in their last digits.
    return float((1 + (null >= right - 1e-9).sum()) / (len(null) + 1))
