"""What is particular to MEG: the paper's settings."""

from __future__ import annotations

from neuroalign.signals.preprocessing import Preprocessing

#: Down to 120 Hz, epochs from -500 to 1000 ms (181 samples), minus the mean from the epoch's
#: start to the onset, per channel; the standardising follows with training statistics.
MEG_DEFAULTS = Preprocessing(
    tmin=-0.5, tmax=1.0, l_freq=None, h_freq=None, resample=120.0, baseline=(None, 0.0)
)
