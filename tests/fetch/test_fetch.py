"""Downloads from a real S3 server and a real HTTP server on loopback."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from servers import cutting_proxy, web_server

from neuroalign.errors import NeuroalignError
from neuroalign.fetch import fetch, select_files
from neuroalign.fetch.download import download, missing_bytes
from neuroalign.fetch.web import listed_files
from neuroalign.recordings.readers.card import Bucket, Card, Listing, Source, Steps

NOISE = np.random.default_rng(0).bytes(6 * 2**20)


def card(*sources: Source) -> Card:
    return Card(
        name="mini",
        title="Miniature set",
        modality="fmri",
        people="2",
        trials="0",
        pictures="0",
        size_gb=0.01,
        url="https://example.org",
        licence="CC-BY-4.0",
        citation="Nobody (2026)",
        subjects=("subj01", "subj02"),
        sources=sources,
        layout="",
    )


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def client_of(endpoint: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-2",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )


@pytest.fixture(scope="module")
def bucket(s3: str) -> str:
    client = client_of(s3)
    client.create_bucket(
        Bucket="mini", CreateBucketConfiguration={"LocationConstraint": "us-east-2"}
    )
    for key, content in {
        "root/design.tsv": b"trial\n1\n",
        "root/betas/subj01/a.hdf5": NOISE,
        "root/betas/subj02/a.hdf5": NOISE[::-1],
        "elsewhere.txt": b"not of the set",
    }.items():
        client.put_object(Bucket="mini", Key=key, Body=content, ACL="public-read")
    upload = client.create_multipart_upload(Bucket="mini", Key="root/betas/subj01/parts.bin")
    where = {"Bucket": "mini", "Key": upload["Key"], "UploadId": upload["UploadId"]}
    parts = [
        {
            "PartNumber": n,
            "ETag": client.upload_part(PartNumber=n, Body=body, **where)["ETag"],
        }
        for n, body in ((1, NOISE[: 5 * 2**20]), (2, NOISE[5 * 2**20 :]))
    ]
    client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **where)
    return s3


def source(endpoint: str) -> Bucket:
    return Bucket(
        bucket="mini",
        region="us-east-2",
        root="root/",
        prefixes=("design.tsv", "betas/{subject}/"),
        endpoint=endpoint,
    )


def downloaded(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".fetched.json"
    }


EXPECTED = {
    "betas/subj01/a.hdf5": NOISE,
    "betas/subj01/parts.bin": NOISE,
    "design.tsv": b"trial\n1\n",
}


def test_people_are_fetched_from_a_bucket(bucket: str, tmp_path: Path) -> None:
    mini = card(source(bucket))
    selection = select_files(mini, subjects=["1"])
    assert selection.size == sum(map(len, EXPECTED.values()))
    fetch(mini, selection, tmp_path, accept_licence=True)
    assert downloaded(tmp_path) == EXPECTED
    assert missing_bytes(selection.files, tmp_path) == 0


def test_files_that_are_there_in_another_form_too_are_left_out(bucket: str) -> None:
    short = source(bucket).model_copy(update={"without": ("*.bin",)})
    found = select_files(card(short), subjects=["1"]).files
    assert {f.path for f in found} == set(EXPECTED) - {"betas/subj01/parts.bin"}


def test_the_licence_has_to_be_accepted(bucket: str, tmp_path: Path) -> None:
    mini = card(source(bucket))
    with pytest.raises(NeuroalignError, match=r"CC-BY-4\.0.*--accept-licence"):
        fetch(mini, select_files(mini), tmp_path / "out", accept_licence=False)
    assert not (tmp_path / "out").exists()


def test_a_cut_connection_to_a_bucket_is_taken_up_again(bucket: str, tmp_path: Path) -> None:
    with cutting_proxy(urlparse(bucket).port or 0, [2**20, 3 * 2**20]) as (address, cut):
        selection = select_files(card(source(address)), only="*subj01/a.hdf5")
        download(selection.files, tmp_path, pause_s=0)
    assert cut == [2**20, 3 * 2**20]
    assert downloaded(tmp_path) == {"betas/subj01/a.hdf5": NOISE}


def test_a_changed_object_is_not_glued_to_the_old_one(bucket: str, tmp_path: Path) -> None:
    (file,) = select_files(card(source(bucket)), only="*subj02/a.hdf5").files
    old = replace(
        file, tag="another version", read=lambda offset: iter(() if offset else (NOISE[:1000],))
    )
    with pytest.raises(NeuroalignError, match="goes on from there"):
        download([old], tmp_path, pause_s=0)
    assert list((tmp_path / "betas/subj02").glob(".a.hdf5.*.partial"))
    download([file], tmp_path, pause_s=0)
    assert (tmp_path / "betas/subj02/a.hdf5").read_bytes() == NOISE[::-1]


def test_a_closed_object_is_not_asked_for_again_and_again(bucket: str, tmp_path: Path) -> None:
    client = client_of(bucket)
    client.put_object(Bucket="mini", Key="root/closed/a.bin", Body=b"closed")
    closed = source(bucket).model_copy(update={"prefixes": ("closed/",)})
    with pytest.raises(NeuroalignError, match=r"s3://mini/root/closed/a\.bin is refused"):
        download(select_files(card(closed)).files, tmp_path)


def test_a_server_that_no_longer_states_the_parts_is_named(bucket: str) -> None:
    client = client_of(bucket)
    upload = client.create_multipart_upload(Bucket="mini", Key="root/fleeting/parts.bin")
    where = {"Bucket": "mini", "Key": upload["Key"], "UploadId": upload["UploadId"]}
    tag = client.upload_part(PartNumber=1, Body=b"all of it", **where)["ETag"]
    parts = [{"PartNumber": 1, "ETag": tag}]
    client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **where)
    fleeting = source(bucket).model_copy(update={"prefixes": ("fleeting/",)})
    (file,) = select_files(card(fleeting)).files
    client.delete_object(Bucket="mini", Key=upload["Key"])
    with pytest.raises(
        NeuroalignError, match=r"parts\.bin cannot be checked.*What arrived is kept"
    ):
        file.checksum()


def test_an_empty_prefix_is_named(bucket: str) -> None:
    lost = source(bucket).model_copy(update={"prefixes": ("gone/",)})
    with pytest.raises(NeuroalignError, match="s3://mini/root/gone/ holds no files"):
        select_files(card(lost))


def test_no_server_at_all_is_said(tmp_path: Path) -> None:
    with web_server({}) as address:
        pass
    lost = Listing(kind="figshare", record="1", service=address)
    with pytest.raises(NeuroalignError, match="does not answer"):
        select_files(card(lost))


PAGES = {
    "/nodes/abc/files/osfstorage/": lambda a: {
        "data": [
            {
                "attributes": {"kind": "folder"},
                "relationships": {"files": {"links": {"related": {"href": f"{a}/folder"}}}},
            }
        ],
        "links": {"next": f"{a}/second-page"},
    },
    "/second-page": lambda a: {
        "data": [_osf_file(a, "/design.tsv", b"trial\n1\n")],
        "links": {"next": None},
    },
    "/folder": lambda a: {
        "data": [_osf_file(a, "/betas/subj01/a.hdf5", NOISE)],
        "links": {},
    },
    "/articles/7": lambda a: {
        "files": [
            {
                "name": "subj02_a.hdf5",
                "size": len(NOISE),
                "computed_md5": hashlib.md5(NOISE).hexdigest(),
                "download_url": f"{a}/content/betas/subj01/a.hdf5",
            }
        ]
    },
    "/content/design.tsv": b"trial\n1\n",
    "/content/betas/subj01/a.hdf5": NOISE,
}


def _osf_file(address: str, path: str, content: bytes) -> dict[str, object]:
    return {
        "attributes": {
            "kind": "file",
            "materialized_path": path,
            "size": len(content),
            "extra": {"hashes": {"sha256": hashlib.sha256(content).hexdigest()}},
        },
        "links": {"download": f"{address}/content{path}"},
    }


def test_records_of_osf_and_figshare_are_fetched(tmp_path: Path) -> None:
    with web_server(PAGES) as address:
        osf = Listing(kind="osf", record="abc", service=address)
        figshare = Listing(
            kind="figshare", record="7", names=("{subject}_*",), into="more", service=address
        )
        mini = card(osf, figshare, Steps(steps=("Ask the authors.",)))
        selection = select_files(mini, subjects=["subj02"])
        fetch(mini, selection, tmp_path, accept_licence=True)
    assert selection.steps == ("Ask the authors.",)
    assert downloaded(tmp_path) == {
        "betas/subj01/a.hdf5": NOISE,
        "design.tsv": b"trial\n1\n",
        "more/subj02_a.hdf5": NOISE,
    }


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_web_connection_is_taken_up_again(tmp_path: Path, ranges: bool) -> None:
    with web_server(PAGES, ranges=ranges) as address:
        port = urlparse(address).port or 0
        with cutting_proxy(port, [10**6, 4 * 10**6]) as (proxy, cut):
            listing = Listing(kind="figshare", record="7", service=address)
            (file,) = listed_files(listing)
            from neuroalign.fetch import web

            url = file.address.replace(address, proxy)
            file = replace(file, read=lambda offset: web._read(url, offset))
            download([file], tmp_path, pause_s=0)
    assert downloaded(tmp_path) == {"subj02_a.hdf5": NOISE}
    assert cut == [10**6, 4 * 10**6]


def test_an_interrupted_download_goes_on(tmp_path: Path) -> None:
    with web_server(PAGES) as address:
        (file,) = listed_files(Listing(kind="figshare", record="7", service=address))
        asked: list[int] = []

        def broken(offset: int) -> Iterator[bytes]:
            yield NOISE[offset : offset + 2**20]
            raise KeyboardInterrupt

        def whole(offset: int) -> Iterator[bytes]:
            asked.append(offset)
            return file.read(offset)

        with pytest.raises(KeyboardInterrupt):
            download([replace(file, read=broken)], tmp_path)
        assert not (tmp_path / file.path).exists()
        assert missing_bytes([file], tmp_path) == len(NOISE) - 2**20
        download([replace(file, read=whole)], tmp_path)
        assert asked == [2**20]
    assert downloaded(tmp_path) == {"subj02_a.hdf5": NOISE}


def test_what_is_there_and_right_is_left_alone(tmp_path: Path) -> None:
    def never(offset: int) -> Iterator[bytes]:
        raise AssertionError("it was downloaded again")

    with web_server(PAGES) as address:
        (file,) = listed_files(Listing(kind="figshare", record="7", service=address))
    (tmp_path / file.path).write_bytes(NOISE)  # by hand, or by another program
    stamp = (tmp_path / file.path).stat().st_mtime_ns
    download([replace(file, read=never)], tmp_path)
    assert (tmp_path / file.path).stat().st_mtime_ns == stamp
    os.utime(tmp_path / file.path)  # touched, so checked again, but right
    download([replace(file, read=never)], tmp_path)


def test_wrong_content_is_thrown_away(tmp_path: Path) -> None:
    pages = PAGES | {"/content/betas/subj01/a.hdf5": b"x" + NOISE[1:]}
    with web_server(pages) as address:
        (file,) = listed_files(Listing(kind="figshare", record="7", service=address))
        with pytest.raises(NeuroalignError, match="not what the server announced"):
            download([file], tmp_path, pause_s=0)
    assert downloaded(tmp_path) == {}


def test_too_small_a_disk_is_said_before_anything_arrives(tmp_path: Path) -> None:
    with web_server(PAGES) as address:
        (file,) = listed_files(Listing(kind="figshare", record="7", service=address))
    huge = replace(file, size=shutil.disk_usage(tmp_path).free * 2)
    with pytest.raises(NeuroalignError, match="has room for"):
        download([huge], tmp_path)
    assert downloaded(tmp_path) == {}


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b"])
def test_no_file_is_written_outside_of_the_folder(tmp_path: Path, path: str) -> None:
    with web_server(PAGES) as address:
        (file,) = listed_files(Listing(kind="figshare", record="7", service=address))
    with pytest.raises(NeuroalignError, match="outside of"):
        download([replace(file, path=path)], tmp_path)


def test_an_unknown_person_is_named(bucket: str) -> None:
    with pytest.raises(NeuroalignError, match="no person '9'; there are subj01, subj02"):
        select_files(card(source(bucket)), subjects=["9"])
