from __future__ import annotations

import numpy as np
import pytest

from neuroalign.errors import NeuroalignError
from neuroalign.simulation.sensors import eeg_head, meg_head


def sarvas(place, moment, sensor):
    """The magnetic field of a dipole in a conducting sphere (Sarvas 1987, equation 25), T."""
    difference = sensor - place
    a, r = np.linalg.norm(difference), np.linalg.norm(sensor)
    f = a * (r * a + r**2 - place @ sensor)
    gradient = (a**2 / r + difference @ sensor / a + 2 * a + 2 * r) * sensor
    gradient -= (a + 2 * r + difference @ sensor / a) * place
    cross = np.cross(moment, place)
    return 1e-7 * (f * cross - (cross @ sensor) * gradient) / f**2


def test_meg_forward_model_equals_sarvas_formula():
    head = meg_head(30)
    rng = np.random.default_rng(0)
    places = rng.uniform(-0.4, 0.4, (6, 3))
    moments = rng.standard_normal((6, 3))
    found = head.leadfield(places, moments)
    for channel, row in zip(head.channels, found, strict=True):
        sensor = np.array(channel.position)
        normal = sensor / np.linalg.norm(sensor)
        # Axial gradiometer: the inner coil minus the outer one, 50 mm further out.
        expected = [
            (
                sarvas(p * head.radius, m, sensor)
                - sarvas(p * head.radius, m, sensor + 0.05 * normal)
            )
            @ normal
            for p, m in zip(places, moments, strict=True)
        ]
        # MNE averages over coils of 18 mm across; the formula is for points.
        np.testing.assert_allclose(row, expected, rtol=0.05, atol=0.02 * np.abs(found).max())


def test_meg_is_blind_to_radial_sources_and_eeg_is_not():
    outward = np.array([[0.1, 0.2, 0.7]])
    across = np.cross(outward, [[1.0, 0, 0]])
    meg, eeg = meg_head(20), eeg_head(32)
    assert np.ptp(meg.leadfield(outward, outward)) < 1e-6 * np.ptp(meg.leadfield(outward, across))
    field = eeg.leadfield(outward, outward)[:, 0]
    positions = np.array([c.position for c in eeg.channels]) - eeg.centre
    cosines = positions @ outward[0] / np.linalg.norm(positions, axis=1)
    assert field.argmax() == cosines.argmax(), "an outward dipole is positive above itself"
    assert field.max() > 0 > field.min()


def test_the_helmet_covers_the_head_evenly():
    positions = np.array([c.position for c in meg_head(272).channels])
    assert len({c.name for c in meg_head(272).channels}) == 272
    np.testing.assert_allclose(np.linalg.norm(positions, axis=1), 0.11)
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.min(axis=1)
    assert nearest.max() < 2 * nearest.min()
    assert positions[:, 2].min() > -0.08, "open below"


def test_a_source_outside_the_brain_is_refused():
    with pytest.raises(NeuroalignError, match="outside"):
        meg_head(5).leadfield(np.array([[0.0, 0, 1.2], [0, 0, 0.5]]), np.eye(3)[:2])
