"""One person of simulated EEG or MEG: sources, time courses and separable Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import toeplitz

from neuroalign.simulation.config import SimulationConfig
from neuroalign.simulation.sensors import Head, eeg_head, meg_head

Array = npt.NDArray[np.float64]
Signals = npt.NDArray[np.float32]

_EARLY = (0.09, 0.12)  # peak latencies, s
_LATE = (0.17, 0.38)
_EVOKED_LATENCIES = (0.1, 0.17, 0.3)
_EARLIEST = 0.05
_WIDEST = 0.06
_BACKGROUND_SOURCES = 400
_TURN = 0.3  # spread over people of a source's direction, per axis of a unit vector
_OUTERMOST = 0.8  # of the brain's radius: nearer dipoles would concern a single sensor


@dataclass(frozen=True)
class SensorPerson:
    """A person's known parameters.

    A trial with latents phi is, over channels and samples,
    ``evoked + patterns @ diag(phi + latent_noise * eta) @ courses + E`` with eta standard normal
    and ``cov(vec E) = space (x) time``.

    Attributes
    ----------
    patterns : ndarray of shape (n_channels, K)
    courses : ndarray of shape (K, n_samples)
    evoked : ndarray of shape (n_channels, n_samples)
    space : ndarray of shape (n_channels, n_channels)
        Covariance over channels, in squared units of the recordings.
    time : ndarray of shape (n_samples, n_samples)
        Correlation over samples.
    latent_noise : float
    """

    patterns: Array
    courses: Array
    evoked: Array
    space: Array
    time: Array
    latent_noise: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (n_channels, n_samples)."""
        return self.evoked.shape

    def respond(self, activations: Array) -> Signals:
        """Return noise-free trials, (n, channels, samples), for activations of shape (n, K)."""
        # A product per trial (not one large product) makes the result independent of how many
        # trials are computed at a time.
        weighted = self.patterns.astype(np.float32) * activations.astype(np.float32)[:, None, :]
        signals: Signals = weighted @ self.courses.astype(np.float32)
        signals += self.evoked.astype(np.float32)
        return signals

    def measurement_noise(self, n: int, rng: np.random.Generator) -> Signals:
        """Draw noise of shape (n, channels, samples) with the covariance space (x) time."""
        left = np.linalg.cholesky(self.space).astype(np.float32)
        right = np.linalg.cholesky(self.time).astype(np.float32)
        white = rng.standard_normal((n, *self.shape), np.float32)
        coloured: Signals = left @ (white @ right.T)
        return coloured

    def project(self, signals: npt.NDArray[np.float32]) -> Array:
        """Return B' S^-1 (x - evoked), (n, K): all that trials x tell about their latents."""
        over_channels = np.linalg.solve(self.space, self.patterns)
        over_time = np.linalg.solve(self.time, self.courses.T)
        reduced = np.matmul(signals, over_time) - self.evoked @ over_time
        return np.asarray(np.einsum("nck,ck->nk", reduced, over_channels))

    def information(self) -> Array:
        """Return B' S^-1 B, (K, K): the information about the latents in one trial."""
        over_channels: Array = self.patterns.T @ np.linalg.solve(self.space, self.patterns)
        over_time = self.courses @ np.linalg.solve(self.time, self.courses.T)
        return np.asarray(over_channels * over_time)


@dataclass(frozen=True)
class _Layout:
    """Where and when the sources of the latents (first K rows) and of the evoked response act."""

    places: Array
    moments: Array
    latencies: Array
    widths: Array


def sensor_people(config: SimulationConfig, stream: int) -> tuple[Head, list[SensorPerson]]:
    """Draw the people of an EEG or MEG simulation.

    `stream` tells the modalities apart: it decides the people, but not the layout of sources,
    which is that of mankind.
    """
    head = eeg_head(config.channels) if config.modality == "eeg" else meg_head(config.channels)
    group = np.random.default_rng([config.seed, 0])
    layout = _draw_layout(config, group)
    space = config.noise_sd**2 * _space_covariance(config, head, group)
    time = _time_covariance(config)
    people = [
        _draw(config, head, layout, space, time, np.random.default_rng([config.seed, stream, p, 1]))
        for p in range(config.subjects)
    ]
    return head, people


