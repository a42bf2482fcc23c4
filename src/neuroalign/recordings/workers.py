"""The same work in this process, in several, or on a Dask cluster."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from neuroalign.errors import MissingDependencyError, NeuroalignError

T = TypeVar("T")
R = TypeVar("R")


def run_tasks(
    function: Callable[[T], R], tasks: Sequence[T], *, jobs: int = 1, dask: str | None = None
) -> Iterator[tuple[int, R]]:
    """Call `function` on each task, and yield its place and result as soon as it has ended.

    Parameters
    ----------
    function : callable
        Of the top level of a module. What it writes must not depend on the order of the tasks.
    tasks : sequence
    jobs : int
        Processes (joblib); 1: this one.
    dask : str, optional
        The address of a Dask scheduler, such as tcp://10.0.0.1:8786. Its workers must have this
        package installed and see the same files under the same paths.

    Raises
    ------
    MissingDependencyError
        Dask is asked for and not installed.
    NeuroalignError
        `jobs` is no number of processes, or nothing answers at the address.
    """
    if jobs < 1:
        raise NeuroalignError(f"`jobs` must be at least 1 process, got {jobs}.")
    if dask is not None:
        yield from _on_cluster(function, tasks, dask)
    elif jobs == 1 or len(tasks) < 2:
        for place, task in enumerate(tasks):
            yield place, function(task)
    else:
        from joblib import Parallel, delayed

        numbered = delayed(_numbered)
        pool = Parallel(n_jobs=min(jobs, len(tasks)), return_as="generator_unordered")
        yield from pool(numbered(function, place, task) for place, task in enumerate(tasks))


def _numbered(function: Callable[[T], R], place: int, task: T) -> tuple[int, R]:
    return place, function(task)


def _on_cluster(
    function: Callable[[T], R], tasks: Sequence[T], address: str
) -> Iterator[tuple[int, R]]:
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise MissingDependencyError(
            "distributed", "dask", "Preparing on a Dask cluster"
        ) from error
    try:
        _knock(address)
        client: Any = Client(address, timeout="20s", set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise NeuroalignError(
            f"No Dask scheduler answers at {address!r} ({error}). Start one with `dask scheduler` "
            "and give the address that it prints, such as tcp://10.0.0.1:8786."
        ) from error
    with client, client.as_current():
        places = {
            # pure=False: Dask would take two calls with equal arguments for one.
            client.submit(function, task, pure=False): place
            for place, task in enumerate(tasks)
        }
        try:
            for future in as_completed(list(places)):
                yield places[future], future.result()
        finally:
            client.cancel(list(places))


def _knock(address: str) -> None:
    """Fail at once where nobody listens: Dask itself would go on trying."""
    place = urlsplit(address if "://" in address else f"tcp://{address}")
    if place.hostname is None or place.port is None:
        raise ValueError("an address has a host and a port")
    socket.create_connection((place.hostname, place.port), timeout=20).close()
