"""Findings and drops of one kind share a line, and nothing of another kind gets into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.alike import drops_once, findings_once
from neuroalign.recordings.preparation import refuse_fatal
from neuroalign.recordings.quality import Finding, findings_table, read_findings
from neuroalign.recordings.readers import load_reader
from neuroalign.recordings.schema import Dropped


def _missing(person: str, session: int) -> Finding:
    return Finding(person, f"session {session} is missing: betas_session{session:02d}", "fatal", 1)


def test_sessions_of_a_person_become_a_range() -> None:
    (told,) = findings_once(_missing("subj01", s) for s in range(11, 41))
    assert told.where == "subj01"
    assert told.what == (
        "session 11 to 40 is missing: betas_session11 ... betas_session40 (30 of this kind)"
    )
    assert (told.severity, told.count) == ("fatal", 30)


def test_people_who_lack_the_same_share_a_line() -> None:
    told = findings_once(_missing(f"subj{p:02d}", s) for p in range(1, 9) for s in (3, 4, 5))
    assert [f.where for f in told] == ["subj01 ... subj08 (8)"]
    assert (
        told[0].what.startswith("session 3 to 5 is missing:") and "24 of this kind" in told[0].what
    )
    assert told[0].count == 24


def test_what_is_of_another_kind_stays_apart() -> None:
    odd = [
        Finding("subj01", "session 2 is cut off: betas_session02", "fatal", 1),
        Finding("subj01", "session 2 is missing: betas_session02", "warning", 1),
        Finding("a/train.npy", "no array", "fatal", 1),
        Finding("b/train.npy", "no array", "fatal", 1),
    ]
    found = [_missing("subj01", s) for s in range(1, 41)]
    told = findings_once([*found[:20], *odd, *found[20:]])
    assert told[1:] == odd
    assert len(told) == 5


def test_two_are_told_one_by_one() -> None:
    found = [_missing("subj01", 1), _missing("subj01", 2)]
    assert findings_once(found) == found


def test_numbers_in_brackets_become_a_range_and_names_there_go() -> None:
    found = [
        Finding(f"run-{n:02d} TP9", f"at the limit ({share}%) (worst: {worst})", "error", n)
        for n, share, worst in ((1, 3.5, "TP9"), (2, 23.6, "AF7"), (3, 12.5, "TP9"))
    ]
    (told,) = findings_once(found)
    assert told.where == "run-01 TP9, run-02 TP9, run-03 TP9"
    assert told.what == "at the limit (3.5 to 23.6%) (3 of this kind)"
    assert told.count == 6


def test_numbers_with_thousands_are_compared_as_numbers() -> None:
    (told,) = findings_once(Finding("P1", f"{n} rows", "fatal", 1) for n in ("950", "2,254", "12"))
    assert told.what.startswith("12 to 2,254 rows")


def test_every_cause_is_seen_whatever_the_number_of_missing_sessions() -> None:
    lines = [_missing("subj01", s) for s in range(1, 41)]
    with pytest.raises(NeuroalignError) as caught:
        refuse_fatal([*lines, Finding("design.mat", "it is empty", "fatal", 1)], load_reader("nsd"))
    assert "session 1 to 40 is missing" in str(caught.value)
    assert "design.mat: it is empty" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 4


def test_drops_of_one_reason_are_added_up() -> None:
    told = drops_once(
        [
            Dropped(where="run-01", trials=2, reason="above 100 uV (worst: TP10) (onset at 1.5 s)"),
            Dropped(where="run-01", trials=1, reason="above 100 uV (worst: TP9) (onset at 2, 3 s)"),
            Dropped(where="run-02", trials=7, reason="nearly empty: 7 trial(s), fewer than 10"),
            Dropped(where="run-03", trials=4, reason="above 100 uV (worst: AF7)"),
            Dropped(where="run-04", trials=1, reason="nearly empty: 1 trial(s), fewer than 10"),
            Dropped(where="run-05", trials=9, reason="the same signal as run-01 (100% of it)"),
        ]
    )
    assert told == [
        Dropped(where="run-01, run-03", trials=7, reason="above 100 uV"),
        Dropped(
            where="run-02, run-04", trials=8, reason="nearly empty: 1 to 7 trial(s), fewer than 10"
        ),
        Dropped(where="run-05", trials=9, reason="the same signal as run-01 (100% of it)"),
    ]


def test_findings_are_read_back_worst_first(tmp_path: Path) -> None:
    found = [Finding("a", "note", "note", 1), Finding("b", "bad", "error", 2)]
    path = tmp_path / "findings.tsv"
    findings_table(found).to_csv(path, sep="\t", index=False)
    assert read_findings(path) == found[::-1]
