"""Betas of one session of the Natural Scenes Dataset, read inside a mask.

As published, a session is an int16 array of percent signal change times 300: in NIfTI with the
axes (x, y, z, trial), in HDF5 reversed, (trial, z, y, x), with a chunk for each voxel.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroalign.errors import MissingDependencyError, NeuroalignError
from neuroalign.recordings.readers.nsd_design import TRIALS

PER_PERCENT = 300
KEY = "betas"
NIFTI, HDF5 = ".nii.gz", ".hdf5"
_BLOCK_BYTES = 8 * 2**20
_READ_AHEAD = 4096

Betas = npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Region:
    """The voxels of a mask.

    Attributes
    ----------
    index : int array of shape (voxels,)
        C-order flat indices into a volume of `shape` (x, y, z).
    shape, affine
    """

    index: npt.NDArray[np.int64]
    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]


def read_region(path: Path, values: tuple[str, ...] = ()) -> Region:
    """Read a mask: the voxels above 0, or those that hold one of `values`.

    Raises
    ------
    NeuroalignError
        It cannot be read, or no voxel is in it.
    """
    image, mask = _read_volume(path)
    if not np.isfinite(mask).all():
        raise NeuroalignError(f"{int((~np.isfinite(mask)).sum())} of its voxels are NaN")
    inside = mask > 0
    if values:
        try:
            wanted = [int(v) for v in values]
        except ValueError as error:
            raise NeuroalignError(
                f"the values of a region are whole numbers, got {', '.join(values)}"
            ) from error
        inside = np.isin(mask, wanted)
    if not inside.any():
        there = ", ".join(f"{v:g}" for v in np.unique(mask)[:12])
        looked = f"one of {', '.join(values)}" if values else "above 0"
        raise NeuroalignError(f"no voxel of it is {looked}; its values are {there}")
    x, y, z = mask.shape
    return Region(np.flatnonzero(inside.ravel()), (x, y, z), np.asarray(image.affine, float))


def read_ncsnr(path: Path, region: Region) -> npt.NDArray[np.float32]:
    """Read the noise ceiling SNR of the voxels of a region, shape (voxels,); NaN where it is NaN.

    Raises
    ------
    NeuroalignError
        It cannot be read, or is of another volume.
    """
    _, ratio = _read_volume(path)
    _check_shape(ratio.shape, region)
    return ratio.ravel()[region.index].astype(np.float32)


def _read_volume(path: Path) -> tuple[Any, npt.NDArray[Any]]:
    nibabel = _nibabel()
    try:
        # Unpacked whole: the checksum stands at the end of the file.
        image = nibabel.Nifti1Image.from_bytes(gzip.decompress(path.read_bytes()))
        volume = np.asarray(image.dataobj)
    except Exception as error:  # gzip, zlib, nibabel, NumPy: each has its own
        raise NeuroalignError(f"it is damaged ({type(error).__name__}: {error})") from error
    if volume.ndim != 3:
        raise NeuroalignError(f"it has the shape {volume.shape}, expected three axes (x, y, z)")
    return image, volume


def _check_shape(shape: tuple[int, ...], region: Region) -> None:
    if tuple(shape) != region.shape:
        swapped = sorted(shape) == sorted(region.shape)
        raise NeuroalignError(
            f"its volumes have the shape {tuple(shape)}, the mask has {region.shape}"
            + (": axes are swapped" if swapped else ": they are of different people or grids")
        )


def lies_elsewhere(path: Path, region: Region) -> bool:
    """Whether a NIfTI file states another place than the mask does; HDF5 files state none."""
    if not path.name.endswith(NIFTI):
        return False
    return not np.allclose(_nibabel().load(path).affine, region.affine, atol=1e-3)


def check_betas(path: Path, region: Region) -> Path:
    """Look at the header of a session's file, and return its path if it is as published.

    Raises
    ------
    NeuroalignError
        It cannot be opened, or is not laid out as published.
    MissingDependencyError
        h5py or nibabel is not installed.
    """
    if path.name.endswith(HDF5):
        with _Hdf5(path, region):
            return path
    _check_nifti(path, region)
    return path


def read_betas(path: Path, region: Region) -> Betas:
    """Read a session, as stored.

    Returns
    -------
    int16 array of shape (750, voxels)
        The voxels in the order of the region.

    Raises
    ------
    As `check_betas`; and OSError or ValueError where the content is damaged.
    """
    if path.name.endswith(HDF5):
        with _Hdf5(path, region) as dataset:
            return _read_hdf5(dataset, region)
    return _read_nifti(path, region)


class _Hdf5:
    """The array of betas in an HDF5 file, checked."""

    def __init__(self, path: Path, region: Region) -> None:
        try:
            import h5py
        except ImportError as error:
            raise MissingDependencyError("h5py", "fmri", "Reading HDF5 betas") from error
        # HDF5 would read ahead of each row of voxels, most of which are outside the mask.
        access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
        access.set_sieve_buf_size(_READ_AHEAD)
        try:
            self._file = h5py.File(h5py.h5f.open(bytes(path), h5py.h5f.ACC_RDONLY, fapl=access))
        except OSError as error:
            raise NeuroalignError(
                f"it cannot be opened as HDF5 ({error}): cut short or damaged"
            ) from error
        try:
            found = self._file.get(KEY)
            if not isinstance(found, h5py.Dataset):
                raise NeuroalignError(
                    f"it has no array {KEY!r}; it has {', '.join(self._file) or 'nothing'}"
                )
            self._check(found, region)
        except BaseException:
            self._file.close()
            raise
        self._dataset = found

    @staticmethod
    def _check(found: Any, region: Region) -> None:
        _check_dtype(found.dtype)
        reversed_shape = (TRIALS, *region.shape[::-1])
        if found.shape == reversed_shape:
            return
        if TRIALS not in found.shape:
            raise NeuroalignError(
                f"{KEY} has the shape {found.shape}: no axis has the {TRIALS} trials of a session"
            )
        swapped = sorted(found.shape) == sorted(reversed_shape)
        raise NeuroalignError(
            f"{KEY} has the shape {found.shape}, expected {reversed_shape}, (trials, z, y, x)"
            + (": axes are swapped" if swapped else ": another person's, or another grid")
        )

    def __enter__(self) -> Any:
        return self._dataset

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _check_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.kind != "i" or dtype.itemsize != 2:
        raise NeuroalignError(
            f"its betas are {dtype}, expected int16: percent signal change times {PER_PERCENT}"
        )


def _read_hdf5(dataset: Any, region: Region) -> Betas:
    x, y, z = np.unravel_index(region.index, region.shape)
    len_x = region.shape[0]
    betas = np.empty((TRIALS, len(region.index)), np.int16)
    if dataset.chunks is not None and dataset.chunks[1:] == (1, 1, 1):
        # As published: only the chunks of the mask's voxels are read, neighbours at once.
        order = np.lexsort((x, y, z))
        flat = np.ravel_multi_index((z, y, x), region.shape[::-1])[order]
        ends = np.flatnonzero((np.diff(flat) != 1) | (np.diff(y[order]) != 0)) + 1
        for row in np.split(order, ends):
            first = row[0]
            betas[:, row] = dataset[:, z[first], y[first], x[first] : x[first] + len(row)]
        return betas
    low, high = int(y.min()), int(y.max()) + 1
    memory = np.empty(0, np.int16)
    for trials, depth, voxels in _blocks(dataset, z):
        shape = (trials.stop - trials.start, depth.stop - depth.start, high - low, len_x)
        # The same memory again: fresh pages would cost as much as the reading.
        if memory.size < np.prod(shape):
            memory = np.empty(np.prod(shape), np.int16)
        block = memory[: np.prod(shape)].reshape(shape)
        dataset.read_direct(block, np.s_[trials, depth, low:high])
        place = (z[voxels] - depth.start, y[voxels] - low, x[voxels])
        flat = np.ravel_multi_index(place, shape[1:])
        taken = np.take(block.reshape(len(block), -1), flat, axis=1)
        betas[(trials, voxels) if len(voxels) < len(x) else trials] = taken
    return betas


def _blocks(
    dataset: Any, z: npt.NDArray[np.int64]
) -> Iterator[tuple[slice, slice, npt.NDArray[np.int64]]]:
    """Cut a session into blocks of whole chunks: trials, a range of z, and the voxels in it."""
    trials_each, depth_each = (1, 1) if dataset.chunks is None else dataset.chunks[:2]
    low, high = int(z.min()), int(z.max()) + 1
    low -= low % depth_each
    slab = 2 * int(np.prod(dataset.shape[2:]))
    depth = high - low
    if trials_each * depth * slab > _BLOCK_BYTES:
        depth = max(1, _BLOCK_BYTES // (trials_each * depth_each * slab)) * depth_each
    count = max(1, _BLOCK_BYTES // (trials_each * min(depth, high - low) * slab)) * trials_each
    for bottom in range(low, high, depth):
        top = min(bottom + depth, high)
        voxels = np.flatnonzero((z >= bottom) & (z < top))
        for start in range(0, TRIALS, count) if voxels.size else ():
            yield slice(start, min(start + count, TRIALS)), slice(bottom, top), voxels


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise MissingDependencyError("nibabel", "fmri", "Reading NIfTI files") from error
    return nibabel


def _check_nifti(path: Path, region: Region) -> Any:
    nibabel = _nibabel()
    try:
        image = nibabel.load(path)
    except Exception as error:  # of many kinds
        raise NeuroalignError(
            f"it cannot be opened as NIfTI ({type(error).__name__}: {error}): damaged, or cut short"
        ) from error
    _check_dtype(image.get_data_dtype())
    shape = tuple(image.shape)
    if len(shape) != 4 or shape[3] != TRIALS:
        where = f": they are on axis {shape.index(TRIALS)}" if TRIALS in shape else ""
        raise NeuroalignError(
            f"it has the shape {shape}, expected (x, y, z, {TRIALS}) with the trials last{where}"
        )
    _check_shape(shape[:3], region)
    proxy = image.dataobj
    if (proxy.slope, proxy.inter) != (1, 0):
        raise NeuroalignError(
            f"its header states a scale of {proxy.slope:g} and an offset of {proxy.inter:g}; the "
            f"published files have none: percent signal change times {PER_PERCENT} as it is"
        )
    return image


def _read_nifti(path: Path, region: Region) -> Betas:
    """Unpack a session from the beginning to the end, where the checksum stands."""
    image = _check_nifti(path, region)
    betas = np.empty((TRIALS, len(region.index)), np.int16)
    x, y, z = np.unravel_index(region.index, region.shape)
    size = int(np.prod(region.shape))
    flat = np.ravel_multi_index((z, y, x), region.shape[::-1])  # in NIfTI, x is the fastest
    volume = np.empty(size, image.get_data_dtype())
    with gzip.open(path, "rb") as file:
        file.seek(image.dataobj.offset)
        for trial in range(TRIALS):
            if file.readinto(volume.data) != volume.nbytes:
                raise NeuroalignError(
                    f"{path} ends after {trial} of {TRIALS} trials: download it again."
                )
            betas[trial] = volume[flat]
        while file.read(2**20):
            pass
    return betas
