"""Oddities planted in a recording are found; a clean one gives no findings."""

from __future__ import annotations

import mne
import numpy as np
import pandas as pd
import pytest

from neuroalign.recordings.copies import Fingerprints, MarkMaker
from neuroalign.recordings.inspection import inspect_recording
from neuroalign.recordings.quality import Finding, findings_table

SFREQ = 100.0
NAMES = ["Fz", "Cz", "Pz", "Oz"]


def signals(seconds: float = 120.0, seed: int = 0) -> np.ndarray:
    """Return four channels of coloured noise of some 10 microvolts, in volts."""
    white = np.random.default_rng(seed).normal(size=(4, int(seconds * SFREQ) + 50))
    smooth = np.stack([np.convolve(row, np.ones(8) / 8, "valid") for row in white])
    return smooth[:, : int(seconds * SFREQ)] * 30e-6


def raw_of(data: np.ndarray) -> mne.io.RawArray:
    return mne.io.RawArray(data, mne.create_info(NAMES, SFREQ, "eeg"), verbose="error")


def events(onsets: np.ndarray | None = None) -> pd.DataFrame:
    times = np.arange(1.0, 118.0, 0.7) if onsets is None else onsets
    shuffled = np.random.default_rng(0).permutation(len(times))
    kinds = np.where(shuffled % 2, "face", "house")
    return pd.DataFrame({"onset": times, "trial_type": kinds})


def inspect(data: np.ndarray, table: pd.DataFrame | None = None) -> list[Finding]:
    return inspect_recording(raw_of(data), events() if table is None else table, "run")


def found(findings: list[Finding], text: str) -> Finding:
    matches = [f for f in findings if text in f.what]
    assert len(matches) == 1, findings
    return matches[0]


def test_a_clean_recording_has_no_findings() -> None:
    assert inspect(signals()) == []


def test_a_flat_channel() -> None:
    data = signals()
    data[2] = 4e-6
    finding = found(inspect(data), "never changes")
    assert (finding.channel, finding.severity, finding.where) == ("Pz", "error", "run Pz")


def test_a_stretch_without_change() -> None:
    data = signals()
    data[1, 500:800] = data[1, 500]
    finding = found(inspect(data), "in a row are flat")
    assert finding.channel == "Cz" and finding.count == 299


def test_all_channels_standing_still_together() -> None:
    data = signals()
    data[:, 500:520] = data[:, [500]]
    assert found(inspect(data), "repeat on all channels").count == 19


def test_short_visits_to_the_limit_are_a_warning_and_long_ones_an_error() -> None:
    data = signals()
    data[0, 1000:1003] = data[1, 5000:5002] = -1e-3
    few = [f for f in inspect(data) if "limit" in f.what]
    assert [(f.channel, f.count, f.severity) for f in few] == [
        ("Fz", 3, "warning"),
        ("Cz", 2, "warning"),
    ]
    data[3, 2000:6000] = 1e-3
    data[0, 3000:3002] = 1e-3
    worst = next(f for f in inspect(data) if f.channel == "Oz" and "limit" in f.what)
    assert (worst.severity, worst.count) == ("error", 4000)


def test_not_a_number() -> None:
    data = signals()
    data[3, 40:45] = np.nan
    finding = found(inspect(data), "NaN")
    assert (finding.channel, finding.count, finding.severity) == ("Oz", 5, "error")


def test_a_huge_offset() -> None:
    data = signals()
    data[1] += 0.2
    assert found(inspect(data), "offset").channel == "Cz"


def test_artefacts_are_counted_in_seconds() -> None:
    data = signals()
    for second in (10, 50, 51):
        data[2, int((second + 0.5) * SFREQ)] += 2e-3 + second * 1e-6
    finding = found(inspect(data), "artefacts")
    assert (finding.channel, finding.count) == ("Pz", 3)


def test_bridged_channels() -> None:
    data = signals()
    data[3] = data[0] * 1.5
    assert found(inspect(data), "same signal").what.startswith("Fz and Oz")


def test_channels_marked_as_bad() -> None:
    raw = raw_of(signals())
    raw.info["bads"] = ["Cz"]
    finding = found(inspect_recording(raw, events(), "run"), "marked as bad")
    assert (finding.channel, finding.severity) == ("Cz", "error")


def test_gaps_in_the_clock() -> None:
    raw = raw_of(signals())
    raw.set_annotations(mne.Annotations([10.0, 40.0], [1.0, 2.0], "BAD_ACQ_SKIP"))
    assert found(inspect_recording(raw, events(), "run"), "clock").count == 2


@pytest.mark.parametrize(
    ("onsets", "text", "count"),
    [
        (np.array([5.0, 6.0, 7.0]), "nearly empty", 3),
        (np.r_[0.02, np.arange(1, 118, 0.7)], "no baseline", 1),
        (np.r_[np.arange(1, 118, 0.7), 120.0, 130.0], "after the last sample", 2),
        (np.r_[-0.5, np.arange(1, 118, 0.7)], "before the first sample", 1),
        (np.r_[np.arange(1, 118, 0.7), np.nan], "without an onset", 1),
        (np.r_[1.0, np.arange(1, 118, 0.7)], "twice the same", 1),
        (np.r_[50.0, np.arange(1, 118, 0.7)], "out of order", 1),
        (np.arange(1, 40, 0.7), "events stop", 80),
    ],
)
def test_odd_events(onsets: np.ndarray, text: str, count: int) -> None:
    assert found(inspect(signals(), events(onsets)), text).count == count


