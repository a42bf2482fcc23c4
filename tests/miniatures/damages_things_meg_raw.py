"""Ways to damage the miniature of the raw THINGS-MEG recordings, and what comes of each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from miniatures.ctf import read_integers, write_ctf, write_integers
from miniatures.damage import Damage
from miniatures.things_meg import (
    BLOCK_S,
    RAW_SFREQ,
    ShortRaw,
    channels,
    events_file,
    run_folder,
    write_raw,
)

READER = ShortRaw()
OPTIONS: dict[str, Any] = {}
KEY = (1, 2, 1)
WHERE = "P1_ses-02_run-01"
CSV = "sample_attributes_P1.csv"
BLOCK = round(BLOCK_S * RAW_SFREQ)
DS = "sub-BIGMEG1_ses-02_task-main_run-01_meg.ds"
EVENTS = DS.replace("_meg.ds", "_events.tsv")
STIM, CLOCK = -2, -1
SENSORS = slice(1, 7)


def write(folder: Path) -> None:
    """Make the miniature of one person and two sessions of two runs."""
    write_raw(folder, (1,), 2)


def _ds(folder: Path) -> Path:
    return run_folder(folder, *KEY)


def _file(folder: Path, suffix: str) -> Path:
    return _ds(folder) / f"{_ds(folder).stem}.{suffix}"


def _lose(suffix: str) -> Callable[[Path], None]:
    return lambda folder: _file(folder, suffix).unlink()


def _cut(suffix: str, share: float) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = _file(folder, suffix)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    return apply


def _lose_blocks(folder: Path) -> None:
    stored = read_integers(_ds(folder), len(channels()), BLOCK)
    write_integers(_ds(folder), stored[:, : -5 * BLOCK], BLOCK)


def _samples(change: Callable[[np.ndarray], Any]) -> Callable[[Path], None]:
    """Change the stored integers, (channels, samples), in place."""

    def apply(folder: Path) -> None:
        stored = read_integers(_ds(folder), len(channels()), BLOCK)
        change(stored)
        write_integers(_ds(folder), stored, BLOCK)

    return apply


def _rewritten(keep: Callable[[str], bool], sfreq: float = RAW_SFREQ) -> Callable[[Path], None]:
    """Write the recording again with some channels and another rate."""

    def apply(folder: Path) -> None:
        stored = read_integers(_ds(folder), len(channels()), BLOCK)
        places = [i for i, c in enumerate(channels()) if keep(c.name)]
        shutil.rmtree(_ds(folder))
        blocks = stored[places].reshape(len(places), -1, BLOCK).transpose(1, 0, 2)
        listed = [channels()[i] for i in places]
        write_ctf(_ds(folder), listed, sfreq, list(blocks), len(blocks), BLOCK)

    return apply


def _pulse(codes: np.ndarray, number: int) -> slice:
    starts = np.flatnonzero(np.diff(codes.clip(0, 1), prepend=0) == 1)
    return slice(int(starts[number]), int(starts[number]) + 60)


def _trigger(number: int, code: int) -> Callable[[np.ndarray], None]:
    """Give one of the triggers (-1: the closing one) another code."""
    return lambda stored: stored[STIM].__setitem__(_pulse(stored[STIM], number), code)


def _extra_trigger(stored: np.ndarray) -> None:
    first = _pulse(stored[STIM], 2).start
    stored[STIM, first - 900 : first - 840] = 64


def _events(change: Callable[[pd.DataFrame], Any]) -> Callable[[Path], None]:
    """Change events.tsv; `change` may return another table."""

    def apply(folder: Path) -> None:
        path = events_file(folder, *KEY)
        events = pd.read_csv(path, sep="\t").astype(object)
        changed = change(events)
        (events if changed is None else changed).to_csv(path, sep="\t", index=False)

    return apply


def _event(column: str, row: int, value: Any) -> Callable[[Path], None]:
    return _events(lambda events: events.__setitem__(column, _with(events[column], row, value)))


def _with(column: pd.Series, row: int, value: Any) -> pd.Series:
    changed = column.copy()
    changed.iloc[row] = value
    return changed


def _source(change: Callable[[pd.DataFrame], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "sourcedata" / CSV
        table = pd.read_csv(path)
        changed = change(table)
        (table if changed is None else changed).to_csv(path, index=False)

    return apply


def _exchanged_runs(table: pd.DataFrame) -> pd.DataFrame:
    """Exchange what two runs showed; session and run stay in order."""
    fixed = table[["session_nr", "run_nr"]]
    order = [*range(7, 14), *range(7), *range(14, 28)]
    moved = table.drop(columns=["session_nr", "run_nr"]).iloc[order].reset_index(drop=True)
    return moved.join(fixed)


def _run_over_another(folder: Path) -> None:
    """Copy the signals of one run over those of another, as far as they go."""
    other = run_folder(folder, 1, 1, 1)
    for suffix in ("res4", "meg4"):
        shutil.copy(other / f"{other.stem}.{suffix}", _file(folder, suffix))


def _replaced_by_file(folder: Path) -> None:
    shutil.rmtree(_ds(folder))
    _ds(folder).write_text("not a folder")


def _stranger(folder: Path) -> None:
    new = DS.replace("run-01", "run-03")
    shutil.copytree(_ds(folder), _ds(folder).with_name(new))


def _late(folder: Path) -> None:
    _events(lambda e: e.assign(sample=e["sample"] + 300))(folder)


def _flat(*rows: int) -> Callable[[Path], None]:
    return _samples(lambda stored: stored.__setitem__((list(rows), slice(None)), 7))


DAMAGES = (
    Damage("a run is missing", lambda f: shutil.rmtree(_ds(f)),
           "refused", (WHERE, f"{DS} is not there")),
    Damage("a run is missing and that is accepted", lambda f: shutil.rmtree(_ds(f)),
           "reported", (WHERE, f"{DS} is not there", "published 20"), {"incomplete": True}),
    Damage("a session is missing", lambda f: shutil.rmtree(_ds(f).parent),
           "refused", ("P1_ses-02", "session 2 is not there (2 runs)")),
    Damage("a session is missing and that is accepted", lambda f: shutil.rmtree(_ds(f).parent),
           "reported", ("P1_ses-02", "session 2 is not there (2 runs)"), {"incomplete": True}),
    Damage("a run is a file", _replaced_by_file,
           "refused", (WHERE, "is a file, expected a folder")),
    Damage("a run that nobody knows", _stranger,
           "reported", ("1 recording(s) that the table does not know", "run-03")),
    Damage("the header is missing", _lose("res4"), "refused", (WHERE, ".res4 is not there")),
    Damage("the header is empty", _cut("res4", 0.0), "refused", (WHERE, ".res4 is not there or")),
    Damage("the header is cut off", _cut("res4", 0.5),
           "refused", (WHERE, "cannot be read as a CTF recording")),
    Damage("the header is garbage", lambda f: _file(f, "res4").write_bytes(b"\xfe\x01" * 9000),
           "refused", (WHERE, "cannot be read as a CTF recording")),
    Damage("the samples are missing", _lose("meg4"), "refused", (WHERE, ".meg4 is not there")),
    Damage("the samples are empty", _cut("meg4", 0.0), "refused", (WHERE, ".meg4 is not there or")),
    Damage("the samples are cut off", _cut("meg4", 0.7),
           "refused", (WHERE, "cannot be read as a CTF recording", "even multiple")),
    Damage("the last 2.5 s are lost", _lose_blocks,
           "reported", (WHERE, "the epoch ends after the recording", "0 closing trigger(s)")),
    Damage("another sampling rate in the header", _rewritten(lambda n: True, 600.0),
           "refused", (WHERE, "recorded at 600 Hz, published 1200")),
    Damage("a sensor is missing", _rewritten(lambda n: n != "MLC12-1609"),
           "refused", (WHERE, "5 channels", "MLC12-1609")),
    Damage("no sensors at all", _rewritten(lambda n: not n.startswith("M")),
           "refused", (DS, "has no MEG sensors")),
    Damage("no trigger channel", _rewritten(lambda n: n != "UPPT001"),
           "reported", (WHERE, "no trigger channel UPPT001", "cannot be checked")),
    Damage("no trigger channel, and it is asked for", _rewritten(lambda n: n != "UPPT001"),
           "refused", (WHERE, "no channel UPPT001", "--onsets sample"), {"onsets": "trigger"}),
    Damage("the trigger channel is silent", _samples(lambda s: s[STIM].__imul__(0)),
           "reported", (WHERE, "7 picture(s) without an onset in the trigger channel")),
    Damage("a trigger is missing", _samples(_trigger(2, 0)),
           "reported", (WHERE, "1 picture(s) without an onset in the trigger channel")),
    Damage("a trigger is missing, and it is asked for", _samples(_trigger(2, 0)),
           "reported", (WHERE, "picture without an onset"), {"onsets": "trigger"}),
    Damage("a trigger too many", _samples(_extra_trigger),
           "reported", (WHERE, "1 onset(s) without a picture")),
    Damage("no closing trigger", _samples(_trigger(-1, 0)),
           "reported", (WHERE, "0 closing trigger(s) of the code 32")),
    Damage("an unknown trigger", _samples(_trigger(-1, 77)),
           "reported", (WHERE, "1 trigger(s) of unknown codes [77]")),
    Damage("a gap in the clock", _samples(lambda s: s[CLOCK, 4000:].__iadd__(5000)),
           "reported", (WHERE, "gap in the recording's clock of 0.500 s at 3.333 s")),
    Damage("the clock goes back", _samples(lambda s: s[CLOCK, 6000:].__isub__(3000)),
           "reported", (WHERE, "gap in the recording's clock", "at 5.000 s")),
    Damage("the clock stops", _samples(lambda s: s[CLOCK, -2400:].__imul__(0)),
           "reported", (WHERE, "the recording's clock stops 2.0 s before its end")),
    Damage("a dropout of 0.2 s", _samples(lambda s: s[SENSORS, 5000:5240].__imul__(0)),
           "reported", (WHERE, "all sensors stand still for 0.200 s at 4.167 s")),
    Damage("a dropout of 2 s", _samples(lambda s: s[SENSORS, 5000:7400].__imul__(0)),
           "reported", (WHERE, "all sensors stand still for 2.0 s", "in the trial")),
    Damage("a dead sensor", _flat(3), "reported", (WHERE, "MLC13-1609 never changes")),
    Damage("most sensors dead", _flat(1, 2, 3, 4),
           "refused", ("4 of 6 channels never change", WHERE)),
    Damage("signals of another run", _run_over_another,
           "refused", (WHERE, "83% of this part", "P1_ses-01_run-01", "copied over")),
    Damage("events are missing", lambda f: events_file(f, *KEY).unlink(),
           "refused", (WHERE, f"{EVENTS} is not there")),
    Damage("events are empty", lambda f: events_file(f, *KEY).write_text(""),
           "refused", (WHERE, f"{EVENTS} is not there or empty")),
    Damage("events are no text", lambda f: events_file(f, *KEY).write_bytes(b"\xff\xfe\x81" * 40),
           "refused", (WHERE, EVENTS, "cannot be read")),
    Damage("events without samples", _events(lambda e: e.drop(columns="sample")),
           "refused", (WHERE, "lacks the column(s) sample")),
    Damage("events without values", _events(lambda e: e.rename(columns={"value": "code"})),
           "refused", (WHERE, "lacks the column(s) value", "code")),
    Damage("a sample is a word", _event("sample", 2, "soon"),
           "refused", (WHERE, "1 value(s) of `sample` are no numbers", "'soon'")),
    Damage("a sample is missing", _event("sample", 1, np.nan),
           "reported", (WHERE, "1 picture(s) without an onset in events.tsv")),
    Damage("a sample is far off", _event("sample", 6, 900_000),
           "reported", (WHERE, "1 onset(s) of events.tsv lie after the end", "more than a frame")),
    Damage("a sample is somewhat off", _event("sample", 2, 5400),
           "reported", (WHERE, "1 differ(s) from that by more than a frame")),
    Damage("all samples of a run are late", _late,
           "reported", (WHERE, "265.0 ms after the triggers, in other runs 15.0 ms")),
    Damage("all samples of a run lie beyond its end",
           _events(lambda e: e.assign(sample=e["sample"] + 1_000_000)),
           "reported", (WHERE, "7 onset(s) of events.tsv lie after the end", "epoch ends after")),
    Damage("an event is missing", _events(lambda e: e.drop(index=3)),
           "refused", (WHERE, "6 rows, but the table has 7 trials")),
    Damage("an event too many", _events(lambda e: pd.concat([e, e.tail(1)])),
           "refused", (WHERE, "8 rows, but the table has 7 trials")),
    Damage("events shuffled", _events(lambda e: e.iloc[[3, 1, 2, 0, 4, 5, 6]]),
           "refused", (WHERE, "onset(s) of events.tsv do not come after the one before")),
    Damage("values shuffled", _events(lambda e: e.assign(value=np.roll(e["value"], 1))),
           "refused", ("session 2, run 1", "rows and events do not belong together")),
    Damage("one value is another picture's", _event("value", 0, 9999),
           "reported", ("session 2, run 1: 1 event(s) carry another picture number",)),
    Damage("the table is missing", lambda f: (f / "sourcedata" / CSV).unlink(),
           "refused", (f"sourcedata/{CSV} is not there",)),
    Damage("the table is no text",
           lambda f: (f / "sourcedata" / CSV).write_bytes(b"\xff\xfe\x81" * 40),
           "refused", (CSV, "cannot be read")),
    Damage("the table lacks runs", _source(lambda t: t.drop(columns="run_nr")),
           "refused", (CSV, "lacks the column(s) run_nr")),
    Damage("the table lacks a row", _source(lambda t: t.drop(index=20)),
           "refused", (WHERE, "events.tsv has 7 rows, but the table has 6")),
    Damage("the pictures of two runs are exchanged", _source(_exchanged_runs),
           "refused", ("session 1, run 1", "session 1, run 2", "do not belong together")),
)  # fmt: skip
