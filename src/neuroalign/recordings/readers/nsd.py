"""The Natural Scenes Dataset: 7T fMRI of eight people who saw up to 10,000 pictures each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.readers.card import Bucket, Card
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
from neuroalign.recordings.readers.nsd_betas import PER_PERCENT, read_betas, read_region
from neuroalign.recordings.readers.nsd_design import MOST_SESSIONS, read_design
from neuroalign.recordings.readers.nsd_files import plan_files
from neuroalign.recordings.readers.nsd_trials import finish_person, odd_values, settle_sessions
from neuroalign.recordings.writer import RecordingsWriter

_BLOCK = 64


class NsdOptions(Options):
    """What can be chosen."""

    betas: Literal["betas_assumehrf", "betas_fithrf", "betas_fithrf_GLMdenoise_RR"] = Field(
        "betas_fithrf_GLMdenoise_RR", description="Version of the betas."
    )
    container: Literal["auto", "hdf5", "nifti"] = Field(
        "auto", description="Which files to read; auto: HDF5 where it is there."
    )
    roi: str = Field("nsdgeneral", description="A mask of the person's roi folder.")
    roi_values: tuple[str, ...] = Field(
        (), description="Values of the mask to keep, such as 1,2; otherwise all above 0."
    )
    sessions: int | None = Field(
        None,
        ge=1,
        le=MOST_SESSIONS,
        description="Only the first so many sessions (37: the paper's); otherwise all there are.",
    )
    zscore: Literal["session", "none"] = Field(
        "session", description="z-score each voxel with a session's training trials, or not."
    )
    repeats: Literal["single", "averaged"] = Field(
        "single", description="Single trials, or averages of a person's trials with a picture."
    )


class NsdReader(Reader):
    """Reads the files of the natural-scenes-dataset bucket."""

    card: ClassVar[Card] = Card(
        name="nsd",
        title="Natural Scenes Dataset",
        modality="fmri",
        people="8 (the paper: 1, 2, 5 and 7)",
        trials="22,500 to 30,000 each",
        pictures="73,000 of COCO; 9,209 to 10,000 seen by each, 1,000 of them by all",
        size_gb=350.0,
        url="https://naturalscenesdataset.org",
        licence="NSD Terms and Conditions (to be agreed to on the data set's page before use)",
        citation=(
            "Allen, St-Yves, Wu, Breedlove, Prince, Dowdle, Nau, Caron, Pestilli, Charest, "
            "Hutchinson, Naselaris and Kay (2022). A massive 7T fMRI dataset to bridge cognitive "
            "neuroscience and artificial intelligence. Nature Neuroscience 25, 116-126."
        ),
        subjects=tuple(f"subj{n:02d}" for n in range(1, 9)),
        sources=(
            Bucket(
                bucket="natural-scenes-dataset",
                region="us-east-2",
                prefixes=(
                    "nsddata/experiments/nsd/nsd_expdesign.mat",
                    "nsddata/experiments/nsd/nsd_stim_info_merged.csv",
                    "nsddata/ppdata/{subject}/behav/responses.tsv",
                    "nsddata/ppdata/{subject}/func1pt8mm/roi/",
                    "nsddata_betas/ppdata/{subject}/func1pt8mm/betas_fithrf_GLMdenoise_RR/ncsnr.nii.gz",
                    "nsddata_betas/ppdata/{subject}/func1pt8mm/betas_fithrf_GLMdenoise_RR/betas_",
                    "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5",
                ),
                without=("*/betas_session*.nii.gz",),
            ),
        ),
        layout=(
            "nsddata/experiments/nsd/nsd_expdesign.mat\n"
            "nsddata/experiments/nsd/nsd_stim_info_merged.csv (for COCO numbers, and as a check)\n"
            "nsddata/ppdata/subj01/behav/responses.tsv (as a check)\n"
            "nsddata/ppdata/subj01/func1pt8mm/roi/nsdgeneral.nii.gz\n"
            "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR/"
            "betas_session01.hdf5 (or .nii.gz), ...\n"
            "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR/ncsnr.nii.gz\n"
            "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5 (the pictures)"
        ),
    )
    options: ClassVar[type[Options]] = NsdOptions

    def recognises(self, folder: Path) -> bool:
        """Whether the folder has one of the bucket's top folders in it."""
        tops = ("nsddata_betas", "nsddata_stimuli", "nsddata/experiments/nsd", "nsddata/ppdata")
        return any((folder / top).is_dir() for top in tops)

    def plan(self, folder: Path, options: Options, subjects: Sequence[str] | None) -> Plan:
        """List the sessions of these people; see `Reader.plan`."""
        assert isinstance(options, NsdOptions)
        wanted = None if subjects is None else self.card.people_named(subjects)
        return plan_files(folder.resolve(), options, self.card.subjects, wanted)

    def stage(self, part: Part, options: Options, write: Write) -> Staged:
        """Read one session inside the mask, as percent signal change; see `Reader.stage`."""
        assert isinstance(options, NsdOptions)
        session = int(part.where["session"])
        region = read_region(Path(part.where["roi"]), options.roi_values)
        trials = read_design(Path(part.where["design"])).trials(_number(part.subject), session)
        betas = read_betas(part.files[0], region)
        for start in range(0, len(betas), _BLOCK):
            write(np.divide(betas[start : start + _BLOCK], PER_PERCENT, dtype=np.float32))
        training = betas[(trials["split"] == "train").to_numpy()]
        low, high = training.min(axis=0), training.max(axis=0)
        still = np.flatnonzero(low == high)
        if len(still) > len(low) // 2:
            raise NeuroalignError(
                f"{part.name}: {len(still)} of {len(low)} voxels of the mask never change over "
                f"the training trials of {part.files[0]}, so it holds no betas there. Download it "
                "again, or check that the mask lies where the betas are."
            )
        facts = {"voxels": len(low), "shape": list(region.shape), "still": still.tolist()}
        return Staged(trials, facts, findings=tuple(odd_values(part.name, betas)))

    def settle(self, parts: Sequence[StagedPart], options: Options) -> Settled:
        """Decide what is written, and gather the pictures; see `Reader.settle`."""
        assert isinstance(options, NsdOptions)
        return settle_sessions(parts, options, self.card)

    def finish(
        self, subject: str, settled: Settled, options: Options, writer: RecordingsWriter
    ) -> None:
        """Write a person's trials, z-scored and averaged as asked for."""
        assert isinstance(options, NsdOptions)
        finish_person(subject, settled.people[subject], options, writer)


def _number(subject: str) -> int:
    return int(subject.removeprefix("subj"))
