"""The fit loop, on Lightning Fabric: one process or several, resumable after a kill."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from neuroalign.errors import NeuroalignError
from neuroalign.models.module import NeuralModule
from neuroalign.progress import bar
from neuroalign.recipe import TrainingRecipe
from neuroalign.recordings.container import Recordings
from neuroalign.training.batches import Batch, Batches
from neuroalign.training.component_weights import two_way
from neuroalign.training.loss import contrastive_loss
from neuroalign.training.state import FitResult, TrainingState


@dataclass(frozen=True)
class TrialSet:
    """A view of recordings with the target row of each item."""

    recordings: Recordings
    target_rows: npt.NDArray[np.int64]


class _Learner(nn.Module):
    """A neural module with the temperature that is learnt beside it."""

    def __init__(self, module: NeuralModule, temperature: float, learn: bool) -> None:
        super().__init__()
        self.module = module
        self.log_scale = nn.Parameter(
            torch.tensor(-float(np.log(temperature))), requires_grad=learn
        )

    def forward(self, x: dict[str, Tensor], subjects: list[str]) -> tuple[Tensor, Tensor]:
        # As in CLIP, 1 / tau is capped at 100: beyond it the loss only sharpens what it has.
        return self.module(x, subjects), self.log_scale.clamp(max=float(np.log(100.0))).exp()


def fit(
    module: NeuralModule,
    training: TrialSet,
    validation: TrialSet | None,
    targets: npt.NDArray[np.float32],
    settings: TrainingRecipe,
    *,
    fabric: Fabric,
    seed: int,
    epochs: int,
    checkpoint: Path | None = None,
    log: Callable[[dict[str, float]], None] | None = None,
    description: str = "training",
) -> FitResult:
    """Train a module in place and leave the best epoch's weights in it.

    Parameters
    ----------
    module : NeuralModule
        Already standardised, and started from ridge if the recipe says so.
    training : TrialSet
    validation : TrialSet, optional
        The epoch with the best validation 2-way is kept, epoch 0 (no training) included; without
        it, the last epoch is.
    targets : ndarray of shape (n_targets, dim), unit vectors in the common space
    settings : TrainingRecipe
    fabric : Fabric
        Already launched.
    seed : int
        Fixes the order of trials and dropout.
    epochs : int
    checkpoint : Path, optional
        Written after every epoch; if it is there, training goes on from it with the numbers an
        uninterrupted run would have had.
    log : callable, optional
        Receives each epoch's row.

    Raises
    ------
    NeuroalignError
        Training diverges, or the checkpoint is damaged or of another training.
    """
    learner = _Learner(module, settings.temperature, settings.learn_temperature)
    trainable = [p for p in learner.parameters() if p.requires_grad]
    result = FitResult()
    if not trainable or epochs == 0:
        return result
    optimiser: torch.optim.Optimizer = torch.optim.AdamW(
        trainable,
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        # One pass over the weights instead of eight, which is most of a step where alignment
        # layers are wide. With 16-mixed it would unscale gradients itself, too late to clip them.
        fused=settings.precision != "16-mixed",
    )
    state = TrainingState(
        learner, optimiser, fabric, _identity(settings, seed, epochs, targets, training)
    )
    wrapped, wrapped_optimiser = fabric.setup(learner, optimiser)
    goals = torch.from_numpy(targets).to(fabric.device)
    batches = Batches(
        training.recordings,
        training.target_rows,
        batch_size=settings.batch_size,
        seed=seed,
        rank=fabric.global_rank,
        world=fabric.world_size,
    )
    start = 1
    if checkpoint is not None and checkpoint.exists():
        start = state.load(checkpoint, result) + 1
    elif validation is not None:
        row = {"epoch": 0.0, "loss": float("nan"), "two_way": _two_way(module, validation, goals)}
        state.remember(result, row)
        if log is not None and fabric.is_global_zero:
            log(row)
    with bar((epochs - start + 1) * len(batches), description) as advance:
        for epoch in range(start, epochs + 1):
            if _patience_is_over(result, epoch, settings.patience):
                break
            torch.manual_seed(seed * 100_003 + epoch)  # dropout after a resume as without one
            learner.train()
            losses = []
            for batch in batches.epoch(epoch):
                loss = _step(fabric, wrapped, wrapped_optimiser, batch, goals, settings)
                losses.append(loss)
                advance(1)
            row = {"epoch": float(epoch), "loss": float(torch.stack(losses).mean())}
            if not np.isfinite(row["loss"]):
                raise _diverged(f"the loss became {row['loss']}", epoch, description)
            if not all(p.isfinite().all() for p in trainable):  # by the epoch's last step
                raise _diverged("weights became NaN or infinite", epoch, description)
            if validation is not None:
                try:
                    row["two_way"] = _two_way(module, validation, goals)
                except NeuroalignError as error:  # before training, the same could be embedded
                    raise _diverged(f"validation failed ({error})", epoch, description) from error
            state.remember(result, row)
            if log is not None and fabric.is_global_zero:
                log(row)
            if checkpoint is not None and fabric.is_global_zero:
                state.save(checkpoint, result, epoch)
            fabric.barrier()
    state.restore_best()
    module.eval()
    return result


def _step(
    fabric: Fabric,
    learner: Any,
    optimiser: Any,
    batch: Batch,
    goals: Tensor,
    settings: TrainingRecipe,
) -> Tensor:
    optimiser.zero_grad()
    x = {s: t.to(fabric.device, non_blocking=True) for s, t in batch.x.items()}
    z, scale = learner(x, batch.subjects)
    loss = global_loss(fabric, z.float(), scale, batch, goals)
    fabric.backward(loss)
    if settings.clip is not None:
        fabric.clip_gradients(learner, optimiser, max_norm=settings.clip, error_if_nonfinite=False)
    optimiser.step()
    return loss.detach()


def global_loss(
    fabric: Fabric,
    z: Tensor,
    scale: Tensor,
    batch: Batch,
    goals: Tensor,
) -> Tensor:
    """Return the loss of the global batch, with gradients to this process's embeddings.

    Each process computes the whole loss, and parameters get the gradient that one process would
    compute on the same batch (see `_Gather`).
    """
    rows = batch.target_rows.to(z.device)
    keep = torch.ones(len(z), dtype=torch.bool, device=z.device)
    if batch.padding:
        keep[-batch.padding :] = False
    if fabric.world_size > 1:
        z = _Gather.apply(z)  # type: ignore[no-untyped-call]
        rows, keep = _gather(rows), _gather(keep)
    z, rows = z[keep], rows[keep]
    return contrastive_loss(z, goals, rows, scale)


def _gather(x: Tensor) -> Tensor:
    """Join the processes' tensors, in the order of their ranks."""
    parts = [torch.empty_like(x) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, x.contiguous())
    return torch.cat(parts)


