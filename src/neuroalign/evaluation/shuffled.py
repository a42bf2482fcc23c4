"""What each metric of a retrieval scores when labels are shuffled.

A query's value under any label is read off one table a block: how every picture (or class) would
have fared as the right one. So a permutation costs a look-up a query, not a retrieval. Where the
queries are pictures, what the recordings among the candidates are said to show is shuffled, for
it is they that may hold nothing (see `evaluation.shuffled_candidates`). For metrics of the right
picture alone, that is the same as shuffling the queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.evaluation.chance import retrieved_shares
from neuroalign.evaluation.pairs import Block, Cosines, PairScores
from neuroalign.evaluation.permutation import (
    Relabelling,
    canonical_order,
    relabelling,
    unit_names,
)
from neuroalign.evaluation.queries import BY_CLASS, BY_ITEM, Asked, QueryValues, identity_codes
from neuroalign.evaluation.ranks import Ranks, Values
from neuroalign.evaluation.retrieved import judge_vectors
from neuroalign.evaluation.shuffled_candidates import ShuffledCandidates
from neuroalign.evaluation.standings import Labels, Standings
from neuroalign.evaluation.tally import Tally
from neuroalign.retrieval.embeddings import Embeddings

Codes = npt.NDArray[np.int64]
_CELLS = 2**21
_BY_MEAN = ("class_accuracy", "balanced_accuracy")


def shuffled_scores(
    scores: PairScores,
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    found: Mapping[str, QueryValues],
    groups: Mapping[str, npt.NDArray[np.bool_]],
    pictures: Embeddings | None = None,
    *,
    asked: Asked | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
    everyone: pd.DataFrame | None = None,
    alike: Mapping[str, npt.NDArray[np.str_]] | None = None,
) -> dict[tuple[str, str], Tally]:
    """Return what every group and metric scores with the true labels and with shuffled ones.

    Parameters
    ----------
    scores, queries, gallery, pictures, asked
        As in `query_values`.
    found : mapping from metric to QueryValues
        What `query_values` returned: its units and usable queries.
    groups : mapping from name to ndarray of shape (n_queries,), bool
        Whose queries are taken together: all, and each person's.
    n_permutations, seed : int
    everyone : pandas.DataFrame, optional
        The candidates of all galleries, if this is one person's of several.
    alike : mapping from metric to ndarray of shape (n_queries,), str, optional
        What queries have to have in common to swap labels, beside the people who saw them.

    Returns
    -------
    dict from (group, metric) to Tally
        Metrics without a value in a group are left out.
    """
    asked = asked or Asked()
    everyone = gallery if everyone is None else everyone
    items, classes = (identity_codes(queries, gallery, c) for c in ("stimulus", "label"))
    encoding = bool(queries["subject"].isna().all() and gallery["subject"].notna().all())
    functions = rank_functions(found, asked)
    tallies: dict[tuple[str, str], Tally] = {}
    if encoding:
        by_candidates = {m: v for m, v in found.items() if functions.get(m, ("",))[0] != "item"}
        shuffled = ShuffledCandidates(
            scores, gallery, items, classes, everyone, n_permutations, seed
        )
        vectors = _vectors(queries, gallery, items, classes, pictures)
        for metric, tally in shuffled.tallies(by_candidates, functions, asked, vectors).items():
            tallies |= {(group, metric): tally for group in groups}
        found = {m: v for m, v in found.items() if m not in by_candidates}
    who = _seen_by(queries, everyone) if encoding else queries["subject"].astype(object).map(str)
    kinds = {k: Labels.of(*ids) for k, ids in (("item", items), ("class", classes)) if ids}
    key = sum(
        ids[0] * (int(ids[0].max()) + 1) ** i for i, ids in enumerate((items, classes)) if ids
    )
    order = cache(partial(canonical_order, scores))
    drawn: dict[bytes, Relabelling] = {}
    collected = {}
    for metric, v in found.items():
        if metric not in functions and metric not in _BY_MEAN and metric != "two_way_retrieved":
            continue
        rows, people = v.positions, who.to_numpy(str)
        people = people if alike is None else np.char.add(people, alike[metric])
        name = rows.tobytes() + people.tobytes()
        if name not in drawn:
            ranks = partial(_ranks_of, order, rows)
            units = unit_names(v.clusters, people[rows], ranks)
            drawn[name] = relabelling(
                units, key[rows], people[rows], n_permutations, seed, order=ranks
            )
        labels = _kind(metric, functions, kinds)
        n_classes = 1 if v.balance is None else queries["label"].nunique()
        collected[metric] = _Collected(v, labels, drawn[name], groups, n_classes)
    if not collected:
        return tallies
    nearest = _nearest(scores, kinds["class"], collected) if "class" in kinds else None
    retrieved: list[tuple[Codes, Codes, Values]] = []
    for block in scores.blocks(scores.n_gallery):
        tables = dict(_tables(block, kinds, functions, asked)) if functions else {}
        if nearest is not None:
            tables |= dict.fromkeys(_BY_MEAN, nearest[block.part])
        for metric, table in tables.items():
            if metric in collected:
                collected[metric].add(block, table)
        if "two_way_retrieved" in collected:
            rows, columns = block.first()
            retrieved.append((block.rows[rows], columns, 1.0 / np.bincount(rows)[rows]))
    vectors = _vectors(queries, gallery, items, classes, pictures)
    if retrieved and vectors is not None:
        ids = items if items is not None else classes
        assert ids is not None
        rows, columns, weight = (np.concatenate(part) for part in zip(*retrieved, strict=True))
        collected["two_way_retrieved"].add_retrieved(rows, ids[1][columns], weight, vectors)
    for metric, each in collected.items():
        tallies |= {(group, metric): tally for group, tally in each.tallies()}
    return tallies


def _ranks_of(order: Callable[[], Codes], rows: Codes) -> Codes:
    return order()[rows]


def _vectors(
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    items: tuple[Codes, Codes] | None,
    classes: tuple[Codes, Codes] | None,
    pictures: Embeddings | None,
) -> npt.NDArray[np.float32] | None:
    """Return the judge's embedding of each picture, or else class."""
    ids, column = (items, "stimulus") if items is not None else (classes, "label")
    if pictures is None or ids is None:
        return None
    names = pd.concat([queries[column], gallery[column]], ignore_index=True).map(str)
    _, where = np.unique(np.concatenate(ids), return_index=True)
    return judge_vectors(pictures, column, list(names.iloc[where]))


