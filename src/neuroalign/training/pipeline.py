"""From training recordings and picture embeddings to a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric

from neuroalign.errors import NeuroalignError
from neuroalign.images.targets import class_targets
from neuroalign.models.alignment import LinearAlignment
from neuroalign.models.bundle import Bundle
from neuroalign.models.module import Architecture, NeuralModule
from neuroalign.models.space import CommonSpace, fit_space
from neuroalign.recipe import FitRecipe, fit_recipe
from neuroalign.recordings.container import Modality, Recordings
from neuroalign.retrieval.embeddings import Embeddings
from neuroalign.training.devices import make_fabric
from neuroalign.training.fit import TrialSet
from neuroalign.training.fit import fit as fit_module
from neuroalign.training.logs import EpochLog
from neuroalign.training.ridge_start import StartChoice, choose_start, solve_start
from neuroalign.training.start_data import MAX_ITEMS, StartData, load_start_data, pooled
from neuroalign.training.targets import Targets, make_targets
from neuroalign.training.untrained import untrained_module
from neuroalign.training.validation import validation_masks


@dataclass
class Fitted:
    """A trained bundle and what led to it.

    Attributes
    ----------
    bundle : Bundle
    targets : Targets
        Pictures and classes, before the common space's transform.
    validation : dict from modality to a mask over its training view
    choices : dict from modality to StartChoice (empty for random starts)
    best_epochs : dict from modality to the epoch that validation chose
    """

    bundle: Bundle
    targets: Targets
    validation: dict[Modality, npt.NDArray[np.bool_]]
    choices: dict[Modality, StartChoice] = field(default_factory=dict)
    best_epochs: dict[Modality, int] = field(default_factory=dict)


def fit(
    recordings: Recordings | Sequence[Recordings],
    pictures: Embeddings,
    preset: str = "default",
    **overrides: Any,
) -> Bundle:
    """Train one module per modality and return them as a bundle.

    Parameters
    ----------
    recordings : Recordings, or one per modality
        Trials of the split `train` are used, and no others.
    pictures : Embeddings
        The pictures that were shown, from `embed_pictures`.
    preset : str
        `default` or `paper`.
    **overrides
        Fields of a recipe: `seed=1`, `training={"epochs": 5}`, `align="frozen_random"`.

    Returns
    -------
    Bundle

    Raises
    ------
    NeuroalignError
        Two recordings are of one modality, or see `fit_bundle`.

    Examples
    --------
    >>> bundle = neuroalign.fit([eeg, fmri], pictures)  # doctest: +SKIP
    """
    several = [recordings] if isinstance(recordings, Recordings) else list(recordings)
    named = {r.modality: r for r in several}
    if not several or len(named) < len(several):
        raise NeuroalignError(
            "`fit` takes one set of recordings for each modality; got "
            f"{', '.join(r.modality for r in several) or 'none'}."
        )
    return fit_bundle(named, pictures, fit_recipe(preset, **overrides)).bundle


def fit_bundle(
    recordings: Mapping[Modality, Recordings],
    pictures: Embeddings,
    recipe: FitRecipe | None = None,
    *,
    architectures: Mapping[Modality, Architecture] | None = None,
    folder: Path | None = None,
    fabric: Fabric | None = None,
) -> Fitted:
    """Train one module per modality into one common space.

    Only trials of the split `train` are looked at.

    Parameters
    ----------
    recordings : mapping from modality to Recordings
    pictures : Embeddings
        Of every training picture, at least; from `images.embed_pictures`.
    recipe : FitRecipe, optional
        The preset `default` unless given.
    architectures : mapping from modality to Architecture, optional
        The recipe's unless given.
    folder : Path, optional
        Checkpoints and logs go there; a run that was killed goes on from them.
    fabric : Fabric, optional
        Already launched; unless given, one process, on a GPU where there is one.

    Returns
    -------
    Fitted
        Its modules lie on the CPU.

    Raises
    ------
    NeuroalignError
        Training trials are missing, too few, or without targets; all have the same target; the
        recipe does not fit the recordings; or the training diverges.
    """
    recipe = recipe or fit_recipe()
    fabric = fabric or make_fabric(precision=recipe.training.precision)
    architectures = architectures or {
        m: recipe.architectures[m].model_copy(update={"align": recipe.align}) for m in recordings
    }
    training = {m: _training_view(r) for m, r in recordings.items()}
    masks = validation_masks(training, recipe.validation, recipe.seed)
    targets = targets_of(training, pictures, recipe.classes_without_pictures)
    whole = {m: TrialSet(r, targets.of(r.trials, str(r.path))) for m, r in training.items()}
    search = {m: _part(t, ~masks[m]) for m, t in whole.items()}
    held = {m: _part(t, masks[m]) for m, t in whole.items()}
    used = np.unique(np.concatenate([t.target_rows for t in whole.values()]))
    if len(used) < 2:
        raise NeuroalignError(
            "All training trials show the same picture or class, so there is nothing to tell it "
            "from. Train on recordings of at least two."
        )
    spaces = candidate_spaces(targets.embeddings.take(used), recipe)
    space, choices = _choose(search, spaces, targets, recipe, architectures, fabric)
    goals = space.transform(targets.embeddings).vectors

    def train(
        modality: Modality, trials: TrialSet, validation: TrialSet | None, epochs: int, stage: str
    ) -> tuple[NeuralModule, int]:
        module = untrained_module(architectures[modality], trials.recordings, space, recipe.seed)
        if modality in choices and module.architecture.align != "frozen_random":
            _start_module(module, trials, choices[modality], targets, recipe.seed)
        log = None
        if folder is not None and fabric.is_global_zero:
            log = EpochLog(folder, f"{modality}-{stage}")
        result = fit_module(
            module,
            trials,
            validation,
            goals,
            recipe.training,
            fabric=fabric,
            seed=recipe.seed,
            epochs=epochs,
            checkpoint=folder / "checkpoints" / f"{modality}-{stage}.pt" if folder else None,
            log=log,
            description=f"training {modality}" + (", all data" if validation is None else ""),
        )
        return module, result.best_epoch

    fitted = Fitted(Bundle({}, space), targets, masks, choices)
    for m in recordings:
        module, best = train(m, search[m], held[m], recipe.training.epochs, "search")
        if recipe.training.refit:
            module, _ = train(m, whole[m], None, best, "refit")
        fitted.bundle.modules[m] = module.cpu().eval()
        fitted.best_epochs[m] = best
    return fitted


def _training_view(recordings: Recordings) -> Recordings:
    view = recordings.select(split="train")
    absent = [s for s in recordings.subjects if s not in view.subjects]
    if absent and len(view):
        raise NeuroalignError(
            f"{recordings.path}: {', '.join(absent)} has no training trials (split == 'train'), so "
            "no alignment layer can be trained and no test trial embedded. Split each person's "
            "trials when preparing the recordings, or leave the person out."
        )
    return view


def targets_of(
    recordings: Mapping[Modality, Recordings],
    pictures: Embeddings,
    classes_without_pictures: Sequence[str] = (),
) -> Targets:
    """Return the targets of trials: pictures, and classes where pictures are unknown.

    Parameters
    ----------
    recordings : mapping from modality to Recordings
    pictures : Embeddings
        All of them; the column `label` holds the classes.
    classes_without_pictures : sequence of str
        Classes that may get a code vector.

    Raises
    ------
    NeuroalignError
        A class has no pictures and is not named in `classes_without_pictures`.
    """
    labels: set[str] = set()
    for view in recordings.values():
        table = view.trials
        labels |= set(table.loc[table["stimulus"].isna(), "label"].dropna().astype(str))
    pictured = set(pictures.items["label"].dropna().astype(str))
    bare = sorted(labels - pictured - set(classes_without_pictures))
    if bare:
        raise NeuroalignError(
            f"The picture set has no pictures of the class(es) {', '.join(bare)}; its labels are "
            f"{', '.join(sorted(pictured)[:8])}{', ...' if len(pictured) > 8 else ''}. If names "
            "differ, map them in the recipe (`picture_labels: {faces: face}`); if there are none, "
            "list the classes in `classes_without_pictures` to train them towards code vectors."
        )
    return make_targets(pictures, class_targets(sorted(labels), pictures) if labels else None)


def candidate_spaces(pictures: Embeddings, recipe: FitRecipe) -> list[CommonSpace]:
    """Fit every candidate space of a recipe to training pictures.

    Of several numbers of components, those above a quarter of the number of pictures are left out
    (but never the smallest): such a space is fitted to these very pictures, and cross-validation
    over them flatters it.
    """
    wanted = recipe.space
    sizes = sorted(wanted.components, key=lambda c: np.inf if c is None else c)
    few = [c for c in sizes if c is not None and c <= len(pictures) / 4] or sizes[:1]
    return [
        fit_space(pictures, centre=wanted.centre, components=components, power=power)
        for components, power in product(few, wanted.power)
    ]


def _part(trials: TrialSet, mask: npt.NDArray[np.bool_]) -> TrialSet:
    rows = np.flatnonzero(mask)
    return TrialSet(trials.recordings.take(rows), trials.target_rows[rows])


def _choose(
    search: Mapping[Modality, TrialSet],
    spaces: list[CommonSpace],
    targets: Targets,
    recipe: FitRecipe,
    architectures: Mapping[Modality, Architecture],
    fabric: Fabric,
) -> tuple[CommonSpace, dict[Modality, StartChoice]]:
    """Pick the space, one for all modalities, and each modality's start, by cross-validation."""
    if recipe.start.kind == "random" and len(spaces) == 1:
        return spaces[0], {}
    chosen: tuple[int, dict[Modality, StartChoice]] | None = None
    if fabric.is_global_zero:
        table = {}
        for m, t in search.items():
            data = load_start_data(
                t.recordings, t.target_rows, whiten=any(recipe.start.whiten), seed=recipe.seed
            )
            table[m] = choose_start(
                pooled(data) if architectures[m].align == "none" else data,
                spaces,
                targets.embeddings.vectors,
                shares=recipe.start.shares,
                whiten=recipe.start.whiten,
                sharpness=recipe.start.sharpness,
                seed=recipe.seed,
            )
        means = np.mean([[c.two_way for c in row] for row in table.values()], axis=0)
        best = int(np.argmax(means))
        chosen = best, {m: row[best] for m, row in table.items()}
    best, choices = cast(tuple[int, dict[Modality, StartChoice]], fabric.broadcast(chosen))
    return spaces[best], choices if recipe.start.kind == "ridge" else {}


