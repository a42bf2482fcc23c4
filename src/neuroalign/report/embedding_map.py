"""The common space on a plane: pictures, and the recordings that should lie beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from neuroalign.report.picture_files import PictureFiles, thumbnail
from neuroalign.report.style import (
    FAINT,
    KIND_NAMES,
    PALETTE,
    house_style,
    mark_simulated,
    new_figure,
)
from neuroalign.retrieval.embeddings import Embeddings

_MOST_THUMBNAILS, _MOST_TRIALS = 60, 400
_Array = npt.NDArray[np.float64]


def embedding_map(
    pictures: Embeddings,
    recordings: Mapping[str, Embeddings],
    *,
    files: PictureFiles | None = None,
    simulated: bool = False,
) -> Figure:
    """Draw the two leading principal components of the candidate pictures.

    A first panel shows the pictures themselves; then one a modality: a line runs from each
    recording (averaged over people) to its picture, or to the centre of its class's pictures.
    Colours are the pictures' categories.

    Parameters
    ----------
    pictures : Embeddings
        Candidates in the common space.
    recordings : mapping from modality to Embeddings
    files : PictureFiles, optional
        Thumbnails for the first panel.
    simulated : bool
    """
    mean, axes_of_plane, share = principal_plane(pictures.vectors)
    flat = (pictures.vectors - mean) @ axes_of_plane
    category, colours = _colours(pictures.items)
    n_panels = 1 + len(recordings)
    columns = min(n_panels, 2)
    rows = -(-n_panels // columns)
    with house_style():
        figure = new_figure(4.2 * columns, 3.9 * rows + 0.75)
        grid = figure.subplots(rows, columns, squeeze=False)
        for panel in grid.ravel()[n_panels:]:
            panel.set_visible(False)
        _pictures_panel(grid[0, 0], flat, pictures.items, category, colours, files)
        for panel, (modality, embeddings) in zip(
            grid.ravel()[1:], recordings.items(), strict=False
        ):
            names, points, goals, kinds = _pairs(
                embeddings, pictures, flat, category, mean, axes_of_plane
            )
            panel.scatter(
                flat[:, 0], flat[:, 1], s=9, color=[colours[c] for c in category], alpha=0.35, lw=0
            )
            shades = [colours[c] for c in kinds]
            lines = np.stack([points, goals], axis=1)
            panel.add_collection(LineCollection(list(lines), colors=shades, lw=0.6, alpha=0.55))
            panel.scatter(
                points[:, 0], points[:, 1], s=24, c=shades, edgecolor="white", lw=0.5, zorder=3
            )
            if embeddings.items["stimulus"].isna().any():
                _scatter_trials(
                    panel,
                    embeddings,
                    kinds_of=dict(zip(names, kinds, strict=True)),
                    colours=colours,
                    mean=mean,
                    plane=axes_of_plane,
                )
            title = KIND_NAMES.get(modality, modality) + " recordings → their pictures"
            panel.set_title(("Simulated " if simulated else "") + title)
        for panel in grid.ravel()[:n_panels]:
            panel.set(xticks=[], yticks=[], aspect="equal")
            panel.set_xlabel(f"component 1 ({share[0]:.0%} of the pictures' variance)", fontsize=8)
            panel.set_ylabel(f"component 2 ({share[1]:.0%})", fontsize=8)
        limits = np.array([[p.get_xlim(), p.get_ylim()] for p in grid.ravel()[:n_panels]])
        low, high = limits[:, :, 0].min(0), limits[:, :, 1].max(0)
        middle, reach = (low + high) / 2, (high - low).max() / 2
        for panel in grid.ravel()[:n_panels]:
            panel.set_xlim(middle[0] - reach, middle[0] + reach)
            panel.set_ylim(middle[1] - reach, middle[1] + reach)
        handles = [
            grid[0, 0].scatter([], [], s=24, color=colour, label=name)
            for name, colour in colours.items()
        ]
        figure.legend(handles=handles, loc="lower center", ncols=6, fontsize=8, handletextpad=0.2)
        figure.subplots_adjust(
            left=0.05, right=0.98, top=1 - 0.4 / (3.9 * rows + 0.75), wspace=0.12, hspace=0.2,
            bottom=0.95 / (3.9 * rows + 0.75),
        )  # fmt: skip
        mark_simulated(figure, simulated=simulated)
    return figure


def principal_plane(
    vectors: npt.NDArray[np.floating[Any]],
) -> tuple[_Array, _Array, tuple[float, float]]:
    """Return mean, two principal axes and their shares of the variance; signs are fixed.

    Returns
    -------
    mean : ndarray of shape (d,)
    axes : ndarray of shape (d, 2)
        The largest entry of each axis is positive, so that a map is never mirrored by chance.
    shares : two floats
    """
    mean = vectors.mean(0, dtype=np.float64)
    _, singular, rows = np.linalg.svd(vectors - mean, full_matrices=False)
    axes = np.zeros((vectors.shape[1], 2))
    axes[:, : min(2, len(rows))] = rows[:2].T
    largest = axes[np.abs(axes).argmax(0), [0, 1]]
    axes *= np.where(largest < 0, -1.0, 1.0)
    total = float((singular**2).sum()) or 1.0
    shares = [*(singular[:2] ** 2 / total), 0.0, 0.0]
    return mean, axes, (float(shares[0]), float(shares[1]))


def _colours(items: pd.DataFrame) -> tuple[list[str], dict[str, str]]:
    """Return the category of each picture and a colour for each; rare ones are "other"."""
    column = "category" if "category" in items and items["category"].notna().any() else "label"
    named = items[column].astype(object).where(items[column].notna(), "none").map(str)
    common = named.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    kept = list(common.index[: len(PALETTE) - 1])
    category = [c if c in kept else "other" for c in named]
    colours = dict(zip(kept, PALETTE, strict=False))
    if "other" in category:
        colours["other"] = FAINT
    return category, colours


def _pictures_panel(
    panel: Axes,
    flat: _Array,
    items: pd.DataFrame,
    category: list[str],
    colours: dict[str, str],
    files: PictureFiles | None,
) -> None:
    panel.scatter(flat[:, 0], flat[:, 1], s=30, color=[colours[c] for c in category], lw=0)
    panel.set_title("Candidate pictures")
    if files is None:
        return
    # Of many pictures, some: spread over the table, which is not sorted by what came out.
    for position in np.unique(np.linspace(0, len(items) - 1, _MOST_THUMBNAILS).astype(int)):
        picture = thumbnail(files.of(items.iloc[position])[0], 64)
        if picture is None:
            continue
        box = AnnotationBbox(
            OffsetImage(np.asarray(picture), zoom=0.32), tuple(flat[position]), pad=0.08,
            bboxprops={"edgecolor": colours[category[position]], "linewidth": 1.2},
        )  # fmt: skip
        panel.add_artist(box)


def _pairs(
    embeddings: Embeddings,
    pictures: Embeddings,
    flat: _Array,
    category: list[str],
    mean: _Array,
    plane: _Array,
) -> tuple[list[str], _Array, _Array, list[str]]:
    """Return names, recordings on the plane (averages), their goals and their categories."""
    column = "label" if embeddings.items["stimulus"].isna().any() else "stimulus"
    shown = pd.Series(pictures.items[column]).map(str).to_numpy(object)
    key = embeddings.items[column].map(str).to_numpy(object)
    names = [n for n in dict.fromkeys(key) if n in set(shown)]
    points = np.array([embeddings.vectors[key == n].mean(0) for n in names]).reshape(-1, len(mean))
    goals = np.array([flat[shown == n].mean(0) for n in names]).reshape(-1, 2)
    kinds = [category[int(np.flatnonzero(shown == n)[0])] for n in names]
    return names, (points - mean) @ plane, goals, kinds


def _scatter_trials(
    panel: Axes,
    embeddings: Embeddings,
    *,
    kinds_of: Mapping[str, str],
    colours: Mapping[str, str],
    mean: _Array,
    plane: _Array,
) -> None:
    """Draw single items faintly: of a few classes, averages alone would be a few dots."""
    labels = embeddings.items["label"].map(str).to_numpy(object)
    known = np.flatnonzero([label in kinds_of for label in labels])
    if known.size:
        known = known[np.unique(np.linspace(0, len(known) - 1, _MOST_TRIALS).astype(int))]
        flat = (embeddings.vectors[known] - mean) @ plane
        shades = [colours[kinds_of[label]] for label in labels[known]]
        panel.scatter(flat[:, 0], flat[:, 1], s=14, c=shades, alpha=0.4, marker="x", lw=0.7)
