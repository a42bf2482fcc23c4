"""Options of readers as flags: of `neuroalign prepare NAME`, and of `neuroalign doctor`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from neuroalign.cli.arguments import Dask, Jobs, Out, Overwrite, Subjects, listed
from neuroalign.cli.output import say_prepared
from neuroalign.errors import NeuroalignError

if TYPE_CHECKING:
    from neuroalign.recordings.readers.contract import Options, Reader


def add_reader_commands(app: typer.Typer) -> None:
    """Add a command for every reader that `app` has none for."""
    from neuroalign.recordings.readers import load_reader, reader_names

    known = {command.name for command in app.registered_commands}
    for name in reader_names():
        if name not in known:
            reader = load_reader(name)
            app.command(name, help=f"Prepare {reader.card.title}.")(_command(reader))


def add_doctor_options(app: typer.Typer) -> None:
    """Let the doctor of `app` take what any reader can be told; its help does not list that."""
    from neuroalign.cli.datasets import diagnose, doctor_command
    from neuroalign.recordings.readers import all_readers

    own = inspect.signature(doctor_command, eval_str=True).parameters
    fields = [f for reader in all_readers() for f in reader.options.model_fields.items()]
    hidden = {n: _hidden(f) for n, f in fields if n not in own and not _is_nested(f.annotation)}

    def command(**values: Any) -> None:
        given = {n: values.pop(n) for n in hidden}
        diagnose(**values, given=given)

    command.__doc__ = doctor_command.__doc__
    further = [_parameter(n, kind, None) for n, kind in hidden.items()]
    signature = inspect.Signature([*own.values(), *further])
    command.__signature__ = signature  # type: ignore[attr-defined]
    (doctor,) = (c for c in app.registered_commands if c.name == "doctor")
    doctor.callback = command


def options_from(reader: Reader, given: Mapping[str, Any]) -> Options:
    """Return a reader's options from the values of flags; None: not given.

    Raises
    ------
    NeuroalignError
        The reader has no such option, or takes other values.
    """
    from pydantic import ValidationError

    fields = reader.options.model_fields
    values = {k: v for k, v in given.items() if v is not None}
    strange = [_flag((k,)) for k in values if k not in fields]
    if strange:
        known = ", ".join(f"--{_flag((k,))}" for k in fields)
        raise NeuroalignError(
            f"{reader.card.title} (`{reader.card.name}`) has no option "
            f"{', '.join(f'--{name}' for name in strange)}; it has {known}."
        )
    values = {
        k: tuple(listed(v) or ()) if _is_list(fields[k].annotation) and isinstance(v, str) else v
        for k, v in values.items()
    }
    try:
        return reader.options(**values)
    except ValidationError as error:
        # A union has a line for each of its members: the first names the option and the value.
        problems = {_flag(e["loc"]): f"{e['msg']}, got {e['input']!r}" for e in error.errors()}
        lines = [f"  --{flag}: {problem}" for flag, problem in problems.items()]
        raise NeuroalignError("These options do not fit:\n" + "\n".join(lines)) from error


def _command(reader: Reader) -> Callable[..., None]:
    fields = reader.options.model_fields

    def command(
        folder: Path, out: Path, subjects: str | None, jobs: int, dask: str | None,
        overwrite: bool, **given: Any,
    ) -> None:  # fmt: skip
        from neuroalign.recordings.preparation import prepare

        recordings = prepare(
            reader, folder, out, options=options_from(reader, given), subjects=listed(subjects),
            jobs=jobs, dask=dask, overwrite=overwrite,
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


def _hidden(field: Any) -> Any:
    """Turn a field into an option that help does not show; any text, for its reader to judge."""
    kind = bool if field.annotation is bool else str
    return Annotated[kind | None, typer.Option(hidden=True)]


def _is_list(kind: Any) -> bool:
    """Whether it is a tuple, or nothing; a union with other kinds reads its text itself."""
    members = [k for k in (get_args(kind) or (kind,)) if k is not NoneType]
    return get_origin(kind) is tuple or all(get_origin(k) is tuple for k in members)


def _is_nested(kind: Any) -> bool:
    """Whether it is a tuple of tuples, which no text of a flag stands for."""
    return get_origin(kind) is tuple and any(get_origin(k) is tuple for k in get_args(kind))


def _flag(place: tuple[int | str, ...]) -> str:
    return str(place[0]).replace("_", "-") if place else "?"
