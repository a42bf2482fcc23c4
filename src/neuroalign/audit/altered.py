"""Search for trials that hold the signal of another trial, altered: scaled, shifted, re-referenced.

Candidates come from short vectors (`neuroalign.audit.fingerprints`): for each trial, the one most
like it. A candidate counts when its signals agree far better than those of any other trials do.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.audit.fingerprints import LARGEST_SHIFT, RUNS, Fingerprints, fingerprints, unit
from neuroalign.recordings.container import Recordings

#: At most this many trials of one shape are looked up among all, those of the test set first.
MOST_TRIALS = 1024
#: So few pairs of trials prove nothing between two people, unless their values agree `_EXACTLY`.
_FEWEST_PAIRS = 4
# How far apart copies may be (1 - a correlation), as a share of how far apart rivals are: a pair
# that is worth a look; values of a single pair; each voxel from pair to pair, in the median voxel;
# the channels of a pair, in the median channel.
_PROMISING, _EXACTLY, _SAME_VOXELS, _FAR_LESS = 0.3, 1e-3, 0.005, 0.1
_SAME_CHANNELS = 0.01  # at most this far apart, whatever the rival
# Without the components of the most variance, which a drift may be all of, values still agree.
_COMMON, _BEYOND = 8, 0.5
_ROUNDING = 1e-6
_CHANNELS = 16  # compared with all of the other trial
_NEIGHBOURS = 10  # trials so near in a run are alike for other reasons
_BLOCK_VALUES = 2**24

_Floats = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.int64]


def altered_pairs(recordings: Recordings, trials: pd.DataFrame) -> _Rows:
    """Return pairs of trials of which one holds the signal of the other, altered.

    Found are other gains and offsets of whole recordings and of single voxels or channels; and
    where trials have channels and samples, another sign, reference or order of the channels, and
    shifts of up to 5 samples. One of a hundred parts of noise may come on top.

    Parameters
    ----------
    recordings : Recordings
    trials : pandas.DataFrame
        Its trial table with the column `part`.

    Returns
    -------
    ndarray of shape (n_pairs, 2), int64
        Rows of `trials`; each pair once.
    """
    found = [np.zeros((0, 2), np.int64)]
    for prints in fingerprints(recordings, trials, MOST_TRIALS):
        found.append(prints.rows[_same_values(prints)])
        found.append(prints.rows[_same_courses(prints, recordings, trials)])
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def _same_values(prints: Fingerprints) -> _Rows:
    """Return pairs with the same values, but for gains and offsets: of all, or of each voxel."""
    if prints.sample.shape[1] == 0:
        return np.zeros((0, 2), np.int64)
    found = []
    for vectors in prints.standardised():
        pairs = _best(vectors[None, prints.asked], vectors, prints)
        found.append(pairs[_beyond(vectors, pairs) >= _BEYOND])
    promising = pd.concat(found).sort_values("lacks", kind="stable")
    sure = promising.loc[promising["lacks"] <= _EXACTLY, ["a", "b"]].to_numpy(np.int64)
    return np.concatenate([sure, *_voxels_agree(prints, promising)])


def _beyond(vectors: _Floats, pairs: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return how well pairs agree in what is left without the components that all trials share."""
    some = np.unique(np.linspace(0, len(vectors) - 1, 1000).astype(int))
    common = np.linalg.svd(vectors[some], full_matrices=False)[2][:_COMMON]
    one, two = (vectors[pairs[side]] for side in ("a", "b"))
    one, two = (unit(x - x @ common.T @ common) for x in (one, two))
    agree: npt.NDArray[np.float64] = np.abs(np.einsum("ij,ij->i", one, two))
    return agree


