"""Chance, computed exactly elsewhere, is confirmed by shuffling the candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.chance import retrieved_shares
from neuroalign.evaluation.pairs import Cosines, PairScores
from neuroalign.evaluation.per_query import QueryValues
from neuroalign.evaluation.queries import Asked, identity_codes
from neuroalign.evaluation.ranks import Ranks, Values
from neuroalign.evaluation.retrieved import judge_vectors
from neuroalign.evaluation.shuffled import rank_functions
from neuroalign.evaluation.standings import Labels, Standings
from neuroalign.retrieval.embeddings import Embeddings

Codes = npt.NDArray[np.int64]
#: So many queries, drawn anew, meet so many orders of the gallery.
QUERIES, ORDERS = 128, 100
#: The two levels may differ by so many standard errors, and by this much in any case.
STANDARD_ERRORS, TOLERANCE = 5.0, 1e-3
#: Fewer hits or misses than this are too few to tell their own standard error.
RARE = 25
_WRONG = (
    "One of the two is wrong, and no score of this retrieval can be judged. Please report this, "
    "with the numbers of pictures, classes and repeats in the gallery."
)


def confirm_chance(
    scores: PairScores,
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    found: Mapping[str, QueryValues],
    pictures: Embeddings | None = None,
    *,
    where: str,
    asked: Asked | None = None,
    seed: int = 0,
) -> None:
    """Refuse a chance level that shuffling the gallery does not bear out.

    Which candidate is which is shuffled, candidate by candidate, under the same scores: what the
    metrics are then on average is chance, by its definition. The two metrics that set classes
    against each other by their mean scores (class accuracy, balanced accuracy) hang on more than
    the order of the candidates: a shuffled decoder with one high score a query names large classes,
    a random one small classes. Chance is what a random decoder scores, so such decoders are drawn:
    a normal number for each pair, and the classes' means of these, counted out.

    Parameters
    ----------
    scores, queries, gallery, pictures, asked
        As in `query_values`.
    found : mapping from metric to QueryValues
        What `query_values` returned, chance levels among it.
    where : str
        What is scored, for the message.
    seed : int
        Fixes the queries and the orders.

    Raises
    ------
    NeuroalignError
        The mean over orders is further from the computed level than five of its standard errors,
        and than 0.001; or, of a median, more than half of the ranks lie on one side of it.
    """
    rng = np.random.default_rng([seed, 3])
    rows = np.sort(rng.permutation(len(queries))[:QUERIES])
    chosen = np.zeros(len(queries), bool)
    chosen[rows] = True
    part = {m: v.among(chosen) for m, v in found.items()}
    part = {m: v for m, v in part.items() if len(v.values)}
    matrix = scores.exact_pairs(rows[:, None], np.arange(len(gallery))[None, :])
    drawn: dict[str, list[Values]] = {m: [] for m in part}
    shuffle = _Shuffle(matrix, queries, gallery, rows, pictures, part, asked or Asked())
    for _ in range(ORDERS):
        for metric, values in shuffle.scores(rng):
            drawn[metric].append(values[np.searchsorted(rows, part[metric].positions)])
    for metric, orders in drawn.items():
        if not orders:
            continue
        each = part[metric]
        if each.level is not None:
            clear = ~shuffle.tied[np.searchsorted(rows, each.positions)]
            ranks = np.stack(orders)[:, clear]
            levels = np.full(len(clear), each.level) if each.strata is None else each.chance
            sampled = len(rows) < len(queries)
            weights = each.weights[clear]
            _confirm_median(metric, levels[clear], ranks, weights, where, sampled=sampled)
            continue
        means = np.average(np.stack(orders), axis=1, weights=each.weights)
        level = each.mean_chance()
        rare = _error_of_rare(level, len(means) * shuffle.n_asked(metric))
        confirm_mean(metric, level, means, where, least_error=rare)


def confirm_mean(
    metric: str, level: float, means: Values, where: str, *, least_error: float = 0.0
) -> None:
    """Refuse a chance level that is not the mean of what shuffled labels score.

    Parameters
    ----------
    metric, where : str
        For the message.
    level : float
    means : ndarray of shape (n_shuffles,)
    least_error : float
        The standard error of their mean, if they tell a smaller one.

    Raises
    ------
    NeuroalignError
        See `confirm_chance`.
    """
    mean = float(means.mean())
    error = max(float(np.std(means, ddof=1) / np.sqrt(len(means))), least_error)
    if abs(mean - level) > max(STANDARD_ERRORS * error, TOLERANCE):
        raise NeuroalignError(
            f"{where}: the chance level of {metric} is computed as {level:.4f}, but {len(means)} "
            f"shuffled galleries score {mean:.4f} on average (standard error {error:.4f}). "
            f"{_WRONG}"
        )


def _confirm_median(
    metric: str, level: Values, ranks: Values, weights: Values, where: str, *, sampled: bool
) -> None:
    """Refuse medians, one a query, that more than half of ranks (orders, queries) are beyond."""
    if ranks.shape[1] == 0:
        return  # every query has tied scores, whose ranks are means over their orders
    share = weights / weights.sum()
    for beyond in (ranks < level, ranks > level):
        orders, each = beyond @ share, beyond.mean(axis=0)
        error = np.std(orders) / np.sqrt(len(orders))
        if sampled:  # queries with more right candidates have lower ranks
            spread = np.sqrt(share @ (each - share @ each) ** 2)
            error = np.hypot(error, spread * np.sqrt((share**2).sum()))
        if orders.mean() > 0.5 + max(STANDARD_ERRORS * float(error), TOLERANCE):
            raise NeuroalignError(
                f"{where}: the chance level of {metric} is computed as {level @ share:.4f}, but in "
                f"{ORDERS} shuffled galleries {orders.mean():.0%} of the ranks lie on one side of "
                f"it (standard error {error:.3f}), and their median is {np.median(ranks):.4f}. "
                f"{_WRONG}"
            )


def _error_of_rare(level: float, n: int) -> float:
    """Return the standard error of a share of which hardly any hits (or misses) are to be drawn.

    They may not have been drawn at all, and the orders then vary less than they would. 0 where
    more than `RARE` are to be expected in `n` draws, for then they speak for themselves.
    """
    spread = min(max(level, 0.0), 1.0) * (1 - min(max(level, 0.0), 1.0))
    return float(np.sqrt(spread / n)) if n * min(level, 1 - level) < RARE else 0.0


class _Shuffle:
    """A retrieval whose candidates can change places."""

    def __init__(
        self,
        matrix: npt.NDArray[np.floating],
        queries: pd.DataFrame,
        gallery: pd.DataFrame,
        rows: Codes,
        pictures: Embeddings | None,
        found: Mapping[str, QueryValues],
        asked: Asked,
    ) -> None:
        every = {
            "item": identity_codes(queries, gallery, "stimulus"),
            "class": identity_codes(queries, gallery, "label"),
        }
        self._ids = {k: (ids[0][rows], ids[1]) for k, ids in every.items() if ids is not None}
        self._standings = Standings.of(matrix)
        #: Which queries have scores that tie.
        self.tied: npt.NDArray[np.bool_] = self._standings.tied.max(axis=1) > 0
        self._functions = rank_functions(found, asked)
        self._by_mean = [m for m in ("class_accuracy", "balanced_accuracy") if m in found]
        self._first = matrix == matrix.max(axis=1, keepdims=True)
        self._shares: Values | None = None
        if pictures is not None and "two_way_retrieved" in found:
            self._kind = "item" if "item" in self._ids else "class"
            column = "stimulus" if self._kind == "item" else "label"
            ids = every[self._kind]
            assert ids is not None
            names = pd.concat([queries[column], gallery[column]], ignore_index=True).map(str)
            _, where = np.unique(np.concatenate(ids), return_index=True)
            vectors = judge_vectors(pictures, column, list(names.iloc[where]))
            known, self._place = np.unique(ids[1], return_inverse=True)
            asks = ids[0][rows]
            spot = np.minimum(np.searchsorted(known, asks), len(known) - 1)
            cosines = Cosines(vectors[asks], vectors[known]).exact(slice(0, len(rows)))
            self._shares = retrieved_shares(cosines, np.where(known[spot] == asks, spot, -1))

    def n_asked(self, metric: str) -> int:
        """Return how many pictures (or classes) are asked for: queries of one move together."""
        kind = self._functions.get(metric, ("", None))[0]
        asked = [len(np.unique(a)) for k, (a, _) in self._ids.items() if not kind or k == kind]
        return min(asked)

    def scores(self, rng: np.random.Generator) -> Iterator[tuple[str, Values]]:
        """Yield each metric's value of every query, in an order drawn at random."""
        order = rng.permutation(self._standings.above.shape[1])
        for kind, (asks, ids) in self._ids.items():
            mine: dict[str, Callable[[Ranks], Values]] = {
                m: f for m, (k, f) in self._functions.items() if k == kind
            }
            if not mine:
                continue
            labels = Labels.of(asks, ids[order])
            spot = np.minimum(np.searchsorted(labels.known, asks), len(labels.known) - 1)
            columns, present = labels.columns[spot][:, None], labels.present[spot][:, None]
            ranks = self._standings.ranks(columns, present, labels.n_wrong[spot][:, None])
            for metric, function in mine.items():
                yield metric, function(ranks)
        if self._by_mean:
            hits = self._random_hits(rng)
            for metric in self._by_mean:
                yield metric, hits
        if self._shares is not None:
            shown = self._shares[:, self._place[order]]
            yield "two_way_retrieved", (shown * self._first).sum(axis=1) / self._first.sum(axis=1)

    def _random_hits(self, rng: np.random.Generator) -> Values:
        """Return whether a decoder drawn at random names each query's class by its highest mean."""
        asks, ids = self._ids["class"]
        known, sizes = np.unique(ids, return_counts=True)
        by_class = np.argsort(ids, kind="stable")
        scores = rng.standard_normal((len(asks), len(ids)), dtype=np.float32)[:, by_class]
        means = np.add.reduceat(scores, np.cumsum(sizes) - sizes, axis=1) / sizes
        hits: Values = (known[means.argmax(axis=1)] == asks).astype(np.float64)
        return hits