def test_no_events_is_an_error_and_comes_first() -> None:
    data = signals()
    data[1] += 0.2
    findings = inspect(data, events(np.zeros(0)))
    assert (findings[0].what, findings[0].severity) == ("no events", "error")


def test_one_class_only() -> None:
    table = events().assign(trial_type="face")
    assert found(inspect(signals(), table), "only one class").what.endswith("face")


def test_a_short_recording() -> None:
    table = events(np.arange(1, 18, 0.7))
    assert found(inspect(signals(20.0), table), "short").count == 20


def marks_of(data: np.ndarray) -> np.ndarray:
    maker = MarkMaker(data.shape[1])
    for row in data:  # a channel at a time is as good as all at once
        maker.add(row[None])
    return maker.marks()


def test_a_copy_is_found_whole_cut_or_moved() -> None:
    one, two = signals(seed=1), signals(seed=2)
    prints = Fingerprints()
    assert prints.add("one", marks_of(one)) is None
    assert prints.add("two", marks_of(two)) is None
    assert prints.add("copy", marks_of(one.copy())) == ("one", 1.0)
    mixed = np.concatenate([signals(60.0, seed=3), two[:, 3333:7333]], axis=1)
    part = prints.add("part", marks_of(mixed))
    assert part is not None and part[0] == "two"
    assert part[1] == pytest.approx(0.4, abs=0.1)


def test_recordings_that_stand_still_are_not_called_copies() -> None:
    one, two = signals(seed=1), signals(seed=2)
    one[:, :6000] = two[:, 2000:8000] = 1e-3
    prints = Fingerprints()
    assert prints.add("one", marks_of(one)) is None
    assert prints.add("two", marks_of(two)) is None


def test_a_signal_too_short_to_mark() -> None:
    assert Fingerprints().add("tiny", marks_of(np.zeros((2, 5)))) is None


def test_the_table_of_findings() -> None:
    table = findings_table([Finding("run Fz", "flat", "error", 3, "Fz")])
    assert table.to_dict("records") == [
        {"where": "run Fz", "what": "flat", "severity": "error", "count": 3}
    ]
    assert list(findings_table([]).columns) == ["where", "what", "severity", "count"]


def test_mains_hum_is_noted_with_its_channels() -> None:
    data = signals()
    time = np.arange(data.shape[1]) / SFREQ
    data[1] += 20e-6 * np.sin(2 * np.pi * 40.0 * time)
    assert inspect(data) == []  # no mains
    humming = inspect_recording(raw_of(data), events(), "run", line_freq=40.0)
    finding = found(humming, "mains hum at 40 Hz")
    assert (finding.count, finding.severity) == (1, "note")
    assert "(Cz)" in finding.what


def test_a_recording_in_another_unit() -> None:
    assert found(inspect(signals() * 1e6), "another unit").count == 4
    assert found(inspect(signals() * 1e-6), "another unit").severity == "warning"


def test_channels_on_another_scale_than_the_others() -> None:
    data = signals()
    data[0] *= 30
    data[2] /= 50
    findings = inspect(data)
    assert found(findings, "times as noisy as others").channel == "Fz"
    assert found(findings, "of the others' range").channel == "Pz"


def test_a_channel_of_few_values() -> None:
    data = signals()
    data[3] = np.round(data[3] / 20e-6) * 20e-6
    finding = found(inspect(data), "distinct value(s) only")
    assert finding.channel == "Oz" and finding.count == len(np.unique(data[3])) < 16


def test_a_stretch_that_was_written_twice() -> None:
    data = signals()
    data[:, 8000:9000] = data[:, 2000:3000]
    assert found(inspect(data), "come twice within the recording").severity == "warning"


def test_onsets_in_milliseconds() -> None:
    findings = inspect(signals(), events(np.arange(1.0, 118.0, 0.7) * 1000))
    assert found(findings, "samples or milliseconds").severity == "error"


def test_a_pause_between_events() -> None:
    onsets = np.r_[np.arange(1, 40, 0.7), np.arange(60, 118, 0.7)]
    assert "up to 20." in found(inspect(signals(), events(onsets)), "pause(s)").what


@pytest.mark.parametrize(
    ("order", "kind"),
    [(["face", "house"] * 84, "in turn"), (["face"] * 84 + ["house"] * 84, "in blocks")],
)
def test_classes_in_an_order(order: list[str], kind: str) -> None:
    table = events().assign(trial_type=order)
    assert kind in found(inspect(signals(), table), "changes of class").what


def test_a_rare_class() -> None:
    table = events()
    table.loc[[5, 60, 99], "trial_type"] = "car"
    finding = found(inspect(signals(), table), "of the class car, against")
    assert (finding.count, finding.severity) == (3, "note")


def test_columns_that_contradict_each_other() -> None:
    table = events()
    table["sample"] = np.rint(table["onset"] * SFREQ) + 1  # counted from one
    table["value"] = (table["trial_type"] == "face") + 1
    assert inspect(signals(), table) == []
    table.loc[3, "sample"] += 40
    table.loc[7, "value"] = 9  # a class may have several codes
    assert found(inspect(signals(), table), "another moment than their `onset`").count == 1
    table["value"] = 5
    assert "5: face, house" in found(inspect(signals(), table), "several classes").what
