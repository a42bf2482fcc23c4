"""Which ceilings a run has, and which of them stands beside a score.

The first that exists: the ideal observer, which is exact (simulated recordings); the person's own
repeats; other people; and where pictures do not come back, the person's own class; other people by
class. The others are rows of the table too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from neuroalign.assess.ideal import ideal_ceilings
from neuroalign.assess.scored_ceiling import ScoredCeiling, scored_ceiling
from neuroalign.assess.steps import Step, both_sides, pictures_of
from neuroalign.assess.stored import Stored
from neuroalign.evaluation.attainable import Ceiling, same_question
from neuroalign.evaluation.bootstrap import bootstrap_interval
from neuroalign.evaluation.ceilings import (
    BY_CLASS,
    OTHER_PEOPLE,
    OTHER_PEOPLE_BY_CLASS,
    OWN_CLASS,
    OWN_REPEATS,
    MatchScores,
    other_people,
)
from neuroalign.evaluation.per_query import QueryValues
from neuroalign.evaluation.protocols import Protocol
from neuroalign.evaluation.scores import Score

Ceilings = Mapping[Step, ScoredCeiling]
SPLIT_HALVES, NCSNR = "split halves", "ncsnr"
#: The task of scores of the recordings themselves, which no model has a part in.
RELIABILITY = "reliability"


def all_ceilings(stored: Stored, steps: Sequence[Step], protocol: Protocol) -> list[Ceilings]:
    """Return every ceiling of every retrieval, the first to be preferred."""
    repeats: dict[Step, ScoredCeiling] = {}
    people: dict[Step, ScoredCeiling] = {}
    own: dict[Step, ScoredCeiling] = {}
    others: dict[Step, ScoredCeiling] = {}
    for step in steps:
        if step.query is None or step.task not in ("decoding", "classification"):
            continue
        modality, items = step.query[0], step.query[1].slug
        embedded = stored.models[0].items[modality][items]
        if step.task == "decoding":
            found = stored.agreement.repeats.get((modality, items))
            if found is not None:
                note = f"{_trials(found)}, found among averages of the person's other trials"
                _add(repeats, OWN_REPEATS, found, note, step, stored, protocol)
            if embedded.items["stimulus"].notna().any():
                names = stored.judge.items["stimulus"].astype(str)
                shown = other_people(embedded, names[pictures_of(step, stored, protocol)].tolist())
                if shown is not None:
                    note = f"embedded by {stored.models[0].name}, found among everyone else's mean"
                    _add(people, OTHER_PEOPLE, shown, note, step, stored, protocol)
        classes = _classes(step, stored, protocol)
        found = stored.agreement.classes.get((modality, items))
        if found is not None and step not in repeats:
            note = f"{_trials(found)}, found among the person's other mean responses to classes"
            _add_classes(own, OWN_CLASS, found, note, classes, step, stored, protocol)
        if step not in people and len(classes) > 1:
            shown = other_people(embedded, classes, "label")
            if shown is not None:
                note = f"embedded by {stored.models[0].name}, found among everyone else's mean"
                args = (note, classes, step, stored, protocol)
                _add_classes(others, OTHER_PEOPLE_BY_CLASS, shown, *args)
    return [ideal_ceilings(stored, steps, protocol), repeats, people, own, others]


def chosen_ceiling(
    step: Step, ceilings: Sequence[Ceilings], stored: Stored, protocol: Protocol
) -> Ceiling | Sequence[Score]:
    """Return the ceiling that stands beside the scores of a retrieval."""
    earlier = [s for s in stored.ceiling if s.protocol in ("", protocol.label)]
    ideal, *others = ceilings
    if step in ideal:
        return ideal[step].ceiling
    if earlier:
        return earlier
    for found in others:
        if step in found:
            return found[step].ceiling
        sides = [
            found[s].ceiling
            for part in (step.query, step.gallery)
            if part is not None
            for s in found
            if s.query == part and s.task == "decoding"
        ]
        # Trials and blocks of a ceiling by class are units of candidates here, not of queries.
        sides = [replace(s, mirrored=True, paired=s.name not in BY_CLASS) for s in sides]
        if step.task == "encoding" and sides:
            return sides[0]
        if step.task == "conversion" and len(sides) == 2:
            return _lower(*sides)
    return ()


def shown_ceilings(ceilings: Sequence[Ceilings], scores: Sequence[Score]) -> list[Score]:
    """Return the scores of ceilings that ask what some model's score asks.

    Parameters
    ----------
    ceilings : sequence
        From `all_ceilings`.
    scores : sequence of Score
        Of models.
    """
    asked: dict[tuple[str, ...], list[Score]] = {}
    for score in scores:
        asked.setdefault(_cell(score), []).append(score)
    every = [s for each in ceilings for found in each.values() for s in found.scores]
    return [s for s in every if any(same_question(o, s) for o in asked.get(_cell(s), ()))]


def _cell(score: Score) -> tuple[str, ...]:
    return score.task, score.source, score.target, score.items, score.subject, score.metric


def reliability_scores(stored: Stored, protocol: Protocol) -> list[Score]:
    """Return the share of the signals' variance that the pictures decide, by split halves."""
    scores = []
    for modality in stored.items:
        whole = stored.agreement.reliability
        table = whole[whole["modality"] == modality]
        people = [("all", table)] if len(table) else []
        people += [(str(s), table[table["subject"] == s]) for s in table["subject"].unique()]
        for subject, part in people:
            interval = bootstrap_interval(
                part["value"],
                part["stimulus"].astype(str),
                bounds=(-1.0, 1.0),
                n_boot=protocol.intervals.draws,
                seed=stored.seed,
            )
            n = part["n_averaged"]
            count = f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
            by_halves = Score(
                task=RELIABILITY,
                source=modality,
                target=modality,
                model=SPLIT_HALVES,
                metric="explainable_variance",
                value=interval.value,
                low=interval.low,
                high=interval.high,
                chance=0.0,
                n_queries=len(part),
                n_gallery=0,
                items=f"averages of {count} repeats",
                subject=subject,
                simulated=stored.simulated,
                note="mean over features of the split-half correlation, by Spearman and Brown",
            )
            scores.append(by_halves)
            by_snr = part.groupby("subject")["ncsnr_ceiling"].first()
            if by_snr.notna().all():
                mean = float(by_snr.mean())
                note = "mean over voxels, from the ncsnr of the data set, which has no interval"
                scores.append(
                    replace(by_halves, model=NCSNR, value=mean, low=mean, high=mean, note=note)
                )
    return scores


