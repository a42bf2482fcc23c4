"""A file on a server, and how its content is checked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from neuroalign.errors import NeuroalignError

#: Yields the bytes of a file from a position on.
Read = Callable[[int], Iterator[bytes]]

_BLOCK = 2**20


@dataclass(frozen=True)
class Checksum:
    """What the content of a file must come to.

    Attributes
    ----------
    method : str
        A name that hashlib knows ("md5", "sha256"), or "s3-parts".
    value : str
        In hexadecimal digits; for "s3-parts" the S3 ETag: the MD5 of the MD5s of the parts,
        a hyphen and the number of parts.
    part_size : int
        Bytes of a part, for "s3-parts".
    """

    method: str
    value: str
    part_size: int = 0

    def of(self, path: Path) -> str:
        """Return what the file at `path` comes to."""
        with path.open("rb") as file:
            if self.method != "s3-parts":
                return hashlib.file_digest(file, self.method).hexdigest()
            digests = []
            while True:
                part = hashlib.md5(usedforsecurity=False)
                left = self.part_size
                while left and (block := file.read(min(_BLOCK, left))):
                    part.update(block)
                    left -= len(block)
                if left == self.part_size:
                    break
                digests.append(part.digest())
        whole = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
        return f"{whole}-{len(digests)}"


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server.

    Attributes
    ----------
    path : str
        Where it goes, relative to the data set's folder, with forward slashes.
    size : int
        Bytes.
    checksum : callable or None
        Asks for the checksum (some servers have to be asked for each file); None: the server
        states none, and only the size can be checked.
    tag : str
        Changes when the content does: a download is resumed only with the same tag.
    read : callable
        `read(offset)` yields the bytes from there on.
    address : str
        For messages.
    """

    path: str
    size: int
    checksum: Callable[[], Checksum | None]
    tag: str
    read: Read
    address: str


def refusal(status: int, address: str, said: str) -> Exception:
    """Return what an HTTP status means: an error to try again after, or one for the user.

    A server that is busy or broken (5xx, 408, 429) may be asked again; any other refusal will
    be the same next time.
    """
    if status >= 500 or status in (408, 429):
        return ConnectionError(f"{address}: {said}")
    return NeuroalignError(
        f"{address} is refused ({said}). The file was moved, changed or closed to the public since "
        "it was listed: give the command again, and look at the data set's page if that fails."
    )
