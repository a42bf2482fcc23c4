"""One item of recordings as a picture: scalp map and traces, time-frequency image, or voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import mne
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.container import Channel, Recordings
from neuroalign.report.style import (
    FAINT,
    INK,
    KIND_COLOURS,
    KIND_NAMES,
    cell,
    house_style,
    mark_simulated,
    new_figure,
    sheet,
    write_figure,
)

#: Fewer sensors than this are drawn as dots: a map between them would be invented.
FEWEST_FOR_A_MAP = 8
_DIVERGING = "RdBu_r"
_Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Box:
    """A place in a figure, in inches from its top left corner."""

    left: float
    top: float
    width: float
    height: float


def recording_figure(recordings: Recordings, item: int, out: Path) -> Path:
    """Draw one item of a view (a trial, or an average) into a file.

    Parameters
    ----------
    recordings : Recordings
        Any view: single trials or averages.
    item : int
        Its position in the view.
    out : Path
        The suffix chooses the format: .png, .svg, .pdf.
    """
    with house_style():
        figure = new_figure(5.0, 2.4)
        note = draw_recording(sheet(figure), Box(0.15, 0.45, 4.7, 1.7), recordings, item)
        kind = "simulated " if recordings.info.simulated else ""
        row = recordings.trials.iloc[item]
        shown = row["stimulus"] if row["stimulus"] == row["stimulus"] else row["label"]
        figure.text(
            0.02, 0.97, f"{kind}{KIND_NAMES[recordings.modality]}, {row['subject']}, {shown}",
            va="top", weight="bold",
        )  # fmt: skip
        figure.text(0.02, 0.02, f"{note}; {recordings.info.units}", fontsize=7.5, color="#666666")
        mark_simulated(figure, simulated=recordings.info.simulated)
    return write_figure(figure, out)


def draw_recording(page: Axes, box: Box, recordings: Recordings, item: int) -> str:
    """Draw one item of a view into a box of a sheet (see `style.sheet`); return a note on it.

    EEG and MEG: the map over the scalp where the sensors differ most after onset, and the traces of
    all sensors (the grey line is the picture's onset, the dark one the time of the map).
    Spectrograms: the same map, and the time-frequency image averaged over sensors. fMRI: slices of
    the volume where the voxels' places are known, else all voxels in their stored order.

    Raises
    ------
    NeuroalignError
        There is no such item.
    """
    if not 0 <= item < len(recordings):
        raise NeuroalignError(
            f"{recordings.path}: there is no item {item} to draw; the view holds {len(recordings)}."
        )
    signal = recordings.read([item])[0]
    if recordings.modality == "fmri":
        subject = str(recordings.trials["subject"].iloc[item])
        return _draw_voxels(page, box, signal, recordings, subject)
    return _draw_sensors(page, box, signal, recordings)


def flat_positions(channels: Sequence[Channel]) -> npt.NDArray[np.float64] | None:
    """Return sensor positions on the flattened head, in head radii; None if any is unknown.

    The azimuthal equidistant projection about the vertex: distance from the centre is the angle
    from straight up, and the circle of radius 1 is the plane of nasion and ears.

    Returns
    -------
    ndarray of shape (n_channels, 2), or None
    """
    if not channels or any(c.position is None for c in channels):
        return None
    x, y, z = np.array([c.position for c in channels], np.float64).T
    across = np.hypot(x, y)
    radius = np.arctan2(across, z) / (np.pi / 2)
    safe = np.where(across > 0, across, 1.0)
    return np.column_stack([radius * x / safe, radius * y / safe])


def _draw_sensors(page: Axes, box: Box, signal: _Array, recordings: Recordings) -> str:
    info = recordings.info
    times = (info.tmin or 0.0) + np.arange(signal.shape[-1]) / (info.sfreq or 1.0)
    spectrum = signal.ndim == 3
    over_time = signal.mean(1) if spectrum else signal
    peak = _peak(over_time, times)
    positions = flat_positions(info.channels)
    left, width = box.left, box.width
    if positions is not None:
        side = min(box.height, 0.5 * box.width)
        figure = cast(Figure, page.figure)
        place = cell(figure, left, box.top + (box.height - side) / 2, side, side)
        _draw_map(place, over_time[:, peak], positions)
        left, width = left + side * 1.06, width - side * 1.06
    right, middle, reach = left + width, box.top + box.height / 2, 0.42 * box.height
    across = np.interp(times, (times[0], times[-1]), (left, right))
    if spectrum:
        image = signal.mean(0)
        image = image - image.mean(1, keepdims=True)  # else low frequencies hide all others
        _draw_image(page, image, (left, right, middle + reach, middle - reach))
    else:
        down = middle - reach * signal / (float(np.abs(signal).max()) or 1.0)
        lines = np.stack([np.broadcast_to(across, down.shape), down], axis=-1)
        colour = KIND_COLOURS[recordings.modality]
        page.add_collection(
            LineCollection(list(lines), colors=colour, lw=0.35, alpha=0.45, rasterized=True),
            autolim=False,
        )
    upright = (middle - reach, middle + reach)
    if times[0] <= 0 <= times[-1]:
        onset = float(np.interp(0.0, times, across))
        page.plot([onset, onset], upright, color=FAINT, lw=0.8)
    page.plot([across[peak]] * 2, upright, color=INK, lw=0.6)
    span = f"{times[0] * 1000:.0f} to {times[-1] * 1000:.0f} ms"
    return f"map at {times[peak] * 1000:.0f} ms, {'spectrogram' if spectrum else 'traces'} {span}"


def _peak(over_time: _Array, times: npt.NDArray[np.float64]) -> int:
    """Return the sample after onset at which the sensors differ most from one another."""
    spread = over_time.std(0) if len(over_time) > 1 else np.abs(over_time[0])
    later = np.flatnonzero(times > 0)
    candidates = later if later.size else np.arange(len(times))
    return int(candidates[np.argmax(spread[candidates])])


def _draw_map(axes: Axes, values: _Array, positions: npt.NDArray[np.float64]) -> None:
    limit = float(np.abs(values).max()) or 1.0
    if len(values) >= FEWEST_FOR_A_MAP:
        mne.viz.plot_topomap(
            values,
            positions,
            axes=axes,
            show=False,
            contours=0,
            sensors=False,
            res=40,
            sphere=(0.0, 0.0, 0.0, 1.0),
            extrapolate="head",
            cmap=_DIVERGING,
            vlim=(-limit, limit),
        )
        return
    angle = np.linspace(0, 2 * np.pi, 100)
    axes.plot(np.cos(angle), np.sin(angle), color=INK, lw=0.8)
    axes.plot([-0.1, 0, 0.1], [0.99, 1.13, 0.99], color=INK, lw=0.8)
    axes.scatter(
        positions[:, 0],
        positions[:, 1],
        c=values, cmap=_DIVERGING, vmin=-limit, vmax=limit, s=28, edgecolor=INK,
        linewidth=0.4, zorder=3,
    )  # fmt: skip
    axes.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect="equal")


def _draw_voxels(page: Axes, box: Box, signal: _Array, recordings: Recordings, subject: str) -> str:
    volume = recordings.info.subjects[subject].volume
    index = recordings.voxel_index(subject)
    if volume is None or index is None:
        images = [_square(signal)]
    else:
        images = _slices(signal, index, volume.shape)
    limit = float(np.quantile(np.abs(signal), 0.98)) or 1.0
    step = box.width / len(images)
    for number, image in enumerate(images):
        high, wide = image.shape
        scale = min(0.94 * step / wide, box.height / high) / 2  # half an inch-size of a voxel
        x, y = box.left + (number + 0.5) * step, box.top + box.height / 2
        place = (x - scale * wide, x + scale * wide, y + scale * high, y - scale * high)
        _draw_image(page, image, place, limit)
    return "all voxels, in their stored order" if volume is None else f"{len(images)} slices"


def _draw_image(
    page: Axes,
    image: _Array,
    place: tuple[float, float, float, float],
    limit: float | None = None,
) -> None:
    """Draw values at left, right, bottom, top of a sheet; the first row lies at the bottom."""
    limit = limit or float(np.abs(image).max()) or 1.0
    page.imshow(
        np.ma.masked_invalid(image),
        cmap=_DIVERGING,
        vmin=-limit,
        vmax=limit,
        origin="lower",
        extent=place,
        aspect="auto",
        interpolation="nearest",
    )


def _slices(
    signal: _Array, index: npt.NDArray[np.int64], shape: tuple[int, int, int]
) -> list[npt.NDArray[np.float64]]:
    """Return slices across the third axis, spread over the region, cut to the region."""
    volume = np.full(int(np.prod(shape)), np.nan)
    volume[index] = signal
    volume = volume.reshape(shape)
    known = np.isfinite(volume)
    i, j = (np.flatnonzero(known.any(axis=axes)) for axes in ((1, 2), (0, 2)))
    per_slice = known.sum((0, 1))
    held = np.flatnonzero(per_slice)
    # At the quartiles of the voxels: the outermost slices of a region hold but a few.
    place = (np.cumsum(per_slice) - per_slice / 2)[held] / per_slice.sum()
    chosen = sorted({int(held[np.argmin(np.abs(place - q))]) for q in (0.25, 0.5, 0.75)})
    return [volume[i[0] : i[-1] + 1, j[0] : j[-1] + 1, k].T for k in chosen]


def _square(signal: _Array) -> npt.NDArray[np.float64]:
    """Return values in their stored order, row by row, as nearly square as they fit."""
    columns = int(np.ceil(np.sqrt(len(signal) * 1.6)))
    rows = -(-len(signal) // columns)
    padded = np.full(rows * columns, np.nan)
    padded[: len(signal)] = signal
    return padded.reshape(rows, columns)
