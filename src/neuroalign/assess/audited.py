"""The audit behind the scores of stored embeddings: the one that is kept, or made anew.

Embeddings can be scored where the recordings are no longer at hand, and then nobody can look at the
split again. So the audit lies beside the scores, and what it found (and what was accepted) holds
for every further scoring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from neuroalign.assess.restrict import concepts_trained_on, restrict
from neuroalign.assess.stored import Stored
from neuroalign.audit import (
    RULES,
    Audit,
    Finding,
    Skipped,
    admitted,
    audit_file,
    audit_files,
    audit_run,
    read_audit,
)
from neuroalign.audit.findings import some
from neuroalign.audit.sides import SHARED_CONCEPTS
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.protocols import Protocol
from neuroalign.run import Run
from neuroalign.run_folder import changed_rules


def known_audit(run: str | Path, protocol: Protocol) -> Audit:
    """Return what is known of the split behind the stored embeddings of a run.

    Returns
    -------
    Audit
        The one that was kept for this protocol, by these rules. Else, with `not_audited` set: the
        findings of another protocol's audit that hold for every protocol, none of them accepted;
        or, where no audit was kept at all, nothing but skipped rules.
    """
    run = Path(run)
    file = audit_file(run, protocol)
    if file.is_file():
        kept = read_audit(file)
        if kept.protocol == protocol.label and not changed_rules(run, protocol):
            return kept
    others = [read_audit(path) for path in audit_files(run)]
    if not others:
        why = f"there is no {file.relative_to(run)} beside its scores"
        skipped = tuple(Skipped(rule, "all", why) for rule in RULES)
        return Audit(str(run), (), skipped, RULES, protocol.label, not_audited=why)
    other = others[0].accept([])
    why = f"what was found under {other.protocol or 'no protocol'} was taken over"
    return replace(
        other,
        protocol=protocol.label,
        findings=tuple(f for f in other.findings if f.rule != SHARED_CONCEPTS),
        skipped=(
            *(s for s in other.skipped if s.rule != SHARED_CONCEPTS),
            Skipped(SHARED_CONCEPTS, "all", "not looked at under this protocol"),
        ),
        not_audited=why,
    )


def audit_stored(
    run: str | Path, protocol: Protocol, stored: Stored, accept: Sequence[str] = ()
) -> Audit:
    """Return the audit under which stored embeddings may be scored.

    What was accepted before stays accepted. A protocol that the split was not audited for has it
    audited now, if the recordings are still there and unchanged; else `not_audited` says why not.

    Raises
    ------
    NeuroalignError
        The audit refuses the run, and not all of it is accepted; or a name in `accept` is no rule.
    """
    run = Path(run)
    audit = known_audit(run, protocol)
    before = [f.rule for f in audit.accepted]
    audit.accept(accept)  # a wrong name is said at once
    if audit.not_audited:
        audit = _anew(run, protocol, audit)
    return admitted(with_stored_concepts(audit, stored, protocol), [*before, *accept])


def with_stored_concepts(audit: Audit, stored: Stored, protocol: Protocol) -> Audit:
    """Add what the stored embeddings tell of shared concepts, where the audit found none.

    They know the concepts of every training trial. The audit knows more of a modality's own, but
    may have had no recordings to look at; nor does it look at those of another modality, which a
    zero-shot protocol forbids too.
    """
    if not protocol.concepts.zero_shot or any(f.rule == SHARED_CONCEPTS for f in audit.findings):
        return audit
    test = restrict(stored, _not_zero_shot(protocol))
    found = tuple(
        Finding(
            SHARED_CONCEPTS,
            "refusal",
            modality,
            f"{len(names)} test concepts occur in {n} training or validation trials of the run",
            len(names),
            len(names),
            "Zero-shot means that no picture of a test concept was trained on.",
            "leave these trials out (`neuroalign split --by concept --keep-test`) and train again, "
            "or use another protocol.",
            some(names),
        )
        for modality, (names, n) in concepts_trained_on(test).items()
    )
    return replace(audit, findings=(*found, *audit.findings))


def _anew(run: Path, protocol: Protocol, known: Audit) -> Audit:
    try:
        Run(run).recordings  # noqa: B018 (refuses recordings that have changed since the training)
        return audit_run(run, protocol)
    except NeuroalignError as error:
        return replace(known, not_audited=f"{known.not_audited}; no new look could be had: {error}")


def rules_under(protocol: Protocol, audit: Audit) -> Protocol:
    """Return the rules that stored embeddings are scored by, under the protocol's name.

    Where `shared-concepts` was accepted, a zero-shot protocol scores concepts that were trained on.
    """
    return _not_zero_shot(protocol) if _is_relaxed(protocol, audit) else protocol


def audit_note(protocol: Protocol, audit: Audit) -> str:
    """Return what the audit makes every score say; empty where nothing is to be said."""
    notes = []
    if _is_relaxed(protocol, audit):
        notes.append("not zero-shot: that test concepts occur in training was accepted")
    if audit.not_audited:
        notes.append(f"the split was not audited for {protocol.label}")
    return "; ".join(notes)


def _not_zero_shot(protocol: Protocol) -> Protocol:
    concepts = protocol.concepts.model_copy(update={"zero_shot": False})
    return protocol.model_copy(update={"concepts": concepts})


def _is_relaxed(protocol: Protocol, audit: Audit) -> bool:
    accepted = {f.rule for f in audit.accepted}
    return protocol.concepts.zero_shot and SHARED_CONCEPTS in accepted
