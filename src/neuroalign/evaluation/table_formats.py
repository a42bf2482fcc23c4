"""A table of text in the formats that people paste it into."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import Any, Literal, get_args

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neuroalign.errors import NeuroalignError

Format = Literal["text", "markdown", "latex", "csv", "json"]
_ALSO: dict[str, Format] = {"txt": "text", "md": "markdown", "tex": "latex"}
_TEXT_WIDTH = 160
_FEW_COLUMNS = 6
_BESIDE_COLUMN = 3  # a line and a space on each side
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}


def named_format(name: str) -> Format:
    """Return the format that a user named, by its name or a usual short form of it.

    Raises
    ------
    NeuroalignError
        There is no such format.
    """
    known: dict[str, Format] = {form: form for form in get_args(Format)}
    form = (known | _ALSO).get(name.strip().lower().removeprefix("."))
    if form is None:
        raise NeuroalignError(
            f"There is no table format {name!r}; there are {', '.join(known)} "
            f"(and, for short, {', '.join(_ALSO)})."
        )
    return form


def format_rows(rows: Sequence[Mapping[str, Any]], form: Literal["csv", "json"]) -> str:
    """Return rows of text and numbers for programs, every digit kept; what is missing is empty."""
    if form == "json":
        return json.dumps(list(rows), indent=2, ensure_ascii=False) + "\n"
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")


def notes_below(table: pd.DataFrame, column: str, into: str) -> tuple[pd.DataFrame, list[str]]:
    """Take a column of long reasons out of a table; its cells in `into` then name a note.

    Returns
    -------
    table : pandas.DataFrame
    notes : list of str
        `note 1: the reason`, in order of first appearance.
    """
    reasons = [r for r in dict.fromkeys(table[column]) if r]
    numbers = {reason: number for number, reason in enumerate(reasons, 1)}
    shown = [
        f"note {numbers[reason]}" if reason else str(cell)
        for reason, cell in zip(table[column], table[into], strict=True)
    ]
    notes = [f"note {number}: {reason}" for reason, number in numbers.items()]
    return table.drop(columns=column).assign(**{into: shown}), notes


def format_table(table: pd.DataFrame, form: str, *, title: str = "") -> str:
    """Return a table of text in one of the formats; the first column names the rows.

    Parameters
    ----------
    table : pandas.DataFrame
        All cells text; a line break in a cell stays one where the format can hold it.
    form : {"text", "markdown", "latex", "csv", "json"}
        LaTeX is a complete `table` with booktabs rules; JSON a list with an object for each row.
    title : str
        Heading or caption.

    Raises
    ------
    NeuroalignError
        There is no such format.
    """
    if form not in _WRITERS:
        raise NeuroalignError(
            f"There is no table format {form!r}; there are {', '.join(get_args(Format))}."
        )
    return _WRITERS[form](table, title)


def text_table(table: pd.DataFrame, title: str = "", *, width: int = _TEXT_WIDTH) -> Table:
    """Return a table for a rich console.

    It is at most `width` columns wide, or as much wider as its words and numbers need to stay
    whole (see `width_of`).
    """
    if len(table.columns) > _FEW_COLUMNS:  # intervals below their scores
        table = table.map(lambda cell: re.sub(r" (\(\S+\.\.\S+\))", r"\n\1", str(cell)))
    drawn = Table(title=title or None, title_justify="left", show_lines=_has_lines(table))
    for place, (column, wide) in enumerate(zip(table.columns, _widths(table, width), strict=True)):
        justify: Literal["left", "right"] = "left" if place == 0 else "right"
        drawn.add_column(Text(str(column)), justify=justify, width=wide)
    for row in table.itertuples(index=False):
        drawn.add_row(*(Text(str(cell)) for cell in row))  # Text: a name may hold [brackets]
    return drawn


def width_of(table: Table) -> int:
    """Return how wide a console must be for a table of `text_table`."""
    return sum((column.width or 0) + _BESIDE_COLUMN for column in table.columns) + 1


def _widths(table: pd.DataFrame, width: int) -> list[int]:
    """Share a width among columns, none narrower than its longest word, which Rich would cut."""
    texts = ["\n".join([str(column), *map(str, table[column])]) for column in table.columns]
    widths = [max(map(len, re.split(r"\s", text))) or 1 for text in texts]
    wanted = [max(map(len, text.split("\n"))) for text in texts]
    for _ in range(width - 1 - sum(widths) - _BESIDE_COLUMN * len(widths)):
        lacking = [want - have for want, have in zip(wanted, widths, strict=True)]
        if max(lacking) <= 0:
            break
        widths[lacking.index(max(lacking))] += 1
    return widths


def _text(table: pd.DataFrame, title: str) -> str:
    drawn = StringIO()
    console = Console(file=drawn, width=_TEXT_WIDTH, color_system=None)
    console.print(text_table(table, title))
    return drawn.getvalue()


def _markdown(table: pd.DataFrame, title: str) -> str:
    def line(cells: object) -> str:
        shown = (str(c).replace("|", "\\|").replace("\n", "<br>") for c in cells)  # type: ignore[attr-defined]
        return "| " + " | ".join(shown) + " |"

    lines = [f"**{title}**", ""] if title else []
    lines += [line(table.columns), "|" + " --- |" * len(table.columns)]
    lines += [line(row) for row in table.itertuples(index=False)]
    return "\n".join(lines) + "\n"


def _latex(table: pd.DataFrame, title: str) -> str:
    def cell(content: object) -> str:
        lines = [latex_escaped(line) for line in str(content).split("\n")]
        if len(lines) == 1:
            return lines[0]
        return r"\begin{tabular}[t]{@{}r@{}}" + r" \\ ".join(lines) + r"\end{tabular}"

    def line(cells: object) -> str:
        return "  " + " & ".join(cell(c) for c in cells) + r" \\"  # type: ignore[attr-defined]

    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            *([rf"\caption{{{latex_escaped(title)}}}"] if title else []),
            r"\begin{tabular}{l" + "r" * (len(table.columns) - 1) + "}",
            r"  \toprule",
            line(table.columns),
            r"  \midrule",
            *(line(row) for row in table.itertuples(index=False)),
            r"  \bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def latex_escaped(text: str) -> str:
    """Return text that LaTeX prints as it is."""
    return "".join(_LATEX.get(c, c) for c in text)


def _csv(table: pd.DataFrame, _: str) -> str:
    return table.to_csv(index=False, lineterminator="\n")


def _json(table: pd.DataFrame, _: str) -> str:
    return json.dumps(table.to_dict(orient="records"), indent=2, ensure_ascii=False) + "\n"


def _has_lines(table: pd.DataFrame) -> bool:
    return bool(table.map(lambda cell: "\n" in str(cell)).to_numpy().any())


_WRITERS: dict[str, Callable[[pd.DataFrame, str], str]] = {
    "text": _text,
    "markdown": _markdown,
    "latex": _latex,
    "csv": _csv,
    "json": _json,
}
