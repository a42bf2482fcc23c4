"""Small pictures and simulations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from neuroalign.recordings import Recordings
from neuroalign.retrieval import Embeddings
from neuroalign.simulation import SimulationConfig, simulate

SMALL = {
    "eeg": {"channels": 16, "sfreq": 25.0, "tmin": -0.04, "tmax": 0.4},
    "meg": {"channels": 20, "sfreq": 25.0, "tmin": -0.04, "tmax": 0.4},
    "fmri": {"voxels": (30, 60), "shared_components": 2},
}
COMMON = {"subjects": 2, "latents": 4, "test_pictures": 12}


@pytest.fixture(scope="session")
def small_config() -> Callable[..., SimulationConfig]:
    """Return a function that makes the config of a small simulation."""

    def make(modality: str, **changes: object) -> SimulationConfig:
        return SimulationConfig(**{"modality": modality, **COMMON, **SMALL[modality], **changes})

    return make


@pytest.fixture(scope="session")
def pictures() -> Embeddings:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60, 12)) * (1 + np.arange(12)) ** -0.5 + 0.3
    items = pd.DataFrame(
        {
            "kind": "picture",
            "stimulus": [f"picture-{i:03d}" for i in range(60)],
            "label": [f"class-{i % 5}" for i in range(60)],
            "subject": None,
        }
    )
    return Embeddings(vectors, items, "test-space")


@pytest.fixture(scope="session", params=["eeg", "meg", "fmri"])
def simulated(
    request: pytest.FixtureRequest,
    small_config: Callable[..., SimulationConfig],
    pictures: Embeddings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Recordings:
    folder = tmp_path_factory.mktemp("simulated") / request.param
    return simulate(small_config(request.param, snr=0.3), pictures, folder)