def rank_functions(
    found: Mapping[str, QueryValues], asked: Asked
) -> dict[str, tuple[str, Callable[[Ranks], Values]]]:
    """Return, for each metric that ranks determine, whether of `item` or `class`, and how."""
    over_classes = any(v.note.startswith("over classes") for v in found.values())
    pairwise = "class" if over_classes else "item"
    every = {m: ("item", f) for m, f in BY_ITEM.items()}
    every |= {m: ("class", f) for m, f in BY_CLASS.items()}
    every["two_way_embedding"] = (pairwise, Ranks.two_way)
    # The draws of a resampled choice add noise to each score alike; the mean over all draws is
    # what labels are shuffled against.
    every["k_way"] = every["k_way_resampled"] = (pairwise, lambda r: r.k_way(asked.k))
    return {m: every[m] for m in found if m in every}


def _kind(
    metric: str,
    functions: Mapping[str, tuple[str, Callable[[Ranks], Values]]],
    kinds: Mapping[str, Labels],
) -> Labels:
    if metric == "two_way_retrieved":
        return kinds["item" if "item" in kinds else "class"]
    return kinds[functions[metric][0] if metric in functions else "class"]


def _tables(
    block: Block,
    kinds: Mapping[str, Labels],
    functions: Mapping[str, tuple[str, Callable[[Ranks], Values]]],
    asked: Asked,
) -> Iterator[tuple[str, Values]]:
    """Yield what each query of a block scores under every label, (n_part, n_labels)."""
    standings = Standings.of(block.exact)
    for kind, labels in kinds.items():
        mine = {m: f for m, (k, f) in functions.items() if k == kind}
        if mine:
            ranks = labels.ranks(standings)
            ranks = ranks.last() if asked.ties == "last" else ranks
            for metric, function in mine.items():
                yield metric, function(ranks).reshape(len(block.rows), -1)


def _nearest(
    scores: PairScores, labels: Labels, collected: Mapping[str, _Collected]
) -> Values | None:
    """Return what `class_accuracy` is under every label, (n_queries, n_labels)."""
    if not set(_BY_MEAN) & set(collected):
        return None
    gallery = np.empty(scores.n_gallery, np.int64)
    rows = np.repeat(np.arange(len(labels.known)), labels.present.sum(axis=1))
    gallery[labels.columns[labels.present]] = rows
    means = scores.class_means(gallery, len(labels.known))
    highest = means == means.max(axis=1, keepdims=True)
    return np.asarray(highest / highest.sum(axis=1, keepdims=True))


def _seen_by(queries: pd.DataFrame, gallery: pd.DataFrame) -> pd.Series[str]:
    """Return whose recordings of each query's picture stand in the gallery, as one name."""
    column = "stimulus" if queries["stimulus"].notna().all() else "label"
    people = gallery["subject"].astype(str).groupby(gallery[column].astype(str))
    names = people.agg(lambda s: "\x1f".join(sorted(s)))
    return queries[column].astype(str).map(names).fillna("")


