"""Permutation: how often labels that were shuffled score as well as the true ones.

What is shuffled is which picture each unit of the bootstrap is said to show: all recordings of a
picture, of all people, take on the picture of another unit together, among units that were shown
to the same people. Recordings of one picture are alike for reasons of their own (a person, a run);
shuffled one by one they would look like more evidence than they are. Where a unit holds several
pictures or classes (a run), labels are shuffled within it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.evaluation.pairs import PairScores
from neuroalign.evaluation.spread import Sample

Codes = npt.NDArray[np.int64]
_TIED = 1e-9


@dataclass(frozen=True, eq=False)
class Relabelling:
    """Units, and whose label each takes on in each permutation.

    Parameters
    ----------
    unit : ndarray of shape (n_queries,), int
    first : ndarray of shape (n_units,), int
        A query of each unit.
    donor : ndarray of shape (n_permutations + 1, n_units), int
        The unit whose label is taken on; the first row is the truth.
    """

    unit: Codes
    first: Codes
    donor: Codes

    def labels(self, codes: Codes, rows: Codes) -> Codes:
        """Return what these queries are labelled in each permutation, (permutations, rows)."""
        return np.asarray(codes[self.first][self.donor[:, self.unit[rows]]])


def relabelling(
    clusters: npt.ArrayLike,
    labels: npt.ArrayLike,
    people: npt.ArrayLike,
    n_permutations: int,
    seed: int = 0,
    *,
    order: Callable[[], Codes] | None = None,
) -> Relabelling:
    """Draw permutations of labels over units.

    Units that swap labels with one another draw from a random stream that is named after them. So
    the same pictures swap labels alike wherever they are asked of, and other people's differ.

    Parameters
    ----------
    clusters : array of shape (n_queries,)
        The units of the bootstrap.
    labels : array of shape (n_queries,)
        All that identifies what a query shows (picture and class), as one key.
    people : array of shape (n_queries,)
        Whose query each is. Units that were shown to other people do not swap labels.
    n_permutations : int
    seed : int
    order : function, optional
        Where a unit holds several labels: returns what tells its queries apart, whatever order
        they come in (see `canonical_order`), of shape (n_queries,).
    """
    names, code = np.unique(np.asarray(clusters), return_inverse=True)
    _, what = np.unique(np.asarray(labels), return_inverse=True)
    persons, who = np.unique(np.asarray(people).astype(str), return_inverse=True)
    table = pd.DataFrame({"cluster": code, "what": what, "who": who})
    titles = names.astype(str)
    if len(table[["cluster", "what"]].drop_duplicates()) > len(names):
        rank = np.arange(len(code)) if order is None else order()
        unit = np.empty(len(code), np.int64)
        unit[np.lexsort((rank, what, who, code))] = np.arange(len(code))
        first = np.argsort(unit)
        strata = (code * (who.max() + 1) + who)[first]
        titles = np.char.add(np.char.add(titles[code[first]], "\x1f"), persons[who[first]])
    else:
        unit, first = code, np.unique(code, return_index=True)[1]
        seen = table.drop_duplicates(["cluster", "who"]).sort_values(["cluster", "who"])
        groups = seen.groupby("cluster")["who"].agg(tuple)
        strata = pd.factorize(groups.reindex(range(len(names))))[0]
    donor = np.tile(np.arange(len(first)), (n_permutations + 1, 1))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        if len(members) > 1:
            drawn = np.tile(members, (n_permutations, 1))
            rng = np.random.default_rng([seed, 1, _name("\x1e".join(titles[members]))])
            donor[1:, members] = rng.permuted(drawn, axis=1)
    return Relabelling(unit, first, donor)


def _name(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def unit_names(
    clusters: npt.NDArray[Any], people: npt.NDArray[Any], order: Callable[[], Codes]
) -> npt.NDArray[np.str_]:
    """Return names of the units; single queries, which are numbered, are named by person and rank.

    Parameters
    ----------
    clusters : ndarray of shape (n_queries,)
        Names, or the numbers of single queries.
    people : ndarray of shape (n_queries,), str
    order : function
        See `relabelling`.
    """
    if clusters.dtype.kind not in "iu":
        return clusters.astype(str)
    ranks = np.char.zfill(order().astype(str), 9)
    return np.char.add(np.char.add(people.astype(str), "\x1f"), ranks)


def canonical_order(scores: PairScores, *, of_candidates: bool = False) -> Codes:
    """Return a rank for each query (or candidate) that hangs on its scores, not on its place.

    Where nothing else names an item (single trials of unknown pictures), its lowest score does,
    its highest, and the sum of all. Items that agree in these keep the order that they come in.
    """
    axis, n = (0, scores.n_gallery) if of_candidates else (1, scores.n_queries)
    low, high, total = np.full(n, np.inf), np.full(n, -np.inf), np.zeros(n)
    for block in scores.blocks():
        part = slice(None) if of_candidates else block.part
        low[part] = np.minimum(low[part], block.exact.min(axis=axis))
        high[part] = np.maximum(high[part], block.exact.max(axis=axis))
        total[part] += block.exact.sum(axis=axis, dtype=np.float64)
    rank = np.empty(n, np.int64)
    rank[np.lexsort((total, high, low))] = np.arange(n)
    return rank


def p_value(null: npt.ArrayLike, observed: float) -> float:
    """Return (b + 1) / (m + 1), where b of m shuffled scores reach the observed one.

    Never 0: the observed labelling is itself one of the possible ones (Phipson and Smyth, 2010).
    """
    drawn = np.asarray(null, np.float64)
    return float((np.sum(drawn >= observed - _TIED) + 1) / (len(drawn) + 1))


def paired_p_value(sample: Sample, *, n_permutations: int = 1000, seed: int = 0) -> float:
    """Return the two-sided p-value of a mean paired difference being 0.

    Under the null hypothesis either model could have been the other: the sign of each unit's
    differences is flipped, all of them together.

    Parameters
    ----------
    sample : Sample
        Differences of two models on the same queries.
    """
    values = np.asarray(sample.values, np.float64)
    weights = np.ones(len(values)) if sample.weights is None else np.asarray(sample.weights)
    _, code = np.unique(np.asarray(sample.clusters), return_inverse=True)
    order = np.lexsort((values, code))
    sums = np.bincount(code[order], weights=(weights * values)[order]) / weights.sum()
    rng = np.random.default_rng([seed, 2])
    null = np.concatenate(
        [
            np.abs((2.0 * rng.integers(0, 2, (min(64, n_permutations - i), len(sums))) - 1) @ sums)
            for i in range(0, n_permutations, 64)
        ]
    )
    return p_value(null, abs(float(sums.sum())))
