"""Trials that hold the same numbers as others: a file was copied over another."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.contract import StagedPart

_COPIED = 0.5


def repeated_trials(parts: Sequence[StagedPart]) -> list[Finding]:
    """Find trials whose signals are the same to the last bit as those of an earlier trial.

    No two trials that were truly measured are: noise differs. A part of which half the trials or
    more are those of one other part is a copy of it under another name, and fatal; single
    repeated trials are a warning.

    Returns
    -------
    list of Finding
        One for each pair of parts that share trials.
    """
    frame = pd.DataFrame(
        {
            "part": [i for i, p in enumerate(parts) for _ in range(len(p.trials))],
            "digest": [d for p in parts for d in p.digests[p.trials["staged_row"].to_numpy(int)]],
        }
    )
    first = frame.groupby("digest")["part"].transform("first")
    again = frame[frame.duplicated("digest")].assign(earlier=first)
    found = []
    for (earlier, later), rows in again.groupby(["earlier", "part"]):
        one, other = parts[int(str(earlier))], parts[int(str(later))]
        count, share = len(rows), len(rows) / max(1, len(other.trials))
        copied = one is not other and share >= _COPIED
        where = f"the same signals as trials of {one.part.name}"
        if one is other:
            where = "the same signals as earlier trials of the same part"
        found.append(
            Finding(
                other.part.name,
                f"{count} trial(s), {share:.0%} of this part, hold {where}"
                + (": one was copied over the other" if copied else ""),
                "fatal" if copied else "warning",
                count,
            )
        )
    return found
