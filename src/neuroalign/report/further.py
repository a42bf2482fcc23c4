"""Scores of a run under protocols other than the default, as the report shows them."""

from __future__ import annotations

from neuroalign.evaluation.scores import read_scores
from neuroalign.report.contents import RunContents
from neuroalign.report.page import folded
from neuroalign.report.score_tables import reasons_html, score_table_html, shown_first


def further_section(contents: RunContents) -> str:
    """Return, as HTML, a table for each protocol besides the default that the run was scored by.

    Over all people, of the run's own model; the paper's numbers stand in those of its protocols,
    where the data set is the same too.
    """
    parts = []
    for file in sorted((contents.path / "scores").glob("*.json")):
        own = [s for s in read_scores(file) if s.model == contents.model and s.subject == "all"]
        if not own:
            continue
        label = own[0].protocol
        simulated = " (simulated recordings)" if contents.simulated else ""
        table = score_table_html(
            shown_first(own, contents.datasets),
            f"{label}{simulated}, all people, model {contents.model}.",
            contents.datasets,
        )
        parts.append(folded(label, table + reasons_html(own, contents.datasets)))
    if not parts:
        return ""
    return (
        "<p>The scores above are those of the default protocol. The same run under others "
        "(<code>neuroalign evaluate --protocol NAME</code>):</p>" + "".join(parts)
    )
