"""Recordings with another division into training and test, as a folder of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.files import atomic_folder
from neuroalign.recordings.container import Dropped, Recordings, RecordingsInfo
from neuroalign.recordings.regroup import Regrouped, SplitBy, regroup
from neuroalign.recordings.schema import Step
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.signals.scaling import Scaling, fit_scaling
from neuroalign.signals.steps import record

#: Steps that are an affine map of each channel or voxel of a person: fitting one again to other
#: trials undoes it and does it anew.
_AFFINE = ("standardise", "z-score")
#: Whose training trials a step may have been fitted to, the narrowest first.
_IN_WORDS = {
    ("subject", "session", "run"): "each person, session and run",
    ("subject", "session"): "each person and session",
    ("subject",): "each person",
}
_BLOCK = 256
_OWN_FILES = ("recordings.json", "trials.parquet", "dropped.tsv", "signals")


def write_split(
    recordings: Recordings,
    out: str | Path,
    *,
    by: SplitBy,
    test_share: float = 0.2,
    test: Sequence[str] | None = None,
    keep_test: bool = False,
    seed: int = 0,
    one_picture: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> Recordings:
    """Write recordings again with another split.

    Signals are the same files (hard links, copies on another disk) as long as no statistics of
    training trials are in them. Where channels or voxels were standardised with those of the old
    training trials, they are standardised again with those of the new ones, which undoes the old
    numbers exactly, be it for each person or within sessions. (A person or session without
    training trials, held out whole, is standardised with all of its trials.)

    Parameters
    ----------
    recordings : Recordings
        A whole folder.
    out : Path
    by, test_share, test, keep_test, seed, one_picture
        See `regroup`.
    overwrite : bool

    Returns
    -------
    Recordings
        Its steps end with `split`, and `standardise` or `z-score` where that was fitted anew.

    Raises
    ------
    NeuroalignError
        See `regroup`; or a step after the standardising cannot be undone.
    """
    where = str(recordings.path)
    # With `keep_test`, no trial becomes a test trial that statistics were fitted to.
    refit = None if keep_test else _refit_step(recordings.info, where)
    new = regroup(
        recordings.trials,
        by,
        test_share=test_share,
        test=test,
        keep_test=keep_test,
        seed=seed,
        one_picture=one_picture,
        where=where,
    )
    rule = {"keep_test": True} if keep_test else {} if test is not None else {"seed": seed}
    info = recordings.info.model_copy(update=_described(recordings.info, new, by, rule, refit))
    if refit is None and len(new.left_out) == 0:
        _write_linked(recordings, Path(out), info, new.trials, overwrite)
    else:
        _write_anew(recordings, Path(out), info, new, refit, overwrite)
    return Recordings(out)


def _refit_step(info: RecordingsInfo, where: str) -> Step | None:
    """Return the step whose statistics of training trials must be taken anew, if there is one."""
    fitted = [
        i
        for i, step in enumerate(info.steps)
        if step.fitted_on is not None
        and ("train" in step.fitted_on or "unsupervised" not in step.fitted_on)
    ]
    if not fitted:
        return None
    later = info.steps[fitted[0] :]
    strange = [s.name for s in later if s.name not in (*_AFFINE, "split")]
    if strange:
        raise NeuroalignError(
            f"{where}: the step {info.steps[fitted[0]].name!r} used statistics of the training "
            f"trials, and {', '.join(map(repr, strange))} cannot be undone, so the signals cannot "
            "be standardised with the training trials of another split. Prepare the raw files "
            "again with the split you want, or split the epochs and compute from those."
        )
    return info.steps[fitted[-1]]


def _scope(step: Step) -> tuple[str, ...]:
    """Return what the statistics of a step were taken of: a person's trials, or of one session."""
    said = str(step.fitted_on)
    return next((scope for scope in _IN_WORDS if scope[-1] in said), ("subject",))


def _names(trials: pd.DataFrame, scope: tuple[str, ...]) -> pd.Series:
    names = trials["subject"].astype("string")
    for column in scope[1:]:
        names = names + f" {column} " + trials[column].astype("string").fillna("unknown")
    return names


def _has_training(trials: pd.DataFrame, scope: tuple[str, ...]) -> pd.Series:
    train = (trials["split"] == "train").groupby(_names(trials, scope)).transform("any")
    return train.astype(bool)


