"""Every damage to THINGS-MEG ends in a clear error or a report, never in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from miniatures import damages_things_meg as epochs
from miniatures.damage import Damage, check
from neuroalign.recordings.readers.things_meg_settling import MegOptions


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("things-meg") / "set"
    epochs.write(folder)
    return folder


def test_there_are_enough_and_all_differ() -> None:
    assert len({d.name for d in epochs.DAMAGES}) == len(epochs.DAMAGES) >= 40


@pytest.mark.parametrize("damage", epochs.DAMAGES, ids=lambda d: d.name)
def test_damage(damage: Damage, miniature: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(miniature, folder)
    given = dict(damage.options)
    if "pictures" in given:
        given["pictures"] = folder / str(given["pictures"])
    options = MegOptions(**epochs.OPTIONS | given)
    check(damage, epochs.READER, folder, tmp_path / "out", options)
