"""neuroalign: EEG, MEG and fMRI in one picture space.

The names below are all that most scripts need; see docs/quickstart.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from neuroalign.errors import NeuroalignError
    from neuroalign.evaluation.tasks import score_retrieval
    from neuroalign.images.cache import embed_pictures
    from neuroalign.images.pictures import (
        pictures_from_folder,
        pictures_from_table,
        shipped_pictures,
    )
    from neuroalign.models.bundle import Bundle, load
    from neuroalign.recipe import fit_recipe
    from neuroalign.recordings.container import Recordings
    from neuroalign.recordings.schema import RecordingsInfo
    from neuroalign.recordings.writer import write_recordings
    from neuroalign.retrieval.embeddings import Embeddings
    from neuroalign.retrieval.gallery import Gallery, convert, decode, encode
    from neuroalign.simulation.config import SimulationConfig
    from neuroalign.simulation.generate import simulate
    from neuroalign.training.pipeline import fit

_HOMES = {
    "Bundle": "models.bundle",
    "Embeddings": "retrieval.embeddings",
    "Gallery": "retrieval.gallery",
    "NeuroalignError": "errors",
    "Recordings": "recordings.container",
    "RecordingsInfo": "recordings.schema",
    "SimulationConfig": "simulation.config",
    "convert": "retrieval.gallery",
    "decode": "retrieval.gallery",
    "embed_pictures": "images.cache",
    "encode": "retrieval.gallery",
    "fit": "training.pipeline",
    "fit_recipe": "recipe",
    "load": "models.bundle",
    "pictures_from_folder": "images.pictures",
    "pictures_from_table": "images.pictures",
    "score_retrieval": "evaluation.tasks",
    "shipped_pictures": "images.pictures",
    "simulate": "simulation.generate",
    "write_recordings": "recordings.writer",
}

__all__ = [
    "Bundle",
    "Embeddings",
    "Gallery",
    "NeuroalignError",
    "Recordings",
    "RecordingsInfo",
    "SimulationConfig",
    "convert",
    "decode",
    "embed_pictures",
    "encode",
    "fit",
    "fit_recipe",
    "load",
    "pictures_from_folder",
    "pictures_from_table",
    "score_retrieval",
    "shipped_pictures",
    "simulate",
    "write_recordings",
]


def __getattr__(name: str) -> Any:
    # Imported on first use: PyTorch and MNE take seconds, and many commands need neither.
    if name not in _HOMES:
        raise AttributeError(f"module 'neuroalign' has no attribute {name!r}")
    return getattr(import_module(f"neuroalign.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
