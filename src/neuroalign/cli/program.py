"""The program: its commands, its exit statuses and what it says when something is wrong."""

from __future__ import annotations

import errno
import sys
from typing import Annotated, Any

import typer
from rich.markup import escape

from neuroalign import __version__
from neuroalign.cli import audit, compare, datasets, protocols, runs, simulation, split, tables
from neuroalign.cli.arguments import join_listed
from neuroalign.cli.output import err_console, is_further_process, out_console
from neuroalign.cli.prepare import prepare
from neuroalign.cli.readers import add_doctor_options, add_reader_commands
from neuroalign.errors import NeuroalignError

# Each command imports what it needs: `neuroalign --help` must not wait for PyTorch and MNE.

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="EEG, MEG and fMRI in one picture space: decoding, encoding and modality conversion.",
)
app.command("datasets")(datasets.datasets_command)
app.command("fetch")(datasets.fetch_command)
app.command("doctor")(datasets.doctor_command)
app.add_typer(prepare, name="prepare")
app.command("simulate")(simulation.simulate_command)
app.command("power")(simulation.power_command)
app.command("split")(split.split_command)
app.command("train")(runs.train_command)
app.command("protocols")(protocols.protocols_command)
app.command("audit")(audit.audit_command)
app.command("evaluate")(runs.evaluate_command)
app.command("tables")(tables.tables_command)
app.command("matrix")(tables.matrix_command)
app.command("compare")(compare.compare_command)
app.command("decode")(runs.decode_command)
app.command("encode")(runs.encode_command)
app.command("convert")(runs.convert_command)
app.command("report")(runs.report_command)
app.command("demo")(runs.demo_command)

# Typer once used click and now brings a copy of it: this is the UsageError that it raises.
_UsageError: Any = typer.BadParameter.__base__
_INTERRUPTED = 130  # what some versions of Typer make of Ctrl-C


def _show_version(wanted: bool) -> None:
    if wanted:
        out_console.print(f"neuroalign {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Run the command line; an error the user can put right exits with status 2."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run one command and return its exit status: 0, or 2 with an explanation on stderr."""
    try:
        if arguments[:1] == ["prepare"]:
            add_reader_commands(prepare)
        if arguments[:1] == ["doctor"]:
            add_doctor_options(app)
        status = app(join_listed(arguments), prog_name="neuroalign", standalone_mode=False)
    except typer.Exit as error:
        return error.exit_code
    except _UsageError as error:
        error.show()
        return 2
    except NeuroalignError as error:
        return _explain(str(error))
    except (KeyboardInterrupt, typer.Abort):
        status = _INTERRUPTED
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return _explain(
                f"The disk is full ({error.filename or 'while writing'}). Free some space, then "
                "give the same command again."
            )
        if error.filename is not None:
            return _explain(
                f"{error.filename} cannot be read or written: {error.strerror}. Check the path "
                "and its permissions."
            )
        raise
    except RuntimeError as error:
        if is_further_process() and "by peer" in str(error):  # the first is gone and said why
            return 2
        raise
    if status == _INTERRUPTED:
        return _explain(
            "Interrupted. Nothing half-written was left in place; give the same command again to "
            "go on (training continues from its last epoch, preparing after the last recording or "
            "session that it finished)."
        )
    return status if isinstance(status, int) else 0


def _explain(message: str) -> int:
    if not is_further_process():
        err_console.print(
            f"[bold red]Error:[/bold red] {escape(message)}", highlight=False, soft_wrap=True
        )
    return 2
