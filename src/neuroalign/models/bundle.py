"""Bundles: trained modules that share a space, as a folder without pickles."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from neuroalign import __version__
from neuroalign.errors import NeuroalignError
from neuroalign.files import atomic_folder
from neuroalign.models.card import model_card
from neuroalign.models.module import Architecture, NeuralModule
from neuroalign.models.space import CommonSpace
from neuroalign.recordings.container import Modality, Recordings
from neuroalign.retrieval.embeddings import Embeddings

FORMAT_VERSION = 1


class _ModuleConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    architecture: Architecture
    axes: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]


class _BundleConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format_version: int
    neuroalign_version: str
    encoder: str
    modules: dict[Modality, _ModuleConfig]
    provenance: dict[str, Any] = {}

    @property
    def fingerprint(self) -> str:
        """What gives the weights their meaning: who is at which position, in which space."""
        meaning = self.model_dump_json(include={"encoder", "modules"}, exclude_defaults=True)
        return hashlib.sha256(meaning.encode()).hexdigest()


@dataclass
class Bundle:
    """Neural modules of one or several modalities that share a common space.

    Attributes
    ----------
    modules : dict from modality to NeuralModule
    space : CommonSpace
        The picture side.
    provenance : dict
        What the model was trained on; it goes into the model card.
    """

    modules: dict[Modality, NeuralModule]
    space: CommonSpace
    provenance: dict[str, Any] = field(default_factory=dict)

    def embed(self, recordings: Recordings, *, batch_size: int = 256) -> Embeddings:
        """Embed recordings of any modality that the bundle knows (see `NeuralModule.embed`).

        Raises
        ------
        NeuroalignError
            The bundle knows no such modality, person or shape.
        """
        if recordings.modality not in self.modules:
            raise NeuroalignError(
                f"This bundle has no module for {recordings.modality}; it has "
                f"{', '.join(self.modules)}."
            )
        return self.modules[recordings.modality].embed(recordings, batch_size=batch_size)

    def embed_pictures(self, pictures: Embeddings) -> Embeddings:
        """Map picture embeddings of the bundle's encoder into the common space.

        Raises
        ------
        NeuroalignError
            They come from another encoder.
        """
        return self.space.transform(pictures)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write `model.safetensors`, `config.json` and a model card (README.md).

        Raises
        ------
        NeuroalignError
            The folder holds something and `overwrite` is false, or cannot be written.
        """
        config = _BundleConfig(
            format_version=FORMAT_VERSION,
            neuroalign_version=__version__,
            encoder=self.space.encoder,
            modules={
                name: _ModuleConfig(architecture=m.architecture, axes=m.axes, shapes=m.shapes)
                for name, m in self.modules.items()
            },
            provenance=self.provenance,
        )
        tensors = {"space.mean": torch.from_numpy(self.space.mean.copy())}
        if self.space.projection is not None:
            tensors["space.projection"] = torch.from_numpy(self.space.projection.copy())
        for name, module in self.modules.items():
            for key, value in module.state_dict().items():
                tensors[f"{name}.{key}"] = value.detach().cpu().contiguous()
        with atomic_folder(Path(path), overwrite=overwrite) as folder:
            # One entry only: of several, the order in the file would change from save to save.
            metadata = {"config": config.fingerprint}
            save_file(tensors, folder / "model.safetensors", metadata=metadata)
            (folder / "config.json").write_text(config.model_dump_json(indent=2) + "\n")
            (folder / "README.md").write_text(model_card(self.modules, self.space, self.provenance))

    def push_to_hub(self, repo_id: str, *, private: bool = True) -> str:
        """Upload the bundle to the Hugging Face Hub; private unless you say otherwise.

        A model of brain data can be personal data: check consent and ethics before sharing.

        Parameters
        ----------
        repo_id : str
            Such as "lab/model"; made if it is not there.
        private : bool
            Whether a repository that is made is closed to the public.

        Returns
        -------
        str
            Its address; `load(repo_id)` reads it back.

        Raises
        ------
        NeuroalignError
            The hub is out of reach, or does not let you write there.
        """
        from tempfile import TemporaryDirectory

        from huggingface_hub import HfApi

        api = HfApi()
        with TemporaryDirectory() as folder:
            self.save(Path(folder) / "bundle")
            try:
                url = api.create_repo(repo_id, private=private, exist_ok=True)
                api.upload_folder(repo_id=repo_id, folder_path=Path(folder) / "bundle")
            except Exception as error:  # the hub's client raises those of its HTTP library, too
                raise NeuroalignError(
                    f"The bundle could not be uploaded to {repo_id!r} ({type(error).__name__}: "
                    f"{error}). Check the connection, the id, and `hf auth login`; `save` writes "
                    "it to a folder here."
                ) from error
        return str(url)


