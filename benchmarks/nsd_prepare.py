"""Preparing NSD against merely reading it.

Writes two sessions of a person in miniature but for their size: 750 trials of 81 x 104 x 83 voxels
(2.1 GB), with a mask of 15,724 voxels around the back of the volume, as in person 1. Once with a
chunk for each voxel, as the HDF5 files are published, and once in one piece. Then `prepare` runs
in a process of its own, and another one merely reads the same files with h5py, in blocks of the
same bytes. The two take turns, and the best of each counts. Exits with 1 if preparing takes more
than twice as long as reading, or 2 GB of memory. For comparison, a third process reads no more than
the voxels of the mask, with the function that `prepare` reads them with. Linux only.

    python benchmarks/nsd_prepare.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from miniatures import nsd

SHAPE, VOXELS, SESSIONS = (81, 104, 83), 15_724, 2
BLOCK_BYTES = 32 * 2**20
LAYOUTS: dict[str, tuple[int, ...] | None] = {
    "a chunk a voxel, as published": (nsd.TRIALS, 1, 1, 1),
    "in one piece": None,
}
MOST_TIMES, MOST_GB = 2.0, 2.0


def write_set(folder: Path, chunks: tuple[int, ...] | None) -> None:
    """Write the sessions of a person, the mask, and the design."""
    nsd.write_miniature(folder, sessions=0, stimuli=False)
    for path in folder.rglob("*.nii.gz"):
        path.unlink()
    affine = np.diag([1.8, 1.8, 1.8, 1.0])
    nsd.write_nifti(
        mask().astype(np.int16), affine, nsd.roi_folder(folder, "subj01") / "nsdgeneral.nii.gz"
    )
    (folder / "nsddata/ppdata/subj01/behav/responses.tsv").unlink()
    x, y, z = SHAPE
    rng = np.random.default_rng(0)
    for session in range(1, SESSIONS + 1):
        path = nsd.beta_folder(folder, "subj01") / f"betas_session{session:02d}.hdf5"
        plane = rng.normal(0, 500, (nsd.TRIALS, y, x)).astype(np.int16)
        with h5py.File(path, "w") as file:
            betas = file.create_dataset("betas", (nsd.TRIALS, z, y, x), "i2", chunks=chunks)
            for depth in range(z):
                betas[:, depth] = np.roll(plane, depth, axis=0)


def mask() -> np.ndarray:
    """Return a shell around the back of the volume, as the visual cortex lies."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), -1)
    distance = (((grid - (40, 20, 40)) / (30, 18, 25)) ** 2).sum(-1)
    inside = np.zeros(distance.size, bool)
    inside[np.argsort(np.abs(distance - 0.8).ravel(), kind="stable")[:VOXELS]] = True
    return inside.reshape(SHAPE)


def prepare(folder: Path) -> dict[str, Any]:
    # Libraries are loaded before the clock starts, as h5py is for reading.
    import nibabel  # noqa: F401
    import scipy.io  # noqa: F401

    from neuroalign.recordings.preparation import prepare
    from neuroalign.recordings.readers.nsd import NsdOptions, NsdReader

    out = folder.with_name("out")
    start = time.perf_counter()
    prepare(NsdReader(), folder, out, options=NsdOptions(sessions=SESSIONS), overwrite=True)
    return {"seconds": time.perf_counter() - start, "peak_gb": peak_gb()}


def read(folder: Path) -> dict[str, Any]:
    start, total = time.perf_counter(), 0
    for path in sorted(nsd.beta_folder(folder, "subj01").glob("*.hdf5")):
        with h5py.File(path, "r") as file:
            betas = file["betas"]
            # Blocks of whole chunks: of trials in one case, of planes in the other.
            axis = 0 if betas.chunks is None else 1
            one = betas.dtype.itemsize * betas.size // betas.shape[axis]
            count = max(1, BLOCK_BYTES // one)
            for first in range(0, betas.shape[axis], count):
                block = betas[(slice(None),) * axis + (slice(first, first + count),)]
                total += block.nbytes
    return {"seconds": time.perf_counter() - start, "gb": total / 1e9}


def read_mask(folder: Path) -> dict[str, Any]:
    import nibabel  # noqa: F401

    from neuroalign.recordings.readers.nsd_betas import read_betas, read_region

    region = read_region(nsd.roi_folder(folder, "subj01") / "nsdgeneral.nii.gz")
    start = time.perf_counter()
    for path in sorted(nsd.beta_folder(folder, "subj01").glob("*.hdf5")):
        read_betas(path, region)
    return {"seconds": time.perf_counter() - start}


def peak_gb() -> float:
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1]) * 1024 / 1e9


def in_own_process(what: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--only", what, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


TASKS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "read": read,
    "read_mask": read_mask,
    "prepare": prepare,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=list(TASKS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(TASKS[options.only](options.folder)))
        return 0
    rows: dict[str, dict[str, float]] = {}
    for name, chunks in LAYOUTS.items():
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "nsd"
            write_set(folder, chunks)
            done: dict[str, list[dict[str, Any]]] = {what: [] for what in TASKS}
            for turn in range(options.rounds):
                for what in TASKS:
                    # Reading whole files chunk by chunk takes long, and differs little.
                    if turn == 0 or what != "read" or chunks is None:
                        done[what].append(in_own_process(what, folder))
            best = {what: min(found, key=lambda r: r["seconds"]) for what, found in done.items()}
            reading, preparing = best["read"], best["prepare"]
            rows[name] = {
                "files, GB": reading["gb"],
                "reading, s": reading["seconds"],
                "only the mask, s": best["read_mask"]["seconds"],
                "preparing, s": preparing["seconds"],
                "times as long": preparing["seconds"] / reading["seconds"],
                "peak, GB": max(p["peak_gb"] for p in done["prepare"]),
            }
    table = pd.DataFrame(rows).T
    print(table.to_string(float_format=lambda v: f"{v:,.2f}"))
    slow = table.index[table["times as long"] > MOST_TIMES]
    large = table.index[table["peak, GB"] >= MOST_GB]
    if len(slow) or len(large):
        print(f"FAILED: too slow: {list(slow)}; too large: {list(large)}")
    return 1 if len(slow) or len(large) else 0


if __name__ == "__main__":
    sys.exit(main())
