"""How far signals agree with themselves: the share of their variance that the picture decides.

From split halves of the repeats; or from the noise-ceiling signal-to-noise ratio (`ncsnr`) that the
Natural Scenes Dataset ships.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.ceilings import means_of, standardised
from neuroalign.recordings.container import Recordings

Array = npt.NDArray[np.float64]


def spearman_brown(reliability: npt.ArrayLike, factor: float) -> Array:
    """Return the reliability of `factor` times as many repeats: f r / (1 + (f - 1) r).

    Spearman (1910) and Brown (1910). A reliability at or below -1/(factor - 1) has no meaning and
    gives NaN.
    """
    r = np.asarray(reliability, np.float64)
    denominator = 1 + (factor - 1) * r
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(denominator > 0, factor * r / denominator, np.nan))


def noise_ceiling(ncsnr: npt.ArrayLike, n_averaged: npt.ArrayLike = 1) -> Array:
    """Return the share of variance that the picture decides in an average of `n_averaged` trials.

    ncsnr^2 / (ncsnr^2 + 1 / n), Allen et al. (2022), "A massive 7T fMRI dataset to bridge
    cognitive neuroscience and artificial intelligence". Where averages differ in their number of
    trials, give the numbers: 1 / n is then their mean, as in the data set's manual.

    Parameters
    ----------
    ncsnr : array of shape (n_voxels,)
        Standard deviation of the signal over that of the noise of a single trial.
    n_averaged : int or array of shape (n_items,)

    Returns
    -------
    ndarray of shape (n_voxels,), in 0..1
    """
    squared = np.asarray(ncsnr, np.float64) ** 2
    noise = float(np.mean(1.0 / np.atleast_1d(np.asarray(n_averaged, np.float64))))
    return np.asarray(squared / (squared + noise))


def read_ncsnr(recordings: Recordings, subject: str) -> npt.NDArray[np.float32] | None:
    """Return a person's `ncsnr` of each voxel, (n_voxels,), if the recordings bring one.

    Raises
    ------
    NeuroalignError
        The file does not fit the person's voxels.
    """
    path = recordings.path / "ncsnr" / f"{subject}.npy"
    if not path.is_file():
        return None
    found: npt.NDArray[np.float32] = np.load(path, allow_pickle=False)
    if found.shape != recordings.feature_shape(subject):
        raise NeuroalignError(
            f"{path} holds values of shape {found.shape}, but {subject} has trials of shape "
            f"{recordings.feature_shape(subject)}: the noise ceiling would be that of other "
            "voxels. Prepare these recordings again."
        )
    return found


def split_half_values(
    first: npt.NDArray[np.floating], second: npt.NDArray[np.floating], factor: float = 2.0
) -> Array:
    """Return each picture's part in the explainable variance, averaged over features.

    The mean is the mean over features of the split-half correlation over pictures, corrected by
    Spearman and Brown to `factor` times the repeats of a half. The parts are its influence values
    (a correlation's is a b - r (a^2 + b^2) / 2 for standard scores a and b), so that pictures can
    be drawn again without computing correlations again.

    Parameters
    ----------
    first, second : ndarray of shape (n_pictures, n_features)
        Averages over the two halves of the repeats.
    factor : float
        2 for the reliability of all repeats; 2 / n for that of a single one of n.

    Returns
    -------
    ndarray of shape (n_pictures,)
    """
    if first.shape != second.shape or len(first) < 3:
        raise NeuroalignError(
            "A split-half reliability needs the same three or more pictures in both halves: got "
            f"{first.shape} and {second.shape}."
        )
    varies = (np.ptp(first, axis=0) > 0) & (np.ptp(second, axis=0) > 0)
    if not varies.any():
        raise NeuroalignError("All features are the same for every picture: nothing can agree.")
    a, b = standardised(first[:, varies]), standardised(second[:, varies])
    r = (a * b).mean(axis=0)
    # Half a correlation below 0 is chance; corrected, its like would grow without bound.
    usable = np.maximum(r, 0.0)
    denominator = 1 + (factor - 1) * usable
    value, slope = factor * r / denominator, factor / denominator**2
    influence = a * b - r * (a**2 + b**2) / 2
    return np.asarray((value + slope * influence).mean(axis=1))


def halves(
    test: Recordings,
) -> dict[str, tuple[pd.DataFrame, npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """Return, for each person, the averages of even and of odd repeats of the same pictures.

    Pictures with fewer than two trials are left out, and people with fewer than three pictures.

    Returns
    -------
    dict from subject to (items, first, second)
        `items` has `stimulus` and `n_averaged`, the trials of both halves.
    """
    found = {}
    for subject in test.subjects:
        view = test.select(subject=subject)
        view = view.take(np.argsort(view.trials["array_row"].to_numpy(), kind="stable"))
        view = view.take(view.trials["stimulus"].notna().to_numpy())
        names, picture = np.unique(view.trials["stimulus"].astype(str), return_inverse=True)
        counts = np.bincount(picture, minlength=len(names))
        if (counts > 1).sum() < 3:
            continue
        half = view.trials.groupby("stimulus").cumcount().to_numpy() % 2
        signals = view.read().reshape(len(view), -1)
        keep = np.flatnonzero(counts > 1)
        first, second = (means_of(signals, picture, half == h, len(names))[keep] for h in (0, 1))
        table = pd.DataFrame({"stimulus": names[keep], "n_averaged": counts[keep]})
        found[subject] = (table, first, second)
    return found
