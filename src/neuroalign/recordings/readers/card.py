"""What is known of a public data set before a file of it is opened."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from neuroalign.recordings.schema import Modality


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bucket(_Data):
    """Files in an S3 bucket that needs no credentials; `{subject}` in a prefix is filled in.

    `endpoint` is another S3 server than Amazon's.
    """

    kind: Literal["s3"] = "s3"
    bucket: str
    region: str
    prefixes: tuple[str, ...]
    endpoint: str | None = None


class Listing(_Data):
    """Files that a web service lists with their sizes and checksums: an OSF or figshare record.

    `names` are patterns of the files that belong to the set; `{subject}` is filled in.
    """

    kind: Literal["osf", "figshare"]
    record: str
    names: tuple[str, ...] = ("*",)


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
