"""The state of a training run: what is best so far, and what a killed run goes on from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from neuroalign.errors import NeuroalignError
from neuroalign.files import atomic_file


@dataclass
class FitResult:
    """What happened, epoch by epoch; epoch 0 is the model before any step."""

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0


class TrainingState:
    """Everything that a resumed run needs: weights, optimiser, best epoch."""

    def __init__(
        self,
        learner: nn.Module,
        optimiser: torch.optim.Optimizer,
        fabric: Fabric,
        identity: dict[str, Any],
    ) -> None:
        self.learner, self.optimiser, self.identity = learner, optimiser, identity
        self.device = fabric.device
        self.precision = fabric.strategy.precision  # holds the loss scale of 16-mixed
        self.best: dict[str, Tensor] = {}

    def remember(self, result: FitResult, row: dict[str, float]) -> None:
        """Add an epoch's row; keep the weights if they are the best so far (ties: the earlier)."""
        scores = [r["two_way"] for r in result.history if "two_way" in r]
        if "two_way" not in row or not scores or row["two_way"] > max(scores):
            result.best_epoch = int(row["epoch"])
            self.best = {k: v.clone() for k, v in self.learner.state_dict().items()}
        result.history.append(row)

    def restore_best(self) -> None:
        """Give the learner the weights of the best epoch."""
        if self.best:
            self.learner.load_state_dict(self.best)

    def save(self, path: Path, result: FitResult, epoch: int) -> None:
        """Write everything that going on after `epoch` needs, whole or not at all."""
        content = {
            "epoch": epoch,
            "learner": self.learner.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "precision": self.precision.state_dict(),
            "identity": self.identity,
            "best": self.best,
            "best_epoch": result.best_epoch,
            "history": result.history,
        }
        with atomic_file(path) as partial:
            torch.save(content, partial)

    def load(self, path: Path, result: FitResult) -> int:
        """Go back to what `save` wrote, and return its epoch.

        Raises
        ------
        NeuroalignError
            The file is damaged, or was written by a training with other settings.
        """
        try:
            content = torch.load(path, map_location=self.device, weights_only=True)
            found = content["identity"]
            differing = [k for k, v in self.identity.items() if found.get(k) != v]
            if not differing:
                self.learner.load_state_dict(content["learner"])
                self.optimiser.load_state_dict(content["optimiser"])
                self.precision.load_state_dict(content["precision"])
        except Exception as error:
            raise NeuroalignError(
                f"The checkpoint {path} cannot be resumed from ({error}). If the recipe changed "
                "since, train into another folder; if the file is damaged, delete it."
            ) from error
        if differing:
            raise NeuroalignError(
                f"The checkpoint {path} belongs to another training: {', '.join(differing)} "
                "changed since, and going on would mix the two. Train into another folder, or "
                "delete the checkpoint to start afresh."
            )
        self.best = content["best"]
        result.history[:] = content["history"]
        result.best_epoch = content["best_epoch"]
        return int(content["epoch"])
