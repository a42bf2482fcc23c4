"""The command `audit`, and what evaluations say of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from neuroalign.cli.arguments import AsJson
from neuroalign.cli.output import out_console, say

if TYPE_CHECKING:
    from neuroalign.audit import Audit, Finding
    from neuroalign.evaluation.protocols import Protocol

_COLOURS = {"refusal": "bold red", "warning": "yellow", "note": "default"}


def audit_command(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run, a recipe (YAML) or a recordings folder.")
    ],
    protocol: Annotated[
        str | None, typer.Option(help="What will be scored: a protocol's name, or a YAML file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look for leaks and confounds: exit status 0 passed, 1 with warnings, 2 refused."""
    from neuroalign.evaluation.protocols import load_protocol
    from neuroalign.run_folder import kind_of

    chosen = None if protocol is None else load_protocol(protocol)
    kind_of(run)

    from neuroalign.audit import audit_run

    audit = audit_run(run, chosen)
    if as_json:
        sys.stdout.write(json.dumps(audit.to_json(), indent=1) + "\n")
    else:
        say_audit(audit)
    if audit.exit_status:
        raise typer.Exit(audit.exit_status)


def say_audit(audit: Audit) -> None:
    """Print the verdict and every finding."""
    out_console.print(f"Audit of {audit.subject}: {audit.verdict}", markup=False, highlight=False)
    for finding in audit.findings:
        _say_finding(finding)
    reasons: dict[str, list[str]] = {}
    for skipped in audit.skipped:
        reasons.setdefault(f"{skipped.where}: {skipped.reason}", []).append(skipped.rule)
    for reason, rules in reasons.items():
        say(f"not looked at: {', '.join(rules)} ({reason})")


def say_behind_scores(run: Path, protocol: Protocol, console: Console = out_console) -> None:
    """Say what the audit behind scores found, in red what was accepted, or that there is none."""
    from neuroalign.assess.audited import known_audit

    audit = known_audit(run, protocol)
    if audit.not_audited:
        line = f"The split was not audited for {protocol.label}: {audit.not_audited}"
        console.print(line, style="bold red", markup=False, highlight=False, soft_wrap=True)
    else:
        say(f"Audit of the split: {audit.verdict}", console)
    for finding in audit.findings:
        if finding.severity != "note":
            _say_finding(finding, console)


def _say_finding(finding: Finding, console: Console = out_console) -> None:
    word = "accepted" if finding.accepted else finding.severity
    line = f"{word}: {finding.rule}: {finding.text()}"
    style = _COLOURS[finding.severity]
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
