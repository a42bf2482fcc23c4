"""Simulated recordings from a known generative model, the ideal observer, and power analysis."""

from neuroalign.simulation.config import SimulationConfig
from neuroalign.simulation.generate import simulate
from neuroalign.simulation.ideal import ideal_conversion, ideal_encoding, ideal_scores
from neuroalign.simulation.truth import Truth, load_truth

__all__ = [
    "SimulationConfig",
    "Truth",
    "ideal_conversion",
    "ideal_encoding",
    "ideal_scores",
    "load_truth",
    "simulate",
]
