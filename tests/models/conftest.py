"""Small modules and recordings of random numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from neuroalign.models.module import Architecture, NeuralModule
from neuroalign.models.space import CommonSpace
from neuroalign.recordings import Recordings
from neuroalign.recordings.schema import RecordingsInfo
from neuroalign.recordings.writer import write_recordings
from neuroalign.retrieval import Embeddings

AXES = {
    1: ("voxels",),
    2: ("channels", "samples"),
    3: ("channels", "frequencies", "frames"),
}


@pytest.fixture(scope="session")
def space() -> CommonSpace:
    return CommonSpace("test-encoder", np.zeros(6, np.float32))


@pytest.fixture(scope="session")
def make_module(space: CommonSpace) -> Callable[..., NeuralModule]:
    """Return a function that builds a module; statistics and zero weights are set at random."""

    def make(
        shapes: dict[str, tuple[int, ...]], modality: str = "fmri", seed: int = 0, **fields: object
    ) -> NeuralModule:
        torch.manual_seed(seed)
        axes = AXES[len(next(iter(shapes.values())))]
        architecture = Architecture(**{"hidden": 8, **fields})
        module = NeuralModule(architecture, modality, axes, shapes, space)
        for name, buffer in module.named_buffers():
            buffer.normal_() if name.endswith("mean") else buffer.uniform_(0.5, 2.0)
        for parameter in module.parameters():
            if not parameter.any():  # biases and last layers that start at zero
                parameter.data.normal_(std=0.3)
        return module.eval()

    return make


@pytest.fixture(scope="session")
def write_random() -> Callable[..., Recordings]:
    def write(
        folder: Path, shapes: dict[str, tuple[int, ...]], modality: str = "fmri", n: int = 7
    ) -> Recordings:
        rng = np.random.default_rng(1)
        signals = {s: rng.normal(size=(n, *shape)) for s, shape in shapes.items()}
        table = pd.DataFrame(
            {
                "subject": np.repeat(list(shapes), n),
                "stimulus": [f"p{i}" for i in range(n)] * len(shapes),
                "split": "test",
            }
        )
        info = RecordingsInfo(
            modality=modality, axes=AXES[len(next(iter(shapes.values())))], units="au"
        )
        return write_recordings(folder, info, signals, table)

    return write


@pytest.fixture(scope="session")
def picture_set() -> Embeddings:
    vectors = np.random.default_rng(3).normal(size=(30, 6)) * [3, 2, 2, 1, 1, 0.5] + 0.4
    items = pd.DataFrame(
        {
            "kind": "picture",
            "stimulus": [f"p{i}" for i in range(30)],
            "label": None,
            "subject": None,
        }
    )
    return Embeddings(vectors, items, "test-encoder")
