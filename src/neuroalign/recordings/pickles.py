"""Pickles of plain data, read without running what is in them and without their large arrays.

A pickle is a little program. Here it may build numbers, strings, lists, tuples, dicts and NumPy
arrays, and nothing else: whatever it wants to import beyond that is refused by name. The numbers
of a large array are not read but remembered as a place in the file, so a pickle of 8 GB opens in
an instant and is read in blocks.
"""

from __future__ import annotations

import codecs
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError

#: Longer runs of bytes stay in the file.
_INLINE = 2**16
#: What cannot be left in the file is read up to this size.
_MOST_READ = 2**28


@dataclass(frozen=True)
class StoredArray:
    """An array whose numbers wait in a file.

    Attributes
    ----------
    path : Path
    offset : int
        Of the first number, in bytes from the start of the file.
    dtype : numpy.dtype
    shape : tuple of int
    strides : tuple of int
        From one number to the next along each axis, in numbers (not bytes).
    """

    path: Path
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def part(self, start: int, stop: int) -> StoredArray:
        """Return the places `start` to `stop` of the first axis, still in the file."""
        start, stop, _ = slice(start, stop).indices(self.shape[0])
        offset = self.offset + start * self.strides[0] * self.dtype.itemsize
        shape = (max(0, stop - start), *self.shape[1:])
        return StoredArray(self.path, offset, self.dtype, shape, self.strides)

    def read(self) -> npt.NDArray[Any]:
        """Return the numbers.

        Raises
        ------
        NeuroalignError
            The file ends before they do, or they are strewn over a part of the file that is too
            large to read.
        """
        if 0 in self.shape:
            return np.zeros(self.shape, self.dtype)
        span = self._span()
        wanted = int(np.prod(self.shape))
        if span > 4 * wanted and span * self.dtype.itemsize > _MOST_READ:
            raise NeuroalignError(
                f"{self.path}: an array is stored with its first axis innermost (Fortran order), "
                f"so {wanted} of its numbers are spread over {span * self.dtype.itemsize:,} bytes "
                "and it cannot be read in blocks. Save it again as numpy.ascontiguousarray(...)."
            )
        flat = np.fromfile(self.path, self.dtype, span, offset=self.offset)
        if len(flat) < span:
            raise NeuroalignError(_too_short(self.path))
        strides = tuple(s * self.dtype.itemsize for s in self.strides)
        return np.lib.stride_tricks.as_strided(flat, self.shape, strides).copy()

    def check_size(self, file_bytes: int) -> None:
        """Refuse a place that reaches beyond the end of a file of `file_bytes`."""
        end = self.offset + self._span() * self.dtype.itemsize
        if min(self.strides, default=0) < 0 or min(self.shape, default=0) < 0:
            raise NeuroalignError(f"{self.path}: an array has the shape {self.shape}: damaged.")
        if 0 not in self.shape and end > file_bytes:
            raise NeuroalignError(_too_short(self.path, end, file_bytes))

    def _span(self) -> int:
        return 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))


def read_pickle(path: Path) -> Any:
    """Open a pickle of plain data: `pickle.dump` of a dict, or `numpy.save` of an object.

    Parameters
    ----------
    path : Path
        A pickle of protocol 2 to 5, or an .npy file.

    Returns
    -------
    object
        Large arrays are `StoredArray`, small ones are arrays; an .npy file that wraps one object
        (shape ()) gives that object.

    Raises
    ------
    NeuroalignError
        The file wants to import something, is cut off or damaged, is no pickle, or holds a large
        array in a way that can only be read as a whole.
    """
    with damage_named(path), path.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        if start == b"\x93NUMPY":
            return _read_npy(path, file)
        if start[:1] != b"\x80":
            raise NeuroalignError(
                f"{path} is neither a pickle nor an .npy file: it begins with {start!r}. Copy or "
                "download it again."
            )
        return _Unpickler(path, file).read_all()


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Say of a pickle that breaks off or makes no sense which file it is."""
    try:
        yield
    except NeuroalignError:
        raise
    except Exception as error:  # what a damaged file makes a library do has no bounds
        raise NeuroalignError(
            f"{path} is cut off or damaged: it cannot be unpickled ({type(error).__name__}: "
            f"{error}). Copy or download it again."
        ) from error


def admitted(path: Path, module: str, name: str, names: dict[tuple[str, str], Any]) -> Any:
    """Return what a pickle asks for by name, if it is one of `names`.

    Raises
    ------
    NeuroalignError
        It is not: the pickle wants to run code.
    """
    known = names.get((module.replace("numpy.core", "numpy._core"), name))
    if known is None:
        raise NeuroalignError(
            f"{path} wants to import {module}.{name}, which plain data never needs: unpickling it "
            "could run someone else's code, so it is not read. Download it from its publisher."
        )
    return known


def _read_npy(path: Path, file: BinaryIO) -> Any:
    version = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0
        if version[0] == 1
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read(file)
    if not dtype.hasobject:
        stored = _stored(path, file.tell(), dtype, shape, fortran)
        stored.check_size(path.stat().st_size)
        return stored
    loaded = _Unpickler(path, file).read_all()
    if shape == () and isinstance(loaded, np.ndarray) and loaded.shape == ():
        return loaded.item()
    return loaded


def _stored(
    path: Path, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool
) -> StoredArray:
    lengths = shape if fortran else shape[::-1]
    strides = [1, *(int(np.prod(lengths[: i + 1])) for i in range(len(lengths) - 1))]
    strides = strides[: len(shape)]
    return StoredArray(path, offset, dtype, shape, tuple(strides if fortran else strides[::-1]))


def _too_short(path: Path, end: int | None = None, size: int | None = None) -> str:
    where = "" if end is None else f" at byte {end:,}, but the file ends at {size:,}"
    return f"{path} is cut off: an array in it ends{where or ' beyond the end of the file'}. " + (
        "Copy or download it again."
    )


@dataclass(frozen=True)
class _Bytes:
    """A run of bytes that stayed in the file."""

    offset: int
    size: int


class _Array:
    """What stands for a NumPy array until all of a pickle is read."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state


