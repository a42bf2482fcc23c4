"""THINGS-fMRI in miniature: both published forms of the same betas, with a planted signal."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd

from neuroalign.recordings.readers.things_fmri import ThingsFmri
from neuroalign.recordings.readers.things_fmri_design import Published

#: The design of the miniature: as regular as the published one.
SMALL = Published(sessions=2, runs=2, train=20, test=4)
CATCH_PER_RUN = 2


class MiniatureReader(ThingsFmri):
    """The reader, which expects the counts of the miniature."""

    published = SMALL


CONCEPTS = (
    *("aardvark", "aircraft_carrier", "bat1", "candelabra", "dog", "fire_hydrant"),
    *("jack-o'-lantern", "mango", "panda", "spatula"),
)
EXEMPLARS = SMALL.sessions * SMALL.train // len(CONCEPTS)
SHAPE = (5, 6, 4)
VOXELS, LATENTS = 52, 4
AFFINE = np.array([[-2.0, 0, 0, 6], [0, 2.0, 0, -7], [0, 0, 2.5, 3], [0, 0, 0, 1]])
SUBJECTS = ("sub-01", "sub-02", "sub-03")
_FIELD = ("eccentricity", "polarangle", "rsquared", "size")
_DRAWN = ("V1", "V2", "V3", "hV4", "LO1 (prf)", "lFFA", "rFFA", "IT")


@dataclass(frozen=True)
class Planted:
    """What is hidden in the miniature of one person.

    Attributes
    ----------
    betas : array of shape (voxels, trials)
    trials : a row a trial, in order of time: trial_type, session, run, trial, stimulus, concept
    voxels : the voxel table
    index : where the voxels lie, as C-order flat indices
    """

    betas: np.ndarray
    trials: pd.DataFrame
    voxels: pd.DataFrame
    index: np.ndarray


def latent(stimulus: str) -> np.ndarray:
    """Return the known properties of a picture; half of each is its concept's."""
    both = (stimulus, stimulus.rpartition("_")[0])
    own, concept = (
        np.random.default_rng(int(hashlib.md5(n.encode()).hexdigest()[:8], 16)).normal(size=LATENTS)
        for n in both
    )
    return own + concept


def write_things_fmri(
    folder: Path,
    people: int = 2,
    *,
    tables: bool = True,
    volumes: bool = False,
    names: str = "numbers",
    store: str = "fixed",
) -> dict[str, Planted]:
    """Write the layout, and return what was planted.

    Parameters
    ----------
    names : "numbers" or "text"
        Of the columns of trials in the store.
    store : "fixed" or "table"
        The format of the store.
    """
    planted = {s: _plant(int(s[-2:])) for s in SUBJECTS[:people]}
    for subject, person in planted.items():
        _write_mask(folder, subject, person)
        if tables:
            _write_tables(folder / "betas_csv", subject, person, names, store)
        if volumes:
            _write_volumes(folder / "betas_vol" / subject, subject, person)
    return planted


def write_pictures(folder: Path, planted: Planted) -> None:
    """Write an empty file for each picture, in a folder of its concept."""
    for _, trial in planted.trials.iterrows():
        (folder / trial["concept"]).mkdir(parents=True, exist_ok=True)
        (folder / trial["concept"] / f"{trial['stimulus']}.jpg").write_bytes(b"")


def write_store(path: Path, betas: np.ndarray, trials: pd.Series, ids: np.ndarray, **how) -> None:
    """Write a store as pandas does: voxel_id and a column a trial."""
    frame = pd.DataFrame(betas, columns=list(trials))
    frame.insert(0, "voxel_id", ids)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names of both kinds are pickled, as in the published file
        frame.to_hdf(path, key="ResponseData", mode="w", **how)


def _plant(person: int) -> Planted:
    rng = np.random.default_rng(person)
    trials = _design(rng)
    index = np.sort(np.random.default_rng(10 + person).choice(np.prod(SHAPE), VOXELS, False))
    loadings = rng.normal(size=(VOXELS, LATENTS))
    pictures = np.array([latent(s) for s in trials["stimulus"]])
    # Sessions differ in offset and gain, as scanners do.
    offset = rng.normal(size=(VOXELS, SMALL.sessions))[:, trials["session"] - 1]
    gain = rng.uniform(0.5, 2.0, size=SMALL.sessions)[trials["session"] - 1]
    noise = rng.normal(size=(VOXELS, len(trials)))
    betas = (loadings @ pictures.T + noise) * gain * 0.1 + offset
    return Planted(betas, trials, _voxel_table(person, index, rng), index)


