"""What an audit says: its findings, the verdict, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.protocols import DEFAULT, Protocol
from neuroalign.files import write_json

Severity = Literal["refusal", "warning", "note"]
Verdict = Literal["passed", "passed with warnings", "not audited", "refused"]

_EXIT: dict[Verdict, int] = {
    "passed": 0,
    "passed with warnings": 1,
    "not audited": 1,
    "refused": 2,
}
_ORDER: tuple[Severity, ...] = ("refusal", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a split, or worth knowing about it.

    Attributes
    ----------
    rule : str
        The name of the rule, for `--accept`.
    severity : {"refusal", "warning", "note"}
        A refusal makes scores on the test set mean something else than they seem to.
    where : str
        The modality or the file.
    what : str
        What was found, with numbers.
    count, total : int
        How many trials or pictures it concerns, and of how many.
    why : str
        Why it matters.
    remedy : str
        How to split, or prepare, instead.
    examples : tuple of str
    accepted : bool
        Whether it was let through by name.
    """

    rule: str
    severity: Severity
    where: str
    what: str
    count: int
    total: int
    why: str
    remedy: str
    examples: tuple[str, ...] = ()
    accepted: bool = False

    def text(self) -> str:
        """Return the finding as a paragraph."""
        some = f" (such as {', '.join(self.examples)})" if self.examples else ""
        return f"{self.where}: {self.what}{some}. {self.why} Instead: {self.remedy}"


@dataclass(frozen=True)
class Skipped:
    """A rule that has nothing to look at, and why."""

    rule: str
    where: str
    reason: str


@dataclass(frozen=True)
class Audit:
    """The outcome of all rules.

    Attributes
    ----------
    subject : str
        What was audited: a run, a recipe or a recordings folder.
    findings : tuple of Finding
        The worst first.
    skipped : tuple of Skipped
    rules : tuple of str
        Every rule, whether it found something or not.
    protocol : str
        Name and version of the protocol that was asked about; empty if none was.
    not_audited : str
        Why the split was not looked at for this protocol; empty if it was.
    """

    subject: str
    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...]
    rules: tuple[str, ...]
    protocol: str = ""
    not_audited: str = ""

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """What forbids an evaluation, apart from what was accepted by name."""
        return tuple(f for f in self.findings if f.severity == "refusal" and not f.accepted)

    @property
    def accepted(self) -> tuple[Finding, ...]:
        """The refusals that were accepted by name."""
        return tuple(f for f in self.findings if f.accepted)

    @property
    def verdict(self) -> Verdict:
        """`refused` where anything is that was not accepted."""
        if self.refusals:
            return "refused"
        if self.not_audited:
            return "not audited"
        serious = any(f.severity != "note" for f in self.findings)
        return "passed with warnings" if serious else "passed"

    @property
    def exit_status(self) -> int:
        """0 passed, 1 passed with warnings (or not audited), 2 refused."""
        return _EXIT[self.verdict]

    def accept(self, names: Sequence[str]) -> Audit:
        """Let the refusals of these rules through.

        Raises
        ------
        NeuroalignError
            There is no rule of such a name.
        """
        strangers = sorted(set(names) - set(self.rules))
        if strangers:
            raise NeuroalignError(
                f"There is no audit rule {', '.join(strangers)}; the rules are "
                f"{', '.join(self.rules)}."
            )
        return replace(
            self,
            findings=tuple(
                replace(f, accepted=f.severity == "refusal" and f.rule in names)
                for f in self.findings
            ),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain data: the verdict, the accepted names, findings and skipped rules."""
        return {
            "subject": self.subject,
            "protocol": self.protocol,
            "verdict": self.verdict,
            "not_audited": self.not_audited,
            "accepted": sorted({f.rule for f in self.accepted}),
            "rules": list(self.rules),
            "findings": [asdict(f) for f in self.findings],
            "skipped": [asdict(s) for s in self.skipped],
        }


def make_audit(
    subject: str, said: Sequence[Finding | Skipped], rules: Sequence[str], protocol: str = ""
) -> Audit:
    """Put what the rules said in order."""
    findings = [s for s in said if isinstance(s, Finding)]
    findings.sort(key=lambda f: _ORDER.index(f.severity))
    skipped = tuple(s for s in said if isinstance(s, Skipped))
    return Audit(subject, tuple(findings), skipped, tuple(rules), protocol)


def audit_file(run: Path, protocol: Protocol) -> Path:
    """Return where the audit before an evaluation under a protocol is kept."""
    return run / ("audit.json" if protocol.name == DEFAULT else f"audits/{protocol.slug}.json")


def audit_files(run: Path) -> list[Path]:
    """Return the audits of a run that are there, that of the default protocol first."""
    return [p for p in [run / "audit.json", *sorted(run.glob("audits/*.json"))] if p.is_file()]


def write_audit(audit: Audit, path: Path) -> None:
    """Write an audit as JSON."""
    write_json(path, audit.to_json())


def read_audit(path: Path) -> Audit:
    """Read what `write_audit` wrote.

    Raises
    ------
    NeuroalignError
        The file is damaged.
    """
    try:
        content = json.loads(path.read_text())
        names = {f.name for f in fields(Finding)}
        findings = [
            Finding(
                **{k: v for k, v in f.items() if k in names} | {"examples": tuple(f["examples"])}
            )
            for f in content["findings"]
        ]
        skipped = tuple(Skipped(**s) for s in content["skipped"])
        rules = tuple(content["rules"])
        return Audit(
            content["subject"],
            tuple(findings),
            skipped,
            rules,
            content["protocol"],
            content.get("not_audited", ""),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NeuroalignError(
            f"{path} is no readable audit ({error}). Evaluate the run again to write it anew."
        ) from error


def some(names: Sequence[object], most: int = 3) -> tuple[str, ...]:
    """Return a few examples."""
    return tuple(str(n) for n in names[:most])
