"""The untrained network: what architecture and preprocessing alone score."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from neuroalign.models.bundle import Bundle
from neuroalign.models.module import Architecture, NeuralModule, shapes_of
from neuroalign.models.space import CommonSpace
from neuroalign.recordings.container import Modality, Recordings
from neuroalign.training.statistics import fit_standardisation


def untrained_bundle(
    recordings: Mapping[Modality, Recordings],
    space: CommonSpace,
    architectures: Mapping[Modality, Architecture],
    seed: int,
) -> Bundle:
    """Return modules as they are drawn: no epoch of training, no ridge start.

    What they know of the data is the standardisation of its features, fitted to training trials.

    Parameters
    ----------
    recordings : mapping from modality to Recordings
        Whole, or training trials only; statistics come from the training trials.
    space : CommonSpace
        The space of the run that the floor stands beside.
    architectures : mapping from modality to Architecture
    seed : int
        The run's: the same draw that its training would have started from.
    """
    modules: dict[Modality, NeuralModule] = {}
    for modality, whole in recordings.items():
        training = whole.select(split="train")
        module = untrained_module(architectures[modality], training, space, seed)
        modules[modality] = module.cpu().eval()
    return Bundle(modules, space)


def untrained_module(
    architecture: Architecture, training: Recordings, space: CommonSpace, seed: int
) -> NeuralModule:
    """Return a module as it is drawn, with the standardisation of its people's training trials.

    Parameters
    ----------
    architecture : Architecture
    training : Recordings
        Training trials only.
    space : CommonSpace
    seed : int
    """
    torch.manual_seed(seed)
    module = NeuralModule(
        architecture,
        training.modality,
        training.info.axes,
        shapes_of(training, training.subjects),
        space,
    )
    fit_standardisation(module, training)
    return module
