"""THINGS-MEG in miniature: real FIF epochs in split parts, real CTF recordings, known signals.

Each picture has three numbers, each person three patterns over sensors and time; a trial is the
sum of the patterns weighted by the numbers of its picture, plus noise.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

import mne
import numpy as np
import numpy.typing as npt
import pandas as pd

from miniatures.ctf import CtfChannel, write_ctf
from neuroalign.recordings.readers.things_meg import ThingsMegReader
from neuroalign.recordings.readers.things_meg_raw import ThingsMegRawReader
from neuroalign.recordings.readers.things_meg_trials import Published

CONCEPTS = (
    *("aardvark", "aircraft_carrier", "bass1", "bow_tie", "dog", "jack-in-the-box", "owl"),
    *("t-shirt", "wig", "zucchini"),
)
TEST_CONCEPTS = ("aircraft_carrier", "owl", "wig")
SESSIONS, RUNS, CATCH_PER_SESSION = 4, 2, 1
EPOCHS = Published(
    concepts=len(CONCEPTS),
    sessions=SESSIONS,
    runs=RUNS,
    test_pictures=len(TEST_CONCEPTS),
    catch=SESSIONS * CATCH_PER_SESSION,
    channels=6,
    samples=29,
    sfreq=20.0,
)
RAW_SFREQ, BLOCK_S = 1200.0, 0.5
#: The trigger comes first; the optical sensor sees the picture this many samples later.
LAG_SAMPLES = 18
NOISE = 0.3


class MiniatureEpochs(ThingsMegReader):
    """The reader, which takes the miniature's counts for the published ones."""

    published = EPOCHS


class MiniatureRaw(ThingsMegRawReader):
    """The reader, which takes the miniature's counts for the published ones."""

    published = EPOCHS


SHORT = replace(EPOCHS, sessions=2, catch=2 * CATCH_PER_SESSION)


class ShortEpochs(ThingsMegReader):
    """The reader of a miniature of two sessions."""

    published = SHORT


class ShortRaw(ThingsMegRawReader):
    """The reader of a miniature of two sessions."""

    published = SHORT


@dataclass(frozen=True)
class Planted:
    """What was written.

    Attributes
    ----------
    folder : Path
    tables : the trial table of each person, by number
    epochs : the published epochs of each person, (trials, channels, samples)
    patterns : of each person, (3, channels, samples)
    continuous : the raw signals in fT of each run, by (person, session, run), all sensors
    onsets : samples at which the pictures of a run came on, by (person, session, run)
    """

    folder: Path
    tables: dict[int, pd.DataFrame]
    epochs: dict[int, npt.NDArray[np.float64]]
    patterns: dict[int, npt.NDArray[np.float64]]
    continuous: dict[tuple[int, int, int], npt.NDArray[np.float64]]
    onsets: dict[tuple[int, int, int], npt.NDArray[np.int64]]


def picture_numbers(stem: str) -> npt.NDArray[np.float64]:
    """Return the three numbers of a picture."""
    seed = int.from_bytes(hashlib.sha256(stem.encode()).digest()[:4], "big")
    return np.random.default_rng(seed).normal(size=3)


def write_epochs(
    folder: Path, people: tuple[int, ...] = (1, 2), sessions: int = SESSIONS
) -> Planted:
    """Write `derivatives/preprocessed` and `sourcedata`, three split parts a person."""
    tables, signals, patterns = {}, {}, {}
    target = folder / "derivatives" / "preprocessed"
    target.mkdir(parents=True)
    for person in people:
        rng = np.random.default_rng(person)
        table = trial_table(person, sessions)
        pattern = _patterns(rng, EPOCHS.channels, EPOCHS.samples)
        data = _trial_signals(table, pattern)
        data += NOISE * rng.normal(size=data.shape)
        data = data.astype(np.float32).astype(np.float64)  # as FIF stores them
        save_epochs(target / f"preprocessed_P{person}-epo.fif", table, data)
        write_table(folder, person, table)
        tables[person], signals[person], patterns[person] = table, data, pattern
    return Planted(folder, tables, signals, patterns, {}, {})


def write_raw(folder: Path, people: tuple[int, ...] = (1, 2), sessions: int = SESSIONS) -> Planted:
    """Write `sub-BIGMEG*` and `sourcedata`: two CTF runs in each session of a person."""
    tables, patterns, continuous, onsets = {}, {}, {}, {}
    for person in people:
        rng = np.random.default_rng(10 + person)
        table = trial_table(person, sessions)
        patterns[person] = _patterns(rng, EPOCHS.channels, round(RAW_SFREQ))
        write_table(folder, person, table)
        tables[person] = table
        for (session, run), rows in table.groupby(["session_nr", "run_nr"]):
            key = (person, int(session), int(run))
            continuous[key], onsets[key] = _write_run(folder, key, rows, patterns[person], rng)
    return Planted(folder, tables, {}, patterns, continuous, onsets)


