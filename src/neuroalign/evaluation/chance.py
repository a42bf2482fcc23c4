"""What a random decoder scores, exactly, from the gallery at hand.

Random means: every candidate is equally likely at every rank, whatever the query; where a metric
takes means of scores, these are normally distributed. The number of candidates, their repeats and
the class sizes enter; the number of classes in some larger data set does not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr
from scipy.stats import rankdata

from neuroalign.evaluation.pairs import Cosines
from neuroalign.evaluation.ranks import Ids, RightCandidates, Values
from neuroalign.retrieval.gallery import BLOCK_BYTES

#: `two_way` and `two_way_from_embedding`: each pair is a coin flip, ties half.
CHANCE_TWO_WAY = 0.5
#: Where normal distributions end, and points on the grid a standard deviation of the narrowest.
_FAR, _POINTS = 9.0, 8


def chance_top_k(query_ids: Ids, gallery_ids: Ids, k: int) -> Values:
    """Return each query's probability of a right candidate among `k` drawn without replacement.

    One minus the probability that all `k` are wrong (hypergeometric).

    Returns
    -------
    ndarray of shape (n_queries,)
    """
    right = RightCandidates(query_ids, gallery_ids)
    return np.where(right.n_right > 0, right.tied_ranks().top_k(k), 0.0)


def chance_median_rank(query_ids: Ids, gallery_ids: Ids) -> float:
    """Return the median, over queries and orders of the gallery, of the best right rank.

    With one right candidate each, (n + 1) / 2.
    """
    n = len(gallery_ids)
    right = RightCandidates(query_ids, gallery_ids)
    within = np.zeros(n)
    for n_right, queries in zip(
        *np.unique(right.n_right[right.usable], return_counts=True), strict=True
    ):
        # The chance that none of the first ones is right: one place after another.
        left = np.arange(n, 0, -1)
        within += queries * (1 - np.cumprod(np.clip(1 - n_right / left, 0, 1)))
    within /= right.usable.sum()
    low, high = (int(np.argmax(within >= 0.5 + e)) + 1 for e in (-1e-9, 1e-9))
    return float(low + high) / 2


def chance_class_accuracy(query_ids: Ids, gallery_ids: Ids) -> Values:
    r"""Return each query's probability that its class has the highest mean of random scores.

    The mean of few candidates is the highest more often than that of many, for it strays further:
    one over the number of classes is the level only where all have as many candidates, or on
    average over all of them. For independent normal scores (cosines of random embeddings are
    nearly that) the mean of n has the density :math:`\sqrt n \varphi(\sqrt n x)`, so that of the
    classes of sizes :math:`n_j` the one of size n comes first with probability

    .. math:: \int \varphi(z) \prod_{j \ne i} \Phi(z \sqrt{n_j / n}) \, dz,

    which is summed on a grid so fine that the trapezoidal rule is exact to some ten digits.

    Parameters
    ----------
    query_ids, gallery_ids : ndarray
        The classes.

    Returns
    -------
    ndarray of shape (n_queries,)
        0 where the gallery has no candidate of the query's class.
    """
    classes, sizes = np.unique(gallery_ids, return_counts=True)
    spot = np.minimum(np.searchsorted(classes, query_ids), len(classes) - 1)
    first = _first_of_means(sizes)[spot]
    return np.where(classes[spot] == query_ids, first, 0.0)


def _first_of_means(sizes: npt.NDArray[np.int64]) -> Values:
    """Return how likely the mean of each of these samples of one normal distribution is highest."""
    size, place, number = np.unique(sizes, return_inverse=True, return_counts=True)
    if len(size) == 1:
        return np.full(len(sizes), 1 / len(sizes))
    found = np.empty(len(size))
    for i, n in enumerate(size):
        narrow = np.sqrt(n / size[-1])
        z, step = np.linspace(-_FAR, _FAR, 2 * int(_FAR * _POINTS / narrow) + 1, retstep=True)
        below = -log_ndtr(z)  # of the others, which are one less of this size
        for other, times in zip(size, number, strict=True):
            below += times * log_ndtr(z * np.sqrt(other / n))
        found[i] = np.exp(below - z**2 / 2).sum() * step / np.sqrt(2 * np.pi)
    return found[place]


def chance_two_way_from_retrieved(
    pictures: npt.NDArray[np.float32],
    candidates: npt.NDArray[np.float32],
    own: npt.NDArray[np.int64],
    multiplicity: npt.NDArray[np.int64],
    block_bytes: int = BLOCK_BYTES,
) -> Values:
    """Return the expected `two_way_from_retrieved` of each query under a random retrieval.

    With n pictures, each as often in the gallery as the others, the own picture among them: it is
    hit with probability 1/n and scores 1; any other picture is compared with the remaining n - 2
    and wins half of them on average. Together 0.5 + 0.5/n; 0.5 if the own picture is not in the
    gallery. If some pictures have more items than others, they are drawn more often, and the
    level depends on how near to the query's picture these are: then it is summed picture by
    picture.

    Parameters
    ----------
    pictures, candidates, own, block_bytes
        As in `two_way_from_retrieved`.
    multiplicity : ndarray of shape (n_candidates,), int
        How many gallery items have each candidate picture.

    Returns
    -------
    ndarray of shape (n_queries,)
    """
    n = len(candidates)
    known = own >= 0
    if (multiplicity == multiplicity[0]).all():
        return np.where(known, 0.5 + 0.5 / n, 0.5)
    probability = multiplicity / multiplicity.sum()
    out = np.empty(len(pictures))
    for block in Cosines(pictures, candidates).blocks(block_bytes=block_bytes // 8):
        out[block.part] = retrieved_shares(block.exact, own[block.part]) @ probability
    return out


def retrieved_shares(cosines: npt.NDArray[np.floating], own: npt.NDArray[np.int64]) -> Values:
    """Return `two_way_from_retrieved` for each candidate that could be the retrieved one.

    Parameters
    ----------
    cosines : ndarray of shape (n_queries, n_candidates)
        Between each query's own picture and the candidates.
    own : ndarray of shape (n_queries,), int
        As in `two_way_from_retrieved`.

    Returns
    -------
    ndarray of shape (n_queries, n_candidates)
    """
    known = np.flatnonzero(own >= 0)
    place = (known, own[known])
    n_other = np.full(len(own), cosines.shape[1] - 1)
    n_other[known] -= 1
    below = rankdata(cosines, axis=1) - 1  # ties half; the own picture is no distractor
    mine = cosines[place][:, None]
    below[known] -= (mine < cosines[known]) + 0.5 * (mine == cosines[known])
    shares: Values = below / n_other[:, None]
    shares[place] = 1.0
    return shares
