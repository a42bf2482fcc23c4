"""Another division of a trial table into training and test: by whole groups of trials."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError

SplitBy = Literal["picture", "concept", "run", "session", "person"]
SPLIT_BY: tuple[SplitBy, ...] = ("picture", "concept", "run", "session", "person")

#: Groups that belong to a person, and not to everybody.
_OF_A_PERSON = ("run", "session")
_COLUMNS = {
    "picture": ["stimulus"],
    "concept": ["label"],
    "run": ["subject", "session", "run"],
    "session": ["subject", "session"],
    "person": ["subject"],
}


@dataclass(frozen=True)
class Regrouped:
    """A trial table that was divided anew.

    Attributes
    ----------
    trials : pandas.DataFrame
        The trials that are kept, with new `split`, `held_out` and `repetition`.
    left_out : pandas.DataFrame
        Training trials that show a test picture where the groups are not pictures, or that are of
        a test group where the test trials were kept as they were.
    test_groups : tuple of str
    """

    trials: pd.DataFrame
    left_out: pd.DataFrame
    test_groups: tuple[str, ...]


def regroup(
    trials: pd.DataFrame,
    by: SplitBy,
    *,
    test_share: float = 0.2,
    test: Sequence[str] | None = None,
    keep_test: bool = False,
    seed: int = 0,
    one_picture: Mapping[str, str] | None = None,
    where: str = "recordings",
) -> Regrouped:
    """Divide trials into training and test so that no group lies on both sides.

    With `keep_test`, the test trials stay what they are, and training trials of their groups are
    left out: the 12 training pictures of each test concept of THINGS-MEG, for its zero-shot
    protocol. Where pictures are known and the groups are runs, sessions or people, training trials
    with a picture that the test set shows are left out: no picture lies on both sides either.

    Parameters
    ----------
    trials : pandas.DataFrame
        A trial table; its own `split` matters with `keep_test` only.
    by : {"picture", "concept", "run", "session", "person"}
        Pictures, concepts and people are held out from everybody; runs and sessions are those of
        a person.
    test_share : float
        Share of the groups (of each person's runs or sessions) to hold out, at least one; a
        person with a single run or session is trained on and not tested.
    test : sequence of str, optional
        Groups to hold out instead, by name: "run-03", "3" or "sub-01_ses-02_run-03"; a picture;
        a concept; a person.
    keep_test : bool
        Keep the test trials; neither `test_share` nor `test` is looked at.
    seed : int
        Draws the groups of `test_share`.
    one_picture : mapping from name to name, optional
        One name for all names of a picture (see `names_of_content`): copies stay together.

    Raises
    ------
    NeuroalignError
        The table does not know the groups, a name is none of them, or a side would be empty.
    """
    pictures = trials["stimulus"].replace(dict(one_picture or {}))
    groups = group_names(trials.assign(stimulus=pictures), by, where)
    if keep_test:
        held = (trials["split"] == "test").to_numpy(bool)
        chosen = set(groups[held])
    elif test is None:
        chosen = _drawn(trials, groups, by, test_share, seed, where)
        held = groups.isin(sorted(chosen)).to_numpy(bool)
    else:
        chosen = _named(groups, by, test if by != "picture" else _one(test, one_picture), where)
        held = groups.isin(sorted(chosen)).to_numpy(bool)
    tested = set(pictures[held].dropna())
    leaks = ~held & pictures.isin(list(tested)).to_numpy(bool)
    leaks |= ~held & groups.isin(sorted(chosen)).to_numpy(bool)
    kept = trials[~leaks].copy()
    side = pd.Series(held[~leaks], kept.index)
    kept["split"] = side.map({True: "test", False: "train"}).astype("string")
    if not keep_test:
        kept["held_out"] = side.map({True: str(by), False: None}).astype("string")
    kept["repetition"] = _renumbered(kept)
    _check_sides(kept, trials, by, leaks, where)
    return Regrouped(kept, trials[leaks], tuple(sorted(chosen)))


def group_names(trials: pd.DataFrame, by: SplitBy, where: str = "recordings") -> pd.Series:
    """Return the group of each trial: `sub-01_ses-02_run-03`, or the picture, concept or person.

    Raises
    ------
    NeuroalignError
        The table does not know the group of some trials.
    """
    columns = _COLUMNS[by]
    wanted = columns[-1]
    missing = trials[wanted].isna()
    if missing.any():
        known = [b for b in SPLIT_BY if trials[_COLUMNS[b][-1]].notna().all()]
        raise NeuroalignError(
            f"{where}: {int(missing.sum())} of {len(trials)} trials do not say their {wanted}, so "
            f"they cannot be split by {by}. This table can be split by {', '.join(known)}."
        )
    names = trials[columns[0]].astype("string")
    for column in columns[1:]:
        known_here = trials[column].astype("string")
        prefix = "_ses-" if column == "session" else "_run-"
        names = names + (prefix + known_here).fillna("")
    return names


def names_of_content(pictures: pd.DataFrame) -> dict[str, str]:
    """Return, for the pictures whose file is a copy of another's, the name that comes first.

    Parameters
    ----------
    pictures : pandas.DataFrame
        With the columns `stimulus` and `sha256`, as of a `PictureSet`.
    """
    ordered = pictures.sort_values("stimulus", kind="stable")
    first = ordered.groupby("sha256")["stimulus"].transform("first")
    differ = first != ordered["stimulus"]
    return dict(zip(ordered["stimulus"][differ], first[differ], strict=True))


def _one(names: Sequence[str], one_picture: Mapping[str, str] | None) -> list[str]:
    return [(one_picture or {}).get(name, name) for name in names]


def _drawn(
    trials: pd.DataFrame, groups: pd.Series, by: SplitBy, share: float, seed: int, where: str
) -> set[str]:
    if not 0 < share < 1:
        raise NeuroalignError(f"The share of test groups must lie between 0 and 1, got {share:g}.")
    rng = np.random.default_rng(seed)
    owners = trials["subject"].astype("string") if by in _OF_A_PERSON else groups.map(lambda _: "")
    chosen: set[str] = set()
    for _, own in groups.groupby(owners, sort=True):
        names = sorted(own.unique())
        count = min(max(1, math.floor(share * len(names) + 0.5)), len(names) - 1)
        chosen |= {names[i] for i in rng.permutation(len(names))[:count]}
    if not chosen:
        whose = "each person has" if by in _OF_A_PERSON else "there is"
        raise NeuroalignError(
            f"{where}: {whose} a single {by}, so none can be held out. Split by something finer."
        )
    return chosen


def _named(groups: pd.Series, by: SplitBy, test: Sequence[str], where: str) -> set[str]:
    known = groups.unique()
    chosen: set[str] = set()
    for name in test:
        if by in _OF_A_PERSON:
            wanted = [name] if "-" in name else [f"{'run' if by == 'run' else 'ses'}-{name}"]
            parts = {_unpadded(p) for p in (name.split("_") if "_" in name else wanted)}
            fitting = {g for g in known if g == name or parts <= set(map(_unpadded, _parts(g)))}
        else:
            fitting = {name} & set(known)
        if not fitting:
            some = ", ".join(map(str, sorted(known)[:12]))
            raise NeuroalignError(
                f"{where}: {name!r} is no {by} of these recordings ({some}"
                f"{', ...' if len(known) > 12 else ''})."
            )
        chosen |= fitting
    return chosen


def _unpadded(part: str) -> str:
    """Return `run-3` for `run-03`."""
    return re.sub(r"^(run|ses)-0+(?=\d+$)", r"\1-", part)


def _parts(group: str) -> list[str]:
    """Return the parts of `sub-01_ses-02_run-03`; a subject's own underscores stay together."""
    parts = []
    for mark in ("_run-", "_ses-"):
        group, found, name = group.partition(mark)
        if found:
            parts.append(mark[1:] + name)
    return [group, *parts]


def _renumbered(kept: pd.DataFrame) -> pd.Series:
    """Count the repeats of a picture anew, for each person and side."""
    keys = [kept["subject"].astype(str), kept["stimulus"].astype("string"), kept["split"]]
    count = kept.groupby(keys, dropna=False).cumcount() + 1
    return count.astype("Int64").mask(kept["stimulus"].isna())


def _check_sides(
    kept: pd.DataFrame, trials: pd.DataFrame, by: SplitBy, leaks: npt.NDArray[np.bool_], where: str
) -> None:
    train = kept["split"] == "train"
    if not (~train).any():
        raise NeuroalignError(f"{where}: no test trials are left.")
    if not train.any():
        why = (
            f"the {int(leaks.sum())} trials outside the test set show pictures of the test set, "
            f"or are of a {by} of it, which may not lie on both sides. Split by picture or by "
            "concept."
            if leaks.any()
            else f"every {by} would be held out. Hold out fewer."
        )
        raise NeuroalignError(f"{where}: no training trials are left: {why}")
    _check_choice(kept, trials, by, where)
    if by == "person":
        return
    lost = sorted(set(trials["subject"]) - set(kept.loc[train, "subject"]))
    if lost:
        raise NeuroalignError(
            f"{where}: subject(s) {', '.join(map(str, lost))} would keep no training trials. Hold "
            f"out fewer, or split by {'picture' if by in _OF_A_PERSON else 'run'}."
        )


def _check_choice(kept: pd.DataFrame, trials: pd.DataFrame, by: SplitBy, where: str) -> None:
    """Refuse a side on which one class is all that is known: nothing is left to tell apart."""
    for side, called, what in (("test", "test", "scored"), ("train", "training", "learnt")):
        own = kept[kept["split"] == side]
        classes = own["label"].unique()
        if own["stimulus"].notna().any() or own["label"].isna().any() or len(classes) > 1:
            continue
        every = sorted(trials["label"].dropna().unique())
        instead = [b for b in ("run", "session") if trials[b].notna().all()]
        raise NeuroalignError(
            f"{where}: all {len(own)} {called} trials would be of one class, {classes[0]!r}, and "
            f"pictures are not known: nothing can be {what} without a second class. There are "
            f"{len(every)} in all ({', '.join(map(str, every[:5]))}{', ...' * (len(every) > 5)}). "
            + (
                f"Split by {' or '.join(instead)}, so that each class is on both sides."
                if instead and by == "concept"
                else "Hold out others, so that each side has at least two."
            )
        )
