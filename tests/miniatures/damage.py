"""Damage a miniature of a data set in one stated way, and see what becomes of it.

Each data set has a module `damages_<set>.py` here with a function `write(folder)` that makes the
miniature, the `READER`, the `OPTIONS` to prepare it with, and a tuple `DAMAGES`: a catalogue.
tests/recordings/test_damages.py applies all of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.doctor import Diagnosis, examine
from neuroalign.recordings.preparation import prepare
from neuroalign.recordings.readers.contract import Reader

Outcome = Literal["refused", "reported"]


@dataclass(frozen=True)
class Damage:
    """One way to damage a miniature, and what has to come of it.

    Attributes
    ----------
    name : what is done, in words, unique in the catalogue of its data set
    apply : does it to a fresh copy
    outcome : "refused": `prepare` stops and `doctor` says unusable; "reported": `prepare` leaves
        it out or says so in findings.tsv or dropped.tsv, and `doctor` warns
    says : what both must name: parts of the words that they use
    options : differing from those of the catalogue; `pictures` lie in this place of the miniature
    """

    name: str
    apply: Callable[[Path], object]
    outcome: Outcome
    says: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


def check(damage: Damage, reader: Reader, folder: Path, out: Path, options: Any) -> str:
    """Damage the miniature in `folder`, and return the words that `prepare` had for it.

    Anything else than a clear error or a report is a failure: a traceback, a library's warning,
    or recordings that keep quiet about it.
    """
    damage.apply(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        diagnosis = examine(folder, dataset=reader, options=options)
        try:
            prepare(reader, folder, out, options=options)
        except NeuroalignError as error:
            outcome, words = "refused", str(error)
        else:
            outcome, words = "reported", _reported(out)
    lacking = [s for s in damage.says if s not in words]
    assert not lacking, f"{damage.name}: `prepare` does not say {lacking}: {words}"
    assert outcome == damage.outcome, f"{damage.name}: {outcome}, {words}"
    _check_diagnosis(damage, diagnosis)
    if outcome == "refused":
        assert not out.exists()
    return words


def _check_diagnosis(damage: Damage, diagnosis: Diagnosis) -> None:
    words = "\n".join(f"{f.where}: {f.what}" for f in diagnosis.findings)
    lacking = [s for s in damage.says if s not in words]
    assert not lacking, f"{damage.name}: `doctor` does not say {lacking}: {words}"
    assert diagnosis.status == (2 if damage.outcome == "refused" else 1), words


def _reported(out: Path) -> str:
    tables = [out / "findings.tsv", out / "dropped.tsv"]
    return "\n".join(t.read_text() for t in tables if t.exists())