class _NdarrayType:
    """What stands for the class numpy.ndarray."""


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: str) -> _Array:
    array = _Array()
    array.state = (1, shape, dtype, order == "F", data)
    return array


def _scalar(dtype: np.dtype[Any], data: Any = None) -> Any:
    if dtype.hasobject or not isinstance(data, (bytes, bytearray)):
        raise ValueError("a number without its bytes")
    return np.frombuffer(data, dtype, 1)[0].item()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return codecs.encode(text, {"latin1": "latin1", "latin-1": "latin1"}[encoding])


#: All that plain data and NumPy arrays import; modules in NumPy's newer spelling.
PLAIN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NdarrayType,
    ("numpy", "dtype"): np.dtype,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
}


class _Unpickler(pickle._Unpickler):
    """Python's own unpickler, but for large runs of bytes, and for what may be imported.

    The one in C cannot skip bytes.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")
        self._path, self._source = path, file
        self._bytes = path.stat().st_size

    def read_all(self) -> Any:
        """Return the content, arrays in their place."""
        return self._resolved(self.load())

    def find_class(self, module: str, name: str) -> Any:
        return admitted(self._path, module, name, PLAIN)

    def _skip_frame(self) -> None:
        # A frame is only a hint to read ahead; without it every byte's place in the file is known.
        self.read(8)  # type: ignore[attr-defined]

    def _load_bytes(self, size: int) -> None:
        if size <= _INLINE:
            self.append(self.read(size))  # type: ignore[attr-defined]
            return
        place = _Bytes(self._source.tell(), size)
        if place.offset + size > self._bytes:
            raise NeuroalignError(_too_short(self._path, place.offset + size, self._bytes))
        self._source.seek(size, 1)
        self.append(place)  # type: ignore[attr-defined]

    def _load_text(self, size: int) -> None:
        if size > _MOST_READ:
            raise NeuroalignError(
                f"{self._path} holds {size:,} bytes of numbers as text, as pickle protocols below "
                "3 do, so they cannot be read in blocks and would fill the memory. Save it again "
                "with pickle protocol 4, or take the published file."
            )
        self.append(str(self.read(size), "utf-8", "surrogatepass"))  # type: ignore[attr-defined]

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._resolved(k): self._resolved(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self._resolved(v) for v in value]
        if isinstance(value, tuple):
            return tuple(self._resolved(v) for v in value)
        if isinstance(value, _Bytes):
            return StoredArray(self._path, value.offset, np.dtype(np.uint8), (value.size,), (1,))
        return self._array(value) if isinstance(value, _Array) else value

    def _array(self, array: _Array) -> Any:
        _, shape, dtype, fortran, data = array.state
        shape = (int(shape),) if isinstance(shape, int) else tuple(map(int, shape))
        if not isinstance(dtype, np.dtype):
            raise ValueError("an array without a dtype")
        if dtype.hasobject:
            content = np.empty(len(data), object)
            content[:] = [self._resolved(v) for v in data]
            return content.reshape(shape, order="F" if fortran else "C")
        if isinstance(data, _Bytes):
            stored = _stored(self._path, data.offset, dtype, shape, bool(fortran))
            if int(np.prod(shape)) * dtype.itemsize != data.size:
                raise ValueError(f"{data.size} bytes for an array of {shape} {dtype}")
            return stored
        return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _reader(form: str, load: Callable[[_Unpickler, int], None]) -> Callable[[Any], None]:
    def loads(self: Any) -> None:
        (size,) = struct.unpack(form, self.read(struct.calcsize(form)))
        load(self, size)

    return loads


_Unpickler.dispatch |= {
    pickle.FRAME[0]: _Unpickler._skip_frame,
    pickle.BINBYTES[0]: _reader("<I", _Unpickler._load_bytes),
    pickle.BINBYTES8[0]: _reader("<Q", _Unpickler._load_bytes),
    pickle.BYTEARRAY8[0]: _reader("<Q", _Unpickler._load_bytes),
    pickle.BINUNICODE[0]: _reader("<I", _Unpickler._load_text),
    pickle.BINUNICODE8[0]: _reader("<Q", _Unpickler._load_text),
}
