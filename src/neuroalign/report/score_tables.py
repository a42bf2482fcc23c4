"""The report's score tables as HTML, each score with interval, chance and ceiling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from neuroalign.evaluation.main_metrics import blocks, main_metrics
from neuroalign.evaluation.paper import (
    PAPER_AUTHORS,
    PAPER_COLUMN,
    comparable,
    published,
    why_not_comparable,
)
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.tables import METRIC_NAMES, p_text
from neuroalign.report.style import KIND_NAMES

_ORDER = (*METRIC_NAMES,)


def score_table_html(scores: Sequence[Score], caption: str, datasets: Mapping[str, str]) -> str:
    """Return scores of one model as a table: a block a retrieval, a row a metric.

    The paper's numbers have a column where data set and protocol are the same.
    """
    theirs = any(comparable(s, datasets) is not None for s in scores)
    ceilings = any(s.ceiling is not None for s in scores)
    tested = any(s.p_corrected is not None for s in scores)
    heads = ["query → retrieved", "metric", "score", "95 % interval", "0 to 1", "chance"]
    heads += ["p, corrected"] * tested + ["ceiling", "share of the way"] * ceilings
    heads += [PAPER_COLUMN] * theirs + ["queries / gallery"]
    body = []
    notes: list[str] = []
    for group in blocks(scores):
        first = group[0]
        for number, score in enumerate(sorted(group, key=_metric_order)):
            cells = []
            if number == 0:
                cells.append(
                    f'<th class="pair" scope="rowgroup" rowspan="{len(group)}">{arrow(first)}'
                    f'<span class="sub">{escape(first.items)}</span></th>'
                )
            paper = comparable(score, datasets)
            cells += [
                f"<td class=metric>{escape(METRIC_NAMES.get(score.metric, score.metric))}"
                f"{_footnote(score.note, notes)}</td>",
                f'<td class="n strong">{score.value:.3f}</td>',
                f'<td class="n">{score.low:.3f} to {score.high:.3f}</td>',
                f"<td>{interval_svg(score)}</td>",
                f'<td class="n">{score.chance:.3f}</td>',
            ]
            if tested:
                cells.append(f'<td class="n">{p_text(score.p_corrected) or "-"}</td>')
            if ceilings:
                cells.append(
                    f'<td class="n">{_under(_number(score.ceiling), score.ceiling_name)}</td>'
                )
                cells.append(f'<td class="n">{_share(score)}</td>')
            if theirs:
                cells.append(f'<td class="n theirs">{_number(paper.value if paper else None)}</td>')
            cells.append(f'<td class="n">{score.n_queries} / {score.n_gallery}</td>')
            start = ' class="first"' if number == 0 else ""
            body.append(f"<tr{start}>{''.join(cells)}</tr>")
    return _table(caption, heads, body) + _notes(notes)


def shown_first(scores: Sequence[Score], datasets: Mapping[str, str]) -> list[Score]:
    """Return the metrics that speak for each retrieval, and those that the paper's stand beside."""
    main = main_metrics(scores)
    return [s for s in scores if s in main or comparable(s, datasets) is not None]


def reasons_html(scores: Sequence[Score], datasets: Mapping[str, str]) -> str:
    """Say why numbers that the paper gives for these questions do not stand beside the scores."""
    reasons: dict[str, list[str]] = {}
    for score in scores:
        reason = why_not_comparable(score, datasets)
        if reason and published(score) is not None:
            reasons.setdefault(reason, []).append(arrow(score))
    if not reasons:
        return ""
    said = "; ".join(
        f"{', '.join(dict.fromkeys(arrows))} ({escape(reason)})"
        for reason, arrows in reasons.items()
    )
    return (
        f'<p class="note">{PAPER_AUTHORS} published numbers for the same questions. They do not '
        f"stand here, as data set or protocol differ: {said}.</p>"
    )


