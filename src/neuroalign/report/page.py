"""The page around a report: one file, its style within, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files


@dataclass(frozen=True)
class Section:
    """A part of the page: an anchor, a heading and HTML."""

    anchor: str
    heading: str
    body: str


def page(title: str, opening: str, sections: Sequence[Section]) -> str:
    """Return the HTML document; sections without a body are left out.

    Parameters
    ----------
    title : str
        Plain text.
    opening : str
        HTML that stands above the first section.
    sections : sequence of Section
    """
    css = files("neuroalign.report").joinpath("report.css").read_text("utf-8")
    kept = [s for s in sections if s.body]
    links = " ".join(f'<a href="#{s.anchor}">{escape(s.heading)}</a>' for s in kept)
    parts = "".join(
        f'<section id="{s.anchor}"><h2>{escape(s.heading)}</h2>{s.body}</section>\n' for s in kept
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{css}</style>\n</head>\n<body><main>\n"
        f"<header>{opening}<nav>{links}</nav></header>\n{parts}</main></body>\n</html>\n"
    )


def figure_html(uri: str, alt: str, caption: str) -> str:
    """Return a figure with its caption; `alt` and `caption` are plain text."""
    return (
        f'<figure><img src="{uri}" alt="{escape(alt)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def folded(summary: str, body: str) -> str:
    """Return HTML behind a line that opens it."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"
