"""Which voxels of a person of THINGS-fMRI are read, and what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.readers.things_fmri_design import read_table, whole_numbers
from neuroalign.recordings.volumes import Region, read_region

Ints = npt.NDArray[np.int64]

VISUAL, ALL = "visual", "all"
_COORDINATES = ("voxel_x", "voxel_y", "voxel_z")
_CEILINGS = ("nc_singletrial", "nc_testset")
_NO_ROI = ("voxel_id", "subject_id", *_COORDINATES)
_NO_ROI_PREFIXES = ("nc_", "splithalf_", "prf-", "Unnamed:")
_ATLAS = "glasser-"
#: How far the two noise ceilings may be from saying the same, in percent.
_ROUNDING = 0.1


@dataclass(frozen=True)
class Voxels:
    """The voxels that are read of a person.

    Attributes
    ----------
    rows : int array of shape (voxels,)
        Which voxels of all that the data set has of the person, in its order.
    ids : int array of shape (voxels,), or None
        Their `voxel_id`.
    index : int array of shape (voxels,), or None
        Where they lie in a volume of `shape`, as C-order flat indices.
    shape, affine
        Of that volume, where known.
    arrays : mapping from name to array
        What else is known of each voxel.
    """

    rows: Ints
    ids: Ints | None = None
    index: Ints | None = None
    shape: tuple[int, int, int] | None = None
    affine: npt.NDArray[np.float64] | None = None
    arrays: dict[str, npt.NDArray[np.float32 | np.int64]] = field(default_factory=dict)


@dataclass(frozen=True)
class VoxelTable:
    """A `VoxelMetadata.csv`: each voxel's number, place and noise ceilings, and the ROI chosen."""

    path: Path
    ids: Ints
    coordinates: Ints
    ceilings: dict[str, npt.NDArray[np.float64]]
    chosen: npt.NDArray[np.bool_]
    roi: tuple[str, ...]


def find_mask(bases: Sequence[Path], subject: str) -> Path | None:
    """Return the brain mask of a person, if it is there."""
    for base in bases:
        path = base / "brainmasks" / f"{subject}_space-T1w_brainmask.nii.gz"
        if path.is_file():
            return path
    return None


def read_voxel_table(path: Path, roi: tuple[str, ...], person: int) -> VoxelTable:
    """Read a voxel table, but of its ROI columns only those that are chosen.

    Parameters
    ----------
    path : Path
    roi : tuple of str
        Names or patterns of ROI columns, whose union is taken; "visual" is every ROI that was
        drawn in this very person (all but the Glasser atlas), "all" every voxel.
    person : int
        Whose it must be.

    Raises
    ------
    NeuroalignError
        The table is damaged or somebody else's, or has no such ROI.
    """
    if not path.is_file():
        raise NeuroalignError(f"{path} is not a file. Download it again.")
    return _cached(path, path.stat().st_mtime_ns, roi, person)


@lru_cache(maxsize=1)
def _cached(path: Path, _changed: int, roi: tuple[str, ...], person: int) -> VoxelTable:
    try:
        header = [str(name) for name in pd.read_csv(path, nrows=0)]
    except (ValueError, UnicodeDecodeError) as error:
        raise NeuroalignError(
            f"{path} is not a readable table: {error}. Copy or download it again."
        ) from error
    names = _roi_columns(path, header, roi)
    needed = (*_NO_ROI, *_CEILINGS, *names)
    table = read_table(path, needed, ",", only=True)
    ids = whole_numbers(table, "voxel_id", path).to_numpy()
    if len(np.unique(ids)) != len(ids):
        raise NeuroalignError(
            f"{path}: {len(ids) - len(np.unique(ids))} of {len(ids)} voxels have a `voxel_id` that "
            "another has too. Rows were doubled: take the published file."
        )
    strangers = whole_numbers(table, "subject_id", path) != person
    if strangers.any():
        raise NeuroalignError(
            f"{path}: {int(strangers.sum())} of {len(table)} rows belong to person "
            f"{table.loc[strangers, 'subject_id'].iloc[0]}, expected {person}. The file is "
            "another person's, or was renamed."
        )
    coordinates = np.stack([whole_numbers(table, c, path).to_numpy() for c in _COORDINATES], 1)
    _check_order(path, ids, coordinates)
    ceilings = {c: _ceiling(table, c, path) for c in _CEILINGS}
    _check_ceilings(path, ceilings)
    chosen = np.zeros(len(table), bool) if names else np.ones(len(table), bool)
    for name in names:
        values = table[name]
        if not values.isin([0, 1]).all():
            raise NeuroalignError(
                f"{path}: the ROI column {name!r} holds {values[~values.isin([0, 1])].iloc[0]}, "
                "expected 0 or 1 for each voxel. Take the published file, or another ROI."
            )
        chosen |= values.to_numpy() == 1
    if not chosen.any():
        raise NeuroalignError(
            f"{path}: no voxel is in the ROI {', '.join(names[:12])}. Choose others (--roi)."
        )
    return VoxelTable(path, ids, coordinates, ceilings, chosen, names)


