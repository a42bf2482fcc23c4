"""The scores that a run was given before, if they are those of the rules at hand."""

from __future__ import annotations

from pathlib import Path

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.protocols import Protocol
from neuroalign.evaluation.scores import Score, read_scores
from neuroalign.run_folder import changed_rules, require_scores, rules_file, scores_file


def kept_scores(run: Path, protocol: Protocol) -> list[Score]:
    """Read the scores of a run under a protocol.

    Raises
    ------
    NeuroalignError
        There are none; or they were computed by other rules than those of this protocol, such as
        those of its file before it was changed.
    """
    require_scores(run, protocol)
    scores = read_scores(scores_file(run, protocol))
    labels = sorted({s.protocol for s in scores} - {protocol.label})
    if labels:
        raise NeuroalignError(
            f"{scores_file(run, protocol)} holds scores of {', '.join(labels)}, and not of "
            f"{protocol.label}. Evaluate the run again (`neuroalign evaluate {run} --stored`)."
        )
    return scores


def scores_at_hand(run: Path, protocol: Protocol) -> list[Score] | None:
    """Return the scores of a run if they are of these very rules, to save computing them again."""
    rules = rules_file(run, protocol)
    if (rules is not None and not rules.is_file()) or changed_rules(run, protocol):
        return None
    file = scores_file(run, protocol)
    scores = read_scores(file) if file.is_file() else []
    return scores if scores and {s.protocol for s in scores} == {protocol.label} else None
