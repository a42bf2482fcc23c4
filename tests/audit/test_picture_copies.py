"""Copies of pictures are told from other pictures, by their thumbnails alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps
from poison import clean_world

from neuroalign.audit import audit_run
from neuroalign.audit.copies import copies
from neuroalign.images.pictures import open_picture, shipped_pictures
from neuroalign.images.thumbnails import SIDE, Thumbnails

Change = Callable[[Image.Image], Image.Image]


@cache
def shipped() -> list[Image.Image]:
    return [open_picture(path) for path in shipped_pictures().table["path"]]


@cache
def thumbnails() -> np.ndarray:
    return Thumbnails().encode(shipped())


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return Image.open(io.BytesIO(out.getvalue())).convert("RGB")


def resized(picture: Image.Image, factor: float) -> Image.Image:
    return picture.resize((round(picture.width * factor), round(picture.height * factor)))


def one_pixel(picture: Image.Image) -> Image.Image:
    changed = picture.copy()
    changed.putpixel((0, 0), (1, 2, 3))
    return changed


CHANGES: dict[str, Change] = {
    "half the size": lambda p: resized(p, 0.5),
    "double size": lambda p: resized(p, 2),
    "other proportions": lambda p: p.resize((200, 150)),
    "grey": lambda p: p.convert("L").convert("RGB"),
    "one pixel": one_pixel,
    "darker": lambda p: p.point(lambda v: int(v * 0.7)),
}


def test_no_two_shipped_pictures_are_taken_for_copies() -> None:
    rows = np.arange(len(shipped()))
    pairs = copies(thumbnails(), rows, rows)
    np.testing.assert_array_equal(pairs, np.column_stack([rows, rows]))
    own, other = copies(thumbnails(), rows, rows, mirrored=True).T
    np.testing.assert_array_equal(own, other)  # some are symmetric


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_few_pictures_are_told_apart_as_many_are(data: st.DataObject) -> None:
    rows = st.lists(st.integers(0, len(shipped()) - 1), min_size=2, max_size=12, unique=True)
    chosen = np.array(data.draw(rows))
    cut = data.draw(st.integers(1, len(chosen) - 1))
    assert len(copies(thumbnails(), chosen[:cut], chosen[cut:])) == 0


@pytest.mark.parametrize("change", [*CHANGES, "JPEG"])
def test_every_copy_is_found_and_nothing_else(change: str) -> None:
    """Any quality of JPEG from 20 to 95 will do: each picture has another."""
    rng = np.random.default_rng(3)
    some = np.sort(rng.choice(len(shipped()), 140, replace=False))
    altered = [
        CHANGES[change](p) if change in CHANGES else jpeg(p, int(rng.integers(20, 96)))
        for p in (shipped()[row] for row in some)
    ]
    both = np.concatenate([thumbnails(), Thumbnails().encode(altered)])
    place = len(shipped()) + np.arange(len(some))
    pairs = copies(both, np.arange(len(shipped())), place)
    np.testing.assert_array_equal(pairs, np.column_stack([some, place]))


@settings(max_examples=40, deadline=None)
@given(
    row=st.integers(0, 424),
    quality=st.integers(20, 95),
    factor=st.sampled_from([0.5, 1, 2]),
    grey=st.booleans(),
)
def test_changes_may_be_combined(row: int, quality: int, factor: float, grey: bool) -> None:
    picture = resized(shipped()[row], factor)
    picture = jpeg(picture.convert("L").convert("RGB") if grey else picture, quality)
    both = np.concatenate([thumbnails(), Thumbnails().encode([picture])])
    pairs = copies(both, np.arange(len(shipped())), np.array([len(shipped())]))
    assert pairs.tolist() == [[row, len(shipped())]]


def test_a_mirrored_copy_is_told_from_a_copy() -> None:
    both = np.concatenate([thumbnails(), Thumbnails().encode([ImageOps.mirror(shipped()[7])])])
    every, last = np.arange(len(shipped())), np.array([len(shipped())])
    assert copies(both, every, last, mirrored=True).tolist() == [[7, len(shipped())]]
    assert len(copies(both, every, last)) == 0


def test_what_all_pictures_share_makes_no_copies() -> None:
    """Seen through one and the same keyhole, they are still different pictures."""
    hole = Image.new("L", (224, 224))
    ImageDraw.Draw(hole).ellipse((60, 50, 165, 175), fill=255)
    black = Image.new("RGB", hole.size)
    seen = [Image.composite(picture, black, hole) for picture in shipped()]
    small = Thumbnails().encode(seen)
    alike = np.corrcoef(small)[np.triu_indices(len(small), 1)]
    assert (alike > 0.95).mean() > 0.1  # as they are, many would pass for copies
    rows = np.arange(len(seen))
    pairs = copies(small, rows, rows)
    assert (pairs[:, 0] == pairs[:, 1]).mean() > 0.98


def test_blank_pictures_are_left_to_the_comparison_of_files() -> None:
    blank = [Image.new("RGB", (50, 50), (level, level, level)) for level in (0, 128, 128, 255)]
    rows = np.arange(4)
    assert len(copies(Thumbnails().encode(blank), rows, rows)) == 0


def test_thumbnails_are_means_of_brightness() -> None:
    """A picture of SIDE x SIDE squares of one grey each is its own thumbnail."""
    levels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8)
    (small,) = Thumbnails().encode([Image.fromarray(levels).convert("RGB")])
    np.testing.assert_array_equal(small.reshape(SIDE, SIDE), levels.astype(np.float32) + 1)


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROALIGN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("part", ["train", "validation"])
def test_copies_are_refused_without_an_encoder(part: str, tmp_path: Path) -> None:
    """Every test picture is saved again, smaller and grey, in training or in validation."""
    from neuroalign.audit.material import open_material

    recipe = {
        "encoder": f"hf:{tmp_path / 'nothing'}",
        "validation": {"by": "stimulus", "fraction": 0.5},
    }
    world = replace(clean_world(), recipe=recipe)
    planned = open_material(world.write(tmp_path / "clean")).trials["eeg"]
    there = sorted(planned.loc[planned["part"] == part, "stimulus"].unique())
    tested = sorted(planned.loc[planned["part"] == "test", "stimulus"].unique())
    assert len(there) == len(tested) == 8
    files = dict(world.files)
    for name, copied in zip(there, tested, strict=True):
        small = Image.open(io.BytesIO(files[copied])).convert("L").resize((112, 112))
        out = io.BytesIO()
        small.save(out, "PNG")
        files[name] = out.getvalue()
    audit = audit_run(replace(world, files=files).write(tmp_path / "spoiled"))
    (finding,) = [f for f in audit.findings if f.severity != "note"]
    assert (finding.rule, finding.severity) == ("test-picture-in-training", "refusal")
    assert (finding.count, finding.total) == (8, 8)
    assert audit_run(tmp_path / "clean" / "recipe.yaml").verdict == "passed"