def load(source: str | Path) -> Bundle:
    """Load a bundle from a folder, a run folder, or the Hugging Face Hub.

    Parameters
    ----------
    source : str or Path
        A folder with config.json and model.safetensors, a run folder that holds `bundle/`, or a
        hub id such as "lab/model" (optionally "lab/model@revision").

    Raises
    ------
    NeuroalignError
        Nothing is there, the files do not belong together, or the hub cannot be reached.
    """
    folder = _locate(source)
    config = _read_config(folder / "config.json")
    tensors = _read_weights(folder / "model.safetensors", config)
    projection = tensors.pop("space.projection", None)
    space = CommonSpace(
        config.encoder,
        np.asarray(tensors.pop("space.mean")),
        None if projection is None else np.asarray(projection),
    )
    modules: dict[Modality, NeuralModule] = {}
    for name, part in config.modules.items():
        module = NeuralModule(part.architecture, name, part.axes, part.shapes, space)
        prefix = f"{name}."
        module.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
        modules[name] = module.eval()
    return Bundle(modules, space, config.provenance)


def _read_weights(path: Path, config: _BundleConfig) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise NeuroalignError(
            f"{path} cannot be read ({error}). "
            "The bundle is incomplete or damaged: copy or train it again."
        ) from error
    if metadata.get("config") != config.fingerprint:
        # Two bundles of one architecture would load, with one person's layer for another.
        raise NeuroalignError(
            f"{path} was not saved with the config.json beside it: people, shapes, networks or "
            "encoder differ, so its weights would be read wrongly. Copy both files of one bundle."
        )
    return tensors


def _read_config(path: Path) -> _BundleConfig:
    try:
        content = json.loads(path.read_text())
        version = content.get("format_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version != FORMAT_VERSION:
            raise NeuroalignError(
                f"{path} describes a bundle of format {version}, but this neuroalign "
                f"({__version__}) reads format {FORMAT_VERSION}. Install the release that wrote it."
            )
        return _BundleConfig.model_validate(content)
    except (json.JSONDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise NeuroalignError(
            f"{path} is not the config of a neuroalign bundle: {error}"
        ) from error


def _locate(source: str | Path) -> Path:
    path = Path(source)
    for folder in (path, path / "bundle"):
        if (folder / "config.json").is_file():
            return folder
    if path.exists():
        raise NeuroalignError(
            f"{path} holds no bundle: there is no config.json in it or in its folder bundle/. "
            "If this is a run, its training has not finished: `neuroalign train` resumes it."
        )
    return _download(str(source))


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repo, _, revision = name.partition("@")
    try:
        return Path(
            snapshot_download(
                repo,
                revision=revision or None,
                allow_patterns=["config.json", "model.safetensors", "README.md"],
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise NeuroalignError(
            f"{name!r} is neither a folder here nor a bundle that can be fetched from the Hugging "
            f"Face Hub ({type(error).__name__}). Check the path or the id; without network, copy "
            "the bundle's folder to this machine and give its path."
        ) from error
