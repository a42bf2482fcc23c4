"""What the tests of whole commands share: a small laboratory, and commands that can be stopped."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from moments import Moment

DEADLINE_S = 120  # against a test that waits for ever
SIMULATIONS = {
    "eeg": ["channels=16", "sfreq=50", "snr=0.3"],
    "meg": ["channels=20", "sfreq=50", "snr=0.3"],
    "fmri": ["voxels=[30, 40]", "snr=0.3"],
}
SHARED = [
    *("subjects=2", "test_pictures=12", "training_repeats=2", "test_repeats=2"),
    *("latents=4", "latent_noise=0.5"),
]
RECIPE = """\
name: small
preset: default
pictures: ../pictures
encoder: offline
space: {components: [8], power: [0.0]}
start: {shares: [0.0, 0.5]}
training: {epochs: 12, batch_size: 16, patience: null}
validation: {fraction: 0.2}
architectures:
  eeg: {hidden: 16}
  meg: {hidden: 16}
  fmri: {hidden: 16}
modalities:
  eeg: {recordings: ../data/eeg}
  meg: {recordings: ../data/meg}
  fmri: {recordings: ../data/fmri}
"""


@dataclass(frozen=True)
class Laboratory:
    """Folders of pictures and simulated recordings, a recipe, an evaluated run, and a cache.

    Simulated EEG, MEG and fMRI of two people each, who look at 40 of the shipped pictures; all
    of it is made by the commands that a user would give.
    """

    root: Path

    @property
    def pictures(self) -> Path:
        return self.root / "pictures"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def recipe(self) -> Path:
        return self.root / "recipes" / "small.yaml"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def build(self) -> None:
        """Make all of it; NEUROALIGN_CACHE must be the cache."""
        from neuroalign.images.pictures import shipped_pictures

        for _, picture in shipped_pictures().table.iloc[::10].head(40).iterrows():
            folder = self.pictures / picture["label"]
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture["path"], folder)
        self.recipe.parent.mkdir()
        self.recipe.write_text(RECIPE)
        for modality in SIMULATIONS:
            assert neuroalign(*self.simulation(modality, self.data / modality)) == 0
        assert neuroalign("train", self.recipe, "--out", self.run) == 0
        assert neuroalign("evaluate", self.run) == 0

    def simulation(self, modality: str, out: Path, *changes: str) -> list[object]:
        """Return the command that simulates a modality into `out`."""
        flags = [f"--set={s}" for s in (*SHARED, *SIMULATIONS[modality], *changes)]
        source = ("--pictures", self.pictures, "--encoder", "offline")
        return ["simulate", modality, "--out", out, *source, *flags]

    def recipe_with(self, path: Path, **changes: object) -> Path:
        """Write a recipe that differs from the laboratory's in some fields."""
        import yaml

        from neuroalign.recipe import load_recipe

        content = yaml.safe_load(self.recipe.read_text())
        loaded = load_recipe(self.recipe)
        content["pictures"] = loaded.pictures
        for modality, part in loaded.modalities.items():
            content["modalities"][modality]["recordings"] = str(part.recordings)
        path.write_text(yaml.safe_dump(_merged(content, changes)))
        return path


def _merged(base: dict[str, object], over: dict[str, object]) -> dict[str, object]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merged(old, value) if both else value
    return merged


def neuroalign(*arguments: object) -> int:
    """Give a command in this process and return its exit status."""
    from neuroalign.cli import run_command

    return run_command([str(a) for a in arguments])


def listing(folder: Path) -> dict[str, bytes | None]:
    """Return every path below a folder, hidden ones too, with the content of files."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


def plain(text: str) -> str:
    """Return what a terminal showed in one line, without colours."""
    return " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).split())


class Process:
    """A `neuroalign` command in a process of its own, whose terminal is read as it goes."""

    def __init__(self, pid: int, answers: int, terminal: tuple[int, int]) -> None:
        self.pid, self._answers, self._terminal = pid, answers, terminal
        self._deadline = time.monotonic() + DEADLINE_S
        self.output = ""
        self.status: int | None = None

    def interrupt_when(self, ready: Callable[[], bool]) -> None:
        """Send what Ctrl-C sends as soon as `ready()`, which may look at `output`."""
        self._read_until(ready)
        assert self.status is None, f"it ended too early: {self.output}"
        os.kill(self.pid, signal.SIGINT)

    def wait(self) -> int:
        """Return the exit status."""
        self._read_until(lambda: self.status is not None)
        assert self.status is not None
        while select.select([self._terminal[0]], [], [], 0)[0]:
            self._read()
        for end in self._terminal:
            os.close(end)
        return self.status

    def _read_until(self, condition: Callable[[], bool]) -> None:
        while not condition() and self.status is None:
            assert time.monotonic() < self._deadline, f"nothing happened: {self.output}"
            for end in select.select([self._terminal[0], self._answers], [], [], 0.002)[0]:
                if end == self._answers:
                    self.status = _line(end)
                else:
                    self._read()

    def _read(self) -> None:
        self.output += os.read(self._terminal[0], 65536).decode(errors="replace")


class Starter:
    """Starts commands by forking a process that has imported everything: imports take seconds.

    Its hash seed is another than that of the tests.
    """

    SCRIPT = textwrap.dedent(
        """
        import json, os, sys
        import neuroalign.assess, neuroalign.recordings.arrays, neuroalign.simulation.generate
        import neuroalign.images.offline, neuroalign.report.html
        from neuroalign.cli import main

        sys.path.insert(0, sys.argv[1])
        from moments import Moment, stop_at

        for line in sys.stdin:
            order = json.loads(line)
            pid = os.fork()
            if pid == 0:
                terminal = os.open(order["terminal"], os.O_RDWR | os.O_NOCTTY)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(terminal, 1)
                os.dup2(terminal, 2)
                os.environ.update(order["environment"])
                # What further processes of a training are started with.
                script = os.path.join(os.path.dirname(sys.executable), "neuroalign")
                sys.argv = [script, *order["arguments"]]
                if order["moment"]:
                    stop_at(Moment(**order["moment"]))
                main()
            print(pid, flush=True)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        """
    )

    def __init__(self) -> None:
        seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.SCRIPT, str(Path(__file__).parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )

    def start(
        self,
        arguments: Sequence[object],
        environment: dict[str, str],
        moment: Moment | None = None,
    ) -> Process:
        """Start a command on a terminal of its own; the one before it must have ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        terminal = pty.openpty()
        order = {
            "arguments": [str(a) for a in arguments],
            "environment": {"COLUMNS": "200", "TERM": "xterm"} | environment,
            "terminal": os.ttyname(terminal[1]),
            "moment": None if moment is None else asdict(moment),
        }
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        answers = self._process.stdout.fileno()
        return Process(_line(answers), answers, terminal)

    def close(self) -> None:
        """End the starter."""
        self._process.communicate()


def _line(stream: int) -> int:
    """Read a line that holds a number, and no byte beyond it."""
    digits = b""
    while (byte := os.read(stream, 1)) not in (b"\n", b""):
        digits += byte
    return int(digits)
