"""A small clean data set, and everything needed to spoil it in one way at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from neuroalign.images.pictures import shipped_pictures
from neuroalign.recordings import RecordingsInfo, Step, write_recordings
from neuroalign.retrieval.embeddings import Embeddings

CATEGORIES = ("animals", "food", "vehicles", "clothes")
PICTURES_EACH = 6
TEST_EACH = 2
REPEATS = 4
PEOPLE = ("a", "b")
SHAPE = (4, 20)
STANDARDISED = Step(name="standardise", fitted_on="training trials of each person, per channel")


@dataclass(frozen=True)
class World:
    """Trials, signals and pictures of a miniature experiment, in memory.

    `files` maps the name of a picture to the content of its file; people see every picture
    `REPEATS` times in random order, over four runs.
    """

    trials: pd.DataFrame
    signals: dict[str, np.ndarray]
    files: dict[str, bytes]
    steps: tuple[Step, ...] = (Step(name="split"), STANDARDISED)
    suffix: dict[str, str] = field(default_factory=dict)
    sfreq: float = 50.0
    recipe: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write pictures, recordings and a recipe, and return the recipe."""
        for name, content in self.files.items():
            path = folder / "pictures" / f"{name}{self.suffix.get(name, '.png')}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        info = RecordingsInfo(
            modality="eeg",
            axes=("channels", "samples"),
            units="standard deviations",
            sfreq=self.sfreq,
            steps=self.steps,
        )
        write_recordings(folder / "eeg", info, self.signals, self.trials)
        recipe = {
            "name": "miniature",
            "pictures": "pictures",
            "encoder": "offline",
            "modalities": {"eeg": {"recordings": "eeg"}},
        }
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe | self.recipe))
        return path

    def with_trials(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> World:
        return replace(self, trials=change(self.trials.copy()))

    def rows(self, person: str, split: str) -> np.ndarray:
        """Return the rows of a person's signals that are of a split."""
        own = self.trials[self.trials["subject"] == person]
        return np.flatnonzero((own["split"] == split).to_numpy())


def clean_world(
    seed: int = 0, pictures_each: int = PICTURES_EACH, test_each: int = TEST_EACH
) -> World:
    """Return a data set with nothing wrong: pictures held out whole, in a random order."""
    rng = np.random.default_rng(seed)
    table = shipped_pictures().table
    files, pictures = {}, []
    for category in CATEGORIES:
        own = table[table["category"] == category].drop_duplicates("label").head(pictures_each)
        for number, path in enumerate(own["path"]):
            name = f"{category}/{Path(path).stem}"
            files[name] = Path(path).read_bytes()
            pictures.append((name, category, "test" if number < test_each else "train"))
    shown = pd.DataFrame(pictures, columns=["stimulus", "label", "split"])
    people = []
    for person in PEOPLE:
        order = rng.permutation(np.repeat(np.arange(len(shown)), REPEATS))
        one = shown.iloc[order].reset_index(drop=True).assign(subject=person, session="1")
        place = np.arange(len(one))
        one["run"] = (place // 24 + 1).astype(str)
        one["onset_s"] = place % 24 * 2.0
        people.append(one)
    trials = pd.concat(people, ignore_index=True)
    signals = {p: rng.standard_normal((len(trials) // 2, *SHAPE)) for p in PEOPLE}
    return World(trials, signals, files)


@dataclass(frozen=True)
class RunEntry:
    """A trained run that is spoiled in place, the rule that finds it, and a harmless change."""

    rule: str
    poison: Callable[[Path], None]
    twin: Callable[[Path], None]


def _again_in_validation(part: str) -> Callable[[Path], None]:
    """Write trials of a part down as validation trials too."""

    def change(run: Path) -> None:
        split = pd.read_parquet(run / "split.parquet")
        again = split[split["part"] == part].head(3).assign(part="validation")
        pd.concat([split, again]).to_parquet(run / "split.parquet")

    return change


def _chosen_on(part: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        record = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps(record | {"chosen_on": part}))

    return change


def _in_space(file: str, space: str | None) -> Callable[[Path], None]:
    """Write stored embeddings anew, in another space or as they were."""

    def change(run: Path) -> None:
        path = run / "evaluation" / f"{file}.parquet"
        found = Embeddings.load(path)
        replace(found, space=space or found.space).save(path)

    return change


RUNS = {
    "validated on test trials": RunEntry(
        "chosen-on-test", _again_in_validation("test"), _again_in_validation("validation")
    ),
    "an epoch chosen on the test": RunEntry(
        "chosen-on-test", _chosen_on("test"), _chosen_on("validation")
    ),
} | {
    f"another encoder: {file}": RunEntry(
        "different-encoders", _in_space(file, "hf:another/encoder@abc"), _in_space(file, None)
    )
    for file in ("judge", "pictures", "eeg-repeats", "ridge-per-person/pictures")
}
