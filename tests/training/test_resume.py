"""A training killed with SIGKILL and started again ends as one that was never killed."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import killable
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from moments import Moment

SCRIPT = Path(killable.__file__)


class Trainings:
    """Trainings in processes of their own, one at a time."""

    def __init__(self, data):
        self.server = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def train(self, folder, moment=None):
        order = {"folder": str(folder), "moment": moment and asdict(moment)}
        self.server.stdin.write(json.dumps(order) + "\n")
        return int(self.server.stdout.readline())

    def kill_in(self, folder, stage):
        """Kill a training in the middle of a stage; return the epoch its checkpoint is of."""
        checkpoint = folder / "checkpoints" / f"fmri-{stage}.pt"
        moment = Moment("os.rename", str(checkpoint), count=3, signal=signal.SIGKILL)
        assert self.train(folder, moment) == -signal.SIGKILL
        return epoch_of(checkpoint)


def epoch_of(checkpoint):
    return torch.load(checkpoint, weights_only=True)["epoch"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, fmri):
    folder = tmp_path_factory.mktemp("runs")
    whole, killed = folder / "whole", folder / "killed"
    trainings = Trainings(fmri.path)
    assert trainings.train(whole) == 0
    stopped = [trainings.kill_in(killed, "search")]
    assert not (killed / "checkpoints" / "fmri-refit.pt").exists()
    stopped.append(trainings.kill_in(killed, "refit"))
    assert not (killed / "bundle").exists()
    assert trainings.train(killed) == 0
    trainings.server.communicate()
    return whole, killed, stopped


def test_it_was_killed_in_the_middle_of_both_stages(runs):
    whole, _, (search, refit) = runs
    best = json.loads((whole / "best.json").read_text())["fmri"]
    assert best >= 3  # otherwise the refit would hardly be one
    assert 1 <= search < killable.EPOCHS
    assert 1 <= refit < best


def test_the_final_weights_are_the_same_to_the_last_bit(runs):
    whole, killed, _ = runs
    expected, found = (load_file(r / "bundle" / "model.safetensors") for r in (whole, killed))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[k], found[k]) for k in expected)
    assert (whole / "best.json").read_text() == (killed / "best.json").read_text()


@pytest.mark.parametrize("stage", ["search", "refit"])
def test_history_and_logs_are_the_same(runs, stage):
    whole, killed, _ = runs
    a, b = (
        torch.load(r / "checkpoints" / f"fmri-{stage}.pt", weights_only=True)["history"]
        for r in (whole, killed)
    )
    pd.testing.assert_frame_equal(pd.DataFrame(a), pd.DataFrame(b), check_exact=True)
    logs = [pd.read_csv(r / "logs" / f"fmri-{stage}.csv") for r in (whole, killed)]
    pd.testing.assert_frame_equal(*logs, check_exact=True)
    assert logs[0]["epoch"].is_unique


def test_training_went_anywhere_at_all(runs):
    whole, _, _ = runs
    log = pd.read_csv(whole / "logs" / "fmri-search.csv")
    assert len(log) == killable.EPOCHS + 1
    assert log["two_way"].max() > log["two_way"][0] + 0.1
    assert np.isnan(log["loss"][0])  # epoch 0 is the model before any step
