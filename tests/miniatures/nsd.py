"""The Natural Scenes Dataset in miniature: tiny volumes and pictures, all else of the true size.

The design has the published numbers (30,000 trials of 10,000 pictures a person, 73,000 in all,
9,841 of them shown in 37 sessions, ...), so what holds here holds for the real files. What is
planted in the betas is linear in the colours of the picture.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
from scipy.io import savemat

TRIALS, RUNS = 750, 12
VERSION = "betas_fithrf_GLMdenoise_RR"
SHAPES = {"subj01": (5, 7, 6), "subj02": (6, 5, 8), "subj04": (3, 2, 4)}
VOXELS = {"subj01": 40, "subj02": 30, "subj04": 6}
SPREAD_PERCENT, NOISE_PERCENT = 1.5, 1.0
EXPERIMENT = Path("nsddata/experiments/nsd")
STIMULI = Path("nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5")


@dataclass(frozen=True)
class Planted:
    """What a miniature was made of.

    Attributes
    ----------
    pictures : int array of shape (people, 30000)
        Which of the 73,000 a trial shows, from 0.
    shared : bool array of shape (30000,)
    colours : uint8 array of shape (73000, 4, 4, 3)
    betas : (subject, session) -> int16 array of shape (750, x, y, z)
    masks, ncsnr : subject -> array of shape (x, y, z)
    affines : subject -> array of shape (4, 4)
    """

    folder: Path
    pictures: np.ndarray
    shared: np.ndarray
    colours: np.ndarray
    betas: dict[tuple[str, int], np.ndarray]
    masks: dict[str, np.ndarray]
    ncsnr: dict[str, np.ndarray]
    affines: dict[str, np.ndarray]


@lru_cache(maxsize=1)
def design() -> dict[str, np.ndarray]:
    """Return what nsd_expdesign.mat holds."""
    rng = np.random.default_rng(73)
    ids = rng.permutation(73_000)
    shared, own = ids[:1000], ids[1000:].reshape(8, 9000)
    stimpattern = np.zeros((40, RUNS, 75), np.uint8)
    for run in range(RUNS):
        stimpattern[:, run, : 63 if run % 2 == 0 else 62] = 1
    return {
        "masterordering": (_order(rng) + 1).astype(np.uint16)[None],
        "subjectim": np.hstack([np.tile(shared, (8, 1)), own]).astype(np.int32) + 1,
        "sharedix": np.sort(shared).astype(np.int32)[None] + 1,
        "stimpattern": stimpattern,
    }


def _order(rng: np.random.Generator) -> np.ndarray:
    """Draw an order that shows as many pictures and trials in 30, 32, 37 sessions as published."""
    shared, own = np.arange(1000), np.arange(1000, 10_000)
    first_shown = []  # in sessions 1-30, 31-32, 33-37, 38-40
    for seen, common in ((9_209, 907), (202, 23), (430, 52), (159, 18)):
        first_shown.append(rng.permutation([*shared[:common], *own[: seen - common]]))
        shared, own = shared[common:], own[seen - common :]
    early, second, third, late = first_shown
    once, twice, thrice = np.split(early, [1_363, 1_363 + 2_401])
    again = np.concatenate([np.repeat(once, 2), twice, np.repeat(second, 2)])
    again_shared, again_own = again[again < 1000], rng.permutation(again[again >= 1000])
    at_end = 2_250 - 3 * 159  # trials of the last three sessions that are left for these
    shared_at_end = 3_000 - 2_770 - 3 * 18  # 2,770 test trials in 37 sessions
    last = [*again_shared[:shared_at_end], *again_own[: at_end - shared_at_end]]
    between = rng.permutation([*again_shared[shared_at_end:], *again_own[at_end - shared_at_end :]])
    stages = (
        [*once, *np.repeat(twice, 2), *np.repeat(thrice, 3)],
        [*second, *between[: 1_500 - 202]],
        [*np.repeat(third, 3), *between[1_500 - 202 :]],
        [*np.repeat(late, 3), *last],
    )
    return np.concatenate([rng.permutation(stage) for stage in stages])


@lru_cache(maxsize=1)
def colours() -> np.ndarray:
    """Return all pictures: four squares of one colour each."""
    squares = np.random.default_rng(3).integers(0, 256, (73_000, 2, 2, 3), np.uint8)
    return squares.repeat(2, axis=1).repeat(2, axis=2)


def features(ids: np.ndarray) -> np.ndarray:
    """Return what betas depend on: the colours of the squares, shape (n, 12), about -1 to 1."""
    return colours()[ids][:, ::2, ::2].reshape(len(ids), 12) / 127.5 - 1


def tuning(subject: str) -> tuple[np.ndarray, np.ndarray]:
    """Return each voxel's weights, shape (12, voxels in the volume), and mean beta in percent."""
    rng = np.random.default_rng(int(subject[-2:]))
    n = int(np.prod(SHAPES[subject]))
    scale = SPREAD_PERCENT / np.sqrt(12 / 3)  # uniform on -1 to 1 has a variance of a third
    return scale * rng.standard_normal((12, n)), rng.uniform(-1, 3, n)


