"""What scoring needs, as a folder: every model's embeddings of the same test items.

::

    evaluation.json                 models, items, seed, encoder; written last
    judge.parquet                   the candidate pictures in the encoder's own space
    pictures.parquet                the same in the run's common space
    further-judge.parquet, further-pictures.parquet   candidates beyond the test pictures, if any
    classes.parquet                 class targets, where pictures are not known
    <modality>-<items>.parquet      the test items
    <model>/...                     the same files of each further model
    ideal-observer/<modality>-<items>.npy   log-likelihoods, if the recordings are simulated
    ceiling.json                    scores of another run's ideal observer, if any were given
    training.parquet                the pictures and classes of the training trials
    own-repeats/..., own-class/..., reliability.parquet   how the recordings agree with themselves
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.assess.ceilings import Agreement, load_agreement, save_agreement
from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.scores import Score, read_scores, write_scores
from neuroalign.files import atomic_file, write_json
from neuroalign.recordings.schema import Modality
from neuroalign.retrieval.embeddings import Embeddings, concatenate

FORMAT_VERSION = 3
TEST = "test"
_IDEAL = "ideal-observer"
LogLikelihoods = dict[tuple[Modality, str], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class ItemSet:
    """One way to make test items of a modality: single trials, or averages.

    `spec` is the recipe's or the protocol's word for it (see `select_test_items`), `slug` names
    its files, `description` stands in tables; `of_recipe` says whether the recipe asks for it.
    """

    spec: str
    slug: str
    description: str
    of_recipe: bool = True


@dataclass(frozen=True, eq=False)
class Embedded:
    """One model's test items and candidates, in one space of its own.

    Parameters
    ----------
    name : str
        As tables show it.
    pictures : Embeddings
        The candidate pictures, in the order of the judge.
    classes : Embeddings or None
        Class targets, where some training pictures are not known.
    items : dict
        Test items by modality and slug; the same items in the same order for every model.
    """

    name: str
    pictures: Embeddings
    classes: Embeddings | None
    items: dict[Modality, dict[str, Embeddings]]


@dataclass(frozen=True, eq=False)
class Stored:
    """All that scoring needs; see the module.

    Parameters
    ----------
    models : tuple of Embedded
        The run's own model first.
    judge : Embeddings
        The candidate pictures in the encoder's own space; their column `shown` says whether they
        belong to the `test`, were seen in `training`, or `never`.
    items : dict
        The item sets of each modality; the first is what encoding and conversion use.
    training : pandas.DataFrame
        The distinct (`modality`, `stimulus`, `label`) of all training trials, and their number
        `trials`.
    seed : int
        Of the bootstrap.
    simulated : bool
    likelihood : dict
        Of the ideal observer, (n_items, n_candidates) for each modality and slug; or empty.
    agreement : Agreement
        The ceilings that the recordings set themselves.
    every_picture : bool
        Whether `judge` holds the whole picture set, and not the test pictures alone.
    ceiling : tuple of Score
        The ideal observer's scores of another run on the same simulation.
    """

    models: tuple[Embedded, ...]
    judge: Embeddings
    items: dict[Modality, tuple[ItemSet, ...]]
    training: pd.DataFrame
    seed: int
    simulated: bool
    likelihood: LogLikelihoods
    agreement: Agreement
    every_picture: bool = False
    ceiling: tuple[Score, ...] = ()


@dataclass(frozen=True)
class Before:
    """What an earlier evaluation stored, and a further one keeps.

    Attributes
    ----------
    specs : the item sets of each modality
    every_picture : whether the whole picture set was embedded
    ceiling : the scores of another run's ideal observer
    """

    specs: dict[str, list[str]] = field(default_factory=dict)
    every_picture: bool = False
    ceiling: tuple[Score, ...] = ()


def stored_before(folder: Path) -> Before:
    """Return what was stored before; nothing if that is not whole, or of another version.

    So that a protocol adds to what is there, and the scores of all can be computed again.
    """
    if not (folder / "evaluation.json").is_file():
        return Before()
    try:
        content = _described(folder)
    except NeuroalignError:
        return Before()
    specs = {m: [i["spec"] for i in sets] for m, sets in content["items"].items()}
    return Before(specs, content["every_picture"], tuple(read_scores(folder / "ceiling.json")))


def model_slug(name: str) -> str:
    """Return the folder name of a model."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def save_stored(stored: Stored, folder: Path) -> None:
    """Write all of it; an interrupted writing leaves a folder that `load_stored` refuses."""
    described = folder / "evaluation.json"
    described.unlink(missing_ok=True)
    models = []
    for position, model in enumerate(stored.models):
        name = model_slug(model.name) if position else "."
        _save_model(model, folder / name)
        models.append({"name": model.name, "folder": name, "classes": model.classes is not None})
    for (modality, slug), values in stored.likelihood.items():
        with atomic_file(folder / _IDEAL / f"{modality}-{slug}.npy") as partial:
            np.save(partial, values)
    save_agreement(stored.agreement, folder)
    _save_pictures(stored.judge, folder, "judge")
    with atomic_file(folder / "training.parquet") as partial:
        stored.training.to_parquet(partial, index=False)
    write_scores(stored.ceiling, folder / "ceiling.json")
    content = {
        "format_version": FORMAT_VERSION,
        "encoder_space": stored.judge.space,
        "seed": stored.seed,
        "simulated": stored.simulated,
        "every_picture": stored.every_picture,
        "ideal_observer": bool(stored.likelihood),
        "own_repeats": [list(key) for key in stored.agreement.repeats],
        "own_class": [list(key) for key in stored.agreement.classes],
        "models": models,
        "items": {m: [asdict(i) for i in sets] for m, sets in stored.items.items()},
    }
    write_json(described, content)


