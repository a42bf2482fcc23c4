"""The trial tables of THINGS-MEG: what was shown when, checked against all that is known of it.

The table of a person (`sourcedata/sample_attributes_P1.csv`; the metadata of the preprocessed
epochs are the same) has a row a trial in the order of recording, and is paired with the signals
by position alone. So a row that moved would put a wrong picture beside every later trial. It is
found through what the table says twice: pictures have names and numbers, concepts too, and every
session shows the same counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding, Severity
from neuroalign.recordings.readers.things import ThingsPicture, parse_picture

#: The number that the events of catch trials carry in the preprocessed epochs.
CATCH_CODE = 999_999
#: Events of a run whose picture number may differ from the table before the run is refused.
MOST_CODES_WRONG = 20
REQUIRED = (
    "trial_type",
    "image_path",
    "things_image_nr",
    "things_category_nr",
    "session_nr",
    "run_nr",
)
_FOLDERS = {"images_meg": "exp", "images_test_meg": "test", "images_catch_meg": "catch"}


@dataclass(frozen=True)
class Published:
    """What each person saw and how it was recorded, as published.

    Each session shows every concept once (another picture of it each time) and every test
    picture once, so `sessions` is also the number of training pictures of a concept and of
    repeats of a test picture.

    Attributes
    ----------
    concepts, sessions, runs, test_pictures, catch : int
        `runs` per session; `catch` is the number of catch trials of a person.
    channels, samples : int
        Of the preprocessed epochs.
    sfreq, tmin : float
        Of the preprocessed epochs, in Hz and seconds.
    raw_sfreq : float
        Of the raw recordings, in Hz.
    """

    concepts: int = 1854
    sessions: int = 12
    runs: int = 10
    test_pictures: int = 200
    catch: int = 2400
    channels: int = 271
    samples: int = 281
    sfreq: float = 200.0
    tmin: float = -0.1
    raw_sfreq: float = 1200.0

    @property
    def counts(self) -> dict[str, int]:
        """Trials of a person by type: 22,248 exp, 2,400 test, 2,400 catch."""
        exp = self.concepts * self.sessions
        return {"exp": exp, "test": self.test_pictures * self.sessions, "catch": self.catch}

    @property
    def trials(self) -> int:
        """All trials of a person: 27,048."""
        return sum(self.counts.values())

    @property
    def zero_shot(self) -> int:
        """Training trials of a person without the test concepts: 19,848."""
        return (self.concepts - self.test_pictures) * self.sessions


@dataclass(frozen=True)
class PersonTrials:
    """The table of a person, in the order of recording, and what is wrong with it.

    `table` has `trial` (the row, from 0), `trial_type`, `stimulus`, `label`, `session`, `run`,
    `things_image_nr`, `things_category_nr`, `image_on`. It is empty where it cannot be used.
    """

    table: pd.DataFrame
    findings: tuple[Finding, ...]

    @property
    def test_concepts(self) -> list[str]:
        """Return the concepts of the test pictures, sorted."""
        test = self.table[self.table["trial_type"] == "test"]
        return sorted(set(test["label"]))


def read_trials(raw: pd.DataFrame, where: str, published: Published) -> PersonTrials:
    """Read the table of a person; what cannot be read is fatal.

    Parameters
    ----------
    raw : pandas.DataFrame
        As published.
    where : str
        The person and the file, for the findings.
    published : Published
    """
    nothing = pd.DataFrame(columns=["trial_type", "label", "session", "run"])
    lacking = [c for c in REQUIRED if c not in raw]
    if lacking:
        has = ", ".join(map(str, raw.columns[:20]))
        what = f"lacks the column(s) {', '.join(lacking)}; it has {has}"
        return PersonTrials(nothing, (Finding(where, what, "fatal", len(lacking)),))
    kinds = raw["trial_type"].astype("string")
    strange = ~kinds.isin(list(published.counts)).fillna(False).astype(bool)
    if strange.any():
        named = sorted({str(k) for k in kinds[strange]})[:5]
        what = f"{int(strange.sum())} row(s) have the trial type {named}, expected exp, test, catch"
        return PersonTrials(nothing, (Finding(where, what, "fatal", int(strange.sum())),))
    table = pd.DataFrame({"trial": np.arange(len(raw)), "trial_type": kinds.to_numpy(object)})
    problems: list[Finding] = []
    for column, name, top in (
        ("session_nr", "session", published.sessions),
        ("run_nr", "run", published.runs),
    ):
        numbers = pd.to_numeric(raw[column], errors="coerce").to_numpy(np.float64)
        wrong = ~(np.isfinite(numbers) & (numbers % 1 == 0) & (numbers >= 1) & (numbers <= top))
        if wrong.any():
            what = f"{int(wrong.sum())} row(s) have a {column} that is none of 1 to {top}"
            problems.append(Finding(where, what, "fatal", int(wrong.sum())))
        table[name] = np.where(wrong, 0, numbers).astype(np.int64)
    named_pictures, unreadable = _pictures(raw["image_path"], table["trial_type"])
    if unreadable:
        what = f"{len(unreadable)} picture path(s) cannot be used (first: {unreadable[0]})"
        problems.append(Finding(where, what, "fatal", len(unreadable)))
    table["stimulus"] = [p.name if p else "" for p in named_pictures]
    table["label"] = [p.concept if p else "" for p in named_pictures]
    for column in ("things_image_nr", "things_category_nr", "image_on"):
        given = raw[column] if column in raw else pd.Series(np.nan, index=raw.index)
        table[column] = pd.to_numeric(given, errors="coerce").to_numpy(np.float64)
    if problems:
        return PersonTrials(nothing, tuple(problems))
    return PersonTrials(table, ())


def check_trials(
    table: pd.DataFrame, paths: pd.Series, where: str, published: Published, *, incomplete: bool
) -> Iterator[Finding]:
    """Hold a table against itself and against the published counts.

    Parameters
    ----------
    table : pandas.DataFrame
        As in `PersonTrials`, of a whole person.
    paths : pandas.Series
        The picture path of each row.
    where, published
        As for `read_trials`.
    incomplete : bool
        Other counts than the published ones are warnings instead of fatal.
    """
    if len(table):
        yield from _misplaced(paths, table, where)
        yield from _numbers(table, where)
        yield from _order(table, where)
        yield from _counts(table, where, published, "warning" if incomplete else "fatal")


def compare_codes(
    codes: npt.NDArray[np.float64], table: pd.DataFrame, where: str
) -> Iterator[Finding]:
    """Compare the picture numbers that the events carry with the table, run by run.

    The table wins, as for the authors of the data set. A few differences a run are reported; more
    than `MOST_CODES_WRONG` mean that rows and events do not belong together.

    Parameters
    ----------
    codes : array of shape (n_trials,)
        NaN or `CATCH_CODE` for catch trials.
    table : pandas.DataFrame
        The rows of the same trials, as in `PersonTrials.table`.
    """
    catch_code = np.isnan(codes) | (codes == CATCH_CODE)
    if len(codes) and len(np.unique(codes[~catch_code])) <= 1:
        what = "the events carry no picture numbers, so their order cannot be checked by them"
        yield Finding(where, what, "warning", len(codes))
        return
    numbers = table["things_image_nr"].to_numpy(np.float64)
    catch = (table["trial_type"] == "catch").to_numpy()
    # Rows without a number say nothing; a picture's row whose event says "catch" does.
    wrong = np.where(catch, ~catch_code, ~np.isnan(numbers) & (codes != numbers))
    runs = table.assign(wrong=wrong).groupby(["session", "run"])["wrong"].agg(["sum", "size"])
    for session, run, count, size in runs.reset_index().itertuples(index=False):
        if count == 0:
            continue
        worst: Severity = "fatal" if count > min(MOST_CODES_WRONG, size / 2) else "warning"
        what = (
            f"session {session}, run {run}: {count} event(s) carry another picture number than "
            "the table"
        )
        what += (
            ": rows and events do not belong together"
            if worst == "fatal"
            else "; the pictures of the table are used"
        )
        yield Finding(where, what, worst, int(count))


def same_pictures(one: pd.DataFrame, other: pd.Series, where: str) -> Iterator[Finding]:
    """Compare a table with the picture paths of another copy of it."""
    names = other.astype("string").fillna("").str.replace("\\", "/").str.split("/").str[-1]
    mine = one["stimulus"].where(one["trial_type"] != "catch", "")
    if len(names) != len(mine):
        what = f"{len(names)} rows, but the metadata of the epochs have {len(mine)}"
        yield Finding(where, what, "fatal", abs(len(names) - len(mine)))
        return
    stems = names.str.rsplit(".", n=1).str[0].to_numpy(object)
    differ = (mine.to_numpy(object) != stems) & (one["trial_type"] != "catch").to_numpy()
    if differ.any():
        first = int(np.flatnonzero(differ)[0])
        what = (
            f"{int(differ.sum())} row(s) name another picture than the metadata of the epochs "
            f"(first: row {first}, {stems[first]} against {mine.iloc[first]})"
        )
        yield Finding(where, what, "fatal", int(differ.sum()))


def _pictures(paths: pd.Series, kinds: pd.Series) -> tuple[list[ThingsPicture | None], list[str]]:
    known: dict[str, ThingsPicture | None] = {}
    pictures: list[ThingsPicture | None] = []
    unreadable: list[str] = []
    for path, kind in zip(paths.astype("string").fillna("").tolist(), kinds.tolist(), strict=True):
        if kind == "catch":  # what catch trials showed are not pictures of THINGS
            pictures.append(None)
            continue
        if path not in known:
            try:
                known[path] = parse_picture(path)
            except NeuroalignError as error:
                known[path] = None
                unreadable.append(str(error))
        pictures.append(known[path])
    return pictures, unreadable


def _misplaced(paths: pd.Series, table: pd.DataFrame, where: str) -> Iterator[Finding]:
    tops = paths.astype("string").fillna("").str.replace("\\", "/").str.split("/").str[0]
    said = tops.map(_FOLDERS).to_numpy(object)
    kinds = table["trial_type"].to_numpy(object)
    wrong = np.array([isinstance(s, str) and s != k for s, k in zip(said, kinds, strict=True)])
    if wrong.any():
        what = (
            f"{int(wrong.sum())} row(s) have a picture from the folder of another trial type "
            f"(first: row {int(np.flatnonzero(wrong)[0])}): columns were shifted against each other"
        )
        yield Finding(where, what, "fatal", int(wrong.sum()))


def _numbers(table: pd.DataFrame, where: str) -> Iterator[Finding]:
    shown = table[table["trial_type"] != "catch"]
    exp = shown[shown["trial_type"] == "exp"]
    for column, name in (("things_image_nr", "stimulus"), ("things_category_nr", "label")):
        lost = int(exp[column].isna().sum())
        if lost:
            what = f"{lost} exp row(s) have no {column}, so their picture cannot be checked"
            yield Finding(where, what, "fatal" if lost == len(exp) else "warning", lost)
        yield from disagreeing(shown, column, name, where)
    ordered = shown.dropna(subset=["things_image_nr", "things_category_nr"]).sort_values(
        "things_image_nr", kind="stable"
    )
    falls = int((np.diff(ordered["things_category_nr"].to_numpy(np.float64)) < 0).sum())
    if falls:
        what = (
            "THINGS numbers its pictures concept by concept, but here numbers of pictures and of "
            f"concepts contradict each other in {falls} place(s)"
        )
        yield Finding(where, what, "warning", falls)


def disagreeing(
    table: pd.DataFrame, number: str, name: str, where: str, severity: Severity = "fatal"
) -> Iterator[Finding]:
    """Find names with several numbers and numbers with several names, as one finding."""
    pairs = table[[number, name]].dropna().drop_duplicates()
    twice = pairs[pairs.duplicated(number, keep=False) | pairs.duplicated(name, keep=False)]
    if len(twice):
        shown = ", ".join(
            f"{n} is {int(v)}"
            for v, n in twice.head(4).itertuples(index=False)
        )  # fmt: skip
        what = (
            f"{name} and {number} do not go together for {twice[name].nunique()} name(s) "
            f"({shown}, ...): rows of one column were moved against the other"
        )
        yield Finding(where, what, severity, len(twice))


def _order(table: pd.DataFrame, where: str) -> Iterator[Finding]:
    place = table["session"].to_numpy(np.int64) * 1000 + table["run"].to_numpy(np.int64)
    falls = int((np.diff(place) < 0).sum())
    if falls:
        what = (
            f"the rows are not in the order of recording: session and run go back {falls} time(s), "
            "and rows are paired with signals by their place alone"
        )
        yield Finding(where, what, "fatal", falls)


def _counts(
    table: pd.DataFrame, where: str, published: Published, severity: Severity
) -> Iterator[Finding]:
    kinds = table["trial_type"].value_counts()
    for kind, expected in published.counts.items():
        found = int(kinds.get(kind, 0))
        if found != expected:
            what = f"{found:,} {kind} trials, published {expected:,}"
            yield Finding(where, what, severity, found)
    exp, test = (table[table["trial_type"] == k] for k in ("exp", "test"))
    both = sorted(set(exp["stimulus"]) & set(test["stimulus"]))
    if both:
        what = f"{len(both)} picture(s) are both training and test ({', '.join(both[:4])})"
        yield Finding(where, what, "fatal", len(both))
    again = int(exp["stimulus"].duplicated().sum())
    if again:
        what = f"{again} training picture(s) are shown again, published: each once"
        yield Finding(where, what, severity, again)
    for kind, rows, column, times in (
        ("concept", exp, "label", published.sessions),
        ("test picture", test, "stimulus", published.sessions),
    ):
        counts = rows[column].value_counts()
        odd = counts[counts != times].sort_index()
        if len(odd):
            what = (
                f"{len(odd)} {kind}(s) are shown another number of times than {times} "
                f"({', '.join(f'{n}: {c}' for n, c in odd.head(4).items())})"
            )
            yield Finding(where, what, severity, len(odd))
    sizes = table.groupby("session").size().reindex(range(1, published.sessions + 1), fill_value=0)
    usual = published.trials // published.sessions
    for session, size in sizes[sizes != usual].items():
        what = f"session {session} has {size:,} rows, published {usual:,}"
        yield Finding(where, what, severity, int(size))
