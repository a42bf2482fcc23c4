"""What items score that are asked of each other, when their labels are shuffled.

Each item stands on both sides: what one person's recordings score among another's is, transposed,
what these score among the first one's. Shuffled as queries alone, the two would look like
independent evidence. So a label moves with its items, as queries and as candidates: each side's
units (see `evaluation.permutation`) swap labels among themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from neuroalign.evaluation.chance import retrieved_shares
from neuroalign.evaluation.pairs import Cosines
from neuroalign.evaluation.permutation import canonical_order, relabelling, unit_names
from neuroalign.evaluation.queries import unit_keys
from neuroalign.evaluation.ranks import Values
from neuroalign.evaluation.retrieved import judge_vectors
from neuroalign.evaluation.standings import Standings
from neuroalign.evaluation.tally import Tally
from neuroalign.retrieval.embeddings import Embeddings

Codes = npt.NDArray[np.int64]
_CELLS = 2**21
#: How many times longer a look-up takes than a step of a matrix product, about.
_LOOK_UP = 200


class MutualRetrieval:
    """Items of several sides (people), each of which is asked of all other sides.

    Parameters
    ----------
    items : Embeddings
    sides : ndarray of shape (n_items,)
        Whose each item is.
    by : {"stimulus", "label"}
        What makes a candidate right.
    single : bool
        Whether each item is a unit, and not the picture or block (see `unit_keys`).
    apart : bool
        Whether sides count alike, however many items each has.
    n_permutations, seed : int
    """

    def __init__(
        self,
        items: Embeddings,
        sides: npt.ArrayLike,
        by: str,
        *,
        single: bool = False,
        apart: bool = False,
        n_permutations: int = 1000,
        seed: int = 0,
    ) -> None:
        table = items.items.reset_index(drop=True)
        self._vectors, self._apart = items.vectors, apart
        names, self._side = np.unique(np.asarray(sides).astype(str), return_inverse=True)
        self._names, codes = np.unique(table[by].map(str).to_numpy(str), return_inverse=True)
        owner = names[self._side]
        keys = np.arange(len(table)) if single else unit_keys(table, None)
        order = cache(partial(canonical_order, Cosines(items.vectors, items.vectors)))
        units = unit_names(keys, owner, order)
        if keys.dtype.kind not in "iu":  # one picture is a unit of each side
            units = np.char.add(np.char.add(owner, "\x1f"), units)
        shown = table["stimulus"].map(str) + "\x1f" + table["label"].map(str)
        drawn = relabelling(units, shown.to_numpy(str), owner, n_permutations, seed, order=order)
        self._unit, self._first = drawn.unit, drawn.first
        self._label: Codes = codes[drawn.first][drawn.donor]
        self._n = len(drawn.donor)

    def labels(self) -> npt.NDArray[np.str_]:
        """Return what each item is said to show, (n_permutations + 1, n_items); first the truth."""
        return self._names[self._label[:, self._unit]]

    def two_way(self) -> Tally:
        """Return the 2-way score under every labelling; see `two_way_embedding`."""
        n_units, n_sides = len(self._first), int(self._side.max()) + 1
        n_labels = len(self._names)
        wins = np.zeros((n_units, n_units))
        for asking in range(n_sides):
            own, others = self._parts(asking)
            pairs = Cosines(self._vectors[own], self._vectors[others])
            of_unit = _indicator(self._unit[others], n_units)
            for block in pairs.blocks(len(others)):
                standings = Standings.of(block.exact)
                won = len(others) - 1 - standings.above - 0.5 * standings.tied
                asks = _indicator(self._unit[own[block.part]], n_units)
                wins += asks @ (of_unit @ won.T).T
        size = np.bincount(self._unit)
        side = self._side[self._first]
        total = np.bincount(side, size)
        sums, numbers = np.zeros((self._n, n_sides)), np.zeros((self._n, n_sides))
        cells = n_sides * n_labels
        for part, won in self._won(wins, side):
            n = len(won)
            cell = (np.arange(n) * cells)[:, None] + self._label[part] + n_labels * side
            asked = np.bincount(cell.ravel(), np.tile(size, n), minlength=n * cells)
            asked = asked.reshape(won.shape)
            # Right candidates stand above each other n (n - 1) / 2 times, whichever they are.
            right = asked.sum(axis=1, keepdims=True) - asked
            wrong = (total.sum() - total)[:, None] - right
            usable = (right > 0) & (wrong > 0)
            share = (won - asked * right * (right - 1) / 2) / np.where(usable, right * wrong, 1)
            sums[part] = np.where(usable, share, 0).sum(axis=2)
            numbers[part] = (asked * usable).sum(axis=2)
        return self._tally(sums, numbers)

    def _tally(self, sums: Values, numbers: Values) -> Tally:
        """Return a tally of sums over the queries of each side, (n_permutations + 1, n_sides)."""
        if self._apart:
            return Tally(sums, numbers)
        return Tally(sums.sum(axis=1, keepdims=True), numbers.sum(axis=1, keepdims=True))

    def _won(self, wins: Values, side: Codes) -> Iterator[tuple[slice, Values]]:
        """Yield some labellings, and the wins of right candidates, (n, n_sides, n_labels)."""
        n_units, n_labels, n_sides = len(side), len(self._names), int(side.max()) + 1
        # Every label has as many units in every labelling: which pairs of places share one.
        counts = np.bincount(self._label[0], minlength=n_labels)
        if _LOOK_UP * (counts**2).sum() > n_labels * n_units**2:  # few labels: a product is faster
            of_side = (side[:, None] == np.arange(n_sides)).astype(np.float64)
            for part in _slices(self._n, n_units):
                won = np.empty((part.stop - part.start, n_sides, n_labels))
                for label in range(n_labels):
                    member = (self._label[part] == label).astype(np.float64)
                    won[:, :, label] = (member @ wins.T * member) @ of_side
                yield part, won
            return
        one, other = _pairs_within(counts)
        cells = n_sides * n_labels
        for part in _slices(self._n, max(len(one), cells)):
            labels = self._label[part]
            place = np.argsort(labels.astype(np.int32), axis=1, kind="stable")
            asks, shown = place[:, one], place[:, other]
            here = np.take_along_axis(labels, asks, axis=1) + n_labels * side[asks]
            here += (np.arange(len(labels)) * cells)[:, None]
            added = np.bincount(
                here.ravel(), wins[asks, shown].ravel(), minlength=len(labels) * cells
            )
            yield part, added.reshape(len(labels), n_sides, n_labels).astype(np.float64)

    def retrieved(self, judge: Embeddings, by: str) -> Tally:
        """Return how near what is retrieved first is, under every labelling.

        Parameters
        ----------
        judge : Embeddings
            Of every picture (or class); see `two_way_retrieved`.
        by : {"stimulus", "label"}
            The same as that of the retrieval.
        """
        vectors = judge_vectors(judge, by, list(self._names))
        numbers = np.tile(np.bincount(self._side).astype(np.float64), (self._n, 1))
        sums = np.zeros(numbers.shape)
        for asking in range(numbers.shape[1]):
            own, others = self._parts(asking)
            known = np.unique(self._label[0][self._unit[others]])
            labels = np.unique(self._label[0][self._unit[own]])
            spot = np.minimum(np.searchsorted(known, labels), len(known) - 1)
            cosines = Cosines(vectors[labels], vectors[known]).exact(slice(0, len(labels)))
            shares = retrieved_shares(cosines, np.where(known[spot] == labels, spot, -1))
            for block in Cosines(self._vectors[own], self._vectors[others]).blocks():
                rows, columns = block.first()
                asks, shown = own[block.part][rows], others[columns]
                sums[:, asking] += self._looked_up(shares, labels, known, asks, shown)
        return self._tally(sums, numbers)

    def _looked_up(
        self, shares: Values, labels: Codes, known: Codes, asks: Codes, shown: Codes
    ) -> Values:
        """Return the sum over queries of the shares of what they retrieve, of each labelling."""
        weight = 1 / np.bincount(asks)[asks]
        found = np.zeros(self._n)
        step = max(1, _CELLS // self._n)
        for start in range(0, len(asks), step):
            part = slice(start, start + step)
            mine = np.searchsorted(labels, self._label[:, self._unit[asks[part]]])
            theirs = np.searchsorted(known, self._label[:, self._unit[shown[part]]])
            found += shares[mine, theirs] @ weight[part]
        return found

    def _parts(self, asking: int) -> tuple[Codes, Codes]:
        mine = self._side == asking
        return np.flatnonzero(mine), np.flatnonzero(~mine)


def picture_geometry(
    pictures: Embeddings, judge: Embeddings, *, n_permutations: int = 1000, seed: int = 0
) -> Tally:
    """Return how near each picture's nearest other one is to it, were the pictures to swap places.

    Under the null hypothesis a space has nothing to do with the pictures' own geometry: which
    picture stands at which of its places is shuffled.

    Parameters
    ----------
    pictures : Embeddings
        Some space; one item a picture.
    judge : Embeddings
        The pictures' own embeddings.
    n_permutations, seed : int

    Returns
    -------
    Tally
        Of `two_way_retrieved`, where no picture retrieves itself.
    """
    names = pictures.items["stimulus"].map(str).to_numpy(str)
    order = np.argsort(names, kind="stable")
    vectors = pictures.vectors[order]
    drawn = relabelling(names[order], names[order], np.zeros(len(names)), n_permutations, seed)
    place = drawn.donor[:, drawn.unit]
    _, known = np.unique(names[order], return_index=True)
    own = judge_vectors(judge, "stimulus", list(names[order][known]))
    shares = retrieved_shares(Cosines(own, own).exact(slice(0, len(own))), np.arange(len(own)))
    nearest = among_others(vectors)
    rows, columns = np.nonzero(nearest == nearest.max(axis=1, keepdims=True))
    weight = 1 / np.bincount(rows)[rows]
    sums = np.concatenate(
        [
            shares[place[part][:, rows], place[part][:, columns]] @ weight
            for part in _slices(len(place), len(rows))
        ]
    )
    return Tally(sums[:, None], np.full((len(sums), 1), float(len(names))))


def among_others(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
    """Return the cosines of all pairs, and on the diagonal less than any cosine.

    A picture is not its own answer.
    """
    cosines = Cosines(vectors, vectors).exact(slice(0, len(vectors)))
    np.fill_diagonal(cosines, -2.0)
    return cosines


def _pairs_within(counts: Codes) -> tuple[Codes, Codes]:
    """Return all pairs of places of which groups of so many, one after the other, hold both."""
    first = np.repeat(np.cumsum(counts) - counts, counts)
    width = np.repeat(counts, counts)
    one = np.repeat(np.arange(len(width)), width)
    within = np.arange(len(one)) - np.repeat(np.cumsum(width) - width, width)
    return one, np.repeat(first, width) + within


def _indicator(codes: Codes, n: int) -> csr_array:
    """Return which columns belong to which of n rows."""
    return csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))), (n, len(codes)))


def _slices(n: int, width: int) -> Iterator[slice]:
    step = max(1, _CELLS // max(1, width))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))
