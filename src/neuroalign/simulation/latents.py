"""Latent picture features: what the simulated brains respond to, as a function of an embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError
from neuroalign.simulation.config import SimulationConfig

_SMALLEST_SD = 1e-5


@dataclass(frozen=True)
class LatentMap:
    """Picture embedding -> K latents: ``phi(v) = strength * saturate((v - mean) @ projection)``.

    Attributes
    ----------
    mean : ndarray of shape (d,)
    projection : ndarray of shape (d, K)
        Whitening: each column is a principal direction over its standard deviation.
    strength : ndarray of shape (K,)
        Mean square 1. Divided by the standard deviation of the saturated component, so that each
        latent has the variance strength^2 over the pictures it was fitted on.
    nonlinearity : float
        b of ``saturate(u) = tanh(b u)``; 0 is linear.
    """

    mean: npt.NDArray[np.float64]
    projection: npt.NDArray[np.float64]
    strength: npt.NDArray[np.float64]
    nonlinearity: float

    def __call__(self, vectors: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the latents, (n_pictures, K), of embeddings of shape (n_pictures, d)."""
        if vectors.ndim != 2 or vectors.shape[1] != len(self.mean):
            raise NeuroalignError(
                f"Pictures with embeddings of shape {vectors.shape} do not fit this simulation, "
                f"which was made from embeddings of {len(self.mean)} numbers. Give the pictures "
                "embedded with the same encoder."
            )
        components = (np.asarray(vectors, np.float64) - self.mean) @ self.projection
        return self.strength * _saturate(components, self.nonlinearity)


def fit_latents(vectors: npt.NDArray[Any], config: SimulationConfig) -> LatentMap:
    """Find the latents of a set of pictures: its leading principal components, whitened.

    Parameters
    ----------
    vectors : array of shape (n_pictures, d)
        Unit vectors.

    Raises
    ------
    NeuroalignError
        The embeddings vary in fewer than `config.latents` directions.
    """
    data = np.asarray(vectors, np.float64)
    mean = data.mean(axis=0)
    _, singular, directions = np.linalg.svd(data - mean, full_matrices=False)
    sd = singular / np.sqrt(len(data))
    rank = int((sd > _SMALLEST_SD).sum())
    if rank < config.latents:
        raise NeuroalignError(
            f"The embeddings of these {len(data)} pictures vary in {rank} directions only, but "
            f"{config.latents} latents were asked for. Give more pictures or lower `latents`."
        )
    sd, directions = sd[: config.latents], directions[: config.latents]
    # The sign of a singular vector is arbitrary; fixing it makes seeds mean the same everywhere.
    peak = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1)
    projection = (directions * np.sign(peak) / sd[:, None]).T
    weight = (sd / sd[0]) ** config.spectrum
    weight /= np.sqrt(np.mean(weight**2))
    spread = _saturate((data - mean) @ projection, config.nonlinearity).std(axis=0)
    return LatentMap(mean, projection, weight / spread, config.nonlinearity)


def _saturate(u: npt.NDArray[np.float64], b: float) -> npt.NDArray[np.float64]:
    return u if b == 0 else np.tanh(b * u)
