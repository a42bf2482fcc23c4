"""Options of several values, as somebody writes them in one word."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from neuroalign.errors import NeuroalignError


def as_test_rule(value: Any) -> Any:
    """Read which runs are held out: `last`, a share such as `0.25`, or names with commas."""
    if not isinstance(value, str) or value == "last":
        return value
    try:
        return float(value)
    except ValueError:
        return tuple(name.strip() for name in value.split(",") if name.strip())


def as_interval(value: Any) -> Any:
    """Read two times in seconds, `-0.1,0`, either of which may be absent; or `none`.

    Raises
    ------
    NeuroalignError
        It is another text.
    """
    if not isinstance(value, str) or value == "none":
        return value
    try:
        start, end = (float(part) if part.strip() else None for part in value.split(","))
    except ValueError as error:
        raise NeuroalignError(
            f"A baseline is two times in seconds such as -0.1,0, or none; got {value!r}."
        ) from error
    return start, end


TestRuns = Annotated[str | float | tuple[str, ...] | None, BeforeValidator(as_test_rule)]
