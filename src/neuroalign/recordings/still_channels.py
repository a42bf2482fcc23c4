"""Channels that never change: they cannot be standardised, and mean a damaged file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.readers.contract import Part


class StillChannels:
    """Remembers which channels have not changed in the trials so far."""

    def __init__(self) -> None:
        self._low: npt.NDArray[np.float32] | None = None
        self._high: npt.NDArray[np.float32] | None = None

    def look(self, trials: npt.NDArray[np.float32]) -> None:
        """Look at trials of shape (n_trials, channels, samples)."""
        if len(trials):
            low, high = trials.min(axis=(0, 2)), trials.max(axis=(0, 2))
            self._low = low if self._low is None else np.minimum(self._low, low)
            self._high = high if self._high is None else np.maximum(self._high, high)

    def among(self, names: Sequence[str]) -> list[str]:
        """Return those of all channels' `names`."""
        if self._low is None or self._high is None:
            return []
        return [n for n, same in zip(names, self._low == self._high, strict=True) if same]

    def refuse(self, part: Part, names: Sequence[str]) -> None:
        """Raise an error if there are any.

        Raises
        ------
        NeuroalignError
            It names the channels and the file.
        """
        still = self.among(names)
        if still:
            raise NeuroalignError(
                f"{part.name}: {len(still)} channel(s) never change over the training trials "
                f"({', '.join(still[:5])}) in {part.files[0]}, so they cannot be standardised. "
                "Download it again, or leave this person out (--subjects)."
            )
