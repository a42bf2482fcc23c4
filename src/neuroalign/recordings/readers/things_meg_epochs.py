"""THINGS-MEG from the preprocessed epochs: FIF files in split parts, read block by block."""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import mne
import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.continuous import channels_of
from neuroalign.recordings.quality import Finding, Severity
from neuroalign.recordings.readers.contract import Part, Plan, Staged, Write
from neuroalign.recordings.readers.things_meg_settling import MegOptions
from neuroalign.recordings.readers.things_meg_trials import (
    PersonTrials,
    Published,
    check_trials,
    compare_codes,
    read_trials,
    same_pictures,
)
from neuroalign.recordings.schema import Step
from neuroalign.signals import steps
from neuroalign.signals.epochs import Window, subtract_baseline
from neuroalign.signals.filtering import resample_signals

FOLDER = Path("derivatives", "preprocessed")
_BLOCK = 96  # 96 x 271 x 281 float64 are 58 MB
_USUAL_RMS = (0.05, 100.0)
_REF_FILE_NAME = 118  # the FIF tag that holds the name of the next split part
_NEXT_FILE = re.compile(r"FIFF_REF_FILE_NAME \(.*?\) +=\s+(.+) \.\.\. str len=")
_TAG = struct.Struct(">iiii")  # kind, type, bytes, where the next one is
_HINT = (
    "Copy or download it again; all parts of a person are needed (preprocessed_P1-epo.fif, "
    "-epo-1.fif, ...)."
)


def first_part(folder: Path, number: int) -> Path:
    """Return where the first split part of a person lies."""
    return folder / FOLDER / f"preprocessed_P{number}-epo.fif"


def plan_person(folder: Path, number: int, options: MegOptions, published: Published) -> Plan:
    """List the sessions of a person as parts, and all that headers and metadata have wrong."""
    name, first = f"P{number}", first_part(folder, number)
    others = sorted(first.parent.glob(f"{first.stem}-[0-9]*.fif"))
    if not first.is_file():
        what = f"{first.relative_to(folder)} is not there"
        what += f" ({len(others)} later part(s) are)" if others else ""
        return Plan((), (Finding(name, what, "fatal", 1),))
    where = f"{name} ({first.name})"
    try:
        files = split_parts(first)
        epochs, said = open_epochs(files)
    except NeuroalignError as error:
        return Plan((), (Finding(where, str(error), "fatal", 1),))
    found = [Finding(where, text, "warning", 1) for text in said]
    strays = [path.name for path in others if path not in files]
    if strays:
        what = f"{len(strays)} file(s) belong to no chain of split parts: {', '.join(strays[:4])}"
        found.append(Finding(name, what, "warning", len(strays)))
    found += _shape(epochs, where, published, incomplete=options.incomplete)
    person = _trials(epochs, where, published)
    found += person.findings
    if len(person.table):
        paths = epochs.metadata["image_path"]
        found += check_trials(person.table, paths, where, published, incomplete=options.incomplete)
        found += compare_codes(epochs.events[:, 2].astype(np.float64), person.table, where)
    source = folder / "sourcedata" / f"sample_attributes_{name}.csv"
    if source.is_file() and len(person.table):
        found += _compare_source(person.table, source, name)
    sessions = person.table.groupby("session", sort=True)["trial_type"]
    parts = [
        Part(
            subject=name,
            name=f"{name}_ses-{session:02d}",
            files=files,
            trials=int((kinds != "catch").sum()),
            where={"session": int(str(session))},
        )
        for session, kinds in sessions
    ]
    return Plan(tuple(p for p in parts if p.trials), tuple(found))


