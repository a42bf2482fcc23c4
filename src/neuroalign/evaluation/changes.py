"""In what two protocols differ, field by field: whether scores of one stand for the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuroalign.evaluation.protocols import Protocol

_WORDING = {"title", "source", "data"}


def changes_since(before: Protocol, now: Protocol) -> list[str]:
    """Return in what a protocol differs from another one, but for its wording.

    Returns
    -------
    list of str
        "`ties` is 'last', was 'shared'", for each field.
    """
    new, old = (_flat(p.model_dump(mode="json", exclude=_WORDING)) for p in (now, before))
    return [
        f"`{field}` is {_shown(new, field)}, was {_shown(old, field)}"
        for field in new | old
        if new.get(field) != old.get(field)
    ]


def _flat(content: Mapping[str, Any], under: str = "") -> dict[str, Any]:
    """Return the values of all fields, those of parts as `part.field`."""
    found: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{under}{name}.")
        else:
            found[under + name] = value
    return found


def _shown(values: Mapping[str, Any], field: str) -> str:
    value = values.get(field)
    return "not stated" if value is None else f"{value!r:.80}"
