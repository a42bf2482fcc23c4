"""What a look at recordings brings to light."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

Severity = Literal["note", "warning", "error", "fatal"]
_WORST_FIRST: tuple[Severity, ...] = ("fatal", "error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """Something odd about a recording.

    Attributes
    ----------
    where : str
        The recording, and the channel where it concerns one.
    what : str
    severity : {"note", "warning", "error", "fatal"}
        "error": this recording or channel cannot be used as it is; "fatal": nothing can be
        prepared before it is put right.
    count : int
        How many events, samples, seconds or channels it concerns (`what` says which).
    channel : str or None
    """

    where: str
    what: str
    severity: Severity
    count: int
    channel: str | None = None


def findings_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Return one row per finding: where, what, severity, count."""
    columns = ["where", "what", "severity", "count"]
    return pd.DataFrame([{c: getattr(f, c) for c in columns} for f in findings], columns=columns)


def read_findings(path: Path) -> list[Finding]:
    """Read what `findings_table` was written to, the worst first."""
    table = pd.read_csv(path, sep="\t", keep_default_na=False)
    rows = zip(*(table[c] for c in ("where", "what", "severity", "count")), strict=True)
    return worst_first(Finding(str(where), str(what), s, int(n)) for where, what, s, n in rows)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings by severity; those of one severity stay in their order."""
    return sorted(findings, key=lambda f: _WORST_FIRST.index(f.severity))