def _design(rng: np.random.Generator) -> pd.DataFrame:
    train = [f"{c}_{n + 1:02d}s" for n in range(EXEMPLARS) for c in CONCEPTS]
    test = [f"{c}_{EXEMPLARS + 1:02d}s" for c in CONCEPTS[: SMALL.test]]
    rows = []
    for session in range(SMALL.sessions):
        shown = rng.permutation(train[session * SMALL.train : (session + 1) * SMALL.train])
        again = rng.permutation(test)
        for run in range(SMALL.runs):
            halves = [np.array_split(names, SMALL.runs)[run] for names in (shown, again)]
            names = np.concatenate(halves)
            for name in rng.permutation(names):
                kind = "test" if name in test else "train"
                rows.append((kind, session + 1, run + 1, str(name)))
    table = pd.DataFrame(rows, columns=["trial_type", "session", "run", "stimulus"])
    table["trial"] = range(len(table))
    table["concept"] = table["stimulus"].str.rpartition("_")[0]
    return table


def _voxel_table(person: int, index: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    x, y, z = np.unravel_index(index, SHAPE)
    single = rng.uniform(0, 40, VOXELS) * (rng.random(VOXELS) > 0.2)
    columns: dict[str, object] = {
        "voxel_id": np.arange(VOXELS),
        "subject_id": person,
        **{"voxel_x": x, "voxel_y": y, "voxel_z": z},
        "nc_singletrial": single,
        "nc_testset": 1200 * single / (100 + 11 * single),
        **{f"splithalf_{k}": rng.normal(size=VOXELS) for k in ("uncorrected", "corrected")},
        **{f"prf-{k}": rng.random(VOXELS) for k in _FIELD},
    }
    for place, name in enumerate(_DRAWN):
        columns[name] = (np.arange(VOXELS) % 10 == place).astype(int)
    for number in range(1, 181):
        columns[f"glasser-{number}"] = (np.arange(VOXELS) % 180 == number % 180).astype(int)
    return pd.DataFrame(columns)


def _write_mask(folder: Path, subject: str, person: Planted) -> None:
    (folder / "brainmasks").mkdir(parents=True, exist_ok=True)
    mask = np.zeros(np.prod(SHAPE), np.uint8)
    mask[person.index] = 1
    image = nibabel.Nifti1Image(mask.reshape(SHAPE), AFFINE)
    nibabel.save(image, folder / "brainmasks" / f"{subject}_space-T1w_brainmask.nii.gz")


def _write_tables(folder: Path, subject: str, person: Planted, names: str, store: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    trials = person.trials["trial"]
    write_store(
        folder / f"{subject}_ResponseData.h5",
        person.betas,
        trials.astype(str) if names == "text" else trials,
        person.voxels["voxel_id"].to_numpy(),
        format=store,
    )
    pd.DataFrame(
        {
            **{c: person.trials[c] for c in ("trial_type", "session", "run")},
            "subject_id": int(subject[-2:]),
            "trial_id": trials,
            "stimulus": person.trials["stimulus"] + ".jpg",
            "concept": person.trials["concept"],
        }
    ).to_csv(folder / f"{subject}_StimulusMetadata.csv", index=False)
    person.voxels.to_csv(folder / f"{subject}_VoxelMetadata.csv", index=False)


def _write_volumes(folder: Path, subject: str, person: Planted) -> None:
    for (session, run), rows in person.trials.groupby(["session", "run"]):
        files = rows["concept"] + "/" + rows["stimulus"] + ".jpg"
        shown = dict(zip(files, person.betas[:, rows.index].T, strict=True))
        for number in range(CATCH_PER_RUN):
            shown[f"catch/catch_{number:02d}.jpg"] = np.full(VOXELS, 9.0)
        ordered = sorted(shown)  # the analysis of the data set sorts conditions
        volume = np.zeros((np.prod(SHAPE), len(ordered)))
        volume[person.index] = np.array([shown[name] for name in ordered]).T
        name = f"{subject}_ses-things{session:02d}_run-{run:02d}"
        place = folder / f"ses-things{session:02d}"
        place.mkdir(parents=True, exist_ok=True)
        image = nibabel.Nifti1Image(volume.reshape(*SHAPE, -1), AFFINE)
        nibabel.save(image, place / f"{name}_betas.nii.gz")
        pd.Series(ordered).to_csv(
            place / f"{name}_conditions.tsv", sep="\t", header=["image_filename"]
        )
