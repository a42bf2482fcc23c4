"""Series of fMRI volumes on disk: NumPy arrays and NIfTI, and the voxels that can be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import MissingDependencyError, NeuroalignError
from neuroalign.recordings.container import Dropped
from neuroalign.signals.fmri import c_order_index, mask_series

_NIFTI = (".nii", ".nii.gz")


@dataclass(frozen=True)
class Series:
    """Volumes of shape (n_volumes, voxels), and where the voxels lie, if known.

    `index` holds C-order flat indices into a volume of `shape`.
    """

    volumes: npt.NDArray[np.float32]
    index: npt.NDArray[np.int64] | None = None
    shape: tuple[int, int, int] | None = None
    affine: npt.NDArray[np.float64] | None = None


def read_series(
    path: Path, n_table: int, rows: npt.NDArray[np.int64], mask: str | Path | None
) -> Series:
    """Read the volumes of one person.

    Parameters
    ----------
    path : Path
        A .npy array of shape (volumes, voxels) or a NIfTI series.
    n_table : int
        Rows of the whole trial table.
    rows : int array
        This person's rows; used if the file holds as many volumes as the whole table.
    mask : Path or None
        For NIfTI.

    Raises
    ------
    NeuroalignError
        The file is missing or unreadable, or its volumes do not fit the table's rows.
    """
    if not path.is_file():
        raise NeuroalignError(f"{path} does not exist. Give a .npy array or a NIfTI series.")
    series = _read_nifti(path, mask) if path.name.endswith(_NIFTI) else Series(_read_npy(path))
    found = len(series.volumes)
    if found == n_table:
        return Series(series.volumes[rows], series.index, series.shape, series.affine)
    if found != len(rows):
        raise NeuroalignError(
            f"{path} holds {found} volumes, but the trial table has {len(rows)} rows for this "
            f"person ({n_table} in all). Each volume needs exactly one row, rest included."
        )
    return series


def _read_npy(path: Path) -> npt.NDArray[np.float32]:
    try:
        volumes = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise NeuroalignError(f"{path} is not a readable .npy array: {error}.") from error
    if volumes.ndim != 2 or volumes.dtype.kind not in "fiu":
        raise NeuroalignError(
            f"{path} holds {volumes.dtype} of the shape {volumes.shape}; expected numbers of the "
            "shape (volumes, voxels)."
        )
    return np.asarray(volumes, np.float32)


def _read_nifti(path: Path, mask: str | Path | None) -> Series:
    try:
        import nibabel
        from nibabel.filebasedimages import ImageFileError
    except ImportError as error:
        raise MissingDependencyError("nibabel", "fmri", "Reading NIfTI files") from error
    if mask is None:
        raise NeuroalignError(f"{path} is a NIfTI series: give a `mask` of the voxels to keep.")
    try:
        image, region = nibabel.load(path), nibabel.load(mask)
        inside = np.asarray(region.dataobj)
        data = np.asarray(image.dataobj, np.float32)
    except (OSError, ValueError, ImageFileError) as error:
        raise NeuroalignError(f"{path} or {mask} cannot be read as NIfTI: {error}.") from error
    if inside.shape == data.shape[:3] and not np.allclose(image.affine, region.affine, atol=1e-3):
        raise NeuroalignError(
            f"{mask} and {path} have the same shape but lie at different places (their affines "
            "differ). Resample the mask into the space of the series."
        )
    volumes, index = mask_series(data, inside)
    return Series(volumes, index, inside.shape, np.asarray(image.affine, float))


def with_index(
    series: Series,
    voxel_index: str | Path,
    volume_shape: tuple[int, int, int] | None,
    base: int,
    order: Literal["C", "F"],
) -> Series:
    """Say where the voxels of a series lie (see `neuroalign.signals.fmri.c_order_index`)."""
    if volume_shape is None:
        raise NeuroalignError("`voxel_index` needs `volume_shape`: the volume it points into.")
    try:
        index = np.load(voxel_index, allow_pickle=False).ravel()
    except (ValueError, EOFError, OSError) as error:
        raise NeuroalignError(f"{voxel_index} is not a readable .npy array: {error}.") from error
    if len(index) != series.volumes.shape[1]:
        raise NeuroalignError(
            f"{voxel_index} names {len(index)} voxels, the signals have "
            f"{series.volumes.shape[1]}. They must describe the same voxels in the same order."
        )
    shape = (int(volume_shape[0]), int(volume_shape[1]), int(volume_shape[2]))
    flat = c_order_index(index, shape, base=base, order=order)
    if len(np.unique(flat)) != len(flat):
        raise NeuroalignError(f"{voxel_index} names a voxel twice.")
    return Series(series.volumes, flat, shape, series.affine)


def usable_voxels(
    series: Series, trials: pd.DataFrame, subject: str
) -> tuple[Series, list[Dropped]]:
    """Leave out voxels that hold no number, or stand still throughout a run."""
    finite: npt.NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(series.volumes))
    still: npt.NDArray[np.bool_] = np.zeros(len(finite), bool)
    for _, rows in trials.groupby("run", sort=False):
        block = series.volumes[rows.index.to_numpy()]
        with np.errstate(invalid="ignore"):
            still |= (block == block[0]).all(axis=0)
    still &= finite
    keep = finite & ~still
    if keep.all():
        return series, []
    if not keep.any():
        raise NeuroalignError(
            f"subject {subject}: none of the {len(keep)} voxels can be used ({int((~finite).sum())}"
            f" hold NaN or infinite values, {int(still.sum())} never change in some run)."
        )
    dropped = [
        Dropped(where=f"{subject}, {int(mask.sum())} of {len(keep)} voxels", trials=0, reason=why)
        for mask, why in ((~finite, "NaN or infinite"), (still, "never changes in some run"))
        if mask.any()
    ]
    index = None if series.index is None else series.index[keep]
    return Series(series.volumes[:, keep], index, series.shape, series.affine), dropped
