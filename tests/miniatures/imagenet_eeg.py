"""ImageNetEEG in miniature: the same PyTorch pickles, with a planted signal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from neuroalign.recordings.readers.imagenet_classes import CLASS_NAMES
from neuroalign.recordings.readers.imagenet_eeg import SIGNALS, SPLITS, ImageNetEegReader
from neuroalign.recordings.readers.imagenet_eeg_files import Published

CHANNELS, CLASSES, PER_CLASS, PEOPLE, DIM = 8, 4, 8, 2, 4
ODD_LENGTHS = {3: 449, 11: 601, 20: 450}


class MiniatureReader(ImageNetEegReader):
    """The reader, with the miniature's counts for the published ones."""

    published: ClassVar[Published] = Published(
        entries=(PEOPLE * CLASSES * PER_CLASS,),
        people=PEOPLE,
        classes=CLASSES,
        channels=CHANNELS,
        pictures=(CLASSES * PER_CLASS,),
        excluded=0,
        splits={"all": (48, 8, 8)},
    )


@dataclass(frozen=True)
class Planted:
    """What was planted.

    Attributes
    ----------
    segments : the entries of the file, with NumPy arrays: eeg, stimulus, synset, subject
    splits : for "all" and "single", the splits of the file
    vectors : picture -> what its signal is made of; shape (DIM,)
    shown : pictures in the order in which they were shown
    """

    segments: list[dict[str, Any]]
    splits: dict[str, list[dict[str, list[int]]]]
    vectors: dict[str, np.ndarray]
    shown: list[str]


def write_imagenet_eeg(
    folder: Path,
    *,
    channels: int = CHANNELS,
    band: str = "5-95",
    old_format: bool = True,
    tensors: bool = False,
    shuffled: bool = True,
    list_order: bool = False,
) -> Planted:
    """Write one file of signals and both files of splits.

    `old_format` is that of PyTorch before 1.6; with `tensors`, numbers and lists of indices are
    tensors; `shuffled` people's segments are not in the order of recording, as published.
    """
    import torch  # where it is needed: worker processes import this module too

    rng = np.random.default_rng(5)
    folder.mkdir(parents=True, exist_ok=True)
    synsets = list(CLASS_NAMES)[:CLASSES]
    images = [f"{s}_{100 + i}" for s in synsets for i in range(PER_CLASS)]
    centres = rng.normal(size=(CLASSES, DIM))
    vectors = {n: centres[i // PER_CLASS] + rng.normal(size=DIM) for i, n in enumerate(images)}
    shown = [n for c in rng.permutation(CLASSES) for n in images if n.startswith(synsets[c])]
    names = rng.permutation(images)  # `images` is in no order
    place = {str(n): i for i, n in enumerate(names)}
    segments = []
    for subject in range(1, PEOPLE + 1):
        mixing = rng.normal(size=(channels, DIM))
        own = rng.permutation(shown) if shuffled else shown
        for name in map(str, own):
            length = ODD_LENGTHS.get(len(segments), int(rng.integers(480, 540)))
            wave = np.sin(2 * np.pi * 5 * np.arange(length) / 1000) ** 2
            eeg = np.outer(mixing @ vectors[name], wave) + rng.normal(size=(channels, length))
            eeg = eeg * rng.uniform(1, 4, (channels, 1)) + 2 * np.arange(channels)[:, None]
            eeg = eeg.astype(np.float32)
            segments.append({"eeg": eeg, "stimulus": name, "synset": name[:9], "subject": subject})
    number = torch.tensor if tensors else int
    content: dict[str, Any] = {
        "dataset": [
            {
                "eeg": torch.from_numpy(s["eeg"].copy()),
                "image": number(place[s["stimulus"]]),
                "label": number(synsets.index(s["synset"])),
                "subject": number(s["subject"]),
            }
            for s in segments
        ],
        "labels": synsets,
        "images": [str(n) for n in names],
    }
    if band == "raw":
        content |= {"means": torch.zeros(channels, 1), "stddevs": torch.ones(channels, 1)}
    save(folder / SIGNALS[band], content, old_format)
    splits = {
        "all": [_split_by_picture(segments, images, shift) for shift in (0, 1)],
        "single": [_split_by_place(CLASSES * PER_CLASS)],
    }
    for kind, made in splits.items():
        if tensors:
            made = [{k: torch.tensor(v) for k, v in s.items()} for s in made]
        save(folder / SPLITS[kind], {"splits": made}, old_format)
    if list_order:
        (folder / "image_order.txt").write_text("".join(f"{n}.JPEG\n" for n in shown))
    return Planted(segments, splits, vectors, shown)


def save(path: Path, content: Any, old_format: bool = True) -> None:
    """Write as PyTorch does, or did before 1.6."""
    import torch

    torch.save(content, path, _use_new_zipfile_serialization=not old_format)


def load(path: Path) -> Any:
    """Read with PyTorch itself."""
    import torch

    return torch.load(path, weights_only=True)


def _split_by_picture(
    segments: list[dict[str, Any]], images: list[str], shift: int
) -> dict[str, list[int]]:
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for i, segment in enumerate(segments):
        place = (images.index(segment["stimulus"]) + shift) % PER_CLASS
        parts[{0: "test", 1: "val"}.get(place, "train")].append(i)
    return parts


def _split_by_place(count: int) -> dict[str, list[int]]:
    order = np.random.default_rng(1).permutation(count).tolist()
    return {"train": order[8:], "val": order[4:8], "test": order[:4]}
