"""`neuroalign protocols`: what scores can be computed under."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from neuroalign.cli.arguments import AsJson
from neuroalign.cli.output import out_console


def protocols_command(
    name: Annotated[
        str | None, typer.Argument(help="Print this one (or a file of yours, checked) as YAML.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the protocols that ship, or print one as YAML."""
    from rich.table import Table

    from neuroalign.evaluation.protocols import load_protocol, protocol_names, protocol_text

    names = protocol_names() if name is None else [name]
    protocols = [load_protocol(n) for n in names]
    if as_json:
        content = [p.model_dump(mode="json") for p in protocols]
        sys.stdout.write(json.dumps(content, indent=2) + "\n")
        return
    if name is not None:
        sys.stdout.write(protocol_text(name))
        return
    for protocol in protocols:
        table = Table(
            title=f"[bold]{protocol.label}[/bold]  {protocol.title}",
            title_justify="left",
            expand=True,
        )
        table.add_column(style="dim", no_wrap=True, min_width=10)
        table.add_column(overflow="fold", ratio=1)
        table.show_header = False
        for row in protocol.described():
            table.add_row(*row)
        out_console.print(table)
