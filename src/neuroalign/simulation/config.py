"""What a simulation is determined by: every number of the generative model that may be chosen."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from neuroalign.recordings.container import Modality

# Where the modalities differ. The signal-to-noise ratios are calibrated on the pictures that ship
# with the package, so that the ideal observer neither fails nor succeeds every time.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "eeg": {"subjects": 3, "snr": 0.08, "sfreq": 125.0, "channels": 128, "noise_sd": 10.0},
    "meg": {"subjects": 3, "snr": 0.05, "sfreq": 120.0, "channels": 272, "noise_sd": 200.0},
    "fmri": {"subjects": 4, "snr": 0.03, "noise_sd": 1.0},
}


class SimulationConfig(BaseModel):
    """The simulated recordings of one modality.

    The defaults make a demonstration that is neither trivial nor hopeless and fits a laptop
    (2 to 4 people, 400 pictures, some hundred megabytes). Fields that name a modality are ignored
    by the others. The same config, pictures and seed give the same numbers.

    Examples
    --------
    >>> SimulationConfig(modality="meg", tmin=-0.5, tmax=1.0).times.shape  # the paper's epochs
    (181,)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    modality: Modality = Field(description="eeg, meg or fmri.")
    subjects: int = Field(
        ge=1,
        description="People. 3 (eeg, meg) and 4 (fmri), the paper's order of magnitude.",
    )
    seed: int = Field(default=0, ge=0, description="Decides people, trial order and noise.")
    split_seed: int = Field(
        default=0,
        ge=0,
        description="Decides the test pictures, and nothing else: simulations of several "
        "modalities with one split_seed share their test pictures, which conversion needs.",
    )
    training_repeats: int = Field(
        default=2, ge=1, description="Trials per training picture: labs rarely afford more."
    )
    test_repeats: int = Field(
        default=4,
        ge=1,
        description="Trials per test picture; more than in training, as is the custom (12 in "
        "THINGS-MEG), because the averaged test trials set the score's ceiling.",
    )
    test_pictures: int = Field(
        default=70,
        ge=2,
        description="Pictures kept out of training; 70 give a 2-way score to about 0.02.",
    )

    training_pictures: int | None = Field(
        default=None,
        ge=2,
        description="Pictures used for training; None: all that are not test pictures.",
    )

    latents: int = Field(
        default=10,
        ge=1,
        description="Picture features that the brain responds to (K). Ten leading components "
        "hold about a third of the variance of the demonstration's embedding, and can still be "
        "learnt from a few hundred pictures.",
    )
    early_share: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Share of the latents that are early and visual (the later components); "
        "the rest is late and semantic (the leading ones). A minority, as the embedding is "
        "mostly semantic.",
    )
    spectrum: float = Field(
        default=0.5,
        ge=0,
        description="Strength of latent k is (its standard deviation in the embedding)^spectrum: "
        "0 = all alike, 1 = the brain weighs features as the embedding does. In between, as "
        "neither is plausible.",
    )
    nonlinearity: float = Field(
        default=0.0,
        ge=0,
        description="Saturation b of the tuning, tanh(b u): 0 = linear, where ridge regression is "
        "the right model; 1 bends visibly, 3 is almost a switch.",
    )
    latent_noise: float = Field(
        default=3.0,
        ge=0,
        description="Standard deviation of the trial-to-trial wandering of each latent, in units "
        "of its spread over pictures: noise that lies within the tuning, which no number of "
        "sensors averages away. It, more than sensor noise, limits the ideal observer here, as "
        "correlated variability limits populations of neurons.",
    )
    snr: float = Field(
        ge=0,
        description="Variance over pictures / variance of the measurement noise in a single "
        "trial, averaged over the features (and, for eeg and meg, over the samples after onset). "
        "A few per cent is usual in single trials. 0 = no signal at all.",
    )
    person_spread: float = Field(
        default=0.2,
        ge=0,
        description="Standard deviation over people of the logarithm of the response strength: "
        "0.2 makes the best of five people respond about 1.6 times as strongly as the worst.",
    )
    noise_sd: float = Field(
        gt=0,
        description="Standard deviation of the noise, in the units of the recordings: 10 uV, "
        "200 fT, 1. Sets the units only, as `snr` is relative to it.",
    )

    sfreq: float = Field(
        default=120.0,
        gt=0,
        description="Sampling rate in Hz (eeg, meg). 125 and 120 (the paper's MEG) keep what is "
        "below 50 Hz, where evoked responses live.",
    )
    tmin: float = Field(
        default=-0.1, description="First sample, s from picture onset (eeg, meg): a baseline."
    )
    tmax: float = Field(
        default=0.5, description="Last sample, s (eeg, meg): the latest response has then faded."
    )
    channels: int = Field(
        default=128,
        description="Sensors: 16, 32, 64, 128, 160 or 256 electrodes (BioSemi caps), or any "
        "number of meg sensors (272, as in THINGS-MEG).",
    )
    noise_exponent: float = Field(
        default=1.0,
        ge=0,
        le=3,
        description="Noise power falls with frequency as 1/f^exponent above 1 Hz (eeg, meg): 1 "
        "is typical of resting EEG.",
    )
    brain_noise: float = Field(
        default=0.7,
        ge=0,
        lt=1,
        description="Share of the noise variance that comes from background sources in the brain "
        "and is smooth over the scalp; the rest is the sensors' own (eeg, meg).",
    )
    latency_jitter: float = Field(
        default=0.01, ge=0, description="Standard deviation over people of a latency, s (eeg, meg)."
    )
    location_jitter: float = Field(
        default=0.006,
        ge=0,
        description="Standard deviation over people of a source coordinate, m (eeg, meg): "
        "functional areas differ by several millimetres after alignment of the heads.",
    )
    evoked: float = Field(
        default=1.0,
        ge=0,
        description="Strength of the response that all pictures share, relative to that which "
        "tells them apart (eeg, meg): 1 gives peaks of 10 to 20 uV, as averages of real trials "
        "have.",
    )

    voxels: tuple[int, int] = Field(
        default=(1500, 2500),
        description="Fewest and most voxels of a person (fmri): people differ in width.",
    )
    silent_voxels: float = Field(
        default=0.3, ge=0, lt=1, description="Share of voxels without any tuning (fmri)."
    )
    ceiling_shape: tuple[float, float] = Field(
        default=(1.0, 3.0),
        description="Parameters of the Beta distribution of the tuned voxels' signal variance "
        "(fmri): many weak voxels, few strong ones, as noise ceilings of real voxels spread.",
    )
    shared_noise: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="Share of the noise variance that is common to many voxels (fmri): breathing, "
        "motion, arousal.",
    )
    shared_components: int = Field(default=5, ge=1, description="Rank of that common noise (fmri).")

    @model_validator(mode="before")
    @classmethod
    def _modality_defaults(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {**_DEFAULTS.get(str(values.get("modality")), {}), **values}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.modality == "fmri":
            low, high = self.voxels
            if not 1 <= low <= high:
                raise ValueError(
                    f"`voxels` must be (fewest, most) with 1 <= fewest, got {self.voxels}"
                )
            if self.shared_components > low:
                raise ValueError(
                    f"{self.shared_components} shared noise components need more than {low} voxels"
                )
            return self
        if not self.tmin < self.tmax or self.tmax <= 0:
            raise ValueError(f"need tmin < tmax and tmax > 0, got {self.tmin} and {self.tmax} s")
        if self.modality == "eeg" and self.channels not in (16, 32, 64, 128, 160, 256):
            raise ValueError(
                f"no EEG cap with {self.channels} electrodes; choose 16, 32, 64, 128, 160 or 256"
            )
        if self.channels < 1:
            raise ValueError(f"`channels` must be positive, got {self.channels}")
        return self

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """Return the times of the samples in s, both ends included (eeg, meg)."""
        samples = round((self.tmax - self.tmin) * self.sfreq) + 1
        return self.tmin + np.arange(samples) / self.sfreq

    @property
    def early_latents(self) -> int:
        """Return how many of the latents are early; they are the last ones."""
        return round(self.early_share * self.latents)

    @property
    def units(self) -> Literal["uV", "fT", "arbitrary units"]:
        """Return the units of the signals."""
        units: dict[Modality, Literal["uV", "fT", "arbitrary units"]]
        units = {"eeg": "uV", "meg": "fT", "fmri": "arbitrary units"}
        return units[self.modality]
