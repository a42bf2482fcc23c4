"""Ways to damage the miniature of ImageNetEEG, and what has to come of each."""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from miniatures.damage import Damage
from miniatures.imagenet_eeg import MiniatureReader, load, save, write_imagenet_eeg
from neuroalign.recordings.readers.imagenet_eeg import SIGNALS, SPLITS

EEG, SPLIT = SIGNALS["5-95"], SPLITS["all"]
READER = MiniatureReader()
OPTIONS = {"features": "samples"}


def write(folder: Path) -> None:
    """Make the miniature."""
    write_imagenet_eeg(folder)


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


def _entries(change: Callable[[dict[str, Any]], None], *which: int) -> Callable[[Path], None]:
    """Change segments: these, or all."""

    def all_of(content: Any) -> None:
        for i in which or range(len(content["dataset"])):
            change(content["dataset"][i])

    return _edit(EEG, all_of)


def _names(key: str, change: Callable[[list[str]], Any]) -> Callable[[Path], None]:
    return _edit(EEG, lambda content: content.update({key: change(content[key])}))


def _first_split(change: Callable[[dict[str, list[Any]]], Any]) -> Callable[[Path], None]:
    return _edit(SPLIT, lambda content: change(content["splits"][0]) and None)


def _cut(name: str, share: float) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, int(share * (folder / name).stat().st_size))


