"""What each metric of a retrieval scores when the queries' labels are shuffled.

A query's value under any label is read off one table a block: how every picture (or class) would
have fared as the right one. So a permutation costs a look-up a query, not a retrieval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.evaluation.chance import retrieved_shares
from neuroalign.evaluation.pairs import Block, Cosines, PairScores
from neuroalign.evaluation.permutation import Relabelling, relabelling
from neuroalign.evaluation.queries import (
    BY_CLASS,
    BY_ITEM,
    Asked,
    QueryValues,
    identity_codes,
    unit_keys,
)
from neuroalign.evaluation.ranks import Ranks, Values
from neuroalign.evaluation.retrieved import judge_vectors
from neuroalign.evaluation.standings import Labels, Standings
from neuroalign.retrieval.embeddings import Embeddings

Codes = npt.NDArray[np.int64]
_CELLS = 2**21
#: What can be shuffled on the side of the recordings where only their class is known, with the
#: number of candidates that are looked at (0: all).
_FROM_CLASSES = {"class_top1": 1, "class_top5": 5, "two_way_embedding": 0}


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
) -> dict[tuple[str, str], Values]:
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

    Returns
    -------
    dict from (group, metric) to ndarray of shape (n_permutations + 1,)
        The first entry is that of the true labels. Sums over a group's queries (of weighted
        values, where classes count alike), or minus the median: higher is better, and no more
        than that. Metrics without a value in a group are left out.
    """
    asked = asked or Asked()
    items, classes = (identity_codes(queries, gallery, c) for c in ("stimulus", "label"))
    encoding = bool(queries["subject"].isna().all() and gallery["subject"].notna().all())
    if encoding and items is None and classes is not None:
        found = {m: v for m, v in found.items() if m in _FROM_CLASSES}
        return _relabelled_gallery(scores, gallery, classes, found, groups, n_permutations, seed)
    who = _seen_by(queries, gallery) if encoding else queries["subject"].astype(object).map(str)
    kinds = {k: Labels.of(*ids) for k, ids in (("item", items), ("class", classes)) if ids}
    functions = rank_functions(found, asked)
    key = sum(
        ids[0] * (int(ids[0].max()) + 1) ** i for i, ids in enumerate((items, classes)) if ids
    )
    drawn: dict[bytes, Relabelling] = {}
    for v in found.values():
        rows = v.positions
        if rows.tobytes() not in drawn:
            drawn[rows.tobytes()] = relabelling(
                v.clusters, key[rows], who.to_numpy(str)[rows], n_permutations, seed
            )
    collected = {
        m: _Collected(v, _kind(m, functions, kinds), drawn[v.positions.tobytes()], groups)
        for m, v in found.items()
        if m in functions or m in ("class_accuracy", "balanced_accuracy", "two_way_retrieved")
    }
    nearest = _nearest(scores, kinds["class"], collected) if "class" in kinds else None
    retrieved: list[tuple[Codes, Codes, Values]] = []
    for block in scores.blocks(scores.n_gallery):
        tables = dict(_tables(block, kinds, functions, asked)) if functions else {}
        if nearest is not None:
            tables |= dict.fromkeys(("class_accuracy", "balanced_accuracy"), nearest[block.part])
        for metric, table in tables.items():
            if metric in collected:
                collected[metric].add(block, table)
        if "two_way_retrieved" in collected:
            rows, columns = block.first()
            retrieved.append((block.rows[rows], columns, 1.0 / np.bincount(rows)[rows]))
    if retrieved and pictures is not None:
        ids = items if items is not None else classes
        assert ids is not None
        names = pd.concat([queries, gallery], ignore_index=True)
        column = "stimulus" if items is not None else "label"
        _, where = np.unique(np.concatenate(ids), return_index=True)
        vectors = judge_vectors(pictures, column, list(names[column].map(str).iloc[where]))
        rows, columns, weight = (np.concatenate(part) for part in zip(*retrieved, strict=True))
        shown = ids[1][columns]
        collected["two_way_retrieved"].add_retrieved(rows, shown, weight, vectors, encoding)
    return {
        (group, metric): null for metric, each in collected.items() for group, null in each.scores()
    }


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
    if not {"class_accuracy", "balanced_accuracy"} & set(collected):
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


