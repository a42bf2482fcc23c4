import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neuroalign.errors import NeuroalignError
from neuroalign.images import (
    PictureSet,
    open_picture,
    picture_set,
    pictures_from_folder,
    pictures_from_table,
    shipped_pictures,
)


def paint(path, colour=(200, 30, 30), size=(20, 16), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


def test_a_folder_gives_names_labels_and_hashes(tmp_path):
    paint(tmp_path / "cat" / "one.png")
    paint(tmp_path / "cat" / "deep" / "two.JPG")
    paint(tmp_path / "loose.webp")
    paint(tmp_path / ".thumbnails" / "one.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "LICENSE.txt").write_text("free")
    pictures = pictures_from_folder(tmp_path)
    table = pictures.table.set_index("stimulus")
    assert list(table.index) == ["cat/deep/two", "cat/one", "loose"]
    assert table["label"].fillna("none").tolist() == ["deep", "cat", "none"]
    assert table["category"].isna().all()
    assert pictures.licence == f"see {tmp_path / 'LICENSE.txt'}"
    assert [Path(p).is_file() for p in table["path"]] == [True] * 3
    assert table["sha256"].str.len().eq(64).all()


def test_no_positions_are_no_pictures(tmp_path):
    paint(tmp_path / "one.png")
    assert len(pictures_from_folder(tmp_path).take([])) == 0


def test_names_that_would_collide_keep_their_extension(tmp_path):
    for name in ("a.png", "a.jpg", "b.png"):
        paint(tmp_path / name)
    assert pictures_from_folder(tmp_path).table["stimulus"].tolist() == ["a.jpg", "a.png", "b"]


@pytest.mark.parametrize("make", [Path.mkdir, lambda p: None], ids=["empty", "missing"])
def test_no_pictures_is_an_error(tmp_path, make):
    folder = tmp_path / "folder"
    make(folder)
    with pytest.raises(NeuroalignError, match=r"holds no pictures|no such file or folder"):
        pictures_from_folder(folder)


def test_a_recipe_names_shipped_pictures_a_folder_a_table_or_one_file(tmp_path):
    one = paint(tmp_path / "set" / "cat" / "one.png")
    paint(tmp_path / "set" / "two.png")
    (tmp_path / "list.TSV").write_text("stimulus\tpath\nuno\tset/cat/one.png\n")
    assert picture_set("shipped").name == shipped_pictures().name
    named = {
        name: picture_set(str(tmp_path / name)).table for name in ("set", "list.TSV", "set/two.png")
    }
    assert named["set"]["stimulus"].tolist() == ["cat/one", "two"]
    assert named["list.TSV"]["stimulus"].tolist() == ["uno"]
    assert named["set/two.png"]["stimulus"].tolist() == ["two"]
    known = named["set"].set_index("stimulus")["sha256"]
    assert named["list.TSV"]["sha256"].tolist() == [known["cat/one"]]
    assert named["set/two.png"]["sha256"].tolist() == [known["two"]]
    one.write_bytes(b"nonsense")
    with pytest.raises(NeuroalignError, match="cannot be decoded"):
        picture_set(str(one))


def test_files_that_do_not_decode_are_listed_and_counted(tmp_path):
    paint(tmp_path / "fine.png")
    for i in range(7):
        (tmp_path / f"bad{i}.png").write_bytes(b"nonsense")
    with pytest.raises(NeuroalignError) as caught:
        pictures_from_folder(tmp_path)
    message = str(caught.value)
    assert message.startswith("7 picture file(s) cannot be decoded")
    assert all(f"bad{i}.png" in message for i in range(5))
    assert "bad5.png" not in message and "fine.png" not in message


@pytest.mark.parametrize(("suffix", "separator"), [("tsv", "\t"), ("csv", ",")])
def test_a_table_gives_pictures_relative_to_itself(tmp_path, suffix, separator):
    paint(tmp_path / "files" / "x.png")
    absolute = paint(tmp_path / "y.png", colour=(0, 0, 0))
    rows = pd.DataFrame(
        {
            "stimulus": ["NA", "second"],
            "path": ["files/x.png", str(absolute)],
            "label": ["fox", ""],
        }
    )
    file = tmp_path / f"list.{suffix}"
    rows.to_csv(file, sep=separator, index=False)
    pictures = pictures_from_table(file)
    assert pictures.name == "list" and pictures.licence == "not stated"
    assert pictures.table["stimulus"].tolist() == ["NA", "second"]
    assert pictures.table["label"].fillna("none").tolist() == ["fox", "none"]
    assert len(pictures.select(label="fox")) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stimulus\tfile\na\tx.png\n", "lacks the column"),
        ("stimulus\tpath\na\tx.png\na\tx.png\n", "more than once"),
        ("stimulus\tpath\na\tx.png\n\tx.png\n", r"no stimulus or no path \(first: row 2"),
        ("stimulus\tpath\na\tgone.png\n", r"gone.png \(no such file\)"),
        ("stimulus\tpath\n", "lists no pictures"),
        ("", "not a readable table"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, message):
    paint(tmp_path / "x.png")
    (tmp_path / "list.tsv").write_text(text)
    with pytest.raises(NeuroalignError, match=message):
        pictures_from_table(tmp_path / "list.tsv")


def test_a_missing_table_and_an_unknown_column_are_named(tmp_path):
    with pytest.raises(NeuroalignError, match=r"list\.tsv is not a readable table"):
        pictures_from_table(tmp_path / "list.tsv")
    with pytest.raises(NeuroalignError, match="no column 'colour'"):
        shipped_pictures().select(colour="red")
    with pytest.raises(NeuroalignError, match="lack the column"):
        PictureSet(pd.DataFrame({"stimulus": ["a"]}), name="x")


def test_transparency_is_laid_over_mid_grey(tmp_path):
    paint(tmp_path / "clear.png", colour=(255, 0, 0, 0), mode="RGBA")
    assert np.unique(np.asarray(open_picture(tmp_path / "clear.png"))).tolist() == [128]


def test_sixteen_bit_grey_is_scaled_and_rotated_photographs_stand_upright(tmp_path):
    deep = np.full((8, 8), 40_000, np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.unique(np.asarray(open_picture(tmp_path / "deep.png"))).tolist() == [40_000 // 256]
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees to see it upright"
    Image.new("RGB", (20, 10)).save(tmp_path / "turned.jpg", exif=exif)
    assert open_picture(tmp_path / "turned.jpg").size == (10, 20)


def test_a_truncated_photograph_is_named_when_it_is_opened(tmp_path):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    noise.save(tmp_path / "cut.jpg")
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(NeuroalignError, match=r"cut\.jpg .*truncated"):
        open_picture(tmp_path / "cut.jpg")


class TestShippedPictures:
    @pytest.fixture(scope="class")
    def pictures(self):
        return shipped_pictures()

    @pytest.fixture(scope="class")
    def pixels(self, pictures):
        return np.stack([np.asarray(open_picture(p)) for p in pictures.table["path"]])

    def test_count_categories_and_weight(self, pictures):
        folder = Path(pictures.table["path"][0]).parent
        assert 380 <= len(pictures) <= 430
        per_category = pictures.table["category"].value_counts()
        assert 10 <= len(per_category) <= 15 and per_category.min() >= 6
        assert sum(f.stat().st_size for f in folder.iterdir()) <= 4e6

    def test_the_table_matches_the_files_and_licence_and_authors_are_there(self, pictures):
        folder = Path(pictures.table["path"][0]).parent
        assert {p.name for p in folder.glob("*.webp")} == {
            Path(p).name for p in pictures.table["path"]
        }
        assert not pictures.table.isna().any().any()
        assert not pictures.table["sha256"].duplicated().any()
        assert "GNU GENERAL PUBLIC LICENSE" in (folder / "LICENSE").read_text()
        assert "tuxpaint-stamps-default" in (folder / "ATTRIBUTION.md").read_text()

    def test_every_picture_is_a_visible_object_on_mid_grey(self, pixels, pictures):
        assert pixels.shape == (len(pictures), 224, 224, 3)
        border = np.concatenate(
            [pixels[:, :8].reshape(len(pixels), -1), pixels[:, -8:].reshape(len(pixels), -1)], 1
        )
        assert np.abs(border.astype(int) - 128).max() <= 4
        differs = np.abs(pixels.astype(np.int16) - 128).max(3) > 16
        assert differs.mean((1, 2)).min() > 0.01
        across, down = differs.any(1), differs.any(2)
        longer = np.maximum(extent(across), extent(down))
        assert longer.min() > 0.70 * 224 and longer.max() < 0.88 * 224

    def test_no_near_duplicates_mirrored_ones_included(self, pixels, pictures):
        """By difference hashes, which the building script does not use."""
        names = pictures.table["stimulus"].to_numpy(str)
        grey = [Image.fromarray(p).convert("L") for p in pixels]
        plain = np.stack([difference_hash(g) for g in grey])
        mirrored = np.stack(
            [difference_hash(g.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) for g in grey]
        )
        for other in (plain, mirrored):
            distance = (plain[:, None] != other[None]).sum(2)
            distance[np.tril_indices(len(distance))] = 999
            close = [(names[i], names[j]) for i, j in np.argwhere(distance <= 12)]
            assert not close


def extent(rows):
    n = rows.shape[1]
    return n - rows.argmax(1) - rows[:, ::-1].argmax(1)


def difference_hash(grey):
    small = np.asarray(grey.resize((17, 16), Image.Resampling.LANCZOS), int)
    step = small[:, 1:] - small[:, :-1]
    return np.concatenate([(step > 2).ravel(), (step < -2).ravel()])


def test_the_shipped_pictures_survive_being_copied(tmp_path):
    source = Path(shipped_pictures().table["path"][0]).parent
    copy = pictures_from_folder(shutil.copytree(source, tmp_path / "stamps"))
    assert copy.table["sha256"].tolist() == sorted_like(copy, shipped_pictures())


def sorted_like(copy, pictures):
    by_name = pictures.table.set_index("stimulus")["sha256"]
    return by_name[copy.table["stimulus"]].tolist()
