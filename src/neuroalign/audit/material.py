"""What is audited: trial tables with the part each trial plays, signals, pictures, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.images.pictures import COLUMNS, PictureSet, picture_set
from neuroalign.recipe import Recipe, load_recipe
from neuroalign.recordings.container import Recordings
from neuroalign.recordings.schema import Modality
from neuroalign.retrieval.embeddings import Embeddings
from neuroalign.run import Run, open_recordings, recipe_pictures
from neuroalign.run_folder import kind_of
from neuroalign.training.validation import validation_masks

PARTS = ("train", "validation", "test")
_NAMELESS = "no trial names its picture"


@dataclass(frozen=True)
class Material:
    """Everything that the rules look at.

    Attributes
    ----------
    subject : str
        What is audited, by its path.
    recordings : mapping from modality to Recordings
        Whole: training and test.
    trials : mapping from modality to pandas.DataFrame
        The trial table of each, with the column `part`: train, validation or test.
    pictures : PictureSet or None
        The pictures that were shown; None where no trial names one, or no recipe is known.
    no_pictures : str
        Why `pictures` is None, or lacks some that were shown; empty if it lacks none.
    embeddings : Embeddings or None
        The same pictures embedded, row by row; None where the encoder is out of reach.
    recipe : Recipe or None
    run : Run or None
        A finished run.
    """

    subject: str
    recordings: Mapping[Modality, Recordings]
    trials: Mapping[Modality, pd.DataFrame]
    pictures: PictureSet | None = None
    embeddings: Embeddings | None = None
    recipe: Recipe | None = None
    run: Run | None = None
    no_pictures: str = ""

    def concepts(self, modality: Modality) -> pd.Series:
        """Return the class of each trial: its label, or else that of its picture."""
        trials = self.trials[modality]
        labels = trials["label"].astype("string")
        if self.pictures is None:
            return labels
        table = self.pictures.table
        known = pd.Series(table["label"].to_numpy(object), index=table["stimulus"].to_numpy(object))
        return labels.fillna(trials["stimulus"].astype(object).map(known).astype("string"))


def open_material(path: str | Path) -> Material:
    """Open a run, a recipe (before training) or a recordings folder.

    Raises
    ------
    NeuroalignError
        It is none of these, or a part of it cannot be read.
    """
    path = Path(path)
    kind = kind_of(path)
    if kind == "recordings":
        recordings = Recordings(path)
        trials = recordings.trials.assign(part=recordings.trials["split"])
        modality = recordings.modality
        pictures, why = _pictures_beside(path, set(trials["stimulus"].dropna()))
        return Material(
            str(path), {modality: recordings}, {modality: trials}, pictures, no_pictures=why
        )
    if kind == "recipe":
        return _of_recipe(str(path), load_recipe(path), None)
    run = Run(path)
    finished = (path / "run.json").is_file()
    return _of_recipe(str(path), run.recipe, run if finished else None)


def _pictures_beside(folder: Path, shown: set[str]) -> tuple[PictureSet | None, str]:
    """Return the pictures that prepared recordings list beside them, and why not (all of them)."""
    file = folder / "pictures.tsv"
    if not shown:
        return None, _NAMELESS
    if not file.is_file():
        return None, (
            f"trials name {len(shown)} pictures, but not their files: there is no {file}. Audit a "
            "recipe, whose `pictures` says where they are"
        )
    try:
        listed = picture_set(str(file))
    except NeuroalignError as error:
        return None, f"the pictures of the trials cannot be looked at: {error}"
    known = shown & set(listed.table["stimulus"])
    lost = f"{len(shown - known)} of {len(shown)} pictures of the trials are not listed in {file}"
    if not known:
        return None, lost
    return listed.select(stimulus=sorted(known)), lost if known < shown else ""


def _of_recipe(subject: str, recipe: Recipe, run: Run | None) -> Material:
    recordings = open_recordings(recipe)
    trials = _recorded_parts(recordings, run) if run else _planned_parts(recordings, recipe)
    shown = {s for t in trials.values() for s in t["stimulus"].dropna()}
    if not shown:
        return Material(subject, recordings, trials, recipe=recipe, run=run, no_pictures=_NAMELESS)
    try:
        embeddings = recipe_pictures(recipe)
    except NeuroalignError:  # the encoder's weights are not here: pictures are compared by content
        pictures = picture_set(recipe.pictures).select(stimulus=sorted(shown))
        return Material(subject, recordings, trials, pictures, None, recipe, run)
    embeddings = embeddings.select(stimulus=sorted(shown))
    pictures = PictureSet(embeddings.items[list(COLUMNS)], recipe.pictures)
    return Material(subject, recordings, trials, pictures, embeddings, recipe, run)


def _recorded_parts(
    recordings: Mapping[Modality, Recordings], run: Run
) -> dict[Modality, pd.DataFrame]:
    """Take each trial's part from split.parquet, or from the recordings if it is not in there."""
    found = {}
    for modality, whole in recordings.items():
        own = run.split[run.split["modality"] == modality]
        part = own.drop_duplicates(["subject", "array_row"]).set_index(["subject", "array_row"])[
            "part"
        ]
        rows = pd.MultiIndex.from_frame(whole.trials[["subject", "array_row"]])
        stated = part.reindex(rows).to_numpy(object)
        given = whole.trials["split"].to_numpy(object)
        found[modality] = whole.trials.assign(part=np.where(pd.isna(stated), given, stated))
    return found


def _planned_parts(
    recordings: Mapping[Modality, Recordings], recipe: Recipe
) -> dict[Modality, pd.DataFrame]:
    """Split validation items off as the training will."""
    training = {m: r.select(split="train") for m, r in recordings.items()}
    masks = validation_masks(training, recipe.validation, recipe.seed)
    found = {}
    for modality, whole in recordings.items():
        part = whole.trials["split"].to_numpy(object).copy()
        part[np.flatnonzero(part == "train")[masks[modality]]] = "validation"
        found[modality] = whole.trials.assign(part=part)
    return found
