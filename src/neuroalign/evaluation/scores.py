"""A score: never without its chance level, its interval and what it was computed on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.files import write_json


@dataclass(frozen=True)
class Score:
    """One number of one model on one task.

    `source` and `target` are "pictures", "eeg", "meg" or "fmri": decoding is eeg -> pictures,
    encoding pictures -> eeg, conversion eeg -> fmri. `items` says what a query and a candidate
    are ("average of 4 repeats", "single trials"); `subject` is a person or "all"; `low` and
    `high` bound the 95 % interval. `protocol` is the name and version of what fixed gallery,
    queries and metrics ("things-meg/zero-shot-200@1"). `p` is a permutation p-value of the score
    being above chance, `p_corrected` the same corrected over the cells of its table. `ceiling` is
    what could be attained at all, `ceiling_name` says how that was found ("ideal observer",
    "split-half reliability", ...), and `share` is the way from chance to the ceiling that the
    score has gone, with its interval.
    """

    task: str
    source: str
    target: str
    model: str
    metric: str
    value: float
    low: float
    high: float
    chance: float
    n_queries: int
    n_gallery: int
    items: str
    subject: str = "all"
    ceiling: float | None = None
    simulated: bool = False
    note: str = ""
    protocol: str = ""
    p: float | None = None
    p_corrected: float | None = None
    ceiling_name: str = ""
    share: float | None = None
    share_low: float | None = None
    share_high: float | None = None


def write_scores(scores: Sequence[Score], path: Path) -> None:
    """Write scores as JSON."""
    write_json(path, [asdict(s) for s in scores])


def read_scores(path: Path) -> list[Score]:
    """Read what `write_scores` wrote."""
    try:
        return [Score(**row) for row in json.loads(path.read_text())]
    except FileNotFoundError as error:
        raise NeuroalignError(
            f"{path} does not exist: run `neuroalign evaluate` on this run first."
        ) from error
    except (TypeError, json.JSONDecodeError) as error:
        raise NeuroalignError(f"{path} is not a list of scores: {error}.") from error


def common_note(scores: Sequence[Score]) -> str:
    """Return what all notes say: in an evaluation, that these are not the protocol's data."""
    first, *others = (s.note.split("; ") for s in scores)
    return "; ".join(part for part in first if all(part in other for other in others))


def score_table(scores: Sequence[Score]) -> pd.DataFrame:
    """Return one row per score, with the columns of `Score`."""
    return pd.DataFrame([asdict(s) for s in scores], columns=list(Score.__dataclass_fields__))
