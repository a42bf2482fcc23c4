"""Rows of a table by the values of its columns: how recordings, pictures and embeddings select."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError


def matching_rows(
    table: pd.DataFrame, conditions: Mapping[str, object], where: str
) -> npt.NDArray[np.bool_]:
    """Mark the rows whose columns equal a value, or one of a list of values.

    Columns of text are compared as text (3 finds "3"); a missing value equals nothing.

    Parameters
    ----------
    table : pandas.DataFrame
    conditions : mapping from column to a value, or to a list, array or index of values
    where : str
        What the table belongs to, for the message.

    Raises
    ------
    NeuroalignError
        There is no such column.
    """
    keep = np.ones(len(table), bool)
    for column, wanted in conditions.items():
        if column not in table:
            raise NeuroalignError(
                f"{where}: no column {column!r} to select by; there are {', '.join(table.columns)}."
            )
        values = table[column]
        several = pd.api.types.is_list_like(wanted)
        accepted: list[Any] = list(wanted) if several else [wanted]  # type: ignore[call-overload]
        if pd.api.types.is_string_dtype(values.dtype):
            accepted = [str(value) for value in accepted]
        keep &= values.isin(accepted).to_numpy(bool) & values.notna().to_numpy(bool)
    return keep
