"""Devices that are not there, and precisions that need others, are refused in plain words."""

import pytest
import torch
from lightning_fabric.strategies import DDPStrategy

from neuroalign.errors import NeuroalignError
from neuroalign.training.devices import make_fabric


@pytest.mark.parametrize("devices", [0, -1])
def test_at_least_one_device(devices):
    with pytest.raises(NeuroalignError, match=f"at least 1, got {devices}"):
        make_fabric(devices)


def test_more_gpus_than_present():
    present = torch.cuda.device_count()
    with pytest.raises(NeuroalignError, match=rf"{present + 1} GPU\(s\) .* machine has {present}"):
        make_fabric(present + 1, accelerator="gpu")


def test_an_unknown_accelerator():
    with pytest.raises(NeuroalignError, match="auto, cpu or gpu, got 'abacus'"):
        make_fabric(accelerator="abacus")


def test_half_precision_needs_a_gpu():
    with pytest.raises(NeuroalignError, match="16-mixed needs a GPU"):
        make_fabric(accelerator="cpu", precision="16-mixed")


def test_one_device_is_this_process():
    fabric = make_fabric(accelerator="cpu", precision="bf16-mixed")
    fabric.launch()
    assert (fabric.world_size, fabric.device.type) == (1, "cpu")


def test_several_cpu_processes_talk_through_gloo():
    fabric = make_fabric(3, accelerator="cpu")
    assert isinstance(fabric.strategy, DDPStrategy)
    assert fabric.strategy.process_group_backend == "gloo"
    assert fabric.strategy.num_processes == 3
