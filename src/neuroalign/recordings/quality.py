"""What a look at recordings brings to light."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

Severity = Literal["note", "warning", "error", "fatal"]


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
