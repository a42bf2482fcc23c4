"""The command line: thin commands over the package, which can all be called from Python too."""

from neuroalign.cli.program import app, main, run_command

__all__ = ["app", "main", "run_command"]
