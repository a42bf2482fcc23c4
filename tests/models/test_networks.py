"""Shared networks: shapes, the identity start, gradients to every layer."""

import pytest
import torch

from neuroalign.models.networks import ResidualMLP, SpectrogramCNN, TimeCNN, count_parameters


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_residual_network_starts_as_the_identity(depth):
    x = torch.randn(5, 12)
    network = ResidualMLP(12, 12, hidden=7, depth=depth, dropout=0.5)
    assert torch.equal(network(x), x)  # in training mode, dropout included


def test_a_residual_network_leaves_the_identity_after_steps():
    torch.manual_seed(0)
    network = ResidualMLP(12, 12, hidden=7, depth=1, dropout=0.0)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    for _ in range(2):  # the zero layer moves first, those before it follow
        optimiser.zero_grad()
        network(torch.randn(5, 12)).square().sum().backward()
        optimiser.step()
    assert all(not torch.equal(v, before[k]) for k, v in network.state_dict().items())


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (ResidualMLP(12, 5, hidden=16, depth=2, dropout=0.1), (12,)),
        (TimeCNN(3, 5, hidden=16, depth=2, dropout=0.1), (3, 40)),
        (TimeCNN(3, 5, hidden=10, depth=3, dropout=0.1), (3, 13)),
        (TimeCNN(3, 5, hidden=16, depth=1, dropout=0.1), (3, 1)),
        (SpectrogramCNN(3, 5, hidden=16, depth=2, dropout=0.1), (3, 21, 23)),
        (SpectrogramCNN(3, 5, hidden=10, depth=1, dropout=0.1), (3, 1, 2)),
    ],
)
def test_networks_return_one_vector_a_trial_and_train_whole(network, shape):
    torch.manual_seed(0)
    network.eval()
    x = torch.randn(4, *shape)
    assert network(x).shape == (4, 5)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    network(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())
    # a trial's embedding does not depend on the trials beside it
    torch.testing.assert_close(network(x)[2:3], network(x[2:3]))


def test_trainable_numbers_are_counted():
    network = torch.nn.Linear(3, 4)
    assert count_parameters(network) == 16
    network.bias.requires_grad_(False)
    assert count_parameters(network) == 12
