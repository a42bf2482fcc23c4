"""Each run's line over time, mean and spread, measured while volumes pass by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError

Floats = npt.NDArray[np.float64]
Names = npt.NDArray[np.object_]


@dataclass
class _Sums:
    """What has been seen of a run: a reference value, and sums of differences from it."""

    reference: Floats
    count: int
    mean: Floats
    squares: Floats
    by_time: Floats


@dataclass(frozen=True)
class _Fit:
    mean: Floats
    slope: npt.NDArray[np.float32] | None
    scale: npt.NDArray[np.float32] | None


class RunFits:
    """Take each run's line out of volumes and standardise them within their run, block by block.

    Show it all volumes once (`see`), in the order of recording, then let it change them (`apply`):
    the series need not fit into memory. No label is used, so that a test run's statistics come from
    that run: its offset and gain exist nowhere else.

    Parameters
    ----------
    runs : array of shape (n_volumes,)
        The run of each volume, in the order of recording.
    detrend : bool
        Take each voxel's straight line over time out of each run; its mean stays.
    zscore : bool
        Standardise each voxel within each run, after that.

    Raises
    ------
    NeuroalignError
        A run is too short for a line.
    """

    def __init__(self, runs: npt.ArrayLike, *, detrend: bool, zscore: bool) -> None:
        self._runs = np.asarray(runs, object)
        self._detrend, self._zscore = detrend, zscore
        self._time = np.zeros(len(self._runs))
        self._length: dict[object, int] = {}
        for run in dict.fromkeys(self._runs.tolist()):
            rows = np.flatnonzero(self._runs == run)
            if detrend and len(rows) < 3:
                raise NeuroalignError(
                    f"A run of {len(rows)} volume(s) is too short to detrend: a line needs 3."
                )
            self._time[rows] = np.arange(len(rows)) - (len(rows) - 1) / 2
            self._length[run] = len(rows)
        self._sums: dict[object, _Sums] = {}
        self._fits: dict[object, _Fit] = {}

    def see(self, volumes: slice, block: npt.NDArray[np.float32]) -> None:
        """Measure some volumes; `block` has the shape (n, voxels)."""
        if not (self._detrend or self._zscore):
            return
        names = self._runs[volumes]
        with np.errstate(invalid="ignore", over="ignore"):
            for run in dict.fromkeys(names.tolist()):
                here = names == run
                self._add(run, block[here].astype(np.float64), self._time[volumes][here])

    def apply(
        self,
        rows: npt.NDArray[np.int64],
        block: npt.NDArray[np.float32],
        keep: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.float32]:
        """Return the voxels `keep` of the volumes `rows`, detrended and standardised.

        Raises
        ------
        NeuroalignError
            A voxel never changes within a run, so it has no spread.
        """
        chosen = block[:, keep]
        if not (self._detrend or self._zscore):
            return chosen
        out = chosen.astype(np.float64)
        names = self._runs[rows]
        for run in dict.fromkeys(names.tolist()):
            here, fit = np.flatnonzero(names == run), self._fits[run]
            if fit.slope is not None:
                out[here] -= self._time[rows[here], None] * fit.slope[keep]
            if fit.scale is not None:
                mean, scale = fit.mean[keep], fit.scale[keep]
                flat = ~(scale > 1e-12 * np.maximum(np.abs(mean), 1e-12))
                if flat.any():
                    raise NeuroalignError(
                        f"run {run}: {int(flat.sum())} of {len(flat)} voxels never change"
                        f"{' once their line is taken out' if self._detrend else ''}, so they "
                        "cannot be standardised. Leave them out."
                    )
                out[here] = (out[here] - mean) / scale
        return out.astype(np.float32)

    def _add(self, run: object, values: Floats, time: Floats) -> None:
        if run not in self._sums:
            zero = np.zeros(values.shape[1])
            self._sums[run] = _Sums(values[0].copy(), 0, zero, zero.copy(), zero.copy())
        sums = self._sums[run]
        values -= sums.reference
        here, mean = len(values), values.mean(axis=0)
        total, shift = sums.count + here, mean - sums.mean
        # Chan's update: stable where the plain sum of squares would cancel.
        sums.squares += ((values - mean) ** 2).sum(axis=0) + shift**2 * sums.count * here / total
        sums.mean = sums.mean + shift * here / total
        sums.by_time += time @ values
        sums.count = total
        if total == self._length[run]:
            self._fits[run] = self._fit(self._sums.pop(run))

    def _fit(self, sums: _Sums) -> _Fit:
        """Turn sums into a fit; of the many runs of a large study only this much is kept."""
        slope, squares = None, sums.squares
        if self._detrend:
            of_time = sums.count * (sums.count**2 - 1) / 12
            exact = sums.by_time / of_time
            rest = squares - exact * sums.by_time
            # Nothing but rounding is left of a voxel that is a line.
            squares = np.where(rest > 1e-12 * squares, rest, 0.0)
            slope = exact.astype(np.float32)
        scale = None
        if self._zscore:
            scale = np.sqrt(squares / sums.count).astype(np.float32)
        return _Fit(sums.reference + sums.mean, slope, scale)
