"""Shared networks `g`: from the aligned data of any person to the common space."""

from __future__ import annotations

from torch import Tensor, nn


class ResidualMLP(nn.Module):
    """Residual blocks on a vector: (n, width) -> (n, out).

    Each block starts as the identity (its last layer is zero), so a network of equal input and
    output width begins as the identity map and departs from it only as far as the data ask.
    """

    def __init__(self, width: int, out: int, *, hidden: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, hidden),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(hidden, width),
            )
            for _ in range(depth)
        )
        for block in self.blocks:
            last = block[-1]  # type: ignore[index]
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.head = nn.Identity() if width == out else nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        """Map aligned vectors to embeddings."""
        for block in self.blocks:
            x = x + block(x)
        out: Tensor = self.head(x)
        return out


class TimeCNN(nn.Module):
    """1-D convolutions over samples: (n, channels, samples) -> (n, out)."""

    def __init__(
        self, channels: int, out: int, *, hidden: int, depth: int, dropout: float, bins: int = 8
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(depth):
            layers += [
                nn.Conv1d(channels if i == 0 else hidden, hidden, 7, stride=2, padding=3),
                nn.GroupNorm(8 if hidden % 8 == 0 else 1, hidden),
                nn.GELU(),
            ]
        # Binned, not averaged: when something happens is what tells pictures apart.
        layers += [nn.AdaptiveAvgPool1d(bins), nn.Flatten(), nn.Dropout(dropout)]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(hidden * bins, out)

    def forward(self, x: Tensor) -> Tensor:
        """Map aligned epochs to embeddings."""
        out: Tensor = self.head(self.features(x))
        return out


class SpectrogramCNN(nn.Module):
    """2-D convolutions over frequencies and frames: (n, channels, freqs, frames) -> (n, out)."""

    def __init__(
        self, channels: int, out: int, *, hidden: int, depth: int, dropout: float, bins: int = 4
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(depth):
            layers += [
                nn.Conv2d(channels if i == 0 else hidden, hidden, 3, stride=2, padding=1),
                nn.GroupNorm(8 if hidden % 8 == 0 else 1, hidden),
                nn.GELU(),
            ]
        layers += [nn.AdaptiveAvgPool2d(bins), nn.Flatten(), nn.Dropout(dropout)]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(hidden * bins * bins, out)

    def forward(self, x: Tensor) -> Tensor:
        """Map aligned spectrograms to embeddings."""
        out: Tensor = self.head(self.features(x))
        return out


NETWORKS: dict[str, type[ResidualMLP] | type[TimeCNN] | type[SpectrogramCNN]] = {
    "residual_mlp": ResidualMLP,
    "time_cnn": TimeCNN,
    "spectrogram_cnn": SpectrogramCNN,
}


def receives_vectors(network: str) -> bool:
    """Tell whether a network takes one vector a trial (and so needs a linear alignment)."""
    return network == "residual_mlp"


def count_parameters(module: nn.Module) -> int:
    """Count trainable numbers."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


__all__ = [
    "NETWORKS",
    "ResidualMLP",
    "SpectrogramCNN",
    "TimeCNN",
    "count_parameters",
    "receives_vectors",
]
