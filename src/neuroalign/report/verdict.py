"""The report's first sentence: what came out, in words that claim no more than the intervals."""

from __future__ import annotations

from collections.abc import Sequence

from neuroalign.evaluation.main_metrics import blocks, leading
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.tables import METRIC_NAMES
from neuroalign.report.score_tables import is_difference
from neuroalign.report.style import KIND_NAMES


def verdict(scores: Sequence[Score], model: str) -> str:
    """Sum up a run's own model: decoding, conversions above chance, and the linear baseline.

    Parameters
    ----------
    scores : sequence of Score
    model : str
        The run's own model.
    """
    everyone = [s for s in scores if s.subject == "all"]
    own = [s for s in everyone if s.model == model]
    if not own:
        return "This run has not been scored."
    parts = [_decoding(own), _conversions(own), _baseline(everyone, model)]
    return " ".join(p for p in parts if p)


def _decoding(own: Sequence[Score]) -> str:
    first: dict[str, Score] = {}
    for task in ("classification", "decoding"):  # classes, where pictures are not known
        for block in blocks([s for s in own if s.task == task]):
            score = leading(block)
            if score is not None:
                first.setdefault(score.source, score)
    if not first:
        return ""
    metrics = {s.metric for s in first.values()}
    shared = len(metrics) == 1
    words = []
    for kind, s in first.items():
        doubt = "" if s.low > s.chance else ", not above chance"
        name = "" if shared else f" {METRIC_NAMES.get(s.metric, s.metric)}"
        words.append(
            f"{KIND_NAMES.get(kind, kind)}{name} {s.value:.2f} (chance {s.chance:.2f}{doubt})"
        )
    items = {s.items for s in first.values()}
    of = f" {items.pop()}" if len(items) == 1 else ""
    what = f" ({METRIC_NAMES.get(metrics.pop(), '')})" if shared else ""
    return f"Decoding{of}{what}: {', '.join(words)}."


def _conversions(own: Sequence[Score]) -> str:
    found = [leading(block) for block in blocks([s for s in own if s.task == "conversion"])]
    scored = [s for s in found if s is not None]
    if not scored:
        return ""
    above = sum(s.low > s.chance for s in scored)
    return f"{above} of {len(scored)} conversions lie above chance with their whole interval."


def _baseline(everyone: Sequence[Score], model: str) -> str:
    """Compare decoding with the baseline, if the paired differences were computed."""
    words = []
    against = ""
    pairs = [s for s in everyone if is_difference(s) and s.model.startswith(f"{model} - ")]
    seen = set()
    for block in blocks([s for s in pairs if s.task in ("classification", "decoding")]):
        score = leading(block)
        if score is None or score.source in seen:
            continue
        seen.add(score.source)
        against = score.model.removeprefix(f"{model} - ")
        word = "above it" if score.low > 0 else "below it" if score.high < 0 else "level"
        words.append(f"{KIND_NAMES.get(score.source, score.source)} {word}")
    return f"Decoding against {against}: {', '.join(words)}." if words else ""
