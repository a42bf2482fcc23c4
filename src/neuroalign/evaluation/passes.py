"""Metrics gathered while the scores of a retrieval pass by in blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.evaluation.asked import Asked
from neuroalign.evaluation.pairs import Block
from neuroalign.evaluation.per_query import Codes, QueryValues
from neuroalign.evaluation.ranks import Ranks, RightCandidates, Values


class Found:
    """The metrics of one retrieval, as they are found."""

    def __init__(
        self,
        n_queries: int,
        n_gallery: int,
        clusters: npt.NDArray[Any],
        subjects: pd.Series[str],
        *,
        by_person: bool,
    ) -> None:
        self.n_queries, self.n_gallery, self.clusters = n_queries, n_gallery, clusters
        people = subjects.map(str).to_numpy(str)
        self.people = people if by_person and subjects.notna().all() else None
        #: What tells queries apart, whatever their order: unit and person.
        self.names = np.char.add(np.char.add(clusters.astype(str), "\x1f"), people)
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
            people=None if self.people is None else self.people[rows],
        )


class RankPass:
    """The metrics that the ranks of right candidates determine, as blocks of scores pass by."""

    def __init__(
        self,
        right: RightCandidates | None,
        functions: Mapping[str, Callable[[Ranks], Values]],
        asked: Asked,
    ) -> None:
        self.right, self.functions, self.keep = right, dict(functions), False
        self._asked = asked
        self._values: dict[str, Values] = {}
        self._kept: list[Ranks] = []

    def add(self, block: Block) -> None:
        """Take in the scores of some queries."""
        assert self.right is not None
        ranks = self.right.ranks(block)
        if self._asked.ties == "last":
            ranks = ranks.last()
        usable = self.right.usable[block.part]
        ranks = ranks.take(usable)
        for metric, function in self.functions.items():
            values = self._values.setdefault(metric, np.full(len(self.right.usable), np.nan))
            values[block.rows[usable]] = function(ranks)
        if self.keep:
            self._kept.append(ranks)

    def report(self, found: Found, note: str) -> None:
        """Hand over the values with their chance levels: those of equal scores."""
        right = self.right
        assert right is not None
        random = right.tied_ranks().take(right.usable)
        for metric, function in self.functions.items():
            k = {"top5": 5, "class_top5": 5}.get(metric, 1)
            if k >= found.n_gallery:
                continue
            chance = np.full(len(right.usable), np.nan)
            chance[right.usable] = function(random)
            pairwise = metric in ("two_way_embedding", "k_way")
            found.add(metric, self._values[metric], chance, right.usable, note if pairwise else "")
        if self.keep:
            asked = self._asked
            values = np.full(len(right.usable), np.nan)
            values[right.usable] = Ranks.join(self._kept).k_way_resampled(
                asked.k,
                resamples=asked.resamples,
                seed=asked.draw_seed,
                keys=found.names[right.usable],
            )
            found.add("k_way_resampled", values, 1 / asked.k, right.usable, note)
