"""ImageNetEEG: six people see 2,000 ImageNet pictures, class by class (Spampinato, Palazzo et al.).

The published files are PyTorch pickles of all people together; a part is one person's segments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, field_validator

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.card import Card, Steps
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
from neuroalign.recordings.readers.imagenet_eeg_files import (
    Published,
    Segments,
    check_agreement,
    read_segments,
)
from neuroalign.recordings.readers.imagenet_eeg_splits import check_split_file, read_split
from neuroalign.recordings.readers.imagenet_eeg_trials import (
    LONGEST,
    ORDER,
    check_order,
    ordered_trials,
    picture_findings,
    picture_table,
    shown_order,
    usable_trials,
)
from neuroalign.recordings.schema import Channel, Dropped, RecordingsInfo
from neuroalign.recordings.still_channels import StillChannels
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.signals import steps
from neuroalign.signals.eeg import spectrogram
from neuroalign.signals.scaling import fit_scaling

SFREQ = 1000.0
SIGNALS = {
    "5-95": "eeg_5_95_std.pth",
    "14-70": "eeg_14_70_std.pth",
    "55-95": "eeg_55_95_std.pth",
    "raw": "eeg_signals_raw_with_mean_std.pth",
}
SPLITS = {
    "all": "block_splits_by_image_all.pth",
    "single": "block_splits_by_image_single.pth",
}
_PLACES = ("", "block", "data", "data/block")
_BLOCK = 64


class ImageNetEegOptions(Options):
    """What can be chosen."""

    band: Literal["5-95", "14-70", "55-95", "raw"] = Field(
        "5-95", description="Which file: a band in Hz that its authors filtered, or the raw one."
    )
    splits: Literal["all", "single"] = Field(
        "all", description="The split over all people, or the one made for single people."
    )
    split: int = Field(0, ge=0, description="Which of the splits in that file, from 0.")
    crop: str = Field(
        "20:460",
        description="Samples to keep: 20:460 as the data set's authors, 40:480 as the paper's.",
    )
    features: Literal["spectrogram", "samples"] = Field(
        "spectrogram", description="Short-time Fourier magnitudes as in the paper, or samples."
    )
    pictures: Path | None = Field(
        None, description="The ILSVRC folder `train`, with a folder per class."
    )

    @field_validator("crop")
    @classmethod
    def _is_range(cls, value: str) -> str:
        start, stop = _crop(value)
        if not 0 <= start < stop - 40 or stop > LONGEST:
            raise ValueError(f"must lie within 0:{LONGEST} and keep more than 40 samples")
        return value


class ImageNetEegReader(Reader):
    """Reads ImageNetEEG."""

    published: ClassVar[Published] = Published(splits={"all": (7_970, 1_998, 1_997)})
    options: ClassVar[type[Options]] = ImageNetEegOptions
    card: ClassVar[Card] = Card(
        name="imagenet-eeg",
        title="ImageNetEEG",
        modality="eeg",
        people="6",
        trials="11,964 (1,964 to 2,000 each)",
        pictures="2,000 of ILSVRC, 40 classes",
        size_gb=3.1,
        url="https://github.com/perceivelab/eeg_visual_classification",
        licence="none stated; ask the authors. Pictures: the terms of ImageNet",
        citation=(
            "Palazzo et al. (2020), Decoding brain representations by multimodal learning of "
            "neural activity and visual features, doi:10.1109/TPAMI.2020.2995909; Spampinato et "
            "al. (2017), Deep learning human mind for automated visual classification, CVPR"
        ),
        subjects=tuple(f"sub-{n:02d}" for n in range(1, 7)),
        sources=(
            Steps(
                steps=(
                    "Open https://tinyurl.com/eeg-visual-classification (the authors' own folder).",
                    "Download one file of signals, such as eeg_5_95_std.pth (3 GB).",
                    "Download block_splits_by_image_all.pth into the same folder.",
                    "Optional: image_order.txt from issue 5 of the repository, the order of "
                    "pictures; and the pictures from https://image-net.org (ILSVRC, train).",
                )
            ),
        ),
        layout=(
            f"{' or '.join(SIGNALS.values())}; {' or '.join(SPLITS.values())}; optional: {ORDER}; "
            "in the folder itself, or in block/, data/ or data/block/"
        ),
    )

    def recognises(self, folder: Path) -> bool:
        """Whether any of the published files is there."""
        return any(_find(folder, name) for name in (*SIGNALS.values(), *SPLITS.values()))

    def plan(self, folder: Path, options: Options, subjects: Sequence[str] | None) -> Plan:
        """List the people, and all that is wrong with the files."""
        assert isinstance(options, ImageNetEegOptions)
        wanted = self.card.people_named(subjects)
        findings = []
        files = [_find(folder, SIGNALS[options.band]), _find(folder, SPLITS[options.splits])]
        for file, name in zip(files, (SIGNALS[options.band], SPLITS[options.splits]), strict=True):
            if file is None:
                what = f"it is not there; {_others(folder) or 'no .pth file'} is"
                findings.append(Finding(name, what, "fatal", 1))
        signals, splits = files
        segments, found = (None, []) if signals is None else read_segments(signals, self.published)
        findings += found
        if signals is None or segments is None:
            if splits is not None:
                findings += check_split_file(splits, options.split)
            return Plan((), tuple(findings))
        findings += self._compare(folder, signals, segments)
        order = _find(folder, ORDER)
        if order is not None:
            findings += check_order(order, segments)
        if splits is None:
            return Plan((), tuple(findings))
        findings += self._split(splits, segments, options)[1]
        sizes = segments.table["subject"].value_counts()
        parts = []
        for name in wanted:
            number = int(name[-2:])
            if number not in sizes.index:
                if subjects is not None:
                    what = f"it has no segments of person {number}, who was asked for"
                    findings.append(Finding(signals.name, what, "fatal", 1))
                continue
            paths = tuple(p for p in (signals, splits, order) if p is not None)
            parts.append(Part(name, name, paths, int(sizes[number]), {"person": number}))
        return Plan(tuple(parts), tuple(findings))

    def stage(self, part: Part, options: Options, write: Write) -> Staged:
        """Read one person's segments."""
        assert isinstance(options, ImageNetEegOptions)
        segments, _ = read_segments(part.files[0], self.published)
        if segments is None:
            raise NeuroalignError(f"{part.files[0]} has changed since it was looked at.")
        split, _ = self._split(part.files[1], segments, options)
        start, stop = _crop(options.crop)
        order = shown_order(part.files[2]) if len(part.files) > 2 else None
        table, facts = ordered_trials(segments, int(part.where["person"]), order)
        table["split"] = split.loc[table["file_index"]].to_numpy()
        table, dropped = usable_trials(table, stop, part.name)
        flat = []
        still = StillChannels()
        for first in range(0, len(table), _BLOCK):
            rows = table.iloc[first : first + _BLOCK]
            block = np.stack(
                [
                    segments.eeg[i].read()[:, start:stop].astype(np.float32)
                    for i in rows["file_index"]
                ]
            )
            moving = np.ptp(block, axis=(1, 2)) != 0
            flat += rows.index[~moving].tolist()
            still.look(block[moving & (rows["split"] != "test").to_numpy(bool)])
            write(block[moving])
        findings = []
        if flat:
            at = ", ".join(str(i) for i in table.loc[flat, "file_index"][:5])
            reason = f"the signal is flat: all values are the same (segments {at})"
            dropped.append(Dropped(where=part.name, trials=len(flat), reason=reason))
            findings.append(Finding(part.name, reason, "warning", len(flat)))
        facts["channels"] = [f"ch{i + 1:03d}" for i in range(segments.eeg[0].shape[0])]
        still.refuse(part, facts["channels"])
        return Staged(table.drop(index=flat), facts, tuple(dropped), tuple(findings))

    def settle(self, parts: Sequence[StagedPart], options: Options) -> Settled:
        """Decide sides, number repeats, and describe the recordings."""
        assert isinstance(options, ImageNetEegOptions)
        people = {}
        for part in parts:
            trials = part.trials.copy()
            trials["split"] = trials["split"].replace("val", "train")
            trials["repetition"] = trials.groupby("stimulus").cumcount() + 1
            people[part.part.subject] = (replace(part, trials=trials),)
            for side in ("train", "test"):
                if not (trials["split"] == side).any():
                    raise NeuroalignError(
                        f"{part.part.subject} has no {side} trials left of {part.part.trials} "
                        "segments, so nothing can be learnt or scored. Leave this person out "
                        "(--subjects), or check the split file."
                    )
        findings = [_order_note(parts)]
        pictures = picture_table(parts, options.pictures)
        findings += picture_findings(pictures, options.pictures)
        return Settled(people, _describe(parts, options), tuple(findings), pictures)

    def finish(
        self, subject: str, settled: Settled, options: Options, writer: RecordingsWriter
    ) -> None:
        """Standardise each channel with the training trials, and make spectrograms of it."""
        assert isinstance(options, ImageNetEegOptions)
        scaling = fit_scaling(_training(settled.people[subject]))
        for part in settled.people[subject]:
            for signals, trials in part.blocks(_BLOCK):
                scaled = scaling.apply(signals)
                if options.features == "spectrogram":
                    scaled = spectrogram(scaled, SFREQ).magnitude
                writer.append(subject, scaled, trials.drop(columns="staged_row"))

    def _split(
        self, path: Path, segments: Segments, options: ImageNetEegOptions
    ) -> tuple[pd.Series, list[Finding]]:
        known = (self.published.splits or {}).get(options.splits) if options.split == 0 else None
        each = max(self.published.pictures) if options.splits == "single" else None
        return read_split(path, options.split, segments, each, known)

    def _compare(self, folder: Path, signals: Path, segments: Segments) -> list[Finding]:
        """Compare with the other files of signals: their segments are the same."""
        findings = []
        for name in SIGNALS.values():
            path = _find(folder, name)
            if path is not None and path != signals:
                other, _ = read_segments(path, self.published)
                if other is not None:
                    findings += check_agreement(segments, signals.name, other, path)
        return findings


