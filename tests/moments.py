"""Stop a process at a moment of its own work, however slow the machine is."""

from __future__ import annotations

import errno
import fnmatch
import os
import signal
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Moment:
    """When a process touches a file for the `count`-th time.

    `event` is one of Python's audit events ("open", "os.rename", ...); `path` a pattern that one
    of the paths it names must match. With the signal 0 it meets a full disk there instead.
    """

    event: str
    path: str
    count: int = 1
    signal: int = signal.SIGINT


def stop_at(moment: Moment) -> None:
    """Make this process send itself the moment's signal, just before the event happens."""
    left = moment.count

    def seen(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event != moment.event:
            return
        paths = (os.fsdecode(a) for a in arguments if isinstance(a, str | bytes | os.PathLike))
        if any(fnmatch.fnmatch(path, moment.path) for path in paths):
            left -= 1
            if left == 0 and moment.signal == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if left == 0:
                os.kill(os.getpid(), moment.signal)

    sys.addaudithook(seen)
