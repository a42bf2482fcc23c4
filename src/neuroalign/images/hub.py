"""Image encoders of the Hugging Face hub: CLIP, SigLIP and DINO, through `transformers`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from neuroalign.errors import NeuroalignError


@dataclass(frozen=True)
class _Family:
    """How a kind of model gives its image vector."""

    model: str
    output: str  # the model's own image vector
    has_cls: bool
    processor: str = "AutoImageProcessor"


_CLIP = _Family("CLIPVisionModelWithProjection", "image_embeds", has_cls=True)
_SIGLIP = _Family("SiglipVisionModel", "pooler_output", has_cls=False)
_SIGLIP2 = _Family("Siglip2VisionModel", "pooler_output", has_cls=False)
_DINO = _Family("AutoModel", "cls", has_cls=True)
# DINOv3's own preprocessing needs torchvision; ViT's reads the same settings and does the same.
_DINO3 = _Family("AutoModel", "cls", has_cls=True, processor="ViTImageProcessor")
_FAMILIES = {
    "clip": _CLIP,
    "clip_vision_model": _CLIP,
    "siglip": _SIGLIP,
    "siglip_vision_model": _SIGLIP,
    "siglip2": _SIGLIP2,
    "siglip2_vision_model": _SIGLIP2,
    "dinov2": _DINO,
    "dinov2_with_registers": _DINO,
    "dinov3_vit": _DINO3,
}


class HubEncoder:
    """A frozen vision model of the Hugging Face hub.

    Without `layer`: CLIP gives its projected CLS token (`image_embeds`, the paper's target),
    SigLIP its pooled output, DINO the CLS token after the last norm. With a `layer`: the CLS token
    of that hidden state; SigLIP, which has none, the mean of its patch tokens.

    Only safetensors weights are read: nothing is unpickled, and no code from the hub is run.

    Parameters
    ----------
    name : str
        "NAME", "NAME@REVISION" or the path of a folder that holds a copy of the model.
    layer : int, optional
        Position in the model's hidden states; negative ones count from the end.
    device : str
        A torch device.

    Attributes
    ----------
    id : str
        Name, commit and layer; for a folder: kind of model, hash of its files and layer.
    dim : int

    Raises
    ------
    NeuroalignError
        The model is neither stored here nor in reach, is not of a kind that can be read, or has
        no such layer.
    """

    def __init__(self, name: str, layer: int | None = None, device: str = "cpu") -> None:
        folder = Path(name).expanduser()
        if folder.is_dir():
            self._source = str(folder)
        elif name[0] in "/.~":
            raise NeuroalignError(f"{folder} is not a folder, so no image encoder lies there.")
        else:
            self._source, _, revision = name.partition("@")
            self._revision = revision or None
        self._device = device
        # Config, weights and preprocessing are all read at one commit, though a branch may move.
        version = f"sha256-{_folder_hash(folder)}" if folder.is_dir() else self._commit()
        self._revision = None if folder.is_dir() else version
        config = self._fetch("AutoConfig")
        if config.model_type not in _FAMILIES:
            raise NeuroalignError(
                f"{self._source} is a model of the type {config.model_type!r}, which neuroalign "
                f"cannot read pictures with. It can with: {', '.join(_FAMILIES)}."
            )
        self._family = _FAMILIES[config.model_type]
        vision = getattr(config, "vision_config", config)
        self._layer = _checked_layer(layer, vision.num_hidden_layers, self._source)
        # Not the folder's name: a model stays the same encoder wherever it is copied to.
        source = config.model_type if folder.is_dir() else self._source
        self.id = f"hf:{source}@{version}/{self._reading()}"
        projected = self._family is _CLIP and self._layer is None
        self.dim = int(config.projection_dim if projected else vision.hidden_size)
        if self._family is _CLIP:  # some checkpoints state another width for the vision half
            vision.projection_dim = config.projection_dim
        self._config = vision

    def encode(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Return the vectors of RGB pictures, shape (n_images, dim)."""
        import torch

        inputs = self._processor(images=list(images), return_tensors="pt").to(self._device)
        with torch.inference_mode():
            out = self._model(**inputs, output_hidden_states=self._layer is not None)
            if self._layer is not None:
                vectors = self._hidden(out.hidden_states[self._layer], inputs)
            elif self._family.output == "cls":
                vectors = out.last_hidden_state[:, 0]
            else:
                vectors = getattr(out, self._family.output)
        return np.asarray(vectors.float().cpu().numpy(), np.float32)

    def _hidden(self, tokens: Any, inputs: Any) -> Any:
        if self._family.has_cls:
            return tokens[:, 0]
        if "pixel_attention_mask" not in inputs:
            return tokens.mean(1)
        mask = inputs["pixel_attention_mask"][..., None]  # pictures differ in their patch counts
        return (tokens * mask).sum(1) / mask.sum(1)

    @cached_property
    def _model(self) -> Any:
        # Loaded with the first picture: with everything in the cache, the weights are not needed.
        model, report = self._fetch(
            self._family.model,
            config=self._config,
            use_safetensors=True,
            output_loading_info=True,
        )
        missing = sorted(report["missing_keys"])
        if self._layer is not None:  # the projection comes after every layer
            missing = [key for key in missing if not key.startswith("visual_projection")]
        if missing:
            raise NeuroalignError(
                f"{self._source} lacks {len(missing)} of the weights that {type(model).__name__} "
                f"needs (first: {missing[0]}); they would be random. Get the complete model, or "
                "choose a `layer` of it."
            )
        return model.float().to(self._device).eval().requires_grad_(False)

    @cached_property
    def _processor(self) -> Any:
        import transformers

        # With Pillow: torchvision is not needed, and its numbers differ a little.
        new = int(transformers.__version__.split(".")[0]) >= 5
        if self._family.processor == "AutoImageProcessor":
            options: dict[str, Any] = {"backend": "pil"} if new else {"use_fast": False}
            return self._fetch(self._family.processor, **options)
        return self._fetch(self._family.processor + ("Pil" if new else ""))

    def _commit(self) -> str:
        """Return the commit that the wanted revision stands for, here or on the hub."""
        from huggingface_hub import hf_hub_download

        try:
            config = hf_hub_download(self._source, "config.json", revision=self._revision)
        except (OSError, ValueError) as error:
            raise self._unavailable(error) from error
        return Path(config).parent.name  # .../snapshots/<commit>/config.json

    def _reading(self) -> str:
        if self._layer is None:
            return self._family.output
        return f"layer{self._layer}-{'cls' if self._family.has_cls else 'mean'}"

    def _fetch(self, kind: str, **options: Any) -> Any:
        import transformers

        revision = {} if self._revision is None else {"revision": self._revision}
        try:
            with _quiet():
                return getattr(transformers, kind).from_pretrained(
                    self._source, **revision, **options
                )
        except (OSError, ImportError, ValueError, RuntimeError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> NeuroalignError:
        reason = " ".join(str(error).split())[:300]
        if Path(self._source).is_dir():
            return NeuroalignError(
                f"{self._source} is not a complete model folder: {reason} It needs config.json, "
                "preprocessor_config.json and model.safetensors. Copy the folder again."
            )
        return NeuroalignError(
            f"The image encoder {self._source!r} is neither stored on this machine nor in reach of "
            f"it: {reason} On a machine with network: `hf download {self._source}` (gated models: "
            "`hf auth login` first). Then either set HF_HOME here to the folder that holds the "
            "download, or copy the model's folder and name it as `hf:/path/to/folder`. Without any "
            "download: choose `encoder: offline` (ImageNet features, not CLIP)."
        )


def _checked_layer(layer: int | None, n_blocks: int, source: str) -> int | None:
    if layer is None:
        return None
    if not -n_blocks - 1 <= layer <= n_blocks:
        raise NeuroalignError(
            f"{source} has the hidden layers 0 to {n_blocks} (or -{n_blocks + 1} to -1 from the "
            f"end), but layer {layer} was asked for."
        )
    return layer % (n_blocks + 1)


def _folder_hash(folder: Path) -> str:
    """Return a short hash of all that the vectors of a model folder depend on."""
    digest = hashlib.sha256()
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("*config.json")]):
        with file.open("rb") as content:
            digest.update(file.name.encode())
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:12]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from reporting the text half of CLIP, unused here, as a problem."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
