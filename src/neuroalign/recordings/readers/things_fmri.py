"""THINGS-fMRI: single-trial betas of three people who saw 8,740 pictures of objects.

Hebart et al. (2023), eLife 12:e82580. The betas are published twice, as tables and as volumes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.card import Card, Listing, Steps
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
from neuroalign.recordings.readers.things import parse_picture, picture_table
from neuroalign.recordings.readers.things_fmri_design import Published, check_people
from neuroalign.recordings.readers.things_fmri_staging import copied_runs
from neuroalign.recordings.readers.things_fmri_tables import (
    plan_tables,
    stage_tables,
    tables_folder,
    voxels_of_tables,
)
from neuroalign.recordings.readers.things_fmri_volumes import (
    plan_volumes,
    stage_volumes,
    volumes_folder,
    voxels_of_volumes,
)
from neuroalign.recordings.schema import Dropped, RecordingsInfo, Step
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.signals import steps
from neuroalign.signals.scaling import Scaling, fit_scaling

_BLOCK_VALUES = 2**24


class ThingsFmriOptions(Options):
    """What to read of THINGS-fMRI, and how to scale it."""

    form: Literal["auto", "tables", "volumes"] = Field(
        "auto", description="Which of the two published forms; auto: tables where they are there."
    )
    roi: tuple[str, ...] = Field(
        ("visual",),
        description="ROI columns of the voxel table, or patterns such as glasser-V*; their union. "
        "`visual`: every ROI drawn in this person (all but the Glasser atlas); `all`: every voxel.",
    )
    zscore: Literal["session", "person", "none"] = Field(
        "session", description="Whose training trials give each voxel's mean and spread."
    )
    protocol: Literal["paper", "zero-shot"] = Field(
        "paper", description="zero-shot: training trials of concepts of the test set are dropped."
    )
    sessions: tuple[str, ...] = Field((), description="Only these sessions (1 to 12).")
    catch: tuple[str, ...] = Field(
        (), description="Volumes: patterns of further pictures of catch trials, such as noise/*."
    )
    pictures: Path | None = Field(None, description="The folder of the THINGS pictures.")


class ThingsFmri(Reader):
    """Reads the betas of THINGS-fMRI, as tables or as volumes.

    Attributes
    ----------
    published : Published
        The counts that every person must have.
    """

    published: ClassVar[Published] = Published()
    options: ClassVar[type[Options]] = ThingsFmriOptions
    card: ClassVar[Card] = Card(
        name="things-fmri",
        title="THINGS-fMRI",
        modality="fmri",
        people="3",
        trials="9,840 each (8,640 to train, 1,200 to test)",
        pictures="8,640 to train, 100 to test (12 times each)",
        size_gb=43,
        url="https://doi.org/10.25452/figshare.plus.20492835",
        licence="CC0 (OpenNeuro ds004192); of the betas as stated on figshare",
        citation="Hebart et al. (2023), eLife 12:e82580, doi:10.7554/eLife.82580",
        subjects=("sub-01", "sub-02", "sub-03"),
        sources=(
            Listing(kind="figshare", record="20492835", names=("*betas_csv.zip",)),
            Steps(
                steps=(
                    "Unpack betas_csv.zip here (it becomes the folder betas_csv, 50 GB).",
                    "The other form, volumes, is in the collection "
                    "https://doi.org/10.25452/figshare.plus.c.6161151.",
                    "For the places of voxels, put the folder `brainmasks` of the THINGS-fMRI "
                    "derivatives beside it.",
                    "The pictures are those of THINGS: https://things-initiative.org.",
                )
            ),
        ),
        layout="""\
