"""Errors for the user: what was wrong, where, and what to do about it."""

from __future__ import annotations


class NeuroalignError(ValueError):
    """Something the user can put right; the command line prints it and exits with status 2.

    The message says what was found against what was expected, where (file, subject, trial),
    why that matters, and what to do.
    """


class MissingDependencyError(NeuroalignError, ImportError):
    """An optional package is needed; the message holds the command that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install 'neuroalign[{extra}]'"
        )
