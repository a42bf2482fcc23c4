"""Ways to damage a laboratory's own BIDS folder, and what has to come of each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from miniatures.damage import Damage
from miniatures.own_bids import CHANNELS, SFREQ, file_of, plant, write_own_bids, write_run
from neuroalign.recordings.readers.bids import BidsReader

READER = BidsReader()
OPTIONS: dict[str, Any] = {"min_trials": 20, "l_freq": 0.0, "h_freq": 0.0}
#: The run that most damages are done to.
SUBJECT, RUN = "02", "01"
NAME = "sub-02_ses-01_run-01"


def write(folder: Path) -> None:
    """Make the miniature: one run of one person, two of the other."""
    write_own_bids(folder, people=("01",), runs=("01",))
    write_own_bids(folder, people=("02",))


def _signals(change: Callable[[np.ndarray], np.ndarray | None]) -> Callable[[Path], None]:
    """Change the signals of the run in place, or for those that are returned; in volts."""

    def apply(folder: Path) -> None:
        own = plant(SUBJECT, RUN)
        signals = own.signals.copy()
        changed = change(signals)
        write_run(folder, SUBJECT, RUN, signals if changed is None else changed, own.events)

    return apply


def _events(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = file_of(folder, SUBJECT, RUN, "events.tsv")
        table = change(pd.read_csv(path, sep="\t"))
        table.to_csv(path, sep="\t", index=False, na_rep="n/a")

    return apply


def _file(end: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: file_of(folder, SUBJECT, RUN, end).write_bytes(content)


def _text(end: str, old: str, new: str) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        path = file_of(folder, SUBJECT, RUN, end)
        text = path.read_text()
        assert old in text, (end, text)
        path.write_text(text.replace(old, new))

    return apply


def _remove(end: str) -> Callable[[Path], object]:
    return lambda folder: file_of(folder, SUBJECT, RUN, end).unlink()


def _cut_short(folder: Path) -> None:
    path = file_of(folder, SUBJECT, RUN, "eeg.eeg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _folder_instead(folder: Path) -> None:
    path = file_of(folder, SUBJECT, RUN, "events.tsv")
    path.unlink()
    path.mkdir()


def _sidecar(**changes: object) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = file_of(folder, SUBJECT, RUN, "eeg.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return apply


def _copied(folder: Path) -> None:
    for end in ("eeg.eeg", "events.tsv"):
        shutil.copy(file_of(folder, "01", "01", end), file_of(folder, SUBJECT, RUN, end))


def _copied_from(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Write somebody else's signals, changed, in place of the run's own."""

    def apply(folder: Path) -> None:
        events = plant(SUBJECT, RUN).events
        write_run(folder, SUBJECT, RUN, change(plant("01", "01").signals), events)

    return apply


def _events_of_another(folder: Path) -> None:
    shutil.copy(
        file_of(folder, "01", "01", "events.tsv"), file_of(folder, SUBJECT, RUN, "events.tsv")
    )


def _other_rate(folder: Path) -> None:
    own = plant(SUBJECT, RUN)
    signals = (
        np.repeat(own.signals, 2, axis=1)
        + np.random.default_rng(3).normal(size=(len(CHANNELS), 2 * own.signals.shape[1])) * 1e-6
    )
    write_run(folder, SUBJECT, RUN, signals, own.events, sfreq=2 * SFREQ)


def _other_channel(folder: Path) -> None:
    own = plant(SUBJECT, RUN)
    write_run(folder, SUBJECT, RUN, own.signals, own.events, channels=("Fz", "Cz", "Pz", "FCz"))


def _further_channel(folder: Path) -> None:
    own = plant(SUBJECT, RUN)
    extra = np.random.default_rng(5).normal(size=(1, own.signals.shape[1])) * 4e-6
    signals = np.concatenate([own.signals, extra])
    write_run(folder, SUBJECT, RUN, signals, own.events, channels=(*CHANNELS, "P1"))


def _no_run(folder: Path) -> None:
    for path in file_of(folder, SUBJECT, RUN, "eeg.vhdr").parent.glob(f"*run-{RUN}*"):
        path.unlink()


