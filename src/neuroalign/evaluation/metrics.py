"""Metrics of one retrieval, one value a query: pure functions over scores and identities.

Scores are a matrix, or `Cosines` of two sets of embeddings. Identities (`query_ids`,
`gallery_ids`) are arrays of integers or strings. A candidate is *right* for a query when their
identities are equal, so the same functions score pictures (identity: stimulus) and classes
(identity: label), and several right candidates need no special case. Nothing depends on the order
of the items: where scores tie, a metric is its mean over the orders that they could be put in.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.pairs import Cosines, PairScores, Positions, pair_scores
from neuroalign.evaluation.ranks import Ids, Ranks, RightCandidates, Values
from neuroalign.retrieval.gallery import BLOCK_BYTES

Scores = PairScores | npt.ArrayLike


def top_k(
    scores: Scores, query_ids: Ids, gallery_ids: Ids, k: int, block_bytes: int = BLOCK_BYTES
) -> Values:
    """Return 1 for each query that has a right candidate among its first `k`.

    Parameters
    ----------
    scores : PairScores or ndarray of shape (n_queries, n_gallery)
    query_ids : ndarray of shape (n_queries,)
    gallery_ids : ndarray of shape (n_gallery,)
    k : int
    block_bytes : int
        Bytes of scores in memory at a time; the result does not depend on it.

    Returns
    -------
    ndarray of shape (n_queries,)
        0.0 or 1.0, or between them where a tie crosses the k-th place.

    Raises
    ------
    NeuroalignError
        `k` is not positive or larger than the gallery; or a query has no right candidate, or no
        distractor.
    """
    if not 1 <= k <= len(gallery_ids):
        raise NeuroalignError(
            f"`k` has to lie between 1 and the size of the gallery, {len(gallery_ids)}; got {k}."
        )
    return by_rank(scores, query_ids, gallery_ids, lambda r: r.top_k(k), block_bytes)


def two_way(
    scores: Scores, query_ids: Ids, gallery_ids: Ids, block_bytes: int = BLOCK_BYTES
) -> Values:
    """Return the share of (right candidate, distractor) pairs that each query orders rightly.

    Distractors are all candidates of another identity; a tie counts one half. This is the area
    under the ROC curve of each row.

    Parameters
    ----------
    scores, query_ids, gallery_ids, block_bytes
        As in `top_k`.

    Returns
    -------
    ndarray of shape (n_queries,), in 0..1; 0.5 is chance

    Raises
    ------
    NeuroalignError
        A query has no right candidate, or no distractor.
    """
    return by_rank(scores, query_ids, gallery_ids, Ranks.two_way, block_bytes)


def best_rank(
    scores: Scores, query_ids: Ids, gallery_ids: Ids, block_bytes: int = BLOCK_BYTES
) -> Values:
    """Return the rank of each query's best right candidate, from 1; lower is better.

    Its median over queries is the median rank. Arguments and errors as in `two_way`.
    """
    return by_rank(scores, query_ids, gallery_ids, Ranks.best_rank, block_bytes)


def reciprocal_rank(
    scores: Scores, query_ids: Ids, gallery_ids: Ids, block_bytes: int = BLOCK_BYTES
) -> Values:
    """Return one over the rank of each query's best right candidate.

    Its mean is the mean reciprocal rank. Arguments and errors as in `two_way`.
    """
    return by_rank(scores, query_ids, gallery_ids, Ranks.reciprocal_rank, block_bytes)


def average_precision(
    scores: Scores, query_ids: Ids, gallery_ids: Ids, block_bytes: int = BLOCK_BYTES
) -> Values:
    """Return each query's average precision: over its right candidates, the precision up to each.

    Its mean is the mean average precision. Arguments and errors as in `two_way`.
    """
    return by_rank(scores, query_ids, gallery_ids, Ranks.average_precision, block_bytes)


def k_way(
    scores: Scores, query_ids: Ids, gallery_ids: Ids, k: int, block_bytes: int = BLOCK_BYTES
) -> Values:
    """Return the chance that a right candidate is first among itself and `k - 1` distractors.

    The mean over all draws of distractors without replacement, in closed form; see
    `Ranks.k_way_resampled` for a stated number of draws. `k = 2` is `two_way`. Arguments and
    errors as in `two_way`.
    """
    return by_rank(scores, query_ids, gallery_ids, lambda r: r.k_way(k), block_bytes)


def by_rank(
    scores: Scores,
    query_ids: Ids,
    gallery_ids: Ids,
    metric: Callable[[Ranks], Values],
    block_bytes: int = BLOCK_BYTES,
) -> Values:
    """Return a metric that the ranks of the right candidates determine; see `top_k`."""
    pairs, right = pair_scores(scores), RightCandidates(query_ids, gallery_ids)
    right.check()
    out = np.empty(len(query_ids))
    for block in pairs.blocks(right.width, block_bytes):
        out[block.part] = metric(right.ranks(block))
    return out


def two_way_from_retrieved(
    pictures: npt.NDArray[np.float32],
    candidates: npt.NDArray[np.float32],
    own: Positions,
    retrieved: Positions,
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
    cosines = Cosines(pictures, candidates)
    known, hit = own >= 0, own == retrieved
    n_wrong = len(candidates) - 1 - (known & ~hit)
    if (n_wrong < 1).any():
        raise NeuroalignError(
            f"A gallery of {len(candidates)} pictures leaves no distractor beside the true "
            "and the retrieved picture: this metric needs at least three pictures."
        )
    mine = cosines.exact_pairs(np.arange(len(own)), np.maximum(own, 0))
    # Nothing beats the picture itself, not even a second file with the same content.
    out = np.ones(len(pictures))
    for block in cosines.blocks(1, block_bytes):
        part, column = block.part, retrieved[block.part, None]
        if hit[part].all():
            continue
        above, tied, values = (x[:, 0] for x in block.around(column, np.ones(column.shape, bool)))
        beside = known[part] & ~hit[part]  # the own picture is no distractor
        above, tied = (
            above - (beside & (mine[part] > values)),
            tied - (beside & (mine[part] == values)),
        )
        out[part] = 1 - (above + 0.5 * tied) / n_wrong[part]
    out[hit] = 1.0
    return out


def class_accuracy(scores: Scores, query_ids: Ids, gallery_ids: Ids) -> Values:
    """Return 1 for each query whose own class has the highest mean score.

    With cosines as scores this is the nearest class mean. Of several classes with the highest
    mean each counts its share.

    Parameters
    ----------
    scores : PairScores or ndarray of shape (n_queries, n_gallery)
    query_ids, gallery_ids : ndarray
        The classes.

    Returns
    -------
    ndarray of shape (n_queries,), in 0..1
    """
    classes, code = np.unique(gallery_ids, return_inverse=True)
    means = pair_scores(scores).class_means(code.astype(np.int64), len(classes))
    highest = means == means.max(axis=1, keepdims=True)
    own = classes[None, :] == query_ids[:, None]
    hits: Values = (highest & own).sum(axis=1) / highest.sum(axis=1)
    return hits


def nearest_class(scores: Scores, gallery_ids: Ids) -> Positions:
    """Return the position, among the sorted classes, of the (first) one with the highest mean."""
    classes, code = np.unique(gallery_ids, return_inverse=True)
    means = pair_scores(scores).class_means(code.astype(np.int64), len(classes))
    best: Positions = means.argmax(axis=1)
    return best


def balanced_weights(*levels: Ids) -> Values:
    """Return weights that make the weighted mean over queries the mean over groups of them.

    Of one level, the classes: the weighted mean of `class_accuracy` is the balanced accuracy. Of
    several: the mean over the groups of the first of the mean over those of the second within, and
    so on.

    Parameters
    ----------
    *levels : ndarray of shape (n_queries,)
        Which group each query is in.

    Returns
    -------
    ndarray of shape (n_queries,)
    """
    first, *inner = levels
    _, group = np.unique(first, return_inverse=True)
    weights: Values = np.ones(len(group))
    for level in inner:
        _, code = np.unique(level, return_inverse=True)
        _, start, cell = np.unique(
            group * (code.max() + 1) + code, return_index=True, return_inverse=True
        )
        weights /= np.bincount(group[start])[group]
        group = cell
    return weights / np.bincount(group)[group]
