"""Prepare a miniature in processes that are interrupted or killed at a moment of their own work.

python stopped.py MODULE:READER FOLDER OPTIONS < moments; a moment is event, path, signal and output
folder, tab-separated. Prints the exit status of each process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any


def statuses_of_stopped(
    reader: type, folder: Path, moments: Sequence[tuple[str, str, int, Path]], **options: Any
) -> list[int]:
    """Prepare once for each moment (event, path, signal, output folder), each time stopped there.

    Returns the exit status of each process: minus the signal where it was killed.
    """
    lines = "".join("\t".join(map(str, (e, p, int(s), out))) + "\n" for e, p, s, out in moments)
    name = f"{reader.__module__}:{reader.__qualname__}"
    done = subprocess.run(
        [sys.executable, __file__, name, str(folder), json.dumps(options)],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(line) for line in done.stdout.split()]


def main() -> None:
    """Fork for each moment: importing everything takes seconds."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from moments import Moment, stop_at
    from neuroalign.recordings.preparation import prepare

    module, _, attribute = sys.argv[1].partition(":")
    reader = getattr(import_module(module), attribute)()
    options = reader.options(**json.loads(sys.argv[3]))
    for line in sys.stdin:
        event, path, number, out = line.rstrip("\n").split("\t")
        pid = os.fork()
        if pid == 0:
            stop_at(Moment(event, path, 1, int(number)))
            try:
                prepare(reader, sys.argv[2], out, options=options)
            except KeyboardInterrupt:
                os._exit(130)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
