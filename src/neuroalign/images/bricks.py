"""Pictures that lie side by side in one HDF5 array, read without unpacking it.

The path of such a picture is `FILE.hdf5::KEY/NUMBER`, as in
`/data/nsd_stimuli.hdf5::imgBrick/12`: row 12 of the array `imgBrick`, of the shape (pictures,
height, width, 3), uint8.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroalign.errors import MissingDependencyError

_PATH = re.compile(r"(?P<file>.+\.(?:hdf5|h5))::(?P<key>[^:]+)/(?P<number>\d+)")
_MOST_AT_ONCE = 64

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, order=True)
class BrickPicture:
    """Where a picture lies: the file, the array in it, and its row."""

    file: str
    key: str
    number: int

    def __str__(self) -> str:
        return f"{self.file}::{self.key}/{self.number}"


def brick_picture(path: str | Path) -> BrickPicture | None:
    """Parse the path of a picture in an HDF5 array; None if it is the path of a plain file."""
    match = _PATH.fullmatch(str(path))
    return (
        None if match is None else BrickPicture(match["file"], match["key"], int(match["number"]))
    )


def brick_length(file: Path, key: str) -> int:
    """Return how many pictures an array holds.

    Raises
    ------
    MissingDependencyError
        h5py is not installed.
    OSError, ValueError
        The file cannot be read, or there is no such array of pictures in it.
    """
    with _opened(str(file), key) as array:
        return int(array.shape[0])


def read_brick(wanted: Sequence[BrickPicture]) -> Iterator[tuple[int, Pixels | Exception]]:
    """Read pictures: each file is opened once, and its rows are read in the order they lie in.

    Yields
    ------
    int
        The position in `wanted`.
    array of shape (height, width, 3), uint8, or the error that says why there is none

    Raises
    ------
    MissingDependencyError
        h5py is not installed.
    """
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    start = 0
    while start < len(order):
        first = wanted[order[start]]
        stop = start
        while stop < len(order) and _same_array(wanted[order[stop]], first):
            stop += 1
        yield from _read_array(first, [(p, wanted[p].number) for p in order[start:stop]])
        start = stop


def read_brick_picture(place: BrickPicture) -> Pixels:
    """Read one picture.

    Raises
    ------
    MissingDependencyError, OSError, ValueError
        As for `brick_length`, or there is no such row.
    """
    for _, found in read_brick([place]):
        if not isinstance(found, Exception):
            return found
        raise found
    raise AssertionError


def pixels_hash(pixels: Pixels) -> str:
    """Return the SHA-256 of a picture's size and pixels, in hexadecimal."""
    digest = hashlib.sha256(f"{pixels.shape}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _same_array(one: BrickPicture, other: BrickPicture) -> bool:
    return (one.file, one.key) == (other.file, other.key)


def _read_array(
    array_of: BrickPicture, rows: list[tuple[int, int]]
) -> Iterator[tuple[int, Pixels | Exception]]:
    """Read (position, row) pairs of one array, sorted by row."""
    done = 0
    try:
        with _opened(array_of.file, array_of.key) as array:
            while done < len(rows):
                stretch = _neighbours(rows[done:])
                yield from _read_stretch(array, stretch)
                done += len(stretch)
    except MissingDependencyError:
        raise
    except (OSError, ValueError) as error:
        yield from ((position, error) for position, _ in rows[done:])


def _read_stretch(
    array: Any, stretch: list[tuple[int, int]]
) -> list[tuple[int, Pixels | Exception]]:
    first, last = stretch[0][1], stretch[-1][1]
    try:
        if last >= len(array):
            raise ValueError(f"it has no picture {last}: it holds {len(array)}")
        block = array[first : last + 1]
    except (OSError, ValueError) as error:
        if len(stretch) == 1:
            return [(stretch[0][0], error)]
        # One by one, so that only the bad ones are lost.
        return [found for row in stretch for found in _read_stretch(array, [row])]
    return [(position, block[row - first]) for position, row in stretch]


def _neighbours(rows: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the first of `rows` as far as each is the row before's neighbour, or the same."""
    count = 1
    while count < min(len(rows), _MOST_AT_ONCE) and rows[count][1] - rows[count - 1][1] <= 1:
        count += 1
    return rows[:count]


@contextmanager
def _opened(file: str, key: str) -> Iterator[Any]:
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError("h5py", "fmri", "Reading pictures of an HDF5 file") from error
    if not Path(file).is_file():
        raise FileNotFoundError(f"no such file: {file}")
    with h5py.File(file, "r") as opened:
        array = opened.get(key)
        if not isinstance(array, h5py.Dataset):
            raise ValueError(f"it has no array {key!r}; it has {', '.join(opened) or 'nothing'}")
        if array.ndim != 4 or array.shape[-1] != 3 or array.dtype != np.uint8:
            raise ValueError(
                f"{key} holds {array.dtype} of the shape {array.shape}; expected uint8 of the "
                "shape (pictures, height, width, 3)"
            )
        yield array
