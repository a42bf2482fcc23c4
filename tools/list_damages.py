"""Write docs/damaged-files.md: every way a miniature is damaged in the tests, and what comes of it.

python tools/list_damages.py           write the page
python tools/list_damages.py --check   exit with 1 if the page is not up to date
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "damaged-files.md"
HEAD = """\
# Damaged files

What happens when a file is not as published? Each reader's miniature (a data set of the published
layout with a handful of trials) is damaged in the ways below. A test applies each of them and holds
`neuroalign prepare` and `neuroalign doctor` to the outcome:

- **refused**: `prepare` stops with an error and writes nothing; `doctor` says *unusable*, exit
  status 2.
- **reported**: `prepare` leaves the damaged part out, or uses what can be used, and says so in
  `findings.tsv` or `dropped.tsv`; `doctor` says *usable, with warnings*, exit status 1.

Both name the damage with the words in the last column. No damage ends in a traceback, in a warning
of a library, or in recordings that keep quiet about it.

This page is written by `tools/list_damages.py` from the catalogues in `tests/miniatures/`.
"""


def page() -> str:
    """Return the content of the page."""
    sys.path.insert(0, str(ROOT / "tests"))
    parts = [HEAD]
    for file in sorted((ROOT / "tests" / "miniatures").glob("damages_*.py")):
        parts.append(_section(import_module(f"miniatures.{file.stem}")))
    return "\n".join(parts)


def _section(catalogue: ModuleType) -> str:
    card, damages = catalogue.READER.card, catalogue.DAMAGES
    refused = sum(d.outcome == "refused" for d in damages)
    lines = [
        f"## {card.title} (`{card.name}`)",
        "",
        f"{len(damages)} ways: {refused} refused, {len(damages) - refused} reported.",
        "",
        "| damage | outcome | what is said names |",
        "| --- | --- | --- |",
    ]
    for damage in damages:
        said = ", ".join(f"`{_cell(s)}`" for s in damage.says)
        lines.append(f"| {_cell(damage.name)} | {damage.outcome} | {said} |")
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("`", "'")


def main() -> int:
    """Write or check the page."""
    content = page()
    if "--check" in sys.argv[1:]:
        if PAGE.read_text() == content:
            return 0
        print(f"{PAGE} is not up to date: run `python tools/list_damages.py`.", file=sys.stderr)
        return 1
    PAGE.write_text(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
