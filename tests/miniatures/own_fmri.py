"""Somebody's own fMRI in miniature: betas with a table, and a planted signal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nibabel
import numpy as np
import pandas as pd

RUNS, TRIALS, PICTURES = 4, 15, 20
SHAPE = (4, 5, 6)
LATENTS = 3
AFFINE = np.diag([2.0, 2.0, 2.5, 1.0])
REST = "rest"


@dataclass(frozen=True)
class Planted:
    """What is hidden in the betas of one person: (trials, voxels), and where the voxels lie."""

    betas: np.ndarray
    table: pd.DataFrame
    index: np.ndarray


def latent(picture: str) -> np.ndarray:
    """Return the known properties of a picture."""
    return np.random.default_rng(int(picture[1:3])).normal(size=LATENTS)


def write_own_fmri(
    folder: Path, people: int = 2, kind: Literal["nifti", "npy"] = "nifti"
) -> dict[str, Planted]:
    """Write `<subject>_betas.nii.gz` (or .npy), `<subject>_mask.nii.gz` and trials.tsv."""
    folder.mkdir(parents=True, exist_ok=True)
    planted = {f"p{n}": _plant(f"p{n}", n) for n in range(1, people + 1)}
    for subject, person in planted.items():
        if kind == "npy":
            np.save(folder / f"{subject}_betas.npy", person.betas)
            continue
        mask = np.zeros(np.prod(SHAPE), np.uint8)
        mask[person.index] = 1
        _save(mask.reshape(SHAPE), folder / f"{subject}_mask.nii.gz")
        rng = np.random.default_rng(99)
        volume = rng.normal(size=(np.prod(SHAPE), len(person.betas)))  # outside of the mask too
        volume[person.index] = person.betas.T
        _save(volume.reshape(*SHAPE, -1), folder / f"{subject}_betas.nii.gz")
    table = pd.concat([p.table for p in planted.values()], ignore_index=True)
    table.to_csv(folder / "trials.tsv", sep="\t", index=False)
    return planted


def _plant(subject: str, seed: int) -> Planted:
    rng = np.random.default_rng(seed)
    voxels = 20 + seed
    pictures = [f"x{i:02d}.jpg" for i in range(PICTURES)]
    shown = [p for _ in range(RUNS) for p in rng.permutation(pictures)[:TRIALS]]
    table = pd.DataFrame(
        {
            "subject": subject,
            "run": np.repeat(np.arange(1, RUNS + 1), TRIALS),
            "stimulus": shown,
            "label": [f"class{int(p[1:3]) % 4}" for p in shown],
            "confidence": rng.integers(1, 5, len(shown)),
        }
    )
    table.loc[table.index % TRIALS == 0, ["stimulus", "label"]] = [None, REST]
    targets = np.array(
        [latent(p) if p else np.zeros(LATENTS) for p in table["stimulus"].fillna("")]
    )
    betas = targets @ rng.normal(size=(LATENTS, voxels)) + 0.5 * rng.normal(
        size=(len(table), voxels)
    )
    betas += 5 * rng.normal(size=(RUNS, voxels))[table["run"] - 1]
    index = np.sort(rng.choice(np.prod(SHAPE), voxels, replace=False))
    return Planted(betas, table, index)


def _save(data: np.ndarray, path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(data, AFFINE), path)