def models_table_html(scores: Sequence[Score], models: Sequence[str], caption: str) -> str:
    """Return models side by side: a row a retrieval and metric, a column a model."""
    differences = list(dict.fromkeys(s.model for s in scores if is_difference(s)))
    columns = [*models, *differences]
    heads = ["query → retrieved", "metric", *columns, "chance"]
    table: dict[tuple[str, ...], dict[str, Score]] = {}
    for s in scores:
        if s.model in columns:
            table.setdefault((s.source, s.target, s.items, s.metric), {})[s.model] = s
    body = []
    before: tuple[str, ...] = ()
    for key, row in table.items():
        first = next(iter(row.values()))
        same = key[:3] == before
        before = key[:3]
        name = "" if same else f'{arrow(first)}<span class="sub">{escape(first.items)}</span>'
        cells = [
            f"<th class=pair>{name}</th>",
            f"<td>{escape(METRIC_NAMES.get(key[3], key[3]))}</td>",
        ]
        for model in columns:
            cells.append(_model_cell(row.get(model)))
        chance = next((s.chance for s in row.values() if not is_difference(s)), None)
        cells.append(f'<td class="n">{_number(chance)}</td>')
        body.append(f"<tr{'' if same else ' class=first'}>{''.join(cells)}</tr>")
    return _table(caption, heads, body)


def plain_table_html(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of text; everything is escaped."""
    body = [f"<tr>{''.join(f'<td>{escape(str(c))}</td>' for c in row)}</tr>" for row in rows]
    return _table(caption, heads, body)


def is_difference(score: Score) -> bool:
    """Tell a paired difference of two models from a model's score."""
    return " - " in score.model


def arrow(score: Score) -> str:
    """Return `EEG → pictures`, escaped."""
    return " → ".join(escape(KIND_NAMES.get(k, k)) for k in (score.source, score.target))


def interval_svg(score: Score, width: int = 130, height: int = 18) -> str:
    """Return a small drawing of a score from 0 to 1, its interval, chance and ceiling."""

    def x(value: float) -> float:
        return round(4 + (width - 8) * min(max(value, 0.0), 1.0), 1)

    middle = height / 2
    kind = "above" if score.low > score.chance else "level"
    parts = [
        f'<line class="axis" x1="{x(0)}" x2="{x(1)}" y1="{middle}" y2="{middle}"/>',
        f'<line class="chance" x1="{x(score.chance)}" x2="{x(score.chance)}" y1="2" '
        f'y2="{height - 2}"/>',
    ]
    if score.ceiling is not None:
        at = x(score.ceiling)
        parts.append(f'<line class="ceiling" x1="{at}" x2="{at}" y1="2" y2="{height - 2}"/>')
    parts += [
        f'<line class="{kind}" x1="{x(score.low)}" x2="{x(score.high)}" y1="{middle}" '
        f'y2="{middle}"/>',
        f'<circle class="{kind}" cx="{x(score.value)}" cy="{middle}" r="3.4"/>',
    ]
    label = f"{score.value:.2f}, interval {score.low:.2f} to {score.high:.2f}"
    return (
        f'<svg class="interval" width="{width}" height="{height}" role="img" '
        f'aria-label="{label}">{"".join(parts)}</svg>'
    )


def _metric_order(score: Score) -> int:
    return _ORDER.index(score.metric) if score.metric in _ORDER else len(_ORDER)


def _model_cell(score: Score | None) -> str:
    if score is None:
        return '<td class="n">-</td>'
    sign = "+" if is_difference(score) else ""
    return (
        f'<td class="n"><b>{score.value:{sign}.3f}</b>'
        f'<span class="sub">{score.low:{sign}.3f} to {score.high:{sign}.3f}</span></td>'
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _under(text: str, below: str) -> str:
    return f'{text}<span class="sub">{escape(below)}</span>' if below else text


def _share(score: Score) -> str:
    if score.share is None:
        return "-"
    return _under(f"{score.share:.2f}", f"{score.share_low:.2f} to {score.share_high:.2f}")


def _footnote(note: str, notes: list[str]) -> str:
    # What a conversion is normalised by differs from row to row, and stands in table 1.
    note = "; ".join(p for p in note.split("; ") if not p.startswith("over decoding"))
    if not note:
        return ""
    if note not in notes:
        notes.append(note)
    return f"<sup>{notes.index(note) + 1}</sup>"


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    return f'<ol class="notes">{"".join(f"<li>{escape(n)}</li>" for n in notes)}</ol>'


def _table(caption: str, heads: Sequence[str], body: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{escape(h)}</th>' for h in heads)
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )
