"""THINGS-EEG2: ten people see 16,740 THINGS pictures in rapid succession (Gifford et al. 2022).

From the preprocessed files: the official ones, or those with all channels that others made of the
same recordings. A part is one of a person's two files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

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
from neuroalign.recordings.readers.things import ThingsPicture, picture_table
from neuroalign.recordings.readers.things_eeg2_files import (
    KINDS,
    METADATA,
    EegFile,
    Published,
    check_pair,
    read_eeg,
    read_shown,
)
from neuroalign.recordings.schema import Channel, Dropped, RecordingsInfo
from neuroalign.recordings.still_channels import StillChannels
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.signals import steps
from neuroalign.signals.noise_normalisation import NoiseCovariance
from neuroalign.signals.scaling import fit_scaling

_FILE = "preprocessed_eeg_{}.npy"
_BLOCK_BYTES = 2**25


class ThingsEeg2Options(Options):
    """What can be chosen."""

    mvnn: bool = Field(
        False,
        description="Whiten channels by the noise of training repeats; the published files are.",
    )
    pictures: Path | None = Field(
        None, description="The folder that training_images and test_images lie in."
    )


class ThingsEeg2Reader(Reader):
    """Reads THINGS-EEG2."""

    published: ClassVar[Published] = Published()
    options: ClassVar[type[Options]] = ThingsEeg2Options
    card: ClassVar[Card] = Card(
        name="things-eeg2",
        title="THINGS-EEG2",
        modality="eeg",
        people="10",
        trials="82,160 each: 16,540 x 4 to train, 200 x 80 to test",
        pictures="16,740 of THINGS, 1,854 concepts",
        size_gb=11.5,
        url="https://osf.io/3jk45/",
        licence="see https://osf.io/3jk45/; pictures: the terms of THINGS (research only)",
        citation=(
            "Gifford, Dwivedi, Roig, Cichy (2022), A large and rich EEG dataset for modeling human "
            "visual object recognition, NeuroImage 264, doi:10.1016/j.neuroimage.2022.119754"
        ),
        subjects=tuple(f"sub-{n:02d}" for n in range(1, 11)),
        sources=(
            Listing(kind="osf", record="anp5v", names=("*{subject}*",), into="preprocessed_data"),
            Listing(kind="osf", record="y63gw", names=("*",), into="image_set"),
            Steps(steps=("Unzip what was downloaded, each archive where it lies.",)),
        ),
        layout=(
            "[<any folder>/]sub-<NN>/preprocessed_eeg_training.npy and preprocessed_eeg_test.npy; "
            "image_metadata.npy in the folder, in image_set/ or beside either"
        ),
    )

    def recognises(self, folder: Path) -> bool:
        """Whether a person's file is there, here or one level below."""
        return any(
            True for place in ("", "*/") for _ in folder.glob(f"{place}sub*/{_FILE.format('t*')}")
        )

    def plan(
        self,
        folder: Path,
        options: Options,  # noqa: ARG002 - both files are needed whatever is chosen
        subjects: Sequence[str] | None,
    ) -> Plan:
        """List the people's files, and all that is wrong with them."""
        wanted = self.card.people_named(subjects)
        findings: list[Finding] = []
        root, places = _people(folder, findings)
        metadata = _find_metadata(folder, root)
        if metadata is None:
            what = f"it is neither in {folder.name} nor in image_set; it says which trial is which"
            findings.append(Finding(METADATA, what, "fatal", 1))
        else:
            findings += read_shown(metadata, self.published)[1]
        parts, first = [], None
        for subject in wanted:
            place = places.get(subject)
            if place is None:
                if subjects is not None:
                    there = ", ".join(sorted(places)) or "nobody"
                    what = f"no folder of this person; there is {there}{_zipped(folder, subject)}"
                    findings.append(Finding(subject, what, "fatal", 1))
                continue
            files = self._open(subject, place, findings)
            for kind, file in files.items():
                if first is not None:
                    findings += check_pair(first, file, f"{subject}/{file.path.name}")
                first = first or file
                paths = (file.path, *([metadata] if metadata is not None else []))
                count = file.signals.shape[0] * file.signals.shape[1]
                parts.append(Part(subject, f"{subject}_{kind}", paths, count, {"kind": kind}))
        if not places:
            what = f"no sub-NN/{_FILE.format('training')} here or one level below"
            findings.append(Finding(folder.name, what + _zipped(folder, "sub"), "fatal", 1))
        return Plan(tuple(parts), tuple(findings))

    def stage(self, part: Part, options: Options, write: Write) -> Staged:  # noqa: ARG002
        """Read one file of a person, picture by picture."""
        kind = str(part.where["kind"])
        file, _ = read_eeg(part.files[0], kind, part.name, self.published)
        shown = read_shown(part.files[-1], self.published)[0] if len(part.files) > 1 else None
        if file is None or shown is None:
            raise NeuroalignError(
                f"{part.name}: {part.files[0]} or {METADATA} is not as it must be; the other "
                "findings say how."
            )
        pictures = getattr(shown, kind)
        count, repeats, channels, samples = file.signals.shape
        table = _table(pictures, repeats, kind)
        size = max(1, _BLOCK_BYTES // (8 * repeats * channels * samples))
        still = StillChannels()
        flat: list[int] = []
        for start in range(0, count, size):
            block = file.block(start, start + size).reshape(-1, channels, samples)
            with np.errstate(over="ignore"):
                block = block.astype(np.float32)
            moving = np.ptp(block, axis=(1, 2)) != 0
            flat += (start * repeats + np.flatnonzero(~moving)).tolist()
            still.look(block)
            write(block[moving])
        found, dropped = [], []
        if kind == "training":
            still.refuse(part, file.channels)
        elif names := still.among(file.channels):
            what = f"{len(names)} channel(s) never change ({', '.join(names[:5])})"
            found.append(Finding(part.name, what, "warning", len(names)))
        if flat:
            reason = f"the signal is flat: all values are the same (first: trial {flat[0]})"
            dropped.append(Dropped(where=part.name, trials=len(flat), reason=reason))
            found.append(Finding(part.name, reason, "warning", len(flat)))
        facts = {"channels": file.channels, "sfreq": file.sfreq, "tmin": file.tmin, "kind": kind}
        return Staged(table.drop(index=flat), facts, tuple(dropped), tuple(found))

    def settle(self, parts: Sequence[StagedPart], options: Options) -> Settled:
        """Bring each person's two parts together, and describe the recordings."""
        assert isinstance(options, ThingsEeg2Options)
        people: dict[str, tuple[StagedPart, ...]] = {}
        for part in parts:
            trials = part.trials.copy()
            trials["repetition"] = trials.groupby("stimulus").cumcount() + 1
            own = people.get(part.part.subject, ())
            people[part.part.subject] = (*own, replace(part, trials=trials))
        for subject, own in people.items():
            kinds = [str(p.facts["kind"]) for p in own]
            if kinds != list(KINDS):
                raise NeuroalignError(
                    f"{subject} has {', '.join(kinds)} only; both {' and '.join(KINDS)} are "
                    "needed. Download the other file, or leave this person out (--subjects)."
                )
        names = pd.concat([p.trials[["stimulus", "label"]] for p in parts]).drop_duplicates()
        shown = [ThingsPicture(n, c, f"{n}.jpg") for n, c in names.itertuples(index=False)]
        pictures, findings = picture_table(shown, options.pictures)
        return Settled(people, _describe(parts[0], options), tuple(findings), pictures)

    def finish(
        self, subject: str, settled: Settled, options: Options, writer: RecordingsWriter
    ) -> None:
        """Whiten if asked, and standardise each channel, with the training trials."""
        assert isinstance(options, ThingsEeg2Options)
        parts = settled.people[subject]
        matrix = _whitening(parts) if options.mvnn else None
        scaling = fit_scaling(signals for signals, _ in _blocks(parts[:1], matrix))
        for signals, trials in _blocks(parts, matrix):
            writer.append(subject, scaling.apply(signals), trials.drop(columns="staged_row"))

    def _open(self, subject: str, place: Path, findings: list[Finding]) -> dict[str, EegFile]:
        files = {}
        for kind in KINDS:
            path = place / _FILE.format(kind)
            if not path.is_file():
                there = ", ".join(sorted(p.name for p in place.iterdir())) or "nothing"
                what = f"{path.name} is not there; {there} is"
                findings.append(Finding(subject, what, "fatal", 1))
                continue
            file, found = read_eeg(path, kind, f"{subject}/{path.name}", self.published)
            findings += found
            if file is not None:
                files[kind] = file
        return files


def _people(folder: Path, findings: list[Finding]) -> tuple[Path, dict[str, Path]]:
    """Return the folder that people lie in, and each person's folder."""
    roots: dict[Path, dict[str, Path]] = {}
    empty = []
    for place in ("", "*/"):
        for path in sorted(folder.glob(f"{place}sub*/")):
            digits = re.fullmatch(r"sub-?0*(\d+)", path.name)
            if digits is None:
                continue
            if any(path.glob(_FILE.format("*"))):
                roots.setdefault(path.parent, {})[f"sub-{int(digits[1]):02d}"] = path
            else:
                empty.append(path)
    if len(roots) > 1:
        names = ", ".join(str(r.relative_to(folder)) for r in roots)
        what = f"people lie in several folders ({names}): give one of them"
        findings.append(Finding(folder.name, what, "fatal", len(roots)))
    root, people = next(iter(roots.items()), (folder, {}))
    for path in empty:
        if path.parent == root:
            what = f"the folder holds no {_FILE.format('training')}: this person is left out"
            findings.append(Finding(path.name, what, "warning", 1))
    return root, people


def _find_metadata(folder: Path, root: Path) -> Path | None:
    for place in dict.fromkeys((root, folder, root.parent)):
        for path in (place / METADATA, place / "image_set" / METADATA):
            if path.is_file():
                return path
    return None


def _zipped(folder: Path, name: str) -> str:
    found = sorted(p.name for p in folder.rglob("*.zip") if name in p.name)
    return f" ({', '.join(found[:3])} must be unzipped first)" if found else ""


def _table(pictures: Sequence[ThingsPicture], repeats: int, kind: str) -> pd.DataFrame:
    condition = np.repeat(np.arange(len(pictures)), repeats)
    return pd.DataFrame(
        {
            "stimulus": np.array([p.name for p in pictures], object)[condition],
            "label": np.array([p.concept for p in pictures], object)[condition],
            "split": "train" if kind == "training" else "test",
            "condition": condition,
        }
    )


def _blocks(
    parts: Sequence[StagedPart], matrix: npt.NDArray[np.float64] | None
) -> Iterator[tuple[npt.NDArray[np.float32], pd.DataFrame]]:
    for part in parts:
        for signals, trials in part.blocks(_rows(part)):
            if matrix is None:
                yield signals, trials
            else:
                yield (matrix @ signals).astype(np.float32), trials


def _whitening(parts: Sequence[StagedPart]) -> npt.NDArray[np.float64]:
    noise = NoiseCovariance()
    for signals, trials in _blocks(parts[:1], None):
        noise.add(signals, trials["condition"].to_numpy())
    try:
        return noise.whitening()
    except NeuroalignError as error:
        raise NeuroalignError(f"{parts[0].part.subject}: {error}") from error


def _rows(part: StagedPart) -> int:
    """Return how many trials make a block: all repeats of some pictures."""
    repeats = int(part.trials["repetition"].max())
    return repeats * max(1, _BLOCK_BYTES // (8 * repeats * int(np.prod(part.feature_shape))))


def _describe(part: StagedPart, options: ThingsEeg2Options) -> RecordingsInfo:
    done = [
        steps.record(
            "epochs, baseline, resampling, noise normalisation, by the publishers",
            by=(),
            fitted_on="training and test trials of each session, as published",
        )
    ]
    if options.mvnn:
        done.append(
            steps.record(
                "multivariate noise normalisation",
                fitted_on="differences between repeats of training pictures, of each person",
                shrinkage="Ledoit-Wolf",
            )
        )
    done.append(
        steps.record("standardise", fitted_on="training trials of each person, per channel")
    )
    return RecordingsInfo(
        modality="eeg",
        axes=("channels", "samples"),
        units="standard deviations",
        sfreq=float(part.facts["sfreq"]),
        tmin=float(part.facts["tmin"]),
        channels=tuple(Channel(name=str(n), type="eeg") for n in part.facts["channels"]),
        steps=tuple(done),
        source="THINGS-EEG2, preprocessed",
        licence=ThingsEeg2Reader.card.licence,
    )
