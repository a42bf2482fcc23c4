"""What can be asked of a retrieval: metrics, tie rule, candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Metric = Literal[
    "top1",
    "top5",
    "class_top1",
    "class_top5",
    "class_accuracy",
    "balanced_accuracy",
    "two_way_embedding",
    "two_way_retrieved",
    "median_rank",
    "mean_reciprocal_rank",
    "class_average_precision",
    "k_way",
    "k_way_resampled",
]
#: What is computed unless a protocol says otherwise.
USUAL: tuple[Metric, ...] = (
    "top1",
    "top5",
    "class_top1",
    "class_top5",
    "class_accuracy",
    "balanced_accuracy",
    "two_way_embedding",
    "two_way_retrieved",
)


@dataclass(frozen=True)
class Asked:
    """What is asked of a retrieval.

    Attributes
    ----------
    metrics : those to compute, as far as the items allow
    ties : `shared`: the mean over the orders of equal scores; `last`: right ones come last
    k, resamples, draw_seed : the k-way choice (see `Ranks.k_way_resampled`)
    by_person : people are a second level of chance in intervals
    """

    metrics: tuple[Metric, ...] = USUAL
    ties: Literal["shared", "last"] = "shared"
    k: int = 2
    resamples: int = 30
    draw_seed: int = 0
    by_person: bool = False
