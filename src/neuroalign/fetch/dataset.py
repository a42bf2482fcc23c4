"""Which files of a data set are fetched, and fetching them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from neuroalign.errors import NeuroalignError
from neuroalign.fetch.download import download
from neuroalign.fetch.remote import RemoteFile
from neuroalign.fetch.s3 import bucket_files
from neuroalign.fetch.web import listed_files
from neuroalign.recordings.readers.card import Bucket, Card, Listing, Steps


@dataclass(frozen=True)
class Selection:
    """What there is to fetch.

    Attributes
    ----------
    files : tuple of RemoteFile
    steps : tuple of str
        What has to be done by hand.
    """

    files: tuple[RemoteFile, ...]
    steps: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(f.size for f in self.files)


def select_files(
    card: Card, *, subjects: Sequence[str] | None = None, only: str | None = None
) -> Selection:
    """Ask the servers of a data set for its files.

    Parameters
    ----------
    card : Card
    subjects : sequence of str, optional
        Only these people, and what all share.
    only : str, optional
        Only paths of this pattern, such as ``*.tsv``.

    Raises
    ------
    NeuroalignError
        A server does not answer, a person is unknown, or nothing fits the pattern.
    """
    people = card.people_named(subjects)
    files: list[RemoteFile] = []
    steps: list[str] = []
    for source in card.sources:
        if isinstance(source, Steps):
            steps += source.steps
        elif isinstance(source, Bucket):
            files += bucket_files(source, _filled(source.prefixes, people))
        else:
            files += _from_listing(source, people)
    if only is not None and files:
        fitting = [f for f in files if fnmatchcase(f.path, only)]
        if not fitting:
            raise NeuroalignError(
                f"None of the {len(files)} files of {card.title} fits {only!r}; the first are "
                f"{', '.join(f.path for f in files[:3])}."
            )
        files = fitting
    return Selection(tuple(files), tuple(steps))


def fetch(card: Card, selection: Selection, out: str | Path, *, accept_licence: bool) -> None:
    """Download what was selected of a data set, or go on downloading it.

    Parameters
    ----------
    card : Card
    selection : Selection
        Of `select_files`.
    out : Path
    accept_licence : bool
        Whether the user has read and accepted the licence; without it nothing is downloaded.

    Raises
    ------
    NeuroalignError
        The licence is not accepted, or a download fails (see `download`).
    """
    if not selection.files:
        return
    if not accept_licence:
        raise NeuroalignError(
            f"{card.title} is published under this licence: {card.licence}. Read it at "
            f"{card.url}; if you accept it, add --accept-licence. Nothing was downloaded."
        )
    download(selection.files, Path(out))


def _from_listing(source: Listing, people: Sequence[str]) -> list[RemoteFile]:
    patterns = _filled(source.names, people)
    return [
        replace(f, path=f"{source.into}/{f.path}".lstrip("/"))
        for f in listed_files(source)
        if any(fnmatchcase(f.path, pattern) for pattern in patterns)
    ]


def _filled(patterns: Sequence[str], people: Sequence[str]) -> tuple[str, ...]:
    found = [
        pattern.replace("{subject}", person)
        for pattern in patterns
        for person in (people if "{subject}" in pattern else ("",))
    ]
    return tuple(dict.fromkeys(found))