def trial_table(person: int, sessions: int = SESSIONS) -> pd.DataFrame:
    """Return the trials of a person in the order of recording, with the published columns."""
    rng = np.random.default_rng(100 + person)
    rows: list[dict[str, object]] = []
    for session in range(1, sessions + 1):
        shown = [_exp(c, session) for c in CONCEPTS] + [_test(c) for c in TEST_CONCEPTS]
        shown += [{"trial_type": "catch", "image_path": f"images_catch_meg/catch_{session}.jpg"}]
        order = rng.permutation(len(shown))
        first = len(shown) // RUNS
        for place, chosen in enumerate(order):
            run = 1 if place < first else 2
            row = dict(shown[chosen])
            on = 1.0 + 1.6 * (place if run == 1 else place - first)
            row |= {"onset": on, "image_on": on + 0.02, "image_off": on + 0.52}
            row |= {"responded": 0.0, "RT": np.nan, "session_nr": session, "run_nr": run}
            rows.append(row)
    columns = [
        *("trial_type", "image_nr", "category_nr", "exemplar_nr", "test_image_nr"),
        *("things_category_nr", "things_image_nr", "things_exemplar_nr", "image_path"),
        *("onset", "image_on", "image_off", "responded", "RT", "session_nr", "run_nr"),
    ]
    return pd.DataFrame(rows).reindex(columns=columns)


def write_table(folder: Path, person: int, table: pd.DataFrame) -> None:
    """Write `sourcedata/sample_attributes_P<n>.csv`."""
    source = folder / "sourcedata"
    source.mkdir(exist_ok=True, parents=True)
    table.to_csv(source / f"sample_attributes_P{person}.csv", index=False)


def save_epochs(
    path: Path,
    table: pd.DataFrame,
    data: npt.NDArray[np.float64],
    *,
    codes: npt.NDArray[np.int64] | None = None,
    channel_type: str = "mag",
    sfreq: float = EPOCHS.sfreq,
    tmin: float = EPOCHS.tmin,
    metadata: bool = True,
    parts: int = 3,
) -> None:
    """Save epochs as their authors did, in split parts."""
    names = [f"MLC1{i}-1609" for i in range(1, data.shape[1] + 1)]
    info = mne.create_info(names, sfreq, channel_type, verbose="error")
    if codes is None:
        codes = event_codes(table)
    events = np.column_stack([500 * np.arange(1, len(data) + 1), np.zeros(len(data), int), codes])
    made = mne.EpochsArray(data.copy(), info, events, tmin, verbose="error")
    if metadata:
        with mne.utils.use_log_level("error"):
            made.metadata = table.reset_index(drop=True)
    size = _split_size(made, path, parts) if parts > 1 else "2GB"
    made.save(path, split_size=size, overwrite=True, verbose="error")
    assert len(list(path.parent.glob(f"{path.stem}*.fif"))) == parts


