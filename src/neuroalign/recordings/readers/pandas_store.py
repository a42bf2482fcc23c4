"""A table that pandas wrote to HDF5 (`DataFrame.to_hdf`), read a block of it at a time.

`pandas.read_hdf` reads all of a table of the fixed format at once, and unpickles what it finds on
the way. Here the numbers are read through h5py by rows and columns, and names run no code.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroalign.errors import MissingDependencyError, NeuroalignError
from neuroalign.recordings.pickles import PLAIN, admitted, damage_named

_BLOCK_BYTES = 64 * 2**20
_GAP = 16
_SIEVE_BYTES = 4096


@dataclass(frozen=True)
class Block:
    """Columns of one dtype that lie together.

    Attributes
    ----------
    place : str
        The dataset in the file.
    field : str or None
        The field of a compound dataset (the table format).
    names : tuple of str
        Of the columns, in order; numbers as text.
    dtype : str
    """

    place: str
    field: str | None
    names: tuple[str, ...]
    dtype: str


@dataclass(frozen=True)
class PandasStore:
    """Where the columns of one stored table lie.

    Attributes
    ----------
    path : Path
    rows : int
    blocks : tuple of Block
    """

    path: Path
    rows: int
    blocks: tuple[Block, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, block by block."""
        return tuple(name for block in self.blocks for name in block.names)

    def column(self, name: str) -> npt.NDArray[Any]:
        """Read one column, of shape (rows,)."""
        return self.read(np.arange(self.rows), [name])[:, 0]

    def read(self, rows: npt.NDArray[np.int64], names: Sequence[str]) -> npt.NDArray[Any]:
        """Read some rows of some columns of one block.

        Parameters
        ----------
        rows : int array
            Increasing.
        names : sequence of str

        Returns
        -------
        ndarray of shape (len(rows), len(names))
            In the dtype of the file; the caller bounds its size.

        Raises
        ------
        NeuroalignError
            The columns do not lie in one block of numbers, or the file is damaged there.
        """
        out: npt.NDArray[Any] | None = None
        for start, part in self.read_blocks(rows, names):
            if out is None:
                out = np.empty((len(rows), len(names)), part.dtype)
            out[start : start + len(part)] = part
        return np.empty((0, len(names))) if out is None else out

    def read_blocks(
        self, rows: npt.NDArray[np.int64], names: Sequence[str]
    ) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Like `read`, but yield (position in `rows`, values) in pieces of at most 64 MB."""
        block = self._block_of(names)
        position = {name: i for i, name in enumerate(block.names)}
        columns = np.array([position[name] for name in names], np.int64)
        first, last = int(columns.min()), int(columns.max()) + 1
        width = len(block.names) if block.field else last - first
        most = max(1, _BLOCK_BYTES // (width * np.dtype(block.dtype).itemsize))
        with open_hdf5(self.path) as file:
            dataset = file[block.place]
            for begin, end in _spans(rows, most):
                low, high = int(rows[begin]), int(rows[end - 1]) + 1
                try:
                    if block.field is None:
                        values = dataset[low:high, first:last]
                    else:
                        values = dataset[low:high][block.field][:, first:last]
                except OSError as error:
                    raise NeuroalignError(
                        f"{self.path}: the rows {low} to {high - 1} cannot be read ({error}). The "
                        "file is damaged there: copy or download it again."
                    ) from error
                yield begin, values[rows[begin:end] - low][:, columns - first]

    def _block_of(self, names: Sequence[str]) -> Block:
        for block in self.blocks:
            if set(names) <= set(block.names):
                return block
        raise NeuroalignError(
            f"{self.path}: the columns {', '.join(names[:3])}, ... lie in blocks of different "
            "kinds (text beside numbers, or several dtypes). Take the published file."
        )


def find_store(path: Path) -> PandasStore:
    """Find the one table in a file, of the fixed or the table format.

    Raises
    ------
    NeuroalignError
        The file cannot be opened, holds no or several tables, is of another kind, or its parts
        do not fit each other.
    """
    with open_hdf5(path) as file:
        tables = {
            name: _text(node.attrs["pandas_type"])
            for name, node in file.items()
            if "pandas_type" in node.attrs
        }
        if len(tables) != 1:
            raise NeuroalignError(
                f"{path} holds {len(tables)} tables of pandas ({', '.join(tables) or 'none'}; in "
                f"all: {', '.join(file) or 'nothing'}), expected one. Take the published file."
            )
        ((name, kind),) = tables.items()
        if kind == "frame":
            return _fixed(path, file[name])
        if kind == "frame_table":
            return _table(path, file[name])
        raise NeuroalignError(
            f"{path}: {name} is of the pandas kind {kind!r}; `frame` (fixed format) and "
            "`frame_table` can be read. Save it again with DataFrame.to_hdf."
        )


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """Open an HDF5 file for reading in small pieces.

    Raises
    ------
    MissingDependencyError
        h5py is not installed.
    NeuroalignError
        There is no such file, or it is no HDF5 file or cut off.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError("h5py", "fmri", "Reading HDF5 files") from error
    if not path.is_file():
        raise NeuroalignError(f"{path} is not a file. Download it again.")
    try:
        access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
        # HDF5 would read ahead as much again as a piece of a row holds.
        access.set_sieve_buf_size(_SIEVE_BYTES)
        opened = h5py.h5f.open(str(path).encode(), h5py.h5f.ACC_RDONLY, access)
    except OSError as error:
        raise NeuroalignError(
            f"{path} cannot be opened as HDF5 ({error}). It is cut off or damaged: its size is "
            f"{path.stat().st_size:,} bytes. Copy or download it again."
        ) from error
    with h5py.File(opened) as file:
        yield file


