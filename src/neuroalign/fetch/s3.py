"""Files in public S3 buckets, read without credentials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from neuroalign.errors import MissingDependencyError, NeuroalignError
from neuroalign.fetch.remote import Checksum, RemoteFile, refusal
from neuroalign.recordings.readers.card import Bucket

_BLOCK = 2**20


def bucket_files(source: Bucket, prefixes: tuple[str, ...]) -> list[RemoteFile]:
    """List the files of a bucket under some prefixes.

    Parameters
    ----------
    source : Bucket
    prefixes : tuple of str
        With everything filled in.

    Raises
    ------
    MissingDependencyError
        boto3 is not installed.
    NeuroalignError
        The bucket cannot be listed, or has nothing under a prefix.
    """
    client = _client(source)
    from botocore.exceptions import BotoCoreError, ClientError

    found: dict[str, RemoteFile] = {}
    for prefix in prefixes:
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=source.bucket, Prefix=source.root + prefix
        )
        before = len(found)
        try:
            for page in pages:
                for item in page.get("Contents", ()):
                    if not any(fnmatchcase(item["Key"], p) for p in ("*/", *source.without)):
                        found[item["Key"]] = _remote(client, source, item)
        except (BotoCoreError, ClientError) as error:
            raise NeuroalignError(
                f"The bucket s3://{source.bucket} cannot be listed: {error}. Check the connection "
                "to the internet (and a proxy, if you need one), then try again."
            ) from error
        if len(found) == before:
            raise NeuroalignError(
                f"s3://{source.bucket}/{source.root}{prefix} holds no files. The data set may "
                "have moved: look at its page."
            )
    return list(found.values())


def _client(source: Bucket) -> Any:
    try:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config
    except ImportError as error:
        raise MissingDependencyError("boto3", "fetch", "Downloading from S3") from error
    return boto3.client(
        "s3",
        region_name=source.region,
        endpoint_url=source.endpoint,
        config=Config(signature_version=UNSIGNED, retries={"max_attempts": 5, "mode": "standard"}),
    )


def _remote(client: Any, source: Bucket, item: Mapping[str, Any]) -> RemoteFile:
    key, etag = item["Key"], item["ETag"].strip('"')
    address = f"s3://{source.bucket}/{key}"

    def read(offset: int) -> Iterator[bytes]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            # IfMatch: half of one version and half of another would be no file at all.
            answer = client.get_object(
                Bucket=source.bucket, Key=key, Range=f"bytes={offset}-", IfMatch=etag
            )
            yield from answer["Body"].iter_chunks(_BLOCK)
        except ClientError as error:
            status = int(error.response["ResponseMetadata"].get("HTTPStatusCode", 0))
            raise refusal(status, address, str(error)) from error
        except BotoCoreError as error:
            raise ConnectionError(str(error)) from error

    def checksum() -> Checksum:
        from botocore.exceptions import BotoCoreError, ClientError

        if "-" not in etag:
            return Checksum("md5", etag)
        try:
            first = client.head_object(Bucket=source.bucket, Key=key, PartNumber=1)
        except (BotoCoreError, ClientError) as error:
            raise NeuroalignError(
                f"{address} cannot be checked: the server does not say in what parts it was "
                f"uploaded ({error}). What arrived is kept: give the same command again."
            ) from error
        return Checksum("s3-parts", etag, int(first["ContentLength"]))

    return RemoteFile(key.removeprefix(source.root), item["Size"], checksum, etag, read, address)
