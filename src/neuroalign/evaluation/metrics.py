"""Metrics of one retrieval, one value a query: pure functions over scores and identities.

Identities (`query_ids`, `gallery_ids`) are arrays of integers or strings. A candidate is *right*
for a query when their identities are equal, so the same functions score pictures (identity:
stimulus) and classes (identity: label), and several right candidates need no special case.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError
from neuroalign.retrieval.gallery import BLOCK_BYTES, cosine_blocks

Ids = npt.NDArray[Any]
Values = npt.NDArray[np.float64]


def top_k(indices: npt.NDArray[np.int64], query_ids: Ids, gallery_ids: Ids, k: int) -> Values:
    """Return 1 for each query that has a right candidate among its first `k`.

    Parameters
    ----------
    indices : ndarray of shape (n_queries, at least k)
        Gallery positions, best first: `Ranking.indices`, or `stable_top_k` of a score matrix.
        Both break ties by position in the gallery.
    query_ids : ndarray of shape (n_queries,)
    gallery_ids : ndarray of shape (n_gallery,)
    k : int

    Returns
    -------
    ndarray of shape (n_queries,), 0.0 or 1.0

    Raises
    ------
    NeuroalignError
        `k` is not positive or larger than the ranking is long.
    """
    if not 1 <= k <= indices.shape[1]:
        raise NeuroalignError(
            f"`k` has to lie between 1 and the length of the ranking, {indices.shape[1]}; got {k}."
        )
    found = gallery_ids[indices[:, :k]]
    hits: Values = (found == query_ids[:, None]).any(axis=1).astype(np.float64)
    return hits


def two_way(scores: npt.NDArray[np.floating], query_ids: Ids, gallery_ids: Ids) -> Values:
    """Return the share of (right candidate, distractor) pairs that each query orders rightly.

    Distractors are all candidates of another identity; a tie counts one half. This is the area
    under the ROC curve of each row. Counted by rank: a row is sorted once, no pair is visited.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_gallery)
    query_ids : ndarray of shape (n_queries,)
    gallery_ids : ndarray of shape (n_gallery,)

    Returns
    -------
    ndarray of shape (n_queries,), in 0..1; 0.5 is chance

    Raises
    ------
    NeuroalignError
        A query has no right candidate, or no distractor.
    """
    n_right, n_wrong = _counts(query_ids, gallery_ids)
    out = np.empty(len(scores))
    for row, values in enumerate(scores):
        right = np.sort(values[gallery_ids == query_ids[row]])
        # How many of all candidates, less how many of the right ones, lie below (ties half).
        wins = below(np.sort(values), right) - below(right, right)
        out[row] = wins.sum() / (n_right[row] * n_wrong[row])
    return out


def two_way_from_embedding(
    queries: npt.NDArray[np.float32],
    gallery: npt.NDArray[np.float32],
    query_ids: Ids,
    gallery_ids: Ids,
    block_bytes: int = BLOCK_BYTES,
) -> Values:
    """Return `two_way` of the cosines, a block of queries at a time.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_dims)
        Unit vectors, as in `Embeddings`.
    gallery : ndarray of shape (n_gallery, n_dims)
        Unit vectors.
    query_ids, gallery_ids : ndarray
        As in `two_way`.
    block_bytes : int
        Bytes of scores in memory at a time; the result does not depend on it.

    Returns
    -------
    ndarray of shape (n_queries,)
    """
    out = np.empty(len(queries))
    for part, scores in cosine_blocks(queries, gallery, block_bytes):
        out[part] = two_way(scores, query_ids[part], gallery_ids)
    return out


def two_way_from_retrieved(
    pictures: npt.NDArray[np.float32],
    candidates: npt.NDArray[np.float32],
    own: npt.NDArray[np.int64],
    retrieved: npt.NDArray[np.int64],
    block_bytes: int = BLOCK_BYTES,
) -> Values:
    """Return the paper's CLIP 2-way: whether the retrieved picture is nearer to the true one.

    For a query with its own picture p and the picture r of its first retrieved item: the share of
    distractors d with cos(p, r) > cos(p, d), ties one half. Distractors are all candidate
    pictures except r and, where the gallery holds it, p itself (which nothing could beat).
    Retrieving p itself scores 1.

    A random retrieval scores a little more than 0.5, because it may hit p: see
    `chance_two_way_from_retrieved`.

    Parameters
    ----------
    pictures : ndarray of shape (n_queries, n_dims)
        Unit embedding of each query's own picture.
    candidates : ndarray of shape (n_candidates, n_dims)
        Unit embedding of each distinct picture of the gallery.
    own : ndarray of shape (n_queries,), int
        Position of the query's own picture among the candidates, or -1.
    retrieved : ndarray of shape (n_queries,), int
        Position of the picture of the first retrieved item.
    block_bytes : int
        Bytes of cosines in memory at a time.

    Returns
    -------
    ndarray of shape (n_queries,), in 0..1

    Raises
    ------
    NeuroalignError
        No distractor is left for a query.
    """
    out = np.empty(len(pictures))
    for part, cosines in cosine_blocks(pictures, candidates, block_bytes):
        rows = np.arange(len(cosines))
        hit, known = retrieved[part], own[part] >= 0
        score = cosines[rows, hit][:, None]
        wins = (cosines < score) + 0.5 * (cosines == score)
        wins[rows, hit] = 0
        wins[rows[known], own[part][known]] = 0
        n_wrong = cosines.shape[1] - 1 - (known & (own[part] != hit))
        if (n_wrong < 1).any():
            raise NeuroalignError(
                f"A gallery of {cosines.shape[1]} pictures leaves no distractor beside the true "
                "and the retrieved picture: this metric needs at least three pictures."
            )
        total = wins.sum(axis=1)
        # Nothing beats the picture itself, not even a second file with the same content.
        out[part] = np.where(own[part] == hit, 1.0, total / n_wrong)
    return out


def class_accuracy(scores: npt.NDArray[np.floating], query_ids: Ids, gallery_ids: Ids) -> Values:
    """Return 1 for each query whose own class has the highest mean score.

    With cosines as scores this is the nearest class mean. Equal means: the class that comes first
    in sorted order.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_gallery)
    query_ids, gallery_ids : ndarray
        The classes.

    Returns
    -------
    ndarray of shape (n_queries,), 0.0 or 1.0
    """
    classes = np.unique(gallery_ids)
    hits: Values = (classes[nearest_class(scores, gallery_ids)] == query_ids).astype(np.float64)
    return hits


def nearest_class(scores: npt.NDArray[np.floating], gallery_ids: Ids) -> npt.NDArray[np.int64]:
    """Return the position, among the sorted classes, of the one with the highest mean score."""
    _, code = np.unique(gallery_ids, return_inverse=True)
    order = np.argsort(code, kind="stable")
    counts = np.bincount(code)
    starts = np.cumsum(counts) - counts
    sums = np.add.reduceat(scores[:, order].astype(np.float64), starts, axis=1)
    # float32 again: means that are equal but for rounding have to tie.
    best: npt.NDArray[np.int64] = (sums / counts).astype(np.float32).argmax(axis=1)
    return best


def balanced_weights(query_ids: Ids) -> Values:
    """Return weights that make the weighted mean over queries the mean over classes.

    The weighted mean of `class_accuracy` is the balanced accuracy.
    """
    _, code = np.unique(query_ids, return_inverse=True)
    weights: Values = 1.0 / np.bincount(code)[code]
    return weights


def below(
    ordered: npt.NDArray[np.floating], values: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Count the entries of a sorted array below each value, equal ones half."""
    left = np.searchsorted(ordered, values, "left")
    return (left + np.searchsorted(ordered, values, "right")) / 2


def _counts(
    query_ids: Ids, gallery_ids: Ids
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the numbers of right and of wrong candidates of each query."""
    right = count_right(query_ids, gallery_ids)
    wrong = len(gallery_ids) - right
    for counts, what in ((right, "candidate of its own identity"), (wrong, "distractor")):
        if (counts == 0).any():
            first = int(np.flatnonzero(counts == 0)[0])
            raise NeuroalignError(
                f"The gallery of {len(gallery_ids)} items has no {what} for "
                f"{int((counts == 0).sum())} of {len(query_ids)} queries (first: query {first}, "
                f"{query_ids[first]!s}). Leave these queries out, or complete the gallery."
            )
    return right, wrong


def count_right(query_ids: Ids, gallery_ids: Ids) -> npt.NDArray[np.int64]:
    """Return how many gallery items have each query's identity."""
    known, counts = np.unique(gallery_ids, return_counts=True)
    if len(known) == 0:
        return np.zeros(len(query_ids), np.int64)
    place = np.minimum(np.searchsorted(known, query_ids), len(known) - 1)
    return np.where(known[place] == query_ids, counts[place], 0).astype(np.int64)
