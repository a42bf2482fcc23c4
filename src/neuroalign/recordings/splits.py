"""Which runs are held out as the test set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError

#: "last": the last run of each person; a share of each person's runs, from the end; run names
#: ("run-06", "sub-01_ses-02_run-01"); None: everything is for training.
TestRule = str | float | Sequence[str] | None


@dataclass(frozen=True)
class Run:
    """One usable recording of one person, in the order in which they were recorded.

    `others` holds what else its name needs to be the only one, such as "task-faces".
    """

    subject: str
    session: str | None = None
    run: str | None = None
    others: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name as BIDS would write it, such as `sub-01_ses-02_run-03`."""
        parts = [self.subject]
        if self.session is not None:
            parts.append(f"ses-{self.session}")
        parts += self.others
        if self.run is not None:
            parts.append(f"run-{self.run}")
        return "_".join(parts)


def choose_test_runs(runs: Sequence[Run], rule: TestRule) -> frozenset[Run]:
    """Choose whole runs to hold out; every person keeps at least one run for training.

    Parameters
    ----------
    runs : sequence of Run
        The usable runs, each person's in the order of recording.
    rule : "last", share between 0 and 1, sequence of names, or None
        A name holds out each run that has all of its parts: "run-06" that run of everybody,
        "sub-01_run-06" of one person.

    Returns
    -------
    frozenset of Run
        People with a single run have none in it, unless it is named (which is an error).

    Raises
    ------
    NeuroalignError
        The rule is none of these, a name fits no run, or a person would keep no training run.
    """
    people: dict[str, list[Run]] = {}
    for run in runs:
        people.setdefault(run.subject, []).append(run)
    if rule is None:
        return frozenset()
    if rule == "last":
        return frozenset(own[-1] for own in people.values() if len(own) > 1)
    if isinstance(rule, (int, float)):
        if not 0 < rule < 1:
            raise NeuroalignError(
                f"The share of test runs must lie between 0 and 1, got {rule:g} (0.2: the last "
                "fifth of each person's runs)."
            )
        chosen: list[Run] = []
        for own in people.values():
            count = min(math.ceil(rule * len(own)), len(own) - 1)
            chosen += own[len(own) - count :]
        return frozenset(chosen)
    return _named_runs(runs, people, [rule] if isinstance(rule, str) else list(rule))


def hold_out_end(onsets_s: npt.ArrayLike, gap_s: float) -> npt.NDArray[np.object_]:
    """Divide the trials of a single run in time: the last third is the test set.

    Parameters
    ----------
    onsets_s : array of shape (n_trials,)
        In seconds, in any order.
    gap_s : float
        Training trials this close to the first test trial are left out.

    Returns
    -------
    array of shape (n_trials,), object
        "train", "gap" or "test".
    """
    onsets = np.asarray(onsets_s, np.float64)
    order = np.argsort(onsets, kind="stable")
    first_test = onsets[order[len(onsets) - len(onsets) // 3]] if len(onsets) >= 3 else np.inf
    parts = np.full(len(onsets), "train", dtype=object)
    parts[onsets > first_test - gap_s] = "gap"
    parts[onsets >= first_test] = "test"
    return parts


def _named_runs(
    runs: Sequence[Run], people: dict[str, list[Run]], names: Sequence[str]
) -> frozenset[Run]:
    chosen: set[Run] = set()
    for name in names:
        wanted = set(str(name).split("_"))
        fitting = [r for r in runs if wanted <= set(r.name.split("_")) or name == r.run]
        if not fitting:
            known = ", ".join(r.name for r in runs[:12])
            raise NeuroalignError(
                f"The test run {name!r} is none of the usable runs ({known}"
                f"{', ...' if len(runs) > 12 else ''}). Name runs like these, a part of such a "
                'name ("run-06"), "last", or a share of the runs (0.2).'
            )
        chosen.update(fitting)
    for subject, own in people.items():
        if chosen.issuperset(own):
            raise NeuroalignError(
                f"Subject {subject} has {len(own)} usable run(s), and the test rule takes all of "
                "them: none would be left to train on. Hold out fewer runs."
            )
    return frozenset(chosen)
