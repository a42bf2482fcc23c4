"""Two runs on the same items: what is hard for both cancels, and what is left is their difference.

Both are scored anew from what their evaluations stored. Items are matched by what they are (person,
picture, trial), never by their place; what does not match is refused, and what is compared with a
reservation says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from neuroalign.assess.audited import known_audit, rules_under
from neuroalign.assess.restrict import restrict, unmet
from neuroalign.assess.same_items import matched, same_pictures
from neuroalign.assess.steps import Step, both_sides, judge_for, steps_of
from neuroalign.assess.stored import Stored, load_stored
from neuroalign.audit import Audit
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.correction import corrected
from neuroalign.evaluation.differences import compare, difference_p_value
from neuroalign.evaluation.pairs import Cosines
from neuroalign.evaluation.per_query import QueryValues
from neuroalign.evaluation.protocols import Protocol, load_protocol
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.tasks import values_by_person
from neuroalign.run import Run
from neuroalign.run_folder import require_evaluated


@dataclass(frozen=True)
class Difference:
    """One score of both runs, and their paired difference as a `Score`."""

    ours: float
    theirs: float
    score: Score


@dataclass(frozen=True)
class Comparison:
    """What two runs score differently.

    Parameters
    ----------
    names : (str, str)
        How the runs are called; differences are the first less the second.
    differences : tuple of Difference
    remarks : tuple of str
        What has to be known when reading them.
    left_out : tuple of str
        Retrievals that only one of the runs has.
    doubts : tuple of str
        What the audits of the two splits refused, and was accepted; that there was no audit; and
        where the data are not what the protocol expects.
    """

    names: tuple[str, str]
    differences: tuple[Difference, ...]
    remarks: tuple[str, ...]
    left_out: tuple[str, ...]
    doubts: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        rows = [{"ours": d.ours, "theirs": d.theirs} | asdict(d.score) for d in self.differences]
        return {
            "runs": list(self.names),
            "differences": rows,
            "remarks": list(self.remarks),
            "left_out": list(self.left_out),
            "doubts": list(self.doubts),
        }


def compare_runs(
    ours: str | Path,
    theirs: str | Path,
    *,
    protocol: Protocol | None = None,
    n_permutations: int = 1000,
) -> Comparison:
    """Return the paired differences between the own models of two evaluated runs.

    Parameters
    ----------
    ours, theirs : Path
        Folders of runs that `neuroalign evaluate` has been over.
    protocol : Protocol, optional
        The default one unless given.
    n_permutations : int
        Sign flips behind each p-value.

    Returns
    -------
    Comparison
        P-values are two-sided and corrected over all cells (see `corrected`).

    Raises
    ------
    NeuroalignError
        A run has not been evaluated, test items or candidates differ, no retrieval is common, or
        the data are not those of a strict protocol.
    """
    protocol = protocol or load_protocol()
    paths = (Path(ours), Path(theirs))
    if paths[0].resolve() == paths[1].resolve():
        raise NeuroalignError(
            f"{paths[0]} is compared with itself: no difference can come of it. Give two runs."
        )
    names = _called(paths)
    for path in paths:
        require_evaluated(path)
    audits = [known_audit(p, protocol) for p in paths]
    sides = [
        restrict(load_stored(p / "evaluation"), rules_under(protocol, audit))
        for p, audit in zip(paths, audits, strict=True)
    ]
    same_pictures(sides, names)
    unlike = [unmet(stored, protocol) for stored in sides]
    steps = [{_name(s): s for s in steps_of(stored, protocol)} for stored in sides]
    common = [name for name in steps[0] if name in steps[1]]
    if not common:
        raise NeuroalignError(
            f"{paths[0]} and {paths[1]} have no retrieval in common: the first has "
            f"{'; '.join(steps[0])}; the second {'; '.join(steps[1])}. Compare runs on the same "
            "modalities, with the same `test_items`."
        )
    differences = [
        each
        for name in common
        for each in _step_differences(
            name, (steps[0][name], steps[1][name]), sides, names, protocol, n_permutations
        )
    ]
    scores = corrected([d.score for d in differences])
    return Comparison(
        names,
        tuple(Difference(d.ours, d.theirs, s) for d, s in zip(differences, scores, strict=True)),
        (
            f"p: two-sided, corrected (Benjamini and Hochberg) over all {len(scores)} differences, "
            "those of single people and of other metrics among them",
            *_remarks(paths, sides, protocol),
        ),
        tuple(
            f"{name} (only {names[i]})"
            for i, own in enumerate(steps)
            for name in own
            if name not in common
        ),
        tuple(
            d
            for name, audit, note in zip(names, audits, unlike, strict=True)
            for d in (*_doubts(name, audit), *([f"{name}: {note}"] if note else []))
        ),
    )


def _doubts(name: str, audit: Audit) -> Iterator[str]:
    if audit.not_audited:
        yield f"{name}: its split was not audited for {audit.protocol}: {audit.not_audited}"
    for finding in audit.findings:
        if finding.severity == "refusal":
            yield f"{name}: scored in spite of its audit: {finding.rule}: {finding.text()}"


def _step_differences(
    name: str,
    steps: tuple[Step, Step],
    sides: Sequence[Stored],
    names: tuple[str, str],
    protocol: Protocol,
    n_permutations: int,
) -> Iterator[Difference]:
    queries, gallery = both_sides(steps[0], sides[0].models[0], sides[0], protocol)
    other_queries, other_gallery = both_sides(steps[1], sides[1].models[0], sides[1], protocol)
    other_queries = matched(queries, other_queries, f"{name}: queries", names)
    other_gallery = matched(gallery, other_gallery, f"{name}: candidates", names)
    # One judge for both, whatever their encoders: a score may not hang on who judges it.
    judge = judge_for(steps[0], sides[0].judge, queries, gallery)
    found = [
        values_by_person(
            Cosines(q.vectors, g.vectors),
            queries.items,
            gallery.items,
            judge,
            asked=protocol.asked,
            people=protocol.people,
        )
        for q, g in ((queries, gallery), (other_queries, other_gallery))
    ]
    for subject, metrics in found[0].items():
        for metric, mine in metrics.items():
            yield _difference(
                mine,
                found[1][subject][metric],
                steps[0],
                subject,
                names,
                sides[0],
                protocol,
                n_permutations,
            )


def _difference(
    mine: QueryValues,
    other: QueryValues,
    step: Step,
    subject: str,
    names: tuple[str, str],
    stored: Stored,
    protocol: Protocol,
    n_permutations: int,
) -> Difference:
    interval = compare(mine, other, n_boot=protocol.intervals.draws, seed=stored.seed)
    score = Score(
        task=step.task,
        source=step.source,
        target=step.target,
        model=" - ".join(names),
        metric=mine.metric,
        value=interval.value,
        low=interval.low,
        high=interval.high,
        chance=0.0,
        n_queries=len(mine.values),
        n_gallery=mine.n_gallery,
        items=step.items,
        subject=subject,
        simulated=stored.simulated,
        note=mine.note,
        protocol=protocol.label,
        p=difference_p_value(
            mine,
            other,
            n_boot=protocol.intervals.draws,
            n_permutations=n_permutations,
            seed=stored.seed,
        ),
    )
    return Difference(mine.value(), other.value(), score)


def _remarks(
    paths: tuple[Path, Path], sides: Sequence[Stored], protocol: Protocol
) -> Iterator[str]:
    yield f"intervals: over the {protocol.intervals.unit}"
    first, second = (_checksums(p) for p in paths)
    if not (first and second):
        yield "a run.json is missing: whether the signals are the same is not known"
    for modality in first.keys() & second.keys():
        if first[modality] != second[modality]:
            yield (
                f"{modality}: the same trials, but other signals (the checksums of the recordings "
                "differ), so what differs may be the preprocessing and not the model"
            )
    spaces = [s.judge.space for s in sides]
    if spaces[0] != spaces[1]:
        yield f"targets differ ({spaces[0]} and {spaces[1]}); {spaces[0]} judges both"


def _checksums(path: Path) -> Mapping[str, Any]:
    if not (path / "run.json").is_file():
        return {}  # only the evaluation was passed on
    found: Mapping[str, Any] = Run(path).record["checksums"]
    return found


def _name(step: Step) -> str:
    return f"{step.task} {step.source} -> {step.target} ({step.items})"


def _called(paths: tuple[Path, Path]) -> tuple[str, str]:
    names = tuple(p.resolve().name for p in paths)
    ours, theirs = names if names[0] != names[1] else tuple(map(str, paths))
    return ours, theirs
