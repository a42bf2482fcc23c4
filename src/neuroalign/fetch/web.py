"""Files that OSF and figshare list, read over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

from neuroalign import __version__
from neuroalign.errors import NeuroalignError
from neuroalign.fetch.remote import Checksum, RemoteFile, refusal
from neuroalign.recordings.readers.card import Listing

_SERVICES = {"osf": "https://api.osf.io/v2", "figshare": "https://api.figshare.com/v2"}
_TIMEOUT_S = 60
_BLOCK = 2**20


def listed_files(source: Listing) -> list[RemoteFile]:
    """List all files of an OSF node or a figshare article.

    Raises
    ------
    NeuroalignError
        The service does not answer, or answers something else than a list of files.
    """
    service = source.service or _SERVICES[source.kind]
    walk = _osf if source.kind == "osf" else _figshare
    try:
        return list(walk(service, source.record))
    except (KeyError, TypeError) as error:
        raise NeuroalignError(
            f"{service} describes the record {source.record} in another way than expected "
            f"({type(error).__name__}: {error}). The service may have changed: download by hand."
        ) from error


def _osf(service: str, record: str) -> Iterator[RemoteFile]:
    waiting = [f"{service}/nodes/{record}/files/osfstorage/"]
    while waiting:
        answer = _ask(waiting.pop(0))
        for entry in answer["data"]:
            about = entry["attributes"]
            if about["kind"] == "folder":
                waiting.append(entry["relationships"]["files"]["links"]["related"]["href"])
                continue
            sha256 = about["extra"]["hashes"]["sha256"]
            path = about["materialized_path"].lstrip("/")
            checksum = Checksum("sha256", sha256)
            yield _remote(path, about["size"], checksum, entry["links"]["download"])
        if following := answer["links"].get("next"):
            waiting.append(following)


def _figshare(service: str, record: str) -> Iterator[RemoteFile]:
    for entry in _ask(f"{service}/articles/{record}")["files"]:
        checksum = Checksum("md5", entry["computed_md5"])
        yield _remote(entry["name"], entry["size"], checksum, entry["download_url"])


def _remote(path: str, size: int, checksum: Checksum, url: str) -> RemoteFile:
    return RemoteFile(
        path, int(size), lambda: checksum, checksum.value, lambda offset: _read(url, offset), url
    )


def _ask(url: str) -> Any:
    try:
        with urlopen(_request(url), timeout=_TIMEOUT_S) as answer:
            return json.load(answer)
    except (OSError, HTTPException) as error:
        raise NeuroalignError(
            f"{url} does not answer: {error}. Check the connection to the internet, or try later."
        ) from error
    except ValueError as error:
        raise NeuroalignError(f"{url} answers something else than JSON: {error}.") from error


def _read(url: str, offset: int) -> Iterator[bytes]:
    try:
        with urlopen(_request(url, offset), timeout=_TIMEOUT_S) as answer:
            # A server that knows no ranges begins anew: what is there already is skipped.
            skip = offset if answer.status == 200 else 0
            while block := answer.read(_BLOCK):
                if skip >= len(block):
                    skip -= len(block)
                    continue
                yield block[skip:]
                skip = 0
    except HTTPError as error:
        raise refusal(error.code, url, str(error)) from error
    except (OSError, HTTPException) as error:  # a broken TLS stream is an OSError of its own
        raise ConnectionError(f"{url}: {error}") from error


def _request(url: str, offset: int = 0) -> Request:
    if urlparse(url).scheme not in ("http", "https"):
        raise NeuroalignError(f"{url} is not a web address; nothing was downloaded from it.")
    headers = {"User-Agent": f"neuroalign/{__version__}"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    return Request(url, headers=headers)
