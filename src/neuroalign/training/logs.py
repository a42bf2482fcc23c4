"""Training logs: a CSV table, and TensorBoard where it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from neuroalign.files import atomic_file


class EpochLog:
    """Write one row per epoch to `logs/<name>.csv` and `logs/tensorboard/<name>`.

    A resumed run continues the table that it finds.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / "logs" / f"{name}.csv"
        self.rows: list[dict[Any, Any]] = []
        if self.path.exists():
            self.rows = list(pd.read_csv(self.path).to_dict("records"))
        self._events = folder / "logs" / "tensorboard" / name
        self._board: Any = None

    def __call__(self, row: dict[str, float]) -> None:
        """Add an epoch; an epoch that a killed run had already written is replaced."""
        self.rows = [r for r in self.rows if r["epoch"] < row["epoch"]] + [row]
        with atomic_file(self.path) as partial:
            pd.DataFrame(self.rows).to_csv(partial, index=False)
        if self._board is None and find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(self._events)
        if self._board is not None:
            for key, value in row.items():
                if key != "epoch":
                    self._board.add_scalar(key, value, int(row["epoch"]))
            self._board.flush()
