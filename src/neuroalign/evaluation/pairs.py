"""Scores of all (query, candidate) pairs, a block of queries at a time, counted without noise.

A float32 matrix product is fast, but its last bits change with the shape of the block, the number
of threads and the library. So it only decides what is clear: a score further from a threshold
than its rounding error can reach. The few pairs that are nearer are summed again in float64 and
rounded to float32. What is counted is then the same as if every pair had been summed that way,
whatever the block, the order of the items or the number of threads, and equal items tie.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.counting import count_below, count_true, in_threads
from neuroalign.retrieval.gallery import BLOCK_BYTES

Floats = npt.NDArray[np.floating]
Positions = npt.NDArray[np.int64]

T = TypeVar("T")

_GALLERY_CHUNK = 4096
#: Pairs summed at a time: their vectors stay in the cache.
_PAIR_CHUNK = 64
#: Scores that a thread counts at a time.
_ENTRIES = 2**19
#: More unclear pairs than this share of a block, and the whole block is summed in float64.
_UNCLEAR = 0.01
#: Up to so many thresholds a query, each is compared with the row; above, the row is sorted.
_SLOTS = 16


class PairScores(ABC):
    """A score for each query and candidate; higher is better.

    Attributes
    ----------
    n_queries, n_gallery : int
    tolerance : float
        How far an entry of `near` may lie from the one of `exact`.
    """

    n_queries: int
    n_gallery: int
    tolerance: float

    @abstractmethod
    def near(self, part: slice) -> Floats:
        """Return the scores of some queries, shape (n_part, n_gallery), within the tolerance."""

    @abstractmethod
    def exact(self, part: slice) -> Floats:
        """Return the scores of some queries, shape (n_part, n_gallery)."""

    @abstractmethod
    def exact_pairs(self, rows: Positions, columns: Positions) -> Floats:
        """Return the scores of single pairs, of the shape of `columns`."""

    @abstractmethod
    def class_means(self, codes: Positions, n_classes: int) -> npt.NDArray[np.float32]:
        """Return the mean score of each query with each class, shape (n_queries, n_classes)."""

    @abstractmethod
    def among(self, columns: Positions) -> PairScores:
        """Keep some candidates."""

    @abstractmethod
    def asking(self, rows: Positions) -> PairScores:
        """Keep some queries."""

    def blocks(self, width: int = 1, block_bytes: int | None = None) -> Iterator[Block]:
        """Yield blocks of queries that fit in memory.

        Parameters
        ----------
        width : int
            Thresholds that each query will be asked for.
        block_bytes : int
            Upper bound on the bytes of one block of scores; 32 MB unless given.
        """
        step = max(1, (block_bytes or BLOCK_BYTES) // (4 * self.n_gallery + 64 * width))
        for start in range(0, self.n_queries, step):
            yield Block(self, slice(start, min(start + step, self.n_queries)))


class Cosines(PairScores):
    """Inner products of unit vectors.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_dims), float32
    gallery : ndarray of shape (n_gallery, n_dims), float32
    """

    def __init__(self, queries: npt.NDArray[np.float32], gallery: npt.NDArray[np.float32]) -> None:
        self._queries, self._gallery = queries, gallery
        self.n_queries, self.n_gallery = len(queries), len(gallery)
        # Rounding errors of a sum of d products of unit vectors: at most d half units in the last
        # place of 1 in any order, and as they cancel, about sqrt(d) (Higham and Mary, 2019); with
        # partial sums far below 1, much less. The rest covers the rounding of the bounds.
        dims = queries.shape[1]
        self.tolerance = min(dims, 4 * dims**0.5) * 2.0**-24 + 2.0**-22

    def near(self, part: slice) -> Floats:
        """See `PairScores`: a float32 product."""
        product: Floats = self._queries[part] @ self._gallery.T
        return product

    def exact(self, part: slice) -> Floats:
        """See `PairScores`: a float64 product, rounded to float32."""
        block = self._queries[part].astype(np.float64)
        scores = np.empty((len(block), self.n_gallery), np.float32)
        for left in range(0, self.n_gallery, _GALLERY_CHUNK):
            chunk = self._gallery[left : left + _GALLERY_CHUNK].astype(np.float64)
            scores[:, left : left + _GALLERY_CHUNK] = block @ chunk.T
        return scores

    def exact_pairs(self, rows: Positions, columns: Positions) -> Floats:
        """See `PairScores`: summed in float64, rounded to float32."""
        rows, columns = np.broadcast_arrays(rows, columns)
        flat_rows, flat_columns = rows.ravel(), columns.ravel()
        out = np.empty(flat_columns.size, np.float32)
        for start in range(0, out.size, _PAIR_CHUNK):
            part = slice(start, start + _PAIR_CHUNK)
            a = self._queries[flat_rows[part]].astype(np.float64)
            b = self._gallery[flat_columns[part]].astype(np.float64)
            out[part] = np.einsum("ij,ij->i", a, b)
        return out.reshape(columns.shape)

    def class_means(self, codes: Positions, n_classes: int) -> npt.NDArray[np.float32]:
        """See `PairScores`: products with the mean vector of each class."""
        sums = np.zeros((n_classes, self._gallery.shape[1]))
        order = np.argsort(codes, kind="stable")
        counts = np.bincount(codes, minlength=n_classes)
        sums = np.add.reduceat(
            self._gallery[order].astype(np.float64), np.cumsum(counts) - counts, axis=0
        )
        means = sums / counts[:, None]
        found: npt.NDArray[np.float32] = (self._queries.astype(np.float64) @ means.T).astype(
            np.float32
        )
        return found

    def among(self, columns: Positions) -> Cosines:
        """See `PairScores`."""
        return Cosines(self._queries, self._gallery[columns])

    def asking(self, rows: Positions) -> Cosines:
        """See `PairScores`."""
        return Cosines(self._queries[rows], self._gallery)


class Matrix(PairScores):
    """Scores that are given: log-likelihoods, decision values, similarities.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_gallery)

    Raises
    ------
    NeuroalignError
        A score is NaN or infinite.
    """

    tolerance = 0.0

    def __init__(self, scores: npt.ArrayLike) -> None:
        self._scores: Floats = np.asarray(scores)
        if self._scores.dtype.kind != "f":
            self._scores = self._scores.astype(np.float64)
        self.n_queries, self.n_gallery = self._scores.shape
        if not np.isfinite(self._scores).all():
            row, column = np.argwhere(~np.isfinite(self._scores))[0]
            raise NeuroalignError(
                f"`scores` holds NaN or infinite values (first: query {row}, candidate {column}); "
                "they cannot be ranked."
            )

    def near(self, part: slice) -> Floats:
        """See `PairScores`."""
        return self._scores[part]

    def exact(self, part: slice) -> Floats:
        """See `PairScores`."""
        return self._scores[part]

    def exact_pairs(self, rows: Positions, columns: Positions) -> Floats:
        """See `PairScores`."""
        return self._scores[rows, columns]

    def class_means(self, codes: Positions, n_classes: int) -> npt.NDArray[np.float32]:
        """See `PairScores`; float32, so that means which are equal but for rounding tie."""
        order = np.argsort(codes, kind="stable")
        counts = np.bincount(codes, minlength=n_classes)
        starts = np.cumsum(counts) - counts
        means = np.empty((self.n_queries, n_classes), np.float32)
        for block in self.blocks():
            sums = np.add.reduceat(block.exact[:, order].astype(np.float64), starts, axis=1)
            means[block.part] = sums / counts
        return means

    def among(self, columns: Positions) -> Matrix:
        """See `PairScores`."""
        return Matrix(self._scores[:, columns])

    def asking(self, rows: Positions) -> Matrix:
        """See `PairScores`."""
        return Matrix(self._scores[rows])


def pair_scores(scores: PairScores | npt.ArrayLike) -> PairScores:
    """Accept a matrix where pair scores are wanted."""
    return scores if isinstance(scores, PairScores) else Matrix(scores)


class Block:
    """Some queries with their scores; products are computed when they are first needed."""

    def __init__(self, scores: PairScores, part: slice) -> None:
        self.scores, self.part = scores, part
        self.rows: Positions = np.arange(part.start, part.stop)

    @cached_property
    def near(self) -> Floats:
        """The scores, within the tolerance."""
        return self.scores.near(self.part)

    @cached_property
    def exact(self) -> Floats:
        """The scores."""
        return self.scores.exact(self.part)

    def around(
        self, columns: Positions, present: npt.NDArray[np.bool_]
    ) -> tuple[Positions, Positions, Floats]:
        """Count how many candidates score above some of them, and how many the same.

        Parameters
        ----------
        columns : ndarray of shape (n_part, width), int
            The candidates in question.
        present : ndarray of shape (n_part, width), bool
            Which of `columns` are meant; the results elsewhere mean nothing.

        Returns
        -------
        above, tied : ndarray of shape (n_part, width), int
            Over all candidates of the gallery, but for the one in question.
        values : ndarray of shape (n_part, width)
            Its score.
        """
        if columns.shape[1] > _SLOTS:
            return self._around_sorted(columns)
        values = self.scores.exact_pairs(self.rows[:, None], columns)
        above, tied = np.zeros(columns.shape, np.int64), np.zeros(columns.shape, np.int64)
        for slot in range(columns.shape[1]):
            threshold = np.where(present[:, slot], values[:, slot], np.inf).astype(values.dtype)
            counted = self._compare(threshold, columns[:, slot])
            above[:, slot], tied[:, slot] = counted
        return above, tied, values

    def first(self) -> tuple[Positions, Positions]:
        """Return the rows (within the block) and columns of every query's best candidates.

        Several where they tie; rows in ascending order.
        """
        if "exact" not in self.__dict__ and self.scores.tolerance:
            found = self._by_rows(self._close_to_first)
            close = np.concatenate(found)
            if self._is_few(close):
                rows, columns = np.divmod(close, self.scores.n_gallery)
                values = self.scores.exact_pairs(self.rows[rows], columns)
                best = np.full(len(self.rows), -np.inf, values.dtype)
                np.maximum.at(best, rows, values)
                keep = values == best[rows]
                return rows[keep], columns[keep]
        rows, columns = np.nonzero(self.exact == self.exact.max(axis=1, keepdims=True))
        return rows, columns

    def _close_to_first(self, part: slice) -> Positions:
        near = self.near[part]
        close = near >= near.max(axis=1, keepdims=True) - 2 * self.scores.tolerance
        found: Positions = np.flatnonzero(close) + part.start * near.shape[1]
        return found

    def _compare(self, threshold: Floats, itself: Positions) -> tuple[Positions, Positions]:
        tolerance = self.scores.tolerance
        if not tolerance or "exact" in self.__dict__:
            return self._compare_exact(threshold)
        high = (threshold + tolerance).astype(threshold.dtype)[:, None]
        low = (threshold - tolerance).astype(threshold.dtype)[:, None]

        def count(part: slice) -> tuple[Positions, Positions]:
            above = self.near[part] > high[part]
            unclear = self.near[part] >= low[part]
            unclear ^= above
            return count_true(above), np.flatnonzero(unclear) + part.start * unclear.shape[1]

        counted, found = zip(*self._by_rows(count), strict=True)
        n_above, unclear = np.concatenate(counted), np.concatenate(found)
        if not self._is_few(unclear):
            return self._compare_exact(threshold)
        rows, columns = np.divmod(unclear, self.scores.n_gallery)
        other = columns != itself[rows]
        rows, columns = rows[other], columns[other]
        values = self.scores.exact_pairs(self.rows[rows], columns)
        n_above += np.bincount(rows[values > threshold[rows]], minlength=len(n_above))
        return n_above, np.bincount(rows[values == threshold[rows]], minlength=len(n_above))

    def _is_few(self, unclear: Positions) -> bool:
        return len(unclear) <= len(self.rows) * (1 + _UNCLEAR * self.scores.n_gallery)

    def _by_rows(self, function: Callable[[slice], T]) -> list[T]:
        self.near  # noqa: B018 (the product has threads of its own)
        step = max(1, _ENTRIES // self.scores.n_gallery)
        starts = range(0, len(self.rows), step)
        return in_threads(function, [slice(i, min(i + step, len(self.rows))) for i in starts])

    def _compare_exact(self, threshold: Floats) -> tuple[Positions, Positions]:
        column = threshold[:, None]
        return count_true(self.exact > column), count_true(self.exact == column) - 1

    def _around_sorted(self, columns: Positions) -> tuple[Positions, Positions, Floats]:
        values = np.take_along_axis(self.exact, columns, axis=1)
        ordered = np.sort(self.exact, axis=1)
        below, not_above = (count_below(ordered, values, equal=e) for e in (False, True))
        return self.scores.n_gallery - not_above, not_above - below - 1, values
