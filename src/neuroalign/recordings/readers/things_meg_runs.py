"""THINGS-MEG from the raw CTF recordings: one run in memory at a time, the paper's steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import mne
import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.continuous import UNITS, channels_of
from neuroalign.recordings.quality import Finding
from neuroalign.recordings.readers.contract import Part, Staged, Write
from neuroalign.recordings.readers.things_meg_continuous import (
    Stretch,
    clock_gaps,
    fill_stretches,
    flat_stretches,
    touched,
)
from neuroalign.recordings.readers.things_meg_onsets import Onsets, find_onsets
from neuroalign.recordings.readers.things_meg_settling import MegOptions
from neuroalign.recordings.readers.things_meg_trials import (
    PersonTrials,
    Published,
    read_trials,
)
from neuroalign.recordings.schema import Dropped
from neuroalign.signals.meg import MEG_DEFAULTS
from neuroalign.signals.preprocessing import Preprocessing, RunEpochs, preprocess_run

#: A sensor that was broken in all sessions; the data set's authors leave it out as well.
BROKEN_SENSOR = "MRO11"
_CHUNK_S = 60.0
_GROUP = 16  # channels that are filtered together: 16 x 417,600 float64 are 53 MB
_MOST_FILLED_S = 0.5


class RawOptions(MegOptions):
    """Options of the reader `things-meg-raw`; the defaults are the paper's steps."""

    onsets: Literal["sample", "trigger"] = Field(
        "sample", description="From events.tsv (optical sensor) or from the trigger channel."
    )
    tmin: float | None = Field(
        MEG_DEFAULTS.tmin, description="Start of a trial, seconds from the onset."
    )
    tmax: float | None = Field(
        MEG_DEFAULTS.tmax, description="End of a trial, seconds from the onset."
    )
    resample: float | None = Field(
        MEG_DEFAULTS.resample, gt=0, description="New samples per second."
    )
    l_freq: float | None = Field(None, description="High-pass in Hz (the authors' own: 0.1).")
    h_freq: float | None = Field(None, description="Low-pass in Hz (the authors' own: 40).")
    baseline: Literal["mean", "none"] = Field(
        "mean", description="mean: minus the mean from the trial's start to the onset."
    )


def stage_run(part: Part, options: RawOptions, published: Published, write: Write) -> Staged:
    """Read one run: check it, cut it into trials, leave out catch trials."""
    ds, source = part.files[0].parent, part.files[-1]
    whole = read_trials(read_table(source), part.subject, published)
    whole_run = _rows(whole, part.where["session"], part.where["run"])
    raw = _open(ds, part.name)
    onsets = find_onsets(raw, read_events(part.files[-2]), part.name, options.onsets)
    found = [*onsets.findings, *_header(raw, ds, part.name, published)]
    names = [n for n in _sensors(raw) if not n.startswith(BROKEN_SENSOR)]
    settings = settings_of(options)
    sfreq = float(raw.info["sfreq"])
    signals = _read(raw, names)
    frozen = flat_stretches(signals, sfreq)
    gaps = clock_gaps(raw)
    constant = [n for n, row in zip(names, signals, strict=True) if np.ptp(row) == 0]
    long = [s for s in frozen if s.seconds > _MOST_FILLED_S]
    short = [s for s in frozen if s.seconds <= _MOST_FILLED_S]
    fill_stretches(signals, short)
    table, dropped = _usable(whole_run, onsets, settings, gaps, long, part.name)
    found += _stretch_findings(short, long, gaps, table, settings, part.name)
    cut = _cut(signals, sfreq, table["onset_s"].to_numpy(np.float64), settings)
    for reason in dict.fromkeys(cut.reasons[~cut.kept].tolist()):
        lost = int((cut.reasons == reason).sum())
        dropped.append(Dropped(where=part.name, trials=lost, reason=str(reason)))
    write(cut.epochs)
    trials = table[cut.kept].assign(
        session=f"{part.where['session']:02d}", run=f"{part.where['run']:02d}"
    )
    broken = [n for n in _sensors(raw) if n.startswith(BROKEN_SENSOR)]
    return Staged(
        trials,
        facts={
            "channels": [c.model_dump() for c in channels_of(raw.pick(names, verbose="error"))],
            "constant": constant,
            "broken": broken,
            "sfreq": cut.sfreq,
            "tmin": round(settings.tmin * cut.sfreq) / cut.sfreq,
            "test_concepts": whole.test_concepts,
            "lag_ms": onsets.lag_ms,
            "catch": int((whole_run["trial_type"] == "catch").sum()),
        },
        dropped=tuple(dropped),
        findings=tuple(found),
    )


