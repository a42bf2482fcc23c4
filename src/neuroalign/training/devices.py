"""Where training runs: one process or several, on CPU or GPUs."""

from __future__ import annotations

from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from neuroalign.errors import NeuroalignError

Accelerator = Literal["auto", "cpu", "gpu"]


def make_fabric(
    devices: int = 1, *, accelerator: Accelerator = "auto", precision: str = "32-true"
) -> Fabric:
    """Return the Fabric that training runs on; call its `launch()` before anything else.

    With several devices, `launch()` starts the current command again for each further process
    (or uses the processes that `torchrun` or a cluster has started), so it must come before
    anything that should happen once, and what follows must ask `fabric.is_global_zero`.

    Parameters
    ----------
    devices : int
        Processes: one per GPU, or CPU processes.
    accelerator : {"auto", "cpu", "gpu"}
        "auto" takes GPUs when there are any.
    precision : str
        Lightning's name, such as "32-true" or "bf16-mixed".

    Raises
    ------
    NeuroalignError
        `devices` is below 1, there are fewer GPUs, or the precision needs a GPU.
    """
    if devices < 1:
        raise NeuroalignError(f"`devices` has to be at least 1, got {devices}.")
    if accelerator not in ("auto", "cpu", "gpu"):
        raise NeuroalignError(f"`accelerator` has to be auto, cpu or gpu, got {accelerator!r}.")
    present = torch.cuda.device_count()
    on_gpu = accelerator == "gpu" or (accelerator == "auto" and present > 0)
    if on_gpu and devices > present:
        raise NeuroalignError(
            f"{devices} GPU(s) were asked for, but this machine has {present}. Ask for fewer "
            "devices, or set the accelerator to cpu to run that many processes on the CPU."
        )
    if not on_gpu and precision == "16-mixed":
        raise NeuroalignError(
            "precision 16-mixed needs a GPU, and training runs on the CPU here. Set `precision` "
            "to bf16-mixed or 32-true."
        )
    if devices == 1:
        return Fabric(accelerator="cuda" if on_gpu else "cpu", devices=1, precision=precision)  # type: ignore[arg-type]
    strategy = DDPStrategy(
        process_group_backend="nccl" if on_gpu else "gloo",
        # A batch need not hold trials of each person on each process: the alignment layers of
        # those who are absent get no gradient there.
        find_unused_parameters=True,
    )
    return Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        devices=devices,
        strategy=strategy,
        precision=precision,  # type: ignore[arg-type]
    )