def _voxels_agree(prints: Fingerprints, pairs: pd.DataFrame) -> Iterator[_Rows]:
    """Yield pairs between two runs, or people, whose voxels differ from pair to pair alike."""

    def apart(one: _Rows, two: _Rows) -> float:
        both = (unit(prints.sample[side].T) for side in (one, two))
        return 1 - float(np.median(np.abs(np.einsum("ij,ij->i", *both))))

    for names in (prints.run, prints.run // RUNS):
        for _, group in pairs.groupby([names[pairs["a"]], names[pairs["b"]]]):
            # Each trial counts once, and each pair one way round.
            once = ~(group.duplicated("a") | group.duplicated("b"))
            both = group.loc[once, ["a", "b", "rival"]].to_numpy(np.int64)
            both = both[~np.isin(both[:, 0], both[:, 1]) | (both[:, 0] < both[:, 1])]
            while len(both) >= _FEWEST_PAIRS:
                same, others = apart(*both[:, :2].T), apart(*both[:, ::2].T)
                if same <= _SAME_VOXELS * others:
                    yield both[:, :2]
                    break
                both = both[: len(both) // 2]  # the best half: the others may be no copies


def _same_courses(prints: Fingerprints, recordings: Recordings, trials: pd.DataFrame) -> _Rows:
    """Return pairs with the same channels: in another order, re-referenced, turned or shifted."""
    subject = trials["subject"].to_numpy(object)[prints.rows]
    at = trials["array_row"].to_numpy(np.int64)[prints.rows]

    def read(row: int) -> _Floats:
        file = recordings.path / "signals" / f"{subject[row]}.npy"
        trial = np.load(file, mmap_mode="r")[at[row]]
        channels: _Floats = trial.reshape(-1, trial.shape[-1]).astype(np.float32)
        return channels

    found = set()
    for shifted, courses in zip(prints.shifted, prints.courses, strict=True):
        pairs = _best(shifted, courses, prints)
        for a, b, c in pairs[["a", "b", "rival"]].to_numpy(np.int64).tolist():
            if (min(a, b), max(a, b)) in found:
                continue
            one = read(a)
            apart = 1 - _agree(one, read(b))
            if apart <= _SAME_CHANNELS and apart <= _FAR_LESS * (1 - _agree(one, read(c))):
                found.add((min(a, b), max(a, b)))
    same = np.array(sorted(found), np.int64).reshape(-1, 2)
    people = pd.DataFrame(prints.run[same] // RUNS, columns=["a", "b"])
    enough = people.groupby(["a", "b"])["a"].transform("size") >= _FEWEST_PAIRS
    return same[enough.to_numpy(bool)]


def _best(queries: _Floats, gallery: _Floats, prints: Fingerprints) -> pd.DataFrame:
    """Return each trial with the most similar one, where no trial of its own person comes near it.

    A copy is far more alike than that rival; repeats of a picture, slow drifts and artefacts are
    hardly more alike than theirs.

    Parameters
    ----------
    queries : ndarray of shape (n_shifts, n_asked, n_values)
        The best of all shifts counts, and no sign.
    gallery : ndarray of shape (n_trials, n_values)

    Returns
    -------
    pandas.DataFrame
        A row a promising pair: `a`, the trial asked; `b`, the most similar one; `rival`; `lacks`,
        how far `b` is from `a`, as a share of how far the rival is.
    """
    asked = prints.asked
    best, rival = np.zeros((2, len(asked)), np.int64)
    alike, less = np.zeros((2, len(asked)))
    person = prints.run // RUNS

    def near(row: int) -> npt.NDArray[np.bool_]:
        distance = np.abs(prints.place - prints.place[row])
        here: npt.NDArray[np.bool_] = (prints.run == prints.run[row]) & (distance <= _NEIGHBOURS)
        return here

    step = max(1, _BLOCK_VALUES // len(gallery))
    for start in range(0, len(asked), step):
        part = slice(start, start + step)
        scores = np.abs(queries[0, part] @ gallery.T)
        for other in queries[1:]:
            np.maximum(scores, np.abs(other[part] @ gallery.T), out=scores)
        for place, row in enumerate(asked[part], start):
            own = scores[place - start]
            own[near(row)] = -1
            best[place] = own.argmax()
            alike[place] = own[best[place]]
            own[near(best[place]) | (person != person[row])] = -1
            rival[place] = own.argmax()
            less[place] = own[rival[place]]
    lacks = (1 - alike) / np.maximum(1 - less, _ROUNDING)
    pairs = pd.DataFrame({"a": asked, "b": best, "rival": rival, "lacks": lacks})
    return pairs[lacks <= _PROMISING]


def _agree(one: _Floats, two: _Floats) -> float:
    """Return how well two trials agree, as they are or in average reference."""
    common = (x - x.mean(axis=0) for x in (one, two))
    return max(_channels_agree(one, two), _channels_agree(*common))


def _channels_agree(one: _Floats, two: _Floats) -> float:
    """Return how well channels find one of the other trial, in the median, at the best shift."""
    moving = one[np.ptp(one, axis=1) > 0]
    if len(moving) == 0:
        return 0.0
    moving = moving[np.unique(np.linspace(0, len(moving) - 1, _CHANNELS).astype(int))]
    samples = one.shape[1]
    best = 0.0
    for shift in range(-LARGEST_SHIFT, LARGEST_SHIFT + 1):
        here = slice(max(0, shift), samples + min(0, shift))
        there = slice(max(0, -shift), samples + min(0, -shift))
        agree = np.abs(_detrended(moving[:, here]) @ _detrended(two[:, there]).T)
        best = max(best, float(np.median(agree.max(axis=1))))
    return best


def _detrended(channels: _Floats) -> _Floats:
    """Scale each channel to length 1, less its straight line: slow drifts are alike everywhere."""
    time = np.arange(channels.shape[1], dtype=np.float32) - (channels.shape[1] - 1) / 2
    centred = unit(channels)
    return unit(centred - np.outer(centred @ time / (time @ time), time))
