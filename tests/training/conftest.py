"""Small simulated recordings of two people with different numbers of voxels."""

from __future__ import annotations

import pytest
from small_runs import make_pictures, write_fmri

from neuroalign.recordings import Recordings
from neuroalign.retrieval import Embeddings


@pytest.fixture(scope="session")
def pictures() -> Embeddings:
    return make_pictures()


@pytest.fixture(scope="session")
def fmri(tmp_path_factory: pytest.TempPathFactory, pictures: Embeddings) -> Recordings:
    return write_fmri(tmp_path_factory.mktemp("recordings") / "fmri", pictures)
