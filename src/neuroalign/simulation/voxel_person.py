"""One person of simulated fMRI: tuned voxels and noise with a shared part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.stats import beta

from neuroalign.simulation.config import SimulationConfig

Array = npt.NDArray[np.float64]
Signals = npt.NDArray[np.float32]

_FILLING = 0.2  # of the volume that the voxels take up
_SMOOTHNESS = 1.5  # voxels: neighbours have similar tuning
VOXEL_SIZE_MM = 3.0


@dataclass(frozen=True)
class VoxelPerson:
    """A person's known parameters.

    A trial with latents phi is ``tuning @ (phi + latent_noise * eta) + shared @ z + noise_sd * e``
    with eta, z and e standard normal.

    Attributes
    ----------
    tuning : ndarray of shape (n_voxels, K)
    noise_sd : ndarray of shape (n_voxels,)
    shared : ndarray of shape (n_voxels, n_components)
    latent_noise : float
    voxel_index : ndarray of shape (n_voxels,), int64
        C-order flat indices into the volume.
    volume_shape : ndarray of shape (3,), int64
    """

    tuning: Array
    noise_sd: Array
    shared: Array
    latent_noise: float
    voxel_index: npt.NDArray[np.int64]
    volume_shape: npt.NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (n_voxels,)."""
        return self.noise_sd.shape

    @property
    def noise_ceiling(self) -> Array:
        """Return the share of each voxel's single-trial variance that the picture decides."""
        signal = np.sum(self.tuning**2, axis=1)
        noise = self.noise_sd**2 + np.sum(self.shared**2, axis=1)
        return np.asarray(signal / (signal * (1 + self.latent_noise**2) + noise))

    def respond(self, activations: Array) -> Signals:
        """Return noise-free trials, (n, voxels), for activations of shape (n, K)."""
        # A product per trial makes the result independent of how many are computed at a time.
        columns = activations.astype(np.float32)[:, :, None]
        signals: Signals = np.matmul(self.tuning.astype(np.float32), columns)[:, :, 0]
        return signals

    def measurement_noise(self, n: int, rng: np.random.Generator) -> Signals:
        """Draw noise of shape (n, voxels) with the covariance shared @ shared' + diag(sd^2)."""
        white = rng.standard_normal((n, len(self.noise_sd) + self.shared.shape[1]), np.float32)
        own, common = np.split(white, [len(self.noise_sd)], axis=1)
        together: Signals = np.matmul(self.shared.astype(np.float32), common[:, :, None])[:, :, 0]
        together += own * self.noise_sd.astype(np.float32)
        return together

    def project(self, signals: npt.NDArray[np.float32]) -> Array:
        """Return B' S^-1 x, (n, K): all that trials x tell about their latents."""
        return np.asarray(signals @ self._weighted_tuning())

    def information(self) -> Array:
        """Return B' S^-1 B, (K, K): the information about the latents in one trial."""
        return self.tuning.T @ self._weighted_tuning()

    def _weighted_tuning(self) -> Array:
        # S^-1 B by the Woodbury identity, as S is diagonal plus low rank.
        weights = 1 / self.noise_sd[:, None] ** 2
        tuning, shared = weights * self.tuning, weights * self.shared
        core = np.eye(self.shared.shape[1]) + self.shared.T @ shared
        return tuning - shared @ np.linalg.solve(core, self.shared.T @ tuning)


def voxel_people(config: SimulationConfig, stream: int) -> list[VoxelPerson]:
    """Draw the people of an fMRI simulation."""
    return [
        _draw(config, np.random.default_rng([config.seed, stream, person, 1]))
        for person in range(config.subjects)
    ]


def _draw(config: SimulationConfig, rng: np.random.Generator) -> VoxelPerson:
    n_voxels = int(rng.integers(config.voxels[0], config.voxels[1] + 1))
    shape, index = _blob(rng, n_voxels)
    tuning = _fields(rng, config.latents, shape, index)
    tuning /= np.linalg.norm(tuning, axis=1, keepdims=True)
    # Strength by rank of a smooth field: informative voxels cluster, yet their distribution is
    # exactly the one stated.
    order = _fields(rng, 1, shape, index)[:, 0].argsort().argsort()
    quantile = ((order + 0.5) / n_voxels - config.silent_voxels) / (1 - config.silent_voxels)
    variance = np.where(quantile > 0, beta.ppf(np.clip(quantile, 0, 1), *config.ceiling_shape), 0)
    strength = np.exp(config.person_spread * rng.standard_normal())
    variance *= config.snr * config.noise_sd**2 / max(variance.mean(), 1e-12)
    shared = _fields(rng, config.shared_components, shape, index)
    shared /= np.linalg.norm(shared, axis=1, keepdims=True)
    return VoxelPerson(
        tuning=strength * np.sqrt(variance)[:, None] * tuning,
        noise_sd=np.full(n_voxels, config.noise_sd * np.sqrt(1 - config.shared_noise)),
        shared=config.noise_sd * np.sqrt(config.shared_noise) * shared,
        latent_noise=config.latent_noise,
        voxel_index=index,
        volume_shape=np.asarray(shape),
    )


def _blob(
    rng: np.random.Generator, n_voxels: int
) -> tuple[tuple[int, int, int], npt.NDArray[np.int64]]:
    """Return a volume and the indices of a connected region in it, irregular as cortex is."""
    side = max(4, int(np.ceil((n_voxels / _FILLING / 1.2) ** (1 / 3))))
    shape = (side, int(np.ceil(1.2 * side)), side)
    axes = np.meshgrid(*(np.linspace(-1, 1, s) for s in shape), indexing="ij")
    distance = np.sqrt(sum(a**2 for a in axes))
    ragged = gaussian_filter(rng.standard_normal(shape), 2.0)
    distance += 0.1 * ragged / ragged.std()
    return shape, np.sort(np.argsort(distance, axis=None)[:n_voxels])


def _fields(
    rng: np.random.Generator, n: int, shape: tuple[int, int, int], index: npt.NDArray[np.int64]
) -> Array:
    """Draw n smooth random fields over the volume, at the voxels: (n_voxels, n)."""
    fields = gaussian_filter(rng.standard_normal((n, *shape)), (0, *[_SMOOTHNESS] * 3))
    return np.asarray(fields.reshape(n, -1)[:, index].T / fields.std())