class _Gather(torch.autograd.Function):
    """Join the processes' embeddings; the gradient of each part goes to the process it is from.

    All processes compute the same loss of all embeddings, so each already holds the gradient of
    its own part and nothing has to be sent. DistributedDataParallel then averages the parameters'
    gradients over processes where their sum is wanted: hence the factor.
    """

    @staticmethod
    def forward(_: Any, z: Tensor) -> Tensor:
        return _gather(z)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        world, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
        return gradient.chunk(world)[rank] * world


@torch.no_grad()
def _two_way(module: NeuralModule, trials: TrialSet, goals: Tensor) -> float:
    """Return the validation score: the share of other validation targets below the right one."""
    vectors = module.embed(trials.recordings).vectors
    return two_way(vectors, goals.cpu().numpy().astype(np.float64), trials.target_rows)


def _patience_is_over(result: FitResult, epoch: int, patience: int | None) -> bool:
    return patience is not None and epoch - result.best_epoch > patience


def _identity(
    settings: TrainingRecipe,
    seed: int,
    epochs: int,
    targets: npt.NDArray[np.float32],
    training: TrialSet,
) -> dict[str, Any]:
    """Describe a training; a checkpoint is resumed only by the training that wrote it."""
    # Not the targets' values: with another number of threads their last bits may differ.
    trials = hashlib.sha256(training.target_rows.tobytes()).hexdigest()
    stated: dict[str, Any] = settings.model_dump(mode="json")
    return stated | {"seed": seed, "epochs": epochs, "trials": trials, "space": [*targets.shape]}


def _diverged(found: str, epoch: int, what: str) -> NeuroalignError:
    return NeuroalignError(
        f"{what}: {found} in epoch {epoch}, so training has diverged. Train into another folder "
        "with a lower `learning_rate`, with `clip: 1.0`, or with `precision: 32-true`."
    )
