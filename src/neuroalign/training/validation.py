"""The validation split: taken from the training data, by whole pictures, runs or blocks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from neuroalign.errors import NeuroalignError
from neuroalign.recipe import ValidationRecipe
from neuroalign.recordings.container import Modality, Recordings


def validation_masks(
    training: Mapping[Modality, Recordings], recipe: ValidationRecipe, seed: int
) -> dict[Modality, npt.NDArray[np.bool_]]:
    """Mark the validation items of each modality's training view.

    By `stimulus`, the same pictures are held out in every modality; by `run` or `block`, whole
    runs or blocks of each person are, never all of them.

    Parameters
    ----------
    training : mapping from modality to Recordings
        Training trials only.
    recipe : ValidationRecipe
    seed : int

    Returns
    -------
    dict from modality to a bool array of shape (n_training_trials,)

    Raises
    ------
    NeuroalignError
        Trials have no picture or no run, or the training data are too small to be split.
    """
    for recordings in training.values():
        if len(recordings) == 0:
            raise NeuroalignError(f"{recordings.path} has no training trials (split == 'train').")
        table = recordings.trials
        if recipe.by not in table or table[recipe.by].isna().any():
            lacking = int(table[recipe.by].isna().sum()) if recipe.by in table else len(table)
            whole = [
                c for c in ("stimulus", "run", "block") if c in table and table[c].notna().all()
            ]
            raise NeuroalignError(
                f"{recordings.path}: validation by {recipe.by!r} needs a {recipe.by} for every "
                f"training trial, but {lacking} of {len(table)} have none. "
                + (
                    f"Set `validation: {{by: {whole[0]}}}` in the recipe, which all of them have."
                    if whole
                    else "Prepare the recordings again with the picture, run or block of each."
                )
            )
    if recipe.by == "stimulus":
        return _by_stimulus(training, recipe.fraction, seed)
    return {m: _by_group(r, recipe, seed) for m, r in training.items()}


def _by_stimulus(
    training: Mapping[Modality, Recordings], fraction: float, seed: int
) -> dict[Modality, npt.NDArray[np.bool_]]:
    names = sorted({s for r in training.values() for s in r.trials["stimulus"].unique()})
    held = max(2, round(fraction * len(names)))
    if len(names) - held < 2:
        raise NeuroalignError(
            f"{len(names)} training picture(s) are too few to split off {held} for validation and "
            "keep at least 2. Record more pictures, or lower `validation: {fraction}`."
        )
    chosen = set(np.random.default_rng(seed).permutation(np.array(names, object))[:held])
    masks = {m: r.trials["stimulus"].isin(chosen).to_numpy(bool) for m, r in training.items()}
    for modality, mask in masks.items():
        if not mask.any() or mask.all():
            raise NeuroalignError(
                f"{modality}: the validation pictures drawn with seed {seed} hold "
                f"{'none' if not mask.any() else 'all'} of its training trials. Choose another "
                "seed or fraction."
            )
        people = training[modality].trials["subject"]
        lost = sorted(set(people) - set(people[~mask]))
        if lost:
            raise NeuroalignError(
                f"{modality}: all training pictures of {', '.join(lost)} fell to validation (seed "
                f"{seed}), so nothing is left to train on. Choose another seed or a smaller "
                "fraction."
            )
    return masks


def _by_group(recordings: Recordings, recipe: ValidationRecipe, seed: int) -> npt.NDArray[np.bool_]:
    table = recordings.trials
    groups = table["subject"].astype(str) + "/" + table[recipe.by].astype(str)
    mask = np.zeros(len(table), bool)
    for number, subject in enumerate(recordings.subjects):
        own = sorted(groups[table["subject"] == subject].unique())
        held = min(max(1, round(recipe.fraction * len(own))), len(own) - 1)
        order = np.random.default_rng([seed, number]).permutation(len(own))[:held]
        mask |= groups.isin([own[i] for i in order]).to_numpy(bool)
    if not mask.any():
        raise NeuroalignError(
            f"{recordings.path}: every person has a single {recipe.by} of training data, so none "
            "can be held out for validation. Split by something finer."
        )
    return mask