def _draw_layout(config: SimulationConfig, rng: np.random.Generator) -> _Layout:
    early = config.early_latents
    late = config.latents - early
    places = np.concatenate(
        [
            _places(rng, late, centre=(0.75, -0.35, -0.25)),  # ventral temporal
            _places(rng, early, centre=(0.25, -0.8, 0.1)),  # occipital
            _places(rng, len(_EVOKED_LATENCIES), centre=(0.5, -0.6, 0.0)),
        ]
    )
    latencies = np.concatenate(
        [np.linspace(*_LATE, late), np.linspace(*_EARLY, early), _EVOKED_LATENCIES]
    )
    widths = np.minimum(0.25 * latencies * rng.uniform(0.8, 1.2, len(latencies)), _WIDEST)
    return _Layout(places, _mostly_tangential(rng, places), latencies, widths)


def _draw(
    config: SimulationConfig,
    head: Head,
    layout: _Layout,
    space: Array,
    time: Array,
    rng: np.random.Generator,
) -> SensorPerson:
    jitter = config.location_jitter / head.radius * rng.standard_normal(layout.places.shape)
    turn = _TURN * rng.standard_normal(layout.moments.shape)
    delay = config.latency_jitter * rng.standard_normal(len(layout.latencies))
    gains = np.exp(config.person_spread * rng.standard_normal(len(layout.places)))
    strength = np.exp(config.person_spread * rng.standard_normal())

    fields = head.leadfield(_inside(layout.places + jitter), layout.moments + turn)
    # Every source is seen about equally well, so that no latent is lost to a deep dipole.
    fields *= gains / np.linalg.norm(fields, axis=0)
    latencies = np.maximum(layout.latencies + delay, _EARLIEST)
    courses = _courses(config.times, latencies, layout.widths)
    k, after = config.latents, config.times > 0
    patterns, common = fields[:, :k], fields[:, k:] @ courses[k:]
    # Over pictures the latents are uncorrelated with mean variance 1, so the power of the signal
    # is that of its rank-one parts, summed.
    power = np.mean(patterns**2 @ courses[:k, after] ** 2)
    scale = strength * np.sqrt(config.snr * config.noise_sd**2 / power)
    level = config.evoked * scale * np.sqrt(power / np.mean(common[:, after] ** 2))
    return SensorPerson(
        scale * patterns, courses[:k], level * common, space, time, config.latent_noise
    )


def _places(rng: np.random.Generator, n: int, centre: tuple[float, float, float]) -> Array:
    """Draw n places around `centre`, in either hemisphere in turn."""
    places = np.asarray(centre) + 0.15 * rng.standard_normal((n, 3))
    places[1::2, 0] *= -1
    return _inside(places)


def _inside(places: Array) -> Array:
    radius = np.linalg.norm(places, axis=1, keepdims=True)
    return np.asarray(places * np.minimum(1, _OUTERMOST / np.maximum(radius, 1e-9)))


def _mostly_tangential(rng: np.random.Generator, places: Array) -> Array:
    """Draw orientations; the radial part, to which MEG is blind, is made small."""
    outward = places / np.linalg.norm(places, axis=1, keepdims=True)
    moments = rng.standard_normal(places.shape)
    moments -= 0.6 * np.sum(moments * outward, axis=1, keepdims=True) * outward
    return np.asarray(moments / np.linalg.norm(moments, axis=1, keepdims=True))


def _courses(times: Array, latencies: Array, widths: Array) -> Array:
    """Return Gaussian windows, zero until onset, of unit peak: (n_sources, n_samples)."""
    distance = (times - latencies[:, None]) / widths[:, None]
    return np.where(times > 0, np.exp(-0.5 * distance**2), 0.0)


def _space_covariance(config: SimulationConfig, head: Head, rng: np.random.Generator) -> Array:
    """Background dipoles all over the brain plus independent sensors; mean variance 1."""
    directions = rng.standard_normal((_BACKGROUND_SOURCES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    depth = rng.uniform(0.3, _OUTERMOST, (_BACKGROUND_SOURCES, 1))
    moments = rng.standard_normal((_BACKGROUND_SOURCES, 3))
    field = head.leadfield(depth * directions, moments)
    brain = field @ field.T
    brain *= len(brain) / np.trace(brain)
    return config.brain_noise * brain + (1 - config.brain_noise) * np.eye(len(brain))


def _time_covariance(config: SimulationConfig) -> Array:
    """Return the correlation whose power spectrum is max(f, 1 Hz)^-exponent up to Nyquist."""
    frequencies = (np.arange(4096) + 0.5) / 4096 * config.sfreq / 2
    power = np.maximum(frequencies, 1.0) ** -config.noise_exponent
    lags = np.arange(len(config.times)) / config.sfreq
    correlation = np.cos(2 * np.pi * lags[:, None] * frequencies) @ (power / power.sum())
    return np.asarray(toeplitz(correlation))
