"""Output is whole or absent, and as open as the umask says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuroalign.errors import NeuroalignError
from neuroalign.files import atomic_file, atomic_folder, remove_partials, write_json


@pytest.fixture(params=[0o077, 0o022, 0o002], ids=["private", "usual", "group"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_who_may_read_a_result_is_for_the_umask_to_say(tmp_path: Path, umask: int) -> None:
    with atomic_folder(tmp_path / "folder") as folder:
        (folder / "inner").write_text("x")
    write_json(tmp_path / "a.json", {"a": 1})
    modes = {p.name: p.stat().st_mode & 0o777 for p in tmp_path.rglob("*")}
    file, directory = 0o666 & ~umask, 0o777 & ~umask
    assert modes == {"folder": directory, "inner": file, "a.json": file}


def test_what_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", [1])
    with atomic_folder(tmp_path / "b") as folder:
        (folder / "old").write_text("old")
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "a.json") as partial:
        partial.write_text("half")
        raise RuntimeError
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "b", overwrite=True) as folder:
        (folder / "new").write_text("half")
        raise RuntimeError
    assert json.loads((tmp_path / "a.json").read_text()) == [1]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.json", "b", "old"]


def test_a_folder_is_replaced_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with atomic_folder(tmp_path / "empty") as folder:
        (folder / "first").write_text("1")
    refused = pytest.raises(NeuroalignError, match="never overwritten unasked")
    with refused, atomic_folder(tmp_path / "empty"):
        pytest.fail("the block must not run")
    with atomic_folder(tmp_path / "empty", overwrite=True) as folder:
        (folder / "second").write_text("2")
    assert [p.name for p in tmp_path.rglob("*")] == ["empty", "second"]


def test_a_file_may_be_replaced_by_a_folder_when_asked(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a file")
    with atomic_folder(tmp_path / "x", overwrite=True) as folder:
        (folder / "y").write_text("")
    assert [p.name for p in tmp_path.rglob("*")] == ["x", "y"]


def test_what_a_killed_process_left_is_removed_and_the_rest_kept(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".a.partial-0123.json").write_text("half")
    (tmp_path / "run" / ".b.partial-4567").mkdir()
    (tmp_path / "run" / ".b.partial-4567" / "c").write_text("half")
    write_json(tmp_path / "run" / "a.json", {})
    remove_partials(tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").rglob("*")] == ["a.json"]