def write_miniature(
    folder: Path,
    *,
    subjects: Sequence[str] = ("subj01",),
    sessions: int = 2,
    container: str = "hdf5",
    chunks: tuple[int, ...] | None = (TRIALS, 1, 1, 1),
    version: str = VERSION,
    stimuli: bool = True,
    info: bool = False,
) -> Planted:
    """Write people's betas, masks and noise ceilings, the design, and what else is asked for."""
    content = design()
    order = content["masterordering"][0].astype(int) - 1
    pictures = content["subjectim"].astype(int)[:, order] - 1
    planted = Planted(folder, pictures, order < 1000, colours(), {}, {}, {}, {})
    (folder / EXPERIMENT).mkdir(parents=True)
    (folder / EXPERIMENT / "nsd_expdesign.mat").write_bytes(_design_file())
    if info:
        write_info(folder)
    if stimuli:
        path = folder / STIMULI
        path.parent.mkdir(parents=True)
        with h5py.File(path, "w") as file:
            file.create_dataset("imgBrick", data=planted.colours)
    for subject in subjects:
        _write_person(planted, subject, sessions, version)
        for session in range(1, sessions + 1):
            _write_session(planted, subject, session, container, chunks, version)
    return planted


@lru_cache(maxsize=1)
def _design_file() -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, design(), do_compression=True)
    return buffer.getvalue()


def beta_folder(folder: Path, subject: str, version: str = VERSION) -> Path:
    return folder / "nsddata_betas/ppdata" / subject / "func1pt8mm" / version


def roi_folder(folder: Path, subject: str) -> Path:
    return folder / "nsddata/ppdata" / subject / "func1pt8mm/roi"


def _write_person(planted: Planted, subject: str, sessions: int, version: str) -> None:
    rng = np.random.default_rng(100 + int(subject[-2:]))
    shape = SHAPES[subject]
    inside = np.zeros(int(np.prod(shape)), bool)
    inside[rng.choice(inside.size, VOXELS[subject], replace=False)] = True
    outside = rng.choice([-1, 0], inside.size)  # -1: not cortex
    mask = np.where(inside, 1, outside).astype(np.int16).reshape(shape)
    affine = np.diag([1.8, 1.8, 1.8, 1.0])
    affine[:3, 3] = rng.uniform(-90, -60, 3).round(1)
    planted.masks[subject], planted.affines[subject] = mask, affine
    planted.ncsnr[subject] = rng.uniform(0, 1, shape).astype(np.float32)
    roi, betas = roi_folder(planted.folder, subject), beta_folder(planted.folder, subject, version)
    roi.mkdir(parents=True)
    betas.mkdir(parents=True)
    write_nifti(mask, affine, roi / "nsdgeneral.nii.gz")
    areas = np.where(inside, rng.integers(1, 5, inside.size), 0).astype(np.int16).reshape(shape)
    write_nifti(areas, affine, roi / "prf-visualrois.nii.gz")
    write_nifti(planted.ncsnr[subject], affine, betas / "ncsnr.nii.gz")
    behaviour = planted.folder / "nsddata/ppdata" / subject / "behav"
    behaviour.mkdir()
    number = int(subject[-2:])
    length = np.tile([63, 62], 6)
    pd.DataFrame(
        {
            "SUBJECT": number,
            "SESSION": np.repeat(np.arange(1, sessions + 1), TRIALS),
            "RUN": np.tile(np.repeat(np.arange(1, RUNS + 1), length), sessions),
            "TRIAL": np.tile(np.concatenate([np.arange(1, n + 1) for n in length]), sessions),
            "73KID": planted.pictures[number - 1, : sessions * TRIALS] + 1,
        }
    ).to_csv(behaviour / "responses.tsv", sep="\t", index=False)