class _Collected:
    """One metric of each group under every permutation, gathered query by query."""

    def __init__(
        self,
        values: QueryValues,
        labels: Labels,
        drawn: Relabelling,
        groups: Mapping[str, npt.NDArray[np.bool_]],
        n_classes: int,
    ) -> None:
        self._of, self._labels, self._drawn = values, labels, drawn
        self._codes = labels.codes[values.positions]
        known = labels.known
        self._places = np.minimum(np.searchsorted(known, self._codes), len(known) - 1)
        members = {g: mask[values.positions] for g, mask in groups.items()}
        self._groups = {g: member for g, member in members.items() if member.any()}
        size = (len(self._groups), len(drawn.donor), n_classes)
        self._sums, self._numbers = np.zeros(size), np.zeros(size)
        kept = len(values.positions) if values.level is not None else 0
        self._kept = np.zeros((len(drawn.donor), kept), np.float32)

    def add(self, block: Block, table: Values) -> None:
        """Look up the queries of a block in a table of (n_part, n_labels)."""
        positions = self._of.positions
        start, stop = np.searchsorted(positions, [block.part.start, block.part.stop])
        rows = np.arange(start, stop)
        if len(rows) == 0:
            return
        here = table[positions[rows] - block.part.start]
        if self._kept.size:
            for part in self._parts(rows):
                place = self._drawn.labels(self._places, part)
                self._kept[:, part] = here[part - start, place]
            return
        # A unit takes on its new label with all its queries: add them up before looking up.
        units, inside = np.unique(self._drawn.unit[rows], return_inverse=True)
        order = np.argsort(inside, kind="stable")
        starts = np.searchsorted(inside[order], np.arange(len(units)))
        labels = self._places[self._drawn.first]
        for i, member in enumerate(self._groups.values()):
            own = member[rows].astype(np.float64)
            total = np.add.reduceat((here * own[:, None])[order], starts, axis=0)
            number = np.add.reduceat(own[order], starts)
            for part in self._parts(np.arange(len(units))):
                donor = self._drawn.donor[:, units[part]]
                self._gather(i, donor, total[part, labels[donor]], number[part])

    def add_retrieved(
        self, rows: Codes, shown: Codes, weight: Values, vectors: npt.NDArray[np.float32]
    ) -> None:
        """Look up what was retrieved first beside what each label shows.

        `rows` are queries, `shown` a candidate of theirs that comes first, and `weight` its share
        of the first place.
        """
        known = self._labels.known
        asked = np.unique(self._codes)
        spot = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        own = np.where(known[spot] == asked, spot, -1)
        place, label_place = np.searchsorted(known, shown), np.searchsorted(asked, self._codes)
        for block in Cosines(vectors[asked], vectors[known]).blocks(len(known)):
            shares = retrieved_shares(block.exact, own[block.part])
            for part in self._parts(np.arange(len(rows))):
                label = self._drawn.labels(label_place, rows[part]) - block.part.start
                here = (label >= 0) & (label < len(shares))
                value = np.where(here, shares[np.where(here, label, 0), place[part]], 0.0)
                for i, member in enumerate(self._groups.values()):
                    self._sums[i, :, 0] += value @ (weight * member[rows])[part]
        for i, member in enumerate(self._groups.values()):
            self._numbers[i] = member.sum()

    def _gather(self, group: int, donor: Codes, values: Values, number: Values) -> None:
        """Add values of shape (permutations + 1, units) to a group's sums."""
        if self._of.balance is None:
            self._sums[group, :, 0] += values.sum(axis=1)
            self._numbers[group] += number.sum()
            return
        shape = self._sums.shape[1:]
        place = self._of.balance[self._drawn.first][donor]
        cell = (place + shape[1] * np.arange(shape[0])[:, None]).ravel()
        for out, weights in (
            (self._sums, values),
            (self._numbers, np.broadcast_to(number, values.shape)),
        ):
            added = np.bincount(cell, weights.ravel(), minlength=shape[0] * shape[1])
            out[group] += added.reshape(shape)

    def _parts(self, rows: Codes) -> Iterator[Codes]:
        step = max(1, _CELLS // len(self._drawn.donor))
        for start in range(0, len(rows), step):
            yield rows[start : start + step]

    def tallies(self) -> Iterator[tuple[str, Tally]]:
        """Yield what each group scores in each permutation."""
        for i, (group, member) in enumerate(self._groups.items()):
            ranks = self._kept[:, member] if self._of.level is not None else None
            yield group, Tally(self._sums[i], self._numbers[i], ranks)
