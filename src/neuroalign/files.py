"""Output that is either whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neuroalign.errors import NeuroalignError


@contextmanager
def atomic_folder(out: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `out` that becomes `out` when the block succeeds.

    Parameters
    ----------
    out : Path
        The final folder.
    overwrite : bool
        Replace a folder that is already there, once the new one is complete.

    Raises
    ------
    NeuroalignError
        `out` exists and `overwrite` is false; or the disk is full or not writable.
    """
    out = Path(out)
    if not overwrite:
        refuse_existing(out)
    with _explained(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = _beside(out, out.name)
        partial.mkdir()
    try:
        with _explained(out):
            yield partial
            move_into_place(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def refuse_existing(out: Path) -> None:
    """Raise NeuroalignError if `out` is a file, or a folder that holds something."""
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise NeuroalignError(
            f"{out} already exists, and what is there is never overwritten unasked. "
            "Choose another output folder, or pass --overwrite to replace it."
        )


def move_into_place(partial: Path, out: Path) -> None:
    """Rename a complete folder to `out`; what was there goes once the new one is in its place."""
    if not out.exists():
        partial.rename(out)
        return
    old = out.with_name(f".{out.name}.replaced-{os.getpid()}")
    out.rename(old)
    partial.rename(out)
    if old.is_dir():
        shutil.rmtree(old)
    else:
        old.unlink()


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that is renamed to it when the block succeeds."""
    path = Path(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _beside(path, path.stem, path.suffix)
        partial.touch(exist_ok=False)
    try:
        with _explained(path):
            yield partial
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _beside(target: Path, stem: str, suffix: str = "") -> Path:
    """Return a name that nobody else writes to.

    Not by `tempfile`, whose files are private: who may read a result is for the umask to say.
    """
    return target.with_name(f".{stem}.partial-{secrets.token_hex(4)}{suffix}")


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, whole or not at all."""
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n")


def remove_partials(folder: Path) -> None:
    """Remove what a killed process was writing below a folder that it alone wrote to."""
    for path in list(folder.rglob(".*.partial-*")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Turn a full or read-only disk into an error that says what to do."""
    try:
        yield
    except NeuroalignError:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if number in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise NeuroalignError(
                f"No permission to write {target} ({os.strerror(number)}). "
                "Choose an output folder that you may write to."
            ) from error
        if number == errno.EFBIG:
            raise NeuroalignError(
                f"{target} could not be written: a file would become larger than this file system "
                "or your limit (`ulimit -f`) allows, and nothing half-written was left there. "
                "Choose an output folder on another disk, or raise the limit."
            ) from error
        if number in (errno.ENOSPC, errno.EDQUOT) or (number is None and _is_full(target.parent)):
            raise NeuroalignError(
                f"The disk is full: {target} could not be written, and nothing half-written was "
                "left there. Free some space or choose an output folder on another disk, "
                "then run the same command again."
            ) from error
        raise


def _is_full(folder: Path) -> bool:
    """Whether a megabyte still fits: NumPy, PyTorch and safetensors hide why a write failed."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(2**20))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return False
