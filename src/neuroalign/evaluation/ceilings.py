"""What could be attained on recorded data: how far a brain's own response agrees with itself.

Ceilings, none of which needs to know the truth (simulated recordings have the ideal observer,
which is exact):

own repeats
    A person's response to a picture is retrieved from the same person's *other* responses to the
    candidate pictures. Like the score beside it, it is a retrieval of one among the same pictures.
    Responses are compared as the linear baseline maps them, which keeps what tells pictures apart.
other people
    A person's embedding is retrieved from the mean embedding of everyone else.
own class, other people by class
    The same where pictures do not come back, from mean responses to classes (`own_class`).
explainable variance
    The share of a signal's variance over pictures that the picture decides: from split halves, or
    from the noise-ceiling signal-to-noise ratio (`ncsnr`) that the Natural Scenes Dataset ships.

All but the last are no mathematical bounds: the candidates are responses and as noisy as the
queries, where a decoder's candidates are pictures. With few repeats a decoder passes them, and its
share of the way is then above 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.container import Recordings
from neuroalign.retrieval.embeddings import Embeddings

Array = npt.NDArray[np.float64]
OWN_REPEATS = "own repeats"
OTHER_PEOPLE = "other people"
OWN_CLASS = "own class"
OTHER_PEOPLE_BY_CLASS = "other people by class"
#: Ceilings of recorded data, the first to be preferred ...
MEASURED = (OWN_REPEATS, OTHER_PEOPLE, OWN_CLASS, OTHER_PEOPLE_BY_CLASS)
#: ... and those whose candidates are classes.
BY_CLASS = (OWN_CLASS, OTHER_PEOPLE_BY_CLASS)
#: What is kept of an item: what it is, and which unit of the bootstrap it belongs to.
ITEM_COLUMNS = ("stimulus", "label", "subject", "n_averaged", "session", "run", "block")


@dataclass(frozen=True, eq=False)
class MatchScores:
    """Responses, scored against every candidate picture or class.

    Parameters
    ----------
    items : pandas.DataFrame
        A row a response: `stimulus`, `label`, `subject`, and `n_averaged`, the trials behind it.
    candidates : pandas.DataFrame
        A row a candidate: `stimulus` (missing, where it is a class), `label`, `subject` (missing).
    scores : ndarray of shape (n_items, n_candidates), float32
        Higher is more alike; NaN for what could not be asked.
    """

    items: pd.DataFrame
    candidates: pd.DataFrame
    scores: npt.NDArray[np.float32]


def spearman_brown(reliability: npt.ArrayLike, factor: float) -> Array:
    """Return the reliability of `factor` times as many repeats: f r / (1 + (f - 1) r).

    Spearman (1910) and Brown (1910). A reliability at or below -1/(factor - 1) has no meaning and
    gives NaN.
    """
    r = np.asarray(reliability, np.float64)
    denominator = 1 + (factor - 1) * r
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(denominator > 0, factor * r / denominator, np.nan))


def noise_ceiling(ncsnr: npt.ArrayLike, n_averaged: npt.ArrayLike = 1) -> Array:
    """Return the share of variance that the picture decides in an average of `n_averaged` trials.

    ncsnr^2 / (ncsnr^2 + 1 / n), Allen et al. (2022), "A massive 7T fMRI dataset to bridge
    cognitive neuroscience and artificial intelligence". Where averages differ in their number of
    trials, give the numbers: 1 / n is then their mean, as in the data set's manual.

    Parameters
    ----------
    ncsnr : array of shape (n_voxels,)
        Standard deviation of the signal over that of the noise of a single trial.
    n_averaged : int or array of shape (n_items,)

    Returns
    -------
    ndarray of shape (n_voxels,), in 0..1
    """
    squared = np.asarray(ncsnr, np.float64) ** 2
    noise = float(np.mean(1.0 / np.atleast_1d(np.asarray(n_averaged, np.float64))))
    return np.asarray(squared / (squared + noise))


def read_ncsnr(recordings: Recordings, subject: str) -> npt.NDArray[np.float32] | None:
    """Return a person's `ncsnr` of each voxel, (n_voxels,), if the recordings bring one.

    Raises
    ------
    NeuroalignError
        The file does not fit the person's voxels.
    """
    path = recordings.path / "ncsnr" / f"{subject}.npy"
    if not path.is_file():
        return None
    found: npt.NDArray[np.float32] = np.load(path, allow_pickle=False)
    if found.shape != recordings.feature_shape(subject):
        raise NeuroalignError(
            f"{path} holds values of shape {found.shape}, but {subject} has trials of shape "
            f"{recordings.feature_shape(subject)}: the noise ceiling would be that of other "
            "voxels. Prepare these recordings again."
        )
    return found


def own_repeats(
    trials: pd.DataFrame,
    features: npt.NDArray[np.floating],
    pictures: Sequence[str],
    *,
    single_trials: bool,
) -> MatchScores | None:
    """Score each person's responses against their other responses to every candidate picture.

    Trials of a picture are numbered in the order of the recording. With `single_trials`, each
    trial meets the averages of all trials with another number; else the average of the even ones
    meets those of the odd ones, and the other way round. Each feature is standardised over the
    pictures, on both sides, and responses are compared by their cosine.

    Parameters
    ----------
    trials : pandas.DataFrame
        Single test trials, with `subject`, `stimulus`, `label` and `array_row`.
    features : ndarray of shape (n_trials, n_features)
        What is compared: signals, or a linear map of them that keeps what tells pictures apart,
        fitted to training trials (an average of mapped trials is the mapped average).
    pictures : sequence of str
        The candidates, each the `stimulus` of some trial.
    single_trials : bool
        Whether queries are single trials or half of the repeats.

    Returns
    -------
    MatchScores or None
        None if no person has seen every candidate, or none more than once.
    """
    names = np.asarray([str(p) for p in pictures])
    place = {name: i for i, name in enumerate(names.tolist())}
    tables, scores = [], []
    known = (trials["stimulus"].notna() & trials["stimulus"].isin(list(place))).to_numpy(bool)
    owner = trials["subject"].astype(str).to_numpy(object)
    recorded = trials["array_row"].to_numpy(np.int64)
    for subject in dict.fromkeys(owner[known]):
        chosen = np.flatnonzero(known & (owner == subject))
        chosen = chosen[np.argsort(recorded[chosen], kind="stable")]
        table, signals = trials.iloc[chosen], features[chosen]
        picture = table["stimulus"].astype(object).map(place).to_numpy(np.int64)
        counts = np.bincount(picture, minlength=len(names))
        if counts.min() == 0 or counts.max() < 2:
            continue
        number = table.groupby("stimulus").cumcount().to_numpy()
        fold = number if single_trials else number % 2
        labels = table.groupby(picture)["label"].first().to_numpy(object)
        for part in range(int(fold.max()) + 1):
            asked = np.flatnonzero(np.bincount(picture[fold == part], minlength=len(names)))
            asked = asked[counts[asked] > 1]
            # A candidate without other trials still stands there, by those that it has.
            lone = counts[picture] == 1
            rest = _means(signals, picture, (fold != part) | lone, len(names))
            own = _means(signals, picture, fold == part, len(names))[asked]
            scores.append(_unit(_standard(own)) @ _unit(_standard(rest)).T)
            averaged = np.bincount(picture[fold == part], minlength=len(names))[asked]
            tables.append(
                pd.DataFrame(
                    {
                        "stimulus": names[asked],
                        "label": labels[asked],
                        "subject": subject,
                        "n_averaged": averaged,
                    }
                )
            )
    if not scores:
        return None
    return _match_scores(tables, scores, names)


def other_people(
    items: Embeddings, candidates: Sequence[str], by: Literal["stimulus", "label"] = "stimulus"
) -> MatchScores | None:
    """Score each person's embeddings against the mean of everyone else's of each candidate.

    Parameters
    ----------
    items : Embeddings
        Recordings of several people, in one space.
    candidates : sequence of str
        Pictures, or classes.
    by : {"stimulus", "label"}
        Which of the two.

    Returns
    -------
    MatchScores or None
        A row for each item of a candidate, in the order of the items; NaN for people of whom not
        every candidate has been shown to somebody else. None if there are no others.
    """
    names = np.asarray([str(p) for p in candidates])
    place = {name: i for i, name in enumerate(names.tolist())}
    table = items.items
    code = table[by].astype(object).map(place).fillna(-1).to_numpy(np.int64)
    known = code >= 0
    subjects = table["subject"].astype(str).to_numpy(object)
    scores = np.full((len(items), len(names)), np.nan)
    for subject in dict.fromkeys(subjects):
        others, own = known & (subjects != subject), known & (subjects == subject)
        if not own.any() or len(np.unique(code[others])) < len(names):
            continue
        # Each of the others counts alike, however many trials of a candidate they have.
        means = np.zeros((len(names), items.vectors.shape[1]))
        for other in dict.fromkeys(subjects[others]):
            theirs = known & (subjects == other)
            seen = np.unique(code[theirs])
            means[seen] += _unit(_means(items.vectors, code, theirs, len(names))[seen])
        scores[own] = items.vectors[own].astype(np.float64) @ _unit(means).T
    if np.isnan(scores).all():
        return None
    found = table.loc[known, [c for c in ITEM_COLUMNS if c in table]].reset_index(drop=True)
    if by == "label":
        return MatchScores(found, class_table(names.tolist()), scores[known].astype(np.float32))
    return _match_scores([found], [scores[known]], names)


def class_table(names: Sequence[str]) -> pd.DataFrame:
    """Return candidates that are classes."""
    nobody = pd.array([None] * len(names), "string")
    return pd.DataFrame(
        {"stimulus": nobody, "label": pd.array(list(names), "string"), "subject": nobody}
    )


def split_half_values(
    first: npt.NDArray[np.floating], second: npt.NDArray[np.floating], factor: float = 2.0
) -> Array:
    """Return each picture's part in the explainable variance, averaged over features.

    The mean is the mean over features of the split-half correlation over pictures, corrected by
    Spearman and Brown to `factor` times the repeats of a half. The parts are its influence values
    (a correlation's is a b - r (a^2 + b^2) / 2 for standard scores a and b), so that pictures can
    be drawn again without computing correlations again.

    Parameters
    ----------
    first, second : ndarray of shape (n_pictures, n_features)
        Averages over the two halves of the repeats.
    factor : float
        2 for the reliability of all repeats; 2 / n for that of a single one of n.

    Returns
    -------
    ndarray of shape (n_pictures,)
    """
    if first.shape != second.shape or len(first) < 3:
        raise NeuroalignError(
            "A split-half reliability needs the same three or more pictures in both halves: got "
            f"{first.shape} and {second.shape}."
        )
    varies = (np.ptp(first, axis=0) > 0) & (np.ptp(second, axis=0) > 0)
    if not varies.any():
        raise NeuroalignError("All features are the same for every picture: nothing can agree.")
    a, b = _standard(first[:, varies]), _standard(second[:, varies])
    r = (a * b).mean(axis=0)
    # Half a correlation below 0 is chance; corrected, its like would grow without bound.
    usable = np.maximum(r, 0.0)
    denominator = 1 + (factor - 1) * usable
    value, slope = factor * r / denominator, factor / denominator**2
    influence = a * b - r * (a**2 + b**2) / 2
    return np.asarray((value + slope * influence).mean(axis=1))


def halves(
    test: Recordings,
) -> dict[str, tuple[pd.DataFrame, npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """Return, for each person, the averages of even and of odd repeats of the same pictures.

    Pictures with fewer than two trials are left out, and people with fewer than three pictures.

    Returns
    -------
    dict from subject to (items, first, second)
        `items` has `stimulus` and `n_averaged`, the trials of both halves.
    """
    found = {}
    for subject in test.subjects:
        view = test.select(subject=subject)
        view = view.take(np.argsort(view.trials["array_row"].to_numpy(), kind="stable"))
        view = view.take(view.trials["stimulus"].notna().to_numpy())
        names, picture = np.unique(view.trials["stimulus"].astype(str), return_inverse=True)
        counts = np.bincount(picture, minlength=len(names))
        if (counts > 1).sum() < 3:
            continue
        half = view.trials.groupby("stimulus").cumcount().to_numpy() % 2
        signals = view.read().reshape(len(view), -1)
        keep = np.flatnonzero(counts > 1)
        first, second = (_means(signals, picture, half == h, len(names))[keep] for h in (0, 1))
        table = pd.DataFrame({"stimulus": names[keep], "n_averaged": counts[keep]})
        found[subject] = (table, first, second)
    return found


def _match_scores(
    tables: Sequence[pd.DataFrame], scores: Sequence[Array], names: npt.NDArray[np.str_]
) -> MatchScores:
    items = pd.concat(tables, ignore_index=True)
    label = dict(zip(items["stimulus"].astype(str), items["label"], strict=True))
    candidates = pd.DataFrame(
        {
            "stimulus": pd.array(names.tolist(), "string"),
            "label": pd.array([label.get(n) for n in names.tolist()], "string"),
            "subject": pd.array([None] * len(names), "string"),
        }
    )
    return MatchScores(items, candidates, np.concatenate(scores).astype(np.float32))


def _means(
    rows: npt.NDArray[np.floating], code: npt.NDArray[np.int64], chosen: npt.ArrayLike, n: int
) -> Array:
    """Return the mean of the chosen rows of each code, zeros where there is none."""
    where = np.flatnonzero(np.asarray(chosen))
    order = where[np.argsort(code[where], kind="stable")]
    counts = np.bincount(code[order], minlength=n)
    out = np.zeros((n, rows.shape[1]))
    present = np.flatnonzero(counts)
    starts = (np.cumsum(counts) - counts)[present]
    if len(order):
        out[present] = np.add.reduceat(rows[order], starts, axis=0, dtype=np.float64)
    out[present] /= counts[present, None]
    return out


def _standard(rows: npt.NDArray[np.floating]) -> Array:
    """Centre and scale each feature over the rows; one that is constant becomes 0."""
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    scale = centred.std(axis=0)
    return np.asarray(np.divide(centred, scale, out=np.zeros_like(centred), where=scale > 0))


def _unit(rows: Array) -> Array:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1.0))
