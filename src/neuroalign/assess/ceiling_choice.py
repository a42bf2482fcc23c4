"""Which ceilings a run has, and which of them stands beside a score.

The first that exists: the ideal observer, which is exact (simulated recordings); the person's own
repeats; other people; and where pictures do not come back, the person's own class; other people by
class. The others are rows of the table too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

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
from neuroalign.evaluation.metrics import balanced_weights
from neuroalign.evaluation.per_query import QueryValues
from neuroalign.evaluation.protocols import Protocol
from neuroalign.evaluation.scores import Score

Ceilings = Mapping[Step, ScoredCeiling]
SPLIT_HALVES, NCSNR = "split halves", "ncsnr"
#: The task of scores of the recordings themselves, which no model has a part in.
RELIABILITY = "reliability"
_EVERYONE = "everyone else's mean, as the run embeds them"


def all_ceilings(stored: Stored, steps: Sequence[Step], protocol: Protocol) -> list[Ceilings]:
    """Return every ceiling of every retrieval, the first to be preferred.

    Of a conversion the ideal observer alone; its other ceilings are the lower of both sides, which
    are here whatever the protocol asks for.
    """
    repeats: dict[Step, ScoredCeiling] = {}
    people: dict[Step, ScoredCeiling] = {}
    own: dict[Step, ScoredCeiling] = {}
    others: dict[Step, ScoredCeiling] = {}
    for step in dict.fromkeys(side for s in steps for side in _sides(s)):
        part = step.query or step.gallery
        assert part is not None
        modality, items = part[0], part[1].slug
        embedded = stored.models[0].items[modality][items]
        if step.task != "classification":
            found = stored.agreement.repeats.get((modality, items))
            if found is not None:
                other = "averages of the person's other trials"
                _add(repeats, OWN_REPEATS, found, other, step, stored, protocol)
            if embedded.items["stimulus"].notna().any():
                names = stored.judge.items["stimulus"].astype(str)
                shown = other_people(embedded, names[pictures_of(step, stored, protocol)].tolist())
                if shown is not None:
                    _add(people, OTHER_PEOPLE, shown, _EVERYONE, step, stored, protocol)
        classes = _classes(step, stored, protocol)
        found = stored.agreement.classes.get((modality, items))
        if found is not None and step not in repeats:
            other = "the person's other mean responses to classes"
            _add(own, OWN_CLASS, found, other, step, stored, protocol, classes)
        if step not in people and len(classes) > 1:
            shown = other_people(embedded, classes, "label")
            if shown is not None:
                _add(
                    others, OTHER_PEOPLE_BY_CLASS, shown, _EVERYONE, step, stored, protocol, classes
                )
    return [ideal_ceilings(stored, steps, protocol), repeats, people, own, others]


def _sides(step: Step) -> list[Step]:
    """Return the retrievals from which the ceiling of one is taken: itself, or its two halves."""
    if step.task != "conversion":
        return [step]
    return [
        Step("decoding", step.source, "pictures", step.query, None),
        Step("encoding", "pictures", step.target, None, step.gallery),
    ]


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
        sides = [found[s].ceiling for s in _sides(step) if s in found]
        if len(sides) == len(_sides(step)):
            return sides[0] if len(sides) == 1 else _lower(*sides)
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
            apart = protocol.people == "separate"  # each person counts alike
            whose = part["subject"].astype(str).to_numpy(str) if apart else None
            interval = bootstrap_interval(
                part["value"],
                part["stimulus"].astype(str),
                weights=None if whose is None else balanced_weights(whose),
                strata=whose,
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
    other: str,
    step: Step,
    stored: Stored,
    protocol: Protocol,
    classes: Sequence[str] = (),
) -> None:
    """Score a match among those candidates (pictures, or `classes`) that the retrieval has.

    In decoding a response is asked for its picture, of which `other` responses are known. In
    encoding, those are asked for the response; what a response is to all candidates alike is taken
    off, for a response that is near to everything is near to nothing.
    """
    known: Sequence[str] = classes
    if not classes:
        names = stored.judge.items["stimulus"].astype(str)
        known = names[pictures_of(step, stored, protocol)].tolist()
    column = "label" if classes else "stimulus"
    columns, rows = (
        np.flatnonzero(t[column].isin(list(known)).to_numpy(bool))
        for t in (match.candidates, match.items)
    )
    scores = match.scores[np.ix_(rows, columns)]
    answered = np.isfinite(scores).all(axis=1)
    if len(columns) < 2 or not answered.any():
        return
    responses, candidates = match.items.iloc[rows], match.candidates.iloc[columns]
    lone = int((~answered).sum())
    left_out = f"; {lone} without others of their class are left out" if lone else ""
    trials = f"{_trials(responses)} of a person"
    if step.query is not None:
        note = f"{trials}, found among {other}{left_out}"
        found[step] = scored_ceiling(
            name, scores, responses, candidates, step, stored, protocol, note
        )
        return
    pooled = protocol.people == "pooled"
    scores, responses = scores[answered], responses.iloc[np.flatnonzero(answered)]
    choice = _with_a_choice(responses, column, alone=not pooled)
    if not choice.any():
        return
    scores, responses = scores[choice], responses.iloc[np.flatnonzero(choice)]
    scores = (scores - scores.mean(axis=1, keepdims=True)).T
    note = f"{trials}, asked for by {other}{left_out}"
    found[step] = scored_ceiling(name, scores, candidates, responses, step, stored, protocol, note)


def _with_a_choice(responses: pd.DataFrame, column: str, *, alone: bool) -> npt.NDArray[np.bool_]:
    """Return which responses are candidates beside others: of one picture, nothing can be chosen.

    With `alone`, beside others of their person.
    """
    whose = responses["subject"].astype(str) if alone else np.zeros(len(responses))
    number = responses[column].astype(str).groupby(whose).transform("nunique")
    found: npt.NDArray[np.bool_] = (number > 1).to_numpy(bool)
    return found


def _classes(step: Step, stored: Stored, protocol: Protocol) -> list[str]:
    """Return the classes that both sides of a retrieval have."""
    sides = both_sides(step, stored.models[0], stored, protocol)
    queries, gallery = (set(s.items["label"].dropna().astype(str)) for s in sides)
    return sorted(queries & gallery)


def _trials(responses: pd.DataFrame) -> str:
    """Say how many trials stand behind a response."""
    n = responses["n_averaged"] if "n_averaged" in responses else pd.Series([1])
    if n.min() == n.max():
        return "1 trial" if n.max() == 1 else f"{n.max()} trials"
    return f"{n.min()} to {n.max()} trials"


def _lower(one: Ceiling, other: Ceiling) -> Ceiling:
    """Return, metric by metric, the lower ceiling of two: of a source, and of everyone's targets.

    Where only classes are known, the two have units of different recordings.
    """
    b = other.by_person["all"]
    by_person: dict[str, dict[str, QueryValues]] = {
        subject: {m: a[m] if _mean(a[m]) <= _mean(b[m]) else b[m] for m in a.keys() & b.keys()}
        for subject, a in one.by_person.items()
    }
    return Ceiling(f"{one.name}, lower of both sides", by_person, paired=one.name not in BY_CLASS)


def _mean(values: QueryValues) -> float:
    return float(np.average(values.values, weights=values.weights))
