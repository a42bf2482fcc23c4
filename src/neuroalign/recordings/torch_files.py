"""PyTorch's files (.pth, .pt) of plain data, with their tensors left in the file.

`torch.load` can leave tensors on disk only in files of PyTorch 1.6 and later, while older data
sets were saved before that: as one long stream, which it reads into memory as a whole. Here both
kinds are opened alike, and nothing but tensors and plain data is admitted.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.pickles import PLAIN, StoredArray, admitted, damage_named

_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    "Double": "<f8",
    "Float": "<f4",
    "Half": "<f2",
    "Long": "<i8",
    "Int": "<i4",
    "Short": "<i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "?",
}


@dataclass
class _Storage:
    """Numbers that tensors are views of; where they begin is known late."""

    key: str
    dtype: np.dtype[Any]
    count: int
    first: int = 0
    offset: int = -1


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    first: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch(path: Path) -> Any:
    """Open what `torch.save` wrote.

    Parameters
    ----------
    path : Path

    Returns
    -------
    object
        Dicts, lists and numbers as they were saved, with a `StoredArray` for each tensor.

    Raises
    ------
    NeuroalignError
        The file wants to import something, is cut off or damaged, or is no PyTorch file.
    """
    with damage_named(path):
        try:
            with path.open("rb") as file:
                # Not zipfile.is_zipfile: it takes numbers at the end of a file for an archive.
                if file.read(2) == b"PK":
                    with zipfile.ZipFile(path) as archive:
                        return _read_archive(path, archive)
                file.seek(0)
                return _read_stream(path, file)
        except zipfile.BadZipFile as error:
            raise ValueError(str(error)) from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, path: Path, file: Any) -> None:
        super().__init__(file, encoding="utf-8")
        self._path = path
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        kind = name.removesuffix("Storage")
        if module == "torch" and name != kind and kind in _STORAGES:
            return np.dtype(_STORAGES[kind])
        return admitted(self._path, module, name, _NAMES)

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise ValueError(f"a reference to {kind!r}")
        storage = self.storages.setdefault(str(key), _Storage(str(key), dtype, int(count)))
        if not view or view[0] is None:
            return storage
        _, first, size = view[0]  # only in files of before PyTorch 1.6
        return _Storage(str(key), dtype, int(size), int(first))


def _rebuild(storage: Any, first: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise TypeError("a tensor without its storage")
    return _Tensor(storage, int(first), tuple(map(int, shape)), tuple(map(int, strides)))


_NAMES = {
    **PLAIN,
    ("torch._utils", "_rebuild_tensor"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
}


def _read_archive(path: Path, archive: zipfile.ZipFile) -> Any:
    names = {name: archive.getinfo(name) for name in archive.namelist()}
    (main,) = [name for name in names if name.endswith("data.pkl")] or [""]
    if not main:
        raise NeuroalignError(f"{path} is a ZIP archive, but not one that torch.save writes.")
    prefix = main.removesuffix("data.pkl")
    if f"{prefix}byteorder" in names and archive.read(f"{prefix}byteorder") != b"little":
        raise NeuroalignError(f"{path} was written by a big-endian machine; save it again.")
    with archive.open(main) as file:
        unpickler = _Unpickler(path, file)
        content = unpickler.load()
    with path.open("rb") as file:
        for storage in unpickler.storages.values():
            info = names[f"{prefix}data/{storage.key}"]
            if info.compress_type != zipfile.ZIP_STORED:
                raise NeuroalignError(f"{path} is compressed, so it cannot be read in blocks.")
            if info.file_size != storage.count * storage.dtype.itemsize:
                raise ValueError(f"{info.file_size} bytes for {storage.count} {storage.dtype}")
            file.seek(info.header_offset + 26)
            name_bytes, extra_bytes = struct.unpack("<HH", file.read(4))
            storage.offset = info.header_offset + 30 + name_bytes + extra_bytes
    return _resolved(content, unpickler.storages, path)


def _read_stream(path: Path, file: BinaryIO) -> Any:
    """Read a file of before PyTorch 1.6: pickles one after the other, then the numbers."""
    if _Unpickler(path, file).load() != _MAGIC:
        raise NeuroalignError(f"{path} is not a file that torch.save writes.")
    _Unpickler(path, file).load()  # the version of the format: there is only one
    if not _Unpickler(path, file).load().get("little_endian", True):
        raise NeuroalignError(f"{path} was written by a big-endian machine; save it again.")
    unpickler = _Unpickler(path, file)
    content = unpickler.load()
    size = path.stat().st_size
    keys = _Unpickler(path, file).load()
    for key in keys:
        storage = unpickler.storages[str(key)]
        (count,) = struct.unpack("<q", file.read(8))
        storage.offset = file.tell()
        if count != storage.count:
            raise ValueError(f"{count} numbers where {storage.count} were announced")
        end = storage.offset + count * storage.dtype.itemsize
        if end > size:
            raise NeuroalignError(
                f"{path} is cut off: it ends at byte {size:,}, in the midst of tensor "
                f"{list(keys).index(key) + 1} of {len(keys)}. Copy or download it again."
            )
        file.seek(end)
    return _resolved(content, unpickler.storages, path)


def _resolved(value: Any, storages: dict[str, _Storage], path: Path) -> Any:
    if isinstance(value, dict):
        return {
            _resolved(k, storages, path): _resolved(v, storages, path) for k, v in value.items()
        }
    if isinstance(value, list):
        return [_resolved(v, storages, path) for v in value]
    if isinstance(value, tuple):
        return tuple(_resolved(v, storages, path) for v in value)
    if not isinstance(value, _Tensor):
        return value
    own, whole = value.storage, storages[value.storage.key]
    first = own.first + value.first
    array = StoredArray(
        path, whole.offset + first * own.dtype.itemsize, own.dtype, value.shape, value.strides
    )
    if whole.offset < 0 or first < 0 or len(value.shape) != len(value.strides):
        raise ValueError("a tensor without its numbers")
    array.check_size(whole.offset + whole.count * own.dtype.itemsize)
    return array
