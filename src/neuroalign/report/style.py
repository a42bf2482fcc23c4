"""How figures look and how they are written: one style, no global state, the same bytes again."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from neuroalign.files import atomic_file

# Okabe and Ito's palette: told apart by colour-blind readers too.
KIND_COLOURS = {"eeg": "#0072B2", "meg": "#D55E00", "fmri": "#009E73", "pictures": "#555555"}
PALETTE = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00",
    "#56B4E9", "#8C6BB1", "#7A5C3E", "#B2B200", "#333333",
)  # fmt: skip
KIND_NAMES = {"eeg": "EEG", "meg": "MEG", "fmri": "fMRI", "pictures": "pictures"}
RIGHT = "#1A9641"
SAME_CLASS = "#8FD19E"
INK = "#222222"
FAINT = "#B8B8B8"

_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same everywhere
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "neuroalign",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the package's style, whatever matplotlibrc says; restored afterwards."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return a figure, in inches, that pyplot knows nothing of."""
    figure = Figure(figsize=(width, height), dpi=110)
    FigureCanvasAgg(figure)
    return figure


def sheet(figure: Figure) -> Axes:
    """Return axes over the whole figure, in inches from its top left corner.

    Making axes is what costs time: pictures and traces of a grid share these.
    """
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    axes.set_axis_off()
    return axes


def cell(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Return bare axes placed in inches from the figure's top left corner."""
    total_width, total_height = figure.get_size_inches()
    axes = figure.add_axes(
        (
            left / total_width,
            1 - (top + height) / total_height,
            width / total_width,
            height / total_height,
        )
    )
    axes.set_axis_off()
    return axes


def write_figure(figure: Figure, path: Path, *, dpi: int = 150) -> Path:
    """Write a figure in the format of the path's suffix, whole or not at all.

    No date goes into the file, so that the same figure gives the same bytes.
    """
    with atomic_file(path) as partial, house_style():
        figure.savefig(partial, dpi=dpi, metadata=_undated(path.suffix))
    return path


def svg_uri(figure: Figure) -> str:
    """Return a figure as an SVG data URI; letters become outlines, so no font is needed."""
    content = BytesIO()
    with house_style():
        figure.savefig(content, format="svg", metadata=_undated(".svg"))
    return _uri("image/svg+xml", content.getvalue())


def render(figure: Figure, *, dpi: int = 150) -> Image.Image:
    """Return a figure as an RGB picture."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    with house_style():
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return Image.fromarray(np.ascontiguousarray(pixels[..., :3]))


def webp_uri(picture: Image.Image, *, most: int = 1240, quality: int = 82) -> str:
    """Return a picture, at most `most` wide, as a WebP data URI, a tenth of the PNG's size."""
    if picture.width > most:
        height = round(picture.height * most / picture.width)
        picture = picture.resize((most, height), Image.Resampling.LANCZOS)
    content = BytesIO()
    picture.save(content, "WEBP", quality=quality, method=4)
    return _uri("image/webp", content.getvalue())


def mark_simulated(figure: Figure, *, simulated: bool, x: float = 0.995, y: float = 0.995) -> None:
    """Write into the figure itself that its recordings are simulated: figures travel alone."""
    if simulated:
        figure.text(
            x, y, "SIMULATED recordings", ha="right", va="top", fontsize=8, weight="bold",
            color="#B00020",
        )  # fmt: skip


def _undated(suffix: str) -> dict[str, None]:
    if suffix == ".svg":
        return {"Date": None}
    if suffix == ".pdf":
        return {"CreationDate": None, "ModDate": None}
    return {}


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