def _relabelled_gallery(
    scores: PairScores,
    gallery: pd.DataFrame,
    classes: tuple[Codes, Codes],
    found: Mapping[str, QueryValues],
    groups: Mapping[str, npt.NDArray[np.bool_]],
    n_permutations: int,
    seed: int,
) -> dict[tuple[str, str], Values]:
    """Shuffle the classes of recordings, where pictures ask for recordings of their class.

    Every picture of a class asks the same of the same recordings: shuffled picture by picture,
    classes would look like more evidence than they are.
    """
    drawn = relabelling(
        unit_keys(gallery, None),
        classes[1],
        gallery["subject"].astype(str).to_numpy(str),
        n_permutations,
        seed,
    )
    labels = drawn.labels(classes[1], np.arange(len(gallery)))
    n_classes = int(max(classes[0].max(), classes[1].max())) + 1
    size = np.bincount(classes[1], minlength=n_classes)
    pairs = np.maximum(size * (len(gallery) - size), 1)
    wins = np.zeros((len(groups), n_classes, len(gallery)))
    hits = {m: np.zeros((len(groups), len(labels))) for m in found}
    for block in scores.blocks(scores.n_gallery):
        standings, own = Standings.of(block.exact), classes[0][block.part]
        won = (len(gallery) - 1 - standings.above - 0.5 * standings.tied) / pairs[own][:, None]
        first = np.argsort(standings.above, axis=1, kind="stable")[:, :5]
        for i, mask in enumerate(groups.values()):
            inside = mask[block.part] & (size[own] > 0) & (size[own] < len(gallery))
            np.add.at(wins[i], own[inside], won[inside])
            for metric in hits:
                k = _FROM_CLASSES[metric]
                for row in np.flatnonzero(inside) if k else ():
                    hits[metric][i] += (labels[:, first[row, :k]] == own[row]).any(axis=1)
    if "two_way_embedding" in hits:
        for i in range(len(groups)):
            hits["two_way_embedding"][i] = wins[i][labels, np.arange(len(gallery))].sum(axis=1)
    return {
        (group, metric): null[i] for metric, null in hits.items() for i, group in enumerate(groups)
    }


class _Collected:
    """One metric of each group under every permutation, gathered query by query."""

    def __init__(
        self,
        values: QueryValues,
        labels: Labels,
        drawn: Relabelling,
        groups: Mapping[str, npt.NDArray[np.bool_]],
    ) -> None:
        self._of, self._labels, self._drawn = values, labels, drawn
        self._codes = labels.codes[values.positions]
        known = labels.known
        self._places = np.minimum(np.searchsorted(known, self._codes), len(known) - 1)
        members = {g: mask[values.positions] for g, mask in groups.items()}
        self._groups = {g: member for g, member in members.items() if member.any()}
        # Sums over a group's queries, of all labels together or of each class for itself; of
        # medians there are no sums, and every value has to be kept.
        classes = len(labels.known) if values.balance is not None else 1
        size = (len(self._groups), len(drawn.donor), classes)
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
                place = labels[self._drawn.donor[:, units[part]]]
                self._gather(i, place, total[part, place], number[part])

    def add_retrieved(
        self,
        rows: Codes,
        shown: Codes,
        weight: Values,
        vectors: npt.NDArray[np.float32],
        encoding: bool,
    ) -> None:
        """Look up what was retrieved first beside what each label shows.

        `rows` are queries, `shown` a candidate of theirs that comes first, and `weight` its share
        of the first place. The label that is shuffled is that of the recording: in encoding, what
        was retrieved.
        """
        known = self._labels.known
        asked = np.unique(self._codes)
        spot = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        own = np.where(known[spot] == asked, spot, -1)
        place, label_place = np.searchsorted(known, shown), np.searchsorted(asked, self._codes)
        for block in Cosines(vectors[asked], vectors[known]).blocks(len(known)):
            shares = retrieved_shares(block.exact, own[block.part])
            for part in self._parts(np.arange(len(rows))):
                label, seen = label_place[rows[part]][None], place[part][None]
                if encoding:
                    seen = np.searchsorted(known, self._other_pictures(shown[part]))
                else:
                    label = self._drawn.labels(label_place, rows[part])
                label = label - block.part.start
                here = (label >= 0) & (label < len(shares))
                value = np.where(here, shares[np.where(here, label, 0), seen], 0.0)
                for i, member in enumerate(self._groups.values()):
                    self._sums[i, :, 0] += value @ (weight * member[rows])[part]

    def _other_pictures(self, shown: Codes) -> Codes:
        """Return the label of these candidates in each permutation, (permutations + 1, n)."""
        of_unit = self._codes[self._drawn.first]
        order = np.argsort(of_unit, kind="stable")
        spot = np.minimum(np.searchsorted(of_unit[order], shown), len(order) - 1)
        unit = order[spot]
        found = of_unit[self._drawn.donor[:, unit]]
        return np.where(of_unit[unit] == shown, found, shown)

    def _gather(self, group: int, place: Codes, values: Values, number: Values) -> None:
        """Add values of shape (permutations + 1, units) to a group's sums."""
        if self._of.balance is None:
            self._sums[group, :, 0] += values.sum(axis=1)
            return
        shape = self._sums.shape[1:]
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

    def scores(self) -> Iterator[tuple[str, Values]]:
        """Yield what each group scores in each permutation."""
        for i, (group, member) in enumerate(self._groups.items()):
            if self._of.level is not None:
                # a lower rank is a better one
                null = -np.median(self._kept[:, member].astype(np.float64), axis=1)
            elif self._of.balance is None:
                null = self._sums[i, :, 0]
            else:
                mean = self._sums[i] / np.maximum(self._numbers[i], 1)
                null = mean.sum(axis=1) / (self._numbers[i] > 0).sum(axis=1)
            yield group, np.asarray(null)
