"""Names of THINGS pictures, as each of the data sets writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.readers.things import ThingsPicture, parse_picture, picture_table


@pytest.mark.parametrize(
    ("path", "name", "concept"),
    [
        ("images_meg/aardvark/aardvark_01b.jpg", "aardvark_01b", "aardvark"),
        ("images_test_meg/wig_13s.jpg", "wig_13s", "wig"),
        ("00001_aardvark/aardvark_01b.jpg", "aardvark_01b", "aardvark"),
        ("dog_12s.jpg", "dog_12s", "dog"),
        ("aircraft_carrier_06s.jpg", "aircraft_carrier_06s", "aircraft_carrier"),
        ("training_images/00002_abacus/abacus_03s.jpg", "abacus_03s", "abacus"),
        ("test_images/00002_bow_tie/bow_tie_06s.jpg", "bow_tie_06s", "bow_tie"),
        ("images_meg\\bass1\\bass1_05n.jpg", "bass1_05n", "bass1"),
        ("jack-in-the-box_02s.jpg", "jack-in-the-box_02s", "jack-in-the-box"),
        ("object_images/kimono/kimono_plus.jpg", "kimono_plus", "kimono"),
    ],
)
def test_every_published_spelling_is_understood(path: str, name: str, concept: str) -> None:
    picture = parse_picture(path)
    assert (picture.name, picture.concept) == (name, concept)
    assert picture.file == f"{name}.jpg"


@pytest.mark.parametrize(
    "path", ["", "nan", "aardvark.jpg", "aardvark_01b", "_01b.jpg", "aardvark_b.jpg", "a_01b.mat"]
)
def test_what_is_no_picture_is_refused(path: str) -> None:
    with pytest.raises(NeuroalignError, match="not the name of a THINGS picture"):
        parse_picture(path)


def test_a_folder_of_another_concept_is_refused() -> None:
    with pytest.raises(NeuroalignError, match="folder says 'wig' but the file shows 'dog'"):
        parse_picture("images_meg/wig/dog_12s.jpg")


@given(
    st.lists(st.from_regex(r"[a-z0-9-]{1,8}", fullmatch=True), min_size=1, max_size=4),
    st.integers(1, 99),
    st.sampled_from("bsn"),
)
def test_concepts_keep_their_underscores(words: list[str], number: int, letter: str) -> None:
    concept = "_".join(words)
    assert parse_picture(f"{concept}_{number:02d}{letter}.jpg").concept == concept


def test_pictures_are_found_with_and_without_numbers(tmp_path: Path) -> None:
    pictures = [parse_picture(f"{n}.jpg") for n in ("wig_13s", "dog_12s", "dog_12s", "owl_01b")]
    for place in ("wig", "images/00007_dog"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "wig" / "wig_13s.jpg").touch()
    (tmp_path / "images" / "00007_dog" / "dog_12s.jpg").touch()
    table, findings = picture_table(pictures, tmp_path)
    assert table["stimulus"].tolist() == ["dog_12s", "owl_01b", "wig_13s"]
    assert table["label"].tolist() == ["dog", "owl", "wig"]
    assert [Path(p).name if p else "" for p in table["path"]] == ["dog_12s.jpg", "", "wig_13s.jpg"]
    assert all(Path(p).is_absolute() for p in table["path"] if p)
    assert [(f.severity, f.count) for f in findings] == [("warning", 1)]
    assert "owl_01b" in findings[0].what


def test_without_a_folder_it_is_only_noted(tmp_path: Path) -> None:
    table, findings = picture_table([ThingsPicture("dog_12s", "dog", "dog_12s.jpg")], None)
    assert table["path"].tolist() == [""]
    assert [f.severity for f in findings] == ["note"]
    with pytest.raises(NeuroalignError, match="is not a folder"):
        picture_table([], tmp_path / "nowhere")
