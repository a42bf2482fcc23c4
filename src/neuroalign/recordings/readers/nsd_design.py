"""Which picture was shown in which trial of the Natural Scenes Dataset.

`nsd_expdesign.mat` says it; `nsd_stim_info_merged.csv` and each person's `responses.tsv` say it
again. All that is there must agree with each other and with the published counts: a shuffled order
would give recordings that look right and can teach nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyarrow import ArrowException

from neuroalign.errors import NeuroalignError

PEOPLE = 8
#: Sessions of person 1, 2, ..., as published.
SESSIONS = (40, 40, 32, 30, 40, 32, 40, 30)
MOST_SESSIONS = 40
TRIALS = 750
RUNS = 12
PICTURES = 73_000
OWN_PICTURES = 10_000
SHARED = 1_000
REPEATS = 3
#: Sessions -> distinct pictures and distinct shared pictures shown until then, as published.
SHOWN = {30: (9_209, 907), 32: (9_411, 930), 37: (9_841, 982), 40: (10_000, 1_000)}

_SHAPES = {
    "masterordering": (1, MOST_SESSIONS * TRIALS),
    "subjectim": (PEOPLE, OWN_PICTURES),
    "sharedix": (1, SHARED),
}
_HIGHEST = {"masterordering": OWN_PICTURES, "subjectim": PICTURES, "sharedix": PICTURES}

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Design:
    """The order of trials, the same for everybody, and what each person saw.

    Attributes
    ----------
    order : int array of shape (30000,)
        Which of the person's 10,000 pictures a trial shows, from 0; the first 1,000 are shared.
    pictures : int array of shape (8, 10000)
        Which of the 73,000 pictures those are, from 0.
    runs : int array of shape (40, 12), optional
        Trials of each run, where the file says.
    remarks : tuple of str
        What is odd but does not matter for which picture was shown.
    """

    order: Ints
    pictures: Ints
    runs: Ints | None
    remarks: tuple[str, ...] = ()

    def trials(self, person: int, session: int) -> pd.DataFrame:
        """Return the trials of a session: columns nsd_id, stimulus, split, run, trial.

        Parameters
        ----------
        person, session : int
            From 1.
        """
        shown = self.order[(session - 1) * TRIALS : session * TRIALS]
        ids = self.pictures[person - 1, shown]
        table = pd.DataFrame(
            {
                "nsd_id": ids,
                "stimulus": stimulus_names(ids),
                "split": np.where(shown < SHARED, "test", "train"),
                "session": f"{session:02d}",
                "trial": np.arange(1, TRIALS + 1),
            }
        )
        if self.runs is not None:
            lengths = self.runs[session - 1]
            table["run"] = np.repeat([f"{r:02d}" for r in range(1, RUNS + 1)], lengths)
        return table


def stimulus_names(ids: npt.ArrayLike) -> list[str]:
    """Name pictures by their place among the 73,000, from 0: nsd-00013."""
    return [f"nsd-{i:05d}" for i in np.asarray(ids).tolist()]


def read_design(path: Path) -> Design:
    """Read nsd_expdesign.mat.

    Raises
    ------
    NeuroalignError
        It cannot be read, or contradicts itself or what is published; all that is wrong is
        listed.
    """
    content = _load(path)
    missing = [key for key in _SHAPES if key not in content]
    if missing:
        raise NeuroalignError(
            f"it lacks {', '.join(missing)}; it has "
            f"{', '.join(k for k in content if not k.startswith('__')) or 'nothing'}"
        )
    wrong = [w for key in _SHAPES for w in _malformed(key, np.asarray(content[key]))]
    if wrong:
        raise NeuroalignError("; ".join(wrong))
    order = np.asarray(content["masterordering"]).astype(np.int64).ravel() - 1
    pictures = np.asarray(content["subjectim"]).astype(np.int64) - 1
    shared = np.asarray(content["sharedix"]).astype(np.int64).ravel() - 1
    problems = _contradictions(order, pictures, shared)
    if problems:
        raise NeuroalignError("; ".join(problems))
    return Design(order, pictures, *_runs(content))


def _load(path: Path) -> Mapping[str, Any]:
    from scipy.io import loadmat

    try:
        content: Mapping[str, Any] = loadmat(path)
    except Exception as error:  # of many kinds, some of them bare
        raise NeuroalignError(
            f"it cannot be read as a MATLAB file ({type(error).__name__}: {error}): damaged, or "
            "saved by other software"
        ) from error
    return content


def _malformed(key: str, values: npt.NDArray[Any]) -> list[str]:
    if values.shape != _SHAPES[key]:
        return [f"{key} has the shape {values.shape}, expected {_SHAPES[key]}"]
    if values.dtype.kind not in "iuf" or not np.array_equal(values, np.floor(values)):
        return [f"{key} ({values.dtype}) holds other values than whole numbers"]
    low, high = int(values.min()), int(values.max())
    if low < 1 or high > _HIGHEST[key]:
        counted = " (counted from 0?)" if low == 0 else ""
        return [f"{key} runs from {low} to {high}, expected 1 to {_HIGHEST[key]}{counted}"]
    return []


def _runs(content: Mapping[str, Any]) -> tuple[Ints | None, tuple[str, ...]]:
    pattern = np.asarray(content.get("stimpattern", np.zeros(0)))
    if pattern.ndim != 3 or pattern.shape[:2] != (MOST_SESSIONS, RUNS):
        return None, (
            f"stimpattern has the shape {pattern.shape}, expected ({MOST_SESSIONS}, {RUNS}, ...): "
            "trials do not know their run",
        )
    runs = (pattern != 0).sum(axis=2).astype(np.int64)
    odd = np.flatnonzero(runs.sum(axis=1) != TRIALS)
    if odd.size:
        return None, (
            f"stimpattern has {int(runs[odd[0]].sum())} trials in session {odd[0] + 1}, "
            f"expected {TRIALS}: trials do not know their run",
        )
    return runs, ()


def _contradictions(order: Ints, pictures: Ints, shared: Ints) -> list[str]:
    problems = []
    times = np.bincount(order, minlength=OWN_PICTURES)
    if (times != REPEATS).any():
        problems.append(
            f"masterordering shows {int((times != REPEATS).sum())} of {OWN_PICTURES} pictures "
            f"other than {REPEATS} times"
        )
    for number, own in enumerate(pictures, start=1):
        twice = OWN_PICTURES - _distinct(own)
        if twice:
            problems.append(f"subjectim lists {twice} picture(s) of person {number} twice")
    common = pictures[:, :SHARED]
    if (common != common[0]).any():
        differing = int((common != common[0]).any(axis=0).sum())
        problems.append(
            f"subjectim differs between people in {differing} of its first {SHARED} columns, "
            "which everybody saw"
        )
    if set(shared.tolist()) != set(common[0].tolist()):
        strangers = len(set(shared.tolist()) - set(common[0].tolist()))
        problems.append(
            f"sharedix names {strangers} picture(s) that are not among the first {SHARED} columns "
            "of subjectim"
        )
    seen = _distinct(pictures)
    if not problems and seen != PICTURES:
        problems.append(
            f"subjectim names {seen} pictures, expected all {PICTURES}: pictures of one person "
            "only are listed for several"
        )
    for sessions, expected in SHOWN.items():
        until = order[: sessions * TRIALS]
        found = (_distinct(until), _distinct(until[until < SHARED]))
        if found != expected:
            problems.append(
                f"masterordering shows {found[0]} pictures ({found[1]} shared) in {sessions} "
                f"sessions, published {expected[0]} ({expected[1]} shared): another order"
            )
            break
    return problems


def _distinct(numbers: Ints) -> int:
    return int(np.count_nonzero(np.bincount(numbers.ravel())))


@dataclass(frozen=True, eq=False)
class PictureInfo:
    """What nsd_stim_info_merged.csv says; `table` is indexed by the number of the picture."""

    table: pd.DataFrame
    missing: tuple[str, ...]


def read_info(path: Path, people: tuple[int, ...] = ()) -> PictureInfo:
    """Read nsd_stim_info_merged.csv: a row for each of the 73,000 pictures.

    Parameters
    ----------
    path : Path
    people : tuple of int
        Whose trials are read as well, from 1.

    Raises
    ------
    NeuroalignError
        It cannot be read, or its pictures are not the 73,000.
    """
    wanted = ["nsdId", "cocoId", "cocoSplit", "shared1000", *_trial_columns(people)]
    try:
        header = list(pd.read_csv(path, nrows=0).columns)
        if "nsdId" not in header:
            raise NeuroalignError(
                f"it has no column nsdId; its columns are {', '.join(header[:12])!s:.200}"
            )
        table = pd.read_csv(path, usecols=[c for c in wanted if c in header], engine="pyarrow")
    except (OSError, UnicodeError, ValueError, ArrowException) as error:
        if isinstance(error, NeuroalignError):
            raise
        raise NeuroalignError(f"it cannot be read as a table ({error!s:.200})") from error
    ids = pd.to_numeric(table["nsdId"], errors="coerce")
    if len(table) != PICTURES or set(ids) != set(range(PICTURES)):
        raise NeuroalignError(
            f"its column nsdId holds {ids.nunique()} numbers in {len(table)} rows; expected each "
            f"of 0 to {PICTURES - 1} once"
        )
    table = table.set_index(ids.astype(np.int64)).sort_index()
    return PictureInfo(table, tuple(c for c in wanted if c not in header))


def contradictions_with_info(
    design: Design, info: PictureInfo, people: tuple[int, ...]
) -> list[str]:
    """Compare the design with the table of pictures: shared pictures, and the trials of people."""
    problems, table = [], info.table
    if "shared1000" in table:
        stated = set(np.flatnonzero(table["shared1000"].astype(str).str.lower() == "true"))
        common = set(design.pictures[0, :SHARED].tolist())
        if stated != common:
            problems.append(
                f"its column shared1000 marks {len(stated)} pictures, of which "
                f"{len(stated & common)} are among the {SHARED} shared ones of nsd_expdesign.mat"
            )
    for person in people:
        columns = [c for c in _trial_columns((person,)) if c in table]
        if len(columns) != REPEATS:
            continue
        try:
            stated_trials = table[columns].to_numpy(np.int64)
        except (TypeError, ValueError):
            problems.append(f"its columns {', '.join(columns)} hold other values than trials")
            continue
        own = _trials_of_pictures(design, person)
        # Trials of sessions that a person did not come to may be left out.
        never = (stated_trials == 0) & (own > SESSIONS[person - 1] * TRIALS)
        differing = int(((stated_trials != own) & ~never).any(axis=1).sum())
        if differing:
            problems.append(
                f"the trials of person {person} ({', '.join(columns)}) are not those of "
                f"nsd_expdesign.mat for {differing} picture(s)"
            )
    return problems


def _trial_columns(people: tuple[int, ...]) -> list[str]:
    return [f"subject{p}_rep{r}" for p in people for r in range(REPEATS)]


def _trials_of_pictures(design: Design, person: int) -> Ints:
    """Return the trials that show each picture, from 1; 0 where there is none: (73000, 3)."""
    trials = np.zeros((PICTURES, REPEATS), np.int64)
    shown = np.argsort(design.order, kind="stable").reshape(OWN_PICTURES, REPEATS)
    trials[design.pictures[person - 1]] = shown + 1
    return trials


def contradictions_with_responses(design: Design, path: Path, person: int) -> str | None:
    """Compare the design with the pictures in a person's table of responses; None: they agree.

    Raises
    ------
    NeuroalignError
        The table cannot be read.
    """
    columns = ["SESSION", "73KID"]
    try:
        table = pd.read_csv(path, sep="\t", usecols=columns).to_numpy(np.int64)
    except (OSError, UnicodeError, ValueError, TypeError) as error:
        raise NeuroalignError(
            f"it cannot be read as a table with the columns {' and '.join(columns)} "
            f"({error!s:.200})"
        ) from error
    for session in np.unique(table[:, 0]).tolist():
        shown = table[table[:, 0] == session, 1] - 1
        if not 1 <= session <= MOST_SESSIONS or len(shown) != TRIALS:
            return f"session {session} has {len(shown)} trials, expected {TRIALS}"
        differing = int((design.trials(person, session)["nsd_id"].to_numpy() != shown).sum())
        if differing:
            return (
                f"{differing} of {TRIALS} trials of session {session} show other pictures than "
                "nsd_expdesign.mat says"
            )
    return None
