"""Recordings of single people, joined into one folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.files import atomic_folder
from neuroalign.recordings.container import Recordings
from neuroalign.recordings.quality import Finding, findings_table
from neuroalign.recordings.schema import Dropped, RecordingsInfo

_TABLES = ("recordings.json", "trials.parquet", "dropped.tsv")


def join_people(
    folders: Sequence[Path],
    out: Path,
    dropped: Sequence[Dropped],
    findings: Sequence[Finding],
    pictures: pd.DataFrame | None,
) -> None:
    """Join recordings that agree in everything but the person.

    Files of signals are linked where the file system can, so a join takes no time and no space.

    Parameters
    ----------
    folders : sequence of Path
        Each holds a folder `recordings` of one person.
    out : Path
        Replaced, if it exists.
    dropped : sequence of Dropped
        Everything that was left out, of all people.
    findings : sequence of Finding
        Kept as findings.tsv.
    pictures : pandas.DataFrame, optional
        Kept as pictures.tsv.

    Raises
    ------
    NeuroalignError
        There is nobody, or people differ in what must agree.
    """
    people = [Recordings(folder / "recordings") for folder in folders]
    if not people:
        raise NeuroalignError(f"Nobody is left to write into {out}.")
    infos = [p.info.model_copy(update={"subjects": {}, "dropped": ()}) for p in people]
    for person, info in zip(people, infos, strict=True):
        differing = [n for n in type(info).model_fields if getattr(info, n) != getattr(infos[0], n)]
        if differing:
            raise NeuroalignError(
                f"{person.subjects[0]} differs from {people[0].subjects[0]} in "
                f"{', '.join(differing)}: {[getattr(info, n) for n in differing]!s:.200} against "
                f"{[getattr(infos[0], n) for n in differing]!s:.200}. All people of one "
                "recordings folder must agree."
            )
    subjects = {s: i for p in people for s, i in p.info.subjects.items()}
    with atomic_folder(out, overwrite=True) as partial:
        for person in people:
            _link_files(person.path, partial)
        trials = pd.concat([p.trials for p in people], ignore_index=True)
        trials.to_parquet(partial / "trials.parquet", index=False)
        info = infos[0].model_copy(update={"subjects": subjects, "dropped": tuple(dropped)})
        _write_info(info, partial)
        if findings:
            _write_table(findings_table(findings), partial / "findings.tsv")
        if pictures is not None:
            _write_table(pictures, partial / "pictures.tsv")


def _link_files(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_dir():
            (target / relative).mkdir(exist_ok=True)
        elif str(relative) not in _TABLES:
            try:
                os.link(path, target / relative)
            except OSError:  # a file system without links
                shutil.copyfile(path, target / relative)


def _write_info(info: RecordingsInfo, folder: Path) -> None:
    (folder / "recordings.json").write_text(info.model_dump_json(indent=2) + "\n")
    if info.dropped:
        _write_table(pd.DataFrame([d.model_dump() for d in info.dropped]), folder / "dropped.tsv")


def _write_table(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, sep="\t", index=False)
