"""Where the right candidates of a query stand, and every metric that this determines.

All of them are expectations over the orders that equal scores could be put in, each equally
likely. So the order of the items, their names, or a decoder that gives every candidate the same
score gain nothing; and chance, where every order of the whole gallery is equally likely, is the
value of a decoder for which everything ties (`tied_ranks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import digamma, gammaln

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.counting import count_below
from neuroalign.evaluation.pairs import Block, Positions

Ids = npt.NDArray[Any]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranks:
    """The standing of each right candidate of some queries.

    Parameters
    ----------
    above, tied : ndarray of shape (n_queries, width), int
        Wrong candidates that score higher than each right candidate, and as high.
    right_above, right_tied : ndarray of shape (n_queries, width), int
        Other right candidates that score higher, and as high.
    present : ndarray of shape (n_queries, width), bool
        Which entries are a right candidate; at least one a query.
    n_wrong : ndarray of shape (n_queries,), int
    """

    above: Positions
    tied: Positions
    right_above: Positions
    right_tied: Positions
    present: npt.NDArray[np.bool_]
    n_wrong: Positions

    def take(self, rows: npt.NDArray[np.bool_]) -> Ranks:
        """Keep some queries."""
        return Ranks(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @classmethod
    def join(cls, parts: Sequence[Ranks]) -> Ranks:
        """Put the queries of several blocks one after the other."""
        width = max(p.present.shape[1] for p in parts)
        joined = {}
        for field in fields(cls):
            arrays = [getattr(p, field.name) for p in parts]
            if field.name != "n_wrong":
                arrays = [np.pad(a, ((0, 0), (0, width - a.shape[1]))) for a in arrays]
            joined[field.name] = np.concatenate(arrays)
        return cls(**joined)

    def last(self) -> Ranks:
        """Put right candidates behind wrong ones of the same score: the strictest tie rule."""
        return replace(self, above=self.above + self.tied, tied=np.zeros_like(self.tied))

    def top_k(self, k: int) -> Values:
        """Return the chance that a right candidate is among the first `k`: 0 or 1 without ties."""
        above, wrong, right = self._best()
        miss = np.ones(len(above))
        for j in range(k):  # of the places that the tied candidates fill, none is a right one's
            miss *= np.where(j < k - above, (wrong - j) / np.maximum(wrong + right - j, 1), 1)
            miss = np.maximum(miss, 0)
        return np.where(above < k, 1 - miss, 0.0)

    def two_way(self) -> Values:
        """Return the share of (right, wrong) pairs in the right order; a tie counts one half."""
        wins = (self.n_wrong[:, None] - self.above - 0.5 * self.tied) / self._wrong
        return self._mean(wins)

    def best_rank(self) -> Values:
        """Return the rank of the best right candidate, from 1."""
        above, wrong, right = self._best()
        found: Values = above + 1 + wrong / (right + 1)
        return found

    def reciprocal_rank(self) -> Values:
        """Return one over the rank of the best right candidate."""
        above, wrong, right = self._best()
        # One right candidate is equally likely at each of the tied places.
        found: Values = _harmonic(above, wrong + 1) / (wrong + 1)
        several = (right > 1) & (wrong > 0)
        found[right > 1] = 1 / (above[right > 1] + 1)
        kinds, kind = np.unique(
            np.stack([above, wrong, right])[:, several], axis=1, return_inverse=True
        )
        found[several] = np.array([_first_of_several(*k) for k in kinds.T])[kind]
        return found

    def average_precision(self) -> Values:
        """Return the mean over right candidates of the share of right ones up to their rank.

        Expected under ties as McSherry and Najork (2008) give it.
        """
        start = self.above + self.right_above
        group = 1 + self.tied + self.right_tied
        places = _harmonic(start, group)  # the sum of one over each place of the tied group
        step = self.right_tied / np.maximum(group - 1, 1)
        total = (self.right_above + 1) * places + step * (group - (start + 1) * places)
        return self._mean(total / group)

    def k_way(self, k: int) -> Values:
        """Return the chance that a right candidate beats `k - 1` wrong ones drawn at random.

        Drawn without replacement; a tie for the first place is decided by lot. Exact: what
        drawing again and again converges to.

        Raises
        ------
        NeuroalignError
            Fewer than `k - 1` candidates are wrong.
        """
        self._check_k_way(k)
        wrong = self._wrong
        below = wrong - self.above - self.tied
        all_draws = _log_choose(wrong, k - 1)
        clear = np.exp(_log_choose(below, k - 1) - all_draws)
        with_ties = np.exp(_log_choose(below + self.tied + 1, k) - all_draws) - np.exp(
            _log_choose(below, k) - all_draws
        )
        return self._mean(np.where(self.tied > 0, with_ties / (self.tied + 1), clear))

    def k_way_resampled(
        self, k: int, *, resamples: int, seed: int, keys: Ids | None = None
    ) -> Values:
        """Return `k_way` as found by drawing the wrong candidates `resamples` times.

        Only how many of those drawn stand above the right candidate, or tie with it, matters: so
        these numbers are drawn (hypergeometric).

        Parameters
        ----------
        k, resamples, seed : int
        keys : ndarray of shape (n_queries,), optional
            Names of the queries; the draws do not depend on the order of queries with other names.
        """
        self._check_k_way(k)
        row, column = np.nonzero(self.present)
        above, tied, wrong = self.above[row, column], self.tied[row, column], self.n_wrong[row]
        names = np.zeros(len(row)) if keys is None else keys[row]
        order = np.lexsort((wrong, tied, above, names))
        above, tied, wrong = above[order, None], tied[order, None], wrong[order, None]
        rng = np.random.default_rng(seed)
        size = (len(order), resamples)
        drawn_above = rng.hypergeometric(above, wrong - above, k - 1, size)
        drawn_tied = (
            rng.hypergeometric(tied, wrong - above - tied, k - 1 - drawn_above, size)
            if (tied.any())
            else np.zeros(size, np.int64)
        )
        values = np.zeros(self.present.shape)
        values[row[order], column[order]] = ((drawn_above == 0) / (1 + drawn_tied)).mean(axis=1)
        return self._mean(values)

    @property
    def _wrong(self) -> Positions:
        return np.maximum(self.n_wrong, 1)[:, None]

    def _check_k_way(self, k: int) -> None:
        few = int(self.n_wrong.min(initial=k))
        if k < 2 or few < k - 1:
            raise NeuroalignError(
                f"A {k}-way choice asks each query among {k} candidates, {k - 1} of them wrong; "
                f"this gallery has only {few} wrong ones for a query. A protocol of your own can "
                f"set `candidates: {{k: ...}}` to between 2 and {few + 1}."
            )

    def _mean(self, values: Values) -> Values:
        """Average over each query's right candidates."""
        number = np.maximum(self.present.sum(axis=1), 1)
        # Sorted, so that the last bits do not depend on the order of the candidates.
        ordered = np.sort(np.where(self.present, values, 0), axis=1)
        shares: Values = ordered.sum(axis=1) / number
        return shares

    def _best(self) -> tuple[Positions, Positions, Positions]:
        """Return what stands above the best right candidate, and what ties with it.

        Returns
        -------
        above, wrong, right : ndarray of shape (n_queries,), int
            Candidates above it; wrong and right ones with its score, itself among them.
        """
        before = np.where(self.present, self.above + self.right_above, np.iinfo(np.int64).max)
        place = (np.arange(len(before)), before.argmin(axis=1))
        return self.above[place], self.tied[place], self.right_tied[place] + 1


