"""The embedding cache: each distinct picture is embedded once per encoder.

A folder per encoder holds shards, `<random>.npz` with `keys` (hash of a picture's content) and
`vectors` (as the encoder gave them, not normalised). A shard is written whole or not at all and
never changed, so processes may fill one cache side by side: at worst both embed the same picture.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign import progress
from neuroalign.errors import NeuroalignError
from neuroalign.files import atomic_file, write_json
from neuroalign.images.encoders import DEFAULT_ENCODER, ImageEncoder, load_encoder
from neuroalign.images.pictures import PictureSet, open_picture, picture_hash
from neuroalign.retrieval.embeddings import Embeddings

#: Counts up when `open_picture` changes what an encoder gets to see.
OPENING_VERSION = 1
_FLUSH_EVERY = 256

_Vectors = dict[str, npt.NDArray[np.float32]]


def embed_pictures(
    pictures: PictureSet,
    encoder: str | ImageEncoder = DEFAULT_ENCODER,
    *,
    layer: int | None = None,
    cache_dir: Path | None = None,
    batch_size: int = 32,
) -> Embeddings:
    """Embed pictures with a frozen image encoder, through a cache on disk.

    What an interrupted call embedded is kept: the next call goes on from there (a killed process
    loses at most the last 256 pictures).

    Parameters
    ----------
    pictures : PictureSet
    encoder : str or ImageEncoder
        A name for `load_encoder`, or a loaded encoder.
    layer : int, optional
        See `load_encoder`; only with a name.
    cache_dir : Path, optional
        Default: the environment variable NEUROALIGN_CACHE, or ~/.cache/neuroalign.
    batch_size : int
        Pictures a step.

    Returns
    -------
    Embeddings
        One item a picture, in the order of `pictures`, L2-normalised (the cache keeps the vectors
        as they came); columns kind, stimulus, label, subject (missing), category, path, sha256.
        The space is the encoder's id.

    Raises
    ------
    NeuroalignError
        There are no pictures, one cannot be read or has changed since `pictures` was made, the
        encoder cannot be loaded or gives vectors of the wrong shape, or the cache cannot be read or
        written.
    """
    if len(pictures) == 0:
        raise NeuroalignError(f"{pictures.name} holds no pictures: there is nothing to embed.")
    if isinstance(encoder, str):
        encoder = load_encoder(encoder, layer)
    elif layer is not None:
        raise NeuroalignError(
            "`layer` was given beside a loaded encoder: pass it to `load_encoder`."
        )
    folder = _folder(cache_dir, encoder)
    known = _read_shards(folder, encoder)
    paths = dict(zip(pictures.table["sha256"], pictures.table["path"], strict=True))
    todo = {sha: path for sha, path in paths.items() if sha not in known}
    if todo:
        _embed(todo, encoder, folder, known, batch_size)
    items = pictures.table.assign(
        kind="picture", subject=pd.array([pd.NA] * len(pictures), "string")
    )
    order = ["kind", "stimulus", "label", "subject", "category", "path", "sha256"]
    others = [c for c in items.columns if c not in order]
    vectors = np.stack([known[sha] for sha in items["sha256"]])
    return Embeddings(vectors, items[order + others], encoder.id)


def _embed(
    todo: dict[str, str], encoder: ImageEncoder, folder: Path, known: _Vectors, batch_size: int
) -> None:
    """Embed the pictures of `todo` (hash -> path) into `known` and into new shards."""
    hashes = list(todo)
    fresh: _Vectors = {}
    try:
        with progress.bar(len(hashes), "Embedding pictures") as advance:
            for start in range(0, len(hashes), batch_size):
                batch = hashes[start : start + batch_size]
                _check_unchanged(batch, todo)
                vectors = np.asarray(encoder.encode([open_picture(todo[h]) for h in batch]))
                _check_vectors(vectors, batch, todo, encoder)
                fresh.update(zip(batch, vectors.astype(np.float32), strict=True))
                if len(fresh) >= _FLUSH_EVERY:
                    _write_shard(folder, fresh, encoder)
                    known.update(fresh)
                    fresh = {}
                advance(len(batch))
    finally:  # Ctrl-C and errors too: what was embedded is kept
        if fresh:
            _write_shard(folder, fresh, encoder)
            known.update(fresh)


def _check_unchanged(batch: list[str], paths: dict[str, str]) -> None:
    for expected in batch:
        path = paths[expected]
        try:
            found = picture_hash(path)
        except (OSError, ValueError):
            continue  # opening it says why
        if found != expected:
            raise NeuroalignError(
                f"{path} has changed since the picture set was made: its content no longer has the "
                "hash that the set states. Make the picture set again."
            )


def _check_vectors(
    vectors: npt.NDArray[np.float32], batch: list[str], paths: dict[str, str], encoder: ImageEncoder
) -> None:
    if vectors.shape != (len(batch), encoder.dim):
        raise NeuroalignError(
            f"The encoder {encoder.id} gave an array of shape {vectors.shape} for {len(batch)} "
            f"pictures; expected {(len(batch), encoder.dim)}."
        )
    bad = np.flatnonzero(~np.isfinite(vectors).all(1))
    if bad.size:
        raise NeuroalignError(
            f"The encoder {encoder.id} gave NaN or infinite values for {bad.size} of {len(batch)} "
            f"pictures (first: {paths[batch[bad[0]]]})."
        )


def _folder(cache_dir: Path | None, encoder: ImageEncoder) -> Path:
    if cache_dir is None:
        default = Path.home() / ".cache" / "neuroalign"
        cache_dir = Path(os.environ.get("NEUROALIGN_CACHE") or default)
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", encoder.id)[:80]
    key = hashlib.sha256(f"{encoder.id}\n{OPENING_VERSION}".encode()).hexdigest()[:12]
    return Path(cache_dir) / "pictures" / f"{readable}-{key}"


def _read_shards(folder: Path, encoder: ImageEncoder) -> _Vectors:
    known: _Vectors = {}
    for file in sorted(folder.glob("[!.]*.npz")):
        try:
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as shard:
                keys, vectors = shard["keys"], shard["vectors"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise NeuroalignError(
                f"{file} in the embedding cache is damaged ({error}). Delete it: the pictures it "
                "held are then embedded again."
            ) from error
        if vectors.shape != (len(keys), encoder.dim):
            raise NeuroalignError(
                f"{file} in the embedding cache holds vectors of shape {vectors.shape}, but "
                f"{encoder.id} gives {encoder.dim} numbers a picture: two encoders have the same "
                f"id. Delete {folder}, and give each encoder its own id."
            )
        known.update(zip(keys.tolist(), vectors, strict=True))
    return known


def _write_shard(folder: Path, fresh: _Vectors, encoder: ImageEncoder) -> None:
    if not (folder / "encoder.json").exists():
        write_json(folder / "encoder.json", {"id": encoder.id, "dim": encoder.dim})
    with atomic_file(folder / f"{uuid.uuid4().hex}.npz") as partial:
        np.savez(partial, keys=np.array(list(fresh)), vectors=np.stack(list(fresh.values())))
