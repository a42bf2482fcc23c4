"""Embeddings with their items: the one currency of pictures, EEG, MEG and fMRI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.selection import matching_rows

#: Rounding to float32 moves the norm of a unit vector by less than this.
_UNIT = 1e-6


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Unit vectors in a common space, each with a row that says what it is.

    Parameters
    ----------
    vectors : ndarray of shape (n_items, n_dims), float32
        L2-normalised on construction.
    items : pandas.DataFrame
        n_items rows. `kind` is "picture", "eeg", "meg" or "fmri"; `stimulus` the picture (missing
        where only the class is known), `label` the class, `subject` the person (missing for
        pictures). Other columns ride along.
    space : str
        The space the vectors live in; retrieval refuses to mix two spaces.

    Raises
    ------
    NeuroalignError
        Counts differ, a vector is not finite, or a vector is zero (it has no direction).
    """

    vectors: npt.NDArray[np.float32]
    items: pd.DataFrame
    space: str

    def __post_init__(self) -> None:
        vectors = np.asarray(self.vectors, np.float32)
        if vectors.ndim != 2 or len(vectors) != len(self.items):
            raise NeuroalignError(
                f"Embeddings need one vector per item: got vectors of shape {vectors.shape} and "
                f"{len(self.items)} items."
            )
        # float64: the squares of very large or very small float32 numbers would not fit.
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        bad = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
        if bad.size:
            raise NeuroalignError(
                f"{bad.size} of {len(vectors)} embeddings are zero, NaN or infinite and have no "
                f"direction (first: item {bad[0]})."
            )
        missing = {"kind", "stimulus", "label", "subject"} - set(self.items.columns)
        if missing:
            raise NeuroalignError(f"The items of embeddings lack the column(s) {sorted(missing)}.")
        # Unit vectors stay as they are, to the last bit, however often they are cut and stored.
        rescale = np.abs(norms - 1) > _UNIT
        unit = vectors.copy()
        unit[rescale] = vectors[rescale] / norms[rescale, None]
        object.__setattr__(self, "vectors", unit)
        object.__setattr__(self, "items", self.items.reset_index(drop=True))

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        kinds = "+".join(dict.fromkeys(map(str, self.items["kind"])))
        return f"<Embeddings: {len(self)} {kinds} items, {self.vectors.shape[1]} dims>"

    def take(self, positions: npt.ArrayLike) -> Embeddings:
        """Return the items at these positions (integers or a boolean mask)."""
        wanted = np.asarray(positions)
        index = np.arange(len(self))[wanted if wanted.size else wanted.astype(np.int64)]
        return Embeddings(self.vectors[index], self.items.iloc[index], self.space)

    def select(self, **conditions: object) -> Embeddings:
        """Keep the items whose columns equal a value, or one of a list of values."""
        return self.take(matching_rows(self.items, conditions, repr(self)))

    def save(self, path: str | Path) -> None:
        """Write a Parquet table: the item columns, `vector` and the space as metadata.

        Raises
        ------
        NeuroalignError
            The items have a column named `vector` themselves, or `path` cannot be written.
        """
        from neuroalign.retrieval.storage import write_embeddings

        write_embeddings(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Embeddings:
        """Read what `save` wrote.

        Raises
        ------
        NeuroalignError
            There is no such table, or it is not one of embeddings.
        """
        from neuroalign.retrieval.storage import read_embeddings

        return read_embeddings(Path(path))


def concatenate(parts: Sequence[Embeddings]) -> Embeddings:
    """Join embeddings of one space.

    Raises
    ------
    NeuroalignError
        There is nothing to join, or the parts live in different spaces.
    """
    if not parts:
        raise NeuroalignError("There are no embeddings to join.")
    spaces = {p.space for p in parts}
    if len(spaces) != 1:
        raise NeuroalignError(f"Embeddings of different spaces cannot be joined: {sorted(spaces)}.")
    return Embeddings(
        np.concatenate([p.vectors for p in parts]),
        pd.concat([p.items for p in parts], ignore_index=True),
        spaces.pop(),
    )
