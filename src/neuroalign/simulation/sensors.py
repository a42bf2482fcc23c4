"""Sensors around a spherical head, and how dipoles in it reach them (MNE's forward model)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mne
import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.container import Channel

Array = npt.NDArray[np.float64]
_MEG_HEAD_RADIUS = 0.09
_MEG_HELMET_RADIUS = 0.11


@dataclass(frozen=True)
class Head:
    """Sensors and a conductor.

    Attributes
    ----------
    info : mne.Info
        The sensors.
    sphere : mne.bem.ConductorModel
    centre : ndarray of shape (3,)
        Of the sphere, head coordinates (x right, y front, z up), m.
    radius : float
        Of the brain, m.
    """

    info: Any
    sphere: Any
    centre: Array
    radius: float

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Return the sensors with their positions in m."""
        kinds = self.info.get_channel_types()
        return tuple(
            Channel(name=c["ch_name"], type=kind, position=(float(x), float(y), float(z)))
            for c, kind in zip(self.info["chs"], kinds, strict=True)
            for x, y, z in [c["loc"][:3]]
        )

    def leadfield(self, positions: Array, moments: Array) -> Array:
        """Return what the sensors measure of each dipole, (n_channels, n_dipoles).

        Parameters
        ----------
        positions : ndarray of shape (n_dipoles, 3)
            Relative to the centre, in units of the brain's radius; length below 0.95.
        moments : ndarray of shape (n_dipoles, 3)
            Orientation times strength.
        """
        places = self.centre + self.radius * positions
        grid = {"rr": places, "nn": np.tile([0.0, 0.0, 1.0], (len(places), 1))}
        source = mne.setup_volume_source_space(pos=grid, sphere=self.sphere, verbose="ERROR")
        forward = mne.make_forward_solution(
            self.info, trans=None, src=source, bem=self.sphere, mindist=0, verbose="ERROR"
        )
        gains = forward["sol"]["data"]
        if gains.shape[1] != 3 * len(places):
            raise NeuroalignError("A simulated source lies outside the simulated brain.")
        return np.asarray(np.einsum("cdi,di->cd", gains.reshape(len(gains), -1, 3), moments))


def eeg_head(channels: int) -> Head:
    """Return a head of four shells under a BioSemi cap; potentials against infinity."""
    montage = mne.channels.make_standard_montage(f"biosemi{channels}")
    info = mne.create_info(montage.ch_names, 1000.0, "eeg", verbose="ERROR")
    info.set_montage(montage, verbose="ERROR")
    sphere = mne.make_sphere_model("auto", "auto", info, verbose="ERROR")
    return Head(info, sphere, np.asarray(sphere["r0"]), float(sphere["layers"][0]["rad"]))


def meg_head(channels: int) -> Head:
    """Return a head in a helmet of radial axial gradiometers (50 mm baseline, as CTF builds).

    The sensors lie evenly (Fibonacci lattice) on the part of a sphere above and behind the face.
    """
    normals = _helmet(channels)
    names = [f"MEG{i + 1:03d}" for i in range(channels)]
    info = mne.create_info(names, 1000.0, "mag", verbose="ERROR")
    for channel, normal in zip(info["chs"], normals, strict=True):
        across = np.cross(normal, [0.0, 1.0, 0.0] if abs(normal[1]) < 0.9 else [1.0, 0.0, 0.0])
        across /= np.linalg.norm(across)
        place = _MEG_HELMET_RADIUS * normal
        channel["loc"] = np.concatenate([place, across, np.cross(normal, across), normal])
        channel["coil_type"] = mne.io.constants.FIFF.FIFFV_COIL_CTF_GRAD
    with info._unlock():
        info["dev_head_t"] = mne.transforms.Transform("meg", "head", np.eye(4))
    sphere = mne.make_sphere_model((0.0, 0.0, 0.0), _MEG_HEAD_RADIUS, verbose="ERROR")
    return Head(info, sphere, np.zeros(3), float(sphere["layers"][0]["rad"]))


def _helmet(n: int) -> Array:
    """Return n unit vectors, even over the sphere without its bottom and the lower face."""
    total = n
    while True:
        z = 1 - (np.arange(total) + 0.5) * 2 / total
        angle = np.pi * (1 + np.sqrt(5)) * np.arange(total)
        ring = np.sqrt(1 - z**2)
        points = np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)
        # A plane that cuts lower at the back than at the forehead.
        height = points[:, 2] - 0.35 * points[:, 1]
        inside = points[height > -0.35]
        if len(inside) >= n:
            return inside[:n]
        total += 1
