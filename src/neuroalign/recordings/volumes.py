"""Series of fMRI volumes on disk, NumPy arrays and NIfTI, read a block of volumes at a time."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from neuroalign.errors import MissingDependencyError, NeuroalignError
from neuroalign.signals.fmri import c_order_index

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

NIFTI = (".nii", ".nii.gz")
_BLOCK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Region:
    """The voxels of a mask: C-order flat indices into a volume of `shape`."""

    path: Path
    index: Ints
    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """A series of volumes on disk, of which `voxels` are read.

    Attributes
    ----------
    path : Path
    volumes, voxels : int
    index : int array of shape (voxels,), or None
        Where the voxels lie: C-order flat indices into a volume of `shape`.
    shape, affine
        Of the volume, where known.
    """

    path: Path
    volumes: int
    voxels: int
    index: Ints | None = None
    shape: tuple[int, int, int] | None = None
    affine: npt.NDArray[np.float64] | None = None

    def blocks(self, rows: Ints) -> Iterator[tuple[slice, Floats]]:
        """Read some volumes, at most 64 MB at a time.

        Parameters
        ----------
        rows : int array
            Increasing.

        Yields
        ------
        places : slice
            Of `rows`.
        block : array of shape (places, voxels), float32
            Values beyond the range of float32 are infinite.

        Raises
        ------
        NeuroalignError
            The file is damaged there.
        """
        read = _nifti_blocks if self.path.name.endswith(NIFTI) else _array_blocks
        with _readable(self.path), np.errstate(over="ignore"):
            yield from read(self, rows)

    def digest(self, row: int) -> str:
        """Return a hash of one whole volume, outside of the mask too; "" if it is constant."""
        with _readable(self.path):
            if self.path.name.endswith(NIFTI):
                volume = np.asarray(_load(self.path).dataobj[..., row])
            else:
                volume = np.array(np.load(self.path, mmap_mode="r", allow_pickle=False)[row])
        if (volume == volume.flat[0]).all():
            return ""
        return hashlib.blake2b(np.ascontiguousarray(volume).data, digest_size=16).hexdigest()


def open_series(path: Path, mask: Region | Path | None = None) -> Series:
    """Look at a series: how many volumes of how many voxels it holds.

    Parameters
    ----------
    path : Path
        A .npy array of shape (volumes, voxels) or a NIfTI series (x, y, z, volumes).
    mask : Region or Path, optional
        The voxels to read; needed for NIfTI.

    Raises
    ------
    NeuroalignError
        The file is missing, unreadable, or of another shape; a mask lacks or lies elsewhere.
    """
    if not path.is_file():
        raise NeuroalignError(f"{path} does not exist. Give a .npy array or a NIfTI series.")
    if path.name.endswith(NIFTI):
        if mask is None:
            raise NeuroalignError(f"{path} is a NIfTI series: give a `mask` of the voxels to keep.")
        return _open_nifti(path, mask if isinstance(mask, Region) else read_region(mask))
    try:
        volumes = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise NeuroalignError(f"{path} is not a readable .npy array: {error}.") from error
    if getattr(volumes, "ndim", 0) != 2 or volumes.dtype.kind not in "fiu" or volumes.size == 0:
        found = f"{volumes.dtype} of the shape {volumes.shape}" if hasattr(volumes, "dtype") else ""
        raise NeuroalignError(
            f"{path} holds {found or 'several arrays'}; expected numbers of the shape (volumes, "
            "voxels)."
        )
    return Series(path, *volumes.shape)


def read_region(path: Path) -> Region:
    """Read a mask: voxels other than zero.

    Raises
    ------
    NeuroalignError
        It is missing, unreadable, not a single volume, or empty.
    """
    if not path.is_file():
        raise NeuroalignError(f"The mask {path} does not exist. Give a NIfTI volume.")
    with _readable(path):
        image = _load(path)
        inside = np.asarray(image.dataobj)
    if inside.ndim == 4 and inside.shape[3] == 1:
        inside = inside[..., 0]
    if inside.ndim != 3:
        raise NeuroalignError(
            f"The mask {path} has the shape {inside.shape}; expected one volume (x, y, z)."
        )
    if not np.isfinite(inside).all():
        raise NeuroalignError(
            f"The mask {path} holds NaN or infinite values, so it does not say which voxels to "
            "keep. Give a mask of zeros and ones."
        )
    index = np.flatnonzero(inside.ravel(order="C")).astype(np.int64)
    if not index.size:
        raise NeuroalignError(f"The mask {path} is empty: no voxel would be left.")
    x, y, z = (int(n) for n in inside.shape)
    return Region(path, index, (x, y, z), np.asarray(image.affine, float))


def with_index(
    series: Series,
    voxel_index: Path,
    volume_shape: tuple[int, int, int] | None,
    base: int,
    order: Literal["C", "F"],
) -> Series:
    """Say where the voxels of an array lie (see `neuroalign.signals.fmri.c_order_index`)."""
    if volume_shape is None:
        raise NeuroalignError("`voxel_index` needs `volume_shape`: the volume it points into.")
    try:
        index = np.load(voxel_index, allow_pickle=False).ravel()
    except (ValueError, EOFError, OSError) as error:
        raise NeuroalignError(f"{voxel_index} is not a readable .npy array: {error}.") from error
    if index.dtype.kind not in "iuf" or (index % 1 != 0).any():
        raise NeuroalignError(
            f"{voxel_index} holds {index.dtype} that are no whole numbers; expected the flat index "
            "of each voxel."
        )
    if len(index) != series.voxels:
        raise NeuroalignError(
            f"{voxel_index} names {len(index)} voxels, the signals have {series.voxels}. They must "
            "describe the same voxels in the same order."
        )
    shape = (int(volume_shape[0]), int(volume_shape[1]), int(volume_shape[2]))
    try:
        flat = c_order_index(index, shape, base=base, order=order)
    except NeuroalignError as error:
        raise NeuroalignError(f"{voxel_index}: {error}") from error
    if len(np.unique(flat)) != len(flat):
        raise NeuroalignError(f"{voxel_index} names a voxel twice.")
    return replace(series, index=flat, shape=shape)


class VoxelWatch:
    """Sees all volumes once, and tells which voxels can be used.

    A voxel cannot that holds NaN or an infinite value anywhere, or stands still throughout one of
    the groups (a run, a session).

    Parameters
    ----------
    voxels : int
    sizes : mapping from group to int
        How many volumes of each group will be seen.
    """

    def __init__(self, voxels: int, sizes: Mapping[str, int]) -> None:
        self.lost = np.zeros(voxels, bool)
        self.still = np.zeros(voxels, bool)
        self._left = dict(sizes)
        self._range: dict[str, tuple[Floats, Floats]] = {}

    def see(self, block: Floats, groups: Sequence[str | None]) -> None:
        """Look at volumes (n, voxels) and the group of each; None: only NaN matters."""
        finite = np.isfinite(block)
        self.lost |= ~finite.all(axis=0)
        names = np.asarray(groups, object)
        for group in dict.fromkeys(groups):
            if group is None:
                continue
            rows = np.flatnonzero(names == group)
            low, high = block[rows].min(axis=0), block[rows].max(axis=0)
            if group in self._range:
                before = self._range[group]
                low, high = np.minimum(low, before[0]), np.maximum(high, before[1])
            self._range[group] = low, high
            self._left[group] -= len(rows)
            if self._left[group] == 0:
                with np.errstate(invalid="ignore"):
                    self.still |= low == high
                del self._range[group]

    @property
    def usable(self) -> npt.NDArray[np.bool_]:
        """Bool array of shape (voxels,)."""
        return ~(self.lost | self.still)

    def reasons(self, still: str) -> list[tuple[int, str]]:
        """Return (voxels, reason) for what cannot be used; `still` says where it never changes."""
        checks = ((self.lost, "NaN or infinite"), (self.still & ~self.lost, still))
        return [(int(mask.sum()), why) for mask, why in checks if mask.any()]


def _open_nifti(path: Path, region: Region) -> Series:
    with _readable(path):
        image = _load(path)
    if len(image.shape) != 4 or tuple(image.shape[:3]) != region.shape:
        raise NeuroalignError(
            f"The mask {region.path} has the shape {region.shape}, the series {path} "
            f"{tuple(image.shape)}: the first three numbers must agree, and the fourth count the "
            "volumes. Bring the mask into the space of the series first."
        )
    if not np.allclose(image.affine, region.affine, atol=1e-3):
        raise NeuroalignError(
            f"{region.path} and {path} have the same shape but lie at different places (their "
            "affines differ). Resample the mask into the space of the series."
        )
    if image.get_data_dtype().kind not in "fiu":
        raise NeuroalignError(
            f"{path} holds {image.get_data_dtype()}; expected real numbers, such as magnitudes or "
            "betas. Save those as a series of their own."
        )
    return Series(
        path, int(image.shape[3]), len(region.index), region.index, region.shape, region.affine
    )


def _nifti_blocks(series: Series, rows: Ints) -> Iterator[tuple[slice, Floats]]:
    assert series.index is not None and series.shape is not None
    # The file stays open: a compressed one would be unpacked from its start for each block.
    image = _load(series.path, keep_file_open=True)
    # On disk x runs fastest, so a volume is taken as it lies and voxels are looked up in it.
    x, y, z = np.unravel_index(series.index, series.shape)
    places = np.ravel_multi_index((x, y, z), series.shape, order="F")
    size = int(np.prod(series.shape)) * 8
    for span in _spans(rows, max(1, _BLOCK_BYTES // size)):
        first, last = int(rows[span.start]), int(rows[span.stop - 1]) + 1
        values = np.asarray(image.dataobj[..., first:last])
        flat = values.reshape(-1, last - first, order="F")
        block = flat[places][:, rows[span] - first].T
        yield span, np.ascontiguousarray(block, np.float32)


def _array_blocks(series: Series, rows: Ints) -> Iterator[tuple[slice, Floats]]:
    volumes = np.load(series.path, mmap_mode="r", allow_pickle=False)
    size = series.voxels * volumes.dtype.itemsize
    # Mapped pages count as memory of the process, so a map is dropped after each block. An array
    # stored voxel by voxel has a piece of every block on each page, and is read voxels by voxels.
    width = series.voxels
    if not volumes.flags.c_contiguous:
        width = max(1, _BLOCK_BYTES // (series.volumes * volumes.dtype.itemsize))
    for span in _spans(rows, max(1, _BLOCK_BYTES // size)):
        block = np.empty((span.stop - span.start, series.voxels), np.float32)
        for start in range(0, series.voxels, width):
            volumes = np.load(series.path, mmap_mode="r", allow_pickle=False)
            block[:, start : start + width] = volumes[rows[span], start : start + width]
        yield span, block


def _spans(rows: Ints, most: int) -> Iterator[slice]:
    """Cut increasing rows into stretches that cover at most `most` volumes of the file."""
    begin = 0
    for place in range(1, len(rows) + 1):
        if place == len(rows) or rows[place] - rows[begin] >= most:
            yield slice(begin, place)
            begin = place


def _load(path: Path, **options: Any) -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise MissingDependencyError("nibabel", "fmri", "Reading NIfTI files") from error
    return nibabel.load(path, **options)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say of a file that breaks off or makes no sense which one it is."""
    try:
        from nibabel.filebasedimages import ImageFileError
        from nibabel.spatialimages import HeaderDataError
    except ImportError:  # only arrays are read then
        ImageFileError = HeaderDataError = EOFError
    try:
        yield
    except NeuroalignError:
        raise
    except (OSError, ValueError, EOFError, zlib.error, ImageFileError, HeaderDataError) as error:
        raise NeuroalignError(
            f"{path} cannot be read ({type(error).__name__}: {error}). It is cut off or damaged: "
            "copy or download it again."
        ) from error