def _fixed(path: Path, group: Any) -> PandasStore:
    count = int(group.attrs.get("nblocks", -1))
    if count < 0 or "axis1" not in group:
        raise NeuroalignError(
            f"{path}: {group.name} lacks `axis1` or the number of blocks: it is not a whole table "
            "of pandas. Copy or download it again."
        )
    rows, blocks = len(group["axis1"]), []
    for number in range(count):
        key = f"block{number}"
        if f"{key}_items" not in group or f"{key}_values" not in group:
            raise NeuroalignError(
                f"{path}: {group.name} announces {count} blocks but lacks {key}_items or "
                f"{key}_values (it has {', '.join(group)}). Copy or download it again."
            )
        names, values = _names(path, group[f"{key}_items"]), group[f"{key}_values"]
        if values.dtype.hasobject:
            raise NeuroalignError(
                f"{path}: {key} holds pickled objects ({', '.join(names[:3])}), not numbers; they "
                "are not unpickled. Take the published file."
            )
        if values.shape != (rows, len(names)):
            raise NeuroalignError(
                f"{path}: {key}_values has the shape {values.shape}, expected ({rows}, "
                f"{len(names)}): a row for each of the {rows} in `axis1` and a column for each "
                "name. Axes were swapped or the file was cut: take the published file."
            )
        _check_filters(path, values)
        blocks.append(Block(values.name, None, names, str(values.dtype)))
    return _checked(PandasStore(path, rows, tuple(blocks)))


def _table(path: Path, group: Any) -> PandasStore:
    if "table" not in group:
        raise NeuroalignError(f"{path}: {group.name} has no `table` in it. Download it again.")
    table, blocks = group["table"], []
    for field in table.dtype.names or ():
        if f"{field}_kind" in table.attrs and field.startswith("values"):
            dtype = table.dtype[field]
            names = _unpickled(path, bytes(table.attrs[f"{field}_kind"]))
            if dtype.shape != (len(names),):
                raise NeuroalignError(
                    f"{path}: {field} is {dtype.shape} wide but names {len(names)} columns. Copy "
                    "or download it again."
                )
            blocks.append(Block(table.name, field, names, str(dtype.base)))
    _check_filters(path, table)
    return _checked(PandasStore(path, len(table), tuple(blocks)))


def _checked(store: PandasStore) -> PandasStore:
    columns = store.columns
    if len(set(columns)) != len(columns):
        twice = sorted({c for c in columns if columns.count(c) > 1})[:5]
        raise NeuroalignError(f"{store.path} names columns twice: {', '.join(twice)}.")
    return store


def _check_filters(path: Path, dataset: Any) -> None:
    import h5py

    plist = dataset.id.get_create_plist()
    for number in range(plist.get_nfilters()):
        code, _, _, name = plist.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            raise NeuroalignError(
                f"{path}: {dataset.name} is compressed with {name.decode(errors='replace')!r} "
                f"(filter {code}), which h5py cannot read here. Save it again without compression."
            )


def _names(path: Path, dataset: Any) -> tuple[str, ...]:
    if dataset.dtype.hasobject:
        return _unpickled(path, b"".join(np.asarray(v, np.uint8).tobytes() for v in dataset))
    return tuple(_text(v) for v in dataset[...].ravel())


def _unpickled(path: Path, content: bytes) -> tuple[str, ...]:
    class Names(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            return admitted(path, module, name, PLAIN)

    with damage_named(path):
        found = Names(io.BytesIO(content), encoding="utf-8").load()
        # An array of objects keeps them as the last of its state.
        items = found if isinstance(found, list) else list(found.state[-1])
        return tuple(_text(item) for item in items)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return str(value)


def _spans(rows: npt.NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Cut increasing rows where nothing is wanted for a while, and where a piece is full."""
    begin = 0
    for place in range(1, len(rows) + 1):
        ended = place == len(rows)
        if ended or rows[place] - rows[place - 1] > _GAP or rows[place] - rows[begin] >= most:
            yield begin, place
            begin = place
