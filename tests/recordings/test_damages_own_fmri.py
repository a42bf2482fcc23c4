"""Every damage to somebody's own fMRI ends in a clear error or a report, never in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from miniatures.damage import Damage, check
from miniatures.damages_own_fmri import DAMAGES, OPTIONS, READER, write
from neuroalign.recordings.readers.own_files import ArraysOptions


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own-fmri") / "set"
    write(folder)
    return folder


def test_there_are_enough_and_all_differ() -> None:
    assert len({d.name for d in DAMAGES}) == len(DAMAGES) >= 40


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.name)
def test_damage(
    damage: Damage, miniature: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "set"
    shutil.copytree(miniature, folder)
    options = ArraysOptions(**OPTIONS | dict(damage.options))
    check(damage, READER, folder, tmp_path / "out", options)
    assert not (tmp_path / "pwned").exists()
