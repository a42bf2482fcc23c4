"""Memory while training on recordings far larger than the memory they may take.

Makes a 20 GB set of simulated MEG recordings (4 people, trials of 272 x 181 as in the paper; a
sparse file, in which one trial in 64 is noise and the rest are holes that read as zeros, so that it
takes 0.3 GB of disk), trains on it in a process of its own, stops after some steps, and takes the
peak of resident memory (VmHWM: everything, mapped files included). The same training on little
more than one batch of trials says what the model itself needs: weights, gradients, optimiser,
activations, libraries. Exits with 1 if the large set takes 2 GB more than that. Linux only.

    python benchmarks/memory.py
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch.optim.optimizer import register_optimizer_step_post_hook

from neuroalign.recipe import fit_recipe
from neuroalign.recordings import Recordings
from neuroalign.recordings.schema import TRIAL_COLUMNS, Channel, RecordingsInfo, SubjectInfo
from neuroalign.retrieval import Embeddings
from neuroalign.training.pipeline import fit_bundle

LIMIT_GB = 2.0
SHAPE = (272, 181)
TRIAL_BYTES = 4 * SHAPE[0] * SHAPE[1]
PEOPLE = ("sub-1", "sub-2", "sub-3", "sub-4")
REPEATS = 4
RUNS = 4
NOISE_EVERY = 64
SMALL_TRIALS = 304  # one batch of 256 after the validation pictures are taken off


@dataclass(frozen=True)
class Case:
    """A preset, what of it is changed, the steps to train, and the share of the set it reads."""

    preset: str
    changes: dict[str, Any]
    steps: int
    share: float


# The memory of the ridge start does not depend on how many candidates it tries one after the
# other, nor, beyond some thousand trials, on their number: both are cut down to save time.
CASES = {
    "paper": Case("paper", {}, steps=30, share=1.0),
    "default": Case(
        "default", {"space": {"components": [128]}, "start": {"shares": [0.5]}}, steps=5, share=0.25
    ),
}


def write_sparse(folder: Path, trials: int) -> None:
    """Write a recordings folder by hand, with holes instead of most trials."""
    rng = np.random.default_rng(0)
    (folder / "signals").mkdir(parents=True)
    each = trials // len(PEOPLE)
    repeats, dense = (REPEATS, NOISE_EVERY) if trials > SMALL_TRIALS else (1, 1)
    tables, subjects = [], {}
    for number, subject in enumerate(PEOPLE):
        with (folder / "signals" / f"{subject}.npy").open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (each, *SHAPE)}
            np.lib.format.write_array_header_1_0(file, header)
            start = file.tell()
            for row in range(0, each, dense):
                file.seek(start + row * TRIAL_BYTES)
                file.write(rng.standard_normal(SHAPE, np.float32).data)
            file.truncate(start + each * TRIAL_BYTES)
        shown = np.arange(each) // repeats + (0 if repeats > 1 else number * each)
        table = pd.DataFrame(index=range(each), columns=list(TRIAL_COLUMNS))
        table["subject"], table["split"], table["array_row"] = subject, "train", np.arange(each)
        table["stimulus"] = [f"picture-{i}" for i in shown]
        table["run"] = (np.arange(each) // repeats % RUNS).astype(str)
        tables.append(table)
        subjects[subject] = SubjectInfo(
            trials=each, shape=SHAPE, dtype="float32", sha256="not computed"
        )
    pd.concat(tables, ignore_index=True).to_parquet(folder / "trials.parquet")
    info = RecordingsInfo(
        modality="meg",
        axes=("channels", "samples"),
        units="au",
        channels=tuple(Channel(name=f"M{i}", type="mag") for i in range(SHAPE[0])),
        simulated=True,
        subjects=subjects,
    )
    (folder / "recordings.json").write_text(info.model_dump_json())


def random_pictures(recordings: Recordings) -> Embeddings:
    stimuli = recordings.trials["stimulus"].unique()
    vectors = np.random.default_rng(1).standard_normal((len(stimuli), 768), np.float32)
    items = pd.DataFrame({"kind": "picture", "stimulus": stimuli, "label": None, "subject": None})
    return Embeddings(vectors, items, "random")


class EnoughStepsError(Exception):
    """Training is stopped in mid-epoch: a whole one would take too long here."""


def train(case: Case, folder: Path) -> dict[str, float]:
    """Train in this process; return its peak memory and how far it got."""
    recordings = Recordings(folder)
    if len(recordings) > SMALL_TRIALS:
        recordings = recordings.select(run=[str(i) for i in range(round(RUNS * case.share))])
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == case.steps:
            raise EnoughStepsError

    register_optimizer_step_post_hook(count)
    start = time.perf_counter()
    with contextlib.suppress(EnoughStepsError):
        fit_bundle(
            {"meg": recordings},
            random_pictures(recordings),
            fit_recipe(case.preset, **case.changes),
        )
    status = Path("/proc/self/status").read_text().split()
    return {
        "read_gb": len(recordings) * TRIAL_BYTES / 1e9,
        "peak_gb": int(status[status.index("VmHWM:") + 1]) * 1024 / 1e9,
        "steps": steps,
        "seconds": time.perf_counter() - start,
    }


def in_own_process(name: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--case", name, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=20.0, help="size of the large set")
    parser.add_argument("--only", choices=list(CASES))
    parser.add_argument("--case", choices=list(CASES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(train(CASES[options.case], options.folder)))
        return 0
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        write_sparse(small, SMALL_TRIALS)
        write_sparse(large, int(options.gigabytes * 1e9 / TRIAL_BYTES))
        for name in [options.only] if options.only else CASES:
            model, training = in_own_process(name, small), in_own_process(name, large)
            rows[f"{name}, MEG"] = {
                "set, GB": options.gigabytes,
                "read of it, GB": training["read_gb"],
                "steps": training["steps"],
                "model, GB": model["peak_gb"],
                "training, GB": training["peak_gb"],
                "above the model, GB": training["peak_gb"] - model["peak_gb"],
                "seconds": training["seconds"],
            }
    table = pd.DataFrame(rows).T
    print(table.to_string(float_format=lambda v: f"{v:,.2f}"))
    failed = list(table.index[table["above the model, GB"] >= LIMIT_GB])
    if failed:
        print(f"FAILED: {LIMIT_GB} GB or more above the model: {'; '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
