"""The audit of a split: leaks and confounds, found before a score is believed."""

from neuroalign.audit.findings import (
    Audit,
    Finding,
    Skipped,
    audit_file,
    audit_files,
    read_audit,
    write_audit,
)
from neuroalign.audit.rules import RULES, admit_run, admitted, audit_run

__all__ = [
    "RULES",
    "Audit",
    "Finding",
    "Skipped",
    "admit_run",
    "admitted",
    "audit_file",
    "audit_files",
    "audit_run",
    "read_audit",
    "write_audit",
]
