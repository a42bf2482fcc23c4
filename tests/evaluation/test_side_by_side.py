"""The short table: one cell a model, the paper's metrics or those of classes."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.side_by_side import side_by_side


def _score(model: str, metric: str, value: float, **changes: object) -> Score:
    fields = {
        "task": "decoding",
        "source": "eeg",
        "target": "pictures",
        "low": value - 0.1,
        "high": value + 0.1,
        "chance": 0.5,
        "n_queries": 10,
        "n_gallery": 10,
        "items": "single trials",
    } | changes
    return Score(model=model, metric=metric, value=value, **fields)  # type: ignore[arg-type]


def _text(scores: list[Score]) -> str:
    drawn = StringIO()
    console = Console(file=drawn, width=140, color_system=None)
    for table in side_by_side(scores):
        console.print(table)
    return drawn.getvalue()


def test_models_stand_side_by_side_and_a_difference_last() -> None:
    text = _text(
        [
            _score("default - ridge", "two_way_embedding", 0.05),
            _score("default", "two_way_embedding", 0.75),
            _score("ridge", "two_way_embedding", 0.7),
        ]
    )
    heads = next(line for line in text.splitlines() if "metric" in line)
    assert heads.index("default ") < heads.index("ridge ") < heads.index("default - ridge")
    assert "0.65..0.85" in text and "+0.050" in text and "EEG -> pictures" in text


def test_no_number_is_cut_off_in_a_full_table() -> None:
    names = ("ideal observer", "default", "ridge per person", "paper")
    floors = ("signal-blind", "untrained network")
    scores = [_score(m, "two_way_embedding", 0.7, high=0.801, low=0.599) for m in names + floors]
    scores.append(_score("default - ridge per person", "two_way_embedding", -0.05))
    drawn = StringIO()
    for table in side_by_side(scores):
        Console(file=drawn, width=120, color_system=None).print(table)
    text = drawn.getvalue()
    assert "…" not in text
    assert text.count("0.60..0.80") == len(names)  # floors have no interval


def test_simulated_scores_are_called_simulated() -> None:
    assert "simulated" in _text([_score("a", "top1", 0.5, simulated=True)])
    assert "simulated" not in _text([_score("a", "top1", 0.5)])