def _training(parts: Sequence[StagedPart]) -> Iterator[npt.NDArray[np.float32]]:
    for part in parts:
        for signals, trials in part.blocks(_BLOCK):
            yield signals[(trials["split"] == "train").to_numpy(bool)]


def _describe(parts: Sequence[StagedPart], options: ImageNetEegOptions) -> RecordingsInfo:
    start, stop = _crop(options.crop)
    done = [steps.record("crop", by=(), start=start, stop=stop)]
    if options.band != "raw":
        low, high = map(int, options.band.split("-"))
        done.insert(0, steps.record("band-pass, by its authors", by=(), low=low, high=high))
    done.append(
        steps.record("standardise", fitted_on="training trials of each person, per channel")
    )
    info = RecordingsInfo(
        modality="eeg",
        axes=("channels", "samples"),
        units="standard deviations",
        sfreq=SFREQ,
        tmin=start / SFREQ,
        channels=tuple(Channel(name=str(n), type="eeg") for n in parts[0].facts["channels"]),
        steps=tuple(done),
        source=f"ImageNetEEG, {SIGNALS[options.band]}, {SPLITS[options.splits]}, {options.split}",
        licence=ImageNetEegReader.card.licence,
    )
    if options.features == "samples":
        return info
    example = spectrogram(np.zeros((1, 1, stop - start)), SFREQ)
    made = steps.record("short-time Fourier magnitude", by=("scipy",), window_s=0.04, overlap=0.5)
    return info.model_copy(
        update={
            "axes": ("channels", "frequencies", "frames"),
            "sfreq": example.frame_rate,
            "frequencies": tuple(example.frequencies.tolist()),
            "steps": (*done, made),
        }
    )


def _order_note(parts: Sequence[StagedPart]) -> Finding:
    sources = sorted({str(p.facts["order"]) for p in parts})
    what = (
        f"order of recording: {', '.join(sources)}; each class was shown in one block, so time and "
        "class cannot be told apart: scores count block as much as picture (see the audit)"
    )
    return Finding("blocks", what, "note", sum(len(p.trials) for p in parts))


def _crop(text: str) -> tuple[int, int]:
    start, colon, stop = text.partition(":")
    if not (colon and start.strip().isdigit() and stop.strip().isdigit()):
        raise ValueError("must be two numbers of samples, such as 20:460")
    return int(start), int(stop)


def _others(folder: Path) -> str:
    """Name the files that are there, with the options that take them."""
    flags = {n: f"--band {k}" for k, n in SIGNALS.items()}
    flags |= {n: f"--splits {k}" for k, n in SPLITS.items()}
    names = sorted(p.name for p in folder.rglob("*.pth"))
    return ", ".join(f"{n} ({flags[n]})" if n in flags else n for n in names)


def _find(folder: Path, name: str) -> Path | None:
    for place in _PLACES:
        if (folder / place / name).is_file():
            return folder / place / name
    return None
