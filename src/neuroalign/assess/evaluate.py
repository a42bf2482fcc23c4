"""Embed and score a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from neuroalign.assess.audited import audit_note, audit_stored, rules_under, with_stored_concepts
from neuroalign.assess.embed import embed_run
from neuroalign.assess.score import score_stored
from neuroalign.assess.stored import Stored, load_stored, save_stored, stored_before
from neuroalign.audit import Audit, admit_run, admitted, audit_file, write_audit
from neuroalign.evaluation.protocols import Protocol, load_protocol
from neuroalign.evaluation.scores import Score, write_scores
from neuroalign.files import atomic_file
from neuroalign.run import Run
from neuroalign.run_folder import require_evaluated, rules_file
from neuroalign.run_folder import scores_file as scores_file


def evaluate_run(
    path: str | Path,
    *,
    protocol: Protocol | None = None,
    ceiling: Sequence[Score] = (),
    accept: Sequence[str] = (),
) -> list[Score]:
    """Embed the test items of a run, score them, and write `evaluation/` and `scores.json`.

    Beside the run's model stand three floors: a ridge regression per person, fitted to all training
    trials of that person in the centred picture space (with the paired difference), a model that
    sees no signal, and the networks before training. Ceilings are scored too; on simulated
    recordings the ideal observer is the ceiling of every score.

    Parameters
    ----------
    path : Path
        A finished run.
    protocol : Protocol, optional
        What is scored, and how; the default one unless given. Scores of another are written to
        `scores/` under its name, and leave `scores.json` alone.
    ceiling : sequence of Score, optional
        The ideal observer's scores of another run on the same simulation, for recordings that
        were derived from it (spectrograms); those of an earlier evaluation unless given.
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
    protocol = protocol or load_protocol()
    audit = admit_run(run.path, accept, protocol)
    folder = run.path / "evaluation"
    before = stored_before(folder)
    stored = embed_run(run, protocol, also=before.specs, every_picture=before.every_picture)
    save_stored(replace(stored, ceiling=tuple(ceiling) or before.ceiling), folder)
    # Scored as read back: so that the scores are those of the stored embeddings, to the last bit.
    stored = load_stored(folder)
    audit = admitted(with_stored_concepts(audit, stored, protocol), accept)
    return _score(run.path, protocol, stored, audit)


def rescore_run(
    path: str | Path, protocol: Protocol | None = None, *, accept: Sequence[str] = ()
) -> list[Score]:
    """Score what is stored in `evaluation/` and write the scores, with the audit behind them.

    Neither the model, nor the recordings, nor the pictures have to be there. A protocol other than
    the default is written beside its scores. What the kept audit found and what was accepted then
    still holds; a protocol that the split was not audited for has it audited now, or, where the
    recordings are gone, every score says that it was not.

    Parameters
    ----------
    path : Path
        The folder of an evaluated run.
    protocol : Protocol, optional
    accept : sequence of str
        Audit rules whose refusal is accepted: `shared-concepts` lets a zero-shot protocol score
        concepts that occur in training, and each score then says so.

    Returns
    -------
    list of Score

    Raises
    ------
    NeuroalignError
        The folder holds no stored embeddings, or its audit refuses it.
    """
    protocol = protocol or load_protocol()
    require_evaluated(Path(path))
    stored = load_stored(Path(path) / "evaluation")
    audit = audit_stored(path, protocol, stored, accept)
    return _score(Path(path), protocol, stored, audit)


def _score(run: Path, protocol: Protocol, stored: Stored, audit: Audit) -> list[Score]:
    out = scores_file(run, protocol)
    scores = score_stored(stored, rules_under(protocol, audit))
    note = audit_note(protocol, audit)
    if note:
        scores = [replace(s, note=f"{s.note}; {note}" if s.note else note) for s in scores]
    rules = rules_file(run, protocol)
    if rules is not None:  # interrupted here, no scores are left beside rules that are not theirs
        rules.unlink(missing_ok=True)
    write_scores(scores, out)
    write_audit(audit, audit_file(run, protocol))
    if rules is not None:
        with atomic_file(rules) as partial:
            partial.write_text(protocol.as_yaml(), encoding="utf-8")
    return scores