def stage_session(part: Part, options: MegOptions, published: Published, write: Write) -> Staged:
    """Read the trials of a session, block by block; catch trials are left out."""
    epochs, _ = open_epochs(part.files)
    person = _trials(epochs, part.subject, published)
    mine = person.table[person.table["session"] == part.where["session"]]
    kept = mine[mine["trial_type"] != "catch"].reset_index(drop=True)
    sfreq = float(epochs.info["sfreq"])
    rate = options.resample or sfreq
    times = _times(epochs, options, rate)
    low = np.full(len(epochs.ch_names), np.inf)
    high, squares, count = -low, 0.0, 0
    for start in range(0, len(kept), _BLOCK):
        rows = kept["trial"].to_numpy(np.int64)[start : start + _BLOCK]
        data = epochs.get_data(item=rows, copy=False, verbose="error")
        if np.iscomplexobj(data):
            raise NeuroalignError(
                f"{part.name}: {part.files[0].name} holds complex numbers, expected real ones: "
                "these are not the preprocessed signals. Download the file again."
            )
        low, high = np.minimum(low, data.min((0, 2))), np.maximum(high, data.max((0, 2)))
        squares, count = squares + float((data**2).sum()), count + data.size
        write(_prepared(data, epochs, options, rate, times))
    trials = kept.assign(
        session=f"{part.where['session']:02d}",
        run=kept["run"].map("{:02d}".format),
        onset_s=kept["image_on"],
    )
    return Staged(
        trials,
        facts={
            "channels": [c.model_dump() for c in channels_of(epochs)],
            "constant": [n for n, c in zip(epochs.ch_names, low == high, strict=True) if c],
            "sfreq": rate,
            "tmin": times.first / rate,
            "test_concepts": person.test_concepts,
            "catch": len(mine) - len(kept),
        },
        findings=tuple(_scale(np.sqrt(squares / max(count, 1)), part.name)),
    )


def epochs_steps(options: MegOptions) -> tuple[Step, ...]:
    """Return the record of what the authors did before, and of what is done here."""
    done = [
        Step(
            name="preprocessed by the data set's authors",
            parameters={
                "band_hz": [0.1, 40.0],
                "interval_s": [-0.1, 1.3],
                "sfreq": 200.0,
                "z-scored to": "the baseline of each trial",
            },
        )
    ]
    if options.baseline == "mean":
        done.append(steps.record("baseline", interval_s=[None, 0.0]))
    if options.resample is not None:
        done.append(steps.record("resample", by=("mne", "scipy"), sfreq=options.resample))
    if options.tmin is not None or options.tmax is not None:
        done.append(steps.record("crop", tmin=options.tmin, tmax=options.tmax))
    return tuple(done)


def split_parts(first: Path) -> tuple[Path, ...]:
    """Follow the chain of split parts: each names the next one in its last block.

    Raises
    ------
    NeuroalignError
        A part is missing, cut off or no FIF file, or names an earlier one as its next.
    """
    files = [first]
    while True:
        _refuse_cut(files[-1])
        with _damage_named(files[-1].name):
            shown = mne.io.show_fiff(
                files[-1],
                tag=_REF_FILE_NAME,
                read_limit=2_000,
                max_str=1_000,
                output=list,
                verbose="warning",
            )
        named = [match[1] for line in shown if (match := _NEXT_FILE.search(line))]
        if not named:
            return tuple(files)
        following = first.parent / named[-1]
        if following in files:
            raise NeuroalignError(
                f"the split part {files[-1].name} names {following.name} as the next one, which "
                f"comes before it: one part was copied over another. {_HINT}"
            )
        if not following.is_file():
            raise NeuroalignError(
                f"the split part {following.name} is missing: {files[-1].name} goes on in it. "
                f"{_HINT}"
            )
        files.append(following)


def open_epochs(files: Sequence[Path]) -> tuple[Any, list[str]]:
    """Open all split parts of a person without reading signals.

    Parameters
    ----------
    files : sequence of Path
        As `split_parts` returns them.

    Returns
    -------
    epochs : mne.Epochs
        To be read, not changed: the next call may return the same.
    said : list of str
        What MNE remarked.

    Raises
    ------
    NeuroalignError
        They cannot be read as epochs.
    """
    stats = [path.stat() for path in files]
    return _opened(files[0], tuple((s.st_ino, s.st_size, s.st_mtime_ns) for s in stats))


# The tables of 27,048 trials take seconds to open, and a session needs a twelfth of them.
@lru_cache(maxsize=1)
def _opened(first: Path, stamps: tuple[tuple[int, int, int], ...]) -> tuple[Any, list[str]]:
    with _damage_named(f"{first.name} or one of the {len(stamps) - 1} parts after it") as said:
        epochs = mne.read_epochs(first, proj=False, preload=False, verbose="warning")
    return epochs, said


