"""Ways to damage the miniature of THINGS-EEG2, and what has to come of each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from miniatures.damage import Damage
from miniatures.things_eeg2 import MiniatureReader, load, save, write_things_eeg2

TRAINING = "sub-01/preprocessed_eeg_training.npy"
TEST = "sub-01/preprocessed_eeg_test.npy"
SECOND = "sub-02/preprocessed_eeg_training.npy"
METADATA = "image_set/image_metadata.npy"
DATA = "preprocessed_eeg_data"
READER = MiniatureReader()
OPTIONS: dict[str, Any] = {}


def write(folder: Path) -> None:
    """Make the miniature."""
    write_things_eeg2(folder)


class _Runs:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def _edit(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Change the content of a file; `change` may return another one."""

    def apply(folder: Path) -> None:
        content = load(folder / name)
        changed = change(content)
        save(folder / name, content if changed is None else changed)

    return apply


def _data(name: str, change: Callable[[np.ndarray], Any]) -> Callable[[Path], None]:
    return _edit(name, lambda c: c.update({DATA: change(c[DATA].copy())}))


def _set(name: str, place: tuple[Any, ...], value: Any) -> Callable[[Path], None]:
    def change(data: np.ndarray) -> np.ndarray:
        data[place] = value
        return data

    return _data(name, change)


def _times(change: Callable[[np.ndarray], Any]) -> Callable[[Path], None]:
    return _edit(TRAINING, lambda c: c.update(times=change(c["times"].copy())))


def _names(name: str, change: Callable[[list[str]], Any]) -> Callable[[Path], None]:
    return _edit(name, lambda c: c.update(ch_names=change(c["ch_names"])))


def _listed(key: str, change: Callable[[list[str]], Any]) -> Callable[[Path], None]:
    return _edit(METADATA, lambda c: c.update({key: change(c[key])}))


def _order(content: dict[str, list[str]]) -> None:
    order = np.random.default_rng(0).permutation(len(content["train_img_files"]))
    for key in ("train_img_concepts", "train_img_files"):
        content[key] = [content[key][i] for i in order]


def _swapped(names: list[str]) -> list[str]:
    return [names[1], names[0], *names[2:]]


def _test_concept_in_training(content: dict[str, list[str]]) -> None:
    content["test_img_concepts"][1] = "00002_cat"
    content["test_img_files"][1] = "cat_06s.jpg"


def _one_picture_elsewhere(content: dict[str, list[str]]) -> None:
    content["train_img_concepts"][2] = content["train_img_concepts"][3]
    content["train_img_files"][2] = content["train_img_files"][3].replace("01b", "00b")


def _cut(name: str, share: float) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, int(share * (folder / name).stat().st_size))


