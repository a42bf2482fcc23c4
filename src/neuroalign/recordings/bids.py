"""Read EEG and MEG in the BIDS layout, run by run, into a recordings folder."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from neuroalign.errors import MissingDependencyError, NeuroalignError
from neuroalign.recordings.container import Recordings, RecordingsInfo
from neuroalign.recordings.continuous import UNITS, ContinuousReader
from neuroalign.recordings.quality import findings_table
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
from neuroalign.signals.eeg import EEG_DEFAULTS
from neuroalign.signals.meg import MEG_DEFAULTS
from neuroalign.signals.preprocessing import Preprocessing

logger = logging.getLogger(__name__)

_EXTENSIONS = {
    "eeg": [".vhdr", ".edf", ".bdf", ".set"],
    "meg": [".fif", ".ds", ".sqd", ".con", ".meg4"],
}
_LEAST_GAP_S = 5.0


@dataclass(frozen=True)
class _Source:
    run: Run
    path: Any


def prepare_bids(
    root: str | Path,
    out: str | Path,
    *,
    datatype: Literal["eeg", "meg"] = "eeg",
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
    test_runs: TestRule = "last",
    single_run: SingleRun = "split",
    min_run_trials: int = 10,
    min_trials: int = 50,
    features: Features = "epochs",
    label_column: str = "trial_type",
    stimulus_column: str = "stim_file",
    classes: Sequence[str] | None = None,
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
    datatype : {"eeg", "meg"}
    task : str, optional
        Only this task.
    subjects : sequence of str, optional
        Only these people ("01" or "sub-01").
    tmin, tmax, l_freq, h_freq, notch, resample, baseline, reject_uv : optional
        See `neuroalign.signals.preprocessing.Preprocessing`. None: the default of the datatype
        (`EEG_DEFAULTS`, `MEG_DEFAULTS`). A frequency, `resample` or `reject_uv` of 0, an empty
        `notch` or a `baseline` of "none" leave that step out.
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
    root, out = Path(root), Path(out)
    settings = _settings(datatype, tmin, tmax, l_freq, h_freq, notch, resample, baseline, reject_uv)
    sources = list(_find(root, datatype, task, subjects))
    reader = ContinuousReader(
        datatype, settings, label_column, stimulus_column, classes, min_run_trials
    )
    provisional = RecordingsInfo(modality=datatype, axes=("channels", "samples"), units="")
    with RecordingsWriter(out, provisional, overwrite=overwrite) as writer:
        folder = writer.scratch_folder()
        staged = [s for source in sources if (s := _stage(source, reader, folder))]
        reach = settings.reach(reader.sfreq) if staged else 0.0
        gap = max(_LEAST_GAP_S, 2 * reach + settings.tmax - settings.tmin)
        rules = SplitRules(test_runs, single_run, gap, min_trials)
        staged, few = assign_splits(staged, rules)
        labels = classes or sorted({x for s in staged for x in s.trials["label"].dropna()})
        staged, untrainable = drop_untrainable(staged, labels)
        info = reader.describe((*reader.dropped, *few, *untrainable), rules)
        write_staged(
            writer,
            staged,
            info.model_copy(update=_provenance(root)),
            features=features,
            findings=findings_table(reader.findings),
        )
    return Recordings(out)


def _settings(
    datatype: str,
    tmin: float | None,
    tmax: float | None,
    l_freq: float | None,
    h_freq: float | None,
    notch: Sequence[float] | None,
    resample: float | None,
    baseline: tuple[float | None, float | None] | Literal["none"] | None,
    reject_uv: float | None,
) -> Preprocessing:
    if datatype not in UNITS:
        raise NeuroalignError(f"`datatype` must be 'eeg' or 'meg', got {datatype!r}.")
    if datatype == "meg" and reject_uv:
        raise NeuroalignError("`reject_uv` is in microvolts, which MEG does not measure.")
    default = EEG_DEFAULTS if datatype == "eeg" else MEG_DEFAULTS
    numbers = {"l_freq": l_freq, "h_freq": h_freq, "resample": resample, "reject": reject_uv}
    changes: dict[str, Any] = {k: v or None for k, v in numbers.items() if v is not None}
    changes |= {k: v for k, v in (("tmin", tmin), ("tmax", tmax)) if v is not None}
    if notch is not None:
        changes["notch"] = tuple(notch)
    if baseline is not None:
        changes["baseline"] = None if baseline == "none" else tuple(baseline)
    return replace(default, **changes)


def _find(
    root: Path, datatype: str, task: str | None, subjects: Sequence[str] | None
) -> Iterator[_Source]:
    mne_bids = _mne_bids()
    if not root.is_dir():
        raise NeuroalignError(f"{root} is not a folder. Give the root of a BIDS dataset.")
    present = sorted(p.name.removeprefix("sub-") for p in root.glob("sub-*") if p.is_dir())
    wanted = None if subjects is None else [s.removeprefix("sub-") for s in subjects]
    unknown = sorted(set(wanted or ()) - set(present))
    if unknown:
        raise NeuroalignError(
            f"{root} has no subject(s) {', '.join(unknown)}; there are {', '.join(present[:20])}."
        )
    paths = mne_bids.find_matching_paths(
        root,
        subjects=wanted,
        tasks=task,
        datatypes=datatype,
        suffixes=datatype,
        extensions=_EXTENSIONS[datatype],
    )
    # Parts of a split FIF file are read with their first part.
    paths = sorted((p for p in paths if p.split in (None, "01", "1")), key=lambda p: str(p.fpath))
    if not paths:
        raise NeuroalignError(
            f"{root} holds no {datatype} recordings"
            f"{f' of the task {task!r}' if task else ''} (subjects: "
            f"{', '.join(present[:20]) or 'none'}; looked for "
            f"{', '.join(_EXTENSIONS[datatype])} in sub-*/[ses-*/]{datatype}/). "
            "Check the path, `datatype` and `task`."
        )
    for path in paths:
        yield _Source(Run(f"sub-{path.subject}", path.session, path.run), path)


def _stage(source: _Source, reader: ContinuousReader, folder: Path) -> StagedRun | None:
    logger.info("reading %s", source.run.name)
    events = _read_events(source)
    if events is None:
        reader.drop(source.run.name, 0, "there is no events.tsv beside it")
        return None
    return reader.stage(source.run, _read_raw(source), events, folder)


def _read_raw(source: _Source) -> Any:
    mne_bids = _mne_bids()
    try:
        with warnings.catch_warnings():
            # Gaps in the sidecar files (no landmarks, no line frequency) do not touch the signals.
            warnings.simplefilter("ignore", RuntimeWarning)
            raw = mne_bids.read_raw_bids(source.path, verbose="error")
            return raw.load_data(verbose="error")
    except NeuroalignError:
        raise
    except Exception as error:
        raise NeuroalignError(
            f"{source.path.fpath} cannot be read: {str(error).rstrip('.')}. Repair or copy "
            "the file again, or leave this person out (`subjects`)."
        ) from error


def _read_events(source: _Source) -> pd.DataFrame | None:
    path = source.path.copy().update(suffix="events", extension=".tsv", split=None).fpath
    if not Path(path).is_file():
        return None
    try:
        events = pd.read_csv(path, sep="\t", na_values=["n/a"])
        events["onset"] = pd.to_numeric(events["onset"])
    except (KeyError, ValueError, UnicodeDecodeError) as error:
        raise NeuroalignError(
            f"{path} is not a table with a numeric column `onset`: {error}. BIDS asks for one row "
            "per event with the onset in seconds."
        ) from error
    return events


def _provenance(root: Path) -> dict[str, str]:
    """Return name and licence of the dataset; the file is only recommended to be there."""
    try:
        content = json.loads((root / "dataset_description.json").read_text())
    except (OSError, ValueError):
        content = {}
    description = content if isinstance(content, dict) else {}
    return {
        "source": str(description.get("Name", root.name)),
        "licence": str(description.get("License", "")),
    }


def _mne_bids() -> Any:
    try:
        import mne_bids
    except ImportError as error:
        raise MissingDependencyError("mne-bids", "bids", "Reading BIDS folders") from error
    return mne_bids
