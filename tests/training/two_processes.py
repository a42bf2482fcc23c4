"""Compute losses, gradients and a short fit on as many processes as asked: `OUT DEVICES`.

Started by `test_two_processes.py`; with two devices it starts itself again, as the command
line does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from small_runs import make_pictures, settings, write_fmri

from neuroalign.models.module import Architecture, NeuralModule, shapes_of
from neuroalign.models.space import CommonSpace, identity_space
from neuroalign.recordings import Recordings
from neuroalign.training.batches import Batches
from neuroalign.training.devices import make_fabric
from neuroalign.training.fit import TrialSet, _Learner, fit, global_loss
from neuroalign.training.statistics import fit_standardisation

BATCH = 7  # odd, and 40 = 5 * 7 + 5: no batch divides evenly
PICTURES = make_pictures(20)
GOALS = torch.from_numpy(PICTURES.vectors)


def trials_of(folder: Path) -> TrialSet:
    """People so rare that most batches hold them on one process, or not at all."""
    recordings = Recordings(folder)
    names = recordings.trials["subject"]
    rare = (names == "cleo") & (recordings.trials.groupby("subject").cumcount() >= 3)
    view = recordings.take((~rare).to_numpy())
    return TrialSet(view, view.trials["stimulus"].str[1:].astype(int).to_numpy())


def write_data(folder: Path) -> None:
    write_fmri(folder, PICTURES, widths={"anna": 5, "ben": 4, "cleo": 6}, repeats=1)


def new_module(trials: TrialSet) -> NeuralModule:
    torch.manual_seed(0)
    space: CommonSpace = identity_space(PICTURES)
    shapes = shapes_of(trials.recordings, trials.recordings.subjects)
    architecture = Architecture(hidden=8, depth=1)
    module = NeuralModule(architecture, "fmri", ("voxels",), shapes, space)
    fit_standardisation(module, trials.recordings)
    for parameter in module.parameters():
        if not parameter.any():
            parameter.data.normal_(std=0.3)
    return module


def gradients(fabric: Fabric, trials: TrialSet) -> list[dict[str, Any]]:
    """Return loss and gradients of each batch of an epoch, in float64."""
    learner = _Learner(new_module(trials), temperature=0.3, learn=True)
    wrapped = fabric.setup_module(learner.double())
    batches = Batches(
        trials.recordings,
        trials.target_rows,
        batch_size=BATCH,
        seed=0,
        rank=fabric.global_rank,
        world=fabric.world_size,
    )
    out = []
    for batch in batches.epoch(1):
        learner.zero_grad()
        torch.set_default_dtype(torch.float64)  # what Fabric returns the outputs in
        z, scale = wrapped(batch.x, batch.subjects)
        torch.set_default_dtype(torch.float32)
        loss = global_loss(fabric, z, scale, batch, GOALS.double())
        fabric.backward(loss)
        found = {
            n: None if p.grad is None else p.grad.clone() for n, p in learner.named_parameters()
        }
        out.append({"loss": loss.item(), "gradients": found})
    return out


def short_fit(fabric: Fabric, trials: TrialSet, checkpoint: Path) -> dict[str, Any]:
    module = new_module(trials)
    rows: list[dict[str, float]] = []
    result = fit(
        module,
        trials,
        trials,
        GOALS.numpy(),
        settings(batch_size=BATCH, epochs=2, clip=0.5, learning_rate=1e-3),
        fabric=fabric,
        seed=3,
        epochs=2,
        checkpoint=checkpoint,
        log=rows.append,
    )
    return {"history": result.history, "weights": module.state_dict(), "logged": rows}


def run(out: Path, devices: int) -> None:
    double = make_fabric(devices, accelerator="cpu", precision="64-true")
    double.launch()
    single = make_fabric(devices, accelerator="cpu")
    single.launch()  # finds the processes that are there
    trials = trials_of(out / "data")
    content = {
        "world": double.world_size,
        "gradients": gradients(double, trials),
        "fit": short_fit(single, trials, out / f"{devices}.pt"),
    }
    # one file a process: that every process has the same is part of what is tested
    torch.save(content, out / f"result-{devices}-{double.global_rank}.pt")


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]))
