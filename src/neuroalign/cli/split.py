"""The command `split`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from neuroalign.cli.arguments import Out, Overwrite, listed
from neuroalign.cli.output import say, say_prepared


class By(StrEnum):
    """What is held out whole."""

    picture = "picture"
    concept = "concept"
    run = "run"
    session = "session"
    person = "person"


def split_command(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A recordings folder.")],
    by: Annotated[By, typer.Option(help="What is held out whole.")],
    out: Out,
    test_share: Annotated[
        float, typer.Option(help="Share of the groups to hold out (of each person's runs).")
    ] = 0.2,
    test: Annotated[
        str | None, typer.Option(help="Or their names, separated by commas (run-03, dog_12s).")
    ] = None,
    keep_test: Annotated[
        bool,
        typer.Option(
            "--keep-test",
            help="Keep the test trials, and leave out training trials of their groups.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Draws the groups.")] = 0,
    pictures: Annotated[
        str | None,
        typer.Option(
            help="The pictures (`shipped`, a folder or a table): copies of one stay together."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write recordings again with another split, and audit it."""
    from neuroalign.recordings import Recordings
    from neuroalign.recordings.regroup import names_of_content
    from neuroalign.recordings.resplit import write_split

    whole = Recordings(data)
    copies = None
    if pictures is not None:
        from neuroalign.images.pictures import picture_set

        copies = names_of_content(picture_set(pictures).table)
    recordings = write_split(
        whole,
        out,
        by=by.value,
        test_share=test_share,
        test=listed(test),
        keep_test=keep_test,
        seed=seed,
        one_picture=copies,
        overwrite=overwrite,
    )
    say_prepared(recordings, findings=False)
    for step in recordings.info.steps[-2:]:
        if step.fitted_on:
            say(f"{step.name}: fitted again on {step.fitted_on}")

    from neuroalign.audit import audit_run
    from neuroalign.cli.audit import say_audit

    say_audit(audit_run(out))
