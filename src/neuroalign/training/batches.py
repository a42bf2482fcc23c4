"""Batches of several people's trials, from memory when they fit and from disk when not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neuroalign.recordings.container import Recordings

#: Sets up to this size are kept in memory; larger ones are read batch by batch.
RESIDENT_BYTES = 2**30


@dataclass(frozen=True)
class Batch:
    """One process's part of a global batch.

    `x` maps each person to a tensor of that person's trials, in the order in which `subjects`
    names them; `target_rows` (n,) are rows of the target table. Trailing `padding` trials repeat
    earlier ones, so that every process holds equally many.
    """

    x: dict[str, Tensor]
    subjects: list[str]
    target_rows: Tensor
    padding: int = 0


class Batches:
    """Shuffled mixed-person batches; the order depends on seed and epoch alone.

    Parameters
    ----------
    recordings : Recordings
        The training view.
    target_rows : ndarray of shape (n_items,)
    batch_size : int
        Trials in a global batch, over all processes.
    seed : int
    rank, world : int
        This process and their number: process r takes items r, r + world, ... of a global batch.
    resident_bytes : int
        Keep the signals in memory if they are no larger.
    """

    def __init__(
        self,
        recordings: Recordings,
        target_rows: npt.NDArray[np.int64],
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        resident_bytes: int = RESIDENT_BYTES,
    ) -> None:
        self.recordings, self.target_rows = recordings, target_rows
        self.batch_size, self.seed, self.rank, self.world = batch_size, seed, rank, world
        names = recordings.trials["subject"].to_numpy()
        self._names = names
        counts = {s: int((names == s).sum()) for s in recordings.subjects}
        needed = sum(4 * n * math.prod(recordings.feature_shape(s)) for s, n in counts.items())
        self._kept: dict[str, npt.NDArray[np.float32]] | None = None
        if needed <= resident_bytes:
            self._kept = {s: recordings.select(subject=s).read() for s in counts}
            self._within = np.empty(len(names), np.int64)
            for s in counts:
                here = names == s
                self._within[here] = np.arange(counts[s])

    def __len__(self) -> int:
        return math.ceil(len(self.recordings) / self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of one epoch; the next one is read while the model computes."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.recordings))
        parts = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        with ThreadPoolExecutor(1) as reader:
            pending = reader.submit(self._load, parts[0])
            for following in [*parts[1:], None]:
                batch = pending.result()
                if following is not None:
                    pending = reader.submit(self._load, following)
                yield batch

    def _load(self, items: npt.NDArray[np.int64]) -> Batch:
        mine = items[self.rank :: self.world]
        size = math.ceil(len(items) / self.world)
        padding = size - len(mine)
        if padding:
            mine = np.concatenate([mine, np.resize(items, padding)])
        names = self._names[mine]
        x = {}
        for subject in dict.fromkeys(names):
            here = mine[names == subject]
            if self._kept is not None:
                # By NumPy, in one thread: torch would start a second team of threads here, which
                # gets in the way of the one that computes.
                x[subject] = torch.from_numpy(self._kept[subject][self._within[here]])
            else:
                x[subject] = torch.from_numpy(self.recordings.read(here))
        return Batch(x, list(names), torch.from_numpy(self.target_rows[mine]), padding)
