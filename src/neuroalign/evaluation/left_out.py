"""Scores by class with their candidates as what was sampled: units left out, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroalign.evaluation.pairs import PairScores
from neuroalign.evaluation.per_query import Codes, GalleryValues, QueryValues
from neuroalign.evaluation.permutation import canonical_order
from neuroalign.evaluation.ranks import Values

#: Each unit costs as much as the retrieval itself: of more than these, several go together.
_MOST = 20
#: So many queries tell what candidates change.
_ENOUGH = 300
#: Said of scores whose candidates are recordings that nothing draws again.
FIXED = "candidates held fixed: the interval is of other queries alone"


def with_candidates(
    found: Mapping[str, QueryValues],
    again: Callable[[Codes], Mapping[str, QueryValues]] | None,
    units: npt.NDArray[Any],
    classes: Codes,
) -> dict[str, QueryValues]:
    r"""Add what drawing recordings again, which are candidates by class, would change.

    With :math:`d_g` the mean change of the same queries' values where group g of :math:`m_g`
    among N candidates is left out, and :math:`\bar d` the mean of these changes over the
    :math:`G_c` groups of its class, each of its candidates gets

    .. math:: x = \theta + \frac{N}{m_g} \sqrt{\frac{G - 1}{G} \frac{G_c - 1}{G_c}} (\bar d - d_g)

    The mean of x is the score :math:`\theta`, and the variance of that mean, groups drawn again,
    is the delete-one-group jackknife's (Efron and Stein, 1981), within classes: how many
    recordings a class has is no chance.

    Parameters
    ----------
    found : mapping from metric to QueryValues
        Those that say already what each candidate contributes stay as they are.
    again : function, optional
        Scores the same queries, or `representative` ones, among these candidates (places in the
        gallery). None where no metric can be had again.
    units : ndarray of shape (n_gallery,)
        What is left out together.
    classes : ndarray of shape (n_gallery,), int

    Returns
    -------
    dict from metric to QueryValues
        Where a class has one unit only, or a metric needs candidates that are then missing,
        `candidates_fixed` with a note.
    """
    found_groups = _groups(units, classes)
    gained: dict[str, GalleryValues] = {}
    if found_groups is not None and again is not None:
        groups, strata = found_groups
        each = [again(np.flatnonzero(groups != g)) for g in range(len(strata))]
        names = units[np.unique(groups, return_index=True)[1]][groups]
        for metric, values in found.items():
            if values.gallery is None and all(metric in e for e in each):
                changes = np.array([_change(values, e[metric]) for e in each])
                x = values.value() + _contributed(changes, groups, strata)
                gained[metric] = GalleryValues(x, names)
    out = {}
    for metric, values in found.items():
        if metric in gained:
            out[metric] = replace(values, gallery=gained[metric])
        elif values.gallery is None:
            note = "; ".join(filter(None, [values.note, FIXED]))
            out[metric] = replace(values, note=note, candidates_fixed=True)
        else:
            out[metric] = values
    return out


def representative(scores: PairScores, classes: Codes) -> Codes:
    """Return queries from low to high scores in each class: all, or some hundred of many."""
    n = scores.n_queries
    if n <= _ENOUGH:
        return np.arange(n)
    order = np.lexsort((canonical_order(scores), classes))
    return np.sort(order[np.linspace(0, n - 1, _ENOUGH).round().astype(np.int64)])


def _groups(units: npt.NDArray[Any], classes: Codes) -> tuple[Codes, Codes] | None:
    """Return the group of each candidate, and the class of each group.

    Groups of several units take them from all classes in turn, so they are of none. None where
    a class would be missing without one of the groups.
    """
    names, first, unit = np.unique(units, return_index=True, return_inverse=True)
    mixed = bool((classes[first][unit] != classes).any())
    group, of = unit, np.zeros(len(names), np.int64) if mixed else classes[first]
    if len(names) > _MOST:
        number = np.empty(len(names), np.int64)
        number[np.lexsort((names, classes[first]))] = np.arange(len(names)) % _MOST
        group, of = number[unit], np.zeros(_MOST, np.int64)
    present = np.zeros((int(classes.max()) + 1, len(of)), bool)
    present[classes, group] = True
    in_groups = present.sum(axis=1)
    known = in_groups > 0
    if known.sum() < 2 or (in_groups[known] < 2).any():
        return None
    return group, of


def _change(values: QueryValues, other: QueryValues) -> float:
    """Return by how much the mean of the queries that both have a value for differs."""
    both, mine, theirs = np.intersect1d(values.positions, other.positions, return_indices=True)
    if not len(both):
        return 0.0
    change = other.values[theirs] - values.values[mine]
    return float(np.average(change, weights=values.weights[mine]))


def _contributed(changes: Values, groups: Codes, strata: Codes) -> Values:
    """Return each candidate's x, less the score."""
    _, stratum, count = np.unique(strata, return_inverse=True, return_counts=True)
    centre = np.bincount(stratum, changes) / count
    n = len(changes)
    shrink = np.sqrt((n - 1) / n * (count - 1) / count)[stratum]
    scale = len(groups) / np.bincount(groups, minlength=n)
    x: Values = (scale * shrink * (centre[stratum] - changes))[groups]
    return x
