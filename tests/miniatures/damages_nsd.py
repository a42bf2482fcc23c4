"""Ways to damage the miniature of the Natural Scenes Dataset, and what has to come of each."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pandas as pd
from scipy.io import loadmat, savemat

from miniatures.damage import Damage
from miniatures.nsd import (
    EXPERIMENT,
    SHAPES,
    STIMULI,
    TRIALS,
    beta_folder,
    roi_folder,
    write_info,
    write_miniature,
    write_nifti,
)
from neuroalign.recordings.readers.nsd import NsdReader

READER = NsdReader()
OPTIONS = {"sessions": 2}
DESIGN = EXPERIMENT / "nsd_expdesign.mat"
INFO = EXPERIMENT / "nsd_stim_info_merged.csv"
BETAS = beta_folder(Path(), "subj01")
FIRST, SECOND = BETAS / "betas_session01.hdf5", BETAS / "betas_session02.hdf5"
PACKED = BETAS / "betas_session02.nii.gz"
MASK = roi_folder(Path(), "subj01") / "nsdgeneral.nii.gz"
NCSNR = BETAS / "ncsnr.nii.gz"
RESPONSES = Path("nsddata/ppdata/subj01/behav/responses.tsv")

Apply = Callable[[Path], object]


def write(folder: Path) -> None:
    """Make the miniature."""
    write_miniature(folder)


def _bytes(name: Path, change: Callable[[bytes], bytes]) -> Apply:
    def apply(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return apply


def _half(name: Path) -> Apply:
    return _bytes(name, lambda b: b[: len(b) // 2])


def _replaced(name: Path, content: bytes) -> Apply:
    return _bytes(name, lambda _: content)


def _removed(name: Path) -> Apply:
    return lambda folder: (folder / name).unlink()


def _renamed(name: Path, new: str) -> Apply:
    return lambda folder: (folder / name).rename((folder / name).with_name(new))


def _copied(name: Path, new: str) -> Apply:
    return lambda folder: shutil.copy(folder / name, (folder / name).with_name(new))


def _folder_instead(name: Path) -> Apply:
    def apply(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return apply


def _betas(change: Callable[[np.ndarray], Any], **how: Any) -> Apply:
    """Write the second session anew."""

    def apply(folder: Path) -> None:
        with h5py.File(folder / SECOND, "r+") as file:
            changed = change(file["betas"][()])
            del file["betas"]
            file.create_dataset("betas", data=changed, **how)

    return apply


def _filled(where: Any, value: int = 0) -> Apply:
    def change(betas: np.ndarray) -> np.ndarray:
        betas[where] = value
        return betas

    return _betas(change)


def _key(change: Callable[[h5py.File], object], name: Path = SECOND) -> Apply:
    def apply(folder: Path) -> None:
        with h5py.File(folder / name, "r+") as file:
            change(file)

    return apply


def _group_instead(file: h5py.File) -> None:
    file.move("betas", "b")
    file.create_group("betas")


def _damaged_checksum(folder: Path) -> None:
    with h5py.File(folder / SECOND, "r+") as file:
        betas = file["betas"][()]
        del file["betas"]
        file.create_dataset("betas", data=betas, chunks=betas.shape, fletcher32=True)
        place = file["betas"].id.get_chunk_info(0).byte_offset
    _bytes(SECOND, lambda b: b[: place + 99] + b"damage" + b[place + 105 :])(folder)


def _trials_of_first(count: int) -> Apply:
    def apply(folder: Path) -> None:
        with h5py.File(folder / FIRST) as first, h5py.File(folder / SECOND, "r+") as second:
            second["betas"][:count] = first["betas"][:count]

    return apply


def _packed(change: Callable[[np.ndarray, np.ndarray], tuple[Any, Any]]) -> Apply:
    """Write the second session as NIfTI, changed; the first as it is."""

    def apply(folder: Path) -> None:
        affine = nibabel.load(folder / MASK).affine
        for name in (FIRST, SECOND):
            with h5py.File(folder / name) as file:
                betas = file["betas"][()].T
            array, place = (betas, affine) if name == FIRST else change(betas, affine)
            path = folder / name.with_suffix("").with_suffix(".nii.gz")
            write_nifti(array, place, path)
            (folder / name).unlink()

    return apply


def _packed_bytes(change: Callable[[bytes], bytes]) -> Apply:
    def apply(folder: Path) -> None:
        _packed(lambda betas, affine: (betas, affine))(folder)
        _bytes(PACKED, change)(folder)

    return apply


def _scaled_header(folder: Path) -> None:
    _packed(lambda betas, affine: (betas, affine))(folder)
    image = nibabel.load(folder / PACKED)
    image.header.set_slope_inter(1 / 300, 0)
    raw = gzip.decompress((folder / PACKED).read_bytes())
    header = bytearray(raw[:352])
    header[112:116] = np.float32(1 / 300).tobytes()
    (folder / PACKED).write_bytes(gzip.compress(bytes(header) + raw[352:]))


def _volume(name: Path, change: Callable[[np.ndarray, np.ndarray], tuple[Any, Any]]) -> Apply:
    def apply(folder: Path) -> None:
        image = nibabel.load(folder / name)
        array, affine = np.asarray(image.dataobj), image.affine
        write_nifti(*change(array, affine), folder / name)

    return apply


def _shifted(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    moved = affine.copy()
    moved[0, 3] += 1.8
    return array, moved


def _design(change: Callable[[dict[str, Any]], object]) -> Apply:
    def apply(folder: Path) -> None:
        content = {k: v for k, v in loadmat(folder / DESIGN).items() if not k.startswith("__")}
        change(content)
        savemat(folder / DESIGN, content)

    return apply


def _set(key: str, change: Callable[[np.ndarray], Any]) -> Apply:
    return _design(lambda content: content.update({key: change(content[key].copy())}))


def _put(places: Any, value: Any) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[places] = value
        return array

    return change


def _shuffled(array: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).permutation(array.ravel()).reshape(array.shape)


def _two_swapped(array: np.ndarray) -> np.ndarray:
    array[0, [3, 4]] = array[0, [4, 3]]
    return array


def _newer_matlab(folder: Path) -> None:
    with h5py.File(folder / DESIGN, "w", userblock_size=512) as file:
        file["masterordering"] = np.ones((30_000, 1))
    header = b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM"
    _bytes(DESIGN, lambda b: header + b[128:])(folder)


def _table(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Apply:
    def apply(folder: Path) -> None:
        table = change(pd.read_csv(folder / RESPONSES, sep="\t"))
        table.to_csv(folder / RESPONSES, sep="\t", index=False)

    return apply


def _other_pictures(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[[760, 761], "73KID"] = table.loc[[761, 760], "73KID"].to_numpy()
    return table


def _info(change: Callable[[list[bytes]], list[bytes]]) -> Apply:
    """Add the table of pictures, with its lines changed."""

    def apply(folder: Path) -> None:
        write_info(folder)
        lines = (folder / INFO).read_bytes().splitlines(keepends=True)
        (folder / INFO).write_bytes(b"".join(change(lines)))

    return apply


def _field(column: bytes, row: int, value: bytes) -> Apply:
    def change(lines: list[bytes]) -> list[bytes]:
        place = lines[0].rstrip().split(b",").index(column)
        fields = lines[row].split(b",")
        fields[place + 3] = value  # cropBox holds three more commas
        return [*lines[:row], b",".join(fields), *lines[row + 1 :]]

    return _info(change)


def _brick(change: Callable[[np.ndarray], Any]) -> Apply:
    def edit(file: h5py.File) -> None:
        changed = change(file["imgBrick"][()])
        del file["imgBrick"]
        file["imgBrick"] = changed

    return _key(edit, STIMULI)


def _no_version(folder: Path) -> None:
    (folder / BETAS).rename((folder / BETAS).with_name("betas_fithrf"))


_X, _Y, _Z = SHAPES["subj01"]
_SESSION = "betas_session02.hdf5"
_PACKED = {"container": "nifti"}
_MAT = "nsd_expdesign.mat"
_CSV = "nsd_stim_info_merged.csv"
_ROI = "nsdgeneral.nii.gz"

DAMAGES = (
    Damage("a session is missing", _removed(SECOND), "refused", ("1 of 2 sessions missing (02",)),
    Damage("only the first session is there", _removed(SECOND), "reported",
           ("1 of 40 sessions there, without 02",), {"sessions": None}),
    Damage("a session in between is missing", _renamed(SECOND, "betas_session03.hdf5"), "refused",
           ("missing (02",), {"sessions": None}),
    Damage("sessions are only there as HDF5", lambda _: None, "refused",
           ("no betas_session01 (.nii.gz)",), _PACKED),
    Damage("another version of the betas only", _no_version, "refused",
           ("betas_fithrf_GLMdenoise_RR", "there is betas_fithrf (--betas)")),
    Damage("a session of a strange number", _copied(SECOND, "betas_session41.hdf5"), "reported",
           ("betas_session41.hdf5", "not one of the 40 published sessions")),
    Damage("a session downloaded twice", _copied(SECOND, "betas_session02 (1).hdf5"), "reported",
           ("betas_session02 (1).hdf5", "left out")),
    Damage("a ninth person", lambda f: (f / "nsddata_betas/ppdata/subj09").mkdir(), "reported",
           ("subj09", "not among the published people")),
    Damage("nobody's betas", lambda f: shutil.rmtree(f / "nsddata_betas"), "refused",
           ("holds no folder of a person",)),
    # HDF5
    Damage("betas end half-way", _half(SECOND), "refused", (_SESSION, "cannot be opened as HDF5")),
    Damage("betas lack the last bytes", _bytes(SECOND, lambda b: b[:-8]), "refused",
           (_SESSION, "cannot be opened as HDF5")),
    Damage("betas are empty", _replaced(SECOND, b""), "refused", (_SESSION, "empty (0 bytes)")),
    Damage("a folder in place of betas", _folder_instead(SECOND), "refused",
           (_SESSION, "it is a folder")),
    Damage("a web page in place of betas", _replaced(SECOND, b"<html>404</html>"), "refused",
           (_SESSION, "cannot be opened as HDF5")),
    Damage("betas under another key", _key(lambda f: f.move("betas", "data")), "refused",
           (_SESSION, "no array 'betas'; it has data")),
    Damage("a group called betas", _key(_group_instead), "refused", (_SESSION, "no array 'betas'")),
    Damage("an HDF5 file with nothing in it", _key(lambda f: f.clear()), "refused",
           (_SESSION, "it has nothing")),
    Damage("betas in percent as floats", _betas(lambda b: (b / 300).astype(np.float32)), "refused",
           (_SESSION, "float32, expected int16")),
    Damage("betas without a sign", _betas(lambda b: b.astype(np.uint16)), "refused",
           (_SESSION, "uint16, expected int16")),
    Damage("betas of 32 bits", _betas(lambda b: b.astype(np.int32)), "refused",
           (_SESSION, "int32, expected int16")),
    Damage("axes not reversed", _betas(lambda b: b.transpose(0, 3, 2, 1)), "refused",
           (_SESSION, f"(750, {_X}, {_Y}, {_Z})", "axes are swapped")),
    Damage("trials last in HDF5", _betas(np.transpose), "refused",
           (_SESSION, f"({_X}, {_Y}, {_Z}, 750)", "axes are swapped")),
    Damage("two axes swapped", _betas(lambda b: b.swapaxes(2, 3)), "refused",
           (_SESSION, "axes are swapped")),
    Damage("a trial too few", _betas(lambda b: b[:-1]), "refused",
           (_SESSION, "(749, ", "no axis has the 750 trials")),
    Damage("a trial too many", _betas(lambda b: np.concatenate([b, b[:1]])), "refused",
           (_SESSION, "(751, ", "no axis has the 750 trials")),
    Damage("voxels in one row", _betas(lambda b: b.reshape(TRIALS, -1)), "refused",
           (_SESSION, "expected (750, ")),
    Damage("betas of another grid", _betas(lambda b: b[:, 1:]), "refused",
           (_SESSION, "another person's, or another grid")),
    Damage("betas that are all zero", _filled(...), "refused",
           (_SESSION, "40 of 40 voxels", "never change")),
    Damage("betas of a single volume", _betas(lambda b: np.repeat(b[:1], TRIALS, 0)), "refused",
           (_SESSION, "never change")),
    Damage("a slice without betas", _filled((slice(None), 2)), "reported",
           ("of 40 voxels", "never change", "session 02")),
    Damage("a damaged block", _damaged_checksum, "refused", (_SESSION, "cannot be read")),
    Damage("a session copied over another", lambda f: shutil.copy(f / FIRST, f / SECOND),
           "refused", ("subj01_session02", "750 trial(s), 100%", "subj01_session01")),
    Damage("most trials of another session", _trials_of_first(500), "refused",
           ("500 trial(s), 67%", "one was copied over the other")),
    Damage("three trials of another session", _trials_of_first(3), "reported",
           ("3 trial(s)", "the same signals as trials of subj01_session01")),
    Damage("trials twice in a session", _betas(lambda b: np.concatenate([b[:740], b[:10]])),
           "reported", ("10 trial(s)", "earlier trials of the same part")),
    Damage("betas divided by 300 already", _betas(lambda b: np.round(b / 300).astype(np.int16)),
           "reported", ("subj01_session02", "are these betas times 300?")),
    Damage("betas cut off", _betas(lambda b: np.where(b > 900, 32767, b).astype(np.int16)),
           "reported", ("subj01_session02", "at the limit of int16")),
    # NIfTI
    Damage("NIfTI ends early", _packed_bytes(lambda b: b[: len(b) // 2]), "refused",
           ("betas_session02.nii.gz", "cannot be read"), _PACKED),
    Damage("NIfTI with a damaged block",
           _packed_bytes(lambda b: b[:5000] + bytes(200) + b[5200:]), "refused",
           ("betas_session02.nii.gz", "cannot be read"), _PACKED),
    Damage("NIfTI that is not packed", _packed_bytes(gzip.decompress), "refused",
           ("betas_session02.nii.gz", "cannot be opened as NIfTI"), _PACKED),
    Damage("NIfTI with trials first", _packed(lambda b, a: (np.moveaxis(b, -1, 0), a)), "refused",
           ("betas_session02.nii.gz", "with the trials last: they are on axis 0"), _PACKED),
    Damage("NIfTI with swapped axes", _packed(lambda b, a: (b.swapaxes(0, 2), a)), "refused",
           ("betas_session02.nii.gz", "axes are swapped"), _PACKED),
    Damage("NIfTI of one trial", _packed(lambda b, a: (b[..., 0], a)), "refused",
           ("betas_session02.nii.gz", "expected (x, y, z, 750)"), _PACKED),
    Damage("NIfTI of floats", _packed(lambda b, a: (b.astype(np.float32), a)), "refused",
           ("betas_session02.nii.gz", "float32, expected int16"), _PACKED),
    Damage("NIfTI with a scale", _scaled_header, "refused",
           ("betas_session02.nii.gz", "states a scale of 0.0033"), _PACKED),
    Damage("NIfTI of another place", _packed(_shifted), "reported",
           ("betas_session02.nii.gz", "its affine differs"), _PACKED),
    # Masks and noise ceilings
    Damage("no mask of that name", _removed(MASK), "refused",
           ("no mask 'nsdgeneral'; there is prf-visualrois",)),
    Damage("no masks", lambda f: shutil.rmtree(f / MASK.parent), "refused",
           ("no mask 'nsdgeneral'; there is none",)),
    Damage("a value that the mask does not have", lambda _: None, "refused",
           (_ROI, "no voxel of it is one of 7"), {"roi_values": ("7",)}),
    Damage("an empty mask", _volume(MASK, lambda m, a: (np.minimum(m, 0), a)), "refused",
           (_ROI, "no voxel of it is above 0")),
    Damage("a mask with NaN", _volume(MASK, lambda m, a: (np.where(m < 0, np.nan, m), a)),
           "refused", (_ROI, "are NaN")),
    Damage("a mask with swapped axes", _volume(MASK, lambda m, a: (m.T.copy(), a)), "refused",
           ("axes are swapped",)),
    Damage("a mask of another person", _volume(MASK, lambda m, a: (m[1:], a)), "refused",
           ("another person's, or another grid",)),
    Damage("a mask of four axes", _volume(MASK, lambda m, a: (m[..., None, None], a)), "refused",
           (_ROI, "expected three axes")),
    Damage("a mask at another place", _volume(MASK, _shifted), "reported",
           ("ncsnr.nii.gz", "its affine differs")),
    Damage("a mask cut off", _half(MASK), "refused", (_ROI,)),
    Damage("a mask with a damaged checksum", _bytes(MASK, lambda b: b[:-8] + bytes(4) + b[-4:]),
           "refused", (_ROI, "CRC check failed")),
    Damage("noise ceilings with NaN",
           _volume(NCSNR, lambda r, a: (np.full_like(r, np.nan), a)), "reported",
           ("ncsnr.nii.gz", "40 voxel(s)", "taken as 0")),
    Damage("noise ceilings of another grid", _volume(NCSNR, lambda r, a: (r[:, 1:], a)), "refused",
           ("ncsnr.nii.gz", "different people or grids")),
    Damage("noise ceilings cut off", _half(NCSNR), "refused", ("ncsnr.nii.gz",)),
    # The design
    Damage("no design", _removed(DESIGN), "refused", (_MAT, "it is missing")),
    Damage("a design cut off", _half(DESIGN), "refused", (_MAT, "cannot be read as a MATLAB file")),
    Damage("a design that is text", _replaced(DESIGN, b"hello " * 99), "refused",
           (_MAT, "cannot be read as a MATLAB file")),
    Damage("a design of newer MATLAB", _newer_matlab, "refused",
           (_MAT, "cannot be read as a MATLAB file")),
    Damage("a design without the order", _design(lambda c: c.pop("masterordering")), "refused",
           (_MAT, "lacks masterordering; it has ")),
    Damage("an order under another name",
           _design(lambda c: c.update(order=c.pop("masterordering"))), "refused",
           (_MAT, "lacks masterordering")),
    Damage("an order in one column", _set("masterordering", np.transpose), "refused",
           (_MAT, "masterordering has the shape (30000, 1), expected (1, 30000)")),
    Damage("a shuffled order", _set("masterordering", _shuffled), "refused",
           (_MAT, "published 9209", "another order")),
    Damage("two trials swapped in the order", _set("masterordering", _two_swapped), "refused",
           ("responses.tsv", "2 of 750 trials of session 1 show other pictures")),
    Damage("an order counted from 0", _set("masterordering", lambda m: m - 1), "refused",
           (_MAT, "from 0 to 9999", "counted from 0?")),
    Damage("an order out of range", _set("masterordering", _put((0, 5), 10_001)), "refused",
           (_MAT, "to 10001, expected 1 to 10000")),
    Damage("a picture four times", _set("masterordering", lambda m: _put((0, 5), m[0, 6])(m)),
           "refused", (_MAT, "other than 3 times")),
    Damage("pictures of people transposed", _set("subjectim", np.transpose), "refused",
           (_MAT, "(10000, 8), expected (8, 10000)")),
    Damage("a person too few", _set("subjectim", lambda s: s[:7]), "refused",
           (_MAT, "(7, 10000), expected (8, 10000)")),
    Damage("pictures out of range", _set("subjectim", _put((2, 3), 73_001)), "refused",
           (_MAT, "subjectim runs from 1 to 73001")),
    Damage("a picture number of NaN",
           _set("subjectim", lambda s: _put((2, 3), np.nan)(s.astype(float))), "refused",
           (_MAT, "other values than whole numbers")),
    Damage("halves of pictures", _set("subjectim", lambda s: s - 0.5), "refused",
           (_MAT, "other values than whole numbers")),
    Damage("a picture twice for a person",
           _set("subjectim", lambda s: _put((3, 2000), s[3, 2001])(s)), "refused",
           (_MAT, "1 picture(s) of person 4 twice")),
    Damage("shared pictures shuffled for a person",
           _set("subjectim", lambda s: _put((4, slice(1000)), s[4, 999::-1])(s)), "refused",
           (_MAT, "differs between people in 1000")),
    Damage("two people with the same pictures", _set("subjectim", lambda s: _put(5, s[6])(s)),
           "refused", (_MAT, "names 64000 pictures")),
    Damage("other shared pictures", _set("sharedix", lambda s: s % 73_000 + 1), "refused",
           (_MAT, "sharedix names")),
    Damage("runs of another number", _set("stimpattern", lambda s: s[:, :11]), "reported",
           (_MAT, "stimpattern has the shape (40, 11, 75)")),
    Damage("a run too short", _set("stimpattern", _put((0, 0, 0), 0)), "reported",
           (_MAT, "749 trials in session 1")),
    # What says it again
    Damage("responses to other pictures", _table(_other_pictures), "refused",
           ("responses.tsv", "2 of 750 trials of session 2")),
    Damage("responses lack a trial", _table(lambda t: t.drop(index=3)), "refused",
           ("responses.tsv", "session 1 has 749 trials")),
    Damage("responses without pictures", _table(lambda t: t.drop(columns="73KID")), "refused",
           ("responses.tsv", "SESSION and 73KID")),
    Damage("responses that are no text", _replaced(RESPONSES, bytes(range(256)) * 9), "refused",
           ("responses.tsv", "cannot be read as a table")),
    Damage("a table of pictures without COCO numbers",
           _info(lambda n: [n[0].replace(b"cocoId", b"coco"), *n[1:]]), "reported",
           (_CSV, "lacks the column(s) cocoId")),
    Damage("a table of pictures without the pictures",
           _info(lambda n: [n[0].replace(b"nsdId", b"id"), *n[1:]]), "refused",
           (_CSV, "no column nsdId")),
    Damage("a table of pictures lacks rows", _info(lambda n: n[:-5]), "refused",
           (_CSV, "72995 numbers in 72995 rows")),
    Damage("a table of pictures names one twice", _field(b"nsdId", 3, b"5"), "refused",
           (_CSV, "72999 numbers in 73000 rows")),
    Damage("a table of pictures with other trials", _field(b"subject1_rep0", 20, b"77"), "refused",
           (_CSV, "the trials of person 1", "for 1 picture(s)")),
    Damage("a table of pictures with words for trials", _field(b"subject1_rep0", 20, b"first"),
           "refused", (_CSV, "other values than trials")),
    Damage("a table of pictures with other shared ones",
           _info(lambda n: [r.replace(b",True,", b",False,") for r in n[:9000]] + n[9000:]),
           "refused", (_CSV, "shared1000 marks")),
    Damage("a table of pictures that is no text", _info(lambda _: [bytes(range(256)) * 9]),
           "refused", (_CSV,)),
    # Pictures
    Damage("no file of pictures", _removed(STIMULI), "reported",
           ("nsd_stimuli.hdf5", "nothing can be trained on it yet")),
    Damage("pictures cut off", _half(STIMULI), "refused", ("nsd_stimuli.hdf5", "cannot be read")),
    Damage("pictures are empty", _replaced(STIMULI, b""), "refused",
           ("nsd_stimuli.hdf5", "empty (0 bytes)")),
    Damage("pictures under another key", _key(lambda f: f.move("imgBrick", "images"), STIMULI),
           "refused", ("nsd_stimuli.hdf5", "no array 'imgBrick'; it has images")),
    Damage("pictures are missing", _brick(lambda b: b[:72_000]), "refused",
           ("nsd_stimuli.hdf5", "72000 pictures, expected 73000")),
    Damage("pictures with swapped axes", _brick(np.transpose), "refused",
           ("nsd_stimuli.hdf5", "(3, 4, 4, 73000)")),
    Damage("pictures as floats", _brick(lambda b: (b[:9] / 255).astype(np.float32)), "refused",
           ("nsd_stimuli.hdf5", "float32")),
)  # fmt: skip
