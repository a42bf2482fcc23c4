"""The tables of a run's scores, under one protocol."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from neuroalign.assess.evaluate import scores_file
from neuroalign.assess.stored import load_stored
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.paper_tables import conversion_table, decoding_table, encoding_table
from neuroalign.evaluation.protocols import Protocol
from neuroalign.evaluation.scores import Score, read_scores
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
        There are no scores of this protocol or model.
    """
    run = Run(Path(path))
    scores = read_scores(scores_file(run.path, protocol))
    stored = load_stored(run.path / "evaluation")
    wanted = model or stored.models[0].name
    own = [s for s in scores if s.model == wanted]
    if not own:
        known = dict.fromkeys(s.model for s in scores)
        raise NeuroalignError(
            f"{run.path} has no scores of the model {wanted!r}; there are {', '.join(known)}."
        )
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
    return {_title(t, wanted, own): table for t, table in tables.items() if len(table)}


def score_list(path: str | Path, protocol: Protocol) -> dict[str, pd.DataFrame]:
    """Return every score of a run under a protocol, as one table."""
    scores = read_scores(scores_file(Path(path), protocol))
    return {_title("All scores", "every model", scores): display_table(scores)}


def _title(what: str, model: str, scores: list[Score]) -> str:
    simulated = ", SIMULATED recordings" if any(s.simulated for s in scores) else ""
    return f"{what}: {model}, {scores[0].protocol}{simulated}"
