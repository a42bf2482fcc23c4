"""What a published data set's card says of its servers leads to a folder that its reader knows."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from servers import web_server

from laboratory import neuroalign, plain
from miniatures.nsd import write_miniature
from miniatures.things_eeg2 import write_things_eeg2
from miniatures.things_fmri import write_things_fmri
from miniatures.things_meg import write_epochs, write_raw
from neuroalign.fetch import fetch, select_files
from neuroalign.recordings.readers import load_reader
from neuroalign.recordings.readers.card import Bucket, Card, Listing


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


def _put(folder: Path, source: Bucket, endpoint: str) -> None:
    """Put a folder into a bucket of the card's name, as public files."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=source.region,
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    place = {"LocationConstraint": source.region}
    more = {} if source.region == "us-east-1" else {"CreateBucketConfiguration": place}
    client.create_bucket(Bucket=source.bucket, **more)
    for path in folder.rglob("*"):
        if path.is_file():
            key = source.root + path.relative_to(folder).as_posix()
            client.put_object(
                Bucket=source.bucket, Key=key, Body=path.read_bytes(), ACL="public-read"
            )


def _files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def _from_bucket(
    name: str, write: Callable[[Path], object], subjects: list[str], s3: str, tmp_path: Path
) -> tuple[Path, Path]:
    """Publish a miniature where the card says the set lies; fetch it from there."""
    card = load_reader(name).card
    here, out = tmp_path / "published", tmp_path / "fetched"
    write(here)
    (here / "derivatives" / "unrelated").mkdir(parents=True)
    (here / "derivatives" / "unrelated" / "notes.txt").write_text("not asked for")
    (source,) = (s for s in card.sources if isinstance(s, Bucket))
    _put(here, source, s3)
    local = _with_sources(card, lambda s: s.model_copy(update={"endpoint": s3}), Bucket)
    fetch(local, select_files(local, subjects=subjects), out, accept_licence=True)
    assert "derivatives/unrelated/notes.txt" not in _files(out)
    return here, out


def _with_sources(card: Card, change: Callable[..., object], kind: type) -> Card:
    sources = tuple(change(s) if isinstance(s, kind) else s for s in card.sources)
    return card.model_copy(update={"sources": sources})


def test_nsd(s3: str, tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        write_miniature(folder, info=True)
        responses = folder / "nsddata" / "ppdata" / "subj01" / "behav" / "responses.tsv"
        responses.parent.mkdir(parents=True, exist_ok=True)
        responses.write_text("SUBJECT\n1\n")

    here, out = _from_bucket("nsd", write, ["1"], s3, tmp_path)
    wanted = {f for f in _files(here) if "unrelated" not in f}
    assert _files(out) - {".fetched.json"} == wanted
    assert load_reader("nsd").recognises(out)


def test_things_meg(s3: str, tmp_path: Path) -> None:
    _, out = _from_bucket("things-meg", write_epochs, ["P2"], s3, tmp_path)
    assert load_reader("things-meg").recognises(out)
    people = {f.split("_P")[1][0] for f in _files(out) - {".fetched.json"}}
    assert people == {"2"}
    parts = [f for f in _files(out) if "-epo" in f]
    assert len(parts) == 3  # all split parts


def test_things_meg_raw(tmp_path: Path) -> None:
    # Another server: the bucket has the same name.
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        here, out = _from_bucket(
            "things-meg-raw", lambda f: write_raw(f, people=(1,)), ["1"], endpoint, tmp_path
        )
    finally:
        server.stop()
    assert load_reader("things-meg-raw").recognises(out)
    of_person = {f for f in _files(here) if f.startswith("sub-BIGMEG1/")}
    assert of_person and of_person <= _files(out)


def _zipped(folder: Path, file: Path) -> bytes:
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))
    return file.read_bytes()


def test_things_eeg2(tmp_path: Path) -> None:
    card = load_reader("things-eeg2").card
    here = tmp_path / "published"
    write_things_eeg2(here)
    (person,) = here.rglob("sub-02")
    (about,) = here.rglob("image_metadata.npy")
    content = {
        "/anp5v/sub-02.zip": _zipped(person, tmp_path / "sub-02.zip"),
        "/anp5v/sub-03.zip": b"not asked for",
        "/y63gw/image_metadata.npy": about.read_bytes(),
    }

    def listing(record: str) -> Callable[[str], object]:
        def answer(address: str) -> object:
            entries = [
                {
                    "attributes": {
                        "kind": "file",
                        "materialized_path": path.removeprefix(f"/{record}"),
                        "size": len(body),
                        "extra": {"hashes": {"sha256": hashlib.sha256(body).hexdigest()}},
                    },
                    "links": {"download": f"{address}{path}"},
                }
                for path, body in content.items()
                if path.startswith(f"/{record}/")
            ]
            return {"data": entries, "links": {"next": None}}

        return answer

    records = {s.record for s in card.sources if isinstance(s, Listing)}
    pages = {f"/nodes/{r}/files/osfstorage/": listing(r) for r in records}
    with web_server(content | pages) as address:
        local = _with_sources(card, lambda s: s.model_copy(update={"service": address}), Listing)
        selection = select_files(local, subjects=["2"])
        fetch(local, selection, tmp_path / "out", accept_licence=True)
    assert selection.steps  # archives have to be unpacked
    for archive in (tmp_path / "out").rglob("*.zip"):
        assert archive.name == "sub-02.zip"
        shutil.unpack_archive(archive, archive.parent)
    assert load_reader("things-eeg2").recognises(tmp_path / "out")


def test_things_fmri(tmp_path: Path) -> None:
    card = load_reader("things-fmri").card
    here = tmp_path / "published"
    write_things_fmri(here)
    body = _zipped(here / "betas_csv", tmp_path / "betas_csv.zip")
    (source,) = (s for s in card.sources if isinstance(s, Listing))
    pages = {
        f"/articles/{source.record}": lambda address: {
            "files": [
                {
                    "name": "betas_csv.zip",
                    "size": len(body),
                    "computed_md5": hashlib.md5(body).hexdigest(),
                    "download_url": f"{address}/content",
                }
            ]
        },
        "/content": body,
    }
    with web_server(pages) as address:
        local = _with_sources(card, lambda s: s.model_copy(update={"service": address}), Listing)
        fetch(local, select_files(local), tmp_path / "out", accept_licence=True)
    shutil.unpack_archive(tmp_path / "out" / "betas_csv.zip", tmp_path / "out")
    assert load_reader("things-fmri").recognises(tmp_path / "out")


def test_imagenet_eeg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert neuroalign("fetch", "imagenet-eeg", "--out", tmp_path / "out") == 0
    said = plain(capsys.readouterr().out)
    assert "To be done by hand:" in said and "block_splits_by_image_all.pth" in said
    assert said.rstrip().endswith(f"Next: neuroalign doctor {tmp_path / 'out'}")
    assert not (tmp_path / "out").exists()