def _add(
    found: dict[Step, ScoredCeiling],
    name: str,
    match: MatchScores,
    note: str,
    step: Step,
    stored: Stored,
    protocol: Protocol,
) -> None:
    """Score a match among those candidates that the retrieval has."""
    names = stored.judge.items["stimulus"].astype(str)[pictures_of(step, stored, protocol)]
    columns = np.flatnonzero(match.candidates["stimulus"].isin(list(names)).to_numpy(bool))
    rows = np.flatnonzero(match.items["stimulus"].isin(list(names)).to_numpy(bool))
    if len(columns) > 1 and len(rows):
        scores = match.scores[np.ix_(rows, columns)]
        tables = match.items.iloc[rows], match.candidates.iloc[columns]
        found[step] = scored_ceiling(name, scores, *tables, step, stored, protocol, note)


def _add_classes(
    found: dict[Step, ScoredCeiling],
    name: str,
    match: MatchScores,
    note: str,
    classes: Sequence[str],
    step: Step,
    stored: Stored,
    protocol: Protocol,
) -> None:
    """Score a match among those classes that the retrieval has."""
    columns, rows = (
        np.flatnonzero(t["label"].isin(list(classes)).to_numpy(bool))
        for t in (match.candidates, match.items)
    )
    scores = match.scores[np.ix_(rows, columns)]
    answered = np.isfinite(scores).all(axis=1)
    if len(columns) > 1 and answered.any():
        lone = int((~answered).sum())
        note += f"; {lone} without others of their class are left out" if lone else ""
        tables = match.items.iloc[rows], match.candidates.iloc[columns]
        found[step] = scored_ceiling(name, scores, *tables, step, stored, protocol, note)


def _classes(step: Step, stored: Stored, protocol: Protocol) -> list[str]:
    """Return the classes that both sides of a retrieval have."""
    sides = both_sides(step, stored.models[0], stored, protocol)
    queries, gallery = (set(s.items["label"].dropna().astype(str)) for s in sides)
    return sorted(queries & gallery)


def _trials(match: MatchScores) -> str:
    n = match.items["n_averaged"]
    count = f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
    return f"{count} trial{'s' if n.max() > 1 else ''} of a person"


def _lower(one: Ceiling, other: Ceiling) -> Ceiling:
    """Return, person by person and metric by metric, the lower of two ceilings."""
    by_person: dict[str, dict[str, QueryValues]] = {}
    for subject in one.by_person.keys() & other.by_person.keys():
        a, b = one.by_person[subject], other.by_person[subject]
        by_person[subject] = {
            m: a[m] if _mean(a[m]) <= _mean(b[m]) else b[m] for m in a.keys() & b.keys()
        }
    return replace(one, name=f"{one.name}, lower of both sides", by_person=by_person)


def _mean(values: QueryValues) -> float:
    return float(np.average(values.values, weights=values.weights))
