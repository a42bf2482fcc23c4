"""What a run folder holds, read for its report; what is missing is noted and left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.items import item_slug, select_test_items
from neuroalign.evaluation.scores import Score, read_scores
from neuroalign.recipe import Recipe
from neuroalign.recordings.container import Recordings
from neuroalign.report.picture_files import PictureFiles
from neuroalign.retrieval.embeddings import Embeddings
from neuroalign.run import Run

STAGES = ("search", "refit")


@dataclass(frozen=True)
class TestSet:
    """Embedded test items of one modality, and the view that they came from, if it is there."""

    __test__ = False  # not a pytest class

    embeddings: Embeddings
    view: Recordings | None


@dataclass
class RunContents:
    """A run, read for its report.

    Attributes
    ----------
    path : Path
    recipe : Recipe
    record : dict
        run.json.
    model : str
        What the scores call the run's own model.
    scores : list of Score
    pictures, judge : Embeddings or None
        Candidates in the common space, and in the image encoder's.
    recordings : dict from modality to Recordings
        Those that still lie where the run found them.
    split : pandas.DataFrame or None
    logs : dict from modality to a dict from stage to its table
    missing : list of str
        What is not there, in words for the reader.
    """

    path: Path
    recipe: Recipe
    record: dict[str, Any]
    model: str
    scores: list[Score] = field(default_factory=list)
    pictures: Embeddings | None = None
    judge: Embeddings | None = None
    recordings: dict[str, Recordings] = field(default_factory=dict)
    split: pd.DataFrame | None = None
    logs: dict[str, dict[str, pd.DataFrame]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def simulated(self) -> bool:
        """Whether any recordings are simulated."""
        return (
            bool(self.record.get("simulated"))
            or any(r.info.simulated for r in self.recordings.values())
            or any(s.simulated for s in self.scores)
        )

    @property
    def datasets(self) -> dict[str, str]:
        """The name of each modality's data set, as the run recorded it."""
        return dict(self.record.get("datasets", {}))

    @property
    def modalities(self) -> list[str]:
        """The modalities of the recipe, in its order."""
        return [str(m) for m in self.recipe.modalities]

    @cached_property
    def files(self) -> PictureFiles:
        """The picture files of the candidates."""
        for pictures in (self.judge, self.pictures):
            if pictures is not None and "path" in pictures.items:
                return PictureFiles.from_items(pictures.items)
        return PictureFiles()

    @cached_property
    def tests(self) -> dict[str, TestSet]:
        """The first kind of test items of each modality: what all three tasks are shown with."""
        found = {}
        for modality in self.modalities:
            spec = self.recipe.modalities[modality].test_items[0]  # type: ignore[index]
            file = self.path / "evaluation" / f"{modality}-{item_slug(spec)}.parquet"
            if file.is_file():
                embeddings = Embeddings.load(file)
                found[modality] = TestSet(embeddings, self._view(modality, spec, embeddings))
        return found

    def _view(self, modality: str, spec: str, embeddings: Embeddings) -> Recordings | None:
        recordings = self.recordings.get(modality)
        if recordings is None:
            return None
        view = select_test_items(recordings, spec, seed=self.recipe.seed).view
        same = len(view) == len(embeddings) and all(
            view.trials[c].astype("string").equals(embeddings.items[c].astype("string"))
            for c in ("subject", "stimulus", "label")
        )
        if not same:
            self.missing.append(
                f"The {modality} recordings in {recordings.path} have changed since the run was "
                "evaluated: they are shown by their pictures alone."
            )
        return view if same else None


def read_contents(path: Path) -> RunContents:
    """Read a run folder.

    Raises
    ------
    NeuroalignError
        The folder is no run, its training has not finished, or a file in it is damaged.
    """
    run = Run(path)
    contents = RunContents(path, run.recipe, run.record, run.model_name)
    scores = path / "scores.json"
    if scores.is_file():
        contents.scores = read_scores(scores)
    else:
        contents.missing.append(
            "The run has not been evaluated: `neuroalign evaluate` computes the scores."
        )
    contents.pictures = _embeddings(path / "evaluation" / "pictures.parquet")
    contents.judge = _embeddings(path / "evaluation" / "judge.parquet")
    if (path / "split.parquet").is_file():
        contents.split = run.split
    for modality, part in run.recipe.modalities.items():
        contents.logs[modality] = _logs(path, modality)
        try:
            contents.recordings[modality] = Recordings(part.recordings)
        except NeuroalignError:
            contents.missing.append(
                f"The {modality} recordings are no longer at {part.recordings}: they are shown by "
                "their pictures alone, without scalp maps or voxels."
            )
    if contents.scores and not contents.files.by_stimulus:
        contents.missing.append(
            "The picture files of the candidates are not known: pictures are shown by name."
        )
    return contents


def validation_curves(contents: RunContents) -> dict[str, pd.DataFrame]:
    """Return the table of each modality's training with validation."""
    return {m: stages["search"] for m, stages in contents.logs.items() if "search" in stages}


def sealed(contents: RunContents) -> Mapping[str, Mapping[str, str]]:
    """Return the checksum of each person's signals, as they were when the run was trained."""
    stored = contents.record.get("checksums")
    if stored:
        return {str(m): dict(people) for m, people in stored.items()}
    return {
        m: {s: i.sha256 for s, i in r.info.subjects.items()} for m, r in contents.recordings.items()
    }


def _embeddings(path: Path) -> Embeddings | None:
    return Embeddings.load(path) if path.is_file() else None


def _logs(path: Path, modality: str) -> dict[str, pd.DataFrame]:
    found = {}
    for stage in STAGES:
        file = path / "logs" / f"{modality}-{stage}.csv"
        if file.is_file() and file.stat().st_size:
            table = pd.read_csv(file)
            if len(table) and {"epoch", "loss"} <= set(table.columns):
                found[stage] = table
    return found
