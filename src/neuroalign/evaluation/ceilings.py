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

They are no mathematical bounds: the candidates are responses and as noisy as the queries, where a
decoder's candidates are pictures. With few repeats a decoder passes them, and its share of the way
is then above 1. (What no retrieval needs, the share of variance that the picture decides, is in
`reliability`.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

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
            rest = means_of(signals, picture, (fold != part) | lone, len(names))
            own = means_of(signals, picture, fold == part, len(names))[asked]
            scores.append(_unit(standardised(own)) @ _unit(standardised(rest)).T)
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
            means[seen] += _unit(means_of(items.vectors, code, theirs, len(names))[seen])
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


def means_of(
    rows: npt.NDArray[np.floating], code: npt.NDArray[np.int64], chosen: npt.ArrayLike, n: int
) -> Array:
    """Return the mean of the chosen rows of each of n codes, zeros where there is none.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
    code : ndarray of shape (n_rows,), in 0..n-1
    chosen : array of shape (n_rows,), bool
    n : int
    """
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


def standardised(rows: npt.NDArray[np.floating]) -> Array:
    """Centre and scale each feature over the rows; one that is constant becomes 0."""
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    scale = centred.std(axis=0)
    return np.asarray(np.divide(centred, scale, out=np.zeros_like(centred), where=scale > 0))


def _unit(rows: Array) -> Array:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1.0))
