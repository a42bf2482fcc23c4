"""The losses against plain NumPy."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from neuroalign.training.loss import contrastive_loss


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(7, 5)) * rng.uniform(0.1, 9, (7, 1))
    targets = rng.normal(size=(20, 5))
    return z, targets / np.linalg.norm(targets, axis=1, keepdims=True)


def loss_of(z, targets, rows, tau):
    as_tensor = [torch.from_numpy(np.asarray(a)) for a in (z, targets, rows)]
    return contrastive_loss(*as_tensor, torch.tensor(1 / tau, dtype=torch.float64)).item()


@pytest.mark.parametrize("tau", [1.0, 0.1, 0.01])
def test_without_duplicates_it_is_the_papers_equation(batch, tau):
    z, targets = batch
    rows = np.array([11, 3, 19, 0, 7, 5, 2])
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    logits = unit @ targets[rows].T / tau  # the right picture of row i is column i
    expected = -np.diag(log_softmax(logits, axis=1)).mean()
    assert loss_of(z, targets, rows, tau) == pytest.approx(expected, rel=1e-12)


def test_a_picture_shown_twice_is_one_column_and_never_a_false_negative(batch):
    z, targets = batch
    rows = np.array([4, 9, 4, 4, 9, 1, 0])
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    columns = [0, 1, 4, 9]
    logits = unit @ targets[columns].T / 0.5
    right = np.array([columns.index(r) for r in rows])
    expected = -log_softmax(logits, axis=1)[np.arange(7), right].mean()
    assert loss_of(z, targets, rows, 0.5) == pytest.approx(expected, rel=1e-12)


def test_repeats_of_one_picture_alone_cost_nothing(batch):
    z, targets = batch
    assert loss_of(z, targets, np.full(7, 3), 0.1) == pytest.approx(0.0, abs=1e-12)


def test_the_length_of_an_embedding_does_not_matter_and_the_order_of_trials_neither(batch):
    z, targets = batch
    rows = np.array([4, 9, 4, 2, 9, 1, 0])
    expected = loss_of(z, targets, rows, 0.1)
    shuffled = np.random.default_rng(1).permutation(7)
    scaled = z * np.arange(1, 8)[:, None]
    assert loss_of(scaled, targets, rows, 0.1) == pytest.approx(expected, rel=1e-12)
    assert loss_of(z[shuffled], targets, rows[shuffled], 0.1) == pytest.approx(expected, rel=1e-12)


def test_a_perfect_decoder_approaches_zero_as_tau_does(batch):
    _, targets = batch
    losses = [loss_of(targets[:7], targets, np.arange(7), tau) for tau in (1.0, 0.1, 0.01)]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] < 1e-6


def test_gradients_are_right(batch):
    z, targets = batch
    rows = torch.tensor([4, 9, 4, 2, 9, 1, 0])
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    free = torch.from_numpy(z).requires_grad_(True)
    goals = torch.from_numpy(targets)
    torch.autograd.gradcheck(lambda a, s: contrastive_loss(a, goals, rows, s), (free, scale))
