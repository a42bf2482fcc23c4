"""The 2-way score from the retrieved item, gathered while the scores pass by in blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.chance import chance_two_way_from_retrieved, retrieved_shares
from neuroalign.evaluation.metrics import two_way_from_retrieved
from neuroalign.evaluation.pairs import Block, Cosines, Positions
from neuroalign.evaluation.ranks import Values
from neuroalign.retrieval.embeddings import Embeddings

_ROWS_AT_A_TIME = 256


class FirstRetrieved:
    """What the first retrieved item of each query shows, beside what the query shows.

    Where several items come first, each is as likely to be the retrieved one (or, with `last`,
    the worst of them is).

    Parameters
    ----------
    query_ids, gallery_ids : ndarray of int
        Pictures, or classes where only these are known, in one numbering.
    vectors : ndarray of shape (n_ids, n_dims)
        The judge's unit embedding of each.
    last : bool
    """

    def __init__(
        self,
        query_ids: Positions,
        gallery_ids: Positions,
        vectors: npt.NDArray[np.float32],
        *,
        last: bool = False,
    ) -> None:
        candidates, self._place, self._multiplicity = np.unique(
            gallery_ids, return_inverse=True, return_counts=True
        )
        spot = np.minimum(np.searchsorted(candidates, query_ids), len(candidates) - 1)
        self._own = np.where(candidates[spot] == query_ids, spot, -1)
        self._mine, self._theirs = _rows(vectors, query_ids), _rows(vectors, candidates)
        self._retrieved = np.full(len(query_ids), -1)
        self._values = np.full(len(query_ids), np.nan)
        self._last = last

    def add(self, block: Block) -> None:
        """Take in the scores of some queries."""
        rows, columns = block.first()
        n = len(self._theirs)
        cell, count = np.unique(rows * n + self._place[columns], return_counts=True)
        rows, shown = np.divmod(cell, n)
        several = np.bincount(rows, minlength=len(block.rows))[rows] > 1
        self._retrieved[block.rows[rows[~several]]] = shown[~several]
        tied = np.unique(rows[several])
        for start in range(0, len(tied), _ROWS_AT_A_TIME):
            some = tied[start : start + _ROWS_AT_A_TIME]
            queries = block.rows[some]
            cosines = Cosines(self._mine[queries], self._theirs).exact(slice(0, len(some)))
            shares = retrieved_shares(cosines, self._own[queries])
            here = np.isin(rows, some)
            place = np.searchsorted(some, rows[here])
            found = shares[place, shown[here]]
            if self._last:
                worst = np.full(len(some), np.inf)
                np.minimum.at(worst, place, found)
                self._values[queries] = worst
            else:
                total = np.bincount(place, weights=count[here])
                self._values[queries] = np.bincount(place, weights=count[here] * found) / total

    def values(self) -> Values:
        """Return the score of each query."""
        one = self._retrieved >= 0
        if one.any():
            rows = np.flatnonzero(one)
            self._values[rows] = two_way_from_retrieved(
                _rows(self._mine, rows), self._theirs, self._own[rows], self._retrieved[rows]
            )
        return self._values

    def chance(self) -> Values:
        """Return its expectation under a random retrieval."""
        return chance_two_way_from_retrieved(
            self._mine, self._theirs, self._own, self._multiplicity
        )


def judge_vectors(
    pictures: Embeddings, column: str, names: Sequence[str]
) -> npt.NDArray[np.float32]:
    """Return the unit embedding of each picture, or the mean one of each class."""
    keys = pictures.items[column].map(str).to_numpy()
    known, code = np.unique(keys, return_inverse=True)
    missing = sorted(set(names) - set(known.tolist()))
    if missing:
        raise NeuroalignError(
            f"The picture embeddings lack {len(missing)} of {len(names)} {column} values that the "
            f"queries or the gallery name (first: {missing[:3]}). Embed these pictures too."
        )
    # In an order of their own, so that the last bits do not depend on that of the pictures.
    order = np.lexsort((pictures.vectors[:, 0], code))
    counts = np.bincount(code)
    wanted = np.searchsorted(known, np.asarray(names))
    first = np.cumsum(counts) - counts
    if (counts == 1).all():
        return _rows(pictures.vectors, order[first[wanted]])
    chosen = np.add.reduceat(pictures.vectors[order], first, axis=0, dtype=np.float64)[wanted]
    norms = np.linalg.norm(chosen, axis=1, keepdims=True)
    if (norms == 0).any():
        raise NeuroalignError("The pictures of a class have a zero mean: it has no direction.")
    unit: npt.NDArray[np.float32] = (chosen / norms).astype(np.float32)
    return unit


def _rows(vectors: npt.NDArray[np.float32], rows: Positions) -> npt.NDArray[np.float32]:
    """Return some rows; without a copy where they are all of them, as in most large galleries."""
    return vectors if np.array_equal(rows, np.arange(len(vectors))) else vectors[rows]