def _harmonic(start: Positions, number: Positions) -> Values:
    """Return the sum of 1/i for i from start + 1 to start + number."""
    if (number == 1).all():  # the usual case, and digamma is slow
        alone: Values = 1 / (start + 1.0)
        return alone
    total = digamma(start + number + 1.0) - digamma(start + 1.0)
    found: Values = np.where(number == 1, 1 / (start + 1.0), total)
    return found


def _first_of_several(above: int, wrong: int, right: int) -> float:
    """Return the expected reciprocal rank of the first of several right ones in a tied group."""
    place = np.arange(wrong + 1)
    tied = wrong + right
    log_p = _log_choose(tied - 1 - place, right - 1) - _log_choose(np.array(tied), right)
    return float((np.exp(log_p) / (above + 1 + place)).sum())


def _log_choose(n: Positions, k: int) -> Values:
    """Return the logarithm of the number of ways to choose k of n; -inf where there is none."""
    n = np.asarray(n)
    if n.size > 4 * (top := int(n.max(initial=0)) + 1) and n.min() >= 0:
        return _log_choose(np.arange(top), k)[n]  # the gamma function is slow: once each number
    fits = n >= k
    m = np.where(fits, n, k)
    found: Values = np.where(
        fits, gammaln(m + 1.0) - gammaln(k + 1.0) - gammaln(m - k + 1.0), -np.inf
    )
    return found


