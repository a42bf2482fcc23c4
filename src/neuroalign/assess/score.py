"""Score stored embeddings: no model, no recordings and no picture files are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from neuroalign.assess.ceiling_choice import (
    all_ceilings,
    chosen_ceiling,
    reliability_scores,
    shown_ceilings,
)
from neuroalign.assess.embed import RIDGE
from neuroalign.assess.restrict import restrict, unmet
from neuroalign.assess.steps import Step, both_sides, judge_for, steps_of
from neuroalign.assess.stored import Embedded, Stored
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.attainable import Ceiling
from neuroalign.evaluation.correction import corrected
from neuroalign.evaluation.pairs import Cosines
from neuroalign.evaluation.protocols import Protocol, load_protocol
from neuroalign.evaluation.queries import compare
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.significance import difference_p_value
from neuroalign.evaluation.tasks import normalise_conversion, score_retrieval, values_by_person
from neuroalign.progress import bar


def score_stored(stored: Stored, protocol: Protocol | None = None) -> list[Score]:
    """Score every stored model on every retrieval of a protocol.

    With the ceilings (see `assess.ceiling_choice`), the first of which stands beside every score;
    the paired difference between the run's model and ridge; and normalised conversions. P-values
    are corrected over the cells of a model.

    Parameters
    ----------
    stored : Stored
    protocol : Protocol, optional
        The default one unless given.

    Returns
    -------
    list of Score

    Raises
    ------
    NeuroalignError
        The stored embeddings do not fit the protocol; see `restrict`.
    """
    protocol = protocol or load_protocol()
    stored = restrict(stored, protocol)
    note = unmet(stored, protocol)
    steps = list(steps_of(stored, protocol))
    if not steps:
        raise NeuroalignError(
            f"{protocol.label} asks for {', '.join(protocol.retrievals)}, which this run has no "
            f"items for: it has {', '.join(stored.items)}."
        )
    ceilings = all_ceilings(stored, steps, protocol)
    scores: list[Score] = []
    with bar(len(stored.models) * len(steps), "scoring") as advance:
        for model in stored.models:
            for step in steps:
                ceiling = chosen_ceiling(step, ceilings, stored, protocol)
                scores += _score_step(step, model, stored, protocol, ceiling)
                advance(1)
    ours = stored.models[0]
    for other in stored.models:
        if other.name == RIDGE:
    scores = [*shown_ceilings(ceilings, scores), *reliability_scores(stored, protocol), *scores]
            for step in steps:
                scores += _difference(step, ours, other, stored, protocol)
    scores += _normalised(scores)
    return corrected(
        [
            replace(s, protocol=protocol.label, note="; ".join(filter(None, [s.note, note])))
            for s in scores
        ]
    )


def _score_step(
    step: Step,
    model: Embedded,
    stored: Stored,
    protocol: Protocol,
    ceiling: Ceiling | Sequence[Score],
) -> list[Score]:
    queries, gallery = both_sides(step, model, stored, protocol)
    return score_retrieval(
        queries,
        gallery,
        task=step.task,
        source=step.source,
        target=step.target,
        model=model.name,
        items=step.items,
        pictures=judge_for(step, stored.judge, queries, gallery),
        ceiling=ceiling,
        asked=protocol.asked,
        people=protocol.people,
        simulated=stored.simulated,
        n_boot=protocol.intervals.draws,
        confirm=model is stored.models[0],
        seed=stored.seed,
    )


def _difference(
    step: Step, ours: Embedded, other: Embedded, stored: Stored, protocol: Protocol
) -> list[Score]:
    """Return the paired difference between two models, over all people."""
    values = []
    for model in (ours, other):
        queries, gallery = both_sides(step, model, stored, protocol)
        found = values_by_person(
            Cosines(queries.vectors, gallery.vectors),
            queries.items,
            gallery.items,
            judge_for(step, stored.judge, queries, gallery),
            asked=protocol.asked,
            people=protocol.people if protocol.people == "separate" else "pooled",
        )
        values.append(found["all"])
    differences = []
    for metric in values[0]:
        a, b = values[0][metric], values[1][metric]
        interval = compare(a, b, n_boot=protocol.intervals.draws, seed=stored.seed)
        differences.append(
            Score(
                task=step.task,
                source=step.source,
                target=step.target,
                model=f"{ours.name} - {other.name}",
                metric=metric,
                value=interval.value,
                low=interval.low,
                high=interval.high,
                chance=0.0,
                n_queries=len(a.values),
                n_gallery=a.n_gallery,
                items=step.items,
                simulated=stored.simulated,
                note="paired difference on the same queries",
                p=difference_p_value(a, b, seed=stored.seed),
            )
        )
    return differences


def _normalised(scores: list[Score]) -> list[Score]:
    """Divide each conversion by the decoding of its target, the paper's way."""
    decoding = {
        (s.model, s.source, s.metric, s.subject, s.items): s
        for s in scores
        if s.task == "decoding" and s.subject == "all"
    }
    found = []
    for score in scores:
        if score.task != "conversion" or score.subject != "all" or score.model.count(" - "):
            continue
        if not score.metric.startswith("two_way"):
            continue
        target_items = score.items.split(" -> ")[-1]
        base = decoding.get((score.model, score.target, score.metric, "all", target_items))
        if base is not None and base.value > 0:
            found.append(normalise_conversion(score, base))
    return found
