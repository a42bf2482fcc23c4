"""Exact search in a gallery, and the three tasks, which are one retrieval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.retrieval.embeddings import Embeddings

_BLOCK_BYTES = 128 * 2**20


@dataclass(frozen=True)
class Ranking:
    """The best items of a gallery for each query, best first.

    `indices` (n_queries, k) are positions in the gallery; `scores` the cosine similarities.
    """

    indices: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    queries: pd.DataFrame
    gallery: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Return one row per query and rank, with the columns of both items."""
        n, k = self.indices.shape
        left = self.queries.iloc[np.repeat(np.arange(n), k)].add_prefix("query_")
        right = self.gallery.iloc[self.indices.ravel()].add_prefix("found_")
        out = pd.concat([left.reset_index(drop=True), right.reset_index(drop=True)], axis=1)
        out.insert(0, "query", np.repeat(np.arange(n), k))
        out.insert(1, "rank", np.tile(np.arange(1, k + 1), n))
        out.insert(2, "score", self.scores.ravel())
        return out


class Gallery:
    """The candidates of a retrieval.

    Search is exact: every cosine is computed, in blocks of queries. Equal scores are ordered by
    position in the gallery, whatever the block size.

    Parameters
    ----------
    embeddings : Embeddings
        At least one item.
    """

    def __init__(self, embeddings: Embeddings) -> None:
        if len(embeddings) == 0:
            raise NeuroalignError("The gallery is empty: there is nothing to retrieve.")
        self.embeddings = embeddings

    def __len__(self) -> int:
        return len(self.embeddings)

    def search(self, queries: Embeddings, k: int) -> Ranking:
        """Return the `k` most similar items for each query (all, if the gallery has fewer).

        Raises
        ------
        NeuroalignError
            `k` is not positive, or queries and gallery live in different spaces.
        """
        if k < 1:
            raise NeuroalignError(f"`k` has to be a positive integer, got {k}.")
        same_space(queries, self.embeddings)
        k, vectors = min(k, len(self)), self.embeddings.vectors
        indices = np.empty((len(queries), k), np.int64)
        scores = np.empty((len(queries), k), np.float32)
        step = max(1, _BLOCK_BYTES // (4 * len(vectors)))
        for start in range(0, len(queries), step):
            block = queries.vectors[start : start + step] @ vectors.T
            order = _stable_top_k(block, k)
            indices[start : start + step] = order
            scores[start : start + step] = np.take_along_axis(block, order, axis=1)
        return Ranking(indices, scores, queries.items, self.embeddings.items)


def same_space(a: Embeddings, b: Embeddings) -> None:
    """Refuse embeddings of two spaces: their cosines mean nothing."""
    if a.space != b.space:
        raise NeuroalignError(
            f"The queries live in the space {a.space!r}, the gallery in {b.space!r}: cosines "
            "between them mean nothing. Embed both with the same image encoder and model."
        )


def _stable_top_k(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """Return the positions of the k largest of each row; ties go to the lower position."""
    n = scores.shape[1]
    if k * 8 >= n:
        return np.argsort(-scores, axis=1, kind="stable")[:, :k]
    # Partition first; then every score equal to the k-th is a candidate, so that a tie across the
    # cut is decided by position and not by the partition's whim.
    threshold = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
    above, tied = scores > threshold, scores == threshold
    room = k - above.sum(axis=1, keepdims=True)
    chosen = above | (tied & (np.cumsum(tied, axis=1) <= room))
    columns = np.nonzero(chosen)[1].reshape(len(scores), k)
    picked = np.take_along_axis(scores, columns, axis=1)
    return np.take_along_axis(columns, np.argsort(-picked, axis=1, kind="stable"), axis=1)


def decode(recordings: Embeddings, pictures: Embeddings, k: int = 5) -> Ranking:
    """Rank pictures for each recording."""
    return Gallery(pictures).search(recordings, k)


def encode(pictures: Embeddings, recordings: Embeddings, k: int = 5) -> Ranking:
    """Rank recordings of one modality for each picture."""
    return Gallery(recordings).search(pictures, k)


def convert(source: Embeddings, target: Embeddings, k: int = 5) -> Ranking:
    """Rank recordings of another modality for each recording."""
    return Gallery(target).search(source, k)
