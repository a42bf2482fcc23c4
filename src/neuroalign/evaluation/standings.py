"""Where every candidate stands, and how every label would fare as the right one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuroalign.evaluation.pairs import Floats
from neuroalign.evaluation.ranks import Ranks

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Standings:
    """Where every candidate of some queries stands: how many score above it, and how many tie."""

    above: Codes
    tied: Codes

    def take(self, rows: Codes) -> Standings:
        """Keep some queries."""
        return Standings(self.above[rows], self.tied[rows])

    @classmethod
    def of(cls, scores: Floats) -> Standings:
        """Count in one sort a row; `scores` has the shape (n_queries, n_gallery)."""
        order = np.argsort(-scores, axis=1, kind="stable")
        ordered = np.take_along_axis(scores, order, axis=1)
        n = scores.shape[1]
        starts = np.ones(scores.shape, bool)
        starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        place = np.arange(n)
        first = np.maximum.accumulate(np.where(starts, place, 0), axis=1)
        ends = np.ones(scores.shape, bool)
        ends[:, :-1] = starts[:, 1:]
        last = np.minimum.accumulate(np.where(ends, place, n)[:, ::-1], axis=1)[:, ::-1]
        above, tied = np.empty(scores.shape, np.int64), np.empty(scores.shape, np.int64)
        np.put_along_axis(above, order, first, axis=1)
        np.put_along_axis(tied, order, last - first, axis=1)
        return cls(above, tied)

    def ranks(self, columns: Codes, present: npt.NDArray[np.bool_], n_wrong: Codes) -> Ranks:
        """Return the ranks, were these candidates the right ones.

        Parameters
        ----------
        columns, present : ndarray of shape (n_queries, n_labels, width)
            The candidates of each label, and which of the entries count.
        n_wrong : ndarray of shape (n_queries, n_labels)

        Returns
        -------
        Ranks
            Of n_queries x n_labels queries, labels first.
        """
        shape = (columns.shape[0] * columns.shape[1], columns.shape[2])
        rows = np.arange(len(columns))[:, None, None]
        above, tied = (x[rows, columns].reshape(shape) for x in (self.above, self.tied))
        here, wrong = present.reshape(shape), n_wrong.ravel()
        if shape[1] == 1:
            nothing = np.zeros(shape, np.int64)
            return Ranks(above, tied, nothing, nothing, here, wrong)
        # The right ones of a row in order of their standing; no metric asks which of them is which.
        n = self.above.shape[1] + 1
        key = np.sort(np.where(here, above * n + tied, n * n), axis=1)
        above, tied = np.divmod(key, n)
        here = key < n * n
        place = np.arange(shape[1])
        starts, ends = np.ones(shape, bool), np.ones(shape, bool)
        starts[:, 1:] = above[:, 1:] != above[:, :-1]
        ends[:, :-1] = starts[:, 1:]
        first = np.maximum.accumulate(np.where(starts, place, 0), axis=1)
        last = np.minimum.accumulate(np.where(ends, place, shape[1])[:, ::-1], axis=1)[:, ::-1]
        above, tied, first, among = (
            np.where(here, x, 0) for x in (above - first, tied - last + first, first, last - first)
        )
        return Ranks(above, tied, first, among, here, wrong)


@dataclass(frozen=True, eq=False)
class Labels:
    """The candidates of each label: a picture or a class.

    `codes` are the queries' labels; `columns` and `present`, (n_labels, width), the candidates of
    each label of the gallery, which `known` names in order; `n_wrong`, (n_labels,), the others.
    """

    codes: Codes
    known: Codes
    columns: Codes
    present: npt.NDArray[np.bool_]
    n_wrong: Codes

    @classmethod
    def of(cls, query_ids: Codes, gallery_ids: Codes) -> Labels:
        """Group the candidates by label."""
        known, counts = np.unique(gallery_ids, return_counts=True)
        order = np.argsort(gallery_ids, kind="stable")
        slots = np.arange(counts.max())
        present = slots < counts[:, None]
        starts = (np.cumsum(counts) - counts)[:, None]
        columns = order[starts + np.where(present, slots, 0)]
        return cls(query_ids, known, columns, present, len(gallery_ids) - counts)

    def ranks(self, standings: Standings) -> Ranks:
        """Return the ranks of every label for every query."""
        n = len(standings.above)
        return standings.ranks(
            np.broadcast_to(self.columns, (n, *self.columns.shape)),
            np.broadcast_to(self.present, (n, *self.present.shape)),
            np.broadcast_to(self.n_wrong, (n, len(self.n_wrong))),
        )
