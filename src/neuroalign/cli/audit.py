"""The command `audit`, and what evaluations say of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    from neuroalign.audit import audit_run
    from neuroalign.evaluation.protocols import load_protocol

    audit = audit_run(run, None if protocol is None else load_protocol(protocol))
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
    for skipped in audit.skipped:
        say(f"not looked at: {skipped.rule} ({skipped.where}: {skipped.reason})")


def say_accepted(run: Path, protocol: Protocol) -> None:
    """Say in red what was found and accepted before an evaluation."""
    from neuroalign.audit import audit_file, read_audit

    path = audit_file(run, protocol)
    for finding in read_audit(path).accepted if path.is_file() else ():
        _say_finding(finding, "accepted")


def _say_finding(finding: Finding, word: str | None = None) -> None:
    line = f"{word or finding.severity}: {finding.rule}: {finding.text()}"
    style = _COLOURS[finding.severity]
    out_console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
