"""What one metric scores with the true labels and with shuffled ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tally:
    """One metric under every labelling; the first is the truth.

    Parameters
    ----------
    sums, numbers : ndarray of shape (n_permutations + 1, n_classes)
        The sum over queries and how many there are, of each class that counts alike; else of all
        queries together (one class).
    ranks : ndarray of shape (n_permutations + 1, n_queries), float32, optional
        Every query's rank, where the score is their median: of medians there are no sums.
    """

    sums: Values
    numbers: Values
    ranks: npt.NDArray[np.float32] | None = None

    def scores(self) -> Values:
        """Return the mean over queries, over classes, or minus the median rank: higher is better.

        Returns
        -------
        ndarray of shape (n_permutations + 1,)
        """
        if self.ranks is not None:
            medians: Values = -np.median(self.ranks.astype(np.float64), axis=1)
            return medians
        mean = self.sums / np.maximum(self.numbers, 1)
        found: Values = mean.sum(axis=1) / np.maximum((self.numbers > 0).sum(axis=1), 1)
        return found
