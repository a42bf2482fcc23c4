"""Concepts that a protocol leaves out of queries, candidates and ceilings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches

import numpy as np
import pandas as pd

from neuroalign.assess.ceilings import Agreement
from neuroalign.assess.stored import Stored
from neuroalign.audit.sides import one_spelling
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.ceilings import MatchScores
from neuroalign.evaluation.protocols import Protocol

_MOST = 5


def without_concepts(stored: Stored, protocol: Protocol) -> Stored:
    """Take the items and the pictures of some concepts out.

    Names are compared as the audit compares them: `Aircraft carrier` is `aircraft_carrier`. A
    picture is of a concept if it is filed under it, or an item that shows it is.

    Raises
    ------
    NeuroalignError
        A name is no concept of the run, of whatever modality, test or training.
    """
    if not protocol.concepts.leave_out:
        return stored
    _require_known(stored, protocol)
    wanted = set(one_spelling(pd.Series(protocol.concepts.leave_out)))
    pictures = {
        name
        for table in _tables(stored)
        for name in table.loc[one_spelling(table["label"]).isin(wanted), "stimulus"].dropna()
    }

    def keep(table: pd.DataFrame) -> pd.Series[bool]:
        return ~(one_spelling(table["label"]).isin(wanted) | table["stimulus"].isin(list(pictures)))

    return _filtered(stored, keep)


def _tables(stored: Stored) -> list[pd.DataFrame]:
    """Return the tables of candidates and of all test items."""
    items = stored.models[0].items.values()
    return [stored.judge.items, *(e.items for sets in items for e in sets.values())]


def _require_known(stored: Stored, protocol: Protocol) -> None:
    labels = pd.concat([t["label"] for t in (*_tables(stored), stored.training)]).dropna()
    known = dict(zip(one_spelling(labels), labels.astype(str), strict=True))
    asked = pd.Series(protocol.concepts.leave_out)
    unknown = asked[~one_spelling(asked).isin(list(known))]
    if unknown.empty:
        return
    if not known:
        meant = "its trials and pictures have no `label`"
    else:
        near = {
            name: [known[n] for n in get_close_matches(spelt, list(known), n=2)]
            for name, spelt in zip(unknown, one_spelling(unknown), strict=True)
        }
        guesses = [f"{' or '.join(found)} for {name!r}" for name, found in near.items() if found]
        some = sorted(known.values())
        there = f"there are {', '.join(some[:_MOST])}{', ...' if len(some) > _MOST else ''}"
        meant = f"did you mean {', '.join(guesses[:_MOST])}?" if guesses else there
    names = ", ".join(repr(n) for n in unknown[:_MOST]) + (", ..." if len(unknown) > _MOST else "")
    raise NeuroalignError(
        f"`concepts.leave_out` of {protocol.label} names {len(unknown)} of {len(asked)} concepts "
        f"that the run does not have, in training or test: {names} ({meant}). Nothing would be "
        "left out for them. Correct the protocol, or take these names off its list."
    )


def _filtered(stored: Stored, keep: Callable[[pd.DataFrame], pd.Series[bool]]) -> Stored:
    """Keep the items and pictures whose rows a rule keeps."""
    columns = keep(stored.judge.items).to_numpy(bool, na_value=True)
    rows = {
        (m, slug): keep(e.items).to_numpy(bool, na_value=True)
        for m, sets in stored.models[0].items.items()
        for slug, e in sets.items()
    }
    return replace(
        stored,
        judge=stored.judge.take(columns),
        models=tuple(
            replace(
                model,
                pictures=model.pictures.take(columns),
                items={
                    m: {slug: e.take(rows[m, slug]) for slug, e in sets.items()}
                    for m, sets in model.items.items()
                },
            )
            for model in stored.models
        ),
        likelihood={k: v[np.ix_(rows[k], columns)] for k, v in stored.likelihood.items()},
        agreement=_agreement_among(stored, keep, stored.judge.items.loc[~columns, "stimulus"]),
    )


def _agreement_among(
    stored: Stored, keep: Callable[[pd.DataFrame], pd.Series[bool]], left_out: pd.Series[str]
) -> Agreement:
    """Keep what the recordings tell of themselves about the items that a rule keeps."""

    def among(found: MatchScores) -> MatchScores:
        rows, columns = (
            keep(table).to_numpy(bool, na_value=True) for table in (found.items, found.candidates)
        )
        items, candidates = (
            table[kept].reset_index(drop=True)
            for table, kept in ((found.items, rows), (found.candidates, columns))
        )
        return MatchScores(items, candidates, found.scores[np.ix_(rows, columns)])

    repeats, classes = (
        {key: among(found) for key, found in matches.items()}
        for matches in (stored.agreement.repeats, stored.agreement.classes)
    )
    reliability = stored.agreement.reliability
    known = ~reliability["stimulus"].isin(list(left_out))
    return Agreement(repeats, classes, reliability[known].reset_index(drop=True))
