"""The rule about designs that give the class away to a clock."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from neuroalign.audit.design import ALPHA, DesignTest, test_design
from neuroalign.audit.findings import Finding, Skipped, some
from neuroalign.audit.levels import one_with_class
from neuroalign.audit.material import Material
from neuroalign.audit.pictures_in_time import test_pictures
from neuroalign.errors import NeuroalignError
from neuroalign.recordings.schema import Modality

CLASS_FROM_TIME = "class-from-time"

#: Share of the way from chance to 1 below which a class that can be told is a warning only.
SMALL = 0.01
#: From this share on, a design too small for any test is a warning,
FAR = 0.5
#: if hardly any order of its blocks would tell more.
_NEARLY = 1.5
_UNKNOWN = "no two classes of a person occur in both training and test trials"
_WHY = (
    "Whatever drifts in the course of a recording then tells the class, and no score shows how "
    "much of it came from the pictures. (Where the table was only sorted by class after the "
    "recording, give it the onsets, runs and sessions.)"
)
_REMEDY = (
    "record classes in random order; until then hold out whole blocks or runs that share none with "
    "training (`neuroalign split --by run`), and whole classes where each has one block or session "
    "(`--by concept`)."
)


def class_from_time(material: Material) -> Iterator[Finding | Skipped]:
    """Find classes that can be told from time, run, block or trial index alone.

    Where classes are not known, or none is on both sides, the pictures themselves are looked at.
    """
    for modality, trials in material.trials.items():
        concept = material.concepts(modality)
        table = trials.assign(concept=concept)
        n_test = int((trials["part"] == "test").sum())
        found: list[Finding | Skipped] = list(_one_with(modality, table, n_test))
        test = test_design(table)
        if test is not None and not found:
            found = list(_judged(modality, test, n_test, "class", "right"))
        unknown = int(concept[trials["part"] == "test"].isna().sum())
        if not found and (test is None or unknown):
            found = list(_by_pictures(material, modality, n_test, test is None))
        yield from found


def _one_with(modality: str, table: pd.DataFrame, n_test: int) -> Iterator[Finding]:
    one = one_with_class(table)
    if one is None:
        return
    yield Finding(
        CLASS_FROM_TIME,
        "refusal",
        modality,
        f"class and {one.name} are one: each {one.name} with trials of both sides ({one.n_parts}) "
        f"holds a single class, so that it tells the class of {one.n_test} test trials without any "
        "signal",
        one.n_test,
        n_test,
        _WHY,
        "record every class in every session, run and block, and with every person; in what was "
        "recorded, hold out whole classes (`neuroalign split --by concept`).",
        some(one.people) if one.name != "person" else (),
    )


def _judged(
    modality: str, test: DesignTest, n_test: int, asked: str, unit: str
) -> Iterator[Finding]:
    excess = (test.accuracy - test.chance) / (1 - test.chance) if test.chance < 1 else 0.0
    said = (
        f"the {asked} of {test.n_test} test trials is told without any signal, from "
        f"{test.told_by}: {test.accuracy:.3f} {unit}, against {test.chance:.3f} by chance"
    )
    if test.p < ALPHA:
        severity = "refusal" if excess >= SMALL else "warning"
        yield Finding(
            CLASS_FROM_TIME,
            severity,  # type: ignore[arg-type]
            modality,
            f"{said} (p = {test.p:.3f})",
            test.n_test,
            n_test,
            _WHY,
            _REMEDY,
        )
    elif test.attainable >= ALPHA and test.p <= _NEARLY * test.attainable and excess >= FAR:
        yield Finding(
            CLASS_FROM_TIME,
            "warning",
            modality,
            f"{said}, and no test can tell this from luck: blocks are so few that p cannot fall "
            f"below {test.attainable:.2g}",
            test.n_test,
            n_test,
            _WHY,
            "record more blocks, in random order, or classes in random order within blocks; a "
            "decoder of these test trials can show no more than this clock.",
        )


def _by_pictures(
    material: Material, modality: Modality, n_test: int, alone: bool
) -> Iterator[Finding | Skipped]:
    """Look at the pictures themselves; `alone` where no class could be looked at."""
    recordings, parts = material.recordings[modality], material.trials[modality]["part"]
    if material.embeddings is None:
        why = material.no_pictures or "there are no embeddings of the pictures either"
    else:
        try:
            test = test_pictures(recordings, parts, material.embeddings)
        except NeuroalignError as error:
            why = str(error)
        else:
            yield from _judged(modality, test, n_test, "picture", "2-way")
            return
    if alone:
        yield Skipped(CLASS_FROM_TIME, modality, f"{_UNKNOWN}, and pictures tell nothing: {why}")
    else:
        yield Skipped(
            CLASS_FROM_TIME, modality, f"test trials without a class were left out: {why}"
        )
