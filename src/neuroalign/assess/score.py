"""Score stored embeddings: no model, no recordings and no picture files are needed."""

from __future__ import annotations

from collections.abc import Sequence

from neuroalign.assess.embed import RIDGE
from neuroalign.assess.ideal import score_ideal
from neuroalign.assess.steps import Step, both_sides, judge_for, steps_of
from neuroalign.assess.stored import Embedded, Stored
from neuroalign.evaluation.queries import compare, retrieval_values
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.tasks import normalise_conversion, score_retrieval
from neuroalign.progress import bar


def score_stored(stored: Stored, *, n_boot: int = 1000) -> list[Score]:
    """Score every stored model on every retrieval.

    With the ideal observer where there is one, which is then the ceiling of every score; the
    paired difference between the run's model and ridge; and normalised conversions.

    Parameters
    ----------
    stored : Stored
    n_boot : int
        Draws of the bootstrap intervals.

    Returns
    -------
    list of Score
    """
    steps = list(steps_of(stored))
    scores = score_ideal(stored, steps, n_boot)
    ceiling = [*scores, *stored.ceiling]
    with bar(len(stored.models) * len(steps), "scoring") as advance:
        for model in stored.models:
            for step in steps:
                scores += _score_step(step, model, stored, ceiling, n_boot)
                advance(1)
    ours = stored.models[0]
    for other in stored.models:
        if other.name == RIDGE:
            for step in steps:
                scores += _difference(step, ours, other, stored, n_boot)
    return scores + _normalised(scores)


def _score_step(
    step: Step, model: Embedded, stored: Stored, ceiling: Sequence[Score], n_boot: int
) -> list[Score]:
    queries, gallery = both_sides(step, model)
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
        simulated=stored.simulated,
        n_boot=n_boot,
        seed=stored.seed,
    )


def _difference(
    step: Step, ours: Embedded, other: Embedded, stored: Stored, n_boot: int
) -> list[Score]:
    """Return the paired difference between two models, over all people."""
    sides = [both_sides(step, m) for m in (ours, other)]
    values = [retrieval_values(q, g, judge_for(step, stored.judge, q, g)) for q, g in sides]
    differences = []
    for metric in values[0]:
        a, b = values[0][metric], values[1][metric]
        interval = compare(a, b, n_boot=n_boot, seed=stored.seed)
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
