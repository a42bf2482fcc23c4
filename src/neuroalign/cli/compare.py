"""The command that sets two runs against each other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from neuroalign.cli.arguments import AsJson
from neuroalign.cli.output import out_console, print_table, say


def compare_command(
    ours: Annotated[Path, typer.Argument(help="An evaluated run.", metavar="RUN")],
    theirs: Annotated[Path, typer.Argument(help="Another one.", metavar="RUN")],
    protocol: Annotated[
        str, typer.Option(help="A protocol's name, or a YAML file of your own.")
    ] = "default",
    as_json: AsJson = False,
) -> None:
    """Say what two runs score differently on the same items."""
    from neuroalign.evaluation.protocols import load_protocol
    from neuroalign.run_folder import require_evaluated

    chosen = load_protocol(protocol)
    for run in (ours, theirs):
        require_evaluated(run)

    from neuroalign.compare import compare_runs

    found = compare_runs(ours, theirs, protocol=chosen)
    if as_json:
        sys.stdout.write(json.dumps(found.to_json(), indent=2) + "\n")
        return
    print_table(_table(found))
    for doubt in found.doubts:
        out_console.print(doubt, style="bold red", markup=False, highlight=False, soft_wrap=True)
    for remark in found.remarks:
        say(f"note: {remark}")
    for name in found.left_out:
        say(f"left out: {name}")


def _table(found: Any) -> Any:
    import pandas as pd

    from neuroalign.evaluation.tables import METRIC_NAMES, modality_name

    ours, theirs = found.names
    rows = []
    for each in found.differences:
        s = each.score
        if s.subject == "all":
            rows.append(
                {
                    "task": s.task,
                    "from -> to": f"{modality_name(s.source)} -> {modality_name(s.target)}",
                    "items": s.items,
                    "metric": METRIC_NAMES.get(s.metric, s.metric),
                    ours: each.ours,
                    theirs: each.theirs,
                    "difference": f"{s.value:+.3f}",
                    "95 % interval": f"{s.low:+.3f} to {s.high:+.3f}",
                    "p, corrected": "" if s.p_corrected is None else f"{s.p_corrected:.3f}",
                }
            )
    return pd.DataFrame(rows)
