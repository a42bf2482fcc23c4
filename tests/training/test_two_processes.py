"""Two processes over torch.distributed compute what one process does on the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import two_processes

from neuroalign.training.batches import Batches

SCRIPT = Path(two_processes.__file__)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return what one process found, and what each of two did."""
    out = tmp_path_factory.mktemp("processes")
    two_processes.write_data(out / "data")
    environment = {k: v for k, v in os.environ.items() if k != "LOCAL_RANK"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(out), "2"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    two_processes.run(out, 1)
    return {
        name: torch.load(out / f"result-{name}.pt", weights_only=True)
        for name in ("1-0", "2-0", "2-1")
    }


def who_holds_whom(trials):
    """Return, for each batch and person, the processes that hold trials of that person."""
    shares = [
        Batches(
            trials.recordings,
            trials.target_rows,
            batch_size=two_processes.BATCH,
            seed=0,
            rank=rank,
            world=2,
        ).epoch(1)
        for rank in range(2)
    ]
    return [
        {s: sum(s in b.x for b in pair) for s in trials.recordings.subjects}
        for pair in zip(*shares, strict=True)
    ]


def test_the_hard_cases_are_there(tmp_path):
    two_processes.write_data(tmp_path / "data")
    trials = two_processes.trials_of(tmp_path / "data")
    held = [h["cleo"] for h in who_holds_whom(trials)]
    assert {0, 1} <= set(held)  # absent altogether, and present on one process only
    assert len(trials.recordings) % two_processes.BATCH % 2 == 1  # the last batch is uneven too


def test_loss_and_gradients_of_two_processes_are_those_of_one(results):
    one = results["1-0"]["gradients"]
    for rank in ("2-0", "2-1"):
        assert results[rank]["world"] == 2
        two = results[rank]["gradients"]
        assert len(one) == len(two) == 7
        for a, b in zip(one, two, strict=True):
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-12)
            for name, expected in a["gradients"].items():
                found = b["gradients"][name]
                if expected is None or found is None:  # nobody in the batch uses it
                    assert expected is None, name
                    assert found is None or not found.any(), name
                else:
                    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13, err_msg=name)


def test_the_temperature_and_every_layer_take_part(results):
    seen = {
        n for b in results["1-0"]["gradients"] for n, g in b["gradients"].items() if g is not None
    }
    assert seen == set(results["1-0"]["gradients"][0]["gradients"])
    assert "log_scale" in seen


def test_a_fit_on_two_processes_ends_where_a_fit_on_one_does(results):
    one = results["1-0"]["fit"]
    for rank in ("2-0", "2-1"):
        two = results[rank]["fit"]
        for a, b in zip(one["history"], two["history"], strict=True):
            assert a == pytest.approx(b, rel=1e-4, nan_ok=True)
        for name, expected in one["weights"].items():
            torch.testing.assert_close(two["weights"][name], expected, rtol=0, atol=1e-5)


def test_one_process_writes_the_log(results):
    assert [r["epoch"] for r in results["2-0"]["fit"]["logged"]] == [0, 1, 2]
    assert results["2-1"]["fit"]["logged"] == []
