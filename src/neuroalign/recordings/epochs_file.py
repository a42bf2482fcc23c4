"""Read MNE epochs files (`*-epo.fif`) with metadata into a recordings folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import mne
import numpy as np
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.container import Recordings, RecordingsInfo
from neuroalign.recordings.continuous import UNITS, channels_of
from neuroalign.recordings.splits import Run, TestRule
from neuroalign.recordings.staging import (
    Features,
    SingleRun,
    SplitRules,
    StagedRun,
    assign_splits,
    drop_untrainable,
    write_staged,
)
from neuroalign.recordings.writer import RecordingsWriter
from neuroalign.signals import steps


def prepare_epochs(
    paths: Mapping[str, Sequence[str | Path]],
    out: str | Path,
    *,
    modality: Literal["eeg", "meg"] = "eeg",
    label_column: str = "label",
    stimulus_column: str = "stimulus",
    split_column: str = "split",
    test_runs: TestRule = "last",
    single_run: SingleRun = "split",
    min_trials: int = 50,
    features: Features = "epochs",
    overwrite: bool = False,
) -> Recordings:
    """Prepare epochs that were preprocessed elsewhere: one file is one run of one person.

    The epochs are taken as they are, then standardised per person and channel with statistics of
    the training trials.

    Parameters
    ----------
    paths : mapping from subject to epochs files
        In the order of recording. Each has metadata (one row an epoch); where it has none, the
        names of the events serve as classes.
    out : Path
    modality : {"eeg", "meg"}
    label_column, stimulus_column, split_column : str
        Columns of the metadata; each may be absent. Where `split_column` is present in all files
        (train or test), it decides; otherwise whole files are held out by `test_runs`.
    test_runs, single_run, min_trials, features, overwrite
        See `neuroalign.recordings.bids.prepare_bids`; a run's name is its place: "run-01".

    Raises
    ------
    NeuroalignError
        A file is missing or unreadable, files differ in channels or times, or no trials are left.
    """
    out = Path(out)
    if modality not in UNITS:
        raise NeuroalignError(f"`modality` must be 'eeg' or 'meg', got {modality!r}.")
    columns = {"label": label_column, "stimulus": stimulus_column, "split": split_column}
    staged: list[StagedRun] = []
    first: Any = None
    provisional = RecordingsInfo(modality=modality, axes=("channels", "samples"), units="")
    with RecordingsWriter(out, provisional, overwrite=overwrite) as writer:
        folder = writer.scratch_folder()
        for subject, files in paths.items():
            for number, path in enumerate(files, start=1):
                epochs = _read(Path(path), modality)
                first = first or epochs
                _check_alike(first, epochs, Path(path))
                run = Run(subject, run=f"{number:02d}")
                file = folder / f"{run.name}.npy"
                data = epochs.get_data(copy=False) * UNITS[modality][1]
                np.save(file, data.astype(np.float32))
                staged.append(StagedRun(run, file, _trials(epochs, columns, run, Path(path))))
        if not staged:
            raise NeuroalignError("No epochs files were given.")
        given = [s.trials["split"].notna().all() for s in staged]
        if any(given) and not all(given):
            without = ", ".join(s.run.name for s, g in zip(staged, given, strict=True) if not g)
            raise NeuroalignError(
                f"The column {split_column!r} is filled in some files but not in {without}. Fill "
                "it everywhere, or nowhere (then `test_runs` decides)."
            )
        rule: TestRule = "column" if all(given) else test_runs
        longest = float(first.tmax - first.tmin)
        rules = SplitRules(rule, single_run, max(5.0, longest), min_trials)
        kept, few = assign_splits(staged, rules)
        labels = sorted({label for s in kept for label in s.trials["label"].dropna()})
        kept, untrainable = drop_untrainable(kept, labels)
        info = RecordingsInfo(
            modality=modality,
            axes=("channels", "samples"),
            units=UNITS[modality][0],
            sfreq=float(first.info["sfreq"]),
            tmin=float(first.tmin),
            channels=channels_of(first),
            steps=(
                steps.record(
                    "epochs made elsewhere", by=("mne",), tmin=first.tmin, tmax=first.tmax
                ),
                steps.record("split", by=(), test_runs=_as_json(rule), single_run=single_run),
            ),
            dropped=(*few, *untrainable),
            source=", ".join(sorted({Path(p).name for files in paths.values() for p in files}))[
                :500
            ],
        )
        write_staged(writer, kept, info, features=features)
    return Recordings(out)


def _read(path: Path, modality: str) -> Any:
    if not path.is_file():
        raise NeuroalignError(f"{path} does not exist. Give MNE epochs files (*-epo.fif).")
    try:
        epochs = mne.read_epochs(path, preload=True, verbose="error")
        return epochs.pick(modality, exclude=())
    except Exception as error:
        raise NeuroalignError(
            f"{path} cannot be read as MNE epochs with {modality} channels: {error}"
        ) from error


def _check_alike(first: Any, epochs: Any, path: Path) -> None:
    for what, wanted, found in (
        ("channels", first.ch_names, epochs.ch_names),
        ("samples per second", first.info["sfreq"], epochs.info["sfreq"]),
        ("samples per epoch", len(first.times), len(epochs.times)),
        ("start of the epoch", round(first.tmin, 6), round(epochs.tmin, 6)),
    ):
        if wanted != found:
            raise NeuroalignError(
                f"{path} differs from the first file in its {what}: {found} against {wanted}. "
                "All files of one recordings folder must agree."
            )


def _trials(epochs: Any, columns: Mapping[str, str], run: Run, path: Path) -> pd.DataFrame:
    count = len(epochs)
    meta = epochs.metadata if epochs.metadata is not None else pd.DataFrame(index=range(count))
    names = {code: name for name, code in epochs.event_id.items()}
    table = pd.DataFrame(
        {
            own: meta[given].astype("string").to_numpy(object)
            if given in meta
            else np.full(count, pd.NA, object)
            for own, given in columns.items()
        },
    ).astype("string")
    if table["label"].isna().all() and table["stimulus"].isna().all():
        if epochs.metadata is not None:
            raise NeuroalignError(
                f"{path}: its metadata has neither {columns['label']!r} nor "
                f"{columns['stimulus']!r}, only {', '.join(meta.columns)}. Say which columns hold "
                "the class and the picture (`label_column`, `stimulus_column`)."
            )
        table["label"] = pd.array([names[code] for code in epochs.events[:, 2]], dtype="string")
    onsets = (epochs.events[:, 0] - epochs.events[:, 0].min(initial=0)) / epochs.info["sfreq"]
    return table.assign(onset_s=onsets, run=run.run, session=None, staged_row=np.arange(count))


def _as_json(rule: TestRule) -> Any:
    return rule if rule is None or isinstance(rule, (str, float, int)) else list(rule)