betas_csv/sub-01_ResponseData.h5          voxels x trials, as pandas stores it
betas_csv/sub-01_StimulusMetadata.csv     a row a trial
betas_csv/sub-01_VoxelMetadata.csv        a row a voxel: place, noise ceilings, ROIs
brainmasks/sub-01_space-T1w_brainmask.nii.gz           (for tables: optional)
betas_vol/sub-01/ses-things01/sub-01_ses-things01_run-01_betas.nii.gz       (the other form)
betas_vol/sub-01/ses-things01/sub-01_ses-things01_run-01_conditions.tsv
""",
    )

    def recognises(self, folder: Path) -> bool:
        """Whether betas of either form lie in `folder`."""
        try:
            return tables_folder(folder) is not None or volumes_folder(folder) is not None
        except NeuroalignError:
            return True

    def plan(self, folder: Path, options: Options, subjects: Sequence[str] | None) -> Plan:
        """List the sessions of these people; tables are held against each other and the counts."""
        assert isinstance(options, ThingsFmriOptions)
        if options.pictures is not None:
            picture_table((), options.pictures)  # refused before anything is read
        tables = tables_folder(folder)
        volumes = volumes_folder(folder) if options.form != "tables" else None
        wanted = self.card.people_named(subjects)
        findings: list[Finding] = []
        form = options.form
        if form == "auto":
            form = "volumes" if tables is None and volumes is not None else "tables"
            if tables is not None and volumes is not None:
                what = "both forms of the betas are there; the tables are read (--form volumes)"
                findings.append(Finding(folder.name, what, "note", 2))
        base = tables if form == "tables" else volumes
        if base is None:
            raise NeuroalignError(
                f"{folder} holds no {form} of THINGS-fMRI. Expected:\n{self.card.layout}"
            )
        bases = (folder, folder / "derivatives", folder.parent, base.parent)
        sessions = self._sessions(options)
        there = [s for s in wanted if _has_files(base, s)]
        if subjects is None and there and len(there) < len(wanted):
            absent = [s for s in wanted if s not in there]
            what = f"{len(absent)} of {len(wanted)} people are not there: {', '.join(absent)}"
            findings.append(Finding(base.name, what, "warning", len(absent)))
            wanted = tuple(there)
        parts: list[Part] = []
        for subject in wanted:
            if form == "tables":
                more, found = plan_tables(
                    base, bases, subject, options.roi, sessions, self.published
                )
            else:
                more, found = plan_volumes(
                    base,
                    bases,
                    tables,
                    subject,
                    options.roi,
                    options.catch,
                    sessions,
                    self.published,
                )
            parts += more
            findings += found
        return Plan(tuple(parts), tuple(findings))

    def stage(self, part: Part, options: Options, write: Write) -> Staged:
        """Read one session of one person."""
        assert isinstance(options, ThingsFmriOptions)
        stage = stage_tables if part.where["form"] == "tables" else stage_volumes
        return stage(part, options.roi, write)

    def settle(self, parts: Sequence[StagedPart], options: Options) -> Settled:
        """Name splits, number repeats, and drop what the protocol leaves out."""
        assert isinstance(options, ThingsFmriOptions)
        people: dict[str, tuple[StagedPart, ...]] = {}
        dropped: list[Dropped] = []
        tables: dict[str, pd.DataFrame] = {}
        for subject in dict.fromkeys(p.part.subject for p in parts):
            own = sorted((p for p in parts if p.part.subject == subject), key=lambda p: p.part.name)
            done, gone = _settle_person(subject, own, options)
            people[subject] = done
            dropped += gone
            tables[subject] = pd.concat([p.trials for p in done], ignore_index=True)
        names = pd.concat(tables.values())["stimulus"].unique()
        pictures, findings = picture_table(
            [parse_picture(f"{name}.jpg") for name in names], options.pictures
        )
        chosen = any(p.part.where.get("table", True) for p in parts)
        roi = options.roi if chosen else ("all",)
        info = RecordingsInfo(
            modality="fmri",
            axes=("voxels",),
            units="betas, as published" if options.zscore == "none" else "standard deviations",
            steps=_steps(options, roi),
            dropped=tuple(dropped),
            source=f"{self.card.title}: {self.card.citation}",
            licence=self.card.licence,
        )
        written = [part for own in people.values() for part in own]
        findings = [*copied_runs(written), *check_people(tables, self.published), *findings]
        return Settled(people, info, tuple(findings), pictures)

    def finish(
        self, subject: str, settled: Settled, options: Options, writer: RecordingsWriter
    ) -> None:
        """Scale and write one person's trials, with what is known of each voxel."""
        assert isinstance(options, ThingsFmriOptions)
        parts = settled.people[subject]
        keep = _usable(parts)
        groups = [(p,) for p in parts] if options.zscore == "session" else [parts]
        for group in groups:
            scaling = None if options.zscore == "none" else _fit(subject, group, keep)
            for part in group:
                for signals, trials in part.blocks(_block_size(part)):
                    block = signals[:, keep]
                    if scaling is not None:
                        block = scaling.apply(block)
                    writer.append(subject, block, trials.drop(columns="staged_row"))
        first = parts[0].part
        find = voxels_of_tables if first.where["form"] == "tables" else voxels_of_volumes
        voxels = find(first, options.roi)
        if voxels.index is not None and voxels.shape is not None:
            writer.set_volume(subject, voxels.index[keep], voxels.shape, voxels.affine)
        for name, values in voxels.arrays.items():
            writer.add_array(name, subject, values[keep])

    def _sessions(self, options: ThingsFmriOptions) -> tuple[int, ...]:
        known = range(1, self.published.sessions + 1)
        if not options.sessions:
            return tuple(known)
        chosen = []
        for text in options.sessions:
            digits = text.removeprefix("ses-").removeprefix("things")
            if not digits.isdigit() or int(digits) not in known:
                raise NeuroalignError(
                    f"There is no session {text!r}: sessions are 1 to {known[-1]}."
                )
            chosen.append(int(digits))
        return tuple(sorted(set(chosen)))


