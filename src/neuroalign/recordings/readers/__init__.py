"""Which data sets and folders can be read; a reader is one module and one line here.

A package of its own adds readers through the entry point group `neuroalign.readers`, each a
name and the class: ``my-set = "my_package.my_set:MySet"``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.readers.contract import Reader

GROUP = "neuroalign.readers"
#: In the order in which a folder is shown to them.
_SHIPPED: dict[str, str] = {
    "imagenet-eeg": "neuroalign.recordings.readers.imagenet_eeg:ImageNetEegReader",
    "things-meg": "neuroalign.recordings.readers.things_meg:ThingsMegReader",
    "things-meg-raw": "neuroalign.recordings.readers.things_meg_raw:ThingsMegRawReader",
    "things-eeg2": "neuroalign.recordings.readers.things_eeg2:ThingsEeg2Reader",
    "things-fmri": "neuroalign.recordings.readers.things_fmri:ThingsFmri",
    "nsd": "neuroalign.recordings.readers.nsd:NsdReader",
    "bids": "neuroalign.recordings.readers.bids:BidsReader",
    "epochs": "neuroalign.recordings.readers.epochs:EpochsReader",
    "arrays": "neuroalign.recordings.readers.arrays:ArraysReader",
}


def reader_names() -> list[str]:
    """Return the names of all readers: those that ship, then those of other packages."""
    return [*_SHIPPED, *(name for name in _plugged_in() if name not in _SHIPPED)]


def load_reader(name: str) -> Reader:
    """Return a reader by its name.

    Raises
    ------
    NeuroalignError
        There is none of that name, or a package that brings one is broken.
    """
    if name in _SHIPPED:
        module, _, attribute = _SHIPPED[name].partition(":")
        shipped: Reader = getattr(import_module(module), attribute)()
        return shipped
    entry = _plugged_in().get(name)
    if entry is None:
        raise NeuroalignError(
            f"There is no reader {name!r}; there are {', '.join(reader_names())}. "
            "`neuroalign datasets` describes them."
        )
    try:
        found = entry.load()()
    except Exception as error:
        raise NeuroalignError(
            f"The reader {name!r} ({entry.value}) cannot be loaded: {error}. The package that "
            "brings it is broken or made for another version: update or uninstall it."
        ) from error
    if not isinstance(found, Reader):
        raise NeuroalignError(
            f"The reader {name!r} ({entry.value}) is a {type(found).__name__}, not a "
            "neuroalign.recordings.readers.contract.Reader."
        )
    return found


def all_readers() -> list[Reader]:
    """Return a reader of each of `reader_names`, in that order."""
    return [load_reader(name) for name in reader_names()]


def recognise(folder: Path) -> Reader | None:
    """Return the first reader that takes `folder` for its own."""
    readers = (load_reader(name) for name in reader_names())
    return next((r for r in readers if r.recognises(folder)), None)


def _plugged_in() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
