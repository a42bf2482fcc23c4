"""The command that sets two runs against each other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuroalign.cli.arguments import AsJson
from neuroalign.cli.output import out_console, print_text_table, say

if TYPE_CHECKING:
    import pandas as pd

    from neuroalign.compare import Comparison


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
    print_text_table(_table(found), _title(found))
    for doubt in found.doubts:
        out_console.print(doubt, style="bold red", markup=False, highlight=False, soft_wrap=True)
    for remark in found.remarks:
        say(f"note: {remark}")
    for name in found.left_out:
        say(f"left out: {name}")
    say("Every metric and person: --json")


def _title(found: Comparison) -> str:
    first = found.differences[0].score
    simulated = ", SIMULATED recordings" if first.simulated else ""
    names = " less ".join(found.names)
    return f"{names}: paired differences (95 % interval), {first.protocol}{simulated}"


def _table(found: Comparison) -> pd.DataFrame:
    """Return what speaks for each retrieval, over all people; a retrieval is named once."""
    import pandas as pd

    from neuroalign.evaluation.main_metrics import blocks, main_metrics, short_names
    from neuroalign.evaluation.tables import modality_name, p_text

    ours, theirs = found.names
    differences = {id(d.score): d for d in found.differences}
    rows = []
    for block in blocks(main_metrics([d.score for d in found.differences])):
        for number, score in enumerate(block):
            each = differences[id(score)]
            name = f"{modality_name(score.source)} -> {modality_name(score.target)}, {score.items}"
            rows.append(
                {
                    "from -> to": name if number == 0 else "",
                    "metric": short_names(block)[score.metric],
                    ours: f"{each.ours:.3f}",
                    theirs: f"{each.theirs:.3f}",
                    "difference": f"{score.value:+.3f} ({score.low:+.3f}..{score.high:+.3f})",
                    "p, corrected": p_text(score.p_corrected),
                }
            )
    return pd.DataFrame(rows, dtype=str)
