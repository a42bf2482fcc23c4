"""`neuroalign prepare NAME`: a command for each reader, with its options as flags."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from neuroalign.cli.arguments import Dask, Jobs, Out, Overwrite, Subjects, listed
from neuroalign.cli.output import say_prepared
from neuroalign.errors import NeuroalignError


def add_reader_commands(app: typer.Typer) -> None:
    """Add a command for every reader that `app` has none for."""
    from neuroalign.recordings.readers import load_reader, reader_names

    known = {command.name for command in app.registered_commands}
    for name in reader_names():
        if name not in known:
            reader = load_reader(name)
            app.command(name, help=f"Prepare {reader.card.title}.")(_command(reader))


def _command(reader: Any) -> Callable[..., None]:
    fields = reader.options.model_fields

    def command(
        folder: Path, out: Path, subjects: str | None, jobs: int, dask: str | None,
        overwrite: bool, **given: Any,
    ) -> None:  # fmt: skip
        from pydantic import ValidationError

        from neuroalign.recordings.preparation import prepare

        values = {
            k: tuple(listed(v) or ()) if _is_list(fields[k].annotation) else v
            for k, v in given.items()
            if v is not None
        }
        try:
            options = reader.options(**values)
        except ValidationError as error:
            lines = [
                f"  --{_flag(e['loc'])}: {e['msg']}, got {e['input']!r}" for e in error.errors()
            ]
            raise NeuroalignError("These options do not fit:\n" + "\n".join(lines)) from error
        recordings = prepare(
            reader, folder, out, options=options, subjects=listed(subjects), jobs=jobs, dask=dask,
            overwrite=overwrite,
        )  # fmt: skip
        say_prepared(recordings)

    folder = Annotated[Path, typer.Argument(help=f"The folder that {reader.card.title} lies in.")]
    parameters = [
        _parameter("folder", folder),
        _parameter("out", Out),
        _parameter("subjects", Subjects, None),
        *(
            _parameter(n, _option(f), f.get_default(call_default_factory=True))
            for n, f in fields.items()
        ),
        _parameter("jobs", Jobs, 1),
        _parameter("dask", Dask, None),
        _parameter("overwrite", Overwrite, False),
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def _parameter(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    if isinstance(default, tuple):
        default = ",".join(map(str, default)) or None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)


def _option(field: Any) -> Any:
    """Turn a field of a pydantic model into a typed option."""
    kind, help_text = field.annotation, field.description or ""
    if get_origin(kind) is UnionType or NoneType in get_args(kind):
        inner = [k for k in get_args(kind) if k is not NoneType]
        kind = inner[0] if len(inner) == 1 else str
    if _is_list(kind):
        return Annotated[str | None, typer.Option(help=help_text)]
    if get_origin(kind) is Literal:
        choices = ", ".join(map(str, get_args(kind)))
        return Annotated[str, typer.Option(help=f"{help_text} One of: {choices}.".strip())]
    return Annotated[kind | None, typer.Option(help=help_text)]


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is tuple or any(get_origin(k) is tuple for k in get_args(kind))


def _flag(place: tuple[int | str, ...]) -> str:
    return str(place[0]).replace("_", "-") if place else "?"
