"""Train a bundle into each folder of the orders on standard input: `DATA`.

Each training is a process of its own, forked from one that has imported everything, since imports
take seconds. Answers with its process id, then with its exit status.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import torch.utils.tensorboard  # noqa: F401 - imported late by the logs, and slow
from small_runs import make_pictures, small_recipe

from moments import Moment, stop_at
from neuroalign.recordings import Recordings
from neuroalign.training.devices import make_fabric
from neuroalign.training.pipeline import fit_bundle

EPOCHS = 16
RECIPE = small_recipe(
    "default",
    start={"kind": "random"},
    training={
        "epochs": EPOCHS,
        "batch_size": 8,
        "patience": None,
        "learning_rate": 1e-3,
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
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                if order["moment"]:
                    stop_at(Moment(**order["moment"]))
                run(Path(sys.argv[1]), Path(order["folder"]))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
