"""Every damage to a laboratory's own epochs files ends in a clear error or a report."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from miniatures.damage import Damage, check
from miniatures.damages_own_epochs import DAMAGES, OPTIONS, READER, write
from miniatures.own_epochs import plant, write_file
from neuroalign.recordings.preparation import prepare
from neuroalign.recordings.readers.epochs import EpochsOptions


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own-epochs") / "set"
    write(folder)
    return folder


def test_there_are_enough_and_all_differ() -> None:
    assert len({d.name for d in DAMAGES}) == len(DAMAGES) >= 40


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.name)
def test_damage(damage: Damage, miniature: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(miniature, folder)
    options = EpochsOptions(**OPTIONS | dict(damage.options))
    check(damage, READER, folder, tmp_path / "out", options)


def test_numbers_of_pictures_are_the_same_names_beside_missing_ones(tmp_path: Path) -> None:
    tmp_path.joinpath("set").mkdir()
    for file in ("bob_1-epo.fif", "bob_2-epo.fif"):
        own = plant("bob", file)
        numbers = own.metadata["stimulus"].str[-1].astype(float)
        if file == "bob_2-epo.fif":
            numbers[:3] = None
        else:
            numbers = numbers.astype(int)
        write_file(tmp_path / "set" / file, own.data, own.metadata.assign(stimulus=numbers))
    options = EpochsOptions(**OPTIONS)
    recordings = prepare(READER, tmp_path / "set", tmp_path / "out", options=options)
    assert set(recordings.trials["stimulus"].dropna()) == set("012345")
