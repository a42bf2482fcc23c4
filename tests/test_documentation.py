"""What the documentation says is true: its commands and its Python run, its map fits the code.

Each fenced `console`, `bash` or `python` block in README.md, CONTRIBUTING.md and docs/ carries
a comment on the line before it:

    <!-- run: NAME -->          run here; blocks of a page with one NAME share a folder, in order
    <!-- not run: REASON -->    cannot run here; its `neuroalign` commands are still parsed

Runs start in an empty folder that holds a copy of `examples/`. A run whose blocks mention
`../shared/data` needs the real recordings: that path then leads to the folder in NEUROALIGN_DATA
and the run is skipped without it. Neighbouring blocks of one language form one script, so a page
may explain its Python step by step. In a `console` block, lines that start with `$ ` are the
commands.
"""

from __future__ import annotations

import ast
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import neuroalign
from neuroalign.cli.arguments import join_listed

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGE = ROOT / "src" / "neuroalign"
REAL_DATA = "../shared/data"
TIMEOUT_S = 900  # against a command that waits for ever
OPERATORS = {"|", "||", "&&", ";", ">", ">>", "<", "&"}

_BLOCK = re.compile(
    r"^(?:<!-- *(?P<mark>run|not run): *(?P<text>[^>]*?) *-->\s*\n)?"
    r"(?P<fence>`{3,}) *(?P<language>console|bash|sh|shell|python)\b[^\n]*\n"
    r"(?P<body>.*?)^(?P=fence)\s*$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its mark (`run`, `not run` or none) with its text, and its script."""

    where: str
    mark: str | None
    text: str
    language: str
    script: str


def blocks(content: str, page: str) -> list[Block]:
    """Find the marked and unmarked blocks of a Markdown page."""
    found = []
    for match in _BLOCK.finditer(content):
        line = content.count("\n", 0, match.start("fence")) + 1
        language = "python" if match["language"] == "python" else "shell"
        body = match["body"]
        if match["language"] == "console":
            # A command goes on after a backslash; everything else is output.
            commands = re.findall(r"^\$ ((?:.*\\\n)*.*)$", body, re.MULTILINE)
            body = "\n".join(commands) + "\n"
        where = f"{page}:{line}"
        found.append(Block(where, match["mark"], match["text"] or "", language, body))
    return found


def commands(script: str) -> Iterator[list[str]]:
    """Yield the words of each `neuroalign` command in a shell script."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for is_operator, words in itertools.groupby(lexer, OPERATORS.__contains__):
            if not is_operator:
                # NAME=value before a command sets its environment.
                command = list(itertools.dropwhile(re.compile(r"\w+=").match, words))
                if command and Path(command[0]).name == "neuroalign":
                    yield command


def parse(words: list[str], command: Any) -> None:
    """Check a command line against the program, without running it.

    Raises
    ------
    AssertionError
        No such subcommand, a missing argument, or a word too many.
    Exception
        What the command-line library raises for an unknown or incomplete option.
    """
    context = command.context_class(command, info_name=words[0])
    values, rest, _ = command.make_parser(context).parse_args(words[1:])
    if "help" in values or "--help" in words:
        return
    children = getattr(command, "commands", None)
    if children is None:
        missing = [
            p.name for p in command.params if p.required and values.get(p.name) in (None, (), [])
        ]
        assert not missing, f"{words}: {missing} missing"
        assert not rest, f"{words}: {rest} is too much"
    elif rest:
        assert rest[0] in children, f"{words}: there is {sorted(children)}, but no {rest[0]!r}"
        parse(rest, children[rest[0]])


PAGE_BLOCKS = {
    page.relative_to(ROOT).as_posix(): blocks(
        page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix()
    )
    for page in PAGES
}
RUNS = {
    (page, name): [block for block in found if block.mark == "run" and block.text == name]
    for page, found in PAGE_BLOCKS.items()
    for name in dict.fromkeys(block.text for block in found if block.mark == "run")
}


@pytest.mark.parametrize("page", PAGE_BLOCKS)
def test_each_block_runs_or_says_why_not(page: str) -> None:
    unmarked = [block.where for block in PAGE_BLOCKS[page] if block.mark is None or not block.text]
    assert not unmarked, "put <!-- run: NAME --> or <!-- not run: REASON --> above these blocks"


@pytest.mark.parametrize("page", PAGE_BLOCKS)
def test_each_command_exists_with_its_options(page: str) -> None:
    shell = [block for block in PAGE_BLOCKS[page] if block.language == "shell"]
    for block in shell:
        assert block.script.strip(), f"{block.where} holds no command"
        for words in commands(block.script):
            try:
                parse(join_listed(words), _program())
            except Exception as error:
                pytest.fail(f"{block.where}: {shlex.join(words)}: {error}")


@pytest.mark.parametrize(("page", "name"), RUNS, ids=[f"{p}-{n}" for p, n in RUNS])
def test_blocks_run(page: str, name: str, tmp_path: Path) -> None:
    run = RUNS[page, name]
    data = os.environ.get("NEUROALIGN_DATA")
    if data is None and any(REAL_DATA in block.script for block in run):
        pytest.skip("needs the real recordings: NEUROALIGN_DATA is not set")
    folder = tmp_path / "neuroalign"
    folder.mkdir()
    if (ROOT / "examples").is_dir():
        shutil.copytree(ROOT / "examples", folder / "examples")
    if data is not None:  # beside the folder, as commands and recipes name it
        (tmp_path / "shared").mkdir()
        (tmp_path / REAL_DATA.removeprefix("../")).symlink_to(Path(data).resolve())
    binaries = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    for language, group in itertools.groupby(run, lambda block: block.language):
        parts = list(group)
        script = "\n".join(block.script for block in parts)
        if language == "python":
            file = folder / f"block_{parts[0].where.rpartition(':')[2]}.py"
            file.write_text(script, encoding="utf-8")
            arguments = [sys.executable, str(file)]
        else:
            arguments = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(
            arguments,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, (
            f"{parts[0].where} ended with status {done.returncode}\n"
            f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )


def test_blocks_are_found_with_their_marks() -> None:
    page = (
        "<!-- run: first -->\n```console\n$ neuroalign a \\\n    --b 1\nan answer\n$ ls\n```\n"
        "<!-- not run: needs a hub -->\n\n````bash\nneuroalign c  # why\n````\n"
        "text\n```python\nx = 1\n```\n```yaml\nkey: value\n```\n"
    )
    found = blocks(page, "page.md")
    assert [(b.where, b.mark, b.text, b.language) for b in found] == [
        ("page.md:2", "run", "first", "shell"),
        ("page.md:10", "not run", "needs a hub", "shell"),
        ("page.md:14", None, "", "python"),
    ]
    assert found[0].script == "neuroalign a \\\n    --b 1\nls\n"
    assert list(commands(found[0].script)) == [["neuroalign", "a", "--b", "1"]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("neuroalign a 'b c'  # comment", [["neuroalign", "a", "b c"]]),
        ("A=1 .venv/bin/neuroalign a && neuroalign b | head -3; ls", [["a"], ["b"]]),
        ("neuroalign a > out.txt", [["neuroalign", "a"]]),
        ("pip install neuroalign", []),
    ],
)
def test_commands_are_found_in_a_script(line: str, expected: list[list[str]]) -> None:
    found = list(commands(line))
    assert [
        words[-len(wanted) :] for words, wanted in zip(found, expected, strict=True)
    ] == expected


def _example_program() -> Any:
    import typer
    from typer.main import get_command

    app = typer.Typer()
    nested = typer.Typer()
    app.add_typer(nested, name="prepare")

    @nested.command()
    def bids(folder: str, out: str = typer.Option(...), rate: float = 1.0) -> None: ...

    @nested.command()
    def arrays(files: list[str]) -> None: ...

    return get_command(app)


@pytest.mark.parametrize(
    "line",
    [
        "neuroalign prepare bids x --out y --rate 2",
        "neuroalign prepare arrays x y z",
        "neuroalign prepare bids --help",
        "neuroalign --help",
    ],
)
def test_a_right_command_parses(line: str) -> None:
    parse(line.split(), _example_program())


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("neuroalign prepare bidz x --out y", "bidz"),
        ("neuroalign repair", "repair"),
        ("neuroalign prepare bids x --outt y", "outt"),
        ("neuroalign prepare bids x --out", "out"),
        ("neuroalign prepare bids x", "out"),
        ("neuroalign prepare bids --out y", "folder"),
        ("neuroalign prepare bids x z --out y", "too much"),
        ("neuroalign prepare arrays", "files"),
    ],
)
def test_a_wrong_command_is_refused(line: str, complaint: str) -> None:
    with pytest.raises(Exception, match=complaint):
        parse(line.split(), _example_program())


def test_rooms_import_only_from_their_floor_or_below() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    floors = {room: int(floor) for floor, room in re.findall(r"^\| (\d) \| `(\w+)`", table, re.M)}
    rooms = {folder.parent.name for folder in PACKAGE.glob("*/*.py")}
    assert rooms <= set(floors), "docs/architecture.md does not list these rooms"
    upwards = []
    for file in sorted(PACKAGE.rglob("*.py")):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for line, imported in _imported_rooms(file):
            if floors.get(imported, 0) > floors.get(room, max(floors.values())):
                upwards.append(f"{file.relative_to(ROOT)}:{line} imports {imported}")
    assert not upwards


def test_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    assert newest is not None
    assert citation["version"] == newest[1] == neuroalign.__version__


def _imported_rooms(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module == "neuroalign":
            names = [f"neuroalign.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("neuroalign."):
                yield node.lineno, name.split(".")[1]


def _program() -> Any:
    from typer.main import get_command

    from neuroalign.cli import app
    from neuroalign.cli.prepare import prepare
    from neuroalign.cli.readers import add_reader_commands

    add_reader_commands(prepare)
    return get_command(app)
