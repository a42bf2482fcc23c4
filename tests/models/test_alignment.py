"""Alignment layers: registered, trained, and equal to plain matrix products and convolutions."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate

from neuroalign.models.alignment import Alignment, SpatialAlignment, Standardise

VOXELS = {"anna": (5,), "ben": (9,), "cleo": (7,)}
CHANNELS = {"anna": (4, 10), "ben": (3, 10)}


def train_step(module, inputs):
    optimiser = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=0.1)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    sum(module(x, s).square().sum() for s, x in inputs.items()).backward()
    optimiser.step()
    return {k for k, v in module.state_dict().items() if not torch.equal(v, before[k])}


def trials(shapes, n=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {s: torch.randn(n, *shape, generator=generator) for s, shape in shapes.items()}


@pytest.mark.parametrize(("kind", "shapes"), [("linear", VOXELS), ("spatial", CHANNELS)])
def test_every_persons_layer_is_a_registered_parameter_and_moves(kind, shapes):
    layers = Alignment(shapes, 6, kind=kind)
    names = {n for n, _ in layers.named_parameters()}
    assert len(names) == 2 * len(shapes)  # a weight and a bias each
    assert train_step(layers, trials(shapes)) == names
    assert names <= set(layers.state_dict())


def test_only_the_layer_of_the_person_recorded_gets_a_gradient():
    layers = Alignment(VOXELS, 6, kind="linear")
    layers(trials(VOXELS)["ben"], "ben").sum().backward()
    touched = [any(p.grad is not None for p in layer.parameters()) for layer in layers.layers]
    assert touched == [False, True, False]


def test_a_frozen_random_layer_differs_per_person_is_saved_and_never_moves():
    shapes = {"anna": (5,), "ben": (5,)}
    layers = Alignment(shapes, 6, kind="linear", mode="frozen_random")
    assert not any(p.requires_grad for p in layers.parameters())
    assert {"layers.0.linear.weight", "layers.1.linear.weight"} <= set(layers.state_dict())
    assert not torch.equal(layers.layers[0].linear.weight, layers.layers[1].linear.weight)


def test_without_alignment_one_layer_serves_all_and_narrow_people_are_padded_with_zeros():
    layers = Alignment(VOXELS, 6, kind="linear", mode="none")
    assert len(layers.layers) == 1
    linear = layers.layers[0].linear
    assert linear.in_features == 9
    for subject, x in trials(VOXELS).items():
        width = VOXELS[subject][0]
        expected = x @ linear.weight[:, :width].T + linear.bias
        torch.testing.assert_close(layers(x, subject), expected)


def test_zeros_are_added_after_standardising():
    layers = Alignment(VOXELS, 6, kind="linear", mode="none")
    layers.standardise[0].mean.fill_(100.0)
    x = torch.full((1, 5), 100.0)
    torch.testing.assert_close(layers(x, "anna"), layers.layers[0].linear.bias[None])


def test_padding_of_channels_leaves_samples_alone():
    layers = Alignment(CHANNELS, 6, kind="spatial", mode="none")
    x = trials(CHANNELS)["ben"]
    layer = layers.layers[0]
    expected = torch.einsum("oc,nct->not", layer.weight[:, :3, 0], x) + layer.bias[:, None]
    torch.testing.assert_close(layers(x, "ben"), expected)


def test_standardise_subtracts_features_and_divides_channels():
    layer = Standardise((4, 10))
    rng = np.random.default_rng(0)
    mean, scale = rng.normal(size=(4, 10)), rng.uniform(1, 2, 4)
    layer.mean.copy_(torch.from_numpy(mean))
    layer.scale.copy_(torch.from_numpy(scale))
    x = rng.normal(size=(3, 4, 10))
    expected = (x - mean) / scale[:, None]
    np.testing.assert_allclose(layer(torch.from_numpy(x)), expected, rtol=1e-6, atol=1e-6)
    assert set(layer.state_dict()) == {"mean", "scale"}


@pytest.mark.parametrize("shape", [(4, 10), (4, 3, 10)])
def test_a_spatial_layer_mixes_channels_like_einsum(shape):
    layer = SpatialAlignment(shape, 6)
    x = torch.randn(5, *shape)
    bias = layer.bias.data.normal_().reshape(6, *[1] * (len(shape) - 1))
    expected = torch.einsum("oc,nc...->no...", layer.weight[..., 0], x) + bias
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("shape", [(4, 10), (4, 3, 10)])
def test_a_kernel_equals_a_convolution_by_scipy(shape, kernel):
    layer = SpatialAlignment(shape, 6, kernel)
    layer.bias.data.normal_()
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    weight = layer.weight.detach().numpy()
    # an even kernel looks further ahead than back
    left = (kernel - 1) // 2
    padding = [(0, 0)] * (len(shape) - 1) + [(left, kernel - 1 - left)]
    expected = np.empty((2, 6, *shape[1:]))
    for n in range(2):
        padded = np.pad(x[n], padding)
        for o in range(6):
            kernel_o = weight[o].reshape(shape[0], *[1] * (len(shape) - 2), kernel)
            valid = correlate(padded, kernel_o, mode="valid", method="direct")
            expected[n, o] = valid[0] + layer.bias[o].item()
    np.testing.assert_allclose(layer(torch.from_numpy(x)).detach(), expected, atol=1e-5)
