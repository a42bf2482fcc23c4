"""Pictures in an HDF5 array, as NSD keeps them."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neuroalign.errors import MissingDependencyError, NeuroalignError
from neuroalign.images import embed_pictures, open_picture, pictures_from_table
from neuroalign.images.bricks import brick_picture, read_brick


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 6, 5, 3), np.uint8)


@pytest.fixture
def brick(tmp_path: Path, pixels: np.ndarray) -> Path:
    with h5py.File(tmp_path / "some pictures.hdf5", "w") as file:
        file.create_dataset("imgBrick", data=pixels, chunks=(2, 6, 5, 3))
        file.create_dataset("deep/er", data=pixels[::-1])
    return tmp_path / "some pictures.hdf5"


def write_table(folder: Path, paths: list[str]) -> Path:
    rows = pd.DataFrame({"stimulus": [f"p{i}" for i in range(len(paths))], "path": paths})
    rows.to_csv(folder / "pictures.tsv", sep="\t", index=False)
    return folder / "pictures.tsv"


class MeanColour:
    """Counts what it is shown."""

    id, dim, seen = "mean-colour", 3, 0

    def encode(self, images):
        self.seen += len(images)
        return np.stack([np.asarray(i, np.float32).mean((0, 1)) for i in images])


@pytest.mark.parametrize("number", [0, 8])
def test_a_picture_is_its_row(brick, pixels, number):
    opened = open_picture(f"{brick}::imgBrick/{number}")
    assert opened.mode == "RGB" and opened.size == (5, 6)
    np.testing.assert_array_equal(np.asarray(opened), pixels[number])
    np.testing.assert_array_equal(open_picture(f"{brick}::deep/er/{number}"), pixels[8 - number])


@pytest.mark.parametrize(
    "path", ["a.png", "a.hdf5", "a.hdf5::imgBrick", "a.hdf5::imgBrick/x", "a.png::b/3", "::b/3"]
)
def test_other_paths_are_files(path):
    assert brick_picture(path) is None


def test_a_table_mixes_files_and_rows_in_any_order(brick, pixels, tmp_path):
    Image.fromarray(pixels[4]).save(tmp_path / "file.png")
    numbers = [7, 0, 1, 2, 2, 8]
    paths = [f"{brick}::imgBrick/{n}" for n in numbers]
    table = write_table(tmp_path, [*paths[:3], "file.png", *paths[3:]])
    pictures = pictures_from_table(table)
    numbers.insert(3, 4)
    for path, number in zip(pictures.table["path"], numbers, strict=True):
        np.testing.assert_array_equal(open_picture(path), pixels[number])
    hashes = pictures.table["sha256"].tolist()
    assert hashes[4] == hashes[5] and len(set(hashes)) == 6
    encoder = MeanColour()
    embedded = embed_pictures(pictures, encoder, cache_dir=tmp_path / "cache")
    expected = pixels[numbers].mean((1, 2))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embedded.vectors, expected, rtol=1e-5)
    assert encoder.seen == 6
    embed_pictures(pictures, encoder, cache_dir=tmp_path / "cache")
    assert encoder.seen == 6


def test_each_file_is_opened_once(brick, monkeypatch):
    opened = []

    class Counted(h5py.File):
        def __init__(self, *args, **kwargs):
            opened.append(args)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(h5py, "File", Counted)
    places = [brick_picture(f"{brick}::imgBrick/{n}") for n in (5, 1, 3, 2)]
    assert sorted(number for number, _ in read_brick(places)) == [0, 1, 2, 3]
    assert len(opened) == 1


def test_a_picture_that_changed_is_noticed(brick, tmp_path):
    pictures = pictures_from_table(write_table(tmp_path, [f"{brick}::imgBrick/3"]))
    with h5py.File(brick, "r+") as file:
        file["imgBrick"][3, 0, 0, 0] ^= 1
    with pytest.raises(NeuroalignError, match="imgBrick/3 has changed"):
        embed_pictures(pictures, MeanColour(), cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("some pictures.hdf5::imgBrick/9", "no picture 9: it holds 9"),
        ("some pictures.hdf5::images/1", "no array 'images'; it has deep, imgBrick"),
        ("some pictures.hdf5::floats/1", r"floats holds float64 of the shape \(2, 2, 2, 3\)"),
        ("some pictures.hdf5::swapped/1", r"\(3, 2, 2, 9\)"),
        ("some pictures.hdf5::deep/1", "no array 'deep'"),
        ("gone.hdf5::imgBrick/1", "no such file"),
        ("broken.h5::imgBrick/1", "signature"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_reason(brick, tmp_path, path, says):
    with h5py.File(brick, "r+") as file:
        file["floats"] = np.zeros((2, 2, 2, 3))
        file["swapped"] = np.zeros((3, 2, 2, 9), np.uint8)
        if "images" in says:
            del file["floats"], file["swapped"]
    (tmp_path / "broken.h5").write_bytes(b"not HDF5")
    with pytest.raises(NeuroalignError, match=says):
        open_picture(tmp_path / path)
    good = f"{brick}::imgBrick/8"
    with pytest.raises(NeuroalignError, match=rf"^1 picture file.*{says}"):
        pictures_from_table(write_table(tmp_path, [good, path]))


def test_without_h5py_the_message_says_what_to_install(brick, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    table = write_table(tmp_path, [f"{brick}::imgBrick/0"])
    for ask in (lambda: open_picture(f"{brick}::imgBrick/0"), lambda: pictures_from_table(table)):
        with pytest.raises(MissingDependencyError, match=r"pip install 'neuroalign\[fmri\]'"):
            ask()
