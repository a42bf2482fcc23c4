"""The page of data sets: every reader, every promise, and the test that stands for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from neuroalign.recordings.readers import load_reader, reader_names

ROOT = Path(__file__).parents[1]
PROMISES = ["fetch", "doctor", "prepare", "resume", "parallel", "miniature", "decoded"]


def _table() -> dict[str, dict[str, str]]:
    text = (ROOT / "docs" / "datasets.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    head = next(row for row in rows if row[0] == "reader")
    body = [row for row in rows if len(row) == len(head) and row[0].startswith("`")]
    return {row[0].strip("`"): dict(zip(head[1:], row[1:], strict=True)) for row in body}


def test_every_reader_has_every_promise() -> None:
    table = _table()
    assert list(table) == reader_names()
    for name, row in table.items():
        assert list(row) == PROMISES
        assert all(row.values()), name


def test_every_promise_names_a_test_that_exists() -> None:
    for name, row in _table().items():
        for promise, cell in row.items():
            named = re.findall(r"`(\w+\.py)::(\w+)`", cell)
            if not named:
                # Nothing to download: recordings of one's own.
                assert promise == "fetch" and cell == "-", (name, promise)
                assert load_reader(name).card.size_gb is None
            for file, test in named:
                (path,) = (ROOT / "tests").rglob(file)
                assert re.search(rf"^def {test}\(", path.read_text(), re.MULTILINE), (file, test)


def test_the_page_of_damages_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "list_damages.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
