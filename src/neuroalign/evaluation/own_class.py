"""What could be attained where only classes are known: a response among the person's other ones.

A person's response is found among the person's *other* mean responses to each class. Other means:
without the query's own unit, which is what the bootstrap draws again (the block, where there are
blocks: what its trials share, they share for reasons that need not be their class).

Like `own_repeats` it is no bound. The candidates are class means of test responses, so it knows
where the test responses of this person lie, which a decoder has to carry over from training.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial.distance import cdist

from neuroalign.evaluation.ceilings import ITEM_COLUMNS, MatchScores, class_table
from neuroalign.evaluation.queries import unit_keys

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
#: Leaving out a tenth of the units costs little and takes ten passes, however many units there are.
MOST_FOLDS = 10


def own_class(items: pd.DataFrame, features: npt.NDArray[np.floating]) -> MatchScores | None:
    """Score each person's responses against their mean other responses to every class.

    Units are left out fold by fold (see `unit_folds`), of all classes alike. Features are divided
    by their standard deviation over the rest, and means weigh items by their trials. The score is
    minus the squared Euclidean distance, which does not hang on what the other candidates are, less
    what the noise of the class mean adds to it: without any signal, all class means are then
    equally far from what was left out, also that of a class with fewer units.

    Parameters
    ----------
    items : pandas.DataFrame
        A row an item: `subject`, `stimulus`, `label`, and `n_averaged` where items are averages;
        the columns that name its unit (see `unit_keys`); `array_row` where it is one trial.
    features : ndarray of shape (n_items, n_features)
        What is compared, as in `own_repeats`.

    Returns
    -------
    MatchScores or None
        In the order of the items. A row is NaN where the person has no other unit of its class, a
        single score where the person has no response to that class at all. None if there are fewer
        than two classes, or no row can be answered.
    """
    labels = items["label"].astype(object)
    names = sorted({str(x) for x in labels.dropna()})
    if len(names) < 2:
        return None
    code = labels.map({n: i for i, n in enumerate(names)}).fillna(-1).to_numpy(np.int64)
    unit = np.unique(unit_keys(items, None), return_inverse=True)[1]
    fold = unit_folds(items, unit)
    weights = np.ones(len(items))
    if "n_averaged" in items:
        weights = items["n_averaged"].to_numpy(np.float64)
    owner = items["subject"].astype(str).to_numpy(object)
    scores = np.full((len(items), len(names)), np.nan, np.float32)
    for subject in dict.fromkeys(owner):
        mine = np.flatnonzero((owner == subject) & (code >= 0))
        for part in np.unique(fold[mine]):
            asked, rest = mine[fold[mine] == part], mine[fold[mine] != part]
            other = np.bincount(code[rest], minlength=len(names))
            # A class without other units still stands there, by those that it has: as a wrong one.
            used = np.concatenate([rest, asked[other[code[asked]] == 0]])
            answerable = asked[other[code[asked]] > 0]
            present = np.unique(code[used])
            if not len(answerable) or len(present) < 2:
                continue
            scale = features[rest].std(axis=0, dtype=np.float64)
            varies = scale > 0
            scaled = features[:, varies][used] / scale[varies]
            means, noise = _class_means(scaled, code[used], weights[used], unit[used], len(names))
            own = features[:, varies][answerable] / scale[varies]
            distance = cdist(own, means[present], "sqeuclidean") - noise[present]
            scores[np.ix_(answerable, present)] = -distance
    if np.isnan(scores).all():
        return None
    found = items[[c for c in ITEM_COLUMNS if c in items]].reset_index(drop=True)
    if "n_averaged" not in found:
        found["n_averaged"] = 1
    return MatchScores(found, class_table(names), scores)


def unit_folds(items: pd.DataFrame, units: npt.ArrayLike | None = None) -> Codes:
    """Return, for each item, in which fold its unit is left out.

    Each person's units are numbered within their class (that of their first item) in the order of
    recording; the fold is that number modulo 10, or modulo the number of units of the class that
    has most, if that is less. So up to ten units of a class are left out one by one, and a fold
    takes alike from all classes, and from all of the recording.

    Parameters
    ----------
    items : pandas.DataFrame
        As in `own_class`.
    units : array of shape (n_items,), optional
        What is left out together; see `unit_keys` unless given.

    Returns
    -------
    ndarray of shape (n_items,), int
        -1 for an item without a class.
    """
    keys = unit_keys(items, None) if units is None else np.asarray(units)
    table = pd.DataFrame(
        {
            "subject": items["subject"].astype(str).to_numpy(object),
            "label": items["label"].astype(object).to_numpy(object),
            "unit": np.unique(keys, return_inverse=True)[1],
        }
    )
    fold = np.full(len(table), -1, np.int64)
    known = table["label"].notna().to_numpy(bool)
    order = np.arange(len(table))
    if "array_row" in items and items["array_row"].notna().all():
        order = np.argsort(items["array_row"].to_numpy(np.int64), kind="stable")
    table = table.iloc[order[known[order]]]
    if table.empty:
        return fold
    first = table.drop_duplicates(["subject", "unit"])
    number = first.groupby(["subject", "label"]).cumcount()
    most = number.groupby(first["subject"]).transform("max") + 1
    by_unit = first.assign(fold=number % most.clip(upper=MOST_FOLDS))[["subject", "unit", "fold"]]
    fold[table.index] = table.merge(by_unit, on=["subject", "unit"], how="left")["fold"]
    return fold


def _class_means(
    rows: Array, code: Codes, weights: Array, unit: Codes, n: int
) -> tuple[Array, Array]:
    """Return the mean of the rows of each class, and how far noise moves it, squared.

    The noise is that of units (of their means, pooled over classes), over the number of units.
    Zeros for a class without rows.
    """
    pairs, member = np.unique(np.stack([code, unit]), axis=1, return_inverse=True)
    member = member.ravel()
    total = np.bincount(member, weights)
    own = np.zeros((len(total), rows.shape[1]))
    np.add.at(own, member, weights[:, None] * rows)
    own /= total[:, None]
    of = pairs[0]
    in_class = np.bincount(of, total, minlength=n)
    share = total / in_class[of]
    means = np.zeros((n, rows.shape[1]))
    np.add.at(means, of, share[:, None] * own)
    number = np.bincount(of, minlength=n)
    apart = ((own - means[of]) ** 2).sum()
    variance = apart / max(1, int((number - 1).clip(min=0).sum()))
    return means, variance * np.bincount(of, share**2, minlength=n)
