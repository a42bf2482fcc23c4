"""Which items of two runs are the same: by what they are, never by their place or name alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from neuroalign.assess.stored import Stored
from neuroalign.errors import NeuroalignError
from neuroalign.retrieval.embeddings import Embeddings

#: Cosine of one picture's embeddings on two machines, at the least.
_SAME_PICTURE = 0.999
_NUMBERS = ("array_row", "n_averaged")
#: What makes two items the same, as far as both tables know it.
_NAMES = ("kind", "subject", "stimulus", "label", "session", "run", "block", "group", *_NUMBERS)


def matched(ours: Embeddings, theirs: Embeddings, what: str, names: tuple[str, str]) -> Embeddings:
    """Return their items in the order of ours.

    Parameters
    ----------
    ours, theirs : Embeddings
    what, names : str
        What the items are, and how the two runs are called.

    Raises
    ------
    NeuroalignError
        They are not the same items, or some cannot be told apart.
    """
    columns = [c for c in _NAMES if c in ours.items and c in theirs.items]
    keys = [_keys(side.items, columns) for side in (ours, theirs)]
    for key, run in zip(keys, names, strict=True):
        if key.has_duplicates:
            raise NeuroalignError(
                f"{what} of {run}: {int(key.duplicated().sum())} of {len(key)} items cannot be "
                f"told apart by {', '.join(columns)} (first: {key[key.duplicated()][0]}), so "
                "nothing tells which of the other run's items they are. Compare on other test "
                "items."
            )
    place = keys[1].get_indexer(keys[0])
    missing = int((place < 0).sum())
    if missing or len(keys[0]) != len(keys[1]):
        alone = [k for k, p in zip(keys[0], place, strict=True) if p < 0]
        first = alone or [k for k in keys[1] if k not in set(keys[0])]
        raise NeuroalignError(
            f"{what}: {names[0]} has {len(keys[0])}, {names[1]} has {len(keys[1])}, and "
            f"{len(keys[0]) - missing} are the same (first that is not: {first[0]}). A paired "
            "comparison needs the same test items and the same candidates: train both runs on the "
            "same recordings and picture set, with the same split and `test_items`."
        )
    return theirs.take(place)


def same_pictures(sides: Sequence[Stored], names: tuple[str, str]) -> None:
    """Refuse pictures that share a name and nothing else, where one encoder saw both.

    Raises
    ------
    NeuroalignError
        Their embeddings differ by more than two machines do.
    """
    ours, theirs = (s.judge for s in sides)
    if ours.space != theirs.space:
        return
    known = pd.Index(theirs.items["stimulus"].astype(str))
    known, where = known.unique(), known.get_indexer_for(known.unique())
    called = pd.Index(ours.items["stimulus"].astype(str))
    place = known.get_indexer(called)
    shared = np.flatnonzero(place >= 0)
    cosines = np.einsum(
        "ij,ij->i", ours.vectors[shared], theirs.vectors[where[place[shared]]], dtype=np.float64
    )
    other = shared[cosines < _SAME_PICTURE]
    if len(other):
        raise NeuroalignError(
            f"{len(other)} of {len(shared)} pictures that {names[0]} and {names[1]} call by the "
            f"same name are different pictures (first: {called[other[0]]}), so their items "
            "are not the same. Give both runs one picture set."
        )


def _keys(items: pd.DataFrame, columns: Sequence[str]) -> pd.Index[str]:
    parts = []
    for column in columns:
        # Numbers with missing ones among them may be stored as 3.0: the same as 3.
        known = (
            pd.to_numeric(items[column]).astype("Int64") if column in _NUMBERS else items[column]
        )
        parts.append(known.astype("string").fillna("").to_numpy(object))
    return pd.Index([", ".join(row) for row in zip(*parts, strict=True)], dtype=object)
