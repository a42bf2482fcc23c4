"""Train a bundle into a folder: `DATA RUN`. Killed and started again, it goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from small_runs import make_pictures, small_recipe

from neuroalign.recordings import Recordings
from neuroalign.training.devices import make_fabric
from neuroalign.training.pipeline import fit_bundle

EPOCHS = 24
RECIPE = small_recipe(
    "default",
    start={"kind": "random"},
    training={
        "epochs": EPOCHS,
        "batch_size": 4,
        "patience": None,
        "average": 0.5,
        "learning_rate": 3e-4,
    },
    architectures={"fmri": {"dropout": 0.25}},
)


def run(data: Path, folder: Path) -> None:
    fitted = fit_bundle(
        {"fmri": Recordings(data)},
        make_pictures(),
        RECIPE,
        folder=folder,
        fabric=make_fabric(accelerator="cpu"),
    )
    fitted.bundle.save(folder / "bundle")
    (folder / "best.json").write_text(json.dumps(fitted.best_epochs))


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
