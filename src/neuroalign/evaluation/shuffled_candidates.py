"""What pictures score when the labels of the recordings that they ask for are shuffled.

Every picture of a class asks for the same recordings, and pictures of a class resemble each other.
So their scores rise and fall together, and classes shuffled picture by picture would look like
more evidence than they are. What is shuffled is what the candidates show: all recordings of a
picture, of all people, take on another picture's label together, or, where only classes are
known, the recordings of a block (or each recording) another one's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_array

from neuroalign.evaluation.asked import Asked
from neuroalign.evaluation.chance import retrieved_shares
from neuroalign.evaluation.pairs import Block, Cosines, PairScores
from neuroalign.evaluation.per_query import QueryValues
from neuroalign.evaluation.permutation import canonical_order, relabelling, unit_names
from neuroalign.evaluation.queries import unit_keys
from neuroalign.evaluation.ranks import Ranks, Values
from neuroalign.evaluation.standings import Standings
from neuroalign.evaluation.tally import Tally

Codes = npt.NDArray[np.int64]
Pair = tuple[Codes, Codes]
Functions = Mapping[str, tuple[str, Callable[[Ranks], Values]]]
_CELLS = 2**21
#: Metrics that the first so many candidates decide.
_FIRST = {"class_top1": 1, "class_top5": 5}
_BY_MEAN = ("class_accuracy", "balanced_accuracy")


class ShuffledCandidates:
    """Candidates under many labellings, the first of which is the truth.

    Parameters
    ----------
    scores : PairScores
    gallery : pandas.DataFrame
        Recordings.
    items, classes : pair of ndarray, optional
        Pictures and classes of queries and candidates, in one numbering each.
    everyone : pandas.DataFrame
        The candidates of all galleries, if this is one person's of several: recordings swap labels
        among pictures that the same people have seen.
    n_permutations, seed : int
    """

    def __init__(
        self,
        scores: PairScores,
        gallery: pd.DataFrame,
        items: Pair | None,
        classes: Pair | None,
        everyone: pd.DataFrame,
        n_permutations: int,
        seed: int,
    ) -> None:
        self._scores, self._items, self._classes = scores, items, classes
        key = np.zeros(len(gallery), np.int64)
        for ids in filter(None, (items, classes)):
            key = key * (int(ids[1].max()) + 1) + ids[1]
        people = gallery["subject"].astype(str)
        if items is not None:
            whose = everyone["subject"].astype(str).groupby(everyone["stimulus"].astype(str))
            names = whose.agg(lambda s: "\x1f".join(sorted(set(s))))
            people = gallery["stimulus"].astype(str).map(names)
        order = cache(partial(canonical_order, scores, of_candidates=True))
        owners = gallery["subject"].astype(str).to_numpy(str)
        units = unit_names(unit_keys(gallery, None), owners, order)
        drawn = relabelling(units, key, people.to_numpy(str), n_permutations, seed, order=order)
        self._drawn, self._unit = drawn, drawn.unit
        self._size = np.bincount(drawn.unit)
        self._n = len(drawn.donor)
        if classes is not None:
            known, place = np.unique(classes[1], return_inverse=True)
            self._n_classes = len(known)
            self._label: Codes = place[drawn.first][drawn.donor]
            spot = np.minimum(np.searchsorted(known, classes[0]), len(known) - 1)
            usable = (known[spot] == classes[0]) & (len(known) > 1)
            self._own = np.where(usable, spot, -1)
            cell = self._label + self._n_classes * np.arange(self._n)[:, None]
            counted = np.bincount(
                cell.ravel(),
                np.broadcast_to(self._size, cell.shape).ravel(),
                minlength=self._n * self._n_classes,
            )
            #: How many candidates each class has in each labelling.
            self._counts = counted.reshape(self._n, self._n_classes).astype(np.int64)

    def tallies(
        self,
        found: Mapping[str, QueryValues],
        functions: Functions,
        asked: Asked,
        vectors: npt.NDArray[np.float32] | None,
    ) -> dict[str, Tally]:
        """Return what each metric of the right class, or of what comes first, scores.

        Parameters
        ----------
        found : mapping from metric to QueryValues
            What `query_values` returned.
        functions : mapping
            How ranks determine a metric; see `rank_functions`.
        asked : Asked
        vectors : ndarray of shape (n_ids, n_dims), optional
            The judge's embedding of each picture (or else class), for `two_way_retrieved`.
        """
        last = asked.ties == "last"
        linear = ("two_way_embedding",) if not last else ()
        ranked = {
            m: f for m, (_, f) in functions.items() if m in found and m not in (*_FIRST, *linear)
        }
        n_classes = 1 if self._classes is None else len(np.unique(self._classes[0]))
        out = {m: _Sum(v, self._n, n_classes) for m, v in found.items()}
        first = {m: k for m, k in _FIRST.items() if m in found}
        by_mean = [m for m in _BY_MEAN if m in found]
        wins = np.zeros((self._n_classes, len(self._size))) if self._classes is not None else None
        for block in self._scores.blocks(self._scores.n_gallery):
            if self._classes is not None and (first or ranked or set(linear) & set(found)):
                standings, own = Standings.of(block.exact), self._own[block.part]
                usable = np.flatnonzero(own >= 0)
                standings, own, rows = standings.take(usable), own[usable], block.rows[usable]
                if wins is not None and set(linear) & set(found):
                    self._add_wins(wins, standings, own)
                for metric, k in first.items():
                    for part, values in self._first(standings, own, k, last=last):
                        out[metric].add(rows[part], values)
                if ranked:
                    self._add_ranked(standings, own, rows, ranked, out, last=last)
            if by_mean:
                for labellings, values in self._nearest(block):
                    for metric in by_mean:
                        out[metric].add(block.rows, values, labellings)
            if "two_way_retrieved" in found and vectors is not None:
                for rows, values in self._retrieved(block, vectors, last=last):
                    out["two_way_retrieved"].add(rows, values)
        if wins is not None:
            for metric in set(linear) & set(found):
                out[metric].add_sum(self._two_way(wins))
        return {m: each.tally() for m, each in out.items()}

    def _add_wins(self, wins: Values, standings: Standings, own: Codes) -> None:
        """Add how many candidates each unit's recordings stand above, for queries of a class."""
        won = self._scores.n_gallery - 1 - standings.above - 0.5 * standings.tied
        asks = csr_array((np.ones(len(own)), (own, np.arange(len(own)))), (len(wins), len(own)))
        for label, row in enumerate(asks @ won):
            wins[label] += np.bincount(self._unit, row, minlength=len(self._size))

    def _two_way(self, wins: Values) -> Values:
        """Return the sum over queries, of each labelling.

        Right candidates stand above each other n (n - 1) / 2 times, whichever they are.
        """
        asked = np.bincount(self._own[self._own >= 0], minlength=self._n_classes)
        cell = self._label + self._n_classes * np.arange(self._n)[:, None]
        won = np.bincount(
            cell.ravel(),
            wins[self._label, np.arange(len(self._size))].ravel(),
            minlength=self._counts.size,
        ).reshape(self._counts.shape)
        n = self._counts
        pairs = n * (self._scores.n_gallery - n)
        found: Values = ((won - asked * n * (n - 1) / 2) / pairs).sum(axis=1)
        return found

    def _first(
        self, standings: Standings, own: Codes, k: int, *, last: bool
    ) -> Iterator[tuple[Codes, Values]]:
        """Yield some queries and their chance of a right candidate among the first `k`.

        Candidates that tie across the k-th place are each as likely to be before it.
        """
        beside = standings.above < k
        step = max(1, _CELLS // (self._n * int(beside.sum(axis=1).max(initial=1))))
        for start in range(0, len(own), step):
            rows, columns = np.nonzero(beside[start : start + step])
            above = standings.above[rows + start, columns]
            tied = standings.tied[rows + start, columns]
            right = self._label[:, self._unit[columns]] == own[start + rows]
            across = above + tied + 1 > k
            starts = np.flatnonzero(np.diff(rows, prepend=-1))
            clear = np.add.reduceat(right & ~across, starts, axis=1, dtype=np.int64)
            maybe = np.add.reduceat(right & across, starts, axis=1, dtype=np.int64)
            group = np.add.reduceat(across, starts, dtype=np.int64)
            places = np.maximum.reduceat(np.where(across, k - above, 0), starts)
            if last:
                hit = np.where(places > group - maybe, 1.0, 0.0)
            else:
                miss = np.ones(maybe.shape)
                for j in range(k):
                    step_miss = np.maximum(group - maybe - j, 0) / np.maximum(group - j, 1)
                    miss *= np.where(j < places, step_miss, 1.0)
                hit = 1 - miss
            yield np.arange(start, start + len(starts)), np.where(clear > 0, 1.0, hit)

    def _add_ranked(
        self,
        standings: Standings,
        own: Codes,
        rows: Codes,
        functions: Mapping[str, Callable[[Ranks], Values]],
        out: Mapping[str, _Sum],
        *,
        last: bool,
    ) -> None:
        """Rank the right candidates of some queries in every labelling."""
        n_gallery = self._scores.n_gallery
        for labellings in _parts(self._n, n_gallery):
            label = self._label[labellings][:, self._unit]
            order = np.argsort(label.astype(np.int32), axis=1, kind="stable")
            counts = self._counts[labellings]
            before = np.cumsum(counts, axis=1) - counts
            for c in np.unique(own):
                slots = np.arange(counts[:, c].max())
                present = slots < counts[:, c, None]
                places = np.where(present, before[:, c, None] + slots, 0)
                columns = np.take_along_axis(order, places, axis=1)
                mine = np.flatnonzero(own == c)
                for part in _parts(len(mine), columns.size):
                    chosen = mine[part]
                    shape = (len(chosen), *columns.shape)
                    ranks = standings.take(chosen).ranks(
                        np.broadcast_to(columns, shape),
                        np.broadcast_to(present, shape),
                        np.broadcast_to(n_gallery - counts[:, c], shape[:2]),
                    )
                    ranks = ranks.last() if last else ranks
                    for metric, function in functions.items():
                        values = function(ranks).reshape(shape[:2]).T
                        out[metric].add(rows[chosen], values, labellings)

    def _nearest(self, block: Block) -> Iterator[tuple[slice, Values]]:
        """Yield some labellings and whether each query's class has the highest mean score."""
        n_units, n_classes = len(self._size), self._n_classes
        of_unit = csr_array(
            (np.ones(len(self._unit)), (self._unit, np.arange(len(self._unit)))),
            (n_units, len(self._unit)),
        )
        sums = of_unit @ block.exact.astype(np.float64).T
        own = np.maximum(self._own[block.part], 0)
        for part in _parts(self._n, n_classes * max(len(own), n_units)):
            label, counts = self._label[part], self._counts[part]
            n = len(label)
            cell = (label + n_classes * np.arange(n)[:, None]).ravel()
            unit = np.tile(np.arange(n_units), n)
            of_class = csr_array((1 / counts.ravel()[cell], (cell, unit)), (counts.size, n_units))
            means = (of_class @ sums).astype(np.float32).reshape(n, n_classes, -1)
            highest = means == means.max(axis=1, keepdims=True)
            yield part, highest[:, own, np.arange(len(own))] / highest.sum(axis=1)

    def _retrieved(
        self, block: Block, vectors: npt.NDArray[np.float32], *, last: bool
    ) -> Iterator[tuple[Codes, Values]]:
        """Yield some queries and how near what they retrieve is to them, in every labelling."""
        ids = self._items if self._items is not None else self._classes
        assert ids is not None
        known, place = np.unique(ids[1], return_inverse=True)
        asks = ids[0][block.part]
        spot = np.minimum(np.searchsorted(known, asks), len(known) - 1)
        cosines = Cosines(vectors[asks], vectors[known]).exact(slice(0, len(asks)))
        shares = retrieved_shares(cosines, np.where(known[spot] == asks, spot, -1))
        seen: Codes = place[self._drawn.first][self._drawn.donor]
        rows, columns = block.first()
        number = np.bincount(rows, minlength=len(asks))
        step = max(1, _CELLS // (self._n * int(number.max())))
        for start in range(0, len(asks), step):
            here = (rows >= start) & (rows < start + step)
            row = rows[here]
            values = shares[row, seen[:, self._unit[columns[here]]]]
            starts = np.flatnonzero(np.diff(row, prepend=-1))
            if last:
                values = np.minimum.reduceat(values, starts, axis=1)
            else:
                values = np.add.reduceat(values / number[row], starts, axis=1)
            yield block.rows[start : start + step], values


def _parts(n: int, width: int) -> Iterator[slice]:
    """Yield slices of n rows of so many cells."""
    step = max(1, _CELLS // max(1, width))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


class _Sum:
    """One metric of all usable queries, added up."""

    def __init__(self, values: QueryValues, n_labellings: int, n_classes: int) -> None:
        codes = values.balance
        if codes is None:
            codes, n_classes = np.zeros(len(values.positions), np.int64), 1
        self._positions, self._codes = values.positions, codes
        self._sums = np.zeros((n_labellings, n_classes))
        counted = np.bincount(codes, minlength=n_classes).astype(np.float64)
        self._numbers = np.tile(counted, (n_labellings, 1))

    def add(self, rows: Codes, values: Values, labellings: slice = slice(None)) -> None:
        """Add values of shape (labellings, rows) of these queries, where they are usable."""
        spot = np.minimum(np.searchsorted(self._positions, rows), len(self._positions) - 1)
        usable = np.flatnonzero(self._positions[spot] == rows)
        codes = self._codes[spot[usable]]
        of_class = csr_array(
            (np.ones(len(usable)), (usable, codes)), (len(rows), self._sums.shape[1])
        )
        self._sums[labellings] += values @ of_class

    def add_sum(self, values: Values) -> None:
        """Add what each labelling scores, over all usable queries."""
        self._sums[:, 0] += values

    def tally(self) -> Tally:
        """Return it."""
        return Tally(self._sums, self._numbers)
