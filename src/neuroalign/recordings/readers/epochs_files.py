"""Epochs files of MNE: which are there, whose they are, and what one of them holds."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mne
import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.quality import Finding

_BLOCK_BYTES = 2**26
_PATTERN = re.compile(r"(?P<start>.*?)[-_]epo\.fif(\.gz)?$")


def files_in_folder(folder: Path) -> list[tuple[str, Path]]:
    """Return person and path of each epochs file: by folder, else by the start of its name."""
    found = []
    for path in sorted([*folder.glob("*epo.fif*"), *folder.glob("*/*epo.fif*")]):
        match = _PATTERN.fullmatch(path.name)
        if match:
            own = path.parent.name if path.parent != folder else match["start"].split("_")[0]
            found.append((own, path))
    return found


def only_subfolder(folder: Path, files: Sequence[Path]) -> Iterator[Finding]:
    """Note that a single subfolder counts as a person: it may be the folder that was meant."""
    places = {path.parent for path in files}
    if len(places) == 1 and folder not in places:
        (own,) = places
        what = (
            f"all epochs lie in {own.name}, which counts as one person's name; if their names "
            f"begin with people, give {own}"
        )
        yield Finding(folder.name, what, "note", len(files))


def split_parts(path: Path) -> tuple[Path, ...]:
    """Return the file and the parts that it goes on in."""
    stem = path.name.removesuffix(".gz").removesuffix(".fif")
    more = [p for p in path.parent.glob(f"{stem}-*.fif*") if re.search(r"-\d+\.fif", p.name)]
    return (path, *sorted(more))


def orphans(folder: Path) -> Iterator[Finding]:
    """Look for split parts of files that are not there."""
    for path in sorted([*folder.glob("*epo-*.fif*"), *folder.glob("*/*epo-*.fif*")]):
        first = path.with_name(re.sub(r"-\d+(\.fif)", r"\1", path.name))
        if not first.exists():
            what = f"{path.name} goes on from {first.name}, which is not there"
            yield Finding(path.parent.name, what, "fatal", 1)


def count_epochs(name: str, path: Path, modality: str | None) -> tuple[int, list[Finding]]:
    """Count the epochs of a file by its header, and say if it cannot be read."""
    if path.is_file() and path.stat().st_size == 0:
        return 0, [Finding(name, f"{path.name} is empty", "fatal", 0)]
    try:
        count = len(open_epochs(path, modality)[0].events)
    except NeuroalignError as error:
        return 0, [Finding(name, str(error), "fatal", 1)]
    if count == 0:
        what = f"{path.name} holds no epochs: all were dropped before it was saved. Leave it out"
        return 0, [Finding(name, what, "fatal", 0)]
    return count, []


def open_epochs(path: Path, modality: str | None) -> tuple[Any, Any, str]:
    """Open epochs; return them, an object that describes the channels used, and the modality.

    Raises
    ------
    NeuroalignError
        It is no epochs file, damaged, or has no channels of the modality.
    """
    if not path.is_file():
        raise NeuroalignError(
            f"{path} does not exist or is no file. Give MNE epochs files (*-epo.fif)."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            epochs = mne.read_epochs(path, preload=False, verbose="error")
            found = modality or ("meg" if "meg" in epochs else "eeg")
            picks = mne.pick_types(epochs.info, meg=found == "meg", eeg=found == "eeg", exclude=())
            if len(picks) == 0:
                raise ValueError(f"there are {', '.join(sorted(set(epochs.get_channel_types())))}")
            info = mne.pick_info(epochs.info, picks)
            return epochs, mne.EvokedArray(np.zeros((len(picks), 1)), info), found
    except Exception as error:
        raise NeuroalignError(
            f"{path} cannot be read as MNE epochs with {modality or 'eeg or meg'} channels: {error}"
        ) from error


def blocks_of(
    epochs: Any, kept: npt.NDArray[np.int64], names: list[str], path: Path
) -> Iterator[Any]:
    """Yield the data of some epochs: float64 of shape (n_trials, channels, samples), SI units.

    Raises
    ------
    NeuroalignError
        They cannot be read.
    """
    size = max(1, _BLOCK_BYTES // (8 * len(names) * len(epochs.times)))
    for start in range(0, len(kept), size):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield epochs[kept[start : start + size]].get_data(
                    picks=names, copy=False, verbose="error"
                )
        except Exception as error:
            raise NeuroalignError(
                f"{path}: epochs from number {start} on cannot be read: {error}. Repair or copy "
                "the file again, with all of its parts."
            ) from error


def trials_of(epochs: Any, columns: dict[str, str], run: str, path: Path) -> pd.DataFrame:
    """Return the trials of a file.

    Parameters
    ----------
    epochs : mne.Epochs
    columns : mapping from label, stimulus and split to the metadata's own columns
        Each may be absent; without metadata, the names of the events are the classes.
    run : str
    path : Path
        For errors.

    Raises
    ------
    NeuroalignError
        Neither class nor picture is given for any trial, or the split has other values.
    """
    count = len(epochs.events)
    meta = epochs.metadata if epochs.metadata is not None else pd.DataFrame(index=range(count))
    names = {code: name for name, code in epochs.event_id.items()}
    table = pd.DataFrame(
        {
            own: _names(meta[given]).to_numpy(object)
            if given in meta
            else np.full(count, pd.NA, object)
            for own, given in columns.items()
        },
    ).astype("string")
    if table["label"].isna().all() and table["stimulus"].isna().all():
        if epochs.metadata is not None:
            raise NeuroalignError(
                f"{path}: its metadata has {_lacking(meta, columns)}. Say which columns hold "
                "the class and the picture (`label_column`, `stimulus_column`)."
            )
        table["label"] = pd.array([names[code] for code in epochs.events[:, 2]], dtype="string")
    if unknown := sorted(set(table["split"].dropna()) - {"train", "test"}):
        raise NeuroalignError(
            f"{path}: the column {columns['split']!r} of its metadata says {', '.join(unknown)}; "
            "only train and test are known. Leave others out, or name another `split_column`."
        )
    onsets = (epochs.events[:, 0] - epochs.events[:, 0].min(initial=0)) / epochs.info["sfreq"]
    session = pd.Series(pd.NA, index=table.index, dtype="string")
    return table.assign(onset_s=onsets, run=run, session=session)


def _names(column: pd.Series) -> pd.Series:
    """Return text; whole numbers become floats beside missing values, but stay the same names."""
    if column.dtype.kind == "f" and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype("string")


def _lacking(meta: pd.DataFrame, columns: dict[str, str]) -> str:
    label, stimulus = columns["label"], columns["stimulus"]
    there = [c for c in (label, stimulus) if c in meta]
    if there:
        return f"nothing in the column(s) {', '.join(map(repr, there))}"
    return f"neither {label!r} nor {stimulus!r}, only {', '.join(meta.columns)}"
