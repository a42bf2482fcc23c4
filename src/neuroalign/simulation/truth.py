"""What a simulation knows about itself: saved beside the recordings, as numbers only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from neuroalign.errors import NeuroalignError
from neuroalign.simulation.config import SimulationConfig
from neuroalign.simulation.latents import LatentMap
from neuroalign.simulation.sensor_person import SensorPerson
from neuroalign.simulation.voxel_person import VoxelPerson

Person = SensorPerson | VoxelPerson
_LATENTS = "latents"


@dataclass(frozen=True)
class Truth:
    """The parameters of the generative model.

    Attributes
    ----------
    config : SimulationConfig
    latents : LatentMap
        From picture embeddings to latents.
    people : mapping from subject to SensorPerson or VoxelPerson
    space : str
        The embedding space of the pictures.
    """

    config: SimulationConfig
    latents: LatentMap
    people: Mapping[str, Person]
    space: str


def save_truth(truth: Truth, folder: Path) -> None:
    """Write truth.json (config, space, people) and truth.npz (arrays) into `folder`."""
    arrays = {f"{_LATENTS}/{f.name}": getattr(truth.latents, f.name) for f in fields(LatentMap)}
    for subject, person in truth.people.items():
        for f in fields(person):
            arrays[f"{subject}/{f.name}"] = getattr(person, f.name)
    np.savez(folder / "truth.npz", **arrays)
    content = {
        "simulated": True,
        "config": truth.config.model_dump(),
        "space": truth.space,
        "subjects": list(truth.people),
    }
    (folder / "truth.json").write_text(json.dumps(content, indent=2) + "\n")


def load_truth(folder: str | Path) -> Truth:
    """Read the truth of the simulated recordings in `folder`.

    Raises
    ------
    NeuroalignError
        The folder holds no (readable) truth: the recordings are not simulated, or were made by
        another version.
    """
    folder = Path(folder)
    try:
        content = json.loads((folder / "truth.json").read_text())
        with np.load(folder / "truth.npz", allow_pickle=False) as file:
            arrays = dict(file)
        config = SimulationConfig(**content["config"])
        latents = LatentMap(**_group(arrays, _LATENTS))
        kind = VoxelPerson if config.modality == "fmri" else SensorPerson
        people: dict[str, Person] = {s: kind(**_group(arrays, s)) for s in content["subjects"]}
    except FileNotFoundError as error:
        raise NeuroalignError(
            f"{folder} has no {Path(error.filename).name}: the ideal observer exists for simulated "
            "recordings only, whose generative model is known."
        ) from error
    except (ValueError, KeyError, TypeError, EOFError, ValidationError) as error:
        raise NeuroalignError(
            f"The truth of the simulation in {folder} cannot be read ({error}): it is damaged or "
            "was made by another version of neuroalign. Simulate again."
        ) from error
    return Truth(config, latents, people, str(content["space"]))


def _group(arrays: Mapping[str, npt.NDArray[Any]], name: str) -> dict[str, Any]:
    chosen = {k.removeprefix(f"{name}/"): v for k, v in arrays.items() if k.startswith(f"{name}/")}
    return {k: v.item() if v.ndim == 0 else v for k, v in chosen.items()}
