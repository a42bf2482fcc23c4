"""Rules about where numbers come from: preprocessing, the choice of the model, the encoder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from neuroalign.audit.findings import Finding, Skipped, some
from neuroalign.audit.material import Material
from neuroalign.errors import NeuroalignError
from neuroalign.models.space import CommonSpace, encoder_of
from neuroalign.recordings.schema import Step
from neuroalign.retrieval.embeddings import Embeddings

FITTED_ON_TEST = "fitted-on-test"
CHOSEN_ON_TEST = "chosen-on-test"
DIFFERENT_ENCODERS = "different-encoders"

_SPLIT_STEP = "split"
#: Steps that need statistics, by their names: one that says not of which trials leaves it open.
_STATISTICAL = re.compile(r"z-?scor|standardi|normali[sz]|whiten|\b(?:pca|ica|csp)\b")


def fitted_on_test(material: Material) -> Iterator[Finding]:
    """Find preprocessing whose statistics come from test trials, by what recordings.json says."""
    for modality, trials in material.trials.items():
        n_test = int((trials["part"] == "test").sum())
        for step, stale in _fitted_steps(material.recordings[modality].info.steps):
            said = step.fitted_on or ""
            about = f"the step {step.name!r} was fitted on {said!r}"
            if stale:
                yield _fitted(
                    "refusal",
                    modality,
                    f"{about}, but the recordings were split again afterwards: these trials may be "
                    "test trials now",
                    n_test,
                )
            elif "unsupervised" in said and not _from_training(said):
                yield from _unsupervised(modality, trials, about)
            elif _from_training(said):
                continue
            elif _from_test(said):
                yield _fitted("refusal", modality, about, n_test)
            elif not said:
                yield _fitted(
                    "warning", modality, f"the step {step.name!r} does not say which trials its "
                    "statistics come from", n_test,
                )  # fmt: skip
            else:
                yield _fitted(
                    "warning", modality, f"{about}, which does not say whether test trials were "
                    "among them", n_test,
                )  # fmt: skip


def _fitted(severity: Any, modality: str, what: str, n_test: int) -> Finding:
    return Finding(
        FITTED_ON_TEST,
        severity,
        modality,
        what,
        n_test,
        n_test,
        "Statistics that saw the test trials carry something of them into training.",
        "prepare the recordings again with this split: their statistics then come from training "
        "trials (`neuroalign split` fits them anew where that can be done).",
    )


def _unsupervised(modality: str, trials: pd.DataFrame, about: str) -> Iterator[Finding]:
    """Statistics of a run's own trials are harmless while no run has both sides."""
    runs = [c for c in ("subject", "session", "run") if c in trials]
    test = trials["part"] == "test"
    mixed = test.groupby([trials[c] for c in runs], dropna=False).transform("nunique") > 1
    if not (mixed & test).any():
        return
    yield Finding(
        FITTED_ON_TEST,
        "warning",
        modality,
        f"{about}, and {int((mixed & test).sum())} test trials lie in a run with training trials",
        int((mixed & test).sum()),
        int(test.sum()),
        "Training trials were scaled with numbers to which test trials of their run contributed "
        "(without their labels).",
        "hold out whole runs (`neuroalign split --by run`), or standardise with training trials "
        "(`neuroalign prepare arrays --zscore train`).",
    )


def _fitted_steps(steps: Sequence[Step]) -> Iterator[tuple[Step, bool]]:
    """Yield each step that used statistics which are still in force, and whether it is stale.

    Those that name no trials are among them where statistics are what such a step consists of.
    Stale: fitted on training trials before the trials were divided once more. A later step of the
    same name replaces the statistics of an earlier one.
    """
    for place, step in enumerate(steps):
        later = steps[place + 1 :]
        silent = step.fitted_on is None and not _STATISTICAL.search(step.name.lower())
        if silent or any(s.name == step.name and s.fitted_on for s in later):
            continue
        # A split that kept the test trials as they were has made no test trial of a training one.
        anew = any(s.name == _SPLIT_STEP and not s.parameters.get("keep_test") for s in later)
        stale = "train" in (step.fitted_on or "") and anew
        yield step, stale


#: "training trials of each person", "differences between repeats of training pictures"
_TRAINING = re.compile(
    r"(?:(?:all|the|differences between repeats of|trials of|trials in) )*train(?:ing)? "
    r"(?:trials|volumes|pictures|images|samples|epochs|data|runs|blocks|sessions|repeats|set"
    r"|split|part|fold)\b"
)
_TEST = re.compile(
    r"\b(?:test|testing|held|others?|else|rest|remaining|unseen)\b"
    r"|\b(?:and|plus|with)\s+(?:all|every|everything|the (?:whole|entire))\b"
    r"(?! (?:channels|sensors|voxels|people|subjects))"
)
_EVERYTHING = re.compile(r"\b(?:all|every|everything|everyone|entire|whole|both|complete|full)\b")
#: "(test trials excluded)", "without the test trials": these say that the test took no part.
_EXCLUDED = re.compile(
    r"\([^)]*\b(?:excluded|excluding|not|no|without|never)\b[^)]*\)"
    r"|\b(?:without|excluding|but not|not|no|except)\b(?: \w+)?? (?:test|testing|held)\b[\w -]*"
)


