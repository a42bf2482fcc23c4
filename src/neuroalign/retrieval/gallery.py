"""Exact search in a gallery, and the three tasks, which are one retrieval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.retrieval.embeddings import Embeddings

#: The scores of one block of queries; sorting them needs several times as much.
BLOCK_BYTES = 32 * 2**20
_GALLERY_CHUNK = 4096


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

        Parameters
        ----------
        queries : Embeddings
        k : int

        Returns
        -------
        Ranking
            Best first; equal scores by their position in the gallery.

        Raises
        ------
        NeuroalignError
            `k` is not positive, or queries and gallery live in different spaces.
        """
        if k < 1:
            raise NeuroalignError(f"`k` has to be a positive integer, got {k}.")
        same_space(queries, self.embeddings)
        k = min(k, len(self))
        indices = np.empty((len(queries), k), np.int64)
        scores = np.empty((len(queries), k), np.float32)
        for part, block in cosine_blocks(queries.vectors, self.embeddings.vectors):
            indices[part] = stable_top_k(block, k)
            scores[part] = np.take_along_axis(block, indices[part], axis=1)
        return Ranking(indices, scores, queries.items, self.embeddings.items)


def same_space(a: Embeddings, b: Embeddings) -> None:
    """Refuse embeddings of two spaces: their cosines mean nothing."""
    if a.space != b.space:
        raise NeuroalignError(
            f"The queries live in the space {a.space!r}, the gallery in {b.space!r}: cosines "
            "between them mean nothing. Embed both with the same image encoder and model."
        )


def cosine_blocks(
    queries: npt.NDArray[np.float32],
    gallery: npt.NDArray[np.float32],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Yield the inner products of some queries at a time with the whole gallery.

    The products are summed in float64 and rounded to float32: a matrix product's last bits change
    with the shape of the block, and rounding them away keeps equal items equal (so that ties are
    ties) and a query's scores the same whatever block it falls into.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_dims)
    gallery : ndarray of shape (n_gallery, n_dims)
    block_bytes : int
        Upper bound on the bytes of one block of scores.

    Yields
    ------
    part : slice
        The queries of this block.
    scores : ndarray of shape (n_part, n_gallery), float32
    """
    step = max(1, block_bytes // (4 * max(1, len(gallery))))
    for start in range(0, len(queries), step):
        block = queries[start : start + step].astype(np.float64)
        scores = np.empty((len(block), len(gallery)), np.float32)
        for left in range(0, len(gallery), _GALLERY_CHUNK):
            chunk = gallery[left : left + _GALLERY_CHUNK].astype(np.float64)
            scores[:, left : left + _GALLERY_CHUNK] = block @ chunk.T
        yield slice(start, start + len(block)), scores


def stable_top_k(scores: npt.NDArray[np.floating], k: int) -> npt.NDArray[np.int64]:
    """Return the positions of the k largest of each row; ties go to the lower position.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_gallery)
    k : int
        At most n_gallery.

    Returns
    -------
    ndarray of shape (n_queries, k), int64
    """
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
    """Rank pictures for each recording.

    Parameters
    ----------
    recordings, pictures : Embeddings
        In one space: `Bundle.embed` and `Bundle.embed_pictures`.
    k : int
        Pictures for each recording.

    Returns
    -------
    Ranking
        Its `table()` has a row for each query and rank.

    Raises
    ------
    NeuroalignError
        There are no pictures, `k` is not positive, or the two live in different spaces.
    """
    return Gallery(pictures).search(recordings, k)


def encode(pictures: Embeddings, recordings: Embeddings, k: int = 5) -> Ranking:
    """Rank recordings of one modality for each picture; otherwise as `decode`."""
    return Gallery(recordings).search(pictures, k)


def convert(source: Embeddings, target: Embeddings, k: int = 5) -> Ranking:
    """Rank recordings of another modality for each recording; otherwise as `decode`."""
    return Gallery(target).search(source, k)
