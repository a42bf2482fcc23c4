from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from neuroalign.errors import NeuroalignError
from neuroalign.recordings import Recordings
from neuroalign.report import PictureFiles, draw_retrieval, retrieval_grid
from neuroalign.report.grids import answer_grid, example_queries, match_of
from neuroalign.report.style import RIGHT, SAME_CLASS
from neuroalign.retrieval import Embeddings, Ranking, decode
from neuroalign.retrieve import Answer


def _items(kind: str, stimuli: list[str | None], labels: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"kind": kind, "stimulus": stimuli, "label": labels, "subject": "sub-1"})


def _frames(figure: Figure) -> list[str]:
    """Return the colours of thick frames, in the order of drawing."""
    rectangles = [p for p in figure.axes[0].patches if isinstance(p, Rectangle)]
    return [to_hex(p.get_edgecolor()).upper() for p in rectangles if p.get_linewidth() > 2]


def _texts(figure: Figure) -> str:
    return "\n".join(t.get_text() for a in figure.axes for t in a.texts)


@pytest.mark.parametrize(
    ("query", "found", "expected"),
    [
        (("a", "x"), ("a", "x"), "picture"),
        (("a", "x"), ("b", "x"), "class"),
        (("a", "x"), ("b", "y"), "none"),
        ((None, "x"), ("b", "x"), "class"),
        ((None, "x"), (None, "x"), "class"),
        ((None, None), (None, None), "none"),
        (("a", None), ("a", "x"), "picture"),
    ],
)
def test_right_picture_and_right_class_are_told_apart(
    query: tuple[str | None, str | None], found: tuple[str | None, str | None], expected: str
) -> None:
    index = ["stimulus", "label"]
    assert match_of(pd.Series(query, index), pd.Series(found, index)) == expected


def test_frames_mark_exactly_the_right_items() -> None:
    gallery = _items("picture", ["a", "b", "c", "d"], ["x", "x", "y", "y"])
    queries = _items("eeg", ["a", "d"], ["x", "y"])
    indices = np.array([[2, 0, 1], [0, 1, 2]])
    ranking = Ranking(indices, np.zeros((2, 3), np.float32), queries, gallery)
    figure = draw_retrieval(ranking, pictures=PictureFiles(), k=3)
    assert _frames(figure) == [RIGHT, SAME_CLASS, SAME_CLASS]
    figure = draw_retrieval(ranking, pictures=PictureFiles(), queries=[1], k=2)
    assert _frames(figure) == []


def test_a_grid_file_shows_recordings_pictures_and_the_word_simulated(
    report_recordings: dict[str, Recordings], report_pictures: Embeddings, tmp_path: Path
) -> None:
    view = report_recordings["eeg"].select(split="test").average_repeats().take([0, 1])
    rng = np.random.default_rng(1)
    items = view.trials.drop(columns="array_row").assign(kind="eeg")
    asked = Embeddings(rng.standard_normal((2, 8)), items, "test-space")
    ranking = decode(asked, report_pictures, k=4)
    answer = Answer("decoding", ranking, view, None, simulated=True)
    path = answer_grid(answer, tmp_path / "grid.png")
    with Image.open(path) as grid:
        colours = np.unique(np.asarray(grid.convert("RGB")).reshape(-1, 3), axis=0)
    with Image.open(ranking.gallery["path"].iloc[ranking.indices[0, 0]]) as best:
        shown = np.asarray(best)[0, 0]
    assert (np.abs(colours.astype(int) - shown).max(1) <= 1).any()
    figure = draw_retrieval(ranking, pictures=PictureFiles(), query_view=view, simulated=True)
    assert len(figure.axes) == 3  # the sheet, and a scalp map for each query
    assert "SIMULATED recordings" in [t.get_text() for t in figure.texts]
    assert f"{ranking.scores[0, 0]:.2f}" in _texts(figure)


def test_a_view_of_another_length_is_refused(
    report_recordings: dict[str, Recordings], report_pictures: Embeddings, tmp_path: Path
) -> None:
    ranking = decode(report_pictures, report_pictures, k=2)
    view = report_recordings["eeg"]
    with pytest.raises(NeuroalignError, match=rf"{len(view)} items.*30 queries"):
        retrieval_grid(ranking, tmp_path / "x.png", pictures=PictureFiles(), query_view=view)
    assert not list(tmp_path.iterdir())


def test_a_class_is_shown_by_an_example_that_is_called_one(report_pictures: Embeddings) -> None:
    files = PictureFiles.from_items(report_pictures.items)
    query = _items("eeg", [None], ["class-2"])
    path, example = files.of(query.iloc[0])
    assert path is not None
    assert (path.name, example) == ("thing-02.png", True)
    vectors = report_pictures.select(stimulus="thing-02").vectors
    ranking = decode(Embeddings(vectors, query, "test-space"), report_pictures, k=3)
    figure = draw_retrieval(ranking, pictures=files)
    assert "class class-2 (an example)" in _texts(figure)
    assert _frames(figure)[0] == SAME_CLASS


def test_pictures_that_are_gone_are_shown_by_name(tmp_path: Path) -> None:
    items = _items("picture", ["a"], ["x"]).assign(path=str(tmp_path / "gone.png"))
    files = PictureFiles.from_items(items)
    ranking = decode(*[Embeddings(np.ones((1, 2)), items, "s")] * 2, k=1)
    assert _texts(draw_retrieval(ranking, pictures=files)).count("a") >= 2
    assert PictureFiles.from_items(items.drop(columns="path")).of(items.iloc[0]) == (None, False)


def test_examples_are_of_different_pictures_and_the_same_in_every_set() -> None:
    stimuli = [f"s{i}" for i in range(10)]
    items = _items("eeg", [*stimuli, *stimuli], ["x"] * 20)
    chosen = example_queries(items, 4, seed=3)
    names = items["stimulus"].iloc[chosen].tolist()
    assert len(set(names)) == 4
    shuffled = items.sample(frac=1.0, random_state=0).reset_index(drop=True)
    again = shuffled["stimulus"].iloc[example_queries(shuffled, 4, seed=3)].tolist()
    assert again == names
    classes = _items("eeg", [None] * 6, ["x", "x", "y", "y", "z", "z"])
    assert sorted(classes["label"].iloc[example_queries(classes, 5)]) == ["x", "y", "z"]
