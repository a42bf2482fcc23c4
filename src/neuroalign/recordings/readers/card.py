"""What is known of a public data set before a file of it is opened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.schema import Modality


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bucket(_Data):
    """Files in an S3 bucket that needs no credentials.

    Attributes
    ----------
    prefixes : what keys begin with, after `root`; `{subject}` is filled in
    without : patterns of keys that are not needed
    root : what all keys begin with and local paths do not ("ds004212/")
    endpoint : another S3 server than Amazon's
    """

    kind: Literal["s3"] = "s3"
    bucket: str
    region: str
    prefixes: tuple[str, ...]
    without: tuple[str, ...] = ()
    root: str = ""
    endpoint: str | None = None


class Listing(_Data):
    """Files that a web service lists with their sizes and checksums: an OSF or figshare record.

    Attributes
    ----------
    record : the number or letters of the record in the service's addresses
    names : patterns of the paths that belong to the set; `{subject}` is filled in
    into : folder below the data set's that the files go to
    service : another address than the service's own
    """

    kind: Literal["osf", "figshare"]
    record: str
    names: tuple[str, ...] = ("*",)
    into: str = ""
    service: str | None = None


class Steps(_Data):
    """What a person has to do by hand, where the licence allows no direct download."""

    kind: Literal["steps"] = "steps"
    steps: tuple[str, ...]


Source = Annotated[Bucket | Listing | Steps, Field(discriminator="kind")]


class Card(_Data):
    """A data set or kind of folder that can be read.

    Attributes
    ----------
    name : what commands call it
    title : its full name
    modality : None where the folder decides
    people, trials, pictures : as published, in words for a table ("4 of 8 people")
    size_gb : of what has to be downloaded, in 10^9 bytes; None for own recordings
    url, licence, citation
    subjects : the names of the published people, as `--subjects` takes them
    sources : where the files come from, in the order in which to fetch them
    layout : the folders and files that are looked for, for people to compare with
    """

    name: str
    title: str
    modality: Modality | None
    people: str
    trials: str
    pictures: str
    size_gb: float | None
    url: str
    licence: str
    citation: str
    subjects: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    layout: str

    def people_named(self, wanted: Sequence[str] | None) -> tuple[str, ...]:
        """Return the published names of the people asked for: "1" and "sub-1" both mean subj01.

        Raises
        ------
        NeuroalignError
            Somebody is not among `subjects`.
        """
        if wanted is None:
            return self.subjects
        found = []
        for name in wanted:
            fitting = [s for s in self.subjects if s == name or _number(s) == _number(name)]
            if len(fitting) != 1:
                raise NeuroalignError(
                    f"{self.title} has no person {name!r}; there are {', '.join(self.subjects)}."
                )
            found.append(fitting[0])
        return tuple(dict.fromkeys(found))


def _number(name: str) -> int | str:
    digits = re.search(r"[0-9]+$", name)
    return name if digits is None else int(digits[0])