def _from_training(said: str) -> bool:
    """Tell whether words name training trials, and no others beside them.

    What is said after a semicolon is of people or sessions held out whole, who are scaled by
    themselves: nothing of theirs meets the training.
    """
    said = _EXCLUDED.sub("", said.lower().partition(";")[0]).strip()
    return bool(_TRAINING.match(said)) and not _TEST.search(said)


def _from_test(said: str) -> bool:
    said = _EXCLUDED.sub("", said.lower())
    return bool(_TEST.search(said) or _EVERYTHING.search(said))


def chosen_on_test(material: Material) -> Iterator[Finding | Skipped]:
    """Find test trials that chose the model, by what the run recorded of its split."""
    run = material.run
    if run is None:
        yield Skipped(CHOSEN_ON_TEST, "run", "nothing has been trained yet")
        return
    chosen_on = str(run.record.get("chosen_on", "validation"))
    if chosen_on != "validation":
        yield _chosen(
            "run.json", f"the epoch was chosen on {chosen_on!r} trials instead of validation", 1, 1
        )
    rows = ["modality", "subject", "array_row"]
    trained = run.split[run.split["part"] != "test"]
    seen = set(trained[rows].itertuples(index=False, name=None))
    for modality, trials in material.trials.items():
        test = trials[trials["split"] == "test"]
        keys = list(zip([modality] * len(test), test["subject"], test["array_row"], strict=True))
        used = [key for key in keys if key in seen]
        if used:
            names = [f"{s} trial {r}" for _, s, r in used]
            yield _chosen(
                f"{modality}, split.parquet",
                f"{len(used)} of {len(test)} test trials are recorded as training or validation "
                "trials of the run",
                len(used),
                len(test),
                some(names),
            )


def _chosen(
    where: str, what: str, count: int, total: int, examples: tuple[str, ...] = ()
) -> Finding:
    return Finding(
        CHOSEN_ON_TEST,
        "refusal",
        where,
        what,
        count,
        total,
        "A test set that chose the model no longer measures it: the best of many epochs on it is "
        "too good by chance.",
        "train again with validation items that come from the training trials (`validation` in the "
        "recipe).",
        examples,
    )


def different_encoders(material: Material) -> Iterator[Finding | Skipped]:
    """Find a model, or stored embeddings, of another image encoder than the recipe's."""
    run = material.run
    if run is None or material.recipe is None:
        yield Skipped(DIFFERENT_ENCODERS, "run", "nothing has been trained yet")
        return
    space = run.bundle.space
    model = f"model: {space.encoder}"
    if material.embeddings is not None and material.embeddings.space != space.encoder:
        yield _encoders("bundle", [f"recipe: {material.embeddings.space}", model])
    strange = _strange_files(run.path / "evaluation", space)
    if strange:
        yield _encoders("evaluation", [f"{model}, space {space.name}", *strange])


def _strange_files(folder: Path, own: CommonSpace) -> list[str]:
    """Name the stored embeddings that are in no space of the model's encoder.

    The run's own lie in the folder itself, in the model's common space, but for the candidates by
    which retrieved pictures are judged. Each baseline has a folder, and one space in it.
    """
    strange = []
    spaces: dict[Path, str] = {folder: own.name}
    # The pictures of a folder come first: they say which space the recordings beside them need.
    files = sorted(folder.rglob("*.parquet"), key=lambda f: (f.parent, f.stem != "pictures", f))
    for file in files if folder.is_dir() else []:
        try:
            found = Embeddings.load(file).space
        except NeuroalignError:  # a table that holds no embeddings
            continue
        if file.parent == folder and file.stem in ("judge", "further-judge"):
            fits = found == own.encoder
        else:
            fits = found == spaces.setdefault(file.parent, found) and (
                encoder_of(found) == own.encoder
            )
        if not fits:
            strange.append(f"{file.relative_to(folder)}: {found}")
    return strange


def _encoders(where: str, names: Sequence[str]) -> Finding:
    return Finding(
        DIFFERENT_ENCODERS,
        "refusal",
        where,
        f"embeddings come from different image encoders ({'; '.join(names)})",
        len(names) - 1,
        len(names),
        "Distances between the spaces of two encoders mean nothing.",
        "train with the recipe's encoder; remove the folder evaluation/ if its embeddings are of "
        "another model, and evaluate again.",
    )
