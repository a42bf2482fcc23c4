"""The 2-way score of encoding by class, with the recordings as what was sampled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from neuroalign.evaluation.ranks import Ids, Values


class GalleryInfluence:
    r"""What each candidate contributes to the mean `two_way` of all queries.

    Where only classes are known, each picture of a class asks the same of the same recordings:
    drawing pictures again says nothing about chance in the recordings. The score is then
    taken apart by candidate: with :math:`\theta = \frac1Q \sum_q A_q`, :math:`A_q` the share of
    (right i, wrong j) pairs in the right order, candidate i gets

    .. math:: x_i = \theta + \frac{N}{Q} \sum_q \frac{a_{qi} - A_q}{n_q(i)}

    where :math:`a_{qi}` is the share of opposite candidates that i is on the right side of, and
    :math:`n_q(i)` how many candidates are right (or wrong) as i is. The mean of x is the score
    and the variance of that mean is the score's (its Hajek projection), so the cluster bootstrap
    over candidates gives its interval.
    """

    def __init__(self, gallery_ids: Ids) -> None:
        self.gallery_ids = gallery_ids
        self._sum = np.zeros(len(gallery_ids))
        self._scores: list[float] = []

    def add(self, scores: npt.NDArray[np.floating], query_ids: Ids) -> None:
        """Take in the rows of some queries: scores of shape (n_part, n_gallery)."""
        for own in np.unique(query_ids):
            rows = scores[query_ids == own]
            right = self.gallery_ids == own
            every = rankdata(rows, axis=1)
            # How many of the other kind are below: the rank among all less that among its own.
            share_right = every[:, right] - rankdata(rows[:, right], axis=1)
            share_right /= max(1, int((~right).sum()))
            share_wrong = every[:, ~right] - rankdata(rows[:, ~right], axis=1)
            share_wrong = 1 - share_wrong / max(1, int(right.sum()))
            score = share_right.mean(axis=1, keepdims=True)
            self._sum[right] += (share_right - score).sum(axis=0) / right.sum()
            self._sum[~right] += (share_wrong - score).sum(axis=0) / (~right).sum()
            self._scores.extend(score[:, 0].tolist())

    def values(self) -> Values:
        """Return x, of shape (n_gallery,)."""
        scale = len(self.gallery_ids) / len(self._scores)
        x: Values = float(np.mean(self._scores)) + scale * self._sum
        return x