def _put(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


def _folder_instead(folder: Path) -> None:
    (folder / EEG).unlink()
    (folder / EEG).mkdir()


def _new_format(name: str, then: Callable[[Path], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        save(folder / name, load(folder / name), old_format=False)
        then(folder)

    return apply


def _deflate(folder: Path) -> None:
    with zipfile.ZipFile(folder / EEG) as old:
        files = {n: old.read(n) for n in old.namelist()}
    with zipfile.ZipFile(folder / EEG, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in files.items():
            new.writestr(name, content)


def _zip_without_tensors(folder: Path) -> None:
    with zipfile.ZipFile(folder / EEG) as old:
        files = {n: old.read(n) for n in old.namelist()}
    with zipfile.ZipFile(folder / EEG, "w") as new:
        for name in [n for n in files if not n.endswith("/data/5")]:
            new.writestr(name, files[name])


def _shuffle(key: str) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        entries = content["dataset"]
        order = np.random.default_rng(0).permutation(len(entries))
        for entry, value in zip(entries, [entries[i][key] for i in order], strict=True):
            entry[key] = value

    return change


def _shuffle_split(split: dict[str, list[int]]) -> None:
    every = np.random.default_rng(0).permutation([i for p in split.values() for i in p]).tolist()
    for part in list(split):
        split[part], every = every[: len(split[part])], every[len(split[part]) :]


def _copy_person(content: Any) -> None:
    for i in range(32):
        content["dataset"][32 + i]["eeg"] = content["dataset"][i]["eeg"]


def _move_person(content: Any) -> None:
    for entry in content["dataset"]:
        entry["subject"] = 1


def _set(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda entry: entry.__setitem__(key, value)


def _eeg(change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    return lambda entry: entry.__setitem__("eeg", change(entry["eeg"].clone()))


def _value(row: int, column: int, value: float) -> Callable[[dict[str, Any]], None]:
    def change(eeg: Any) -> Any:
        eeg[row, column] = value
        return eeg

    return _eeg(change)


def _constant_channel(content: Any) -> None:
    for entry in content["dataset"]:
        if entry["subject"] == 2:
            entry["eeg"][4] = 7.0


def _another_band(folder: Path) -> None:
    content = load(folder / EEG)
    a, b = content["dataset"][0], content["dataset"][1]
    for key in ("image", "label"):
        a[key], b[key] = b[key], a[key]
    save(folder / SIGNALS["55-95"], content)


def _drop(content: Any, keep: int) -> None:
    del content["dataset"][keep:]


def _lose_segments(content: Any) -> dict[str, list[int]] | None:
    content["dataset"].append(dict(content["dataset"][5], eeg=content["dataset"][5]["eeg"] + 1))


def _pictures(folder: Path) -> None:
    (folder / "n02106662").mkdir()
    (folder / "n02106662" / "n02106662_100.JPEG").write_bytes(b"x")


def _order(folder: Path, change: Callable[[list[str]], list[str]]) -> None:
    names = sorted(load(folder / EEG)["images"])
    (folder / "image_order.txt").write_text("\n".join(change(names)))


def _all_at_once(folder: Path) -> None:
    for damage in (
        _entries(lambda e: e.pop("image") and None, 7),
        _entries(_eeg(lambda x: x[None]), 4),
        _entries(_eeg(lambda x: x.t().contiguous()), 9),
        _entries(_eeg(lambda x: x[:6]), 11),
        _entries(_set("image", 32), 2),
        _entries(_set("label", -1), 3),
        _entries(lambda e: e.update(label=(e["label"] + 1) % 4), 12),
        _first_split(lambda s: s["train"].append(s["test"][0])),
    ):
        damage(folder)


DAMAGES = (
    Damage("a fault of every kind at once", _all_at_once, "refused",
           (EEG, "1 segment(s) lack some", "no matrix", "axes swapped", "have the shape (6,",
            "`image` out of range", "`label` out of range", "another class than their label",
            "first: 12", SPLIT, "1 indices stand twice")),
    Damage("signals are missing", lambda f: (f / EEG).unlink(), "refused", (EEG, "not there")),
    Damage("a folder in place of the signals", _folder_instead, "refused", (EEG, "not there")),
    Damage("signals of another band only", lambda f: (f / EEG).rename(f / SIGNALS["raw"]),
           "refused", (EEG, "not there", SIGNALS["raw"])),
    Damage("signals are empty", _put(EEG, b""), "refused", (EEG, "cut off or damaged")),
    Damage("a web page in place of the signals", _put(EEG, b"<!DOCTYPE html><html>quota exceeded"),
           "refused", (EEG, "cut off or damaged")),
    Damage("signals end in the numbers", _cut(EEG, 0.6), "refused", (EEG, "cut off", "tensor")),
    Damage("signals end in the index", _cut(EEG, 0.003), "refused", (EEG, "cut off or damaged")),
    Damage("signals lack the last byte", _cut(EEG, 1 - 1e-6),
           "refused", (EEG, "cut off", "tensor 64 of 64")),
    Damage("the newer format ends early", _new_format(EEG, _cut(EEG, 0.6)),
           "refused", (EEG, "cut off or damaged")),
    Damage("the newer format lacks a tensor", _new_format(EEG, _zip_without_tensors),
           "refused", (EEG, "damaged", "data/5")),
    Damage("the newer format is compressed", _new_format(EEG, _deflate),
           "refused", (EEG, "compressed")),
    Damage("another ZIP archive", _new_format(EEG, lambda f: zipfile.ZipFile(f / EEG, "w").close()),
           "refused", (EEG,)),
    Damage("a plain pickle", _put(EEG, pickle.dumps({"dataset": []})),
           "refused", (EEG, "not a file that torch.save writes")),
    Damage("signals want to run code", lambda f: save(f / EEG, {"dataset": [_Runs()]}),
           "refused", (EEG, "wants to import", "system")),
    Damage("the newer format wants to run code",
           lambda f: save(f / EEG, {"dataset": [_Runs()]}, old_format=False),
           "refused", (EEG, "wants to import", "system")),
    Damage("a list in place of the dict", _edit(EEG, lambda c: c["dataset"]),
           "refused", (EEG, "it holds list")),
    Damage("`dataset` under another name", _edit(EEG, lambda c: {"data": c.pop("dataset"), **c}),
           "refused", (EEG, "'data'", "expected lists under dataset, labels, images")),
    Damage("`labels` are missing", _edit(EEG, lambda c: c.pop("labels") and None),
           "refused", (EEG, "expected lists under dataset, labels, images")),
    Damage("`images` are numbered", _names("images", lambda n: dict(enumerate(n))),
           "refused", (EEG, "expected lists")),
    Damage("a segment lacks its picture", _entries(lambda e: e.pop("image") and None, 7),
           "refused", (EEG, "1 segment(s) lack some of the keys", "first: 7")),
    Damage("segments have renamed keys", _entries(lambda e: e.update(EEG=e.pop("eeg"))),
           "refused", (EEG, "64 segment(s) lack some of the keys")),
    Damage("axes are swapped", _entries(_eeg(lambda x: x.t())),
           "refused", (EEG, "64 segment(s) are samples x channels", "axes swapped")),
    Damage("axes of one segment are swapped", _entries(_eeg(lambda x: x.t().contiguous()), 9),
           "refused", (EEG, "1 segment(s) are samples x channels", "first: 9")),
    Damage("channels are missing", _entries(_eeg(lambda x: x[:6])),
           "refused", (EEG, "64 segment(s) have the shape (6,", "expected 8 channels")),
    Damage("signals are whole numbers", _entries(_eeg(lambda x: x.short())),
           "refused", (EEG, "no matrix of decimal numbers")),
    Damage("a segment has three axes", _entries(_eeg(lambda x: x[None]), 4),
           "refused", (EEG, "1 segment(s)", "no matrix", "first: 4")),
    Damage("a segment is a list", _entries(_eeg(lambda x: x.tolist()), 4),
           "refused", (EEG, "no matrix", "first: 4")),
    Damage("a picture is out of range", _entries(_set("image", 32), 2),
           "refused", (EEG, "`image` out of range", "there are 32", "first: 2")),
    Damage("a label is negative", _entries(_set("label", -1), 2),
           "refused", (EEG, "`label` out of range", "first: 2")),
    Damage("a label is missing", _entries(_set("label", None), 2),
           "refused", (EEG, "`label` out of range", "first: 2")),
    Damage("people count from 0", _entries(lambda e: e.update(subject=e["subject"] - 1)),
           "refused", (EEG, "32 segment(s) have a `subject` out of range", "people are 1 to 2")),
    Damage("pictures of segments are shuffled", _edit(EEG, _shuffle("image")),
           "refused", (EEG, "picture of another class than their label")),
    Damage("labels of segments are shuffled", _edit(EEG, _shuffle("label")),
           "refused", (EEG, "picture of another class than their label")),
    Damage("the list of pictures is sorted", _names("images", sorted),
           "refused", (EEG, "picture of another class than their label")),
    Damage("the list of labels is reversed", _names("labels", lambda n: n[::-1]),
           "refused", (EEG, "picture of another class than their label")),
    Damage("pictures are file names", _names("images", lambda n: [f"{i}.JPEG" for i in n]),
           "refused", (EEG, "32 of `images` are no names of ImageNet")),
    Damage("labels are words", _names("labels", lambda n: ["dog", "cat", "ox", "bat"]),
           "refused", (EEG, "4 of `labels` are no names of ImageNet")),
    Damage("a picture is listed twice", _names("images", lambda n: [*n[:3], n[4], *n[4:]]),
           "refused", (EEG, "1 of `images` stand twice")),
    Damage("a class is gone from the labels", _names("labels", lambda n: n[:-1]),
           "refused", (EEG, "`labels` lacks")),
    Damage("a number is NaN", _entries(_value(2, 100, np.nan), 5),
           "refused", ("sub-01", "1 value(s)", "NaN", EEG)),
    Damage("a number is infinite", _entries(_value(2, 100, -np.inf), 40),
           "refused", ("sub-02", "1 value(s)", "infinite", EEG)),
    Damage("a channel of one person is constant", _edit(EEG, _constant_channel),
           "refused", ("sub-02", "1 channel(s) never change", "ch005", EEG)),
    Damage("segments are zeros", _entries(_eeg(lambda x: 0 * x), 6, 8),
           "reported", ("sub-01", "the signal is flat", "6, 8")),
    Damage("all segments are too short", _entries(_eeg(lambda x: x[:, :300])),
           "refused", ("sub-01", "no train trials left")),
    Damage("one person under another's name", _edit(EEG, _copy_person),
           "refused", ("sub-02", "copied over the other", "sub-01")),
    Damage("all people under one number", _edit(EEG, _move_person),
           "reported", (EEG, "person 2 has 0 segments", "show a person a picture again")),
    Damage("a segment is a copy of another",
           _edit(EEG, lambda c: c["dataset"][5].update(eeg=c["dataset"][6]["eeg"].clone())),
           "reported", ("sub-01", "1 trial(s)", "the same signals")),
    Damage("the last segments are missing", _edit(EEG, lambda c: _drop(c, 50)),
           "refused", (SPLIT, "14 indices are out of range", "there are 50 segments")),
    Damage("the last segment is missing", _edit(EEG, lambda c: _drop(c, 63)),
           "reported", (SPLIT, "index 63 is one beyond", "63 segments, published are 64")),
    Damage("a segment too many", _edit(EEG, _lose_segments),
           "reported", ("65 segments, published are 64", "in no part of the split (first: 64)")),
    Damage("the file of another band tells otherwise", _another_band,
           "reported", (EEG, "2 segment(s) have another", SIGNALS["55-95"])),
    Damage("splits are missing", lambda f: (f / SPLIT).unlink(), "refused", (SPLIT, "not there")),
    Damage("splits are cut off", _cut(SPLIT, 0.5), "refused", (SPLIT, "cut off or damaged")),
    Damage("splits want to run code", lambda f: save(f / SPLIT, {"splits": [_Runs()]}),
           "refused", (SPLIT, "wants to import", "system")),
    Damage("`splits` under another name", _edit(SPLIT, lambda c: {"split": c["splits"]}),
           "refused", (SPLIT, "lacks the list of splits")),
    Damage("the wanted split is not there", lambda f: None,
           "refused", (SPLIT, "there is no split 2", "holds 2"), {"split": 2}),
    Damage("a split lacks a part", _first_split(lambda s: s.pop("val")),
           "refused", (SPLIT, "split 0 lacks val")),
    Damage("a split has an empty part", _first_split(lambda s: s["test"].clear()),
           "refused", (SPLIT, "'test' of split 0 is not a list of indices")),
    Damage("indices are words", _first_split(lambda s: s.update(train=list("abc"))),
           "refused", (SPLIT, "'train' of split 0 is not a list of indices")),
    Damage("indices are fractions", _first_split(lambda s: s.update(val=[0.5, 1.5])),
           "refused", (SPLIT, "'val' of split 0 is not a list of indices")),
    Damage("an index is out of range", _first_split(lambda s: s["train"].__setitem__(3, 99_999)),
           "refused", (SPLIT, "1 indices are out of range", "99999")),
    Damage("an index is negative", _first_split(lambda s: s["test"].__setitem__(3, -5)),
           "refused", (SPLIT, "1 indices are out of range", "-5")),
    Damage("an index stands twice", _first_split(lambda s: s["train"].append(s["train"][0])),
           "refused", (SPLIT, "1 indices stand twice")),
    Damage("an index is in two parts", _first_split(lambda s: s["train"].append(s["test"][0])),
           "refused", (SPLIT, "1 indices stand twice")),
    Damage("indices are shuffled across parts", _first_split(_shuffle_split),
           "refused", (SPLIT, "test pictures are training pictures too", "mixed up")),
    Damage("training and test are exchanged",
           _first_split(lambda s: s.update(train=s["test"], test=s["train"])),
           "reported", (SPLIT, "8 / 8 / 48 indices", "published are 48 / 8 / 8")),
    Damage("the split for single people under the other's name",
           lambda f: shutil.copy(f / SPLITS["single"], f / SPLIT),
           "refused", (SPLIT, "32 indices for 64 segments")),
    Damage("half of the training indices are gone",
           _first_split(lambda s: s.update(train=s["train"][:24])),
           "refused", (SPLIT, "40 indices for 64 segments")),
    Damage("the order of pictures is empty", _put("image_order.txt", b"\n"),
           "refused", ("image_order.txt", "lacks 32 pictures")),
    Damage("the order of pictures breaks off", lambda f: _order(f, lambda n: n[:20]),
           "reported", ("image_order.txt", "lacks 12 pictures")),
    Damage("the order of pictures is mixed", lambda f: _order(f, lambda n: n[::2] + n[1::2]),
           "reported", ("image_order.txt", "4 classes come in 8 blocks")),
    Damage("the order of pictures is no text", _put("image_order.txt", bytes(range(256))),
           "refused", ("image_order.txt", "lacks 32 pictures")),
    Damage("picture files are missing", _pictures,
           "reported", ("31 of 32 are not below", "JPEG"), {"pictures": "."}),
)  # fmt: skip
