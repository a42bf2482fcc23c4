"""Settings in YAML: how they are read, and what is wrong with them, in words for who wrote them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from neuroalign.errors import NeuroalignError

T = TypeVar("T")

#: pydantic's words for these speak of Python objects and not of a YAML file.
_WORDS = {
    "model_type": "has to hold `field: value` lines",
    "dict_type": "has to hold `name: value` lines",
    "tuple_type": "has to be a list, such as [1, 2]",
    "list_type": "has to be a list, such as [1, 2]",
}


def read_settings(text: str, where: str) -> dict[str, Any]:
    """Return the fields of a YAML text.

    Parameters
    ----------
    text : str
    where : str
        What the user calls it: the file.

    Raises
    ------
    NeuroalignError
        It is not YAML, holds no fields, or a field stands there twice.
    """
    try:
        content = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise NeuroalignError(f"{where} is not a readable YAML file: {error}") from error
    if not isinstance(content, dict):
        raise NeuroalignError(f"{where} must hold `field: value` lines.")
    return content


class _Loader(yaml.SafeLoader):
    """Refuses a field that stands twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: list[Any] = []
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"`{key.value}` stands there twice", key.start_mark
                )
            seen.append(key.value)
        return dict(super().construct_mapping(node, deep))


def each_once(
    key: Callable[[T], Hashable] = lambda value: value,
) -> Callable[[tuple[T, ...]], tuple[T, ...]]:
    """Return a check, for a settings model, that no entry of a list stands there twice.

    Parameters
    ----------
    key : callable
        What is the same of two entries that mean the same.
    """

    def check(values: tuple[T, ...]) -> tuple[T, ...]:
        first: dict[Hashable, T] = {}
        for value in values:
            same = key(value)
            if same in first:
                other = "" if first[same] == value else f" ({first[same]!r} is the same)"
                raise ValueError(f"{value!r} stands there twice{other}")
            first[same] = value
        return values

    return check


def faults(error: ValidationError, model: type[BaseModel], *, under: str = "") -> list[str]:
    """Return a line for each field that a settings model refuses.

    Parameters
    ----------
    error : ValidationError
        What the model raised.
    model : type of BaseModel
        The model: a field that it does not have is answered with those it has.
    under : str
        Where the model's fields stand in what the user wrote ("modalities.eeg.architecture").

    Returns
    -------
    list of str
        "training.epochs: Input should be a valid integer (got 'many')".
    """
    lines = []
    for fault in error.errors():
        # "[key]" marks the name itself as wrong, which the name before it shows already.
        path = [str(part) for part in fault["loc"] if part != "[key]"]
        field = ".".join([under] * bool(under) + path)
        found = f" (got {fault['input']!r:.80})"
        if fault["type"] == "extra_forbidden":
            text = "there is no such field; " + _near(path[-1], _fields_at(model, path[:-1]))
            found = ""
        elif fault["type"] == "missing":
            text, found = "has to be given", ""
        elif fault["type"] == "value_error":
            text = str(fault["ctx"]["error"])
            found = found if path else ""  # of a rule between fields: all that was written
        else:
            text = _WORDS.get(fault["type"], fault["msg"])
        lines.append(f"{field}: {text}{found}" if field else f"{text}{found}")
    return lines


def _near(name: str, known: Iterable[str]) -> str:
    known = list(known)
    near = get_close_matches(name, known, n=1)
    return f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"


def _fields_at(model: type[BaseModel], path: Iterable[str]) -> list[str]:
    """Return the fields of the model that `path` leads to; mappings are stepped through."""
    kind: Any = model
    for part in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[part].annotation
        else:
            kind = get_args(kind)[-1]
    return list(kind.model_fields)
