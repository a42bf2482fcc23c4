"""What is odd about the classes and pictures that somebody gave to own trials."""

from __future__ import annotations

import pandas as pd

from neuroalign.recordings.quality import Finding

_NAMED = 3


def odd_labels(where: str, trials: pd.DataFrame) -> list[Finding]:
    """Look at the classes of all trials of a recordings folder.

    Parameters
    ----------
    where : str
        For the findings.
    trials : table with the columns `label` and `stimulus`
        Of everybody, missing where not given.

    Returns
    -------
    list of Finding
        One class only, classes that differ in spaces and capitals only, pictures of two classes.
    """
    label = trials["label"].dropna().astype("string")
    found = []
    if len(label) == len(trials) > 1 and (label == label.iloc[0]).all():
        what = f"all {len(label)} trials are of one class, {label.iloc[0]}: nothing to tell apart"
        found.append(Finding(where, what, "warning", len(label)))
    spelled: dict[str, list[str]] = {}
    for name in sorted(label.unique()):
        spelled.setdefault(" ".join(name.split()).casefold(), []).append(name)
    alike = [names for names in spelled.values() if len(names) > 1]
    if alike:
        shown = "; ".join(", ".join(map(repr, names)) for names in alike[:_NAMED])
        what = f"classes that differ in spaces or capitals only, and count as different: {shown}"
        found.append(Finding(where, what, "warning", len(alike)))
    both = trials[["stimulus", "label"]].dropna().drop_duplicates()
    counts = both["stimulus"].value_counts()
    torn = sorted(counts.index[counts > 1])
    if torn:
        own = both["label"][both["stimulus"] == torn[0]]
        what = (
            f"{len(torn)} picture(s) are of several classes, such as {torn[0]}: "
            f"{', '.join(sorted(own)[:_NAMED])}"
        )
        found.append(Finding(where, what, "warning", len(torn)))
    return found