def _write_session(
    planted: Planted,
    subject: str,
    session: int,
    container: str,
    chunks: tuple[int, ...] | None,
    version: str,
) -> None:
    rng = np.random.default_rng([int(subject[-2:]), session])
    shape = SHAPES[subject]
    shown = planted.pictures[int(subject[-2:]) - 1, (session - 1) * TRIALS : session * TRIALS]
    weights, mean = tuning(subject)
    percent = features(shown) @ weights + mean
    percent += NOISE_PERCENT * rng.standard_normal(percent.shape)
    percent *= rng.uniform(0.8, 1.2)  # sessions differ in gain: why they are z-scored
    betas = np.round(300 * percent).astype(np.int16).reshape(TRIALS, *shape)
    planted.betas[subject, session] = betas
    stem = beta_folder(planted.folder, subject, version) / f"betas_session{session:02d}"
    if container == "hdf5":
        with h5py.File(f"{stem}.hdf5", "w") as file:
            file.create_dataset("betas", data=betas.transpose(0, 3, 2, 1), chunks=chunks)
    else:
        write_nifti(np.moveaxis(betas, 0, -1), planted.affines[subject], Path(f"{stem}.nii.gz"))


def write_nifti(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(array, affine), path)


def write_info(folder: Path) -> None:
    """Write nsd_stim_info_merged.csv."""
    (folder / EXPERIMENT / "nsd_stim_info_merged.csv").write_bytes(_info_file())


def coco_ids() -> np.ndarray:
    return np.random.default_rng(5).permutation(600_000)[:73_000]


@lru_cache(maxsize=1)
def _info_file() -> bytes:
    content = design()
    ids = np.arange(73_000)
    columns = {
        "": ids,
        "cocoId": coco_ids(),
        "cocoSplit": np.where(ids % 24 == 0, "val2017", "train2017"),
        "cropBox": np.full(len(ids), "(0, 0, 0.1671875, 0.1671875)"),
        "loss": np.full(len(ids), 0.1671875),
        "nsdId": ids,
        "flagged": np.full(len(ids), "False"),
        "BOLD5000": np.full(len(ids), "False"),
        "shared1000": np.where(np.isin(ids + 1, content["sharedix"]), "True", "False"),
    }
    shown = np.argsort(content["masterordering"][0], kind="stable").reshape(10_000, 3) + 1
    trials = np.zeros((8, 73_000, 3), int)
    for person in range(8):
        trials[person, content["subjectim"][person] - 1] = shown
        columns[f"subject{person + 1}"] = (trials[person, :, 0] > 0).astype(int)
    for person in range(8):
        for repeat in range(3):
            columns[f"subject{person + 1}_rep{repeat}"] = trials[person, :, repeat]
    buffer = io.BytesIO()
    pa.csv.write_csv(pa.table(columns), buffer)
    # As published, only the crop box is in quotes: it holds commas.
    header, _, rows = buffer.getvalue().partition(b"\n")
    for word in (b"True", b"False", b"train2017", b"val2017"):
        rows = rows.replace(b'"' + word + b'"', word)
    return header.replace(b'"', b"") + b"\n" + rows
