"""Our scores in the shape of the paper's tables, its numbers beside ours where they compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from neuroalign.evaluation.paper import PAPER_COLUMN, comparable, published, why_not_comparable
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.tables import modality_name

REASON = "why not comparable"
_TWO_WAY = "two_way_retrieved"
_NORMALISED = f"{_TWO_WAY}_normalised"
_SHOWN = {
    "decoding": ("top1", "top5", "class_top1", "class_top5", _TWO_WAY),
    "encoding": (_TWO_WAY,),
    "conversion": (_TWO_WAY, _NORMALISED),
}


def decoding_table(
    scores: Sequence[Score], datasets: Mapping[str, str], classes: Mapping[str, int]
) -> pd.DataFrame:
    """Return the shape of the paper's Table 1: decoding, a row a modality and item set.

    Parameters
    ----------
    scores : sequence of Score
        Of one model and protocol.
    datasets : mapping from modality to the name of its data set
    classes : mapping from modality to the number of classes among the test items

    Returns
    -------
    pandas.DataFrame
        All cells text. The paper's numbers stand in a column named as theirs, and only where data
        set and protocol are the same; else the last column says why not.
    """
    rows = []
    for (source, items), group in _grouped(scores, "decoding"):
        if not set(_SHOWN["decoding"]) & set(group):
            continue
        by_class = "class_top1" in group
        first, fifth = ("class_top1", "class_top5") if by_class else ("top1", "top5")
        any_score = next(iter(group.values()))
        rows.append(
            {
                "decoding": f"{modality_name(source)}, {items}",
                "top-1": _value(group.get(first)),
                "top-5": _value(group.get(fifth)),
                "2-way": _value(group.get(_TWO_WAY)),
                "chance top-1 / top-5 / 2-way": " / ".join(
                    _number(group[m].chance) if m in group else "-"
                    for m in (first, fifth, _TWO_WAY)
                ),
                "top-k by": "class" if by_class else "picture",
                "retrieval set": f"{any_score.n_gallery:,}",
                "classes": str(classes.get(source) or "-"),
                **_theirs(group, ("class_top1", "class_top5", _TWO_WAY), datasets),
            }
        )
    return pd.DataFrame(rows, dtype=str)


def encoding_table(scores: Sequence[Score], datasets: Mapping[str, str]) -> pd.DataFrame:
    """Return encoding in the same form; the paper gives these numbers in its text."""
    rows = [
        {
            "encoding": f"pictures -> {modality_name(group[_TWO_WAY].target)}, {items}",
            "2-way": _value(group[_TWO_WAY]),
            "chance": _number(group[_TWO_WAY].chance),
            **_theirs(group, (_TWO_WAY,), datasets),
        }
        for (_, items), group in _grouped(scores, "encoding")
        if _TWO_WAY in group
    ]
    return pd.DataFrame(rows, dtype=str)


def conversion_table(scores: Sequence[Score], datasets: Mapping[str, str]) -> pd.DataFrame:
    """Return the shape of the paper's Table 2: conversion, plain and normalised.

    Normalised is the conversion's 2-way score over the decoding 2-way score of its target; beside
    it stands the share of the way from chance to the conversion's ceiling.
    """
    rows = []
    for (_, items), group in _grouped(scores, "conversion"):
        if _TWO_WAY not in group:
            continue
        score = group[_TWO_WAY]
        rows.append(
            {
                "conversion": f"{modality_name(score.source)} -> {modality_name(score.target)}, "
                f"{items}",
                "2-way": _value(score),
                "normalised": _value(group.get(_NORMALISED)),
                "way to the ceiling": _share(score),
                "chance": _number(score.chance),
                **_theirs(group, (_TWO_WAY, _NORMALISED), datasets),
            }
        )
    return pd.DataFrame(rows, dtype=str)


def number_rows(scores: Sequence[Score], datasets: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return scores for programs: a row a score, each number in a column of its own.

    Parameters
    ----------
    scores : sequence of Score
    datasets : mapping from modality to the name of its data set

    Returns
    -------
    list of dict
        The fields of `Score` in full precision; the paper's number and its chance level where data
        set and protocol are the same, and else, in words, `why_not_comparable`.
    """
    rows = []
    for score in scores:
        theirs = comparable(score, datasets)
        given = published(score) is not None
        reason = why_not_comparable(score, datasets) if given else "not given in the paper"
        rows.append(
            asdict(score)
            | {
                "paper": None if theirs is None else theirs.value,
                "paper_chance": None if theirs is None else theirs.chance,
                "why_not_comparable": reason,
            }
        )
    return rows


def in_papers_shape(scores: Sequence[Score]) -> list[Score]:
    """Keep what the tables in the paper's shape show: its metrics, over all people."""
    return [s for s in scores if s.subject == "all" and s.metric in _SHOWN.get(s.task, ())]


def _grouped(scores: Sequence[Score], task: str) -> list[tuple[tuple[str, str], dict[str, Score]]]:
    """Return the scores over all people of each retrieval, by metric."""
    found: dict[tuple[str, str, str], dict[str, Score]] = {}
    for s in scores:
        if s.task == task and s.subject == "all":
            found.setdefault((s.source, s.target, s.items), {})[s.metric] = s
    return [((source, items), group) for (source, _, items), group in found.items()]


def _theirs(
    group: Mapping[str, Score], metrics: Sequence[str], datasets: Mapping[str, str]
) -> dict[str, str]:
    reason = why_not_comparable(next(iter(group.values())), datasets)
    if reason:
        return {PAPER_COLUMN: "", REASON: reason}
    numbers = [published(group[m]) if m in group else None for m in metrics]
    shown = " / ".join("-" if n is None else _number(n.value) for n in numbers)
    return {PAPER_COLUMN: shown, REASON: ""}


def _value(score: Score | None) -> str:
    return "-" if score is None else f"{score.value:.3f} ({score.low:.3f}..{score.high:.3f})"


def _share(score: Score) -> str:
    if score.share is None or score.share_low is None or score.share_high is None:
        return "-"
    return f"{score.share:.2f} ({score.share_low:.2f}..{score.share_high:.2f})"


def _number(value: float) -> str:
    return f"{value:.3f}" if value >= 0.01 else f"{value:.4f}"