def _table(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        table = pd.read_csv(folder / name, sep="\t", dtype=str, keep_default_na=False)
        change(table).to_csv(folder / name, sep="\t", index=False)

    return apply


def _at(row: int | slice, column: int | slice, value: Any) -> Callable[[np.ndarray], None]:
    return lambda signals: signals.__setitem__((row, column), value)


def _railed(signals: np.ndarray) -> None:
    signals[3, 2000:2400] = 1e-3
    signals[1, 3000] = 1e-3


def _frozen(signals: np.ndarray) -> None:
    signals[:, 1000:1250] = signals[:, [1000]]


def _written_again(signals: np.ndarray) -> None:
    signals[:, 4000:4400] = signals[:, 1000:1400]


def _humming(signals: np.ndarray) -> None:
    signals[0, 1500:] += 1.0


def _latin(folder: Path) -> None:
    path = file_of(folder, SUBJECT, RUN, "events.tsv")
    path.write_bytes(path.read_bytes().replace(b"house", "Häuser".encode("latin-1")))


CHANNELS_TSV = "sub-02/ses-01/eeg/sub-02_ses-01_task-see_run-01_channels.tsv"
SCANS = "sub-02/ses-01/sub-02_ses-01_scans.tsv"

DAMAGES = (
    Damage("a header of rubbish", _file("eeg.vhdr", b"\x00\x01junk"), "refused",
           ("run-01_eeg.vhdr cannot be read",)),
    Damage("an empty header", _file("eeg.vhdr", b""), "refused", ("eeg.vhdr is empty", NAME)),
    Damage("no data file", _remove("eeg.eeg"), "refused", ("eeg.eeg, which is not there",)),
    Damage("an empty data file", _file("eeg.eeg", b""), "refused", ("eeg.eeg is empty",)),
    Damage("more channels announced than described",
           _text("eeg.vhdr", "NumberOfChannels=4", "NumberOfChannels=9"), "refused",
           ("eeg.vhdr cannot be read",)),
    Damage("a data file cut short", _cut_short, "reported",
           (NAME, "RecordingDuration says 62.99: cut short?", "ends after the recording")),
    Damage("samples of another type",
           _text("eeg.vhdr", "IEEE_FLOAT_32", "INT_16"), "reported", (NAME, "RecordingDuration")),
    Damage("events without onsets",
           _events(lambda t: t.rename(columns={"onset": "time"})), "refused",
           ("run-01_events.tsv is not a table with a numeric column `onset`",)),
    Damage("onsets that are no numbers", _events(lambda t: t.assign(onset="soon")), "refused",
           ("numeric column `onset`",)),
    Damage("an empty table of events", _file("events.tsv", b""), "refused",
           ("events.tsv is empty",)),
    Damage("a binary table of events", _file("events.tsv", bytes(range(256)) * 8), "refused",
           ("numeric column `onset`",)),
    Damage("events in another encoding", _latin, "refused", ("events.tsv is not a table",)),
    Damage("neither classes nor pictures",
           _events(lambda t: t[["onset", "duration"]]), "refused",
           ("neither the column 'trial_type' nor 'stim_file', only onset, duration",)),
    Damage("no table of events", _remove("events.tsv"), "reported",
           (NAME, "there is no sub-02_ses-01_task-see_run-01_events.tsv beside it")),
    Damage("a folder in place of the events", _folder_instead, "reported",
           (NAME, "there is no events.tsv beside it")),
    Damage("a sidecar of rubbish", _file("eeg.json", b"{half"), "refused",
           ("eeg.json is not a JSON object",)),
    Damage("a sidecar with another rate", _sidecar(SamplingFrequency=250.0), "reported",
           ("100 Hz are in the file, but its sidecar's SamplingFrequency says 250",)),
    Damage("a sidecar with other channels", _sidecar(EEGChannelCount=64), "reported",
           ("4 EEG channels are in the file, but its sidecar says 64",)),
    Damage("another sampling rate", _other_rate, "refused",
           ("run-01 was recorded at 200 Hz, earlier runs at 100 Hz",)),
    Damage("a channel of another name", _other_channel, "reported",
           (NAME, "lacks the channel(s) Oz")),
    Damage("a recording under two names", _copied, "reported",
           (NAME, "the same signal as sub-01_ses-01_run-01 (100% of it)", "duplicate")),
    Damage("a copy that begins later", _copied_from(lambda x: x[:, 777:]), "reported",
           (NAME, "the same signal as sub-01_ses-01_run-01")),
    Damage("a copy in another unit", _copied_from(lambda x: x * 1.7), "reported",
           (NAME, "the same signal as sub-01_ses-01_run-01, in another scale", "duplicate")),
    Damage("a copy with another reference", _copied_from(lambda x: x - x[[0]] * 0.5), "reported",
           (NAME, "the same signal as sub-01_ses-01_run-01, in another scale")),
    Damage("a copy with the sign turned", _copied_from(lambda x: -x[:, 500:]), "reported",
           (NAME, "the same signal as sub-01_ses-01_run-01, in another scale")),
    Damage("events of another run", _events_of_another, "reported",
           (NAME, "the same events as sub-01_ses-01_run-01, to the millisecond")),
    Damage("a flat channel", _signals(_at(2, slice(None), 3e-6)), "reported",
           (f"{NAME} Pz", "flat: the signal never changes", "1 of 4 channels unusable")),
    Damage("not a number", _signals(_at(1, slice(40, 45), np.nan)), "reported",
           (f"{NAME} Cz", "NaN", "channels unusable")),
    Damage("a channel at the amplifier's limit", _signals(_railed), "reported",
           (f"{NAME} Oz", "at the amplifier's limit (6.3%)", "unusable")),
    Damage("a recording that stands still", _signals(_frozen), "reported",
           (NAME, "in a row repeat on all channels")),
    Damage("a buffer written twice", _signals(_written_again), "reported",
           (NAME, "come twice within the recording")),
    Damage("two channels with one signal",
           _signals(lambda x: x.__setitem__(3, 2 * x[0])), "reported",
           ("Fz and Oz carry the same signal",)),
    Damage("millivolts for microvolts", _signals(lambda x: x * 1e3), "reported",
           (NAME, "another unit than the file says?", "peak to peak above 100 µV")),
    Damage("a channel marked as bad",
           _table(CHANNELS_TSV, lambda t: t.assign(
               status=t["status"].where(t["name"] != "Cz", "bad"))), "reported",
           (f"{NAME} Cz", "marked as bad", "1 of 4 channels unusable")),
    Damage("onsets in samples", _events(lambda t: t.assign(onset=t["sample"].astype(float))),
           "reported", (NAME, "samples or milliseconds?")),
    Damage("onsets from before the recording", _events(lambda t: t.assign(onset=t["onset"] - 9)),
           "reported", (NAME, "before the first sample", "another moment than their `onset`")),
    Damage("shuffled rows", _events(lambda t: t.sample(frac=1, random_state=1)), "reported",
           (NAME, "event(s) out of order")),
    Damage("every event twice",
           _events(lambda t: t.loc[t.index.repeat(2)]), "reported", (NAME, "twice the same?")),
    Damage("onsets missing",
           _events(lambda t: t.assign(onset=t["onset"].where(t.index % 4 != 0))), "reported",
           (NAME, "event(s) without an onset")),
    Damage("events without a picture or class",
           _events(lambda t: t.assign(trial_type=None, stim_file=t["stim_file"].where(t.index > 9)
                                      )), "reported", (NAME, "neither class nor picture")),
    Damage("responses among the pictures",
           _events(lambda t: t.assign(
               trial_type=t["trial_type"].where(t.index % 5 > 0, "response"),
               stim_file=t["stim_file"].where(t.index % 5 > 0))), "reported",
           (NAME, "with a class (response) but no picture, though others have one")),
    Damage("nearly no events", _events(lambda t: t.head(4)), "reported",
           (NAME, "nearly empty: 4 event(s)")),
    Damage("one class only", _events(lambda t: t.assign(trial_type="face")), "reported",
           (NAME, "only one class of event: face")),
    Damage("a code that means two things",
           _events(lambda t: t.assign(value=t["value"] % 3)), "reported",
           (NAME, "stand for several classes")),
    Damage("durations below zero", _events(lambda t: t.assign(duration=-1.0)), "refused",
           (NAME, "negative duration in sub-02_ses-01_task-see_run-01_events.tsv")),
    Damage("events without durations", _events(lambda t: t.drop(columns="duration")), "refused",
           ("run-01_events.tsv has no column `duration`",)),
    Damage("an onset at no time", _events(lambda t: t.replace({"onset": {t["onset"][0]: np.inf}})),
           "refused", (NAME, "infinite onset(s)")),
    Damage("a run that is gone", _no_run, "reported",
           ("run-01_eeg.vhdr stands in sub-02_ses-01_scans.tsv but is not there",
            "run-01 missing before run-02")),
    Damage("a person without recordings",
           lambda folder: [p.unlink() for p in folder.glob("sub-02/ses-01/eeg/*")], "reported",
           ("sub-02", "has a folder but no recording that was asked for")),
    Damage("a person who is gone", lambda folder: shutil.rmtree(folder / "sub-02"), "reported",
           ("sub-02", "stands in participants.tsv but has no folder")),
    Damage("a person who is not listed",
           _table("participants.tsv", lambda t: t[t["participant_id"] != "sub-02"]), "reported",
           ("sub-02", "has a folder but no row in participants.tsv")),
    Damage("a table of people without names",
           lambda folder: (folder / "participants.tsv").write_text("age\n31\n"), "refused",
           ("participants.tsv is not a table with a column participant_id",)),
    Damage("runs in another order than recorded",
           _table(SCANS, lambda t: t.assign(
               acq_time=["2026-03-02T11:00:00", "2026-03-02T10:00:00"])), "reported",
           ("sub-02_ses-01_run-02", "recorded before sub-02_ses-01_run-01")),
    Damage("a damaged description",
           lambda folder: (folder / "dataset_description.json").write_text("{"), "reported",
           ("dataset_description.json is damaged",)),
    Damage("no recordings at all",
           lambda folder: [p.unlink() for p in folder.rglob("*_eeg.vhdr")], "refused",
           ("holds no eeg or meg recordings",)),
)  # fmt: skip
