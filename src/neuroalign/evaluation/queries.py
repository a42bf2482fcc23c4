"""One retrieval, scored query by query with every metric that its items allow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.bootstrap import Interval, bootstrap_interval, paired_difference
from neuroalign.evaluation.chance import (
    CHANCE_TWO_WAY,
    chance_class_accuracy,
    chance_top_k,
    chance_two_way_from_retrieved,
)
from neuroalign.evaluation.influence import GalleryInfluence
from neuroalign.evaluation.metrics import (
    Values,
    balanced_weights,
    class_accuracy,
    count_right,
    top_k,
    two_way,
    two_way_from_retrieved,
)
from neuroalign.retrieval.embeddings import Embeddings
from neuroalign.retrieval.gallery import cosine_blocks, same_space, stable_top_k

_KS = (1, 5)
Blocks = Iterable[tuple[slice, npt.NDArray[np.floating]]]
Codes = npt.NDArray[np.int64]
_SHARE_OR_DIFFERENCE = (-1.0, 1.0)


@dataclass(frozen=True, eq=False)
class GalleryValues:
    """What each candidate contributes to a score (see `GalleryInfluence`), and its cluster."""

    values: Values
    clusters: npt.NDArray[Any]

    def interval(self, *, n_boot: int, seed: int) -> Interval:
        """Return the interval that drawing candidates again gives.

        No width where no candidate stands out: the score then hangs on the queries alone.
        """
        mean = float(self.values.mean())
        if np.ptp(self.values) < 1e-12:
            return Interval(mean, mean, mean, len(np.unique(self.clusters)))
        return bootstrap_interval(
            self.values, self.clusters, n_boot=n_boot, bounds=_SHARE_OR_DIFFERENCE, seed=seed
        )


def widened(one: Interval, other: Interval) -> Interval:
    """Add the deviations of an independent source of chance to an interval of a share."""
    low = one.value - np.hypot(one.value - one.low, other.value - other.low)
    high = one.value + np.hypot(one.high - one.value, other.high - other.value)
    return replace(one, low=float(max(low, -1.0)), high=float(min(high, 1.0)))


@dataclass(frozen=True, eq=False)
class QueryValues:
    """One metric of one retrieval, a value a query.

    Parameters
    ----------
    metric : str
    positions : ndarray of shape (n,), int
        Which queries have a value: a query without a right candidate has none.
    values, chance : ndarray of shape (n,)
        Each query's value, and its expectation under a random retrieval.
    clusters : ndarray of shape (n,)
        The unit that the bootstrap draws again.
    n_gallery : int
    note : str
    balance : ndarray of shape (n,), optional
        Classes that count alike in the mean, whatever their size.
    gallery : GalleryValues, optional
        What each candidate contributes, where the candidates were sampled too.
    """

    metric: str
    positions: Codes
    values: Values
    chance: Values
    clusters: npt.NDArray[Any]
    n_gallery: int
    note: str = ""
    balance: Codes | None = None
    gallery: GalleryValues | None = None

    @property
    def weights(self) -> Values:
        """The weight of each query in the mean."""
        return np.ones(len(self.values)) if self.balance is None else balanced_weights(self.balance)

    def interval(self, *, n_boot: int = 1000, seed: int = 0) -> Interval:
        """Return the mean with its 95 % cluster-bootstrap interval.

        Where candidates were sampled too, the deviations of both sides add up as those of
        independent samples.
        """
        over_queries = bootstrap_interval(
            self.values, self.clusters, weights=self.weights, n_boot=n_boot, seed=seed
        )
        if self.gallery is None:
            return over_queries
        return widened(over_queries, self.gallery.interval(n_boot=n_boot, seed=seed))

    def mean_chance(self) -> float:
        """Return the chance level of the mean."""
        return float(np.average(self.chance, weights=self.weights))

    def among(self, chosen: npt.NDArray[np.bool_]) -> QueryValues:
        """Keep the queries for which `chosen`, of shape (all queries,), is true."""
        keep = chosen[self.positions]
        return replace(
            self,
            positions=self.positions[keep],
            values=self.values[keep],
            chance=self.chance[keep],
            clusters=self.clusters[keep],
            balance=None if self.balance is None else self.balance[keep],
        )


def compare(
    ours: QueryValues, theirs: QueryValues, *, n_boot: int = 1000, seed: int = 0
) -> Interval:
    """Return the paired difference of two models on one metric and the same queries.

    Raises
    ------
    NeuroalignError
        The metrics, or the queries that they could be computed for, differ.
    """
    if ours.metric != theirs.metric or not np.array_equal(ours.positions, theirs.positions):
        raise NeuroalignError(
            f"A paired comparison needs one metric on the same queries: got {ours.metric} on "
            f"{len(ours.positions)} and {theirs.metric} on {len(theirs.positions)} queries."
        )
    difference = paired_difference(
        ours.values,
        theirs.values,
        ours.clusters,
        weights=ours.weights,
        n_boot=n_boot,
        seed=seed,
    )
    if ours.gallery is None or theirs.gallery is None:
        return difference
    mine, other = ours.gallery, theirs.gallery
    gallery = GalleryValues(mine.values - other.values, mine.clusters)  # noqa: PD011
    return widened(difference, gallery.interval(n_boot=n_boot, seed=seed))


def retrieval_values(
    queries: Embeddings,
    gallery: Embeddings,
    pictures: Embeddings | None = None,
    *,
    cluster: Sequence[str] | None = None,
) -> dict[str, QueryValues]:
    """Score each query of a retrieval by cosine.

    Parameters
    ----------
    queries, gallery : Embeddings
        Of one space.
    pictures : Embeddings, optional
        The judge of `two_way_retrieved`: frozen picture embeddings (of any space) that hold every
        picture of queries and gallery, or pictures of every class where only that is known.
    cluster : sequence of str, optional
        Columns of the queries' items that name the unit of the bootstrap. Default: the picture;
        where it is not known, the block if there is such a column, else the single query.

    Returns
    -------
    dict of metric name to QueryValues
        See docs/scores.md for the names and when each can be had.

    Raises
    ------
    NeuroalignError
        The spaces differ, or nothing tells which candidates are right.
    """
    same_space(queries, gallery)
    blocks = cosine_blocks(queries.vectors, gallery.vectors)
    return query_values(blocks, queries.items, gallery.items, pictures, cluster=cluster)


def query_values(
    blocks: Blocks,
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    pictures: Embeddings | None = None,
    *,
    cluster: Sequence[str] | None = None,
) -> dict[str, QueryValues]:
    """Score each query from blocks of scores; see `retrieval_values`.

    Parameters
    ----------
    blocks : iterable of (slice, ndarray of shape (n_part, n_gallery))
        Scores, higher is better, that together cover all queries.
    queries, gallery : pandas.DataFrame
        The items: columns `stimulus` and `label`.
    """
    n_queries, n_gallery = len(queries), len(gallery)
    if n_queries == 0 or n_gallery < 2:
        raise NeuroalignError(
            f"A score needs at least one query and two candidates: got {n_queries} and {n_gallery}."
        )
    items, classes = (
        identity_codes(queries, gallery, "stimulus"),
        identity_codes(queries, gallery, "label"),
    )
    if items is None and classes is None:
        raise NeuroalignError(
            "Some queries or candidates have no `stimulus`, and some have no `label`: nothing "
            "tells which candidates are right. Give each item its picture, or each its class."
        )
    with_item, with_class = _scorable(items), _scorable(classes)
    shared = items if with_item is not None else classes
    with_pair = with_item if with_item is not None else with_class

    best = np.empty((n_queries, min(max(_KS), n_gallery)), np.int64)
    # Recordings of a class are a sample of what that class can call forth: where only classes are
    # known, a score over many queries still hangs on which recordings happen to be candidates.
    sampled = gallery["subject"].notna().all()
    by_recording = None
    if sampled and with_item is None and classes is not None and with_class is not None:
        by_recording = GalleryInfluence(classes[1])
    pair, nearest = np.full(n_queries, np.nan), np.full(n_queries, np.nan)
    for part, scores in blocks:
        best[part] = stable_top_k(scores, best.shape[1])
        for out, metric, ids, usable in (
            (pair, two_way, shared, with_pair),
            (nearest, class_accuracy, classes, with_class),
        ):
            if ids is not None and usable is not None:
                rows = np.arange(part.start, part.stop)[usable[part]]
                out[rows] = metric(scores[usable[part]], ids[0][rows], ids[1])
        if by_recording is not None and classes is not None and with_class is not None:
            by_recording.add(scores[with_class[part]], classes[0][part][with_class[part]])

    found = _Found(n_queries, n_gallery, _clusters(queries, cluster))
    for prefix, ids, usable in (("", items, with_item), ("class_", classes, with_class)):
        if ids is not None and usable is not None:
            for k in _KS:
                if k < n_gallery:
                    level = chance_top_k(*ids, k)
                    found.add(f"{prefix}top{k}", top_k(best, *ids, k), level, usable)
    if classes is not None and with_class is not None:
        level_class = chance_class_accuracy(classes[1])
        found.add("class_accuracy", nearest, level_class, with_class)
        found.add("balanced_accuracy", nearest, level_class, with_class, balance=classes[0])
    if with_pair is not None:
        why = ""
        if with_item is None:
            why = "over classes: " + (
                "the picture is not known" if items is None else "no picture is on both sides"
            )
        found.add("two_way_embedding", pair, CHANCE_TWO_WAY, with_pair, why)
        if by_recording is not None:
            score = found.metrics["two_way_embedding"]
            found.metrics["two_way_embedding"] = replace(
                score, gallery=GalleryValues(by_recording.values(), _clusters(gallery, None))
            )
    if pictures is not None:
        _add_retrieved(found, queries, gallery, items, classes, best[:, 0], pictures)
    if not found.metrics:
        raise NeuroalignError(
            "No metric can be computed: queries and candidates share neither a picture nor a "
            "class, and no picture embeddings were given to compare them by."
        )
    return found.metrics


class _Found:
    """The metrics of one retrieval, as they are found."""

    def __init__(self, n_queries: int, n_gallery: int, clusters: npt.NDArray[Any]) -> None:
        self.n_queries, self.n_gallery, self.clusters = n_queries, n_gallery, clusters
        self.metrics: dict[str, QueryValues] = {}

    def add(
        self,
        metric: str,
        values: Values,
        chance: Values | float,
        usable: npt.NDArray[np.bool_],
        note: str = "",
        balance: Codes | None = None,
    ) -> None:
        """Keep the values of the usable queries, and say so where they are not all."""
        rows = np.flatnonzero(usable)
        if len(rows) < self.n_queries:
            rest = f"the other {self.n_queries - len(rows)} have no right candidate"
            note = f"{note}; {rest}" if note else rest
        self.metrics[metric] = QueryValues(
            metric,
            rows,
            values[rows],
            np.broadcast_to(np.asarray(chance, np.float64), self.n_queries)[rows],
            self.clusters[rows],
            self.n_gallery,
            note,
            None if balance is None else balance[rows],
        )


def _add_retrieved(
    found: _Found,
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    items: tuple[Codes, Codes] | None,
    classes: tuple[Codes, Codes] | None,
    first: Codes,
    pictures: Embeddings,
) -> None:
    """Add `two_way_retrieved`, over pictures or else over classes; it needs three of them."""
    ids, column = (items, "stimulus") if items is not None else (classes, "label")
    assert ids is not None
    candidates, place, multiplicity = np.unique(ids[1], return_inverse=True, return_counts=True)
    if len(candidates) < 3:
        return
    names = pd.concat([queries[column], gallery[column]], ignore_index=True).map(str)
    codes, where = np.unique(np.concatenate(ids), return_index=True)
    vectors = judge_vectors(pictures, column, list(names.iloc[where]))
    spot = np.searchsorted(candidates, ids[0])
    spot = np.minimum(spot, len(candidates) - 1)
    own = np.where(candidates[spot] == ids[0], spot, -1)
    mine, theirs = (
        vectors[np.searchsorted(codes, ids[0])],
        vectors[np.searchsorted(codes, candidates)],
    )
    found.add(
        "two_way_retrieved",
        two_way_from_retrieved(mine, theirs, own, place[first]),
        chance_two_way_from_retrieved(mine, theirs, own, multiplicity),
        np.ones(len(queries), bool),
        "" if items is not None else "over classes (mean picture embeddings)",
    )


def judge_vectors(
    pictures: Embeddings, column: str, names: Sequence[str]
) -> npt.NDArray[np.float32]:
    """Return the unit embedding of each picture, or the mean one of each class."""
    keys = pictures.items[column].map(str).to_numpy()
    known, code = np.unique(keys, return_inverse=True)
    missing = sorted(set(names) - set(known.tolist()))
    if missing:
        raise NeuroalignError(
            f"The picture embeddings lack {len(missing)} of {len(names)} {column} values that the "
            f"queries or the gallery name (first: {missing[:3]}). Embed these pictures too."
        )
    sums = np.zeros((len(known), pictures.vectors.shape[1]))
    np.add.at(sums, code, pictures.vectors)
    chosen = sums[np.searchsorted(known, np.asarray(names))]
    norms = np.linalg.norm(chosen, axis=1, keepdims=True)
    if (norms == 0).any():
        raise NeuroalignError("The pictures of a class have a zero mean: it has no direction.")
    unit: npt.NDArray[np.float32] = (chosen / norms).astype(np.float32)
    return unit


def identity_codes(
    queries: pd.DataFrame, gallery: pd.DataFrame, column: str
) -> tuple[Codes, Codes] | None:
    """Give both sides one numbering of identities, or None if one is missing somewhere."""
    both = pd.concat([queries[column].astype(object), gallery[column].astype(object)])
    if both.isna().any():
        return None
    _, codes = np.unique(both.map(str).to_numpy(str), return_inverse=True)
    return codes[: len(queries)], codes[len(queries) :]


def _scorable(ids: tuple[Codes, Codes] | None) -> npt.NDArray[np.bool_] | None:
    """Return which queries have a right candidate and a distractor; None if no query has."""
    if ids is None:
        return None
    right = count_right(*ids)
    usable: npt.NDArray[np.bool_] = (right > 0) & (right < len(ids[1]))
    return usable if usable.any() else None


def _clusters(queries: pd.DataFrame, columns: Sequence[str] | None) -> npt.NDArray[Any]:
    """Return the bootstrap unit of each query."""
    if columns is None:
        if queries["stimulus"].notna().all():
            columns = ["stimulus"]
        elif "block" in queries and queries["block"].notna().all():
            columns = [c for c in ("subject", "session", "run", "block") if c in queries]
        else:
            return np.arange(len(queries))
    absent = [c for c in columns if c not in queries]
    if absent:
        raise NeuroalignError(f"No column(s) {absent} among the queries' items to cluster by.")
    # Sorted by content, so that the draws do not depend on the order of the queries.
    keys: npt.NDArray[Any] = (
        queries[list(columns)].astype(object).map(str).agg("\x1f".join, axis=1).to_numpy(str)
    )
    return keys
