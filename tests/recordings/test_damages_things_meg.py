"""Every damage to THINGS-MEG ends in a clear error or a report, never in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from miniatures import damages_things_meg as epochs
from miniatures import damages_things_meg_raw as raw
from miniatures.damage import Damage, check
from neuroalign.recordings.readers.things_meg_runs import RawOptions
from neuroalign.recordings.readers.things_meg_settling import MegOptions


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("things-meg") / "set"
    epochs.write(folder)
    return folder


@pytest.fixture(scope="module")
def raw_miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("things-meg-raw") / "set"
    raw.write(folder)
    return folder


def test_there_are_enough_and_all_differ() -> None:
    for damages in (epochs.DAMAGES, raw.DAMAGES):
        assert len({d.name for d in damages}) == len(damages) >= 40


@pytest.mark.parametrize("damage", epochs.DAMAGES, ids=lambda d: d.name)
def test_damage_to_epochs(damage: Damage, miniature: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(miniature, folder)
    given = dict(damage.options)
    if "pictures" in given:
        given["pictures"] = folder / str(given["pictures"])
    options = MegOptions(**epochs.OPTIONS | given)
    check(damage, epochs.READER, folder, tmp_path / "out", options)


@pytest.mark.parametrize("damage", raw.DAMAGES, ids=lambda d: d.name)
def test_damage_to_raw_recordings(damage: Damage, raw_miniature: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(raw_miniature, folder)
    options = RawOptions(**raw.OPTIONS | dict(damage.options))
    check(damage, raw.READER, folder, tmp_path / "out", options)
