"""All rules in one list, and what is done with them: audit, and refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from neuroalign.audit import confounds, notes, provenance, repeated, sides
from neuroalign.audit.findings import Audit, Finding, Skipped, make_audit
from neuroalign.audit.material import Material, open_material
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.protocols import Protocol

_Rule = Callable[[Material], Iterator[Finding | Skipped]]

#: What each function looks for, by the names that `--accept` knows.
_RULES: tuple[tuple[tuple[str, ...], _Rule], ...] = (
    ((sides.PICTURE_ON_BOTH_SIDES,), sides.picture_on_both_sides),
    ((sides.TEST_PICTURE_IN_TRAINING, sides.NEAR_DUPLICATES), sides.test_picture_in_training),
    ((repeated.RECORDING_TWICE,), repeated.recording_twice),
    ((provenance.FITTED_ON_TEST,), provenance.fitted_on_test),
    ((provenance.CHOSEN_ON_TEST,), provenance.chosen_on_test),
    ((provenance.DIFFERENT_ENCODERS,), provenance.different_encoders),
    ((confounds.CLASS_FROM_TIME,), confounds.class_from_time),
    ((notes.UNTRAINED_PEOPLE,), notes.untrained_people),
    ((notes.OVERLAPPING_TRIALS,), notes.overlapping_trials),
    ((notes.UNEQUAL_CLASSES,), notes.unequal_classes),
    ((notes.FEW_TEST_ITEMS,), notes.few_test_items),
)

#: The names of all rules.
RULES = (*(name for names, _ in _RULES for name in names), sides.SHARED_CONCEPTS)


def audit_run(path: str | Path, protocol: Protocol | None = None) -> Audit:
    """Look for leaks and confounds in a run, in a recipe before training, or in recordings.

    Parameters
    ----------
    path : Path
        A run folder, a recipe, or a recordings folder (then pictures are known by name only).
    protocol : Protocol, optional
        What will be scored: under a zero-shot protocol, concepts may not be shared either.

    Returns
    -------
    Audit

    Raises
    ------
    NeuroalignError
        The path is none of these, a part of it cannot be read, or it has nothing that the protocol
        scores.
    """
    material = open_material(path)
    scored = protocol.modalities if protocol else ()
    if protocol and scored and not set(scored) & set(material.trials):
        raise NeuroalignError(
            f"The protocol {protocol.label} is for {', '.join(scored)} recordings; {path} has "
            f"{', '.join(material.trials)}. `neuroalign protocols` lists others."
        )
    said: list[Finding | Skipped] = [s for _, rule in _RULES for s in rule(material)]
    said += sides.shared_concepts(material, protocol)
    return make_audit(material.subject, said, RULES, protocol.label if protocol else "")


def admit_run(
    path: str | Path, accept: Sequence[str] = (), protocol: Protocol | None = None
) -> Audit:
    """Audit a run, and refuse it unless every refusal is accepted by name.

    Raises
    ------
    NeuroalignError
        The audit refuses the run, or a name in `accept` is no rule.
    """
    Audit(str(path), (), (), RULES).accept(accept)  # a wrong name is said at once
    return admitted(audit_run(path, protocol), accept)


def admitted(audit: Audit, accept: Sequence[str] = ()) -> Audit:
    """Refuse what an audit refuses, unless all of it is accepted by name (see `admit_run`)."""
    audit = audit.accept(accept)
    if audit.refusals:
        lines = "\n".join(f"- {f.rule}: {f.text()}" for f in audit.refusals)
        names = " ".join(
            f"--accept {rule}" for rule in dict.fromkeys(f.rule for f in audit.refusals)
        )
        raise NeuroalignError(
            f"The audit of {audit.subject} refuses an evaluation; nothing was scored.\n{lines}\n"
            f"To score it all the same, and have the report say so in red: {names}."
        )
    return audit
