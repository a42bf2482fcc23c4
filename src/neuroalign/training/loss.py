r"""The contrastive loss between recordings and the pictures that people saw.

Equation 1 of Ferrante et al.: logits = z_i z_j^T / tau over unit vectors, cross-entropy over the
rows (recording -> picture), the right column being the picture shown. The paper's equation
divides by tau twice; with its tau = 1 both readings agree, and this code divides once.

**Duplicates.** A batch often holds several trials of one picture. As columns of their own they
would be false negatives, so each distinct target is one column, and every trial of it is a
positive of that column. With no duplicates this is the paper's loss exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def contrastive_loss(z: Tensor, targets: Tensor, target_rows: Tensor, scale: Tensor) -> Tensor:
    """Return the mean cross-entropy of each trial's row over the distinct targets of the batch.

    Parameters
    ----------
    z : Tensor of shape (n, dim)
        Embeddings of the trials; normalised here.
    targets : Tensor of shape (n_targets, dim)
        Unit vectors of all targets of the data set.
    target_rows : Tensor of shape (n,), int64
        The row of `targets` that each trial belongs to.
    scale : Tensor, scalar
        1 / tau.
    """
    present, column = torch.unique(target_rows, return_inverse=True)
    logits = scale * nn.functional.normalize(z, dim=1) @ targets[present].T
    return nn.functional.cross_entropy(logits, column)
