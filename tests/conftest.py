"""A small laboratory and a starter of commands, made once for all tests that ask for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from laboratory import Laboratory, Process, Starter
from moments import Moment


@pytest.fixture(scope="session")
def _laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    made = Laboratory(tmp_path_factory.mktemp("laboratory"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROALIGN_CACHE", str(made.cache))
        made.build()
    return made


@pytest.fixture
def lab(_laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    """The small laboratory, to be read and never changed; its embedding cache is in use."""
    monkeypatch.setenv("NEUROALIGN_CACHE", str(_laboratory.cache))
    monkeypatch.setenv("COLUMNS", "200")
    return _laboratory


@pytest.fixture(scope="session")
def _starter() -> Iterator[Starter]:
    starter = Starter()
    yield starter
    starter.close()


@pytest.fixture
def start(_starter: Starter, lab: Laboratory) -> Callable[..., Process]:
    """Start a `neuroalign` command in a process of its own, on the laboratory's cache.

    At the `moment`, if one is given, it is interrupted or killed.
    """

    def start(*arguments: object, moment: Moment | None = None, **environment: object) -> Process:
        values = {k: str(v) for k, v in environment.items()}
        return _starter.start(arguments, {"NEUROALIGN_CACHE": str(lab.cache)} | values, moment)

    return start
