"""The audit in a report: its verdict and findings, and in red what was accepted."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from neuroalign.audit import Audit, Finding, audit_files, read_audit
from neuroalign.report.contents import RunContents
from neuroalign.report.page import folded
from neuroalign.report.score_tables import plain_table_html


def accepted_banner(contents: RunContents, others: Sequence[RunContents] = ()) -> str:
    """Return a red banner for each run that was scored in spite of its audit, as HTML."""
    banners = []
    for run, path in ((r, p) for r in (contents, *others) for p in audit_files(r.path)):
        audit = read_audit(path)
        if audit.not_audited:
            banners.append(_not_audited(audit, "this run" if run is contents else run.path.name))
        if not audit.accepted:
            continue
        whose = "This run was" if run is contents else f"{run.path.name} was"
        whose += f" scored by {audit.protocol}" if audit.protocol else " scored"
        found = "".join(f"<li>{_words(f)}</li>" for f in audit.accepted)
        banners.append(
            f'<div class="banner" role="alert"><b>ACCEPTED in spite of the audit.</b> '
            f"{escape(whose)} although its audit refused it; the scores do not mean what "
            f"they seem to:<ul>{found}</ul></div>"
        )
    return "".join(banners)


def audit_section(contents: RunContents) -> str:
    """Return the verdict, the findings and what was not looked at, as HTML."""
    stored = [read_audit(path) for path in audit_files(contents.path)]
    if contents.scores and not stored:
        return (
            "<p>The scores below were computed without an audit of the split: "
            "<code>neuroalign evaluate</code> audits it.</p>"
        )
    return "".join(_one_audit(audit) for audit in stored)


def _not_audited(audit: Audit, whose: str) -> str:
    return (
        f'<div class="banner" role="alert"><b>NOT AUDITED{_by(audit, "for")}.</b> The split of '
        f"{escape(whose)} was not searched for leaks before it was scored{_by(audit)}: "
        f"{escape(audit.not_audited.removesuffix('.'))}.</div>"
    )


def _one_audit(audit: Audit) -> str:
    verdict = audit.verdict + (", after what stands in red was accepted" * bool(audit.accepted))
    found = "".join(f'<li class="{_class(f)}">{_words(f)}</li>' for f in audit.findings)
    rows = [(s.rule, s.where, s.reason) for s in audit.skipped]
    looked = len(set(audit.rules) - {s.rule for s in audit.skipped})
    if audit.not_audited:
        opening = (
            f"Scored{_by(audit)} without an audit: {escape(audit.not_audited.removesuffix('.'))}."
        )
    else:
        opening = (
            f"Before anything was scored{_by(audit)}, the split was searched for leaks and "
            f"confounds: <b>{escape(verdict)}</b>. {looked} of {len(audit.rules)} rules found "
            "something to look at everywhere."
        )
    return (
        f"<p>{opening}</p>"
        + (f"<ul>{found}</ul>" if found else "")
        + (
            folded(
                "What was not looked at",
                plain_table_html("Rules without an object.", ["rule", "where", "reason"], rows),
            )
            if rows
            else ""
        )
    )


def _by(audit: Audit, word: str = "by") -> str:
    return f" {word} {escape(audit.protocol)}" if audit.protocol else ""


def _class(finding: Finding) -> str:
    return "refused" if finding.severity == "refusal" else finding.severity


def _words(finding: Finding) -> str:
    word = "accepted" if finding.accepted else finding.severity
    return f"<b>{escape(word)}: <code>{escape(finding.rule)}</code></b> {escape(finding.text())}"
