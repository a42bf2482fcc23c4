"""Picture grids: each query beside what was retrieved for it, the truth marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.container import Recordings
from neuroalign.report.picture_files import PictureFiles, caption, thumbnail
from neuroalign.report.recordings_figures import Box, draw_recording
from neuroalign.report.style import (
    FAINT,
    KIND_NAMES,
    RIGHT,
    SAME_CLASS,
    house_style,
    mark_simulated,
    new_figure,
    sheet,
    write_figure,
)
from neuroalign.retrieval.gallery import Ranking
from neuroalign.retrieve import Answer

Match = Literal["picture", "class", "none"]
_LEGEND = (
    "Dark green frame: the right picture. Light green: the right class. Numbers: cosine similarity."
)
_FRAMES = {"picture": (RIGHT, 4.0), "class": (SAME_CLASS, 4.0)}
#: More rows would make pictures too tall to open.
MOST_ROWS = 40
_PICTURE, _SIGNAL_WIDTH, _SIGNAL, _GAP, _CAPTION, _MARGIN = 1.0, 1.55, 0.72, 0.2, 0.3, 0.12
_HEAD, _FOOT = 0.72, 0.22


def retrieval_grid(
    ranking: Ranking,
    out: Path,
    *,
    pictures: PictureFiles,
    query_view: Recordings | None = None,
    gallery_view: Recordings | None = None,
    queries: Sequence[int] | None = None,
    k: int = 5,
    title: str = "",
    simulated: bool = False,
) -> Path:
    """Draw a retrieval into a file; see `draw_retrieval`.

    Parameters
    ----------
    out : Path
        The suffix chooses the format: .png, .svg, .pdf.
    """
    figure = draw_retrieval(
        ranking,
        pictures=pictures,
        query_view=query_view,
        gallery_view=gallery_view,
        queries=queries,
        k=k,
        title=title,
        simulated=simulated,
    )
    return write_figure(figure, out)


def answer_grid(answer: Answer, out: Path, *, pictures: PictureFiles | None = None) -> Path:
    """Draw the answer of `decode_run`, `encode_run` or `convert_run`: at most 40 queries of it.

    Parameters
    ----------
    answer : Answer
    out : Path
        The suffix chooses the format: .png, .svg, .pdf.
    pictures : PictureFiles, optional
        The run's pictures. Without them only those are drawn that are themselves queries or
        candidates: of a conversion, none.
    """
    ranking = answer.ranking
    sides = pd.concat([ranking.queries, ranking.gallery], ignore_index=True)
    found = PictureFiles.from_items(sides)
    if pictures is not None:
        found = PictureFiles(
            {**found.by_stimulus, **pictures.by_stimulus}, {**found.by_label, **pictures.by_label}
        )
    n = len(ranking.queries)
    shown = min(n, MOST_ROWS)
    part = f" (the first {shown} of {n} queries)" if shown < n else ""
    return retrieval_grid(
        ranking,
        out,
        pictures=found,
        query_view=answer.query_view,
        gallery_view=answer.gallery_view,
        queries=range(shown),
        k=ranking.indices.shape[1],
        title=answer.task.capitalize() + part,
        simulated=answer.simulated,
    )


def draw_retrieval(
    ranking: Ranking,
    *,
    pictures: PictureFiles,
    query_view: Recordings | None = None,
    gallery_view: Recordings | None = None,
    queries: Sequence[int] | None = None,
    k: int = 5,
    title: str = "",
    simulated: bool = False,
) -> Figure:
    """Draw queries and their best candidates: a row a query, like the paper's figures 3 and 4.

    A recording is drawn as scalp map and traces, or as voxels, above the picture that was shown
    with it. A dark green frame marks the right picture, a light one another picture of the right
    class (the right class, where no picture is known).

    Parameters
    ----------
    ranking : Ranking
    pictures : PictureFiles
    query_view, gallery_view : Recordings, optional
        The view whose embeddings were queries or candidates, in the same order. Where it is not
        given, recordings are shown by their pictures alone.
    queries : sequence of int, optional
        Rows of the ranking to draw; at most six of them, the first ones, by default.
    k : int
        Candidates to draw for each query.
    title : str
    simulated : bool
        Write into the figure that the recordings are simulated.

    Raises
    ------
    NeuroalignError
        A view has another number of items than the ranking's side that it belongs to.
    """
    _check_view(query_view, ranking.queries, "queries")
    _check_view(gallery_view, ranking.gallery, "candidates")
    rows = list(range(min(6, len(ranking.queries)))) if queries is None else list(queries)
    k = min(k, ranking.indices.shape[1])
    # Candidates that are pictures make low rows; the query's recording then stands beside its own.
    stacked = gallery_view is not None
    column = _SIGNAL_WIDTH if stacked else _PICTURE
    row_height = _PICTURE + _CAPTION + _GAP + (_SIGNAL if stacked else 0.0)
    query_width = _PICTURE
    if query_view is not None:
        query_width = _SIGNAL_WIDTH if stacked else _SIGNAL_WIDTH + _GAP + _PICTURE
    first = _MARGIN + query_width + 3 * _GAP
    width = max(first + k * (column + _GAP) + _MARGIN, 6.4)
    with house_style():
        figure = new_figure(width, _HEAD + len(rows) * row_height + _FOOT)
        height = figure.get_size_inches()[1]
        page = sheet(figure)
        figure.text(_MARGIN / width, 1 - 0.1 / height, title, va="top", weight="bold", fontsize=11)
        mark_simulated(figure, simulated=simulated, x=1 - _MARGIN / width, y=1 - 0.12 / height)
        _heading(page, _MARGIN, query_width, _query_heading(ranking.queries, query_view))
        for rank in range(k):
            _heading(page, first + rank * (column + _GAP), column, str(rank + 1))
        for number, row in enumerate(rows):
            top = _HEAD + number * row_height
            query = ranking.queries.iloc[row]
            place = Box(_MARGIN, top, query_width, row_height - _GAP)
            _item(page, place, query, pictures, query_view, row, stacked=stacked)
            for rank in range(k):
                position = int(ranking.indices[row, rank])
                found = ranking.gallery.iloc[position]
                place = Box(first + rank * (column + _GAP), top, column, row_height - _GAP)
                _item(
                    page, place, found, pictures, gallery_view, position, stacked=stacked,
                    match=match_of(query, found), score=float(ranking.scores[row, rank]),
                )  # fmt: skip
            _rule(page, first - 1.5 * _GAP, top, row_height - _GAP)
        figure.text(
            _MARGIN / width, 0.06 / height, _LEGEND, va="bottom", fontsize=7, color="#777777"
        )
    return figure


def match_of(query: pd.Series[Any], found: pd.Series[Any]) -> Match:
    """Say in what a retrieved item agrees with its query."""
    both = pd.notna(query["stimulus"]) and pd.notna(found["stimulus"])
    if both and query["stimulus"] == found["stimulus"]:
        return "picture"
    both = pd.notna(query["label"]) and pd.notna(found["label"])
    return "class" if both and query["label"] == found["label"] else "none"


def example_queries(items: pd.DataFrame, n: int, *, seed: int = 0) -> list[int]:
    """Draw `n` queries at random, of different pictures (or classes), without a look at results.

    The same seed prefers the same pictures in whatever set of items they occur, so that the rows
    of several grids can be compared.
    """
    key = items["stimulus"].fillna(items["label"]).astype(str)
    names = np.array(sorted(key.unique()), object)
    chosen = names[np.random.default_rng(seed).permutation(len(names))][:n]
    people = np.random.default_rng([seed, 1])
    return [int(people.choice(np.flatnonzero((key == name).to_numpy()))) for name in chosen]


def _item(
    page: Axes,
    box: Box,
    item: pd.Series[Any],
    pictures: PictureFiles,
    view: Recordings | None,
    position: int,
    *,
    stacked: bool,
    match: Match | None = None,
    score: float | None = None,
) -> None:
    """Draw one item: its recording, its picture, its name."""
    top, left, width = box.top, box.left, box.width
    if stacked:
        if view is not None:
            draw_recording(page, Box(left, top, width, _SIGNAL), view, position)
        top += _SIGNAL + 0.04
    elif view is not None:
        draw_recording(page, Box(left, top, _SIGNAL_WIDTH, _PICTURE), view, position)
        left, width = left + _SIGNAL_WIDTH + _GAP, width - _SIGNAL_WIDTH - _GAP
    path, example = pictures.of(item)
    picture = thumbnail(path)
    x, y = left + width / 2, top + _PICTURE / 2
    if picture is None:
        page.text(x, y, _shorten(caption(item), 16), ha="center", va="center", fontsize=8)
    else:
        wide, high = (_PICTURE * side / max(picture.size) / 2 for side in picture.size)
        page.imshow(
            np.asarray(picture), extent=(x - wide, x + wide, y + high, y - high), aspect="auto",
            alpha=0.55 if example else 1.0,
        )  # fmt: skip
    colour, line = _FRAMES.get(match or "none", (FAINT, 0.6))
    corner = (left + (width - _PICTURE) / 2, top)
    page.add_patch(
        Rectangle(corner, _PICTURE, _PICTURE, fill=False, edgecolor=colour, linewidth=line)
    )
    lines = [caption(item) + (" (an example)" if example and picture is not None else "")]
    if item["kind"] in ("eeg", "meg", "fmri"):
        name = str(item["subject"])
        kind = KIND_NAMES[str(item["kind"])]
        lines.append(name if name.lower().startswith(str(item["kind"])) else f"{kind}, {name}")
    if score is not None:
        lines[-1] += f"  {score:.2f}"
    page.text(
        x, top + _PICTURE + 0.05, "\n".join(_shorten(text) for text in lines), ha="center",
        va="top", fontsize=6.5, color="#555555", linespacing=1.15,
    )  # fmt: skip


def _heading(page: Axes, left: float, width: float, text: str) -> None:
    page.text(
        left + width / 2, _HEAD - 0.1, text, ha="center", va="bottom", color="#777777", fontsize=8
    )


def _query_heading(items: pd.DataFrame, view: Recordings | None) -> str:
    if view is None or items["stimulus"].isna().all():
        return "query"
    return "query, and the picture shown"


def _rule(page: Axes, left: float, top: float, height: float) -> None:
    page.plot([left, left], [top, top + height], color=FAINT, lw=0.8)


def _shorten(text: str, most: int = 26) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _check_view(view: Recordings | None, items: pd.DataFrame, what: str) -> None:
    if view is not None and len(view) != len(items):
        raise NeuroalignError(
            f"The grid's view of {view.path} holds {len(view)} items, but the ranking has "
            f"{len(items)} {what}: give the view whose embeddings were searched, in the same order."
        )
