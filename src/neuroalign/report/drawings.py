"""All figures of a report: drawn, written beside it, and turned into data URIs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from neuroalign.assess import IDEAL
from neuroalign.evaluation.ceilings import MEASURED
from neuroalign.evaluation.main_metrics import LEADING_BY_PICTURE, leading
from neuroalign.evaluation.scores import Score
from neuroalign.progress import track
from neuroalign.report.contents import RunContents, validation_curves
from neuroalign.report.embedding_map import embedding_map
from neuroalign.report.figures import score_bars, task_matrix, training_curves
from neuroalign.report.grids import draw_retrieval, example_queries
from neuroalign.report.score_tables import is_difference
from neuroalign.report.style import KIND_NAMES, render, svg_uri, webp_uri, write_figure
from neuroalign.retrieval.embeddings import Embeddings
from neuroalign.retrieval.gallery import Gallery

_CEILINGS = (IDEAL, *MEASURED)
EXAMPLES = 3


@dataclass(frozen=True)
class Drawing:
    """A figure of the report: where it belongs, what it shows, and itself as a data URI."""

    section: str
    name: str
    title: str
    uri: str


@dataclass(frozen=True)
class _Plan:
    section: str
    name: str
    title: str
    draw: Callable[[], Figure]
    photographic: bool = False


def draw_all(
    contents: RunContents,
    beside: Sequence[RunContents],
    models: Sequence[str],
    scores: Sequence[Score],
    folder: Path,
) -> list[Drawing]:
    """Draw every figure that the run has the parts for, and write them into `folder`.

    Charts are written as PNG, SVG and PDF, picture grids as PNG and PDF.

    Parameters
    ----------
    contents : RunContents
    beside : sequence of RunContents
        Other runs, whose training curves stand thin beside.
    models : sequence of str
        In the order of their bars.
    scores : sequence of Score
        Over all people, of these models.
    folder : Path
    """
    plans = [*_grids(contents), *_charts(contents, models, scores), *_curves(contents, beside)]
    return [_drawn(plan, folder) for plan in track(plans, "drawing figures")]


def _drawn(plan: _Plan, folder: Path) -> Drawing:
    figure = plan.draw()
    path = folder / plan.name
    write_figure(figure, path.with_suffix(".pdf"))
    if plan.photographic:
        picture = render(figure)
        picture.save(path.with_suffix(".png"))
        uri = webp_uri(picture)
    else:
        write_figure(figure, path.with_suffix(".png"))
        write_figure(figure, path.with_suffix(".svg"))
        uri = svg_uri(figure)
    return Drawing(plan.section, plan.name, plan.title, uri)


def _grids(contents: RunContents) -> Iterator[_Plan]:
    tests, pictures = contents.tests, contents.pictures
    if pictures is not None:
        for kind, test in tests.items():
            yield _grid(contents, "decoding", kind, "pictures", test.embeddings, pictures)
        for kind, test in tests.items():
            yield _grid(contents, "encoding", "pictures", kind, pictures, test.embeddings)
    for a, b in permutations(tests, 2):
        sides = tests[a].embeddings, tests[b].embeddings
        yield _grid(contents, "conversion", a, b, *sides)


def _grid(
    contents: RunContents,
    section: str,
    source: str,
    target: str,
    queries: Embeddings,
    gallery: Embeddings,
) -> _Plan:
    title = f"{section.capitalize()}: {_name(contents, source)} → {_name(contents, target)}"

    def draw() -> Figure:
        answerable = _answerable(queries, gallery)
        chosen = example_queries(
            queries.items.iloc[answerable], EXAMPLES, seed=contents.recipe.seed
        )
        rows = answerable[chosen]
        view = contents.tests[source].view if source in contents.tests else None
        return draw_retrieval(
            Gallery(gallery).search(queries.take(rows), 5),
            pictures=contents.files,
            query_view=None if view is None else view.take(rows),
            gallery_view=contents.tests[target].view if target in contents.tests else None,
            title=title,
            simulated=contents.simulated,
        )

    return _Plan(section, f"{section}-{source}-{target}", title, draw, photographic=True)


def _answerable(queries: Embeddings, gallery: Embeddings) -> npt.NDArray[np.int64]:
    """Return the queries with a right answer among the candidates (all, if there is none)."""
    pictures = set(gallery.items["stimulus"].dropna().map(str))
    classes = set(gallery.items["label"].dropna().map(str))
    by_picture = queries.items["stimulus"].map(str).isin(pictures).to_numpy(bool)
    by_class = queries.items["label"].map(str).isin(classes).to_numpy(bool)
    for right in (by_picture, by_class):
        if right.any():
            return np.flatnonzero(right)
    return np.arange(len(queries))


def _name(contents: RunContents, kind: str) -> str:
    simulated = contents.simulated and kind != "pictures"
    return ("simulated " if simulated else "") + KIND_NAMES.get(kind, kind)


def _charts(
    contents: RunContents, models: Sequence[str], scores: Sequence[Score]
) -> Iterator[_Plan]:
    simulated = contents.simulated
    word = " (simulated)" if simulated else ""
    # A ceiling is a line above the others; bars of it would say the same.
    usable = [s for s in scores if not is_difference(s) and s.model not in _CEILINGS]
    models = [m for m in models if m not in _CEILINGS]
    for task in dict.fromkeys(s.task for s in usable):
        own = [s for s in usable if s.task == task]
        first = leading(own)
        if first is None:
            continue
        own = [s for s in own if s.metric == first.metric]
        title = f"{task.capitalize()}{word}"
        draw = partial(score_bars, own, models, title=title, simulated=simulated)
        yield _Plan("models", f"scores-{task}", f"{title}: models side by side", draw)
    ours = [s for s in usable if s.model == contents.model and s.metric == LEADING_BY_PICTURE[0]]
    if any(s.task == "conversion" for s in ours):
        title = f"Every pair of query and gallery{word}"
        draw = partial(task_matrix, ours, title=title, simulated=simulated)
        yield _Plan("matrix", "conversion-matrix", title, draw)
    if contents.pictures is not None and contents.tests:
        recordings = {kind: test.embeddings for kind, test in contents.tests.items()}
        draw = partial(
            embedding_map, contents.pictures, recordings, files=contents.files, simulated=simulated
        )
        yield _Plan("map", "embedding-map", f"The common space{word}", draw, photographic=True)


def _curves(contents: RunContents, beside: Sequence[RunContents]) -> Iterator[_Plan]:
    logs = {m: stages for m, stages in contents.logs.items() if stages}
    if not logs:
        return
    best = {str(m): int(e) for m, e in contents.record.get("best_epochs", {}).items()}
    others = {other.path.name: validation_curves(other) for other in beside}
    draw = partial(training_curves, logs, best, beside=others, simulated=contents.simulated)
    word = " (simulated)" if contents.simulated else ""
    yield _Plan("training", "training-curves", f"Training curves{word}", draw)
