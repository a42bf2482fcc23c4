import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neuroalign.errors import NeuroalignError
from neuroalign.images import PictureSet, embed_pictures, pictures_from_folder
from neuroalign.retrieval import Embeddings


@dataclass
class MeanColour:
    """A real, if small, encoder: the mean colour. Counts what it is given."""

    id: str = "test:mean-colour"
    dim: int = 3
    stop_after: int | None = None
    seen: list[tuple[float, ...]] = field(default_factory=list)

    def encode(self, images):
        out = np.stack([np.asarray(i, np.float32).mean((0, 1)) for i in images])
        if self.stop_after is not None and len(self.seen) + len(out) > self.stop_after:
            raise KeyboardInterrupt
        self.seen += [tuple(v) for v in out.tolist()]
        return out


def paint(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 6), colour).save(path)


@pytest.fixture
def pictures(tmp_path):
    for i in range(12):
        paint(tmp_path / "set" / f"class{i % 3}" / f"{i:02}.png", (10 + i, 5, 2 * i))
    return pictures_from_folder(tmp_path / "set")


def test_vectors_items_and_space(pictures, tmp_path):
    encoder = MeanColour()
    found = embed_pictures(pictures, encoder, cache_dir=tmp_path / "cache", batch_size=5)
    assert isinstance(found, Embeddings) and found.space == "test:mean-colour"
    names = pictures.table["stimulus"]
    expected = np.array([[10 + int(n[-2:]), 5, 2 * int(n[-2:])] for n in names], float)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found.vectors, expected, atol=1e-6)
    assert found.items["stimulus"].tolist() == names.tolist()
    assert found.items["label"].tolist() == pictures.table["label"].tolist()
    assert found.items["sha256"].tolist() == pictures.table["sha256"].tolist()
    assert set(found.items["kind"]) == {"picture"} and found.items["subject"].isna().all()
    assert list(found.items.columns[:5]) == ["kind", "stimulus", "label", "subject", "category"]


def test_embeddings_of_pictures_survive_saving(pictures, tmp_path):
    found = embed_pictures(pictures, MeanColour(), cache_dir=tmp_path)
    found.save(tmp_path / "e.parquet")
    loaded = Embeddings.load(tmp_path / "e.parquet")
    np.testing.assert_allclose(loaded.vectors, found.vectors, atol=1e-6)
    assert loaded.items["label"].tolist() == found.items["label"].tolist()


def test_each_distinct_content_is_embedded_once(pictures, tmp_path):
    folder = tmp_path / "set"
    (folder / "class0" / "copy.png").write_bytes((folder / "class0" / "00.png").read_bytes())
    pictures = pictures_from_folder(folder)
    encoder = MeanColour()
    first = embed_pictures(pictures, encoder, cache_dir=tmp_path / "cache")
    assert len(pictures) == 13 and len(encoder.seen) == len(set(encoder.seen)) == 12
    again = MeanColour()
    second = embed_pictures(pictures, again, cache_dir=tmp_path / "cache")
    assert again.seen == []
    np.testing.assert_array_equal(first.vectors, second.vectors)


def test_a_moved_file_is_found_and_a_changed_one_embedded_again(pictures, tmp_path):
    embed_pictures(pictures, MeanColour(), cache_dir=tmp_path / "cache")
    folder = tmp_path / "set"
    (folder / "class0").rename(folder / "renamed")
    paint(folder / "class1" / "01.png", (200, 100, 0))
    encoder = MeanColour()
    found = embed_pictures(pictures_from_folder(folder), encoder, cache_dir=tmp_path / "cache")
    assert encoder.seen == [(200.0, 100.0, 0.0)]
    changed = found.select(stimulus="class1/01").vectors[0]
    np.testing.assert_allclose(changed, np.array([2, 1, 0]) / np.sqrt(5), atol=1e-6)


def test_a_file_changed_after_the_set_was_made_is_refused(pictures, tmp_path):
    paint(tmp_path / "set" / "class1" / "01.png", (200, 100, 0))
    with pytest.raises(NeuroalignError, match=r"01\.png has changed since"):
        embed_pictures(pictures, MeanColour(), cache_dir=tmp_path / "cache")


def test_encoders_do_not_share_vectors(pictures, tmp_path):
    embed_pictures(pictures, MeanColour(), cache_dir=tmp_path / "cache")
    other = MeanColour(id="test:mean-colour/2")
    embed_pictures(pictures, other, cache_dir=tmp_path / "cache")
    assert len(other.seen) == 12