def event_codes(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the picture number of each trial, 999999 for catch trials."""
    return table["things_image_nr"].fillna(999_999).to_numpy(np.int64)


def things_pictures(folder: Path) -> Path:
    """Make the folder of THINGS with an (empty) file for each picture."""
    for concept in CONCEPTS:
        (folder / concept).mkdir(parents=True)
        for number in range(1, SESSIONS + 2):
            (folder / concept / f"{concept}_{number:02d}s.jpg").touch()
    return folder


def channels() -> list[CtfChannel]:
    """Return the channels of a miniature recording, with the broken sensor among them."""
    sensors = [f"MLC1{i}-1609" for i in range(1, 4)] + [f"MRC1{i}-1609" for i in range(1, 4)]
    return [
        CtfChannel("BG1-1609", "ref_mag", 1e-17),
        *(CtfChannel(n, "meg", 1e-17) for n in sensors),
        CtfChannel("MRO11-1609", "meg", 1e-17),
        CtfChannel("UPPT001", "stim"),
        CtfChannel("SCLK01-177", "clock", 1e-4),
    ]


def run_folder(folder: Path, person: int, session: int, run: int) -> Path:
    """Return the CTF folder of a run."""
    stem = f"sub-BIGMEG{person}_ses-{session:02d}_task-main_run-{run:02d}_meg.ds"
    return folder / f"sub-BIGMEG{person}" / f"ses-{session:02d}" / "meg" / stem


def events_file(folder: Path, person: int, session: int, run: int) -> Path:
    """Return the events.tsv of a run."""
    ds = run_folder(folder, person, session, run)
    return ds.with_name(ds.name.replace("_meg.ds", "_events.tsv"))


def _write_run(
    folder: Path,
    key: tuple[int, int, int],
    rows: pd.DataFrame,
    pattern: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    block = round(BLOCK_S * RAW_SFREQ)
    onsets = np.array([round((on + 0.003) * RAW_SFREQ) for on in rows["image_on"]])
    n_blocks = -(-(onsets[-1] + round(1.3 * RAW_SFREQ)) // block)
    samples = n_blocks * block
    listed = channels()
    sensors = [i for i, c in enumerate(listed) if c.kind == "meg"]
    signals = np.zeros((len(sensors), samples))
    time = np.arange(samples) / RAW_SFREQ
    signals += 300.0 + 20 * np.sin(2 * np.pi * 0.05 * time)  # an offset and a slow drift, in fT
    for onset, trial in zip(onsets, _trial_signals(rows, pattern), strict=True):
        signals[:-1, onset : onset + trial.shape[1]] += 100 * trial
    # Smooth noise: what a run at 120 Hz can hold.
    noise = rng.normal(size=(len(sensors), samples // 20 + 2))
    grid = np.arange(noise.shape[1]) * 20
    signals += 30 * NOISE * np.array([np.interp(np.arange(samples), grid, n) for n in noise])
    signals[-1] = rng.normal(scale=1e4, size=samples)  # the broken sensor
    stored = np.zeros((len(listed), samples), np.int32)
    stored[sensors] = np.rint(signals * 100)  # 1e-17 T are 0.01 fT
    stored[0] = np.rint(rng.normal(scale=1000, size=samples))
    for onset in onsets - LAG_SAMPLES:
        stored[-2, onset : onset + 60] = 64
    end = onsets[-1] - LAG_SAMPLES + 1200
    stored[-2, end : end + 60] = 32
    stored[-1] = np.rint((np.arange(samples) + 1) / RAW_SFREQ * 1e4)
    blocks = stored.reshape(len(listed), n_blocks, block).transpose(1, 0, 2)
    write_ctf(run_folder(folder, *key), listed, RAW_SFREQ, list(blocks), n_blocks, block)
    events = pd.DataFrame(
        {
            "onset": onsets / RAW_SFREQ,
            "duration": 0.5,
            "sample": onsets,
            "value": rows["things_image_nr"].astype("Int64").array,
        }
    )
    events.to_csv(events_file(folder, *key), sep="\t", index=False, na_rep="")
    return stored[sensors[:-1]] / 100, onsets


def _exp(concept: str, session: int) -> dict[str, object]:
    category = CONCEPTS.index(concept) + 1
    return {
        "trial_type": "exp",
        "image_nr": 4 * category + session,
        "category_nr": category,
        "exemplar_nr": session,
        "things_category_nr": category,
        "things_image_nr": 100 * category + session,
        "things_exemplar_nr": session,
        "image_path": f"images_meg/{concept}/{concept}_{session:02d}s.jpg",
    }


def _test(concept: str) -> dict[str, object]:
    category, number = CONCEPTS.index(concept) + 1, SESSIONS + 1
    return {
        "trial_type": "test",
        "test_image_nr": TEST_CONCEPTS.index(concept) + 1,
        "things_category_nr": category,
        "things_image_nr": 100 * category + number,
        "things_exemplar_nr": number,
        "image_path": f"images_test_meg/{concept}_{number:02d}s.jpg",
    }


def _patterns(rng: np.random.Generator, n_channels: int, samples: int) -> npt.NDArray[np.float64]:
    """Return three smooth patterns (3, channels, samples) that begin and end at zero."""
    weights = rng.normal(size=(3, n_channels, 1))
    phase = np.linspace(0, np.pi, samples)[None, None]
    return weights * np.sin(phase * np.arange(1, 4)[:, None, None])


def _trial_signals(
    table: pd.DataFrame, pattern: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    stems = [Path(p).stem for p in table["image_path"]]
    numbers = np.array([picture_numbers(s) for s in stems])
    return np.einsum("tk,kcs->tcs", numbers, pattern)


def _split_size(epochs: mne.BaseEpochs, path: Path, parts: int) -> int:
    """Return the bytes a part that divide epochs into `parts` files."""
    # MNE says how small a part may be: what each part has (1 MB is kept free in it), and a trial.
    try:
        epochs.save(path, split_size=1, overwrite=True, verbose="error")
    except ValueError as error:
        smallest = int(re.findall(r"\((\d+) bytes\)", str(error))[0])
    table = len(epochs.metadata.to_json(orient="records")) if epochs.metadata is not None else 0
    total = epochs.get_data().nbytes // 2 + 16 * len(epochs) + table
    return smallest - total // len(epochs) + round(total / (parts - 0.5))
