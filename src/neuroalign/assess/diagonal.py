"""What the diagonal of the matrix stands beside: each person's recordings among their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.assess.ideal import IDEAL
from neuroalign.assess.restrict import candidates
from neuroalign.assess.stored import Stored
from neuroalign.evaluation.asked import Asked
from neuroalign.evaluation.attainable import Ceiling
from neuroalign.evaluation.ceilings import OWN_CLASS, OWN_REPEATS, MatchScores
from neuroalign.evaluation.own_class import unit_folds
from neuroalign.evaluation.pairs import Cosines, Matrix
from neuroalign.evaluation.per_query import GalleryValues, QueryValues, joined
from neuroalign.evaluation.protocols import Protocol
from neuroalign.evaluation.queries import query_values, unit_keys
from neuroalign.evaluation.scores import Score
from neuroalign.recordings.schema import Modality
from neuroalign.retrieval.embeddings import Embeddings
from neuroalign.simulation.ideal import ideal_conversion

WITHIN = "within people"
_TWO_WAY: Final = "two_way_embedding"
_ASKED = Asked(metrics=(_TWO_WAY,))


def within_people(items: Embeddings) -> QueryValues | None:
    """Score each person's recordings among the person's own, without those of the same unit.

    The 2-way score over pictures, where people saw some more than once (a unit is then the single
    item), else over classes (see `unit_keys` for the unit). Units are left out fold by fold.

    Returns
    -------
    QueryValues or None
        None where nobody has a second recording of what a first one shows.
    """
    table = items.items.reset_index(drop=True)
    by, folds = own_folds(table)
    names, keys = table[by].astype(object).to_numpy(object), unit_keys(table, None)
    owner = table["subject"].astype(str).to_numpy(object)
    parts: list[QueryValues] = []
    influence = np.zeros(len(table))
    for person in dict.fromkeys(owner):
        mine = np.flatnonzero((owner == person) & (folds >= 0))
        for fold in np.unique(folds[mine]):
            asked, rest = mine[folds[mine] == fold], mine[folds[mine] != fold]
            there = set(names[rest])
            if len(there) < 2 or not there & set(names[asked]):
                continue
            pairs = Cosines(items.vectors[asked], items.vectors[rest])
            sides = table.iloc[asked], table.iloc[rest]
            found = query_values(pairs, *sides, asked=_ASKED)[_TWO_WAY]
            rows = asked[found.positions]
            parts.append(replace(found, positions=rows, clusters=keys[rows]))
            if found.gallery is not None:
                own = found.gallery.values  # noqa: PD011
                influence[rest] += len(rows) * (own - own.mean()) / len(rest)
    if not parts:
        return None
    values = np.concatenate([p.values for p in parts])  # noqa: PD011
    by_recording = parts[0].gallery is not None
    # Each recording is a candidate in all folds but its own: what it contributes adds up.
    contributed = float(values.mean()) + influence * len(table) / len(values)
    return replace(
        parts[0],
        positions=np.concatenate([p.positions for p in parts]),
        values=values,
        chance=np.concatenate([p.chance for p in parts]),
        clusters=np.concatenate([p.clusters for p in parts]),
        n_gallery=max(p.n_gallery for p in parts),
        note=parts[0].note.split(";")[0],
        gallery=GalleryValues(contributed, keys) if by_recording else None,
    )


def own_folds(table: pd.DataFrame) -> tuple[str, npt.NDArray[np.int64]]:
    """Return by what a person's recordings are alike, and which of them are left out together.

    By picture where all are known (each item is a unit of its own), else by class.
    """
    if table["stimulus"].isna().any():
        return "label", unit_folds(table)
    return "stimulus", unit_folds(table.assign(label=table["stimulus"]), np.arange(len(table)))


def diagonal_ceiling(
    modality: Modality, stored: Stored, protocol: Protocol
) -> Ceiling | Sequence[Score]:
    """Return what could be attained where recordings are asked of recordings of their own kind.

    Of several people: the ideal observer where they are simulated; else what the same retrieval
    scores within people; else their own repeats. Of one person, whose cell is within the person
    already: what stands beside decoding, own repeats or own class.
    """
    slug = stored.items[modality][0].slug
    items = stored.models[0].items[modality][slug]
    if len(set(items.items["subject"])) > 1:
        if stored.likelihood:
            return _ceiling(IDEAL, _ideal(modality, slug, items.items, stored, protocol))
        within = within_people(items)
        if within is not None and protocol.people == "separate":
            owner = items.items["subject"].astype(str).to_numpy(str)
            number = np.unique(owner, return_inverse=True)[1]
            within = replace(within, strata=number[within.positions][:, None])
        if within is not None:
            return _ceiling(WITHIN, within)
    for name, matches in (
        (OWN_REPEATS, stored.agreement.repeats),
        (OWN_CLASS, stored.agreement.classes),
    ):
        if (modality, slug) in matches:
            found = _match_values(matches[modality, slug])
            # Its items stand in an order of their own.
            return replace(_ceiling(name, found), paired=name == OWN_REPEATS)
    return ()


def _ceiling(name: str, values: QueryValues) -> Ceiling:
    return Ceiling(name, {"all": {values.metric: values}})


def _ideal(
    modality: Modality, slug: str, items: pd.DataFrame, stored: Stored, protocol: Protocol
) -> QueryValues:
    """Score how likely recordings of different people belong to the same picture."""
    shown = candidates(stored, protocol, modality)
    likelihood = stored.likelihood[modality, slug][:, shown]
    owner = items["subject"].astype(str).to_numpy(object)
    parts = {}
    for person in dict.fromkeys(owner):
        own, others = np.flatnonzero(owner == person), np.flatnonzero(owner != person)
        matrix = Matrix(ideal_conversion(likelihood[own], likelihood[others]))
        found = query_values(matrix, items.iloc[own], items.iloc[others], asked=_ASKED)
        parts[str(person)] = found[_TWO_WAY]
    apart = protocol.people == "separate"
    return joined(parts, len(items), by_person=False, apart=apart)


def _match_values(match: MatchScores) -> QueryValues:
    answered = np.isfinite(match.scores).all(axis=1)
    items = match.items.iloc[np.flatnonzero(answered)]
    found = query_values(match.scores[answered], items, match.candidates, asked=_ASKED)
    return found[_TWO_WAY]