def _described(
    info: RecordingsInfo,
    new: Regrouped,
    by: SplitBy,
    rule: Mapping[str, Any],
    refit: Step | None,
) -> dict[str, object]:
    groups = list(new.test_groups)
    steps = [*info.steps, record("split", by=(), groups=by, test=groups, **rule)]
    if refit is not None:
        scope = _scope(refit)
        said = f"training trials of {_IN_WORDS[scope]}, after the split"
        alone = _names(new.trials, scope)[~_has_training(new.trials, scope)].unique()
        if len(alone):
            said += f"; {', '.join(alone)}: held out whole, unsupervised, with all their trials"
        steps.append(record(refit.name, fitted_on=said))
    dropped = list(info.dropped)
    for subject, own in new.left_out.groupby("subject", sort=True):
        reason = f"training trials of a test {by}, or with a picture of the test"
        dropped.append(Dropped(where=str(subject), trials=len(own), reason=reason))
    return {"steps": tuple(steps), "dropped": tuple(dropped)}


def _write_linked(
    recordings: Recordings, out: Path, info: RecordingsInfo, trials: pd.DataFrame, overwrite: bool
) -> None:
    with atomic_folder(out, overwrite=overwrite) as folder:
        (folder / "signals").mkdir()
        for file in sorted((recordings.path / "signals").iterdir()):
            _link(file, folder / "signals" / file.name)
        _link_others(recordings.path, folder)
        trials.to_parquet(folder / "trials.parquet", index=False)
        (folder / "recordings.json").write_text(info.model_dump_json(indent=2) + "\n")
        if info.dropped:
            table = pd.DataFrame([d.model_dump() for d in info.dropped])
            table.to_csv(folder / "dropped.tsv", sep="\t", index=False)


def _write_anew(
    recordings: Recordings,
    out: Path,
    info: RecordingsInfo,
    new: Regrouped,
    refit: Step | None,
    overwrite: bool,
) -> None:
    bare = info.model_copy(update={"subjects": {}})
    dtype = next(iter(recordings.info.subjects.values())).dtype
    trials = new.trials.sort_values(["subject", "array_row"], kind="stable")
    positions = recordings.trials.index.get_indexer(trials.index)
    scope = ("subject",) if refit is None else _scope(refit)
    fitted_to = (trials["split"] == "train") | ~_has_training(trials, scope)
    groups = _names(trials, scope).to_numpy(object)
    with atomic_folder(out, overwrite=overwrite) as folder:
        with RecordingsWriter(folder, bare, dtype=dtype) as writer:
            for subject in recordings.subjects:
                own = np.flatnonzero((trials["subject"] == subject).to_numpy(bool))
                if len(own) == 0:
                    continue
                scalings = {}
                for name in dict.fromkeys(groups[own]) if refit is not None else ():
                    chosen = own[(groups[own] == name) & fitted_to.to_numpy(bool)[own]]
                    scalings[name] = _fit(recordings, positions[chosen], str(name))
                for start in range(0, len(own), _BLOCK):
                    part = own[start : start + _BLOCK]
                    signals = recordings.read(positions[part])
                    for name, scaling in scalings.items():
                        here = groups[part] == name
                        signals[here] = scaling.apply(signals[here])
                    writer.append(subject, signals, trials.iloc[part])
                volume = recordings.info.subjects[subject].volume
                index = recordings.voxel_index(subject)
                if volume is not None and index is not None:
                    writer.set_volume(subject, index, volume.shape, volume.affine)
        _link_others(recordings.path, folder)


def _fit(recordings: Recordings, positions: npt.NDArray[np.int64], name: str) -> Scaling:
    blocks = (
        recordings.read(positions[start : start + _BLOCK])
        for start in range(0, len(positions), _BLOCK)
    )
    try:
        return fit_scaling(blocks)
    except NeuroalignError as error:
        raise NeuroalignError(f"{recordings.path}, {name}: {error}") from error


def _link_others(source: Path, folder: Path) -> None:
    """Take along what lies beside the recordings: findings, the truth of a simulation."""
    for path in sorted(source.iterdir()):
        if path.name in _OWN_FILES or path.name.startswith("."):
            continue
        if path.is_dir():
            shutil.copytree(path, folder / path.name, copy_function=_link)
        else:
            _link(path, folder / path.name)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(source, target)
