"""A run on disk: one recipe, trained into one folder that says all about it.

::

    recipe.yaml    the resolved recipe        run.json      versions, seeds, times, choices
    split.parquet  every trial's part         logs/         a row per epoch
    checkpoints/   for resuming               bundle/       the model
    evaluation/    embeddings of test items   scores.json   see neuroalign.assess
    audit.json     see neuroalign.audit
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neuroalign import __version__
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.items import select_test_items
from neuroalign.files import atomic_file, remove_partials, write_json
from neuroalign.images.cache import embed_pictures
from neuroalign.images.pictures import picture_set
from neuroalign.models.bundle import Bundle, load
from neuroalign.recipe import Recipe, dump_recipe, load_recipe
from neuroalign.recordings.container import Recordings
from neuroalign.recordings.schema import Modality
from neuroalign.retrieval.embeddings import Embeddings
from neuroalign.run_folder import require_run, require_trained
from neuroalign.training.devices import make_fabric
from neuroalign.training.pipeline import Fitted, fit_bundle

_VERSIONS_OF = ("torch", "mne", "numpy", "scikit-learn", "transformers", "lightning-fabric")


@dataclass(frozen=True)
class Run:
    """A run folder, opened.

    Parameters
    ----------
    path : Path

    Raises
    ------
    NeuroalignError
        The folder is no run.
    """

    path: Path

    def __post_init__(self) -> None:
        require_run(self.path)

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe that determined the run."""
        return load_recipe(self.path / "recipe.yaml")

    @cached_property
    def record(self) -> dict[str, Any]:
        """The content of run.json."""
        require_trained(self.path)
        try:
            content: dict[str, Any] = json.loads((self.path / "run.json").read_text())
        except ValueError as error:
            raise self._damaged("run.json", error) from error
        return content

    @cached_property
    def split(self) -> pd.DataFrame:
        """The content of split.parquet: the part that each trial had in the training."""
        try:
            return pd.read_parquet(self.path / "split.parquet")
        except (OSError, ValueError) as error:
            raise self._damaged("split.parquet", error) from error

    def _damaged(self, file: str, error: Exception) -> NeuroalignError:
        return NeuroalignError(
            f"{self.path / file} is missing or damaged ({error}). Copy the run folder again, or "
            "train again."
        )

    @cached_property
    def bundle(self) -> Bundle:
        """The trained model."""
        return load(self.path)

    @cached_property
    def pictures(self) -> Embeddings:
        """The picture set of the recipe, embedded by its encoder (not yet in the common space)."""
        return recipe_pictures(self.recipe)

    @cached_property
    def recordings(self) -> dict[Modality, Recordings]:
        """The recordings of each modality, whole, as they were trained on.

        Raises
        ------
        NeuroalignError
            They have changed since: what is called test now may have been trained on.
        """
        found = open_recordings(self.recipe)
        for modality, whole in found.items():
            if _checksums(whole) != self.record["checksums"][modality]:
                raise self._changed(whole, "signals")
            split = self.split.query("modality == @modality")
            rows = ["subject", "array_row"]
            tested = set(whole.trials.query("split == 'test'")[rows].itertuples(index=False))
            if tested != set(split.query("part == 'test'")[rows].itertuples(index=False)):
                raise self._changed(whole, "test trials")
        return found

    def _changed(self, recordings: Recordings, what: str) -> NeuroalignError:
        return NeuroalignError(
            f"{recordings.path} holds other {what} than when {self.path} was trained, so its test "
            "trials may have been trained on. Put the recordings back as they were, or train again."
        )

    @property
    def simulated(self) -> bool:
        """Whether any of the recordings are simulated."""
        return any(r.info.simulated for r in self.recordings.values())

    @property
    def model_name(self) -> str:
        """How tables call the model: the preset, and the alignment where it is an ablation."""
        align = self.recipe.align
        return self.recipe.preset + ("" if align == "trained" else f", align: {align}")


def recipe_pictures(recipe: Recipe) -> Embeddings:
    """Embed the picture set of a recipe, with its labels renamed as the recipe says.

    Raises
    ------
    NeuroalignError
        A label to be renamed is none of the picture set's, or see `picture_set` and
        `embed_pictures`.
    """
    pictures = embed_pictures(
        picture_set(recipe.pictures), recipe.encoder, layer=recipe.encoder_layer
    )
    names = recipe.picture_labels
    strangers = sorted(set(names) - set(pictures.items["label"].dropna()))
    if strangers:
        raise NeuroalignError(
            f"`picture_labels` renames {strangers}, but no picture of {recipe.pictures} has such a "
            f"label; there are {sorted(pictures.items['label'].dropna().unique())[:8]}."
        )
    items = pictures.items.assign(label=pictures.items["label"].replace(names))
    return Embeddings(pictures.vectors, items, pictures.space)


def open_recordings(recipe: Recipe) -> dict[Modality, Recordings]:
    """Open the recordings of a recipe.

    Raises
    ------
    NeuroalignError
        A folder holds no recordings, or those of another modality than the recipe says.
    """
    found: dict[Modality, Recordings] = {}
    for modality, part in recipe.modalities.items():
        recordings = Recordings(part.recordings)
        if recordings.modality != modality:
            raise NeuroalignError(
                f"The recipe gives {part.recordings} as {modality}, but it holds "
                f"{recordings.modality} recordings. Give it under `{recordings.modality}:`, or "
                f"give a folder of {modality} recordings."
            )
        found[modality] = recordings
    return found


