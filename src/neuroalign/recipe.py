"""Recipes: one YAML file, checked field by field, determines one run."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.items import item_key
from neuroalign.models.alignment import AlignMode
from neuroalign.models.module import Architecture
from neuroalign.recordings.container import Modality
from neuroalign.settings import each_once, faults, read_settings

T = TypeVar("T", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SpaceRecipe(_Part):
    """The common space (see `models.space`); of several candidates, cross-validation picks one.

    The paper's space is `centre: false, components: [null], power: [0]`.
    """

    centre: bool
    components: tuple[Annotated[int, Field(ge=1)] | None, ...] = Field(min_length=1)
    power: tuple[Annotated[float, Field(ge=0)], ...] = Field(min_length=1)


class StartRecipe(_Part):
    """Where alignment layers start; of several candidates, cross-validation picks one.

    Attributes
    ----------
    kind : `random` or `ridge`
    shares : how much people share (see `training.ridge_start`)
    whiten : whether to whiten the noise between trials of a picture
    sharpness : powers of the component weights (see `training.component_weights`; 0: none)
    """

    kind: Literal["random", "ridge"]
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field((0.0,), min_length=1)
    whiten: tuple[bool, ...] = Field((False,), min_length=1)
    sharpness: tuple[Annotated[float, Field(ge=0)], ...] = Field((0.0,), min_length=1)


class ValidationRecipe(_Part):
    """How validation items are split off the training data.

    `stimulus`: whole pictures. Where pictures are unknown, `run` or `block` (whole runs or blocks
    of each person).
    """

    by: Literal["stimulus", "run", "block"]
    fraction: float = Field(gt=0, lt=1)


class TrainingRecipe(_Part):
    """The fit loop.

    Attributes
    ----------
    epochs, batch_size, learning_rate, weight_decay : AdamW; the batch is over all processes
    temperature, learn_temperature : tau of the contrastive loss, at least 0.01
    patience : epochs without a better validation score before training stops (null: never)
    clip : largest gradient norm (null: no clipping)
    precision : Lightning's name
    refit : train again on all training data for as many epochs as validation found best
    """

    epochs: int = Field(ge=0)
    batch_size: int = Field(gt=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    temperature: float = Field(ge=0.01)
    learn_temperature: bool
    patience: int | None = Field(ge=1)
    clip: float | None = Field(gt=0)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"]
    refit: bool


class ModalityRecipe(_Part):
    """One modality: its recordings and the shape of its module.

    Attributes
    ----------
    recordings : folder of recordings, relative to the recipe
    architecture : overrides of the preset's
    test_items : what is scored; the first is what encoding and conversion use. `trials`,
        `repeats` (all trials of a picture averaged), `by COLUMN, ...` (averages of the trials
        that agree in these columns), `groups of N` (averages of N trials of a class)
    """

    recordings: Path
    architecture: dict[str, Any] = {}
    test_items: Annotated[tuple[str, ...], AfterValidator(each_once(item_key))] = Field(
        ("repeats", "trials"), min_length=1
    )


class FitRecipe(_Part):
    """Everything that determines a fit, apart from the data.

    Attributes
    ----------
    classes_without_pictures : classes (of trials whose picture is unknown) that may be trained
        towards an arbitrary code vector, since the picture set holds none of them
    """

    seed: int = Field(0, ge=0, lt=2**32)
    align: AlignMode = "trained"
    space: SpaceRecipe
    start: StartRecipe
    training: TrainingRecipe
    validation: ValidationRecipe
    architectures: dict[Modality, Architecture]
    classes_without_pictures: tuple[str, ...] = ()


class Recipe(FitRecipe):
    """A run: data, encoder, fit.

    Attributes
    ----------
    name : the run's name, and its folder's unless another is given
    preset : what everything not stated is taken from
    pictures : `shipped`, a folder of pictures, or a .tsv or .csv table of them
    picture_labels : the trial table's names for the picture set's labels, where they differ
    encoder, encoder_layer : see `images.load_encoder`
    modalities : the recordings
    """

    name: str = Field(min_length=1)
    preset: str
    pictures: str
    picture_labels: dict[str, str] = {}
    encoder: str
    encoder_layer: int | None = None
    modalities: dict[Modality, ModalityRecipe] = Field(min_length=1)

    @field_validator("name")
    @classmethod
    def _is_a_folder_name(cls, name: str) -> str:
        if Path(name).name != name or name == "..":
            raise ValueError("must be usable as a folder name")
        return name

    @model_validator(mode="after")
    def _architectures_are_valid(self) -> Recipe:
        for modality in self.modalities:
            try:
                self.architecture(modality)
            except ValidationError as error:
                lines = faults(error, Architecture, under=f"modalities.{modality}.architecture")
                raise ValueError("\n  ".join(lines)) from error
        return self

    def architecture(self, modality: Modality) -> Architecture:
        """Return a modality's architecture with the run's `align` and its own overrides."""
        base = self.architectures[modality].model_dump() | {"align": self.align}
        return Architecture.model_validate(base | self.modalities[modality].architecture)


def presets() -> dict[str, dict[str, Any]]:
    """Return the presets that ship with the package, by name."""
    found = {}
    for file in files("neuroalign.recipes").iterdir():
        if file.name.endswith(".yaml"):
            found[file.name.removesuffix(".yaml")] = yaml.safe_load(file.read_text())
    return found


def preset(name: str) -> dict[str, Any]:
    """Return one preset.

    Raises
    ------
    NeuroalignError
        There is none of that name.
    """
    known = presets()
    if name not in known:
        raise NeuroalignError(f"There is no preset {name!r}; there are {', '.join(sorted(known))}.")
    return known[name]


def fit_recipe(name: str = "default", **overrides: Any) -> FitRecipe:
    """Build fit settings from a preset; nested mappings override field by field.

    Parameters
    ----------
    name : str
        `default` or `paper`.
    **overrides
        Fields of `FitRecipe`, such as `seed=1` or `training={"epochs": 5}`.

    Raises
    ------
    NeuroalignError
        There is no such preset, or a field is unknown or out of range.
    """
    return _validated(FitRecipe, _merge(preset(name), overrides), f"preset {name!r}")


def make_recipe(content: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """Merge a recipe's content over its preset and check it.

    Parameters
    ----------
    content : mapping
        The fields as they stand in YAML; `preset` is `default` unless stated.
    where : str
        What messages call the recipe.

    Raises
    ------
    NeuroalignError
        A field is unknown, missing or out of range.
    """
    content = {"preset": "default"} | dict(content)
    return _validated(Recipe, _merge(preset(str(content["preset"])), content), where)


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe; paths in it are relative to the file and come back absolute.

    Raises
    ------
    NeuroalignError
        The file is missing, is not YAML, or a field is unknown, missing, given twice or out of
        range.
    """
    path = Path(path)
    if path.is_dir():
        raise NeuroalignError(f"{path} is a folder; give the recipe, a YAML file.")
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise NeuroalignError(f"There is no recipe at {path}.") from error
    except (UnicodeDecodeError, OSError) as error:
        raise NeuroalignError(f"{path} is not a readable YAML file: {error}") from error
    recipe = make_recipe(read_settings(text, str(path)), str(path))
    base = path.resolve().parent

    def absolute(stated: str | Path) -> Path:
        return (base / Path(stated).expanduser()).resolve()

    modalities = {
        m: part.model_copy(update={"recordings": absolute(part.recordings)})
        for m, part in recipe.modalities.items()
    }
    pictures, encoder = recipe.pictures, recipe.encoder
    if pictures != "shipped":
        pictures = str(absolute(pictures))
    if encoder.startswith(("hf:.", "hf:~")):  # a model's folder, and no name on the hub
        encoder = f"hf:{absolute(encoder.removeprefix('hf:'))}"
    changes = {"modalities": modalities, "pictures": pictures, "encoder": encoder}
    return recipe.model_copy(update=changes)


def dump_recipe(recipe: Recipe) -> str:
    """Return a recipe as YAML that `load_recipe` reads back."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _validated(model: type[T], content: Mapping[str, Any], where: str) -> T:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = "\n  ".join(faults(error, model))
        raise NeuroalignError(f"{where} is not a valid recipe:\n  {lines}") from error