def test_an_interrupted_run_keeps_what_it_embedded(pictures, tmp_path):
    interrupted = MeanColour(stop_after=8)
    with pytest.raises(KeyboardInterrupt):
        embed_pictures(pictures, interrupted, cache_dir=tmp_path / "cache", batch_size=4)
    encoder = MeanColour()
    found = embed_pictures(pictures, encoder, cache_dir=tmp_path / "cache", batch_size=4)
    assert len(interrupted.seen) == 8 and len(encoder.seen) == 4
    assert not set(encoder.seen) & set(interrupted.seen)
    fresh = embed_pictures(pictures, MeanColour(), cache_dir=tmp_path / "elsewhere")
    np.testing.assert_array_equal(found.vectors, fresh.vectors)


_KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from neuroalign.images import cache, pictures_from_folder

class Encoder:
    id, dim, n = "test:mean-colour", 3, 0
    def encode(self, images):
        self.n += len(images)
        if self.n > 10:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.stack([np.asarray(i, np.float32).mean((0, 1)) for i in images])

cache._FLUSH_EVERY = 4
folder = Path(sys.argv[1])
cache.embed_pictures(
    pictures_from_folder(folder / "set"), Encoder(), cache_dir=folder / "cache", batch_size=2
)
"""


def test_a_killed_process_loses_at_most_one_flush(pictures, tmp_path):
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    encoder = MeanColour()
    found = embed_pictures(pictures, encoder, cache_dir=tmp_path / "cache")
    assert len(encoder.seen) == 4  # killed at the 11th; 8 of the first 10 had been flushed
    fresh = embed_pictures(pictures, MeanColour(), cache_dir=tmp_path / "elsewhere")
    np.testing.assert_array_equal(found.vectors, fresh.vectors)


def test_the_cache_lies_where_the_environment_says(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROALIGN_CACHE", str(tmp_path / "a"))
    embed_pictures(pictures, MeanColour())
    assert list((tmp_path / "a").rglob("*.npz"))
    monkeypatch.delenv("NEUROALIGN_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    embed_pictures(pictures, MeanColour())
    assert list((tmp_path / "home" / ".cache" / "neuroalign").rglob("*.npz"))


def test_a_damaged_shard_is_named(pictures, tmp_path):
    embed_pictures(pictures, MeanColour(), cache_dir=tmp_path)
    (shard,) = tmp_path.rglob("*.npz")
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(NeuroalignError, match=rf"{shard.name} .*damaged.*Delete it"):
        embed_pictures(pictures, MeanColour(), cache_dir=tmp_path)


def test_leftovers_of_a_killed_write_are_ignored(pictures, tmp_path):
    embed_pictures(pictures, MeanColour(), cache_dir=tmp_path)
    (shard,) = tmp_path.rglob("*.npz")
    (shard.parent / ".x.partial-abc.npz").write_bytes(b"half")
    encoder = MeanColour()
    embed_pictures(pictures, encoder, cache_dir=tmp_path)
    assert encoder.seen == []


def test_two_encoders_with_one_id_are_noticed(pictures, tmp_path):
    embed_pictures(pictures, MeanColour(), cache_dir=tmp_path)

    class Wider(MeanColour):
        def encode(self, images):
            return np.repeat(super().encode(images), 2, axis=1)

    with pytest.raises(NeuroalignError, match="two encoders have the same id"):
        embed_pictures(pictures, Wider(dim=6), cache_dir=tmp_path)
    with pytest.raises(NeuroalignError, match=r"shape \(12, 6\).*expected \(12, 3\)"):
        embed_pictures(pictures, Wider(id="test:wider"), cache_dir=tmp_path)


def test_values_that_are_not_finite_are_refused_and_not_kept(pictures, tmp_path):
    class Broken(MeanColour):
        def encode(self, images):
            return super().encode(images) * np.nan

    with pytest.raises(NeuroalignError, match="NaN or infinite"):
        embed_pictures(pictures, Broken(), cache_dir=tmp_path)
    assert not list(tmp_path.rglob("*.npz"))


def test_a_layer_beside_a_loaded_encoder_is_refused(pictures, tmp_path):
    with pytest.raises(NeuroalignError, match="`layer`"):
        embed_pictures(pictures, MeanColour(), layer=2, cache_dir=tmp_path)


def test_an_empty_set_is_refused():
    empty = pd.DataFrame(columns=["stimulus", "path", "label", "category", "sha256"])
    with pytest.raises(NeuroalignError, match="no pictures"):
        embed_pictures(PictureSet(empty, name="nothing"), MeanColour(), cache_dir=Path(os.devnull))
