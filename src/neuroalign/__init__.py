"""neuroalign: EEG, MEG and fMRI in one picture space."""

__version__ = "0.1.0"
