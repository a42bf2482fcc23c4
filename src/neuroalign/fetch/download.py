"""Downloads that go on where they were cut off, and are checked before they count."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from neuroalign.errors import NeuroalignError
from neuroalign.fetch.remote import RemoteFile
from neuroalign.files import write_json
from neuroalign.progress import bar

#: Remembers which files were checked, so that a second run need not read them again.
RECORD = ".fetched.json"
_ATTEMPTS = 6


def download(files: Sequence[RemoteFile], out: Path, *, pause_s: float = 2.0) -> None:
    """Download files into `out`; those that are there and unchanged are not touched.

    A file lies under a hidden name until its size and checksum are right. What was downloaded of
    it before an interruption is kept and continued.

    Parameters
    ----------
    files : sequence of RemoteFile
    out : Path
    pause_s : float
        Seconds before a cut connection is tried again; doubled each time.

    Raises
    ------
    NeuroalignError
        The disk has too little room, a connection cannot be kept up, or a file that arrived is
        not the one that was announced.
    """
    out.mkdir(parents=True, exist_ok=True)
    known = _read_record(out)
    missing = [f for f in files if not _is_there(f, out, known)]
    _check_room(missing, out)
    with bar(sum(f.size for f in files), "downloading bytes") as advance:
        advance(sum(f.size for f in files) - sum(f.size for f in missing))
        for file in missing:
            target = _target(file, out)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not (target.is_file() and _is_right(file, target)):
                _download_one(file, target, advance, pause_s)
            else:
                advance(file.size)
            known[file.path] = _stamp(file, target)
            write_json(out / RECORD, known)


def missing_bytes(files: Sequence[RemoteFile], out: Path) -> int:
    """Return how much has still to be downloaded into `out`."""
    known = _read_record(out)
    return sum(
        file.size - _size(_partial(_target(file, out), file))
        for file in files
        if not _is_there(file, out, known)
    )


def _download_one(
    file: RemoteFile, target: Path, advance: Callable[[int], None], pause_s: float
) -> None:
    partial = _partial(target, file)
    have = _size(partial)
    if have > file.size:
        partial.unlink()
        have = 0
    advance(have)
    failures = 0
    while have < file.size:
        before, reason = have, "the connection was closed early"
        try:
            with partial.open("ab") as local:
                for block in file.read(have):
                    local.write(block)
                    have += len(block)
                    advance(len(block))
        except (ConnectionError, TimeoutError) as error:
            reason = str(error)
        if have >= file.size:
            break
        failures = 1 if have > before else failures + 1
        if failures >= _ATTEMPTS:
            raise NeuroalignError(
                f"{file.address} stopped {failures} times at {have:,} of {file.size:,} bytes "
                f"({reason}). What arrived is kept: the same command goes on from there."
            )
        time.sleep(pause_s * 2 ** (failures - 1))
    if not _is_right(file, partial):
        partial.unlink()
        raise NeuroalignError(
            f"{file.address} arrived, but its size or checksum is not what the server announced, "
            "so it was thrown away. Give the same command again; if this happens twice, the "
            "published file itself is damaged: tell its authors."
        )
    partial.replace(target)


def _is_right(file: RemoteFile, path: Path) -> bool:
    if path.stat().st_size != file.size:
        return False
    checksum = file.checksum()
    return checksum is None or checksum.of(path) == checksum.value


def _check_room(missing: Sequence[RemoteFile], out: Path) -> None:
    needed = missing_bytes(missing, out)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise NeuroalignError(
            f"{needed / 1e9:,.1f} GB have to be downloaded, but {out} has room for "
            f"{free / 1e9:,.1f} GB. Free some space, choose another disk, or fetch fewer people "
            "(--subjects)."
        )


def _target(file: RemoteFile, out: Path) -> Path:
    parts = PurePosixPath(file.path).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise NeuroalignError(
            f"{file.address} wants to be written to {file.path!r}, outside of {out}. "
            "Nothing was downloaded from there."
        )
    return out.joinpath(*parts)


def _partial(target: Path, file: RemoteFile) -> Path:
    # Named by the content, so that a new version of the file is not glued to an old one.
    tag = hashlib.sha256(f"{file.tag} {file.size}".encode()).hexdigest()[:12]
    return target.with_name(f".{target.name}.{tag}.partial")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _stamp(file: RemoteFile, path: Path) -> list[object]:
    return [file.tag, path.stat().st_size, path.stat().st_mtime_ns]


def _is_there(file: RemoteFile, out: Path, known: dict[str, object]) -> bool:
    target = _target(file, out)
    return target.is_file() and known.get(file.path) == _stamp(file, target)


def _read_record(out: Path) -> dict[str, object]:
    try:
        content = json.loads((out / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