def train_run(recipe: Recipe, out: str | Path, *, devices: int = 1) -> Run:
    """Train a recipe into a folder, or go on with a training that was interrupted there.

    Parameters
    ----------
    recipe : Recipe
    out : Path
    devices : int
        Processes (GPUs where there are any); the global batch stays the recipe's.

    Raises
    ------
    NeuroalignError
        The folder holds a finished run, another recipe's run, or something else.
    """
    out = Path(out)
    fabric = make_fabric(devices, precision=recipe.training.precision)
    fabric.launch()
    recordings = open_recordings(recipe)
    _check_test_items(recipe, recordings)
    refusal: NeuroalignError | None = None
    if fabric.is_global_zero:
        try:
            _claim(out, recipe)
        except NeuroalignError as error:
            refusal = error
    refusal = fabric.broadcast(refusal)  # all processes stop, none waits for another that is gone
    if refusal is not None:
        raise refusal
    started = datetime.now(UTC)
    clock = time.perf_counter()
    if fabric.is_global_zero:
        recipe_pictures(recipe)  # one process fills the cache, the others read it
    fabric.barrier()
    pictures = recipe_pictures(recipe)
    embedded = time.perf_counter()
    fitted = fit_bundle(
        recordings,
        pictures,
        recipe,
        architectures={m: recipe.architecture(m) for m in recordings},
        folder=out,
        fabric=fabric,
    )
    if fabric.is_global_zero:
        seconds = {
            "pictures": round(embedded - clock, 1),
            "training": round(time.perf_counter() - embedded, 1),
        }
        _write_split(out / "split.parquet", recordings, fitted)
        fitted.bundle.provenance = _provenance(recipe, recordings)
        fitted.bundle.save(out / "bundle", overwrite=True)
        record = _record(recipe, recordings, fitted, started, seconds, str(fabric.device), devices)
        write_json(out / "run.json", record)
    fabric.barrier()
    return Run(out)


def _claim(out: Path, recipe: Recipe) -> None:
    """Take a folder for a recipe, or recognise an interrupted run of the same recipe in it."""
    mine, text = out / "recipe.yaml", dump_recipe(recipe)
    if mine.is_file():
        if (out / "run.json").is_file():
            raise NeuroalignError(
                f"{out} already holds a finished run, and runs are never overwritten. Choose "
                "another folder with --out, or delete this one."
            )
        if mine.read_text() != text and (out / "checkpoints").exists():
            raise NeuroalignError(
                f"{out} holds an unfinished run of another recipe (see {mine}). Choose another "
                "folder with --out, or delete this one."
            )
        remove_partials(out)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise NeuroalignError(f"{out} already exists and is no run. Choose another --out.")
    with atomic_file(mine) as partial:
        partial.write_text(text)


def _check_test_items(recipe: Recipe, recordings: Mapping[Modality, Recordings]) -> None:
    """Refuse test items that cannot be scored now, rather than after the training."""
    for modality, whole in recordings.items():
        if (whole.trials["split"] == "test").any():
            for spec in recipe.modalities[modality].test_items:
                select_test_items(whole, spec, seed=recipe.seed)


def _write_split(path: Path, recordings: Mapping[Modality, Recordings], fitted: Fitted) -> None:
    tables = []
    for modality, whole in recordings.items():
        part = whole.trials["split"].to_numpy(object).copy()
        part[np.flatnonzero(part == "train")[fitted.validation[modality]]] = "validation"
        table = whole.trials[["subject", "array_row"]].assign(part=part)
        table.insert(0, "modality", modality)
        tables.append(table)
    with atomic_file(path) as partial:
        pd.concat(tables, ignore_index=True).to_parquet(partial, index=False)


def _provenance(recipe: Recipe, recordings: Mapping[Modality, Recordings]) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "preset": recipe.preset,
        "seed": recipe.seed,
        "encoder": recipe.encoder,
        "simulated": any(r.info.simulated for r in recordings.values()),
        **{
            f"{m} recordings": f"{r.info.source or r.path.name}: {len(r.subjects)} people, "
            f"{len(r.select(split='train'))} training trials"
            for m, r in recordings.items()
        },
    }


def _record(
    recipe: Recipe,
    recordings: Mapping[Modality, Recordings],
    fitted: Fitted,
    started: datetime,
    seconds: dict[str, float],
    device: str,
    devices: int,
) -> dict[str, Any]:
    return {
        "neuroalign": __version__,
        "versions": {"python": platform.python_version()} | {p: version(p) for p in _VERSIONS_OF},
        "simulated": any(r.info.simulated for r in recordings.values()),
        "model": recipe.preset,
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": seconds,
        "device": device,
        "devices": devices,
        "space": fitted.bundle.space.name,
        "best_epochs": fitted.best_epochs,
        "chosen_on": "validation",
        "start": {m: asdict(c) for m, c in fitted.choices.items()},
        "recordings": {m: str(r.path) for m, r in recordings.items()},
        "datasets": {m: r.info.dataset for m, r in recordings.items()},
        "checksums": {m: _checksums(r) for m, r in recordings.items()},
        "dropped": [
            {"modality": m, **d.model_dump()} for m, r in recordings.items() for d in r.info.dropped
        ],
        "targets": {
            str(row["label"]): str(row["target_source"])
            for _, row in fitted.targets.classes.iterrows()
        },
    }


def _checksums(recordings: Recordings) -> dict[str, str]:
    return {subject: i.sha256 for subject, i in recordings.info.subjects.items()}
