"""One retrieval, scored query by query with every metric that its items allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.asked import USUAL, Asked, Metric
from neuroalign.evaluation.chance import chance_class_accuracy, chance_median_rank
from neuroalign.evaluation.influence import GalleryInfluence
from neuroalign.evaluation.left_out import representative, with_candidates
from neuroalign.evaluation.metrics import class_accuracy
from neuroalign.evaluation.pairs import Cosines, PairScores, pair_scores
from neuroalign.evaluation.passes import Found, RankPass
from neuroalign.evaluation.per_query import GalleryValues, QueryValues, joined
from neuroalign.evaluation.ranks import Ranks, RightCandidates, Values
from neuroalign.evaluation.retrieved import FirstRetrieved, judge_vectors
from neuroalign.retrieval.embeddings import Embeddings
from neuroalign.retrieval.gallery import same_space

Codes = npt.NDArray[np.int64]

__all__ = [
    "BY_CLASS",
    "BY_ITEM",
    "USUAL",
    "Asked",
    "GalleryValues",
    "Metric",
    "QueryValues",
    "identity_codes",
    "joined",
    "query_values",
    "retrieval_values",
    "unit_keys",
]
#: Metrics that the ranks of the right pictures determine ...
BY_ITEM: Mapping[str, Callable[[Ranks], Values]] = {
    "top1": lambda r: r.top_k(1),
    "top5": lambda r: r.top_k(5),
    "median_rank": Ranks.best_rank,
    "mean_reciprocal_rank": Ranks.reciprocal_rank,
}
#: ... and those of the right classes.
BY_CLASS: Mapping[str, Callable[[Ranks], Values]] = {
    "class_top1": lambda r: r.top_k(1),
    "class_top5": lambda r: r.top_k(5),
    "class_average_precision": Ranks.average_precision,
}


def retrieval_values(
    queries: Embeddings,
    gallery: Embeddings,
    pictures: Embeddings | None = None,
    *,
    cluster: Sequence[str] | None = None,
    asked: Asked | None = None,
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
    asked : Asked, optional
        Metrics, tie rule, candidates; the usual ones unless given.

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
    cosines = Cosines(queries.vectors, gallery.vectors)
    return query_values(
        cosines, queries.items, gallery.items, pictures, cluster=cluster, asked=asked
    )


def query_values(
    scores: PairScores | npt.ArrayLike,
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    pictures: Embeddings | None = None,
    *,
    cluster: Sequence[str] | None = None,
    asked: Asked | None = None,
    redraw: bool = True,
) -> dict[str, QueryValues]:
    """Score each query from the scores of all pairs; see `retrieval_values`.

    Parameters
    ----------
    scores : PairScores or ndarray of shape (n_queries, n_gallery)
        Higher is better.
    queries, gallery : pandas.DataFrame
        The items: columns `stimulus` and `label`.
    redraw : bool
        Whether to say what drawing again would change of recordings that are candidates by class.
    """
    asked = asked or Asked()
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
    by_item, by_class = _right(items), _right(classes)
    pairs = pair_scores(scores)
    clusters = unit_keys(queries, cluster)
    wanted = set(asked.metrics)
    note = ""
    if by_item is None:
        note = "over classes: " + (
            "the picture is not known" if items is None else "no picture is on both sides"
        )
    passes = [
        RankPass(by_item, {m: f for m, f in BY_ITEM.items() if m in wanted}, asked),
        RankPass(by_class, {m: f for m, f in BY_CLASS.items() if m in wanted}, asked),
    ]
    shared = passes[0] if by_item is not None else passes[1]
    if "two_way_embedding" in wanted:
        shared.functions["two_way_embedding"] = Ranks.two_way
    if "k_way" in wanted:
        shared.functions["k_way"] = lambda r: r.k_way(asked.k)
    shared.keep = "k_way_resampled" in wanted
    retrieved = None
    if pictures is not None and "two_way_retrieved" in wanted:
        retrieved = _first_retrieved(queries, gallery, items, classes, pictures, asked)
    # Recordings of a class are a sample of what that class can call forth: where only classes are
    # known, a score over many queries still hangs on which recordings happen to be candidates.
    sampled = gallery["subject"].notna().all() and by_item is None
    by_recording = None
    if sampled and "two_way_embedding" in wanted and classes is not None and by_class is not None:
        by_recording = GalleryInfluence(classes[1])

    passes = [p for p in passes if p.right is not None and (p.functions or p.keep)]
    width = max((p.right.width for p in passes if p.right is not None), default=1)
    for block in pairs.blocks(width):
        for each in passes[::-1]:  # many classmates ask for exact scores, which then serve all
            each.add(block)
        if retrieved is not None:
            retrieved.add(block)
        if by_recording is not None and classes is not None and by_class is not None:
            usable = by_class.usable[block.part]
            by_recording.add(block.exact[usable], classes[0][block.part][usable])

    found = Found(n_queries, n_gallery, clusters, queries["subject"], by_person=asked.by_person)
    for each in passes:
        each.report(found, note if each is shared else "")
    if "median_rank" in found.metrics and items is not None:
        score = found.metrics["median_rank"]
        found.metrics["median_rank"] = replace(score, level=chance_median_rank(*items))
    if classes is not None and by_class is not None:
        of_class = wanted & {"class_accuracy", "balanced_accuracy"}
        if of_class:
            nearest, level = class_accuracy(pairs, *classes), chance_class_accuracy(*classes)
            if "class_accuracy" in wanted:
                found.add("class_accuracy", nearest, level, by_class.usable)
            if "balanced_accuracy" in wanted:
                # Numbered among the queries alone: the same in every gallery that they ask of.
                own = np.unique(classes[0], return_inverse=True)[1]
                found.add("balanced_accuracy", nearest, level, by_class.usable, balance=own)
    if by_recording is not None:
        score = found.metrics["two_way_embedding"]
        # Classes, or pictures that all ask the same: of these nothing was sampled.
        alike = queries["stimulus"].isna().all() or np.ptp(score.values) < 1e-9
        alone = bool(queries["subject"].isna().all() and alike)
        contributed = GalleryValues(by_recording.values(), unit_keys(gallery, None), alone=alone)
        found.metrics["two_way_embedding"] = replace(score, gallery=contributed)
    if retrieved is not None:
        over = "" if items is not None else "over classes (mean picture embeddings)"
        every = np.ones(n_queries, bool)
        found.add("two_way_retrieved", retrieved.values(), retrieved.chance(), every, over)
    if sampled and classes is not None and queries["subject"].isna().all():
        # Each picture of a class asks much the same: what is drawn again is the class.
        names = queries["label"].map(str).to_numpy(str)
        for metric, score in found.metrics.items():
            if score.gallery is None:
                found.metrics[metric] = replace(score, clusters=names[score.positions])
    if not found.metrics:
        raise NeuroalignError(
            "No metric can be computed: queries and candidates share neither a picture nor a "
            "class, and no picture embeddings were given to compare them by."
        )
    metrics: dict[str, QueryValues] = {
        m: found.metrics[m] for m in asked.metrics if m in found.metrics
    }
    if not redraw or not sampled or classes is None or queries["subject"].isna().all():
        return metrics
    # A choice of k drawn anew would change by its own draws; the others can be had again.
    drawn = {"two_way_embedding", "k_way_resampled"}
    rest = tuple(m for m in asked.metrics if m in metrics and m not in drawn)
    rows = representative(pairs, classes[0])
    asking, few = pairs.asking(rows), queries.iloc[rows]

    def again(kept: Codes) -> dict[str, QueryValues]:
        part, fewer = asking.among(kept), gallery.iloc[kept]
        of = replace(asked, metrics=rest)
        scored = query_values(part, few, fewer, pictures, asked=of, redraw=False)
        return {m: replace(v, positions=rows[v.positions]) for m, v in scored.items()}

    units = unit_keys(gallery, None)
    return with_candidates(metrics, again if rest else None, units, classes[1])


def _first_retrieved(
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    items: tuple[Codes, Codes] | None,
    classes: tuple[Codes, Codes] | None,
    pictures: Embeddings,
    asked: Asked,
) -> FirstRetrieved | None:
    """Prepare `two_way_retrieved`, over pictures or else over classes; it needs three of them."""
    ids, column = (items, "stimulus") if items is not None else (classes, "label")
    assert ids is not None
    if len(np.unique(ids[1])) < 3:
        return None
    names = pd.concat([queries[column], gallery[column]], ignore_index=True).map(str)
    _, where = np.unique(np.concatenate(ids), return_index=True)
    vectors = judge_vectors(pictures, column, list(names.iloc[where]))
    return FirstRetrieved(*ids, vectors, last=asked.ties == "last")


def identity_codes(
    queries: pd.DataFrame, gallery: pd.DataFrame, column: str
) -> tuple[Codes, Codes] | None:
    """Give both sides one numbering of identities, or None if one is missing somewhere."""
    both = pd.concat([queries[column].astype(object), gallery[column].astype(object)])
    if both.isna().any():
        return None
    _, codes = np.unique(both.map(str).to_numpy(str), return_inverse=True)
    return codes[: len(queries)], codes[len(queries) :]


def _right(ids: tuple[Codes, Codes] | None) -> RightCandidates | None:
    """Return the right candidates of each query; None if no query has any."""
    if ids is None:
        return None
    right = RightCandidates(*ids)
    return right if right.usable.any() else None


def unit_keys(queries: pd.DataFrame, columns: Sequence[str] | None) -> npt.NDArray[Any]:
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
    # Names of content, so that the draws do not depend on the order of the queries.
    parts = [queries[c].map(str).to_numpy(str) for c in columns]
    keys: npt.NDArray[Any] = parts[0]
    for part in parts[1:]:
        keys = np.char.add(np.char.add(keys, "\x1f"), part)
    return keys
