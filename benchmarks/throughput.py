"""Training throughput at the paper's sizes, beside a plain PyTorch loop and plain torch.mm.

Each modality's network of the preset `paper` is trained on random numbers of the shapes of
Ferrante et al. (2024), four people mixed, batch 256, in turn by neuroalign's `fit` and by the loop
that an experienced user of PyTorch would write (`DataLoader`, collated batches, AdamW). Both train
the same `NeuralModule` with the same loss on data that are in memory. Whole epochs are timed, the
first of each call left out. Exits with 1 if `fit` is clearly slower than the plain loop anywhere.

    python benchmarks/throughput.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from neuroalign.models.module import NeuralModule, shapes_of
from neuroalign.models.networks import count_parameters
from neuroalign.models.space import identity_space
from neuroalign.recipe import fit_recipe
from neuroalign.recordings import Recordings
from neuroalign.recordings.container import Modality
from neuroalign.recordings.schema import Channel, RecordingsInfo
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.retrieval import Embeddings
from neuroalign.training.fit import TrialSet, fit
from neuroalign.training.loss import contrastive_loss
from neuroalign.training.statistics import fit_standardisation

#: `fit` may be this much slower than the plain loop before it counts as a fault: two runs of one
#: and the same code differ by some percent on a busy machine.
LOWEST_RATIO = 0.9
PEOPLE = 4
DIM = 768  # the projected CLS of CLIP ViT-L/14
RECIPE = fit_recipe("paper")


@dataclass(frozen=True)
class Setting:
    """The shape of one trial, its axes, and how many trials there are of all people together."""

    axes: tuple[str, ...]
    shape: tuple[int, ...]
    trials: int


SETTINGS: dict[Modality, Setting] = {
    "eeg": Setting(("channels", "frequencies", "frames"), (128, 21, 23), 2048),
    "meg": Setting(("channels", "samples"), (272, 181), 2048),
    "fmri": Setting(("voxels",), (15_000,), 2048),
}


class PlainTrials(Dataset[tuple[Tensor, str, int]]):
    """All trials in one tensor, as in any tutorial."""

    def __init__(self, x: Tensor, subjects: list[str], rows: np.ndarray) -> None:
        self.x, self.subjects, self.rows = x, subjects, rows

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, item: int) -> tuple[Tensor, str, int]:
        return self.x[item], self.subjects[item], int(self.rows[item])


def plain_fit(
    module: NeuralModule, trials: PlainTrials, targets: np.ndarray, epochs: int
) -> list[float]:
    """Train without neuroalign's loop; return the seconds of each epoch."""
    settings = RECIPE.training
    goals = torch.from_numpy(targets)
    scale = torch.tensor(1.0 / settings.temperature)
    optimiser = torch.optim.AdamW(
        module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    loader = DataLoader(trials, batch_size=settings.batch_size, shuffle=True)
    module.train()
    seconds = []
    for _ in range(epochs):
        start = time.perf_counter()
        for x, subjects, rows in loader:
            optimiser.zero_grad()
            loss = contrastive_loss(module(x, list(subjects)), goals, rows, scale)
            loss.backward()
            optimiser.step()
        seconds.append(time.perf_counter() - start)
    module.eval()
    return seconds


def our_fit(
    module: NeuralModule, trials: TrialSet, targets: np.ndarray, epochs: int
) -> list[float]:
    """Train with `fit`; return the seconds of each epoch but the first, which holds the set-up."""
    ends: list[float] = []
    fabric = Fabric(accelerator="cpu", devices=1, precision=RECIPE.training.precision)
    fit(
        module,
        trials,
        None,
        targets,
        RECIPE.training,
        fabric=fabric,
        seed=0,
        epochs=epochs,
        log=lambda _: ends.append(time.perf_counter()),
    )
    return list(np.diff(ends))


def write_random(out: Path, modality: Modality, setting: Setting, pictures: Embeddings) -> TrialSet:
    rng = np.random.default_rng(0)
    channels = ()
    if setting.axes[0] == "channels":
        channels = tuple(Channel(name=f"C{i}", type="misc") for i in range(setting.shape[0]))
    info = RecordingsInfo(
        modality=modality, axes=setting.axes, units="au", channels=channels, simulated=True
    )
    names = pictures.items["stimulus"].to_numpy()
    each = setting.trials // PEOPLE
    with RecordingsWriter(out, info) as writer:
        for person in range(PEOPLE):
            signals = rng.standard_normal((each, *setting.shape), np.float32)
            table = pd.DataFrame({"stimulus": rng.choice(names, each), "split": "train"})
            writer.append(f"sub-{person + 1}", signals, table)
    recordings = Recordings(out)
    position = pd.Series(np.arange(len(names)), index=names)
    return TrialSet(recordings, recordings.trials["stimulus"].map(position).to_numpy(np.int64))


def random_pictures(n: int = 1000) -> Embeddings:
    vectors = np.random.default_rng(1).standard_normal((n, DIM), np.float32)
    stimuli = [f"picture-{i}" for i in range(n)]
    items = pd.DataFrame({"kind": "picture", "stimulus": stimuli, "label": None, "subject": None})
    return Embeddings(vectors, items, "random")


def count_flops(module: NeuralModule, trials: PlainTrials, targets: np.ndarray) -> float:
    """Count the operations of matrix products and convolutions, forward and back, of one trial."""
    chosen = np.linspace(0, len(trials) - 1, RECIPE.training.batch_size).astype(int)
    x, subjects = trials.x[torch.from_numpy(chosen)], [trials.subjects[i] for i in chosen]
    rows = torch.from_numpy(trials.rows[chosen])
    with FlopCounterMode(display=False) as counter:
        loss = contrastive_loss(
            module(x, subjects), torch.from_numpy(targets), rows, torch.tensor(1.0)
        )
        loss.backward()
    module.zero_grad()
    return counter.get_total_flops() / len(chosen)


def matrix_rate(size: int = 3072) -> float:
    """Return the float32 operations a second of one large matrix product."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    out = torch.mm(a, b)
    start = time.perf_counter()
    for _ in range(2):
        torch.mm(a, b, out=out)
    return 2 * 2 * size**3 / (time.perf_counter() - start)


def interleave(*measures: Callable[[], list[float]], rounds: int) -> list[float]:
    """Run measures in turn; return the best of each, which other work disturbed least."""
    values: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for kept, measure in zip(values, measures, strict=True):
            kept += measure()
    return [min(v) for v in values]


def measure(modality: Modality, setting: Setting, rounds: int, epochs: int) -> dict[str, float]:
    pictures = random_pictures()
    targets = pictures.vectors
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        trials = write_random(Path(folder) / modality, modality, setting, pictures)
        recordings = trials.recordings
        module = NeuralModule(
            RECIPE.architectures[modality],
            modality,
            setting.axes,
            shapes_of(recordings, recordings.subjects),
            identity_space(pictures),
        )
        fit_standardisation(module, recordings)
        plain = PlainTrials(
            torch.from_numpy(recordings.read()),
            list(recordings.trials["subject"]),
            trials.target_rows,
        )
        flops = count_flops(module, plain, targets)
        ours_s, plain_s, inverse_rate = interleave(
            lambda: our_fit(module, trials, targets, epochs),
            lambda: plain_fit(module, plain, targets, epochs)[1:],
            lambda: [1.0 / matrix_rate()],
            rounds=rounds,
        )
    ours, rate = len(recordings) / ours_s, 1.0 / inverse_rate
    return {
        "parameters": count_parameters(module),
        "trials/s, fit": ours,
        "trials/s, plain": len(recordings) / plain_s,
        "ratio": plain_s / ours_s,
        "MFLOP/trial": flops / 1e6,
        "GFLOP/s": ours * flops / 1e9,
        "mm GFLOP/s": rate / 1e9,
        "share of mm": ours * flops / rate,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modality", choices=list(SETTINGS), action="append")
    parser.add_argument("--rounds", type=int, default=3, help="times that each loop has its turn")
    parser.add_argument("--epochs", type=int, default=3, help="epochs a turn (first untimed)")
    options = parser.parse_args()
    rows = {
        m: measure(m, SETTINGS[m], options.rounds, options.epochs)
        for m in options.modality or SETTINGS
    }
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch 256, 4 people")
    print(pd.DataFrame(rows).T.to_string(float_format=lambda v: f"{v:,.2f}"))
    slow = [m for m, row in rows.items() if row["ratio"] < LOWEST_RATIO]
    if slow:
        print(f"FAILED: `fit` is slower than the plain loop for {', '.join(slow)}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
