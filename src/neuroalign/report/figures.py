"""Charts of a run: scores, the matrix of conversions, training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.tables import METRIC_NAMES
from neuroalign.report.style import (
    FAINT,
    INK,
    KIND_COLOURS,
    KIND_NAMES,
    PALETTE,
    house_style,
    mark_simulated,
    new_figure,
)

_KINDS = ("pictures", "eeg", "meg", "fmri")


def score_bars(
    scores: Sequence[Score], models: Sequence[str], *, title: str = "", simulated: bool = False
) -> Figure:
    """Draw one metric of several models: bars with intervals, chance and what is attainable.

    Parameters
    ----------
    scores : sequence of Score
        Of one metric; a group of bars for each source, target and kind of items.
    models : sequence of str
        In the order of their bars.
    title : str
    simulated : bool
    """
    groups = list(dict.fromkeys((s.source, s.target, s.items) for s in scores))
    several = len({g[:2] for g in groups}) < len(groups)
    with house_style():
        width = 0.7 + len(groups) * max(0.35 + 0.26 * len(models), 1.4 if several else 1.0)
        figure = new_figure(max(6.4, width), 3.3)
        axes = figure.add_axes((0.11, 0.27, 0.86, 0.59))
        bar = 0.8 / len(models)
        for number, model in enumerate(models):
            own = [s for s in scores if s.model == model]
            place = [groups.index((s.source, s.target, s.items)) for s in own]
            x = np.array(place) - 0.4 + (number + 0.5) * bar
            value = np.array([s.value for s in own])
            spread = np.abs(np.array([[s.low, s.high] for s in own]).reshape(-1, 2).T - value)
            colour = PALETTE[number % len(PALETTE)]
            axes.bar(x, value, bar * 0.9, color=colour, alpha=0.85, label=model)
            axes.errorbar(x, value, spread, fmt="none", ecolor=INK, elinewidth=0.9, capsize=1.8)
        for number, group in enumerate(groups):
            own = [s for s in scores if (s.source, s.target, s.items) == group]
            ends = [number - 0.46, number + 0.46]
            axes.plot(ends, [own[0].chance] * 2, color=INK, ls=":", lw=1.1)
            ceilings = [s.ceiling for s in own if s.ceiling is not None]
            if ceilings:
                axes.plot(ends, [ceilings[0]] * 2, color="#8C6BB1", ls="--", lw=1.1)
        axes.plot([], [], color=INK, ls=":", lw=1.1, label="chance")
        names = dict.fromkeys(s.ceiling_name for s in scores if s.ceiling is not None)
        if names:
            label = f"ceiling ({', '.join(filter(None, names)) or 'ideal observer'})"
            axes.plot([], [], color="#8C6BB1", ls="--", lw=1.1, label=label)
        labels = [
            f"{KIND_NAMES.get(a, a)} → {KIND_NAMES.get(b, b)}"
            + (f"\n{fill(items, 22)}" if several else "")
            for a, b, items in groups
        ]
        axes.set_xticks(range(len(groups)), labels, fontsize=7.5)
        axes.set(xlim=(-0.55, len(groups) - 0.45), ylim=(0, 1.02))
        axes.set_ylabel(METRIC_NAMES.get(scores[0].metric, scores[0].metric) if scores else "")
        axes.set_title(title)
        axes.tick_params(axis="x", length=0)
        figure.legend(
            *axes.get_legend_handles_labels(), loc="lower center", ncols=4, fontsize=8,
            columnspacing=1.4, handlelength=1.6,
        )  # fmt: skip
        mark_simulated(figure, simulated=simulated)
    return figure


def task_matrix(
    scores: Sequence[Score],
    *,
    title: str = "",
    simulated: bool = False,
    basis: Mapping[tuple[str, str], str] | None = None,
    levels: Mapping[tuple[str, str], str] | None = None,
) -> Figure:
    """Draw every pair of query and gallery as one matrix: all tasks are one retrieval.

    Parameters
    ----------
    scores : sequence of Score
        Of one model and one metric, over all people; of several for a pair, the first counts.
    basis : mapping from (source, target) to str, optional
        What each was scored on, written above it.
    levels : mapping from (source, target) to str, optional
        Chance, floors and ceiling of each, written below it.
    """
    first: dict[tuple[str, str], Score] = {}
    for score in scores:
        first.setdefault((score.source, score.target), score)
    kinds = [k for k in _KINDS if any(k in pair for pair in first)]
    values = np.full((len(kinds), len(kinds)), np.nan)
    for (source, target), score in first.items():
        if source in kinds and target in kinds:
            values[kinds.index(source), kinds.index(target)] = score.value
    # Colours tell what is above chance: their scale starts there.
    low = min((s.chance for s in first.values()), default=0.5)
    high = max(float(np.nanmax(values, initial=low)), low + 0.05)
    with house_style():
        tall = 0.72 if levels is None else 1.05
        wide = 0.85 if levels is None else 1.15
        width, height = 1.7 + wide * len(kinds), 1.5 + tall * len(kinds)
        figure = new_figure(width, height)
        axes = figure.add_axes((0.2, 0.06, 0.72, 0.94 - (1.05 if levels is None else 0.8) / height))
        axes.imshow(np.ma.masked_invalid(values), cmap="YlGnBu", vmin=low, vmax=high, aspect="auto")
        for (source, target), score in first.items():
            if source not in kinds or target not in kinds:
                continue
            i, j = kinds.index(source), kinds.index(target)
            dark = score.value > low + 0.6 * (high - low)
            colour = "white" if dark else INK
            key = (source, target)
            middle = i - 0.06 if levels is None else i - 0.2
            lines = [
                (middle, f"{score.value:.2f}", None),
                (middle + 0.3 * 0.72 / tall, f"{score.low:.2f} to {score.high:.2f}", 6.5),
            ]
            lines += [] if basis is None else [(middle - 0.28 * 0.72 / tall, basis[key], 5.5)]
            lines += [] if levels is None else [(i + 0.27, levels[key], 5.5)]
            for y, text, size in lines:
                axes.text(
                    j, y, text, ha="center", va="center", color=colour, fontsize=size,
                    linespacing=1.15,
                )  # fmt: skip
        if levels is not None:
            note = "Floors: told only when a trial came; the network without any training."
            figure.text(0.02, 0.012, note, va="bottom", fontsize=6.5, color="#777777")
        names = [KIND_NAMES[k] for k in kinds]
        axes.set_xticks(range(len(kinds)), names)
        axes.set_yticks(range(len(kinds)), names)
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.set(xlabel="retrieved", ylabel="query")
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        figure.text(0.02, 0.985, title, va="top", weight="bold", fontsize=10)
        mark_simulated(figure, simulated=simulated, x=0.98, y=1 - 0.25 / height)
    return figure


def training_curves(
    logs: Mapping[str, Mapping[str, pd.DataFrame]],
    best_epochs: Mapping[str, int],
    *,
    beside: Mapping[str, Mapping[str, pd.DataFrame]] | None = None,
    simulated: bool = False,
) -> Figure:
    """Draw loss and validation score by epoch for each modality.

    Parameters
    ----------
    logs : mapping from modality to a mapping from stage ("search", "refit") to its table
        Tables have the columns epoch, loss and (where there was validation) two_way.
    best_epochs : mapping from modality to the epoch that validation chose
    beside : mapping from "run, modality" as (run -> modality/search table), optional
        Validation curves of other runs, drawn thin.
    """
    names = list(logs)
    with house_style():
        figure = new_figure(max(3.2 * len(names), 4.2) + 0.5, 4.4)
        grid = figure.subplots(2, max(len(names), 1), sharex="col", squeeze=False)
        for column, name in enumerate(names):
            colour = KIND_COLOURS.get(name, INK)
            loss, score = grid[:, column]
            for stage, table in logs[name].items():
                dashes = "-" if stage == "search" else ":"
                label = "with validation" if stage == "search" else "all training data"
                mark = "o" if len(table) == 1 else None
                loss.plot(
                    table["epoch"], table["loss"], color=colour, ls=dashes, label=label, marker=mark
                )
                if "two_way" in table and table["two_way"].notna().any():
                    score.plot(table["epoch"], table["two_way"], color=colour, marker=mark)
            for number, (run, tables) in enumerate((beside or {}).items()):
                if name in tables and "two_way" in tables[name]:
                    table = tables[name]
                    shade = PALETTE[(number + 7) % len(PALETTE)]
                    score.plot(table["epoch"], table["two_way"], color=shade, lw=0.9, label=run)
            if name in best_epochs:
                score.axvline(best_epochs[name], color=FAINT, lw=1.0, label="chosen epoch")
            score.axhline(0.5, color=INK, ls=":", lw=0.9)
            loss.set_title(KIND_NAMES.get(name, name))
            score.set_xlabel("epoch")
            score.xaxis.get_major_locator().set_params(integer=True)
            for axes in (loss, score):
                if axes.get_legend_handles_labels()[0]:
                    axes.legend(fontsize=7)
        grid[0, 0].set_ylabel("training loss")
        grid[1, 0].set_ylabel("validation 2-way")
        mark_simulated(figure, simulated=simulated)
        figure.subplots_adjust(left=0.1, right=0.98, top=0.9, bottom=0.11, hspace=0.12, wspace=0.25)
    return figure
