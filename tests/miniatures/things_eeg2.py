"""THINGS-EEG2 in miniature: the same pickled arrays, with a planted signal."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from neuroalign.recordings.readers.things_eeg2 import ThingsEeg2Reader
from neuroalign.recordings.readers.things_eeg2_files import Published

TRAINING_CONCEPTS = ("aardvark", "abacus", "aircraft_model", "bow_tie", "cat", "dog", "ear", "fan")
TEST_CONCEPTS = ("aircraft_carrier", "banana", "jack-in-the-box", "wig")
EXEMPLARS = ("01b", "02s", "03s")
DIM = 4
OFFICIAL, ALL_CHANNELS = (5, 40), (9, 60)


class MiniatureReader(ThingsEeg2Reader):
    """The reader, with the miniature's counts for the published ones."""

    published: ClassVar[Published] = Published(
        concepts=(8, 4), pictures=(3, 1), repeats=(4, 10), shapes=(OFFICIAL, ALL_CHANNELS)
    )


@dataclass(frozen=True)
class Planted:
    """What was planted.

    Attributes
    ----------
    signals : (subject, "training" or "test") -> array (pictures, repeats, channels, samples)
    pictures : "training" and "test" -> names of pictures, in the order of the first axis
    vectors : picture -> what its signal is made of; shape (DIM,)
    times, channels : as in the files
    """

    signals: dict[tuple[str, str], np.ndarray]
    pictures: dict[str, list[str]]
    vectors: dict[str, np.ndarray]
    times: np.ndarray
    channels: list[str]


def write_things_eeg2(
    folder: Path,
    *,
    people: int = 2,
    shape: tuple[int, int] = OFFICIAL,
    plain_pickle: bool = False,
    protocol: int = 4,
    cut_baseline: bool = False,
    dtype: str = "float64",
) -> Planted:
    """Write `sub-NN/preprocessed_eeg_{training,test}.npy` and `image_set/image_metadata.npy`.

    With `plain_pickle` the files are pickles for all that they are called .npy, as re-exported
    ones are; with `cut_baseline` the samples before onset are gone but still in `times`.
    """
    rng = np.random.default_rng(3)
    channels, samples = shape
    names = [f"P{i}" for i in range(channels)]
    sfreq = 100.0 if shape == OFFICIAL else 250.0
    before = 20 if shape == OFFICIAL else 10
    times = (np.arange(samples + (before if cut_baseline else 0)) - before) / sfreq
    pictures = {
        "training": [f"{c}_{e}" for c in TRAINING_CONCEPTS for e in EXEMPLARS],
        "test": [f"{c}_06s" for c in TEST_CONCEPTS],
    }
    vectors = {n: rng.normal(size=DIM) for kind in pictures.values() for n in kind}
    metadata: dict[str, Any] = {}
    for short, kind, concepts in (
        ("train", "training", TRAINING_CONCEPTS),
        ("test", "test", TEST_CONCEPTS),
    ):
        each = len(pictures[kind]) // len(concepts)
        numbered = [f"{i + 1:05d}_{c}" for i, c in enumerate(concepts) for _ in range(each)]
        metadata |= {
            f"{short}_img_concepts": numbered,
            f"{short}_img_concepts_THINGS": [f"00{n}" for n in numbered],
            f"{short}_img_files": [f"{n}.jpg" for n in pictures[kind]],
        }
    (folder / "image_set").mkdir(parents=True, exist_ok=True)
    np.save(folder / "image_set" / "image_metadata.npy", metadata)  # type: ignore[arg-type]
    signals = {}
    for number in range(1, people + 1):
        subject = f"sub-{number:02d}"
        (folder / subject).mkdir(exist_ok=True)
        mixing = rng.normal(size=(channels, DIM))
        noise = rng.normal(size=(channels, channels)) + 2 * np.eye(channels)
        wave = np.sin(np.linspace(0, np.pi, samples)) ** 2
        for kind, repeats in (("training", 4), ("test", 10)):
            evoked = np.stack([np.outer(mixing @ vectors[n], wave) for n in pictures[kind]])
            raw = rng.normal(size=(len(pictures[kind]), repeats, channels, samples))
            data = evoked[:, None] + 0.5 * noise @ raw + np.arange(channels)[:, None]
            data = data.astype(dtype)
            signals[subject, kind] = data
            content = {"preprocessed_eeg_data": data, "ch_names": names, "times": times}
            save(folder / subject / f"preprocessed_eeg_{kind}.npy", content, plain_pickle, protocol)
    return Planted(signals, pictures, vectors, times, names)


def save(path: Path, content: Any, plain_pickle: bool = False, protocol: int = 4) -> None:
    """Write as the official files are, or as the re-exported ones."""
    if plain_pickle:
        path.write_bytes(pickle.dumps(content, protocol))
    else:
        np.save(path, content)


def load(path: Path) -> Any:
    """Read with NumPy itself."""
    loaded = np.load(path, allow_pickle=True)
    return loaded.item() if isinstance(loaded, np.ndarray) else loaded
