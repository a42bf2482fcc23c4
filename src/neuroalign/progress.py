"""Progress with an estimate of the time left, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def bar(total: int, description: str) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr; nothing at all when stderr is not a terminal.

    Parameters
    ----------
    total : int
        The number of steps.
    description : str
        What is being done, in a few words.

    Yields
    ------
    callable
        `advance(n)` moves the bar by `n` steps.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    # Imported here: most imports of neuroalign never draw a bar.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total)
        yield lambda steps: progress.advance(task, steps)


def track(sequence: Sequence[T], description: str) -> Iterator[T]:
    """Yield the elements of `sequence` while a progress bar counts them."""
    with bar(len(sequence), description) as advance:
        for element in sequence:
            yield element
            advance(1)
