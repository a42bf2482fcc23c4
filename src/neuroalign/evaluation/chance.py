"""What a random decoder scores, exactly, from the gallery at hand.

Random means: every candidate is equally likely at every rank, whatever the query. The number of
candidates, their repeats and the class sizes enter; the number of classes in some larger data set
does not.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from neuroalign.evaluation.metrics import Ids, Values, count_right
from neuroalign.retrieval.gallery import BLOCK_BYTES, cosine_blocks

#: `two_way` and `two_way_from_embedding`: each pair is a coin flip, ties half.
CHANCE_TWO_WAY = 0.5


def chance_top_k(query_ids: Ids, gallery_ids: Ids, k: int) -> Values:
    """Return each query's probability of a right candidate among `k` drawn without replacement.

    One minus the probability that all `k` are wrong (hypergeometric).

    Returns
    -------
    ndarray of shape (n_queries,)
    """
    n, right = len(gallery_ids), count_right(query_ids, gallery_ids)
    drawn = np.arange(min(k, n))
    miss = np.clip(n - right[:, None] - drawn, 0, None) / (n - drawn)
    out: Values = 1.0 - miss.prod(axis=1)
    return out


def chance_class_accuracy(gallery_ids: Ids) -> float:
    """Return one over the number of classes in the gallery: a uniform guess.

    Where the queries' classes differ in size, always guessing the largest scores more than this:
    read the balanced accuracy there, for which a constant guess also scores this level.
    """
    return 1.0 / len(np.unique(gallery_ids))


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
    for part, cosines in cosine_blocks(pictures, candidates, block_bytes):
        for row, values in enumerate(cosines):
            query = part.start + row
            other = np.arange(n) != own[query]
            ordered, present = np.sort(values[other]), values[other]
            left = np.searchsorted(ordered, present, "left")
            ties = np.searchsorted(ordered, present, "right") - left - 1
            share = (left + 0.5 * ties) / (len(ordered) - 1)
            out[query] = probability[other] @ share
            if known[query]:
                out[query] += probability[own[query]]
    return out
