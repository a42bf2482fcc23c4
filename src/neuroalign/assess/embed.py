"""Embed the test items and candidates of a run, with its own model and with those beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from neuroalign.assess.ceilings import measure_agreement
from neuroalign.assess.ideal import has_truth
from neuroalign.assess.stored import TEST, Embedded, ItemSet, LogLikelihoods, Stored
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.baselines import embed_with_ridge, fit_ridge
from neuroalign.evaluation.floors import SIGNAL_BLIND, UNTRAINED, signal_blind_embeddings
from neuroalign.evaluation.items import TestItems, select_test_items
from neuroalign.evaluation.protocols import Protocol, of_modality
from neuroalign.models.bundle import Bundle
from neuroalign.models.ridge import RidgeSolution
from neuroalign.models.space import CommonSpace, fit_space
from neuroalign.progress import bar
from neuroalign.recordings.schema import Modality
from neuroalign.retrieval.embeddings import Embeddings, concatenate
from neuroalign.run import Run
from neuroalign.simulation.ideal import ideal_scores
from neuroalign.training.pipeline import targets_of
from neuroalign.training.targets import Targets
from neuroalign.training.untrained import untrained_bundle

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

    @cached_property
    def goals(self) -> tuple[Embeddings, CommonSpace]:
        """The targets in the picture space that is centred on those of training, for baselines."""
        training = [r.select(split="train") for r in self.run.recordings.values()]
        used = [self.targets.of(t.trials, str(t.path)) for t in training]
        space = fit_space(self.targets.embeddings.take(np.unique(np.concatenate(used))))
        return space.transform(self.targets.embeddings), space

    @cached_property
    def maps(self) -> dict[Modality, dict[str, RidgeSolution]]:
        """The linear baseline of each person, fitted to their training trials."""
        goals, _ = self.goals
        return {
            m: fit_ridge(r.select(split="train"), goals) for m, r in self.run.recordings.items()
        }


def embed_run(
    run: Run,
    protocol: Protocol | None = None,
    *,
    also: Mapping[str, Sequence[str]] | None = None,
    every_picture: bool = False,
) -> Stored:
    """Embed the test items of a run with each of `MODELS`.

    Parameters
    ----------
    run : Run
    protocol : Protocol, optional
        Its item sets are embedded beside the recipe's, and the candidates that it asks for.
    also : mapping from modality to specs, optional
        Further item sets.
    every_picture : bool
        Embed the whole picture set as candidates.

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
        usual = run.recipe.modalities[modality].test_items
        asked = () if protocol is None else of_modality(protocol.items, modality, ())
        specs = list(dict.fromkeys([*usual, *asked, *(also or {}).get(modality, ())]))
        items[modality] = [select_test_items(recordings, s, seed=run.recipe.seed) for s in specs]
        sets[modality] = tuple(
            ItemSet(spec, i.slug, i.description, spec in usual)
            for spec, i in zip(specs, items[modality], strict=True)
        )
    if protocol is not None:
        rules = {of_modality(protocol.gallery.pictures, m, "test") for m in items}
        every_picture |= bool(rules & {"test and never shown", "every picture"})
    material = Material(run, items, _candidates(run, every_picture))
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
        every_picture=every_picture,
        likelihood=_likelihood(material),
        agreement=measure_agreement(
            run.recordings,
            items,
            {(m, i.slug): i.spec for m, kinds in sets.items() for i in kinds},
            material.judge,
            material.maps,
        ),
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


def _candidates(run: Run, every_picture: bool) -> Embeddings:
    """Return the test pictures, and the others of the picture set if asked for."""
    test = test_pictures(run)
    marked = test.items.assign(shown=TEST)
    if not every_picture:
        return Embeddings(test.vectors, marked, test.space)
    others = run.pictures.take(~run.pictures.items["stimulus"].isin(test.items["stimulus"]))
    seen = {
        str(s)
        for r in run.recordings.values()
        for s in r.select(split="train").trials["stimulus"].dropna()
    }
    shown = np.where(others.items["stimulus"].isin(list(seen)), "training", "never")
    rest = Embeddings(others.vectors, others.items.assign(shown=shown), test.space)
    return concatenate([Embeddings(test.vectors, marked, test.space), rest])


def embed_with_model(material: Material) -> Embedded:
    """Embed with the run's own model."""
    return _embed_with_bundle(material.run.model_name, material.run.bundle, material)


def embed_untrained(material: Material) -> Embedded:
    """Embed with the run's networks as they are drawn, before any training."""
    run = material.run
    bundle = untrained_bundle(
        run.recordings,
        run.bundle.space,
        {m: run.recipe.architecture(m) for m in run.recordings},
        run.recipe.seed,
    )
    return _embed_with_bundle(UNTRAINED, bundle, material)


def embed_with_ridge_per_person(material: Material) -> Embedded:
    """Embed with a ridge regression per person.

    Fitted to all training trials of that person, in the centred picture space.
    """
    goals, space = material.goals
    items: dict[Modality, dict[str, Embeddings]] = {}
    for modality, sets in material.items.items():
        maps = material.maps[modality]
        items[modality] = {i.slug: embed_with_ridge(maps, i.view, goals.space) for i in sets}
    return _linear(RIDGE, material, goals, space, items)


def embed_signal_blind(material: Material) -> Embedded:
    """Embed by the time of the recording alone, in the centred picture space."""
    goals, space = material.goals
    items = {
        m: {i.slug: signal_blind_embeddings(material.run.recordings[m], i.view, goals) for i in s}
        for m, s in material.items.items()
    }
    return _linear(SIGNAL_BLIND, material, goals, space, items)


def _embed_with_bundle(name: str, bundle: Bundle, material: Material) -> Embedded:
    classes = material.targets.embeddings.select(kind="class")
    return Embedded(
        name,
        bundle.space.transform(material.judge),
        bundle.space.transform(classes) if len(classes) else None,
        {m: {i.slug: bundle.embed(i.view) for i in sets} for m, sets in material.items.items()},
    )


def _linear(
    name: str,
    material: Material,
    goals: Embeddings,
    space: CommonSpace,
    items: dict[Modality, dict[str, Embeddings]],
) -> Embedded:
    classes = goals.select(kind="class")
    return Embedded(name, space.transform(material.judge), classes if len(classes) else None, items)


#: Every model that is scored, the run's own first. Each embeds the same items in the same order.
MODELS: tuple[Callable[[Material], Embedded], ...] = (
    embed_with_model,
    embed_with_ridge_per_person,
    embed_untrained,
    embed_signal_blind,
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
