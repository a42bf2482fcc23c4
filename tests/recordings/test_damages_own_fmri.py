"""Every damage to somebody's own fMRI ends in a clear error or a report, never in silence."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from miniatures.damage import Damage, check
from miniatures.damages_own_fmri import BETAS, DAMAGES, MASK, OPTIONS, READER, TABLE, write
from neuroalign.recordings.preparation import prepare
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


def _big_endian(folder: Path) -> None:
    image = nibabel.load(folder / BETAS)
    header = image.header.as_byteswapped(">")
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), None, header), folder / BETAS)


def _column_by_column(folder: Path) -> None:
    inside = np.asarray(nibabel.load(folder / MASK).dataobj) > 0
    betas = np.asarray(nibabel.load(folder / BETAS).dataobj)[inside].T
    (folder / BETAS).unlink()
    np.save(folder / "p1_betas.npy", np.asfortranarray(betas.astype(">f8")))


def _marked(folder: Path) -> None:
    text = (folder / TABLE).read_text().replace("\n", "\r\n")
    (folder / TABLE).write_bytes(b"\xef\xbb\xbf" + text.encode())


@pytest.mark.parametrize("change", [_big_endian, _column_by_column, _marked])
def test_what_looks_odd_and_is_whole_gives_the_same_numbers(
    change: Callable[[Path], None], miniature: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(miniature, folder)
    wanted = prepare(READER, folder, tmp_path / "wanted", options=ArraysOptions())
    change(folder)
    found = prepare(READER, folder, tmp_path / "found", options=ArraysOptions())
    np.testing.assert_array_equal(
        found.select(subject="p1").read(), wanted.select(subject="p1").read()
    )
    assert found.trials.equals(wanted.trials)