def _put(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


def _folder_instead(folder: Path) -> None:
    (folder / TRAINING).unlink()
    (folder / TRAINING).mkdir()


def _training_as_test(folder: Path) -> None:
    trained = load(folder / TRAINING)[DATA]
    _data(TEST, lambda x: trained.reshape(-1, *x.shape[2:])[:40].reshape(x.shape))(folder)


def _cut_samples(folder: Path) -> None:
    for path in folder.glob("sub-*/*.npy"):
        content = load(path)
        content |= {DATA: content[DATA][..., :30], "times": content["times"][:30]}
        save(path, content)


def _exchange(folder: Path) -> None:
    (folder / TRAINING).rename(folder / "x")
    (folder / TEST).rename(folder / TRAINING)
    (folder / "x").rename(folder / TEST)


def _two_exports(folder: Path) -> None:
    for place in ("preprocessed_data", "Preprocessed_data_250Hz"):
        (folder / place).mkdir()
        shutil.copytree(folder / "sub-01", folder / place / "sub-01")
    shutil.rmtree(folder / "sub-01")
    shutil.rmtree(folder / "sub-02")


def _zipped(folder: Path) -> None:
    for subject in ("sub-01", "sub-02"):
        shutil.make_archive(str(folder / subject), "zip", folder / subject)
        shutil.rmtree(folder / subject)


def _pictures(folder: Path) -> None:
    place = folder / "image_set" / "training_images" / "00001_aardvark"
    place.mkdir(parents=True)
    (place / "aardvark_01b.jpg").write_bytes(b"x")


DAMAGES = (
    Damage("a training file is missing", lambda f: (f / TRAINING).unlink(),
           "refused", ("sub-01", "preprocessed_eeg_training.npy is not there")),
    Damage("a test file is missing", lambda f: (f / TEST).unlink(),
           "refused", ("sub-01", "preprocessed_eeg_test.npy is not there")),
    Damage("a folder in place of a file", _folder_instead,
           "refused", ("sub-01", "preprocessed_eeg_training.npy is not there")),
    Damage("a file is empty", _put(TRAINING, b""), "refused", (TRAINING, "neither a pickle")),
    Damage("a web page in place of a file", _put(TEST, b"<!DOCTYPE html>"),
           "refused", (TEST, "neither a pickle nor an .npy file")),
    Damage("a file breaks off", _cut(TRAINING, 0.5), "refused", (TRAINING, "cut off")),
    Damage("a file breaks off in the header", _cut(TEST, 0.001), "refused", (TEST, "cut off")),
    Damage("a file lacks its last byte", _cut(TRAINING, 1 - 1e-6),
           "refused", (TRAINING, "cut off")),
    Damage("archives were not unzipped", _zipped, "refused", ("sub-01.zip", "must be unzipped")),
    Damage("a person's folder is empty",
           lambda f: [(f / "sub-02" / n).unlink() for n in os.listdir(f / "sub-02")],
           "reported", ("sub-02", "holds no preprocessed_eeg_training.npy")),
    Damage("two exports lie side by side", _two_exports,
           "refused", ("several folders", "Preprocessed_data_250Hz, preprocessed_data")),
    Damage("training and test are exchanged", _exchange,
           "refused", ("sub-01", "4 pictures, as the test file has", "exchanged")),
    Damage("an .npy file wants to run code", lambda f: save(f / TRAINING, {DATA: _Runs()}),
           "refused", (TRAINING, "wants to import", "system")),
    Damage("a pickle wants to run code",
           lambda f: save(f / TEST, {DATA: _Runs()}, plain_pickle=True),
           "refused", (TEST, "wants to import", "system")),
    Damage("a bare array", _edit(TRAINING, lambda c: c[DATA]),
           "refused", (TRAINING, "it holds StoredArray", DATA)),
    Damage("a list of dicts", _edit(TRAINING, lambda c: [c]), "refused", (TRAINING, "it holds")),
    Damage("signals under another name", _edit(TRAINING, lambda c: {"eeg": c.pop(DATA), **c}),
           "refused", (TRAINING, "'eeg'", f"expected {DATA}")),
    Damage("channel names are missing", _edit(TEST, lambda c: c.pop("ch_names") and None),
           "refused", (TEST, "expected", "ch_names")),
    Damage("times are missing", _edit(TEST, lambda c: {k: c[k] for k in c if k != "times"}),
           "refused", (TEST, "expected", "times")),
    Damage("signals are whole numbers", _data(TRAINING, lambda x: (1000 * x).astype(np.int16)),
           "refused", (TRAINING, "int16", "decimal numbers")),
    Damage("signals are objects", _data(TEST, lambda x: x.astype(object)),
           "refused", (TEST, "object", "decimal numbers")),
    Damage("signals are a list", _data(TEST, lambda x: x.tolist()),
           "refused", (TEST, "list", "decimal numbers")),
    Damage("repeats were averaged away", _data(TRAINING, lambda x: x.mean(1)),
           "refused", (TRAINING, "(24, 5, 40)", "pictures x repeats x channels x samples")),
    Damage("pictures and repeats are swapped", _data(TRAINING, lambda x: x.swapaxes(0, 1)),
           "refused", (TRAINING, "(4, 24, 5, 40)", "axes are swapped")),
    Damage("channels and samples are swapped", _data(TRAINING, lambda x: x.swapaxes(2, 3)),
           "refused", (TRAINING, "(24, 4, 40, 5)", "axes are swapped")),
    Damage("pictures are missing", _data(TRAINING, lambda x: x[:20]),
           "refused", (TRAINING, "(20, 4, 5, 40)", "expected 24 pictures")),
    Damage("there are too many pictures", _data(TEST, lambda x: np.concatenate([x, x + 1])),
           "refused", (TEST, "(8, 10, 5, 40)", "expected 4 pictures")),
    Damage("there are no repeats", _data(TEST, lambda x: x[:, :0]), "refused", (TEST, "is empty")),
    Damage("a channel is missing", _data(TRAINING, lambda x: x[:, :, :4]),
           "refused", (TRAINING, "(24, 4, 4, 40)", "5 channels (as ch_names has)")),
    Damage("a channel name is missing", _names(TRAINING, lambda n: n[:4]),
           "refused", (TRAINING, "(24, 4, 5, 40)", "4 channels (as ch_names has)")),
    Damage("channel names stand twice", _names(TEST, lambda n: [n[0], *n[:-1]]),
           "refused", (TEST, "ch_names is not a list of different names")),
    Damage("channels are numbered", _names(TEST, lambda n: list(range(5))),
           "refused", (TEST, "ch_names is not a list of different names")),
    Damage("channels of the test are in another order", _names(TEST, _swapped),
           "refused", (TEST, "channels differ", "P1")),
    Damage("channels of a person are others", _names(SECOND, lambda n: [f"{i}z" for i in n]),
           "refused", (SECOND, "channels differ", "P0z")),
    Damage("times are too few", _times(lambda t: t[:30]),
           "refused", (TRAINING, "times has 30 numbers for 40 samples")),
    Damage("times go on after the samples", _times(lambda t: np.append(t, 0.2)),
           "refused", (TRAINING, "times has 41 numbers for 40 samples", "nobody can tell")),
    Damage("times are milliseconds", _times(lambda t: 1000 * t),
           "refused", (TRAINING, "in steps of 10", "expected seconds")),
    Damage("times jump", _times(lambda t: t + (np.arange(40) > 20)),
           "refused", (TRAINING, "equal steps")),
    Damage("times are NaN", _times(lambda t: t * np.nan),
           "refused", (TRAINING, "times is not a list of finite numbers")),
    Damage("times of training are others than of the test", _times(lambda t: t + 0.1),
           "refused", ("sub-01", "first sample (s) differ")),
    Damage("the rate of a person is another",
           _edit(SECOND, lambda c: c.update(times=c["times"] / 2)),
           "refused", (SECOND, "sampling rate differ", "200.0 against 100.0")),
    Damage("a repeat is missing", _data(TRAINING, lambda x: x[:, :3]),
           "reported", (TRAINING, "3 repeats of each picture, published are 4")),
    Damage("test repeats are averaged", _data(TEST, lambda x: x.mean(1, keepdims=True)),
           "reported", (TEST, "1 repeats of each picture, published are 10: it was averaged")),
    Damage("samples of all files are cut", _cut_samples,
           "reported", (TRAINING, "5 channels x 30 samples, known are")),
    Damage("a number is NaN", _set(TRAINING, (7, 2, 1, 5), np.nan),
           "refused", ("sub-01_training", "1 value(s)", "NaN", "trial 30 ")),
    Damage("a number is infinite", _set(TEST, (1, 9, 0, 0), np.inf),
           "refused", ("sub-01_test", "1 value(s)", "infinite", "trial 19 ")),
    Damage("numbers are beyond float32", _set(TEST, (0, 0, 0, 0), 1e300),
           "refused", ("sub-01_test", "infinite")),
    Damage("a channel is constant", _set(SECOND, (..., 3, slice(None)), 1.5),
           "refused", ("sub-02_training", "1 channel(s) never change", "P3")),
    Damage("a channel is constant in the test alone", _set(TEST, (..., 2, slice(None)), 1.5),
           "reported", ("sub-01_test", "1 channel(s) never change (P2)")),
    Damage("trials are zeros", _set(TRAINING, (5, 1), 0),
           "reported", ("sub-01_training", "the signal is flat", "trial 21")),
    Damage("a person under another's name",
           lambda f: [shutil.copy(p, f / "sub-02") for p in (f / TRAINING, f / TEST)],
           "refused", ("sub-02", "copied over the other", "sub-01_training")),
    Damage("a repeat is a copy of another", _data(TRAINING, lambda x: x[:, [0, 1, 2, 2]]),
           "reported", ("sub-01_training", "24 trial(s)", "the same signals")),
    Damage("test trials are training trials", _training_as_test,
           "refused", ("sub-01_test", "copied over the other", "sub-01_training")),
    Damage("the list of pictures is missing", lambda f: (f / METADATA).unlink(),
           "refused", ("image_metadata.npy", "which trial is which")),
    Damage("the list of pictures breaks off", _cut(METADATA, 0.5),
           "refused", ("image_metadata.npy", "cut off")),
    Damage("the list of pictures wants to run code", lambda f: save(f / METADATA, {"a": _Runs()}),
           "refused", ("image_metadata.npy", "wants to import", "system")),
    Damage("the list of pictures is an array",
           _edit(METADATA, lambda c: np.array(c["train_img_files"])),
           "refused", ("image_metadata.npy", "must be lists of one length")),
    Damage("training files are not listed",
           _edit(METADATA, lambda c: c.pop("train_img_files") and None),
           "refused", ("image_metadata.npy", "train_img_files", "[24, 'nothing']")),
    Damage("lists differ in length", _listed("test_img_files", lambda n: n[:3]),
           "refused", ("image_metadata.npy", "[4, 3]")),
    Damage("training files are shuffled", _listed("train_img_files", lambda n: n[::-1]),
           "refused", ("the folder says 'aardvark' but the file shows 'fan'",)),
    Damage("pictures are shuffled with their concepts", _edit(METADATA, _order),
           "refused", ("image_metadata.npy", "train_img_concepts goes back", "mixed up")),
    Damage("pictures are shuffled within a concept", _listed("train_img_files", _swapped),
           "reported", ("image_metadata.npy", "1 files are not sorted by name")),
    Damage("concepts have no numbers", _listed("train_img_concepts", lambda n: [i[6:] for i in n]),
           "refused", ("image_metadata.npy", "'aardvark' (place 0), expected 00001_aardvark")),
    Damage("files have no names of THINGS", _listed("test_img_files", lambda n: ["a.png"] * 4),
           "refused", ("image_metadata.npy", "not the name of a THINGS picture")),
    Damage("a picture is listed twice", _listed("train_img_files", lambda n: [n[1], *n[1:]]),
           "refused", ("image_metadata.npy", "1 training pictures stand twice")),
    Damage("a concept has one picture too many", _edit(METADATA, _one_picture_elsewhere),
           "refused", ("image_metadata.npy", "24 training pictures of 8 concepts", "aardvark")),
    Damage("a test concept is trained on", _edit(METADATA, _test_concept_in_training),
           "refused", ("image_metadata.npy", "1 test concepts are training concepts too (cat)")),
    Damage("picture files are missing", _pictures,
           "reported", ("27 of 28 picture files are not below",), {"pictures": "image_set"}),
)  # fmt: skip
