"""The ideal observer of simulated recordings, on the same retrievals as any model."""

from __future__ import annotations

from collections.abc import Sequence

from neuroalign.assess.scored_ceiling import ScoredCeiling, scored_ceiling
from neuroalign.assess.steps import Step, pictures_of
from neuroalign.assess.stored import Stored
from neuroalign.evaluation.protocols import Protocol
from neuroalign.run import Run
from neuroalign.simulation.ideal import ideal_conversion, ideal_encoding

IDEAL = "ideal observer"


def has_truth(run: Run) -> bool:
    """Whether the ideal observer can be had: all recordings are as the simulation made them."""
    return all((r.path / "truth.npz").is_file() for r in run.recordings.values())


def ideal_ceilings(
    stored: Stored, steps: Sequence[Step], protocol: Protocol
) -> dict[Step, ScoredCeiling]:
    """Score the ideal observer from its stored log-likelihoods."""
    if not stored.likelihood:
        return {}
    found: dict[Step, ScoredCeiling] = {}
    tables = stored.models[0].items
    for step in steps:
        if step.task == "classification":
            continue
        pictures = pictures_of(step, stored, protocol)
        query, gallery = (
            None if part is None else stored.likelihood[part[0], part[1].slug][:, pictures]
            for part in (step.query, step.gallery)
        )
        if query is not None and gallery is not None:
            matrix = ideal_conversion(query, gallery)
        elif gallery is not None:
            matrix = ideal_encoding(gallery)
        else:
            assert query is not None
            matrix = query
        queries, candidates = (
            stored.judge.take(pictures).items
            if part is None
            else tables[part[0]][part[1].slug].items
            for part in (step.query, step.gallery)
        )
        found[step] = scored_ceiling(IDEAL, matrix, queries, candidates, step, stored, protocol)
    return found
