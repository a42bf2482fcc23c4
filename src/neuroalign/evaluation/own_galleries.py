"""Galleries of one person's recordings each, where people are kept apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.evaluation.chance import chance_median_rank
from neuroalign.evaluation.per_query import QueryValues
from neuroalign.evaluation.queries import identity_codes


def own_galleries(gallery: pd.DataFrame) -> dict[str, npt.NDArray[np.int64]]:
    """Return the candidates of each person who has two of them at least.

    Parameters
    ----------
    gallery : pandas.DataFrame
        Column `subject`, missing for what is nobody's.

    Returns
    -------
    dict from person to ndarray of int
        In order of first appearance.
    """
    owner = gallery["subject"]
    found = {
        str(subject): np.flatnonzero((owner == subject).to_numpy(bool, na_value=False))
        for subject in owner.dropna().unique()
    }
    return {subject: rows for subject, rows in found.items() if len(rows) > 1}


def alike(
    values: QueryValues,
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    galleries: Mapping[str, npt.NDArray[np.int64]],
) -> QueryValues:
    """Let each person whose queries these are count alike, however many there are.

    A median is then the mean of people's medians, and so is its chance level.

    Parameters
    ----------
    values : QueryValues
        Joined, where there are several galleries.
    queries, gallery : pandas.DataFrame
    galleries : mapping
        See `own_galleries`; empty where everybody's queries are asked of one gallery.
    """
    asker = np.unique(askers(queries), return_inverse=True)[1][values.positions % len(queries)]
    owner = values.positions // len(queries)
    levels = [asker[:, None]] + ([] if values.strata is None else [values.strata])
    if not queries["subject"].notna().any():
        levels = levels[1:]
    values = replace(values, strata=np.concatenate(levels, axis=1))
    if values.level is None:
        return values
    level = np.empty(len(asker))
    for number, chosen in enumerate(galleries.values() or [np.arange(len(gallery))]):
        ids = identity_codes(queries, gallery.iloc[chosen], "stimulus")
        assert ids is not None  # or there would be no ranks of pictures
        for who in np.unique(asker):
            here = (owner == number) & (asker == who)
            rows = values.positions[here] - number * len(queries)
            if len(rows):
                level[here] = chance_median_rank(ids[0][rows], ids[1])
    return replace(values, chance=level, level=float(np.average(level, weights=values.weights)))


def askers(queries: pd.DataFrame) -> npt.NDArray[np.str_]:
    """Return whose each query is, as a name."""
    return queries["subject"].astype(object).map(str).to_numpy(str)


def part_of(joined: QueryValues, number: int, n_queries: int) -> QueryValues:
    """Return the values in one of several galleries that were joined (see `joined`)."""
    part = joined.kept(joined.positions // n_queries == number)
    return replace(part, positions=part.positions - number * n_queries)
