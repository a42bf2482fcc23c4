"""The median over queries, drawn again: for ranks, which have no bounds to speak of."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm
from scipy.stats import t as student

from neuroalign.evaluation.bootstrap import Interval, interval_of
from neuroalign.evaluation.spread import Spread

_DRAWS = 2 * 2**20


def median_interval(
    values: npt.NDArray[np.float64],
    clusters: npt.NDArray[Any],
    *,
    minus: npt.NDArray[np.float64] | None = None,
    strata: npt.NDArray[Any] | None = None,
    weights: npt.NDArray[np.float64] | None = None,
    people: npt.NDArray[Any] | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the median with its percentile cluster-bootstrap interval.

    With several values a cluster, percentiles are expanded for few clusters as Student's quantile
    is (Hesterberg, 2015); with one a cluster, they already lie at ranks that hold the median often
    enough.

    Parameters
    ----------
    values : ndarray of shape (n_queries,)
    clusters : ndarray of shape (n_queries,)
        The unit that is drawn again.
    minus : ndarray of shape (n_queries,), optional
        Another model's values: the median of `values` less that of these, drawn together.
    strata, weights : ndarray of shape (n_queries,), optional
        The mean of the medians of parts (people), each with the share of its weights; see
        `spread.Sample`.
    people : ndarray of shape (n_queries,), optional
        Whose query it is, where people are a second level of chance: what they add is read off how
        far their own medians lie apart, as in a t-test.
    bounds : (float, float)
        The range a median (or difference) can have.
    n_boot, level, seed
        As in `bootstrap_interval`.

    Returns
    -------
    Interval
    """
    names, code = np.unique(clusters, return_inverse=True)
    _, part = np.unique(np.zeros(len(code)) if strata is None else strata, return_inverse=True)
    shares = np.bincount(part, weights) / (len(code) if weights is None else weights.sum())
    parts = []
    for number in range(len(shares)):
        here = np.flatnonzero(part == number)
        sides = [np.asarray(v, np.float64)[here] for v in (values, minus) if v is not None]
        orders = [np.argsort(v, kind="stable") for v in sides]
        parts.append([(v[o], code[here][o]) for v, o in zip(sides, orders, strict=True)])
    medians = [_difference([np.array([np.median(v)]) for v, _ in sides]) for sides in parts]
    value = (shares @ np.stack(medians))[0]
    rng = np.random.default_rng(seed)
    step = max(1, _DRAWS // len(code))
    drawn = []
    for start in range(0, n_boot, step):
        rows = min(step, n_boot - start)
        chosen = (
            rng.integers(0, len(names), (rows, len(names))) + len(names) * np.arange(rows)[:, None]
        )
        counts = np.bincount(chosen.ravel(), minlength=rows * len(names)).reshape(rows, -1)
        medians = [_difference([_medians(v, counts[:, c]) for v, c in sides]) for sides in parts]
        there = np.stack([counts[:, sides[0][1]].any(axis=1) for sides in parts]) * shares[:, None]
        drawn.append((there * np.stack(medians)).sum(axis=0) / there.sum(axis=0))
    n, tail = len(names), (1 - level) / 2
    if len(code) > n > 1:
        tail = float(norm.cdf(np.sqrt(n / (n - 1)) * student.ppf(tail, n - 1)))
    low, high = np.quantile(np.concatenate(drawn), [tail, 1 - tail])
    one = Interval(
        float(value), min(float(low), float(value)), max(float(high), float(value)), len(names)
    )
    if people is None:
        return one
    return _with_people(one, values, minus, people, weights, bounds, level)


def _with_people(
    one: Interval,
    values: npt.NDArray[np.float64],
    minus: npt.NDArray[np.float64] | None,
    people: npt.NDArray[Any],
    weights: npt.NDArray[np.float64] | None,
    bounds: tuple[float, float],
    level: float,
) -> Interval:
    """Add what other people would change, as deviations of an independent source of chance."""
    _, whose = np.unique(people, return_inverse=True)
    n = int(whose.max()) + 1
    if n < 2:
        return one
    own = np.array([np.median(values[whose == i]) for i in range(n)])
    if minus is not None:
        own = own - np.array([np.median(minus[whose == i]) for i in range(n)])
    shares = np.bincount(whose, weights) / (len(whose) if weights is None else weights.sum())
    variance = float(own.var(ddof=1) * (shares**2).sum())
    low, high = one.value, one.value
    if variance > 0:
        spread = Spread(
            np.array([one.value]),
            np.zeros((1, 1)),
            np.full((1, 1), variance),
            one.n_clusters,
            n,
        )
        found = interval_of(spread, level=level, bounds=bounds)
        low, high = found.low, found.high
    down = np.hypot(one.value - one.low, one.value - low)
    up = np.hypot(one.high - one.value, high - one.value)
    return Interval(
        one.value,
        float(max(one.value - down, min(bounds[0], one.value))),
        float(min(one.value + up, max(bounds[1], one.value))),
        one.n_clusters,
        n,
    )


def _difference(sides: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    return sides[0] if len(sides) == 1 else sides[0] - sides[1]


def _medians(
    ordered: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the median of sorted values, each as often as `counts` (draws, values) says.

    Of a draw without any of them, some number: such draws do not count (see `median_interval`).
    """
    until = counts.cumsum(axis=1)
    total = until[:, -1:]
    low = (until < (total + 1) // 2).sum(axis=1)
    high = (until < np.minimum(total // 2 + 1, total)).sum(axis=1)
    found: npt.NDArray[np.float64] = (ordered[low] + ordered[high]) / 2
    return found
