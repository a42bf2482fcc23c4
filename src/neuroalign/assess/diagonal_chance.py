"""What the diagonal of the matrix scores by chance: its p-values, and its chance confirmed."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from neuroalign.assess.diagonal import own_folds
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.asked import Asked
from neuroalign.evaluation.confirmation import confirm_chance, confirm_mean
from neuroalign.evaluation.mutual import MutualRetrieval, picture_geometry
from neuroalign.evaluation.pairs import Cosines
from neuroalign.evaluation.per_query import QueryValues
from neuroalign.evaluation.permutation import p_value
from neuroalign.evaluation.queries import query_values
from neuroalign.evaluation.tally import Tally
from neuroalign.retrieval.embeddings import Embeddings

_TWO_WAY: Final = "two_way_embedding"


def geometry_p_value(
    pictures: Embeddings, judge: Embeddings, level: float, *, seed: int = 0
) -> float:
    """Return the p-value of pictures asked of pictures, and hold `level` against the same shuffle.

    Raises
    ------
    NeuroalignError
        The chance level is not what pictures score that swapped places.
    """
    null = picture_geometry(pictures, judge, seed=seed).scores()
    confirm_mean("two_way_retrieved", level, null[1:], "pictures among pictures")
    return p_value(null[1:], float(null[0]))


def recordings_p_value(
    items: Embeddings, values: QueryValues, judge: Embeddings | None, *, seed: int = 0
) -> float:
    """Return the p-value of recordings asked of recordings of their own kind.

    Parameters
    ----------
    items : Embeddings
        Of several people, each of whom is asked of the others; or of one person (see
        `within_people`): there labels are swapped within what is left out together.
    values : QueryValues
        Their scores, which say what they were scored on.
    judge : Embeddings or None
    seed : int
    """
    sides, by, single = _sides(items, values)
    inside = sides >= 0
    apart = values.strata is not None
    mutual = MutualRetrieval(
        items.take(inside), sides[inside], by, single=single, apart=apart, seed=seed
    )
    tally: Tally | None = None
    if values.metric == _TWO_WAY:
        tally = mutual.two_way()
    elif judge is not None:
        tally = mutual.retrieved(judge, by)
    assert tally is not None  # what is retrieved was scored with a judge
    null = tally.scores()
    return p_value(null[1:], float(null[0]))


def confirm_recordings(
    items: Embeddings,
    values: QueryValues,
    judge: Embeddings | None,
    where: str,
    *,
    seed: int = 0,
) -> None:
    """Hold the chance level of each person's (or fold's) retrieval against shuffled candidates.

    Raises
    ------
    NeuroalignError
        They disagree; see `confirm_chance`.
    """
    sides, _, _ = _sides(items, values)
    asked = Asked(metrics=(_TWO_WAY,) if values.metric == _TWO_WAY else ("two_way_retrieved",))
    for side in np.unique(sides[sides >= 0]):
        own, others = items.take(sides == side), items.take((sides >= 0) & (sides != side))
        pairs = Cosines(own.vectors, others.vectors)
        tables = own.items, others.items
        try:
            found = query_values(pairs, *tables, judge, asked=asked)
        except NeuroalignError:
            continue  # nothing that this fold shows was shown in another
        confirm_chance(pairs, *tables, found, judge, where=where, asked=asked, seed=seed)


def _sides(items: Embeddings, values: QueryValues) -> tuple[npt.NDArray[np.int64], str, bool]:
    """Return who asks whom, by what, and whether units are single items."""
    table = items.items.reset_index(drop=True)
    pictured = bool(table["stimulus"].notna().all())
    owner = table["subject"].astype(str).to_numpy(str)
    people, side = np.unique(owner, return_inverse=True)
    if len(people) > 1:
        over_classes = values.note.startswith("over classes") or not pictured
        return side, "label" if over_classes else "stimulus", False
    by, folds = own_folds(table)
    return folds, by, pictured