def _roi_columns(path: Path, header: list[str], roi: tuple[str, ...]) -> tuple[str, ...]:
    known = [c for c in header if c not in _NO_ROI and not c.startswith(_NO_ROI_PREFIXES)]
    if ALL in roi:
        return ()
    names: dict[str, None] = {}
    for wanted in roi:
        if wanted == VISUAL:
            fitting = [c for c in known if not c.startswith(_ATLAS)]
        else:
            fitting = [c for c in known if c == wanted or fnmatchcase(c, wanted)]
        if not fitting:
            raise NeuroalignError(
                f"{path} has no ROI column {wanted!r}; it has {', '.join(known[:40])}"
                f"{', ...' if len(known) > 40 else ''}. `visual` is all but the Glasser atlas, "
                "`all` every voxel."
            )
        names.update(dict.fromkeys(fitting))
    if not names:
        raise NeuroalignError("No ROI is chosen. Give names of ROI columns, `visual` or `all`.")
    return tuple(names)


def _check_order(path: Path, ids: Ints, coordinates: Ints) -> None:
    """Voxels are numbered as a mask is read: x slowest, z fastest."""
    if coordinates.min() < 0:
        raise NeuroalignError(
            f"{path}: {int((coordinates < 0).any(axis=1).sum())} voxel(s) have a negative "
            "coordinate. Take the published file."
        )
    sizes = coordinates.max(axis=0) + 1
    flat = np.ravel_multi_index(tuple(coordinates[np.argsort(ids)].T), tuple(sizes))
    wrong = np.flatnonzero(np.diff(flat) <= 0)
    if wrong.size:
        raise NeuroalignError(
            f"{path}: the coordinates of {wrong.size} of {len(ids)} voxels do not increase with "
            f"`voxel_id` (first: voxel {int(np.sort(ids)[wrong[0] + 1])}), as they do where x runs "
            "slowest and z fastest. Columns were swapped or rows shuffled: take the published file."
        )


def _ceiling(table: pd.DataFrame, column: str, path: Path) -> npt.NDArray[np.float64]:
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
    wrong = ~((values >= 0) & (values <= 100))
    if wrong.any():
        raise NeuroalignError(
            f"{path}: {int(wrong.sum())} value(s) of `{column}` are no percentages (first: row "
            f"{int(wrong.argmax())}, {table[column].iloc[int(wrong.argmax())]!r}). Take the "
            "published file."
        )
    return values


def _check_ceilings(path: Path, ceilings: dict[str, npt.NDArray[np.float64]]) -> None:
    """Compare the noise ceilings of a single trial and of 12: one follows from the other."""
    single, tested = (ceilings[c] / 100 for c in _CEILINGS)
    implied = 12 * single / (1 + 11 * single)
    wrong = np.abs(implied - tested) * 100 > _ROUNDING
    if wrong.any():
        row = int(wrong.argmax())
        raise NeuroalignError(
            f"{path}: the noise ceilings of {int(wrong.sum())} of {len(wrong)} voxels contradict "
            f"each other (first: row {row}, {single[row]:.3%} of a single trial means "
            f"{implied[row]:.3%} of 12, the table says {tested[row]:.3%}). A column was shuffled "
            "or scaled: take the published file."
        )


def select_voxels(table: VoxelTable, mask: Path | None) -> Voxels:
    """Return the chosen voxels of a table, placed in the brain mask if there is one.

    Raises
    ------
    NeuroalignError
        The table and the mask disagree about where voxels are.
    """
    rows = np.flatnonzero(table.chosen).astype(np.int64)
    arrays: dict[str, npt.NDArray[np.float32 | np.int64]] = {
        "voxel_id": table.ids[rows],
        "voxel_coordinates": table.coordinates[rows],
    }
    for name, values in table.ceilings.items():
        arrays[name] = values[rows].astype(np.float32)
    single = np.minimum(table.ceilings["nc_singletrial"][rows] / 100, 1 - 1e-6)
    arrays["ncsnr"] = np.sqrt(single / (1 - single)).astype(np.float32)
    if mask is None:
        return Voxels(rows, table.ids[rows], arrays=arrays)
    region = read_region(mask)
    flat = _in_mask(table, region)
    return Voxels(rows, table.ids[rows], flat[rows], region.shape, region.affine, arrays)


def _in_mask(table: VoxelTable, region: Region) -> Ints:
    outside = (table.coordinates >= np.array(region.shape)).any(axis=1)
    if not outside.any():
        flat: Ints = np.asarray(
            np.ravel_multi_index(tuple(table.coordinates.T), region.shape), np.int64
        )
        if np.array_equal(np.sort(flat), region.index):
            return flat
        shared = len(np.intersect1d(flat, region.index))
        what = f"they share {shared}"
    else:
        what = f"{int(outside.sum())} voxels lie outside of its {region.shape}"
    raise NeuroalignError(
        f"{region.path} has {len(region.index)} voxels and {table.path} {len(table.ids)}, which "
        f"must be the same: {what}. One of them belongs to another person or version: download "
        "both again."
    )
