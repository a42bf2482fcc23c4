"""Score stored embeddings: no model, no recordings and no picture files are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

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
from neuroalign.evaluation.asked import Asked, Metric
from neuroalign.evaluation.attainable import Ceiling
from neuroalign.evaluation.bootstrap import Interval
from neuroalign.evaluation.correction import corrected
from neuroalign.evaluation.differences import compare, difference_p_value
from neuroalign.evaluation.left_out import FIXED
from neuroalign.evaluation.normalised import normalise_conversion
from neuroalign.evaluation.pairs import Cosines
from neuroalign.evaluation.per_query import QueryValues, ratio_interval
from neuroalign.evaluation.protocols import Protocol, load_protocol
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.tasks import score_retrieval, values_by_person
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
    scores = [*shown_ceilings(ceilings, scores), *reliability_scores(stored, protocol), *scores]
    ours = stored.models[0]
    for other in stored.models:
        if other.name == RIDGE:
            for step in steps:
                scores += _difference(step, ours, other, stored, protocol)
    scores += _normalised(scores, steps, stored, protocol)
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
    values = [_everyones_values(step, m, stored, protocol, protocol.asked) for m in (ours, other)]
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
                note="; ".join(
                    ["paired difference on the same queries"] + [FIXED] * a.candidates_fixed
                ),
                p=difference_p_value(a, b, n_boot=protocol.intervals.draws, seed=stored.seed),
            )
        )
    return differences


def _normalised(
    scores: Sequence[Score], steps: Sequence[Step], stored: Stored, protocol: Protocol
) -> list[Score]:
    """Divide each conversion by the decoding of its target, the paper's way."""
    two_way = tuple(m for m in protocol.asked.metrics if m.startswith("two_way"))
    everyone = {
        (s.task, s.source, s.target, s.items, s.model, s.metric): s
        for s in scores
        if s.subject == "all" and " - " not in s.model
    }
    decoding = {s.query: s for s in steps if s.task == "decoding"}
    pairs = [
        (s, decoding[s.gallery]) for s in steps if s.task == "conversion" and s.gallery in decoding
    ]
    ratios = _ratios(pairs, stored, protocol, two_way)
    found = []
    for step, base in pairs:
        for model, metric in product(dict.fromkeys(s.model for s in scores), two_way):
            ours, theirs = (
                everyone.get((s.task, s.source, s.target, s.items, model, metric))
                for s in (step, base)
            )
            if ours is not None and theirs is not None and theirs.value > 0:
                ratio = ratios.get((model, step, metric))
                found.append(normalise_conversion(ours, theirs, ratio))
    return found


def _ratios(
    pairs: Sequence[tuple[Step, Step]],
    stored: Stored,
    protocol: Protocol,
    metrics: tuple[Metric, ...],
) -> dict[tuple[str, Step, str], Interval | None]:
    """Return the ratios of conversions to decodings that were drawn together."""
    asked = replace(protocol.asked, metrics=metrics)
    found = {}
    for model in stored.models if metrics else ():
        bases = {
            base: _everyones_values(base, model, stored, protocol, asked)
            for base in dict.fromkeys(base for _, base in pairs)
        }
        for step, base in pairs:
            ours = _everyones_values(step, model, stored, protocol, asked)
            for metric in ours.keys() & bases[base].keys():
                found[model.name, step, metric] = ratio_interval(
                    ours[metric],
                    bases[base][metric],
                    n_boot=protocol.intervals.draws,
                    seed=stored.seed,
                )
    return found


def _everyones_values(
    step: Step, model: Embedded, stored: Stored, protocol: Protocol, asked: Asked
) -> Mapping[str, QueryValues]:
    """Return the metrics of all people, query by query."""
    queries, gallery = both_sides(step, model, stored, protocol)
    return values_by_person(
        Cosines(queries.vectors, gallery.vectors),
        queries.items,
        gallery.items,
        judge_for(step, stored.judge, queries, gallery),
        asked=asked,
        people="separate" if protocol.people == "separate" else "pooled",
    )["all"]
