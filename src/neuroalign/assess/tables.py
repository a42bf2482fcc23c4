"""The tables of a run's scores, under one protocol."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from neuroalign.assess.kept import kept_scores
from neuroalign.assess.matrix import TaskMatrix
from neuroalign.assess.stored import load_stored
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.paper_tables import (
    conversion_table,
    decoding_table,
    encoding_table,
    in_papers_shape,
    number_rows,
)
from neuroalign.evaluation.protocols import Protocol
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.tables import display_table
from neuroalign.run import Run


def paper_tables(
    path: str | Path, protocol: Protocol, model: str | None = None
) -> dict[str, pd.DataFrame]:
    """Return decoding, encoding and conversion in the shape of the paper's tables.

    Parameters
    ----------
    path : Path
        A run that was evaluated with the protocol.
    protocol : Protocol
    model : str, optional
        The run's own model unless given.

    Returns
    -------
    dict from title to table
        Without those that the protocol does not ask for.

    Raises
    ------
    NeuroalignError
        There are no scores of this protocol (by its very rules) or model, or none in the paper's
        metrics.
    """
    run, stored = Run(Path(path)), load_stored(Path(path) / "evaluation")
    wanted = model or stored.models[0].name
    own = _of_model(run.path, protocol, wanted)
    classes = {
        str(m): int(stored.models[0].items[m][sets[0].slug].items["label"].nunique())
        for m, sets in stored.items.items()
    }
    datasets = run.record.get("datasets", {})
    tables = {
        "Decoding": decoding_table(own, datasets, classes),
        "Encoding": encoding_table(own, datasets),
        "Conversion": conversion_table(own, datasets),
    }
    found = {_title(t, wanted, own): table for t, table in tables.items() if len(table)}
    if not found:
        raise NeuroalignError(
            f"{path} has no score under {protocol.label} in the metrics of the paper's tables: "
            "top-k, and the 2-way of the retrieved picture, which needs three pictures or classes. "
            "`--all` shows every score there is."
        )
    return found


def number_tables(
    path: str | Path, protocol: Protocol, model: str | None = None, *, every: bool = False
) -> list[dict[str, Any]]:
    """Return the scores of `paper_tables` for programs: a row a score, numbers in full precision.

    Parameters
    ----------
    path, protocol, model
        See `paper_tables`.
    every : bool
        All metrics, of every model (unless one is given) and person.

    Returns
    -------
    list of dict
        See `number_rows`.
    """
    run = Run(Path(path))
    if every and model is None:
        scores = kept_scores(run.path, protocol)
    else:
        scores = _of_model(run.path, protocol, model or run.model_name)
    datasets = run.record.get("datasets", {})
    return number_rows(scores if every else in_papers_shape(scores), datasets)


def matrix_rows(matrix: TaskMatrix) -> list[dict[str, Any]]:
    """Return a matrix for programs: a row a cell and model, numbers in columns of their own."""
    return [
        {"row": cell.source, "column": cell.target, "basis": cell.basis} | asdict(score)
        for cell in matrix.cells
        for score in cell.scores
    ]


def score_list(
    path: str | Path, protocol: Protocol, model: str | None = None
) -> dict[str, pd.DataFrame]:
    """Return every score of a run (or of one model) under a protocol, as one table."""
    if model is None:
        scores = kept_scores(Path(path), protocol)
    else:
        scores = _of_model(Path(path), protocol, model)
    return {_title("All scores", model or "every model", scores): display_table(scores)}


def _of_model(path: Path, protocol: Protocol, model: str) -> list[Score]:
    scores = kept_scores(path, protocol)
    own = [s for s in scores if s.model == model]
    if not own:
        known = dict.fromkeys(s.model for s in scores)
        raise NeuroalignError(
            f"{path} has no scores of the model {model!r}; there are {', '.join(known)}."
        )
    return own


def _title(what: str, model: str, scores: list[Score]) -> str:
    simulated = ", SIMULATED recordings" if any(s.simulated for s in scores) else ""
    return f"{what}: {model}, {scores[0].protocol}{simulated}"
