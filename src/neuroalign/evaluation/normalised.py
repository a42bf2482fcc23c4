"""Conversion over the decoding of its target modality: the normalisation of the paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.bootstrap import Interval
from neuroalign.evaluation.scores import Score


def normalise_conversion(
    conversion: Score, decoding: Score, interval: Interval | None = None
) -> Score:
    """Divide a conversion's score by the decoding score of its target modality.

    The paper's normalisation: source -> target over target -> pictures, the same metric. The
    chance level is the conversion's over the decoding score.

    Parameters
    ----------
    conversion, decoding : Score
    interval : Interval, optional
        Of the ratio, where both were drawn together (see `ratio_interval`). Without, bounds combine
        those of both on a logarithmic scale, as if they were independent (the recovery of variance
        estimates of Zou and Donner, 2008): wider than they have to be.

    Raises
    ------
    NeuroalignError
        The metrics differ, the decoding is of another modality than the conversion's target, or
        its score is zero.
    """
    if conversion.metric != decoding.metric or conversion.target != decoding.source:
        raise NeuroalignError(
            f"A conversion to {conversion.target} ({conversion.metric}) is normalised by the "
            f"decoding of {conversion.target} with the same metric; got {decoding.metric} of "
            f"{decoding.source}."
        )
    if decoding.value <= 0:
        raise NeuroalignError(
            f"The decoding score of {decoding.source} is {decoding.value}: nothing can be "
            "normalised by it."
        )
    value = conversion.value / decoding.value
    low, high = (
        _as_if_independent(conversion, decoding)
        if interval is None
        else (interval.low, interval.high)
    )
    return replace(
        conversion,
        metric=f"{conversion.metric}_normalised",
        value=value,
        low=low,
        high=high,
        chance=conversion.chance / decoding.value,
        ceiling=None,
        ceiling_name="",
        p=None,
        p_corrected=None,
        share=None,
        share_low=None,
        share_high=None,
        note="; ".join(
            filter(
                None, [conversion.note, f"over decoding {decoding.source}: {decoding.value:.4f}"]
            )
        ),
    )


def _as_if_independent(conversion: Score, decoding: Score) -> tuple[float, float]:
    value = conversion.value / decoding.value
    with np.errstate(divide="ignore", invalid="ignore"):
        down = np.hypot(
            _log_ratio(conversion.value, conversion.low), _log_ratio(decoding.high, decoding.value)
        )
        up = np.hypot(
            _log_ratio(conversion.high, conversion.value), _log_ratio(decoding.value, decoding.low)
        )
    high = value * np.exp(up) if np.isfinite(up) else conversion.high / max(decoding.low, 1e-12)
    return float(value * np.exp(-down)), float(high)


def _log_ratio(upper: float, lower: float) -> float:
    """Return log(upper / lower) of two ordered numbers; 0 where both are 0."""
    if upper <= lower:
        return 0.0
    return float(np.inf) if lower <= 0 else float(np.log(upper / lower))
