"""Read MNE epochs files (`*-epo.fif`) with metadata into a recordings folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.container import Recordings
from neuroalign.recordings.continuous import UNITS
from neuroalign.recordings.preparation import prepare
from neuroalign.recordings.readers.epochs import EpochsOptions, EpochsReader
from neuroalign.recordings.splits import TestRule
from neuroalign.recordings.staging import Features, SingleRun


def prepare_epochs(
    paths: Mapping[str, Sequence[str | Path]] | str | Path,
    out: str | Path,
    *,
    modality: Literal["eeg", "meg"] | None = None,
    label_column: str = "label",
    stimulus_column: str = "stimulus",
    split_column: str = "split",
    test_runs: TestRule = "last",
    single_run: SingleRun = "split",
    min_trials: int = 50,
    features: Features = "epochs",
    jobs: int = 1,
    dask: str | None = None,
    overwrite: bool = False,
) -> Recordings:
    """Prepare epochs that were preprocessed elsewhere: one file is one run of one person.

    The epochs are taken as they are, then standardised per person and channel with statistics of
    the training trials.

    Parameters
    ----------
    paths : mapping from subject to epochs files, or a folder
        In the order of recording. In a folder, `<person>_*-epo.fif` and `<person>/*-epo.fif` are
        looked for, in the order of their names. Each file has metadata (one row an epoch); where
        it has none, the names of the events serve as classes.
    out : Path
    modality : {"eeg", "meg"}, optional
        Which channels to read. None: what is there; MEG where a file has both.
    label_column, stimulus_column, split_column : str
        Columns of the metadata; each may be absent. Where `split_column` is present in all files
        (train or test), it decides; otherwise whole files are held out by `test_runs`.
    test_runs, single_run, min_trials, features, jobs, dask, overwrite
        See `neuroalign.recordings.bids.prepare_bids`; a run's name is its place: "run-01".

    Raises
    ------
    NeuroalignError
        A file is missing or unreadable, files differ in channels or times, or no trials are left.
    """
    if modality is not None and modality not in UNITS:
        raise NeuroalignError(f"`modality` must be 'eeg' or 'meg', got {modality!r}.")
    files: tuple[tuple[str, str], ...] = ()
    if isinstance(paths, (str, Path)):
        folder = Path(paths)
    else:
        files = tuple((s, str(Path(p).absolute())) for s, own in paths.items() for p in own)
        if not files:
            raise NeuroalignError("No epochs files were given.")
        folder = Path(os.path.commonpath([Path(f).parent for _, f in files]))
    options = EpochsOptions(
        files=files,
        modality=modality,
        label_column=label_column,
        stimulus_column=stimulus_column,
        split_column=split_column,
        test_runs=test_runs
        if test_runs is None or isinstance(test_runs, (str, int, float))
        else tuple(test_runs),
        single_run=single_run,
        min_trials=min_trials,
        features=features,
    )
    return prepare(
        EpochsReader(), folder, out, options=options, jobs=jobs, dask=dask, overwrite=overwrite
    )
