"""Many cells, many chances to be lucky: p-values corrected over the cells of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import false_discovery_control

from neuroalign.evaluation.scores import Score


def corrected(scores: Sequence[Score]) -> list[Score]:
    """Return the scores with `p_corrected`: Benjamini and Hochberg's, within each model.

    Of the cells called above chance at p_corrected <= 0.05, at most 5 % are expected to be at
    chance. A family is the cells of one model in one protocol: with the ideal observer's cells
    among them, all of which are far above chance, every other cell would look better. The false
    discovery rate, and not Holm's family-wise error, because a permutation p-value has a smallest
    value, 1 / (permutations + 1): times some hundred cells nothing could ever pass Holm's first
    step. Cells share recordings, so their statistics rise and fall together; under such positive
    dependence the procedure still keeps its rate (Benjamini and Yekutieli, 2001).

    Parameters
    ----------
    scores : sequence of Score
        Those without a `p` stay as they are.
    """
    out = list(scores)
    families: dict[tuple[str, str], list[int]] = {}
    for position, score in enumerate(out):
        if score.p is not None:
            families.setdefault((score.protocol, score.model), []).append(position)
    for members in families.values():
        values = np.array([out[i].p for i in members], np.float64)
        for i, p in zip(members, false_discovery_control(values, method="bh"), strict=True):
            out[i] = replace(out[i], p_corrected=float(p))
    return out
