"""Which metrics speak for a retrieval: one choice for the terminal, the report and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from neuroalign.evaluation.scores import Score

#: Where pictures are known: the paper's metrics, and some protocols' own, with short names.
PICTURE_METRICS: Mapping[str, str] = {
    "top1": "top-1",
    "top5": "top-5",
    "k_way": "k-way",
    "k_way_resampled": "k-way, drawn",
    "median_rank": "median rank",
    "mean_reciprocal_rank": "mean rec. rank",
    "two_way_embedding": "2-way",
    "two_way_retrieved": "2-way, item",
    "two_way_retrieved_normalised": "normalised",
}
#: Where only classes are. The 2-way from the retrieved item rests on pictures all the same, or is
#: not there.
CLASS_METRICS: Mapping[str, str] = {
    "class_top1": "class",
    "class_top5": "class top-5",
    "class_accuracy": "class, mean score",
    "balanced_accuracy": "class, balanced",
    "class_average_precision": "class mAP",
    "two_way_embedding": "2-way",
    "two_way_retrieved": "2-way, item",
    "two_way_retrieved_normalised": "normalised",
}
#: What stands for a retrieval where one number must: the paper's own metric first ...
LEADING_BY_PICTURE = ("two_way_retrieved", "two_way_embedding", "top1")
#: ... or how often the class is right.
LEADING_BY_CLASS = ("class_accuracy", "balanced_accuracy", "class_top1", "two_way_embedding")

_OF_ITEMS = {"top1", "top5", "k_way", "k_way_resampled", "median_rank", "mean_reciprocal_rank"}
_OF_CLASSES = {"class_top1", "class_top5", "class_accuracy", "balanced_accuracy"}
# The right class is among five of two by chance: such a score tells nothing.
_NEARLY_CERTAIN = 0.9


def blocks(scores: Sequence[Score]) -> list[list[Score]]:
    """Group scores by retrieval and items, in order of first appearance."""
    found: dict[tuple[str, ...], list[Score]] = {}
    for s in scores:
        found.setdefault((s.task, s.source, s.target, s.items), []).append(s)
    return list(found.values())


def short_names(block: Sequence[Score]) -> Mapping[str, str]:
    """Return the metrics that speak for one retrieval, in order, with their short names."""
    return CLASS_METRICS if _by_class(block) else PICTURE_METRICS


def main_metrics(scores: Sequence[Score]) -> list[Score]:
    """Keep, over all people, the metrics that speak for each retrieval."""
    everyone = [s for s in scores if s.subject == "all"]
    return [
        s
        for block in blocks(everyone)
        for s in block
        if s.metric in short_names(block)
        and (s.metric != "class_top5" or s.chance < _NEARLY_CERTAIN)
    ]


def leading(block: Sequence[Score]) -> Score | None:
    """Return the score of one retrieval that stands for it."""
    by_metric = {s.metric: s for s in block}
    metrics = (*LEADING_BY_PICTURE, *LEADING_BY_CLASS)
    if _by_class(block):
        metrics = (*LEADING_BY_CLASS, *LEADING_BY_PICTURE)
    return next((by_metric[m] for m in metrics if m in by_metric), None)


def _by_class(block: Sequence[Score]) -> bool:
    """Whether a retrieval was scored by classes, and pictures were not told apart."""
    found = {s.metric for s in block}
    return bool(found & _OF_CLASSES) and not found & _OF_ITEMS