def settings_of(options: RawOptions) -> Preprocessing:
    """Return the paper's steps with what the user chose otherwise."""
    chosen = {
        key: value
        for key in ("tmin", "tmax", "resample", "l_freq", "h_freq")
        if (value := getattr(options, key)) is not None
    }
    settings = replace(MEG_DEFAULTS, **chosen)
    return replace(settings, baseline=None) if options.baseline == "none" else settings


def read_table(source: Path) -> pd.DataFrame:
    """Read the table of a person's trials.

    Raises
    ------
    NeuroalignError
        It is not there or no table.
    """
    if not source.is_file():
        raise NeuroalignError(
            f"sourcedata/{source.name} is not there; it says which picture each trial showed."
        )
    try:
        return pd.read_csv(source)
    except (ValueError, OSError) as error:
        raise NeuroalignError(
            f"{source.name} cannot be read ({error}). Download it again."
        ) from error


def read_events(path: Path) -> pd.DataFrame:
    """Read the `sample` and `value` of a run's events, as numbers; NaN where they are empty.

    Raises
    ------
    NeuroalignError
        The file is no table, lacks one of the two, or has something else than numbers there.
    """
    try:
        table = pd.read_csv(path, sep="\t", na_values=["n/a"])
    except (ValueError, OSError) as error:
        raise NeuroalignError(
            f"{path.name} cannot be read ({error}). Download it again."
        ) from error
    lacking = [c for c in ("sample", "value") if c not in table]
    if lacking:
        raise NeuroalignError(
            f"{path.name} lacks the column(s) {', '.join(lacking)}; it has "
            f"{', '.join(map(str, table.columns[:12]))}."
        )
    for column in ("sample", "value"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        garbled = int((numbers.isna() & table[column].notna()).sum())
        if garbled:
            raise NeuroalignError(
                f"{path.name}: {garbled} value(s) of `{column}` are no numbers (first: "
                f"{table.loc[numbers.isna() & table[column].notna(), column].iloc[0]!r})."
            )
        table[column] = numbers
    return table


def _rows(person: PersonTrials, session: int, run: int) -> pd.DataFrame:
    table = person.table
    return table[(table["session"] == session) & (table["run"] == run)].reset_index(drop=True)


def _open(ds: Path, where: str) -> Any:
    try:
        return mne.io.read_raw_ctf(ds, verbose="error")
    except Exception as error:  # MNE raises all kinds on damaged files
        raise NeuroalignError(
            f"{where}: {ds.name} cannot be read as a CTF recording ({type(error).__name__}: "
            f"{error}). It is incomplete or damaged: download the folder again."
        ) from error


def _header(raw: Any, ds: Path, where: str, published: Published) -> Iterator[Finding]:
    sfreq = float(raw.info["sfreq"])
    if sfreq != published.raw_sfreq:
        raise NeuroalignError(
            f"{where}: {ds.name} says that it was recorded at {sfreq:g} Hz, published "
            f"{published.raw_sfreq:g}. Onsets are counted in samples, so nothing would be where "
            "it belongs: the header is damaged or of another recording. Download it again."
        )
    stored = sum((p.stat().st_size - 8) // (4 * len(raw.ch_names)) for p in ds.glob("*meg4"))
    if stored > raw.n_times:
        what = (
            f"the recording's clock stops {(stored - raw.n_times) / sfreq:.1f} s before its end; "
            "what follows is not used"
        )
        yield Finding(where, what, "warning", stored - raw.n_times)


def _sensors(raw: Any) -> list[str]:
    kinds = raw.get_channel_types()
    return [n for n, kind in zip(raw.ch_names, kinds, strict=True) if kind == "mag"]


def _read(raw: Any, names: list[str]) -> npt.NDArray[np.float32]:
    """Return sensors x samples in fT, read in pieces so that float64 exists for one piece only."""
    if not names:
        raise NeuroalignError(
            f"{Path(raw.filenames[0]).parent.name} has no MEG sensors, so there is nothing to read."
        )
    signals = np.empty((len(names), raw.n_times), np.float32)
    size = max(1, round(_CHUNK_S * raw.info["sfreq"]))
    for start in range(0, raw.n_times, size):
        stop = min(start + size, raw.n_times)
        piece = raw.get_data(picks=names, start=start, stop=stop, verbose="error")
        piece *= UNITS["meg"][1]
        signals[:, start:stop] = piece
    return signals


def _cut(
    signals: npt.NDArray[np.float32],
    sfreq: float,
    onsets_s: npt.NDArray[np.float64],
    settings: Preprocessing,
) -> RunEpochs:
    """Filter, resample and cut a few sensors at a time: filters work in float64."""
    groups = [
        preprocess_run(signals[start : start + _GROUP], sfreq, onsets_s, settings, unit="fT")
        for start in range(0, len(signals), _GROUP)
    ]
    return replace(groups[0], epochs=np.concatenate([g.epochs for g in groups], axis=1))


def _usable(
    table: pd.DataFrame,
    onsets: Onsets,
    settings: Preprocessing,
    gaps: list[Stretch],
    long: list[Stretch],
    where: str,
) -> tuple[pd.DataFrame, list[Dropped]]:
    """Return picture trials that have an onset and lie in whole signals, and what was left out."""
    table = table.assign(
        onset_s=onsets.chosen, sensor_onset_s=onsets.sensor, trigger_onset_s=onsets.trigger
    )
    dropped: list[Dropped] = []
    catch = (table["trial_type"] == "catch").to_numpy()
    timeless = ~np.isfinite(onsets.chosen)
    lost = int((timeless & ~catch).sum())
    if lost:
        dropped.append(Dropped(where=where, trials=lost, reason="picture without an onset"))
    table = table[~catch & ~timeless].reset_index(drop=True)
    for stretches, reason in (
        (gaps, "a gap in the recording's clock lies inside the trial"),
        (long, "the signals stand still for more than 0.5 s in the trial"),
    ):
        hit = touched(table["onset_s"].to_numpy(np.float64), stretches, settings)
        if hit.any():
            dropped.append(Dropped(where=where, trials=int(hit.sum()), reason=reason))
        table = table[~hit].reset_index(drop=True)
    return table, dropped


def _stretch_findings(
    short: list[Stretch],
    long: list[Stretch],
    gaps: list[Stretch],
    table: pd.DataFrame,
    settings: Preprocessing,
    where: str,
) -> Iterator[Finding]:
    for stretch in short:
        hit = int(touched(table["onset_s"].to_numpy(np.float64), [stretch], settings).sum())
        what = (
            f"dropout: all sensors stand still for {stretch.seconds:.3f} s at {stretch.start:.3f} "
            f"s; filled with each sensor's median over the run, {hit} trial(s) touch it"
        )
        yield Finding(where, what, "warning", hit)
    for stretch in long:
        what = f"all sensors stand still for {stretch.seconds:.1f} s at {stretch.start:.3f} s"
        yield Finding(where, what, "warning", 1)
    for gap in gaps:
        what = f"gap in the recording's clock of {gap.seconds:.3f} s at {gap.start:.3f} s"
        yield Finding(where, what, "warning", 1)
