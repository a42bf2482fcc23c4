"""Galleries of one person's recordings each, where people are kept apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.evaluation.per_query import QueryValues


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


def part_of(joined: QueryValues, number: int, n_queries: int) -> QueryValues:
    """Return the values in one of several galleries that were joined (see `joined`)."""
    here = joined.positions // n_queries == number
    return replace(
        joined,
        positions=joined.positions[here] - number * n_queries,
        values=joined.values[here],  # noqa: PD011
        chance=joined.chance[here],
        clusters=joined.clusters[here],
        balance=None if joined.balance is None else joined.balance[here],
        people=None if joined.people is None else joined.people[here],
    )
