"""What lies where in a run folder, and whether it is there, told before anything slow is imported.

PyTorch, MNE and scikit-learn take seconds to import: a mistyped name is refused here before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.changes import changes_since
from neuroalign.evaluation.protocols import DEFAULT, Protocol, read_protocol

_MOST = 5


def require_run(path: Path) -> None:
    """Refuse what is no run folder.

    Raises
    ------
    NeuroalignError
        There is no such folder, or it has no recipe.yaml.
    """
    if (path / "recipe.yaml").is_file():
        return
    why = "it has no recipe.yaml" if path.is_dir() else "there is no such folder"
    if path.is_file():
        why = "it is a file"
    elif (path / "recordings.json").is_file():
        why = "it holds recordings"
    raise NeuroalignError(
        f"{path} is not a run folder: {why}. Give the folder that `neuroalign train` (or "
        f"`neuroalign demo`) wrote{_instead(path)}."
    )


def require_trained(path: Path) -> None:
    """Refuse what is no run, or one whose training has not come to its end (see `require_run`)."""
    require_run(path)
    if not (path / "run.json").is_file():
        stopped = (path / "checkpoints").is_dir()
        raise NeuroalignError(
            f"The training of {path} has not finished. `neuroalign train` with the same "
            "recipe and folder goes on where it stopped."
            if stopped
            else f"The training of {path} has not finished: it was refused, or stopped, before its "
            f"first epoch. `neuroalign train {path / 'recipe.yaml'} --out {path}` begins it, or "
            "says what is wrong."
        )


def require_evaluated(path: Path) -> None:
    """Refuse a folder without stored embeddings; nothing else of a run has to be there.

    Raises
    ------
    NeuroalignError
        Also if the folder is no run, or was not trained to its end.
    """
    if (path / "evaluation" / "evaluation.json").is_file():
        return
    require_trained(path)
    raise NeuroalignError(
        f"{path} has not been evaluated: {path / 'evaluation'} holds no complete set of embeddings "
        f"(there is no evaluation.json). Run `neuroalign evaluate {path}` first."
    )


def scores_file(run: Path, protocol: Protocol) -> Path:
    """Return where the scores of a protocol are kept."""
    name = protocol.name
    return run / "scores.json" if name == DEFAULT else run / "scores" / f"{protocol.slug}.json"


def rules_file(run: Path, protocol: Protocol) -> Path | None:
    """Return where the protocol of kept scores lies; that of the default's is the one that ships.

    The file appears after the scores, and is gone before they change.
    """
    scores = scores_file(run, protocol)
    return None if protocol.name == DEFAULT else scores.with_suffix(".yaml")


def changed_rules(run: Path, protocol: Protocol) -> list[str]:
    """Return in what a protocol differs from the one of its name that a run was scored by.

    Returns
    -------
    list of str
        See `changes_since`, or what is wrong with the kept file; empty, too, where no such
        protocol is kept.
    """
    file = rules_file(run, protocol)
    if file is None or not file.is_file():
        return []
    try:
        kept = read_protocol(file.read_text(encoding="utf-8"), file.name)
    except (NeuroalignError, OSError, UnicodeDecodeError) as error:
        return [str(error)]
    return changes_since(kept, protocol)


def require_scores(path: Path, protocol: Protocol) -> None:
    """Refuse a run without scores of a protocol, or with those of other rules under its name.

    Raises
    ------
    NeuroalignError
        Also if the folder is no run, or was not evaluated at all.
    """
    file = scores_file(path, protocol)
    option = "" if protocol.name == DEFAULT else f" --protocol {protocol.name}"
    if file.is_file():
        _require_rules(path, protocol)
        return
    require_evaluated(path)
    known = [p.relative_to(path) for p in (path / "scores.json", *path.glob("scores/*.json"))]
    there = ", ".join(str(k) for k in sorted(known) if (path / k).is_file())
    raise NeuroalignError(
        f"{path} has no scores of {protocol.label}: there is no {file.relative_to(path)}"
        + (f" (there are {there})" if there else "")
        + f". Run `neuroalign evaluate {path}{option}` first."
    )


def _require_rules(path: Path, protocol: Protocol) -> None:
    again = f"Score the run again (`neuroalign evaluate {path} --stored --protocol NAME_OR_FILE`)"
    rules = rules_file(path, protocol)
    if rules is not None and not rules.is_file():
        raise NeuroalignError(
            f"{path}: beside {scores_file(path, protocol).relative_to(path)} there is no "
            f"{rules.name}, so nothing says by which rules these scores were computed. {again}."
        )
    changed = changed_rules(path, protocol)
    if changed and rules is not None:
        raise NeuroalignError(
            f"{path} was scored by other rules than those of {protocol.label} at hand, see "
            f"{rules.relative_to(path)}: {'; '.join(changed)}. {again}; if scores of the rules "
            "before it were published, raise `version` first."
        )


def kind_of(path: Path) -> Literal["run", "recipe", "recordings"]:
    """Tell what can be audited: a run folder, a recipe (a file), or a folder of recordings.

    Raises
    ------
    NeuroalignError
        It is none of these.
    """
    if (path / "recordings.json").is_file():
        return "recordings"
    if path.is_file():
        return "recipe"
    if (path / "recipe.yaml").is_file():
        return "run"
    what = "is no run folder, no recipe (YAML) and no folder of recordings"
    raise NeuroalignError(
        f"{path} {what if path.exists() else 'does not exist'}. Give a recipe, or a folder that "
        f"`neuroalign train` or `neuroalign prepare` wrote{_instead(path, 'recordings.json')}."
    )


def _instead(path: Path, *marks: str) -> str:
    """Name what may have been meant: the folders one level below that are what was asked for."""
    if not path.is_dir():
        return ""
    inside = sorted(
        p for p in path.iterdir() if any((p / m).is_file() for m in ("recipe.yaml", *marks))
    )
    if not inside:
        return ""
    more = ", ..." if len(inside) > _MOST else ""
    return f"; in {path} there are {', '.join(str(p) for p in inside[:_MOST])}{more}"
