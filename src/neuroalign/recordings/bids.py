"""Read EEG and MEG in the BIDS layout, run by run, into a recordings folder."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import MissingDependencyError, NeuroalignError
from neuroalign.recordings.container import Channel, Dropped, Recordings, RecordingsInfo
from neuroalign.recordings.quality import (
    Finding,
    Fingerprints,
    findings_table,
    inspect_recording,
)
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
from neuroalign.signals import steps
from neuroalign.signals.eeg import EEG_DEFAULTS
from neuroalign.signals.meg import MEG_DEFAULTS
from neuroalign.signals.preprocessing import Preprocessing, preprocess_run

logger = logging.getLogger(__name__)

_EXTENSIONS = {
    "eeg": [".vhdr", ".edf", ".bdf", ".set"],
    "meg": [".fif", ".ds", ".sqd", ".con", ".meg4"],
}
#: Preprocessed numbers are kept in units of about 1: volts and teslas would underflow float16.
_UNITS = {"eeg": ("µV", 1e6), "meg": ("fT", 1e15)}
_MOST_INTERPOLATED = 0.1


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
    reader = _Reader(datatype, settings, label_column, stimulus_column, classes, min_run_trials)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.staging-", dir=out.parent) as folder:
        staged = [s for source in sources if (s := reader.stage(source, Path(folder))) is not None]
        gap = max(5.0, 2 * settings.reach(reader.sfreq) + settings.tmax - settings.tmin)
        rules = SplitRules(test_runs, single_run, gap, min_trials)
        staged, few = assign_splits(staged, rules)
        labels = classes or sorted({x for s in staged for x in s.trials["label"].dropna()})
        staged, untrainable = drop_untrainable(staged, labels)
        dropped = (*reader.dropped, *few, *untrainable)
        info = reader.describe(root, dropped, rules)
        return write_staged(
            staged,
            info,
            out,
            features=features,
            findings=findings_table(reader.findings),
            overwrite=overwrite,
        )


class _Reader:
    """Reads runs one after the other, and remembers what must agree between them."""

    def __init__(
        self,
        datatype: Literal["eeg", "meg"],
        settings: Preprocessing,
        label_column: str,
        stimulus_column: str,
        classes: Sequence[str] | None,
        min_trials: int,
    ) -> None:
        self.datatype, self.settings = datatype, settings
        self.columns = {"label": label_column, "stimulus": stimulus_column}
        self.classes, self.min_trials = classes, min_trials
        self.channels: tuple[Channel, ...] = ()
        self.sfreq = 0.0
        self.dropped: list[Dropped] = []
        self.findings: list[Finding] = []
        self._interpolated = 0
        self._fingerprints = Fingerprints()

    def stage(self, source: _Source, folder: Path) -> StagedRun | None:
        name = source.run.name
        logger.info("reading %s", name)
        raw, events = _read_raw(source), _read_events(source)
        if events is None:
            return self._drop(name, 0, "there is no events.tsv beside it")
        self.findings += (found := inspect_recording(raw, events, name))
        data = raw.copy().pick(self.datatype, exclude=()).get_data()
        copy = self._fingerprints.add(name, data)
        if copy is not None:
            what = f"the same signal as {copy[0]} ({copy[1]:.0%} of it)"
            self.findings.append(Finding(name, what, "error", len(events)))
            return self._drop(name, len(events), f"duplicate: {what}; the first is kept")
        trials = self._select(events, name)
        if len(trials) < self.min_trials:
            reason = f"nearly empty: {len(trials)} trial(s), fewer than {self.min_trials}"
            return self._drop(name, len(trials), reason)
        raw.pick(self.datatype, exclude=())
        if (reason := self._mend(raw, found, name)) or (reason := self._agree(raw, name)):
            return self._drop(name, len(trials), reason)
        return self._cut(source.run, raw, trials, folder)

    def describe(self, root: Path, dropped: Sequence[Dropped], rules: SplitRules) -> RecordingsInfo:
        """Return what is known before the epochs are standardised."""
        description = _read_json(root / "dataset_description.json")
        unit = _UNITS[self.datatype][0]
        done = list(self.settings.steps(unit))
        if self._interpolated:
            done.insert(
                0, steps.record("interpolate bad channels", by=("mne",), runs=self._interpolated)
            )
        rule = rules.test_runs
        done.append(
            steps.record(
                "split",
                by=(),
                test_runs=rule if rule is None or isinstance(rule, (str, float)) else list(rule),
                single_run=rules.single_run,
                gap_s=round(rules.gap_s, 3),
                min_trials=rules.min_trials,
            )
        )
        return RecordingsInfo(
            modality=self.datatype,
            axes=("channels", "samples"),
            units=unit,
            sfreq=self.settings.rate(self.sfreq),
            tmin=self.settings.tmin,
            channels=self.channels,
            steps=tuple(done),
            dropped=tuple(dropped),
            source=str(description.get("Name", root.name)),
            licence=str(description.get("License", "")),
        )

    def _drop(self, where: str, trials: int, reason: str) -> None:
        self.dropped.append(Dropped(where=where, trials=trials, reason=reason))

    def _select(self, events: pd.DataFrame, name: str) -> pd.DataFrame:
        """Keep the events that are trials; those without a known class or picture are listed."""
        if not any(column in events for column in self.columns.values()):
            raise NeuroalignError(
                f"{name}: events.tsv has neither the column {self.columns['label']!r} nor "
                f"{self.columns['stimulus']!r}, only {', '.join(events.columns)}. Say which "
                "columns hold the class and the picture (`label_column`, `stimulus_column`)."
            )
        trials = pd.DataFrame(
            {
                key: events[column].astype("string")
                if column in events
                else pd.Series(pd.NA, index=events.index, dtype="string")
                for key, column in self.columns.items()
            }
        ).assign(onset_s=events["onset"])
        unlabelled = trials["label"].isna() & trials["stimulus"].isna()
        unwanted = (
            ~unlabelled & ~trials["label"].isin(list(self.classes))
            if self.classes is not None
            else ~unlabelled & False
        )
        timeless = ~np.isfinite(trials["onset_s"]) & ~unlabelled & ~unwanted
        for mask, reason in (
            (unlabelled, "event(s) with neither class nor picture"),
            (unwanted, f"not of the classes {', '.join(self.classes or ())}"),
            (timeless, "event(s) without an onset"),
        ):
            if mask.any():
                self._drop(name, int(mask.sum()), reason)
        return trials[~(unlabelled | unwanted | timeless)].reset_index(drop=True)

    def _mend(self, raw: Any, found: Sequence[Finding], name: str) -> str:
        """Interpolate a few unusable channels; return why the run cannot be used otherwise."""
        bad = [f for f in found if f.severity == "error" and f.channel in raw.ch_names]
        names = list(dict.fromkeys(str(f.channel) for f in bad))
        if not names:
            return ""
        placed = all(
            np.isfinite(c["loc"][:3]).all() and c["loc"][:3].any() for c in raw.info["chs"]
        )
        if len(names) > _MOST_INTERPOLATED * len(raw.ch_names) or not placed:
            return (
                f"{len(names)} of {len(raw.ch_names)} channels unusable ("
                + "; ".join(f"{f.channel}: {f.count} {f.what}" for f in bad[:4])
                + ")"
            )
        raw.info["bads"] = names
        raw.interpolate_bads(reset_bads=True, verbose="error")
        self._interpolated += 1
        self.findings.append(
            Finding(name, f"interpolated: {', '.join(names)}", "warning", len(names))
        )
        return ""

    def _agree(self, raw: Any, name: str) -> str:
        """Bring the channels into the order of the first run; say what does not fit it."""
        sfreq = float(raw.info["sfreq"])
        if not self.channels:
            self.channels, self.sfreq = _channels(raw), sfreq
        names = [c.name for c in self.channels]
        lacking = [n for n in names if n not in raw.ch_names]
        if lacking:
            return f"lacks the channel(s) {', '.join(lacking)} that earlier runs have"
        extra = [n for n in raw.ch_names if n not in names]
        if extra:
            self.findings.append(
                Finding(name, f"further channels left out: {', '.join(extra)}", "note", len(extra))
            )
        raw.pick(names, exclude=())
        if self.settings.resample is None and sfreq != self.sfreq:
            raise NeuroalignError(
                f"{name} was recorded at {sfreq:g} Hz, earlier runs at {self.sfreq:g} Hz. Give "
                "`resample`, a rate to bring all of them to."
            )
        reach = self.settings.reach(sfreq)
        if raw.n_times / sfreq <= 2 * reach:
            return f"{raw.n_times / sfreq:.1f} s are shorter than the filter ({2 * reach:.1f} s)"
        return ""

    def _cut(self, run: Run, raw: Any, trials: pd.DataFrame, folder: Path) -> StagedRun | None:
        unit, factor = _UNITS[self.datatype]
        cut = preprocess_run(
            raw.get_data() * factor,
            float(raw.info["sfreq"]),
            trials["onset_s"].to_numpy(np.float64),
            self.settings,
            channel_names=tuple(raw.ch_names),
            unit=unit,
        )
        for reason in dict.fromkeys(cut.reasons[~cut.kept].tolist()):
            mask = cut.reasons == reason
            self._drop(run.name, int(mask.sum()), f"{reason}{_onsets(trials, mask)}")
        kept = trials[cut.kept].reset_index(drop=True)
        if len(kept) < self.min_trials:
            reason = f"{len(kept)} trial(s) left after rejection, fewer than {self.min_trials}"
            return self._drop(run.name, len(kept), reason)
        path = folder / f"{run.name}.npy"
        np.save(path, cut.epochs)
        table = kept.assign(session=run.session, run=run.run, staged_row=np.arange(len(kept)))
        return StagedRun(run, path, table)


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
    if datatype not in _UNITS:
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
            f"{source.path.fpath} cannot be read: {error} Repair or copy the file again, or leave "
            "this person out (`subjects`)."
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


def _channels(raw: Any) -> tuple[Channel, ...]:
    kinds = raw.get_channel_types()
    places = [np.asarray(c["loc"][:3], float) for c in raw.info["chs"]]
    return tuple(
        Channel(name=name, type=kind, position=_position(place))
        for name, kind, place in zip(raw.ch_names, kinds, places, strict=True)
    )


def _position(place: npt.NDArray[np.float64]) -> tuple[float, float, float] | None:
    if not np.isfinite(place).all() or not place.any():
        return None
    return float(place[0]), float(place[1]), float(place[2])


def _onsets(trials: pd.DataFrame, mask: npt.NDArray[np.bool_]) -> str:
    onsets = trials.loc[mask, "onset_s"]
    listed = ", ".join(f"{s:.3f}" for s in onsets[:6])
    return f" (onset at {listed}{', ...' if len(onsets) > 6 else ''} s)"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _mne_bids() -> Any:
    try:
        import mne_bids
    except ImportError as error:
        raise MissingDependencyError("mne-bids", "bids", "Reading BIDS folders") from error
    return mne_bids
