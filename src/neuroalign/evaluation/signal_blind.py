"""What is known of a trial without looking at its signal: when and where in the recording it lies.

A model that sees nothing else must score at chance. Where it does not, the design of the recording
gives the answer away: a class that was recorded in one block can be told from the clock alone (Li
et al. 2018, "The perils and pitfalls of block design for EEG classification experiments").
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

#: Features that say in which part of the recording a trial lies.
TIME = ("session", "run", "block", "position")
#: Features that say where in its run a trial lies: the same order of classes in every run.
PLACE_IN_RUN = ("position_in_run", "onset_s")

_IDENTITIES = ("session", "run", "block")


def design_features(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the design of each trial as numbers, from the trial table alone.

    Nothing in them depends on the picture, the class, the split or a file's name. They are to be
    used within a person: run 3 of one person has nothing to do with run 3 of another. For
    averaged items, average the rows of the trials behind them.

    Parameters
    ----------
    trials : pandas.DataFrame
        A whole trial table (see `recordings.schema.TRIAL_COLUMNS`), training and test: positions
        count the trials that are in it.

    Returns
    -------
    pandas.DataFrame of float64, with the index of `trials`
        `position`: the place of the trial among all of its person's, in the order of recording;
        `position_in_run`; and, where the table knows them, `onset_s` (seconds), and `session`,
        `run` and `block` (all three numbered from 0 by name, within the person). A column that
        is the same for all trials, or missing for one, is left out (`position` never is).
    """
    order = recorded_order(trials)
    subject = trials["subject"].astype(str).to_numpy(object)
    features: dict[str, npt.NDArray[np.float64]] = {
        name: _numbered(trials, name)
        for name in _IDENTITIES
        if name in trials and _known(trials[name])
    }
    rank = np.empty(len(trials), np.int64)
    rank[order] = np.arange(len(trials))
    parts: dict[str, npt.NDArray[Any]] = {"subject": subject}
    parts |= {name: features[name] for name in ("session", "run") if name in features}
    in_order = pd.DataFrame(parts).iloc[order]
    features["position"] = (
        in_order.groupby("subject").cumcount().to_numpy().astype(np.float64)[rank]
    )
    if "run" in features or "session" in features:
        within = in_order.groupby(list(in_order.columns)).cumcount()
        features["position_in_run"] = within.to_numpy().astype(np.float64)[rank]
    if "onset_s" in trials and _known(trials["onset_s"]):
        features["onset_s"] = trials["onset_s"].to_numpy(np.float64)
    table = pd.DataFrame(features, index=trials.index)
    varies = table.max() > table.min()
    return table[
        [c for c in (*TIME, *PLACE_IN_RUN) if c in table and (varies[c] or c == "position")]
    ]


def recorded_order(trials: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the positions of trials in the order in which they were recorded, person by person.

    By session, run (by name, numbers in names counting as numbers), onset, block, and the row in
    the signal file, as far as each is known.
    """
    keys: list[npt.NDArray[np.generic]] = [
        pd.factorize(trials["subject"].astype(str), sort=True)[0],
        *(_numbered(trials, c) for c in ("session", "run") if c in trials),
    ]
    if "onset_s" in trials:
        keys.append(trials["onset_s"].to_numpy(np.float64))
    if "block" in trials:
        keys.append(_numbered(trials, "block"))
    if "array_row" in trials:
        keys.append(trials["array_row"].to_numpy(np.int64))
    return np.lexsort(keys[::-1])


def _known(column: pd.Series) -> bool:
    return bool(column.notna().all())


def _numbered(trials: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """Return the names in a column as numbers from 0, within each person; missing ones first."""
    names = trials[column].astype("string").fillna("").to_numpy(object)
    subjects = trials["subject"].astype(str).to_numpy(object)
    number = np.zeros(len(trials))
    for subject in dict.fromkeys(subjects):
        own = np.flatnonzero(subjects == subject)
        place = {name: i for i, name in enumerate(sorted(set(names[own]), key=_natural))}
        number[own] = [place[name] for name in names[own]]
    return number


def _natural(name: str) -> list[tuple[int, float, str]]:
    parts = re.split(r"(\d+)", str(name))
    return [(0, float(p), "") if p.isdigit() else (1, 0.0, p) for p in parts if p]