def _start_module(
    module: NeuralModule, trials: TrialSet, choice: StartChoice, targets: Targets, seed: int
) -> None:
    # With nothing shared, each person is a small problem of their own.
    alone = choice.share == 0.0 and module.architecture.align != "none"
    data = load_start_data(
        trials.recordings,
        trials.target_rows,
        max_items=MAX_ITEMS * (len(module.subjects) if alone else 1),
        whiten=choice.whiten,
        seed=seed,
    )
    start_from_ridge(module, data, choice, targets)


def start_from_ridge(
    module: NeuralModule, data: StartData, choice: StartChoice, targets: Targets
) -> None:
    """Put a ridge solution into a module's alignment layers.

    Raises
    ------
    NeuroalignError
        The module's alignment is not linear, or not as wide as the common space.
    """
    if module.architecture.align == "none":
        data = pooled(data)
    maps = solve_start(data, choice, module.space, targets.embeddings.vectors)
    for subject, matrix in zip(data.subjects, maps, strict=True):
        layer = module.alignment.layer(subject)
        if not isinstance(layer, LinearAlignment) or layer.linear.out_features != len(matrix):
            raise NeuroalignError(
                "A ridge start needs linear alignment layers as wide as the common space "
                f"({len(matrix)}); set `alignment: linear` and leave `align_dim` out, or set "
                "`start: {kind: random}` in the recipe."
            )
        with torch.no_grad():
            layer.linear.weight.copy_(torch.from_numpy(matrix))
            layer.linear.bias.zero_()
