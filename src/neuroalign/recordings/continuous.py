"""Continuous EEG and MEG, run by run: inspect, mend, cut into epochs, note what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import mne
import numpy as np
import numpy.typing as npt
import pandas as pd

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.container import Channel, Dropped, RecordingsInfo
from neuroalign.recordings.quality import Finding, Fingerprints, inspect_recording
from neuroalign.recordings.splits import Run
from neuroalign.recordings.staging import SplitRules, StagedRun
from neuroalign.signals import steps
from neuroalign.signals.preprocessing import Preprocessing, preprocess_run

#: Preprocessed numbers are kept in units of about 1: volts and teslas would underflow float16.
UNITS = {"eeg": ("µV", 1e6), "meg": ("fT", 1e15)}
_MOST_INTERPOLATED = 0.1


class ContinuousReader:
    """Cuts runs into epochs one after the other, and remembers what must agree between them.

    Parameters
    ----------
    datatype : {"eeg", "meg"}
    settings : Preprocessing
    label_column, stimulus_column : str
        Columns of the events that hold the class and the picture; either may be absent.
    classes : sequence of str or None
        Keep only events of these classes.
    min_trials : int
        Runs with fewer usable trials are left out.

    Attributes
    ----------
    dropped : list of Dropped
    findings : list of Finding
    channels : tuple of Channel
        Of the first usable run; the others are brought into their order.
    sfreq : float
        Samples per second of the first usable run.
    """

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

    def stage(self, run: Run, raw: Any, events: pd.DataFrame, folder: Path) -> StagedRun | None:
        """Inspect one recording and leave its epochs in `folder`; None if it cannot be used.

        Parameters
        ----------
        run : Run
        raw : mne.io.BaseRaw
            Loaded; changed in place.
        events : pandas.DataFrame
            A column `onset` in seconds from the first sample, and the class or the picture.
        folder : Path

        Raises
        ------
        NeuroalignError
            The events have neither column, or sampling rates differ between runs.
        """
        name = run.name
        self.findings += (found := inspect_recording(raw, events, name))
        data = raw.copy().pick(self.datatype, exclude=()).get_data()
        copy = self._fingerprints.add(name, data)
        if copy is not None:
            what = f"the same signal as {copy[0]} ({copy[1]:.0%} of it)"
            self.findings.append(Finding(name, what, "error", len(events)))
            self.drop(name, len(events), f"duplicate: {what}; the first is kept")
            return None
        trials = self._select(events, name)
        if len(trials) < self.min_trials:
            reason = f"nearly empty: {len(trials)} trial(s), fewer than {self.min_trials}"
            self.drop(name, len(trials), reason)
            return None
        raw.pick(self.datatype, exclude=())
        if (reason := self._mend(raw, found, name)) or (reason := self._agree(raw, name)):
            self.drop(name, len(trials), reason)
            return None
        return self._cut(run, raw, trials, folder)

    def describe(self, dropped: Sequence[Dropped], rules: SplitRules) -> RecordingsInfo:
        """Return what is known before the epochs are standardised."""
        unit = UNITS[self.datatype][0]
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
        )

    def drop(self, where: str, trials: int, reason: str) -> None:
        """Note that something was left out."""
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
                self.drop(name, int(mask.sum()), reason)
        kept: pd.DataFrame = trials[~(unlabelled | unwanted | timeless)].reset_index(drop=True)
        return kept

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
            self.channels, self.sfreq = channels_of(raw), sfreq
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
        unit, factor = UNITS[self.datatype]
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
            self.drop(run.name, int(mask.sum()), f"{reason}{_onsets(trials, mask)}")
        kept = trials[cut.kept].reset_index(drop=True)
        if len(kept) < self.min_trials:
            reason = f"{len(kept)} trial(s) left after rejection, fewer than {self.min_trials}"
            self.drop(run.name, len(kept), reason)
            return None
        path = folder / f"{run.name}.npy"
        np.save(path, cut.epochs)
        table = kept.assign(session=run.session, run=run.run, staged_row=np.arange(len(kept)))
        return StagedRun(run, path, table)


def channels_of(raw: Any) -> tuple[Channel, ...]:
    """Return the names, types and positions (head frame) of the channels of an MNE object."""
    kinds = raw.get_channel_types()
    to_head = raw.info["dev_head_t"]
    places = []
    for channel, kind in zip(raw.info["chs"], kinds, strict=True):
        place = np.asarray(channel["loc"][:3], float)
        # MEG sensors are stored in the frame of the device.
        if kind in ("mag", "grad") and to_head is not None and _position(place) is not None:
            place = mne.transforms.apply_trans(to_head, place)
        places.append(place)
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
