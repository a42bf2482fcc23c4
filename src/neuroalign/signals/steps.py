"""The record of a preprocessing step: what was done, with which numbers, by which libraries."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

from neuroalign.recordings.container import Step


def record(
    name: str,
    *,
    by: tuple[str, ...] = ("numpy",),
    fitted_on: str | None = None,
    **parameters: Any,
) -> Step:
    """Return the `Step` that a recordings folder keeps.

    Parameters
    ----------
    name : str
        What was done ("band-pass").
    by : tuple of str
        The packages that did it; their versions are recorded.
    fitted_on : str, optional
        The trials whose statistics were used; None where the step uses none.
    **parameters
        Its settings, as JSON can hold them.
    """
    return Step(
        name=name,
        parameters=parameters,
        versions={package: _version(package) for package in by},
        fitted_on=fitted_on,
    )


@cache
def _version(package: str) -> str:
    return version(package)
