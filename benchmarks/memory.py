"""Memory while training on recordings far larger than the memory they may take.

Makes a 20 GB set of simulated recordings (4 people, the paper's shapes of MEG epochs or EEG
spectrograms; sparse files, in which one trial in 64 is noise and the rest are holes that read as
zeros, so that they take 0.3 GB of disk), trains on it with `fit_bundle` in a process of its own,
stops after some steps, and takes the peak of resident memory (VmHWM: everything, mapped files
included). The same training on little more than one batch of trials says what the model itself
needs: weights, gradients, optimiser, activations, libraries. Exits with 1 if the large set takes
2 GB more than that. Linux only.

    python benchmarks/memory.py
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
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
from neuroalign.recordings.container import Modality
from neuroalign.recordings.schema import TRIAL_COLUMNS, Channel, RecordingsInfo, SubjectInfo
from neuroalign.retrieval import Embeddings
from neuroalign.training.pipeline import fit_bundle

LIMIT_GB = 2.0
AXES: dict[Modality, tuple[str, ...]] = {
    "eeg": ("channels", "frequencies", "frames"),
    "meg": ("channels", "samples"),
}
SHAPES: dict[Modality, tuple[int, ...]] = {"eeg": (128, 21, 23), "meg": (272, 181)}
PEOPLE = ("sub-1", "sub-2", "sub-3", "sub-4")
REPEATS = 2
RUNS = 10
NOISE_EVERY = 64
SMALL_TRIALS = 304  # one batch of 256 after the validation pictures are taken off


@dataclass(frozen=True)
class Case:
    """A preset, what of it is changed, the steps to train, and the share of the set it reads."""

    preset: str
    modality: Modality
    changes: dict[str, Any]
    steps: int
    share: float


# A pass over all 20 GB takes minutes, so whole runs of every person are left out; what is read is
# still more than twice what may be kept. Nor does the memory of the ridge start depend on how many
# candidates it tries one after the other.
RIDGE = {"space": {"components": [128]}, "start": {"shares": [0.5]}}
CASES = {
    "paper": Case("paper", "meg", {}, steps=30, share=0.2),
    "default": Case("default", "eeg", RIDGE, steps=5, share=0.1),
}


def trial_bytes(modality: Modality) -> int:
    return 4 * math.prod(SHAPES[modality])


def write_sparse(folder: Path, modality: Modality, trials: int) -> None:
    """Write a recordings folder by hand, with holes instead of most trials."""
    rng, shape = np.random.default_rng(0), SHAPES[modality]
    (folder / "signals").mkdir(parents=True)
    each = trials // len(PEOPLE)
    repeats, dense = (REPEATS, NOISE_EVERY) if trials > SMALL_TRIALS else (1, 1)
    tables, subjects = [], {}
    for number, subject in enumerate(PEOPLE):
        with (folder / "signals" / f"{subject}.npy").open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (each, *shape)}
            np.lib.format.write_array_header_1_0(file, header)
            start = file.tell()
            for row in range(0, each, dense):
                file.seek(start + row * trial_bytes(modality))
                file.write(rng.standard_normal(shape, np.float32).data)
            file.truncate(start + each * trial_bytes(modality))
        shown = np.arange(each) // repeats + (0 if repeats > 1 else number * each)
        table = pd.DataFrame(index=range(each), columns=list(TRIAL_COLUMNS))
        table["subject"], table["split"], table["array_row"] = subject, "train", np.arange(each)
        table["stimulus"] = [f"picture-{i}" for i in shown]
        table["run"] = (np.arange(each) // repeats % RUNS).astype(str)
        tables.append(table)
        subjects[subject] = SubjectInfo(
            trials=each, shape=shape, dtype="float32", sha256="not computed"
        )
    pd.concat(tables, ignore_index=True).to_parquet(folder / "trials.parquet")
    info = RecordingsInfo(
        modality=modality,
        axes=AXES[modality],
        units="au",
        channels=tuple(Channel(name=f"C{i}", type="misc") for i in range(shape[0])),
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
            {case.modality: recordings},
            random_pictures(recordings),
            fit_recipe(case.preset, **case.changes),
        )
    status = Path("/proc/self/status").read_text().split()
    return {
        "read_gb": len(recordings) * trial_bytes(case.modality) / 1e9,
        "peak_gb": int(status[status.index("VmHWM:") + 1]) * 1024 / 1e9,
        "steps": steps,
        "seconds": time.perf_counter() - start,
    }


def in_own_process(name: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--case", name, "--folder", str(folder)]
    # One thread: memory is the same, and threads that wait for each other slow a busy machine.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
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
    for name in [options.only] if options.only else CASES:
        modality = CASES[name].modality
        trials = int(options.gigabytes * 1e9 / trial_bytes(modality))
        with tempfile.TemporaryDirectory() as folder:
            small, large = Path(folder) / "small", Path(folder) / "large"
            write_sparse(small, modality, SMALL_TRIALS)
            write_sparse(large, modality, trials)
            model, training = in_own_process(name, small), in_own_process(name, large)
        rows[f"{name}, {modality}"] = {
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
