"""Prepare recordings with a reader: part by part, person by person, going on where it stopped.

While it runs, `.<out>.unfinished` lies beside `out`::

    parts/<part>/       the trials of one part, as its reader staged them
    people/<subject>/   one person's finished recordings

Each of these folders appears when it is complete and is known again by a hash of all that
determines it: files, options, versions. What an interrupted preparation finished is not done
again, and the result is the same to the last byte.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from neuroalign.errors import MissingDependencyError, NeuroalignError
from neuroalign.files import atomic_folder, move_into_place, refuse_existing, remove_partials
from neuroalign.progress import bar
from neuroalign.recordings.alike import findings_once
from neuroalign.recordings.container import Recordings
from neuroalign.recordings.damage import damage_explained
from neuroalign.recordings.joining import join_people
from neuroalign.recordings.nearby import meant_instead, not_a_folder
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.contract import (
    Options,
    Part,
    Plan,
    Reader,
    Settled,
    StagedPart,
)
from neuroalign.recordings.repeated_trials import repeated_trials
from neuroalign.recordings.staged_parts import is_staged, open_part, part_key, stage_part
from neuroalign.recordings.workers import run_tasks
from neuroalign.recordings.writer import RecordingsWriter

_MOST_SHOWN = 30


def prepare(
    reader: Reader,
    folder: str | Path,
    out: str | Path,
    *,
    options: Options | None = None,
    subjects: Sequence[str] | None = None,
    jobs: int = 1,
    dask: str | None = None,
    overwrite: bool = False,
) -> Recordings:
    """Turn a data set into recordings.

    Parameters
    ----------
    reader : Reader
    folder : Path
        Where the data set lies.
    out : Path
        The recordings folder to make.
    options : Options, optional
        The reader's; None: its defaults.
    subjects : sequence of str, optional
        Only these people, by the data set's names.
    jobs : int
        Processes that stage parts and finish people.
    dask : str, optional
        The address of a Dask scheduler that does it instead; see `workers.run_tasks`.
    overwrite : bool
        Replace `out` if it exists, once the new folder is complete.

    Returns
    -------
    Recordings

    Raises
    ------
    NeuroalignError
        Something is wrong with the files (all that was found is listed), `out` exists, or
        another process prepares it.
    """
    out, chosen = Path(out), options or reader.options()
    if not overwrite:
        refuse_existing(out)
    plan = _planned(reader, Path(folder), chosen, subjects)
    with _unfinished(out) as work:
        keys = {part.name: part_key(reader, part, chosen) for part in plan.parts}
        staged = _stage_all(reader, plan, chosen, keys, work / "parts", jobs, dask)
        settled = reader.settle(staged, chosen)
        named = settled.info.model_copy(update={"dataset": reader.card.name})
        settled = replace(settled, info=named)
        used = [part for parts in settled.people.values() for part in parts]
        found = (*settled.findings, *repeated_trials(used))
        refuse_fatal(found, reader)
        _finish_all(reader, settled, chosen, keys, work / "people", jobs, dask)
        findings = (*plan.findings, *(f for s in staged for f in s.findings), *found)
        dropped = (*(d for s in staged for d in s.dropped), *settled.info.dropped)
        people = [work / "people" / subject for subject in settled.people]
        joined = work / "joined"
        join_people(people, joined, dropped, findings, settled.pictures)
        move_into_place(joined, out)
    return Recordings(out)


def _planned(
    reader: Reader, folder: Path, options: Options, subjects: Sequence[str] | None
) -> Plan:
    """Let the reader plan; where it cannot, say which folder near this one it could."""
    try:
        with damage_explained("planning", str(folder), reader.card.name):
            plan = reader.plan(folder, options, subjects)
        refuse_fatal(plan.findings, reader)
    except MissingDependencyError:
        raise
    except NeuroalignError as error:
        if not folder.is_dir():
            raise NeuroalignError(not_a_folder(folder)) from error
        meant = meant_instead(folder, reader)
        raise NeuroalignError(f"{meant}\n{error}" if meant else str(error)) from error
    return plan


def refuse_fatal(findings: Sequence[Finding], reader: Reader) -> None:
    """Stop, with all kinds of them listed, if nothing can be prepared with some findings."""
    fatal = findings_once(f for f in findings if f.severity == "fatal")
    if not fatal:
        return
    lines = [f"  {f.where}: {f.what}" for f in fatal[:_MOST_SHOWN]]
    if len(fatal) > _MOST_SHOWN:
        lines.append(f"  ... and {len(fatal) - _MOST_SHOWN} more (`neuroalign doctor` lists all)")
    partial = ", or take what is there of it (--incomplete)" * (
        "incomplete" in reader.options.model_fields
    )
    raise NeuroalignError(
        f"{reader.card.title} cannot be prepared as it lies there:\n" + "\n".join(lines) + "\n"
        "Put these files right, give the data set's top folder if this is another one, or leave "
        f"those people out (--subjects){partial}. Nothing was written."
    )


@contextmanager
def _unfinished(out: Path) -> Iterator[Path]:
    """Yield the folder of finished work; it goes when the block succeeds, and stays otherwise."""
    work = out.with_name(f".{out.name}.unfinished")
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NeuroalignError(
            f"No folder can be made beside {out}: {error.strerror}. Choose an output folder that "
            "you may write to."
        ) from error
    lock = FileLock(work / "lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise NeuroalignError(
            f"Another process is preparing {out} at this moment. Wait for it, or choose another "
            "output folder."
        ) from error
    try:
        remove_partials(work)
        yield work
    except BaseException:
        lock.release()
        if not any(p.name != "lock" for p in work.rglob("*") if p.is_file()):
            shutil.rmtree(work)  # nothing was finished, so nothing is kept
        raise
    shutil.rmtree(work)
    lock.release()


@dataclass(frozen=True)
class _Stage:
    reader: Reader
    part: Part
    options: Options
    folder: Path
    key: str


def _stage_one(task: _Stage) -> None:
    stage_part(task.reader, task.part, task.options, task.folder, task.key)


def _stage_all(
    reader: Reader,
    plan: Plan,
    options: Options,
    keys: Mapping[str, str],
    folder: Path,
    jobs: int,
    dask: str | None,
) -> list[StagedPart]:
    if not plan.parts:
        raise NeuroalignError(f"{reader.card.title}: there is nothing to prepare in this folder.")
    _forget(folder, {p.name for p in plan.parts})
    tasks = [
        _Stage(reader, part, options, folder / part.name, keys[part.name])
        for part in plan.parts
        if not is_staged(folder / part.name, keys[part.name])
    ]
    waiting = {t.part.name for t in tasks}
    kept = sum(p.trials for p in plan.parts if p.name not in waiting)
    with bar(sum(p.trials for p in plan.parts), "reading trials") as advance:
        advance(kept)
        _all_done(_stage_one, tasks, lambda task: advance(task.part.trials), jobs, dask)
    return [open_part(part, folder / part.name) for part in plan.parts]


@dataclass(frozen=True)
class _Finish:
    reader: Reader
    subject: str
    settled: Settled
    options: Options
    folder: Path
    key: str


def _finish_one(task: _Finish) -> None:
    mine = Settled({task.subject: task.settled.people[task.subject]}, task.settled.info)
    with atomic_folder(task.folder, overwrite=True) as partial:
        with RecordingsWriter(partial / "recordings", mine.info) as writer:
            task.reader.finish(task.subject, mine, task.options, writer)
        (partial / "key").write_text(task.key)


def _finish_all(
    reader: Reader,
    settled: Settled,
    options: Options,
    keys: Mapping[str, str],
    folder: Path,
    jobs: int,
    dask: str | None,
) -> None:
    _forget(folder, set(settled.people))
    tasks = []
    for subject, parts in settled.people.items():
        key = _person_key(settled, parts, keys)
        file = folder / subject / "key"
        if not (file.is_file() and file.read_text() == key):
            tasks.append(_Finish(reader, subject, settled, options, folder / subject, key))
    trials = {s: sum(len(p.trials) for p in parts) for s, parts in settled.people.items()}
    with bar(sum(trials.values()), "writing trials") as advance:
        advance(sum(trials.values()) - sum(trials[t.subject] for t in tasks))
        _all_done(_finish_one, tasks, lambda task: advance(trials[task.subject]), jobs, dask)


def _person_key(settled: Settled, parts: Sequence[StagedPart], keys: Mapping[str, str]) -> str:
    tables = [p.trials.to_csv(index=False) for p in parts]
    content = [[keys[p.part.name] for p in parts], tables, settled.info.model_dump_json()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _all_done(
    function: Callable[[Any], None],
    tasks: Sequence[Any],
    done: Callable[[Any], None],
    jobs: int,
    dask: str | None,
) -> None:
    for place, _ in run_tasks(function, tasks, jobs=jobs, dask=dask):
        done(tasks[place])


def _forget(folder: Path, wanted: set[str]) -> None:
    """Remove what a preparation with other people or options left behind."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.name not in wanted:
            shutil.rmtree(path)