@contextmanager
def _damage_named(files: str) -> Iterator[list[str]]:
    """Turn all that MNE raises on damaged files into an error, and keep its remarks."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield said
        except Exception as error:
            raise NeuroalignError(
                f"{files} cannot be read ({type(error).__name__}: {error}). {_HINT}"
            ) from error
        finally:
            said += [str(w.message) for w in caught if issubclass(w.category, RuntimeWarning)]


def _refuse_cut(path: Path) -> None:
    """Walk along the tags of a FIF file: the last one says that it is the last.

    MNE reads what is there of a file that was cut off, and does not say so.
    """
    size, place = path.stat().st_size, 0
    with path.open("rb") as file:
        while True:
            file.seek(place)
            header = file.read(_TAG.size)
            if len(header) < _TAG.size:
                break
            _, _, length, following = _TAG.unpack(header)
            end = place + _TAG.size + length
            if following == -1 and end <= size:
                return
            after = following if following > 0 else end
            if length < 0 or after <= place:  # no tag at all: MNE says what it is instead
                return
            place = after
    raise NeuroalignError(
        f"the split part {path.name} is cut off at {size:,} bytes, or no FIF file. {_HINT}"
    )


def _trials(epochs: Any, where: str, published: Published) -> PersonTrials:
    if epochs.metadata is None:
        what = "has no metadata, so nobody can tell which picture a trial shows"
        finding = Finding(where, what, "fatal", len(epochs))
        return PersonTrials(pd.DataFrame({"session": [], "trial_type": []}), (finding,))
    return read_trials(epochs.metadata.reset_index(drop=True), where, published)


def _shape(epochs: Any, where: str, published: Published, *, incomplete: bool) -> Iterator[Finding]:
    severity: Severity = "warning" if incomplete else "fatal"
    kinds = sorted(set(epochs.get_channel_types()))
    if kinds != ["mag"]:
        what = f"channels of the type(s) {', '.join(kinds)}, published mag alone"
        yield Finding(where, what, "fatal", len(epochs.ch_names))
    sfreq = float(epochs.info["sfreq"])
    for name, found, expected in (
        ("channels", len(epochs.ch_names), published.channels),
        ("samples a trial", len(epochs.times), published.samples),
        ("samples a second", sfreq, published.sfreq),
        ("as the time of the first sample in s", round(float(epochs.tmin), 4), published.tmin),
        ("trials in all split parts", len(epochs), published.trials),
    ):
        if found != expected:
            what = f"{found:g} {name}, published {expected:g}"
            yield Finding(where, what, severity, 1)


def _compare_source(table: pd.DataFrame, source: Path, name: str) -> Iterator[Finding]:
    where = f"{name} ({source.name})"
    try:
        paths = pd.read_csv(source, usecols=["image_path"])["image_path"]
    except (ValueError, OSError) as error:
        what = f"cannot be read ({error}); the metadata of the epochs are used unchecked"
        yield Finding(where, what, "warning", 1)
        return
    yield from same_pictures(table, paths, where)


def _times(epochs: Any, options: MegOptions, rate: float) -> Window:
    start = options.tmin if options.tmin is not None else float(epochs.tmin)
    end = options.tmax if options.tmax is not None else float(epochs.tmax)
    window = Window.of(start, end, rate)
    if start < epochs.tmin - 0.5 / rate or end > epochs.tmax + 0.5 / rate:
        raise NeuroalignError(
            f"The window from {start:g} to {end:g} s reaches beyond the preprocessed epochs, which "
            f"run from {epochs.tmin:g} to {epochs.tmax:g} s. Choose a window inside (`tmin`, "
            "`tmax`), or read the raw recordings (--source raw)."
        )
    return window


def _prepared(
    data: npt.NDArray[np.float64],
    epochs: Any,
    options: MegOptions,
    rate: float,
    window: Window,
) -> npt.NDArray[np.float32]:
    sfreq, tmin = float(epochs.info["sfreq"]), float(epochs.tmin)
    signals: npt.NDArray[Any] = data.astype(np.float32)
    if options.baseline == "mean":
        signals = subtract_baseline(signals, sfreq, tmin, (None, 0.0))
    if rate != sfreq:
        flat = signals.reshape(-1, signals.shape[2])
        signals = resample_signals(flat, sfreq, rate).reshape(*signals.shape[:2], -1)
    first = window.first - round(tmin * rate)
    return np.ascontiguousarray(signals[:, :, first : first + len(window)], np.float32)


def _scale(deviation: float, where: str) -> Iterator[Finding]:
    if not _USUAL_RMS[0] <= deviation <= _USUAL_RMS[1]:
        what = (
            f"the signals have a root mean square of {deviation:.3g}, but published epochs are "
            "z-scored to their baseline, so about 1: they are in another unit"
        )
        yield Finding(where, what, "warning", 1)
