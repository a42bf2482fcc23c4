"""Alignment layers `a`: each person's data into a space that all people of a modality share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

#: `trained`: one layer a person. `frozen_random`: the same, never updated (the ablation).
#: `none`: one layer for everybody.
AlignMode = Literal["trained", "frozen_random", "none"]


class Standardise(nn.Module):
    """Subtract a mean per feature and divide by a scale per channel or voxel.

    Both are statistics of the person's training trials, stored with the model.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape[0]))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(n, *shape)` to `(n, *shape)`."""
        scale = self.scale.reshape(-1, *[1] * (x.ndim - 2))
        return (x - self.mean).div_(scale)  # in place: a batch can be hundreds of megabytes


class LinearAlignment(nn.Module):
    """All features of one person to `dim` numbers: `(n, *shape) -> (n, dim)`."""

    def __init__(self, shape: tuple[int, ...], dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(math.prod(shape), dim)

    def forward(self, x: Tensor) -> Tensor:
        """Flatten and map linearly."""
        out: Tensor = self.linear(x.flatten(1))
        return out


class SpatialAlignment(nn.Module):
    """Mix one person's channels, over a short stretch of samples: (n, C, ...) -> (n, dim, ...).

    With `kernel` 1 this is a spatial filter bank; the last axis (samples or frames) keeps its
    length.
    """

    def __init__(self, shape: tuple[int, ...], dim: int, kernel: int = 1) -> None:
        super().__init__()
        self.kernel = kernel
        self.weight = nn.Parameter(torch.empty(dim, shape[0], kernel))
        self.bias = nn.Parameter(torch.zeros(dim))
        nn.init.normal_(self.weight, std=1.0 / math.sqrt(shape[0] * kernel))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve over the last axis; any axes between (frequencies) are left alone."""
        if self.kernel == 1:  # one matrix a trial: no copies, and faster than a convolution
            weight = self.weight[:, :, 0].expand(len(x), -1, -1)
            mixed = torch.baddbmm(self.bias[:, None], weight, x.flatten(2))
            return mixed.reshape(len(x), -1, *x.shape[2:])
        n, channels = x.shape[:2]
        between = math.prod(x.shape[2:-1])
        folded = x.reshape(n, channels, between, x.shape[-1]).transpose(1, 2).flatten(0, 1)
        if self.kernel % 2 == 0:  # an even kernel looks one sample further ahead than back
            folded = nn.functional.pad(folded, (0, 1))
        mixed = nn.functional.conv1d(folded, self.weight, self.bias, padding=(self.kernel - 1) // 2)
        mixed = mixed.reshape(n, between, -1, x.shape[-1]).transpose(1, 2)
        return mixed.reshape(n, -1, *x.shape[2:])


class Alignment(nn.Module):
    """The alignment layers of all people of one modality.

    Parameters
    ----------
    shapes : mapping from person to the shape of one trial
    dim : int
        Width of the shared space (features for `linear`, channels for `spatial`).
    kind : {"linear", "spatial"}
    kernel : int
        Samples that a spatial layer spans.
    mode : {"trained", "frozen_random", "none"}
        With "none", people of different widths (voxels) are padded with zeros to the widest.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        dim: int,
        *,
        kind: Literal["linear", "spatial"],
        kernel: int = 1,
        mode: AlignMode = "trained",
    ) -> None:
        super().__init__()
        self.mode = mode
        self.subjects = tuple(shapes)
        widest = tuple(max(sizes) for sizes in zip(*shapes.values(), strict=True))
        # ModuleDict forbids dots in keys; people are addressed by position, names stay outside.
        self.standardise = nn.ModuleList(Standardise(s) for s in shapes.values())
        layer_shapes = [widest] if mode == "none" else list(shapes.values())
        self.layers = nn.ModuleList(
            LinearAlignment(s, dim) if kind == "linear" else SpatialAlignment(s, dim, kernel)
            for s in layer_shapes
        )
        self._widest = widest
        if mode == "frozen_random":
            for parameter in self.layers.parameters():
                parameter.requires_grad_(False)

    def layer(self, subject: str) -> nn.Module:
        """Return the layer that this person's trials pass through."""
        position = 0 if self.mode == "none" else self.subjects.index(subject)
        return self.layers[position]

    def forward(self, x: Tensor, subject: str) -> Tensor:
        """Standardise and align trials of one person."""
        x = self.standardise[self.subjects.index(subject)](x)
        if self.mode == "none" and tuple(x.shape[1:]) != self._widest:
            pad: list[int] = []
            for have, want in zip(reversed(x.shape[1:]), reversed(self._widest), strict=True):
                pad += [0, want - have]
            x = nn.functional.pad(x, pad)
        out: Tensor = self.layer(subject)(x)
        return out
