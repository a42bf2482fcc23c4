"""Every damage to THINGS-EEG2 ends in a clear error or a report, never in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from miniatures.damage import Damage, check
from miniatures.damages_things_eeg2 import DAMAGES, OPTIONS, READER, write
from neuroalign.recordings.readers.things_eeg2 import ThingsEeg2Options


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("things-eeg2") / "set"
    write(folder)
    return folder


def test_there_are_enough_and_all_differ() -> None:
    assert len({d.name for d in DAMAGES}) == len(DAMAGES) >= 40


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.name)
def test_damage(damage: Damage, miniature: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(miniature, folder)
    given = dict(damage.options)
    if "pictures" in given:
        given["pictures"] = folder / str(given["pictures"])
    check(damage, READER, folder, tmp_path / "out", ThingsEeg2Options(**OPTIONS | given))