class RightCandidates:
    """Which candidates are right for each query: those with its identity.

    Parameters
    ----------
    query_ids : ndarray of shape (n_queries,)
    gallery_ids : ndarray of shape (n_gallery,)

    Attributes
    ----------
    usable : ndarray of shape (n_queries,), bool
        Which queries have a right candidate and a wrong one: the others have no value.
    width : int
        The largest number of right candidates.
    """

    def __init__(self, query_ids: Ids, gallery_ids: Ids) -> None:
        self.n_right = count_right(query_ids, gallery_ids)
        self.n_wrong = len(gallery_ids) - self.n_right
        self.usable: npt.NDArray[np.bool_] = (self.n_right > 0) & (self.n_wrong > 0)
        self.width = int(self.n_right.max(initial=1))
        self._query_ids, self._gallery_ids = query_ids, gallery_ids
        self._order = np.argsort(gallery_ids, kind="stable")
        self._starts = np.searchsorted(gallery_ids[self._order], query_ids)

    def check(self) -> None:
        """Refuse queries that cannot be scored.

        Raises
        ------
        NeuroalignError
            A query has no right candidate, or no wrong one.
        """
        checks = ((self.n_right, "candidate of its own identity"), (self.n_wrong, "distractor"))
        for counts, what in checks:
            if (counts == 0).any():
                first = int(np.flatnonzero(counts == 0)[0])
                raise NeuroalignError(
                    f"The gallery of {len(self._gallery_ids)} items has no {what} for "
                    f"{int((counts == 0).sum())} of {len(counts)} queries (first: query {first}, "
                    f"{self._query_ids[first]!s}). Leave these queries out, or complete the "
                    "gallery."
                )

    def of(self, part: slice) -> tuple[Positions, npt.NDArray[np.bool_]]:
        """Return the columns of the right candidates of some queries, and which of them count.

        Returns
        -------
        columns : ndarray of shape (n_part, width), int
        present : ndarray of shape (n_part, width), bool
        """
        number = self.n_right[part, None]
        slots = np.arange(self.width)
        present = slots < number
        # Rows with fewer right candidates repeat their first; rows with none name any.
        places = self._starts[part, None] + np.where(present, slots, 0)
        places = np.minimum(places, len(self._order) - 1)
        return self._order[places], present

    def ranks(self, block: Block) -> Ranks:
        """Count where they stand among a block of scores."""
        columns, present = self.of(block.part)
        above, tied, values = block.around(columns, present)
        low = np.where(present, values, -np.inf)
        ordered = np.sort(low, axis=1)
        right_below, right_up_to = (count_below(ordered, low, equal=e) for e in (False, True))
        right_above, right_tied = columns.shape[1] - right_up_to, right_up_to - right_below - 1
        above, tied, right_above, right_tied = (
            np.where(present, c, 0)
            for c in (above - right_above, tied - right_tied, right_above, right_tied)
        )
        return Ranks(above, tied, right_above, right_tied, present, self.n_wrong[block.part])

    def tied_ranks(self) -> Ranks:
        """Return the ranks under equal scores: a random decoder's, in expectation."""
        nothing = np.zeros((len(self.n_right), 1), np.int64)
        every = np.ones(nothing.shape, bool)
        return Ranks(
            nothing, self.n_wrong[:, None], nothing, self.n_right[:, None] - 1, every, self.n_wrong
        )


def count_right(query_ids: Ids, gallery_ids: Ids) -> Positions:
    """Return how many gallery items have each query's identity."""
    known, counts = np.unique(gallery_ids, return_counts=True)
    if len(known) == 0:
        return np.zeros(len(query_ids), np.int64)
    place = np.minimum(np.searchsorted(known, query_ids), len(known) - 1)
    return np.where(known[place] == query_ids, counts[place], 0).astype(np.int64)
