"""What people saw in the scanner in THINGS-fMRI: counts as published, and tables against them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding, Severity
from neuroalign.recordings.readers.things import parse_picture

#: `catch_012.jpg`, `catch/012.jpg`, `images_catch/...`; but not a catcher's mitt.
_CATCH = re.compile(r"(^|[/_])catch([/_.0-9]|$)")
_SHOWN = 4


@dataclass(frozen=True)
class Published:
    """Counts that every person's recordings must have.

    Attributes
    ----------
    sessions, runs : int
        Sessions of a person, and runs of a session.
    train, test : int
        Trials of a session with training pictures (each seen once in all) and with test pictures
        (each seen once in every session). Catch trials come on top.
    """

    sessions: int = 12
    runs: int = 10
    train: int = 720
    test: int = 100

    @property
    def trials(self) -> int:
        """Trials of a session, catch trials not counted."""
        return self.train + self.test


def is_catch(file: str, patterns: Sequence[str] = ()) -> bool:
    """Whether a picture belongs to the catch trials, in which a button had to be pressed.

    It says so in its path, or fits one of the patterns.
    """
    path = file.replace("\\", "/")
    return bool(_CATCH.search(path)) or any(fnmatchcase(path, p) for p in patterns)


def read_table(
    path: Path, columns: Sequence[str], separator: str, *, only: bool = False
) -> pd.DataFrame:
    """Read a table of text, whose columns `columns` must be there and full.

    With `only`, other columns are not read (a voxel table has 222).

    Raises
    ------
    NeuroalignError
        The file is missing, no table, or lacks columns, rows or values.
    """
    if not path.is_file():
        raise NeuroalignError(f"{path} is not a file. Download it again.")
    try:
        wanted = (lambda name: name in columns) if only else None
        table = pd.read_csv(path, sep=separator, low_memory=False, usecols=wanted)
    except (ValueError, UnicodeDecodeError) as error:
        raise NeuroalignError(
            f"{path} is not a readable table: {error}. Copy or download it again."
        ) from error
    lacking = [c for c in columns if c not in table]
    if lacking:
        raise NeuroalignError(
            f"{path} lacks the column(s) {', '.join(lacking)}; it has "
            f"{', '.join(map(str, table.columns[:12]))}. Take the published file."
        )
    if len(table) == 0:
        raise NeuroalignError(f"{path} has no rows. Copy or download it again.")
    empty = table[list(columns)].isna().any(axis=1)
    if empty.any():
        raise NeuroalignError(
            f"{path}: {int(empty.sum())} of {len(table)} rows lack a value in "
            f"{', '.join(columns)} (first: row {int(empty.to_numpy().argmax())}). The table was "
            "damaged: take the published file."
        )
    return table


def whole_numbers(table: pd.DataFrame, column: str, path: Path) -> pd.Series:
    """Return a column as integers.

    Raises
    ------
    NeuroalignError
        It holds something else.
    """
    numbers = pd.to_numeric(table[column], errors="coerce")
    wrong = numbers.isna() | (numbers % 1 != 0)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise NeuroalignError(
            f"{path}: {int(wrong.sum())} value(s) of `{column}` are no whole numbers (first: row "
            f"{row}, {table[column].iloc[row]!r}). Take the published file."
        )
    return numbers.astype("int64")


def with_pictures(table: pd.DataFrame, column: str, path: Path) -> pd.DataFrame:
    """Add `stimulus` and `label`, the name and concept of the picture that `column` names.

    Raises
    ------
    NeuroalignError
        Some are no names of THINGS pictures; the first is quoted.
    """
    names, concepts, wrong = [], [], []
    for row, file in enumerate(table[column].astype(str)):
        try:
            picture = parse_picture(file)
        except NeuroalignError as error:
            wrong.append((row, error))
            continue
        names.append(picture.name)
        concepts.append(picture.concept)
    if wrong:
        raise NeuroalignError(
            f"{path}: {len(wrong)} of {len(table)} rows name no THINGS picture (first: row "
            f"{wrong[0][0]}). {wrong[0][1]}"
        ) from wrong[0][1]
    return table.assign(stimulus=names, label=concepts)


def check_trials(
    trials: pd.DataFrame, where: str, sessions: Sequence[int], published: Published
) -> list[Finding]:
    """Hold one person's trials against the published design.

    The design is so regular that rows which were mixed up break it: a training picture comes
    once, a test picture once in every session.

    Parameters
    ----------
    trials : pandas.DataFrame
        `session`, `run` (int), `trial_type`, `stimulus`; without catch trials.
    where : str
        Named in the findings.
    sessions : sequence of int
        Those that are wanted.
    published : Published
    """
    found: list[Finding] = []

    def add(what: str, count: int, severity: Severity = "fatal") -> None:
        found.append(Finding(where, what, severity, count))

    unknown = sorted(set(trials["trial_type"]) - {"train", "test"})
    if unknown:
        count = int(trials["trial_type"].isin(unknown).sum())
        add(f"{count} trial(s) of unknown type {_some(unknown)}; expected train or test", count)
    train, test = (trials[trials["trial_type"] == kind] for kind in ("train", "test"))
    both = sorted(set(train["stimulus"]) & set(test["stimulus"]))
    if both:
        add(f"{len(both)} picture(s) are both training and test pictures: {_some(both)}", len(both))
    again = sorted(set(train.loc[train["stimulus"].duplicated(), "stimulus"]))
    if again:
        add(
            f"{len(again)} training picture(s) come more than once, published is once: "
            f"{_some(again)}",
            len(again),
        )
    for session in sessions:
        here = trials["session"] == session
        counts = {
            kind: int((here & (trials["trial_type"] == kind)).sum()) for kind in ("train", "test")
        }
        if counts != {"train": published.train, "test": published.test}:
            add(
                f"session {session} has {counts['train']} training and {counts['test']} test "
                f"trials, published are {published.train} and {published.test}",
                sum(counts.values()),
            )
        repeated = test.loc[test["session"] == session, "stimulus"]
        twice = sorted(set(repeated[repeated.duplicated()]))
        if twice:
            add(
                f"session {session} shows {len(twice)} test picture(s) more than once, published "
                f"is once in each session: {_some(twice)}",
                len(twice),
            )
        runs = trials.loc[here, "run"].value_counts()
        expected = published.trials / published.runs
        if len(runs) != published.runs or (runs != expected).any():
            of = f" of {_some(sorted(set(runs)))} trials" if len(runs) else ""
            add(
                f"session {session} has {len(runs)} run(s){of}, "
                f"published are {published.runs} of {expected:g}",
                len(runs),
                "warning",
            )
    return found


def check_people(trials: dict[str, pd.DataFrame], published: Published) -> list[Finding]:
    """Compare what people saw: over all sessions the same pictures.

    Parameters
    ----------
    trials : mapping from subject to DataFrame
        `stimulus`, `split` and `session`.
    published : Published
        Training pictures are compared between people of whom all sessions are there: which of
        them came in which session differs.
    """
    found = []
    people = list(trials)
    for other in people[1:]:
        one, two = trials[people[0]], trials[other]
        whole = min(t["session"].nunique() for t in (one, two)) == published.sessions
        for split in ("train", "test") if whole else ("test",):
            seen = [set(t.loc[t["split"] == split, "stimulus"]) for t in (one, two)]
            differing = sorted(seen[0] ^ seen[1])
            if differing:
                what = (
                    f"{len(differing)} {split} picture(s) were seen by only one of {people[0]} and "
                    f"{other}: {_some(differing)}"
                )
                found.append(Finding(other, what, "warning", len(differing)))
    return found


def _some(values: Sequence[object]) -> str:
    return ", ".join(map(str, values[:_SHOWN])) + (", ..." if len(values) > _SHOWN else "")
