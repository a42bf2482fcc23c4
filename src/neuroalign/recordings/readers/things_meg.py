"""THINGS-MEG, the preprocessed epochs: reader, card and options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.card import Bucket, Card, Steps
from neuroalign.recordings.readers.contract import (
    Options,
    Part,
    Plan,
    Reader,
    Settled,
    Staged,
    StagedPart,
    Write,
)
from neuroalign.recordings.readers.things_meg_epochs import (
    FOLDER,
    epochs_steps,
    first_part,
    plan_person,
    stage_session,
)
from neuroalign.recordings.readers.things_meg_settling import MegOptions, finish, settle
from neuroalign.recordings.readers.things_meg_trials import Published
from neuroalign.recordings.writer import RecordingsWriter

TITLE = "THINGS-MEG"
URL = "https://openneuro.org/datasets/ds004212"
CITATION = (
    "Hebart MN, Contier O, Teichmann L, Rockter AH, Zheng CY, Kidder A, Corriveau A, "
    "Vaziri-Pashkam M, Baker CI (2023). THINGS-data, a multimodal collection of large-scale "
    "datasets for investigating object representations in human brain and behavior. "
    "eLife 12:e82580. https://doi.org/10.7554/eLife.82580"
)
PICTURES = Steps(
    steps=(
        "The pictures: open https://osf.io/jum2f, read the licence in password_images.txt, "
        "download images_THINGS.zip and unpack it with the password given there. The folder that "
        "has one folder for each concept is what --pictures takes.",
    )
)
TRIALS = "22,248 training, 2,400 test (200 x 12) and 2,400 catch each"
SHOWN = "22,448 of 1,854 concepts"


class ThingsMegReader(Reader):
    """Reads `derivatives/preprocessed`; a part is a session of a person."""

    card: ClassVar[Card] = Card(
        name="things-meg",
        title=f"{TITLE} (preprocessed epochs)",
        modality="meg",
        people="4",
        trials=TRIALS,
        pictures=SHOWN,
        size_gb=33.0,
        url=URL,
        licence="CC0",
        citation=CITATION,
        subjects=("P1", "P2", "P3", "P4"),
        sources=(
            Bucket(
                bucket="openneuro.org",
                region="us-east-1",
                root="ds004212/",
                prefixes=(
                    "derivatives/preprocessed/preprocessed_{subject}-epo",
                    "sourcedata/sample_attributes_{subject}.csv",
                ),
            ),
            PICTURES,
        ),
        layout="""
derivatives/preprocessed/preprocessed_P1-epo.fif      the first split part of a person
derivatives/preprocessed/preprocessed_P1-epo-1.fif    ... and all that follow
sourcedata/sample_attributes_P1.csv                   optional: compared with the metadata
""",
    )
    options: ClassVar[type[Options]] = MegOptions
    published: ClassVar[Published] = Published()

    def recognises(self, folder: Path) -> bool:
        """Whether the first split part of anybody is there."""
        return any((folder / FOLDER).glob("preprocessed_P[0-9]*-epo*.fif"))

    def plan(self, folder: Path, options: Options, subjects: Sequence[str] | None) -> Plan:
        """List the sessions; see `things_meg_epochs.plan_person`."""
        assert isinstance(options, MegOptions)
        named = self.card.people_named(subjects)
        numbers = [int(n[1:]) for n in named]
        if subjects is None:
            there = [n for n in numbers if _is_there(folder, n)]
            findings = absent([f"P{n}" for n in numbers if n not in there]) if there else ()
            numbers = there or numbers
        else:
            findings = ()
        plans = [plan_person(folder, n, options, self.published) for n in numbers]
        return Plan(
            tuple(p for plan in plans for p in plan.parts),
            (*findings, *(f for plan in plans for f in plan.findings)),
        )

    def stage(self, part: Part, options: Options, write: Write) -> Staged:
        """Read a session; see `things_meg_epochs.stage_session`."""
        assert isinstance(options, MegOptions)
        return stage_session(part, options, self.published, write)

    def settle(self, parts: Sequence[StagedPart], options: Options) -> Settled:
        """Apply the protocol and number the repeats; see `things_meg_settling.settle`."""
        assert isinstance(options, MegOptions)
        if not parts:
            raise NeuroalignError("There are no sessions of THINGS-MEG to prepare.")
        units = "standard deviations of the baseline"
        return settle(parts, options, self.published, epochs_steps(options), units)

    def finish(
        self, subject: str, settled: Settled, options: Options, writer: RecordingsWriter
    ) -> None:
        """Write a person, scaled by the training trials."""
        assert isinstance(options, MegOptions)
        finish(subject, settled, options, writer)


def _is_there(folder: Path, number: int) -> bool:
    stem = first_part(folder, number).name.removesuffix(".fif")
    return any((folder / FOLDER).glob(f"{stem}*.fif"))


def absent(names: Sequence[str]) -> tuple[Finding, ...]:
    """Return a note for each of the published people who have no files in a folder."""
    what = "has no files here and is left out"
    return tuple(Finding(name, what, "note", 1) for name in names)
