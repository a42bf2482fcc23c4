"""Multivariate noise normalisation: channels made equally noisy, and independent in their noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError

Floats = npt.NDArray[np.float64]
_SMALLEST = 1e-10


class NoiseCovariance:
    """Collects the covariance of what differs between repeats of the same condition.

    Feed it training trials only. Repeats of a condition differ in noise alone, so the deviations
    from their mean are noise; their covariance over channels is pooled over conditions, repeats
    and samples, and shrunk towards a multiple of the identity as far as Ledoit and Wolf (2004)
    find best.

    References
    ----------
    Guggenmos, Sterzer, Cichy (2018), Multivariate pattern analysis for MEG: a comparison of
    dissimilarity measures, NeuroImage 173.
    """

    def __init__(self) -> None:
        self._products: Floats | None = None
        self._fourth = 0.0
        self._count = 0
        self._freedom = 0

    def add(self, trials: npt.ArrayLike, conditions: npt.ArrayLike) -> None:
        """Add trials.

        Parameters
        ----------
        trials : array of shape (n_trials, channels, samples)
        conditions : array of shape (n_trials,)
            Trials of one call that share a condition are repeats of it; give all repeats of a
            condition in one call where that is possible (those in other calls are taken for
            another condition, which loses degrees of freedom but is not wrong).
        """
        data = np.asarray(trials, np.float64)
        _, which, counts = np.unique(
            np.asarray(conditions), return_inverse=True, return_counts=True
        )
        means = np.zeros((len(counts), *data.shape[1:]))
        np.add.at(means, which, data)
        means /= counts[:, None, None]
        noise = (data - means[which])[counts[which] > 1]
        flat = np.moveaxis(noise, 1, 0).reshape(data.shape[1], -1)
        products = flat @ flat.T
        self._products = products if self._products is None else self._products + products
        self._fourth += float(((flat**2).sum(axis=0) ** 2).sum())
        self._count += flat.shape[1]
        self._freedom += int((counts - 1).sum()) * data.shape[2]

    def whitening(self) -> Floats:
        """Return the symmetric matrix W, shape (channels, channels): W @ trial is whitened.

        Raises
        ------
        NeuroalignError
            No condition was repeated, or a channel is a sum of others.
        """
        if self._products is None or self._freedom == 0:
            raise NeuroalignError(
                "No condition was shown twice, so noise cannot be told from signal. Leave noise "
                "normalisation out."
            )
        values, vectors = np.linalg.eigh(self._shrunk())
        if values[0] <= _SMALLEST * values[-1]:
            raise NeuroalignError(
                f"The noise of {len(values)} channels has no more than "
                f"{int((values > _SMALLEST * values[-1]).sum())} dimensions: a channel is constant "
                "or a sum of others, so noise cannot be normalised. Leave it out."
            )
        return np.asarray((vectors / np.sqrt(values)) @ vectors.T, np.float64)

    def _shrunk(self) -> Floats:
        assert self._products is not None
        n, width = self._count, len(self._products)
        raw = self._products / n
        mean = float(np.trace(raw)) / width
        spread = float((raw**2).sum()) / width - mean**2
        error = (self._fourth / n - float((raw**2).sum())) / (width * n)
        share = 0.0 if spread <= 0 else min(error, spread) / spread
        shrunk = (1 - share) * raw + share * mean * np.eye(width)
        return np.asarray(shrunk * n / self._freedom, np.float64)
