"""Every damage to a data set ends in a clear error or a report, never in silence."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from miniatures.damage import Damage, check

CATALOGUES = [
    import_module(f"miniatures.{path.stem}")
    for path in sorted((Path(__file__).parents[1] / "miniatures").glob("damages_*.py"))
]
DAMAGES = [
    pytest.param(catalogue, damage, id=f"{catalogue.READER.card.name}: {damage.name}")
    for catalogue in CATALOGUES
    for damage in catalogue.DAMAGES
]


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Callable[[ModuleType], Path]:
    """Return the whole miniature of a catalogue, written when it is first asked for."""

    @cache
    def written(catalogue: ModuleType) -> Path:
        folder = tmp_path_factory.mktemp(catalogue.READER.card.name) / "set"
        catalogue.write(folder)
        return folder

    return written


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda c: c.READER.card.name)
def test_there_are_enough_and_all_differ(catalogue: ModuleType) -> None:
    assert len({d.name for d in catalogue.DAMAGES}) == len(catalogue.DAMAGES) >= 40


def test_every_reader_has_a_catalogue() -> None:
    from neuroalign.recordings.readers import reader_names

    assert {c.READER.card.name for c in CATALOGUES} == set(reader_names())


@pytest.mark.parametrize(("catalogue", "damage"), DAMAGES)
def test_damage(
    catalogue: ModuleType,
    damage: Damage,
    miniature: Callable[[ModuleType], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "set"
    shutil.copytree(miniature(catalogue), folder)
    given: dict[str, Any] = catalogue.OPTIONS | dict(damage.options)
    if "pictures" in given:
        given["pictures"] = folder / given["pictures"]
    check(damage, catalogue.READER, folder, tmp_path / "out", catalogue.READER.options(**given))
    assert not (tmp_path / "pwned").exists(), "code of a file was run"
