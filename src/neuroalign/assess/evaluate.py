"""Embed and score a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from neuroalign.assess.embed import embed_run
from neuroalign.assess.score import score_stored
from neuroalign.assess.stored import load_stored, save_stored
from neuroalign.audit import admit_run, write_audit
from neuroalign.evaluation.scores import Score, write_scores
from neuroalign.run import Run


def evaluate_run(
    path: str | Path,
    *,
    ceiling: Sequence[Score] = (),
    n_boot: int = 1000,
    accept: Sequence[str] = (),
) -> list[Score]:
    """Embed the test items of a run, score them, and write `evaluation/` and `scores.json`.

    Beside the run's model stands a ridge regression per person, fitted to all training trials of
    that person in the centred picture space, and the paired difference between the two. On
    simulated recordings the ideal observer is scored too, and is the ceiling of every score.

    Parameters
    ----------
    path : Path
        A finished run.
    ceiling : sequence of Score, optional
        The ideal observer's scores of another run on the same simulation, for recordings that
        were derived from it (spectrograms).
    n_boot : int
        Draws of the bootstrap intervals.
    accept : sequence of str
        Audit rules whose refusal is accepted; `audit.json` beside the scores says which were.

    Returns
    -------
    list of Score

    Raises
    ------
    NeuroalignError
        The audit refuses the run (see `neuroalign.audit`), and nothing was scored.
    """
    run = Run(Path(path))
    run.recordings  # noqa: B018 (refuses recordings that have changed since the training)
    audit = admit_run(run.path, accept)
    folder = run.path / "evaluation"
    save_stored(replace(embed_run(run), ceiling=tuple(ceiling)), folder)
    # Scored as read back: so that the scores are those of the stored embeddings, to the last bit.
    scores = score_stored(load_stored(folder), n_boot=n_boot)
    write_audit(audit, run.path / "audit.json")
    write_scores(scores, run.path / "scores.json")
    return scores
