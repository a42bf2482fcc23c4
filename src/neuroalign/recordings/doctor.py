"""What a folder of recordings is, what of it is complete, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from neuroalign.errors import NeuroalignError
from neuroalign.progress import bar
from neuroalign.recordings.damage import damage_explained
from neuroalign.recordings.nearby import (
    further_sets,
    meant_instead,
    not_a_folder,
    not_recognised,
    recognise_itself,
    sets_below,
    several_sets,
)
from neuroalign.recordings.quality import Finding, worst_first
from neuroalign.recordings.readers import load_reader
from neuroalign.recordings.readers.contract import Options, Part, Plan, Reader, StagedPart
from neuroalign.recordings.repeated_trials import repeated_trials
from neuroalign.recordings.staged_parts import TrialSink, look_at
from neuroalign.recordings.workers import run_tasks

FINE, USABLE, UNUSABLE = 0, 1, 2


@dataclass(frozen=True)
class Diagnosis:
    """What `examine` found.

    Attributes
    ----------
    folder : Path
    dataset : str
        The name of the reader that recognised the folder.
    title : str
    people : mapping from subject to (parts, trials)
        As far as they can be planned.
    findings : tuple of Finding
        The worst first.
    recognised : bool
        Whether the reader takes the folder for its own, and was not only told to use it.
    advice : str
        What to do next.
    """

    folder: Path
    dataset: str
    title: str
    people: dict[str, tuple[int, int]]
    findings: tuple[Finding, ...]
    recognised: bool = True
    advice: str = ""

    @property
    def status(self) -> int:
        """0: fine; 1: usable, with warnings; 2: unusable."""
        severities = {f.severity for f in self.findings}
        if "fatal" in severities:
            return UNUSABLE
        return USABLE if severities & {"error", "warning"} else FINE

    @property
    def verdict(self) -> str:
        """The status in words."""
        return ("fine", "usable, with warnings", "unusable")[self.status]

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return {
            "folder": str(self.folder),
            "dataset": self.dataset,
            "title": self.title,
            "recognised": self.recognised,
            "verdict": self.verdict,
            "status": self.status,
            "people": {s: {"parts": p, "trials": t} for s, (p, t) in self.people.items()},
            "findings": [asdict(f) for f in self.findings],
        }


def reader_of(folder: Path, dataset: str | None = None) -> Reader:
    """Return the reader of a name; without one, the first that recognises the folder.

    Raises
    ------
    NeuroalignError
        There is no such folder, no reader recognises it, or it holds several data sets.
    """
    if not folder.is_dir():
        raise NeuroalignError(not_a_folder(folder))
    if dataset is not None:
        return load_reader(dataset)
    below = sets_below(folder)
    reader = recognise_itself(folder, below)
    if reader is None:
        raise NeuroalignError(not_recognised(folder))
    if several := several_sets(folder, reader, below):
        raise NeuroalignError(several)
    return reader


def examine(
    folder: str | Path,
    *,
    dataset: str | Reader | None = None,
    options: Options | None = None,
    subjects: Sequence[str] | None = None,
    quick: bool = False,
    jobs: int = 1,
) -> Diagnosis:
    """Look at a folder as `prepare` would, and list all that it would stop at or report.

    Every part is read and checked but nothing is written, so what `prepare` finds is found here.

    Parameters
    ----------
    folder : Path
    dataset : str or Reader, optional
        The reader to use, or its name; None: the first that recognises the folder.
    options, subjects
        As for `prepare`.
    quick : bool
        Only names, headers and tables; no signals.
    jobs : int
        Processes.

    Raises
    ------
    NeuroalignError
        There is no such folder, no reader recognises it, or it holds several data sets.
    """
    folder = Path(folder)
    reader = dataset if isinstance(dataset, Reader) else reader_of(folder, dataset)
    chosen = options or reader.options()
    try:
        with damage_explained("planning", str(folder), reader.card.name):
            plan = reader.plan(folder, chosen, subjects)
    except NeuroalignError as error:
        plan = Plan((), (Finding(folder.name, str(error), "fatal", 1),))
    findings = [*plan.findings, *further_sets(folder, reader, sets_below(folder))]
    if meant := meant_instead(folder, reader):
        findings.insert(0, Finding(folder.name, meant, "fatal" if not plan.parts else "note", 1))
    if not plan.parts and not any(f.severity == "fatal" for f in findings):
        findings.append(Finding(folder.name, "there is nothing to prepare", "fatal", 1))
    if not quick and plan.parts:
        findings += _look_inside(reader, plan, chosen, jobs)
    people: dict[str, tuple[int, int]] = {}
    for part in plan.parts:
        parts, trials = people.get(part.subject, (0, 0))
        people[part.subject] = parts + 1, trials + part.trials
    unusable = any(f.severity == "fatal" for f in findings)
    return Diagnosis(
        folder,
        reader.card.name,
        reader.card.title,
        people,
        tuple(worst_first(findings)),
        reader.recognises(folder),
        _advice(reader, folder, chosen, unusable),
    )


def _advice(reader: Reader, folder: Path, options: Options, unusable: bool) -> str:
    if not unusable:
        name, given = reader.card.name, options != reader.options()
        same = ", with the same options" * given
        return f"Next: neuroalign prepare {name} {quote(str(folder))} --out data/{name}{same}"
    if getattr(options, "incomplete", True):
        return ""
    return "If you have only a part of the set, and want only that: add --incomplete"


def _look_inside(reader: Reader, plan: Plan, options: Options, jobs: int) -> list[Finding]:
    tasks = [(reader, part, options) for part in plan.parts]
    looked: dict[int, StagedPart | Finding] = {}
    with bar(sum(p.trials for p in plan.parts), "examining trials") as advance:
        for place, result in run_tasks(_look, tasks, jobs=jobs):
            looked[place] = result
            advance(plan.parts[place].trials)
    results = [looked[place] for place in range(len(tasks))]
    staged = [r for r in results if isinstance(r, StagedPart)]
    broken = [r for r in results if isinstance(r, Finding)]
    found = [*broken, *(f for s in staged for f in s.findings)]
    if broken:  # what is missing would be found missing again
        return [*found, *repeated_trials(staged)]
    try:
        with damage_explained("settling", "the parts together", reader.card.name):
            settled = reader.settle(staged, options)
    except NeuroalignError as error:
        return [*found, Finding(reader.card.name, str(error), "fatal", 1), *repeated_trials(staged)]
    used = [part for parts in settled.people.values() for part in parts]
    left_out = [d for s in staged for d in s.dropped] + list(settled.info.dropped)
    found += [
        Finding(d.where, f"would be left out: {d.reason}", "note", d.trials) for d in left_out
    ]
    return [*found, *settled.findings, *repeated_trials(used)]


def _look(task: tuple[Reader, Part, Options]) -> StagedPart | Finding:
    reader, part, options = task
    try:
        with TrialSink(part, None) as sink:
            staged = look_at(reader, part, options, sink)
    except NeuroalignError as error:
        return Finding(part.name, str(error), "fatal", 1)
    return StagedPart(
        part,
        None,
        staged.trials,
        staged.facts,
        sink.shape or (),
        sink.digests,
        staged.dropped,
        staged.findings,
    )
