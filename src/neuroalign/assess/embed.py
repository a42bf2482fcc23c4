"""Embed the test items and candidates of a run, with its own model and with those beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from neuroalign.assess.ideal import has_truth
from neuroalign.assess.stored import Embedded, ItemSet, LogLikelihoods, Stored
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.baselines import embed_with_ridge, fit_ridge
from neuroalign.evaluation.items import TestItems, select_test_items
from neuroalign.models.space import fit_space
from neuroalign.progress import bar
from neuroalign.recordings.schema import Modality
from neuroalign.retrieval.embeddings import Embeddings
from neuroalign.run import Run
from neuroalign.simulation.ideal import ideal_scores
from neuroalign.training.pipeline import targets_of
from neuroalign.training.targets import Targets

RIDGE = "ridge per person"


@dataclass(frozen=True, eq=False)
class Material:
    """What every model is asked to embed: a run, its test items, and the candidate pictures."""

    run: Run
    items: dict[Modality, list[TestItems]]
    judge: Embeddings

    @cached_property
    def targets(self) -> Targets:
        """All that trials can be pulled towards."""
        run = self.run
        return targets_of(run.recordings, run.pictures, run.recipe.classes_without_pictures)


def embed_run(run: Run) -> Stored:
    """Embed the test items of a run with each of `MODELS`.

    Raises
    ------
    NeuroalignError
        The training has not finished, the recordings have changed since, or no picture belongs
        to the test trials.
    """
    run.record  # noqa: B018 (refuses a run whose training has not finished)
    items: dict[Modality, list[TestItems]] = {}
    sets: dict[Modality, tuple[ItemSet, ...]] = {}
    for modality, recordings in run.recordings.items():
        specs = run.recipe.modalities[modality].test_items
        items[modality] = [select_test_items(recordings, s, seed=run.recipe.seed) for s in specs]
        sets[modality] = tuple(
            ItemSet(spec, i.slug, i.description)
            for spec, i in zip(specs, items[modality], strict=True)
        )
    material = Material(run, items, test_pictures(run))
    with bar(len(MODELS), "embedding") as advance:
        models = []
        for embed in MODELS:
            models.append(embed(material))
            advance(1)
    return Stored(
        models=tuple(models),
        judge=material.judge,
        items=sets,
        training=_training(run),
        seed=run.recipe.seed,
        simulated=run.simulated,
        likelihood=_likelihood(material),
    )


def test_pictures(run: Run) -> Embeddings:
    """Return the candidate pictures.

    Those of the test trials; where pictures are unknown, all pictures of the trials' classes.
    """
    stimuli: set[str] = set()
    labels: set[str] = set()
    for recordings in run.recordings.values():
        table = recordings.select(split="test").trials
        stimuli |= set(table["stimulus"].dropna().astype(str))
        labels |= set(table.loc[table["stimulus"].isna(), "label"].dropna().astype(str))
    items = run.pictures.items
    keep = items["stimulus"].isin(list(stimuli)) | items["label"].isin(list(labels))
    if not keep.any():
        raise NeuroalignError(
            f"No picture of {run.recipe.pictures} belongs to the test trials: check the names of "
            "stimuli and labels."
        )
    return run.pictures.take(keep.to_numpy(bool, na_value=False))


test_pictures.__test__ = False  # type: ignore[attr-defined]


def embed_with_model(material: Material) -> Embedded:
    """Embed with the run's own model."""
    bundle = material.run.bundle
    classes = material.targets.embeddings.select(kind="class")
    return Embedded(
        material.run.model_name,
        bundle.space.transform(material.judge),
        bundle.space.transform(classes) if len(classes) else None,
        {m: {i.slug: bundle.embed(i.view) for i in sets} for m, sets in material.items.items()},
    )


def embed_with_ridge_per_person(material: Material) -> Embedded:
    """Embed with a ridge regression per person.

    Fitted to all training trials of that person, in the centred picture space.
    """
    training = {m: r.select(split="train") for m, r in material.run.recordings.items()}
    targets = material.targets
    used = [targets.of(t.trials, str(t.path)) for t in training.values()]
    space = fit_space(targets.embeddings.take(np.unique(np.concatenate(used))))
    goals = space.transform(targets.embeddings)
    classes = goals.select(kind="class")
    items: dict[Modality, dict[str, Embeddings]] = {}
    for modality, sets in material.items.items():
        maps = fit_ridge(training[modality], goals)
        items[modality] = {i.slug: embed_with_ridge(maps, i.view, goals.space) for i in sets}
    return Embedded(
        RIDGE, space.transform(material.judge), classes if len(classes) else None, items
    )


#: Every model that is scored, the run's own first. Each embeds the same items in the same order.
MODELS: tuple[Callable[[Material], Embedded], ...] = (
    embed_with_model,
    embed_with_ridge_per_person,
)


def _likelihood(material: Material) -> LogLikelihoods:
    if not has_truth(material.run):
        return {}
    return {
        (m, i.slug): ideal_scores(i.view, material.judge)
        for m, sets in material.items.items()
        for i in sets
    }


def _training(run: Run) -> pd.DataFrame:
    """Return the distinct pictures and classes that were trained or validated on."""
    columns = ["stimulus", "label"]
    parts = [
        r.select(split="train")
        .trials.groupby(columns, dropna=False, sort=True)
        .size()
        .rename("trials")
        .reset_index()
        .assign(modality=m)
        for m, r in run.recordings.items()
    ]
    table = pd.concat(parts, ignore_index=True)[["modality", *columns, "trials"]]
    return table.astype({"stimulus": "string", "label": "string"})