def _has_files(base: Path, subject: str) -> bool:
    return (base / subject).is_dir() or any(base.glob(f"{subject}_*"))


def _settle_person(
    subject: str, parts: Sequence[StagedPart], options: ThingsFmriOptions
) -> tuple[tuple[StagedPart, ...], list[Dropped]]:
    """Name the split and number the repeats of one person, session by session."""
    counts = {p.facts["voxels"] for p in parts}
    if len(counts) > 1:
        raise NeuroalignError(
            f"{subject}: sessions differ in their number of voxels ({sorted(counts)}). They were "
            "read from files of different versions: download them again."
        )
    trials = pd.concat([p.trials.assign(part=i) for i, p in enumerate(parts)], ignore_index=True)
    trials = trials.rename(columns={"trial_type": "split"})
    dropped = []
    if options.protocol == "zero-shot":
        test = set(trials.loc[trials["split"] == "test", "label"])
        seen = (trials["split"] == "train") & trials["label"].isin(test)
        if seen.any():
            reason = "zero-shot: a training picture of a concept of the test set"
            dropped.append(Dropped(where=subject, trials=int(seen.sum()), reason=reason))
        trials = trials[~seen]
    trials["repetition"] = trials.groupby("stimulus").cumcount() + 1
    for column in ("session", "run"):
        trials[column] = trials[column].map("{:02d}".format)
    lost = int((~_usable(parts)).sum())
    if lost:
        where = f"{subject}, {lost} of {counts.pop()} voxels"
        reason = "NaN, infinite or unchanging in some session"
        dropped.append(Dropped(where=where, trials=0, reason=reason))
    done = tuple(
        replace(p, trials=trials[trials["part"] == i].drop(columns="part"))
        for i, p in enumerate(parts)
    )
    return tuple(p for p in done if len(p.trials)), dropped


def _usable(parts: Sequence[StagedPart]) -> npt.NDArray[np.bool_]:
    keep = np.ones(int(parts[0].facts["voxels"]), bool)
    for part in parts:
        keep[list(part.facts["unusable"])] = False
    if not keep.any():
        raise NeuroalignError(
            f"{parts[0].part.subject}: none of the {len(keep)} voxels that are read holds a "
            "changing number in every session. Choose another ROI, or download the betas again."
        )
    return keep


def _block_size(part: StagedPart) -> int:
    """Return how many trials to read at a time: few of a whole brain."""
    return min(256, max(1, _BLOCK_VALUES // part.feature_shape[0]))


def _fit(subject: str, parts: Sequence[StagedPart], keep: npt.NDArray[np.bool_]) -> Scaling:
    def training() -> Iterator[npt.NDArray[np.float32]]:
        for part in parts:
            for signals, trials in part.blocks(_block_size(part)):
                yield signals[(trials["split"] == "train").to_numpy()][:, keep]

    try:
        return fit_scaling(training())
    except NeuroalignError as error:
        names = ", ".join(p.part.name for p in parts)
        raise NeuroalignError(f"{subject} ({names}): {error}") from error


def _steps(options: ThingsFmriOptions, roi: tuple[str, ...]) -> tuple[Step, ...]:
    done = [
        steps.record("voxels", by=(), roi=list(roi)),
        steps.record("split", by=(), rule="trial type", protocol=options.protocol),
    ]
    if options.zscore != "none":
        of = "each session" if options.zscore == "session" else "each person"
        done.append(steps.record("z-score", fitted_on=f"training trials of {of}, per voxel"))
    return tuple(done)