def load_stored(folder: str | Path) -> Stored:
    """Read what `save_stored` wrote.

    Raises
    ------
    NeuroalignError
        The folder was not written to its end, by another version, or a file is damaged or of
        another encoder than the others.
    """
    folder = Path(folder)
    content = _described(folder)
    items = {
        cast(Modality, m): tuple(ItemSet(**i) for i in sets) for m, sets in content["items"].items()
    }
    every = [(m, i.slug) for m, sets in items.items() for i in sets]
    likelihood: LogLikelihoods = {}
    if content["ideal_observer"]:
        for modality, slug in every:
            likelihood[modality, slug] = np.load(folder / _IDEAL / f"{modality}-{slug}.npy")
    models = tuple(_load_model(m, folder / m["folder"], items) for m in content["models"])
    judge = _load_pictures(folder, "judge")
    _check_spaces(folder, content["encoder_space"], judge, models)
    return Stored(
        models=models,
        judge=judge,
        items=items,
        training=pd.read_parquet(folder / "training.parquet"),
        seed=content["seed"],
        simulated=content["simulated"],
        every_picture=content["every_picture"],
        likelihood=likelihood,
        agreement=load_agreement(
            folder,
            [(m, slug) for m, slug in content["own_repeats"]],
            [(m, slug) for m, slug in content["own_class"]],
        ),
        ceiling=tuple(read_scores(folder / "ceiling.json")),
    )


def _check_spaces(
    folder: Path, encoder: str, judge: Embeddings, models: tuple[Embedded, ...]
) -> None:
    """Refuse embeddings that no distance connects: of another encoder, or another space of it."""
    found = {"judge": (judge.space, encoder)}
    for model in models:
        beside = {f"{m}, {s}": e for m, sets in model.items.items() for s, e in sets.items()}
        if model.classes is not None:
            beside["classes"] = model.classes
        found |= {f"{model.name}: {k}": (e.space, model.pictures.space) for k, e in beside.items()}
    strange = [
        f"{name} in {got}, not {wanted}" for name, (got, wanted) in found.items() if got != wanted
    ]
    if strange:
        raise NeuroalignError(
            f"{folder} holds embeddings of different spaces ({'; '.join(strange[:3])}): distances "
            "between them mean nothing. Evaluate the run again."
        )


def _described(folder: Path) -> dict[str, Any]:
    path = folder / "evaluation.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise NeuroalignError(
            f"{folder} holds no complete set of embeddings (there is no {path.name}). "
            "`neuroalign evaluate` on the run writes it."
        ) from error
    except ValueError as error:
        raise NeuroalignError(f"{path} is damaged ({error}): evaluate the run again.") from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise NeuroalignError(
            f"{path} has format version {version}, but this neuroalign reads {FORMAT_VERSION}: "
            "evaluate the run again."
        )
    return content


def _save_pictures(pictures: Embeddings, folder: Path, name: str) -> None:
    """Write test pictures to one file and further candidates to another."""
    test = (pictures.items["shown"] == TEST).to_numpy(bool)
    pictures.take(test).save(folder / f"{name}.parquet")
    further = folder / f"further-{name}.parquet"
    if test.all():
        further.unlink(missing_ok=True)
    else:
        pictures.take(~test).save(further)


def _load_pictures(folder: Path, name: str) -> Embeddings:
    parts = [Embeddings.load(folder / f"{name}.parquet")]
    if (folder / f"further-{name}.parquet").is_file():
        parts.append(Embeddings.load(folder / f"further-{name}.parquet"))
    return concatenate(parts)


def _save_model(model: Embedded, folder: Path) -> None:
    for modality, sets in model.items.items():
        for slug, embeddings in sets.items():
            embeddings.save(folder / f"{modality}-{slug}.parquet")
    _save_pictures(model.pictures, folder, "pictures")
    if model.classes is not None:
        model.classes.save(folder / "classes.parquet")


def _load_model(
    described: dict[str, Any], folder: Path, items: dict[Modality, tuple[ItemSet, ...]]
) -> Embedded:
    return Embedded(
        described["name"],
        _load_pictures(folder, "pictures"),
        Embeddings.load(folder / "classes.parquet") if described["classes"] else None,
        {
            m: {i.slug: Embeddings.load(folder / f"{m}-{i.slug}.parquet") for i in sets}
            for m, sets in items.items()
        },
    )
