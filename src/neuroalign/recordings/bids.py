"""Read EEG and MEG in the BIDS layout, run by run, into a recordings folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.container import Recordings
from neuroalign.recordings.continuous import UNITS
from neuroalign.recordings.preparation import prepare
from neuroalign.recordings.readers.bids import BidsOptions, BidsReader
from neuroalign.recordings.splits import TestRule
from neuroalign.recordings.staging import Features, SingleRun


def prepare_bids(
    root: str | Path,
    out: str | Path,
    *,
    datatype: Literal["eeg", "meg"] | None = None,
    task: str | None = None,
    subjects: Sequence[str] | None = None,
    tmin: float | None = None,
    tmax: float | None = None,
    l_freq: float | None = None,
    h_freq: float | None = None,
    notch: Sequence[float] | None = None,
    resample: float | None = None,
    baseline: tuple[float | None, float | None] | Literal["none"] | None = None,
    reject_uv: float | None = None,
    reject_ft: float | None = None,
    test_runs: TestRule = "last",
    single_run: SingleRun = "split",
    min_run_trials: int = 10,
    min_trials: int = 50,
    features: Features = "epochs",
    label_column: str = "trial_type",
    stimulus_column: str = "stim_file",
    classes: Sequence[str] | None = None,
    jobs: int = 1,
    dask: str | None = None,
    overwrite: bool = False,
) -> Recordings:
    """Prepare EEG or MEG that is stored as BIDS.

    Each recording is inspected, filtered and cut into epochs; whole runs are held out as the test
    set; each person's channels are standardised with statistics of the training trials. What is
    left out is listed, with its reason, in `info.dropped` (and dropped.tsv); what is odd about
    the raw files stands in findings.tsv.

    Parameters
    ----------
    root : Path
        The BIDS folder.
    out : Path
        The recordings folder to make.
    datatype : {"eeg", "meg"}, optional
        None: what is there; EEG where there are both.
    task : str, optional
        Only this task.
    subjects : sequence of str, optional
        Only these people ("01" or "sub-01").
    tmin, tmax, l_freq, h_freq, notch, resample, baseline : optional
        See `neuroalign.signals.preprocessing.Preprocessing`. None: the default of the datatype
        (`EEG_DEFAULTS`, `MEG_DEFAULTS`). A frequency or `resample` of 0, an empty `notch` or a
        `baseline` of "none" leave that step out.
    reject_uv : float, optional
        EEG: trials with a larger range (peak to peak, in microvolts) on any channel are left out;
        0: none are.
    reject_ft : float, optional
        MEG: the same, in fT for magnetometers and fT/cm for gradiometers.
    test_runs : "last", share, names or None
        Which runs are held out; see `neuroalign.recordings.splits.choose_test_runs`.
    single_run : {"split", "train", "drop"}
        What happens to a person with one usable run. "split" holds out the last third of it,
        with a gap that the filters cannot bridge; such test trials are marked `held_out` = "part
        of a run", so that scores can be given with and without them.
    min_run_trials, min_trials : int
        Runs and people with fewer usable trials are left out.
    features : {"epochs", "spectrogram"}
    label_column, stimulus_column : str
        Columns of events.tsv that hold the class and the picture; either may be absent.
    classes : sequence of str, optional
        Keep only events of these classes.
    jobs : int
        Processes that read recordings and write people.
    dask : str, optional
        The address of a Dask scheduler that does it instead.
    overwrite : bool
        Replace `out` if it exists, once the new folder is complete.

    Returns
    -------
    Recordings

    Raises
    ------
    MissingDependencyError
        MNE-BIDS is not installed.
    NeuroalignError
        Nothing is found, a file cannot be read, recordings disagree about their sampling rate, or
        no usable trials are left.
    """
    if datatype is not None and datatype not in UNITS:
        raise NeuroalignError(f"`datatype` must be 'eeg' or 'meg', got {datatype!r}.")
    options = BidsOptions(
        datatype=datatype,
        task=task,
        tmin=tmin,
        tmax=tmax,
        l_freq=l_freq,
        h_freq=h_freq,
        notch=None if notch is None else tuple(notch),
        resample=resample,
        baseline=baseline,
        reject_uv=reject_uv,
        reject_ft=reject_ft,
        test_runs=_as_option(test_runs),
        single_run=single_run,
        min_run_trials=min_run_trials,
        min_trials=min_trials,
        features=features,
        label_column=label_column,
        stimulus_column=stimulus_column,
        classes=None if classes is None else tuple(classes),
    )
    return prepare(
        BidsReader(),
        root,
        out,
        options=options,
        subjects=subjects,
        jobs=jobs,
        dask=dask,
        overwrite=overwrite,
    )


def _as_option(rule: TestRule) -> str | float | tuple[str, ...] | None:
    return rule if rule is None or isinstance(rule, (str, int, float)) else tuple(rule)
