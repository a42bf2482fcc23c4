"""A recording under a second name is found however it was altered; other recordings never are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neuroalign.audit.altered import MOST_TRIALS, altered_pairs
from neuroalign.audit.findings import Finding
from neuroalign.audit.material import open_material
from neuroalign.audit.repeated import recording_twice
from neuroalign.recordings import Recordings, RecordingsInfo, write_recordings

N, CHANNELS, SAMPLES, VOXELS = 48, 6, 80, 200
Signals = np.ndarray
Change = Callable[[Signals], Signals]


def written(folder: Path, signals: dict[str, Signals], runs: int = 2) -> Recordings:
    """Write people whose last run is the test; the pictures are of no importance here."""
    tables = []
    for person, own in signals.items():
        place = np.arange(len(own))
        run = place * runs // len(own)
        tables.append(
            pd.DataFrame(
                {
                    "subject": person,
                    "stimulus": [f"{person}-{i}" for i in place],
                    "label": np.resize(["x", "y"], len(own)),
                    "session": "1",
                    "run": (run + 1).astype(str),
                    "split": np.where(run == runs - 1, "test", "train"),
                }
            )
        )
    eeg = next(iter(signals.values())).ndim == 3
    info = RecordingsInfo(
        modality="eeg" if eeg else "fmri",
        axes=("channels", "samples") if eeg else ("voxels",),
        units="arbitrary",
        sfreq=100.0 if eeg else None,
    )
    floats = {p: s.astype(np.float32) for p, s in signals.items()}
    write_recordings(folder, info, floats, pd.concat(tables, ignore_index=True))
    return Recordings(folder)


def pairs(recordings: Recordings) -> set[tuple[str, str]]:
    trials = recordings.trials.assign(part=recordings.trials["split"])
    names = trials["subject"].astype(str) + " " + trials["array_row"].astype(str)
    return {(names[a], names[b]) for a, b in altered_pairs(recordings, trials)}


def eeg(rng: np.random.Generator, n: int = N) -> Signals:
    """Channels that share sources, as channels do, with most power at low frequencies."""
    mixing = rng.standard_normal((CHANNELS, CHANNELS))
    return mixing @ np.cumsum(rng.standard_normal((n, CHANNELS, SAMPLES)), axis=2)


def fmri(rng: np.random.Generator, n: int = N) -> Signals:
    """Betas with a level of each voxel and a common part in each trial."""
    common = rng.standard_normal((n, 4)) @ rng.standard_normal((4, VOXELS))
    return 100 * rng.random(VOXELS) + common + 2 * rng.standard_normal((n, VOXELS))


def noisy(x: Signals) -> Signals:
    return x + 0.01 * x.std() * np.random.default_rng(9).standard_normal(x.shape)


def late(x: Signals, by: int) -> Signals:
    return np.concatenate([np.repeat(x[..., :1], by, axis=2), x[..., :-by]], axis=2)


GAINS = np.random.default_rng(7).uniform(0.5, 2, (CHANNELS, 1))
EEG_CHANGES: dict[str, Change] = {
    "gain": lambda x: 3.7 * x + 1,
    "gain of each channel": lambda x: x * GAINS + GAINS[::-1],
    "sign": np.negative,
    "one sample late": lambda x: late(x, 1),
    "five samples late": lambda x: late(x, 5),
    "average reference": lambda x: x - x.mean(axis=1, keepdims=True),
    "order of channels": lambda x: x[:, ::-1],
    "noise": noisy,
    "several": lambda x: noisy(late(x - x.mean(axis=1, keepdims=True), 3)[:, ::-1]),
}
FMRI_CHANGES: dict[str, Change] = {
    "gain and offset": lambda x: 1.3 * x + 2,
    "z-scored": lambda x: (x - x.mean(axis=0)) / x.std(axis=0),
    "gain and offset of each voxel": lambda x: (
        x * np.linspace(0.5, 2, VOXELS) + np.linspace(-50, 50, VOXELS)
    ),
    "noise in betas": lambda x: noisy(x - x.mean(axis=0)),
}


@pytest.mark.parametrize("change", [*EEG_CHANGES, *FMRI_CHANGES])
def test_the_trials_of_a_copied_run_are_found(change: str, tmp_path: Path) -> None:
    """The test run of one person is the training run of another."""
    make = eeg if change in EEG_CHANGES else fmri
    altered = (EEG_CHANGES if change in EEG_CHANGES else FMRI_CHANGES)[change]
    rng = np.random.default_rng(1)
    one, two, three = (make(rng) for _ in range(3))
    two[: N // 2] = altered(one[N // 2 :])
    recordings = written(tmp_path / "r", {"a": one, "b": two, "c": three})
    found, copied = pairs(recordings), {(f"a {N // 2 + i}", f"b {i}") for i in range(N // 2)}
    assert found <= copied
    # What is lost at the edge is much of so short a trial: a few of those five samples late hide.
    assert len(found) >= (0.7 if change == "five samples late" else 1) * len(copied)


def test_a_copy_on_the_other_side_is_refused(tmp_path: Path) -> None:
    one, two = (fmri(np.random.default_rng(seed)) for seed in (4, 5))
    two[: N // 2] = 1.3 * one[N // 2 :] + 2
    written(tmp_path / "r", {"a": one, "b": two})
    (finding,) = recording_twice(open_material(tmp_path / "r"))
    assert isinstance(finding, Finding)
    assert (finding.severity, finding.count, finding.total) == ("refusal", N, 2 * N)


def test_betas_that_a_second_person_has_scaled_are_found_whole(tmp_path: Path) -> None:
    one = fmri(np.random.default_rng(2))
    recordings = written(tmp_path / "r", {"a": one, "b": noisy((one - one.mean(0)) / one.std(0))})
    assert pairs(recordings) == {(f"a {i}", f"b {i}") for i in range(N)}


def test_of_many_trials_some_are_looked_up_and_the_finding_says_at_least(tmp_path: Path) -> None:
    one = fmri(np.random.default_rng(3), MOST_TRIALS)[:, :40]
    written(tmp_path / "r", {"a": one, "b": 2 * one + 1}, runs=4)
    found = list(recording_twice(open_material(tmp_path / "r")))
    assert found
    assert all(f.what.startswith("at least ") for f in found)


def harmless(kind: str, rng: np.random.Generator) -> Signals:
    """Make one person's trials that are much alike, though nobody's are copies."""
    shape = (N, CHANNELS, SAMPLES)
    noise = rng.standard_normal(shape)
    time = np.arange(SAMPLES) / 100
    if kind == "eeg":
        return eeg(rng)
    if kind == "repeats":  # eight pictures, thirty times the power of the noise
        shown = rng.standard_normal((8, *shape[1:]))[rng.integers(0, 8, N)]
        return shown + noise / np.sqrt(30)
    if kind == "line noise":
        phase = rng.uniform(0, 2 * np.pi, (N, 1, 1))
        return 20 * rng.random((CHANNELS, 1)) * np.sin(2 * np.pi * 10 * time + phase) + noise
    if kind == "artefact":
        return 1000 * rng.uniform(0.8, 1.2, (N, 1, 1)) * np.exp(-time / 0.05) + eeg(rng) / 10
    if kind == "drift":
        return 1000 * rng.standard_normal((N, CHANNELS, 1)) * time + noise
    if kind == "fmri":
        return fmri(rng)
    if kind == "fmri repeats":
        shown = rng.standard_normal((8, VOXELS))[rng.integers(0, 8, N)]
        return shown + rng.standard_normal((N, VOXELS)) / np.sqrt(30)
    walk = np.cumsum(rng.standard_normal((N, VOXELS if kind == "slow fmri" else 1)), axis=0)
    return 500 + 20 * walk * rng.standard_normal(VOXELS) + rng.standard_normal((N, VOXELS))


KINDS = [
    *("eeg", "repeats", "line noise", "artefact", "drift", "fmri", "fmri repeats", "slow fmri"),
    "global drift",
]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_people_and_repeats_are_never_taken_for_copies(
    kind: str, seed: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    recordings = written(tmp_path / "r", {p: harmless(kind, rng) for p in "abc"})
    assert pairs(recordings) == set()


def test_trials_without_a_signal_are_left_alone(tmp_path: Path) -> None:
    flat = {p: eeg(np.random.default_rng(number)) for number, p in enumerate("ab")}
    for own in flat.values():
        own[::2] = 5.0
    assert pairs(written(tmp_path / "flat", flat)) == set()
    few = np.random.default_rng(0).standard_normal((N, 4))
    assert pairs(written(tmp_path / "few", {"a": few, "b": 2 * few})) == set()
