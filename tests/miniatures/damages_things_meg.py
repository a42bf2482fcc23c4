"""Ways to damage the miniature of the preprocessed THINGS-MEG epochs, and what comes of each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd

from miniatures.damage import Damage
from miniatures.things_meg import (
    ShortEpochs,
    event_codes,
    save_epochs,
    things_pictures,
    write_epochs,
)

READER = ShortEpochs()
OPTIONS: dict[str, Any] = {}
FIRST, SECOND, LAST = (f"preprocessed_P1-epo{n}.fif" for n in ("", "-1", "-2"))
CSV = "sample_attributes_P1.csv"


def write(folder: Path) -> None:
    """Make the miniature of one person and two sessions."""
    write_epochs(folder, (1,), 2)


def part(folder: Path, name: str) -> Path:
    """Return where a split part lies."""
    return folder / "derivatives" / "preprocessed" / name


def _again(change: Callable[[dict[str, Any]], Any], both: bool = False) -> Callable[[Path], None]:
    """Change `table`, `data`, `codes` or the way of saving, and save the epochs again.

    With `both`, the table beside them is changed alike, so it gives nothing away.
    """

    def apply(folder: Path) -> None:
        first = part(folder, FIRST)
        epochs = mne.read_epochs(first, verbose="error")
        table = epochs.metadata.reset_index(drop=True)
        content = {"table": table, "data": epochs.get_data(), "codes": event_codes(table)}
        change(content)
        for old in first.parent.glob("preprocessed_P1*"):
            old.unlink()
        kept = {k: content.pop(k) for k in ("table", "data")}
        save_epochs(first, kept["table"], kept["data"], **content)
        source = folder / "sourcedata" / CSV
        if both:
            kept["table"].to_csv(source, index=False)
        else:
            source.unlink()

    return apply


def _table(change: Callable[[pd.DataFrame], Any]) -> Callable[[Path], None]:
    """Change the metadata; `change` may return another table."""

    def edit(content: dict[str, Any]) -> None:
        changed = change(content["table"])
        if changed is not None:
            content["table"] = changed

    return _again(edit)


def _cell(column: str, value: Any, kind: str = "exp", place: int = 3) -> Callable[[Path], None]:
    def edit(table: pd.DataFrame) -> None:
        row = table.index[table["trial_type"] == kind][place]
        table[column] = table[column].astype(object if isinstance(value, str) else float)
        table.loc[row, column] = value

    return _table(edit)


def _data(change: Callable[[np.ndarray], Any]) -> Callable[[Path], None]:
    def edit(content: dict[str, Any]) -> None:
        changed = change(content["data"])
        if changed is not None:
            content["data"] = changed

    return _again(edit)


def _put(place: tuple[int, ...], value: float) -> Callable[[Path], None]:
    return _data(lambda data: data.__setitem__(place, value))


def _keep(rows: Callable[[pd.DataFrame], Any]) -> Callable[[Path], None]:
    def edit(content: dict[str, Any]) -> None:
        mask = np.asarray(rows(content["table"]), bool)
        content["table"] = content["table"][mask].reset_index(drop=True)
        content["data"], content["codes"] = content["data"][mask], content["codes"][mask]

    return _again(edit)


def _mixed(column: str) -> Callable[[Path], None]:
    """Shuffle one column among the training trials."""

    def edit(table: pd.DataFrame) -> None:
        rows = table.index[table["trial_type"] == "exp"]
        table.loc[rows, column] = np.roll(table.loc[rows, column].to_numpy(), 5)

    return _table(edit)


def _shuffled(table: pd.DataFrame) -> pd.DataFrame:
    return table.sample(frac=1, random_state=0).reset_index(drop=True)


def _shifted(table: pd.DataFrame) -> pd.DataFrame:
    """Move pictures by one trial, and leave session and run."""
    fixed = ["session_nr", "run_nr"]
    moved = table.drop(columns=fixed).apply(lambda c: np.roll(c.to_numpy(), 1))
    return moved.join(table[fixed])


def _sessions_exchanged(table: pd.DataFrame) -> pd.DataFrame:
    one, two = (table[table["session_nr"] == s] for s in (1, 2))
    return pd.concat([two, one], ignore_index=True)


def _codes(change: Callable[[np.ndarray], Any]) -> Callable[[Path], None]:
    return _again(lambda content: change(content["codes"]))


def _exchange_codes(codes: np.ndarray) -> None:
    places = np.flatnonzero(codes != 999_999)[[2, 3]]
    codes[places] = codes[places[::-1]]


def _cut(name: str, share: float) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = part(folder, name)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    return apply


def _of_another_person(folder: Path) -> None:
    other = folder.with_name("other")
    write_epochs(other, (2,), 2)
    stolen = part(other, "preprocessed_P2-epo-1.fif").read_bytes()
    # It names its next part by the other person's name; give it this one's.
    part(folder, SECOND).write_bytes(stolen.replace(b"preprocessed_P2", b"preprocessed_P1"))
    (folder / "sourcedata" / CSV).unlink()


def _copied_person(folder: Path) -> None:
    for name in (FIRST, SECOND, LAST):
        content = part(folder, name).read_bytes().replace(b"preprocessed_P1", b"preprocessed_P2")
        part(folder, name.replace("P1", "P2")).write_bytes(content)


def _folder_instead(folder: Path) -> None:
    part(folder, SECOND).unlink()
    part(folder, SECOND).mkdir()


def _source(change: Callable[[Path], Any]) -> Callable[[Path], None]:
    return lambda folder: change(folder / "sourcedata" / CSV)


def _other_pictures(path: Path) -> None:
    table = pd.read_csv(path)
    table["image_path"] = np.roll(table["image_path"].to_numpy(), 1)
    table.to_csv(path, index=False)


def _some_pictures(folder: Path) -> None:
    things_pictures(folder)
    shutil.rmtree(folder / "owl")


def _copy(source: str, target: str) -> Callable[[Path], Any]:
    return lambda folder: shutil.copy(part(folder, source), part(folder, target))


PAIR = ("rows and events do not belong together",)
DAMAGES = (
    Damage("the first split part is missing", lambda f: part(f, FIRST).unlink(),
           "refused", (FIRST, "is not there", "2 later part(s) are")),
    Damage("the second split part is missing", lambda f: part(f, SECOND).unlink(),
           "refused", (f"{SECOND} is missing", f"{FIRST} goes on in it")),
    Damage("the last split part is missing", lambda f: part(f, LAST).unlink(),
           "refused", (f"{LAST} is missing", f"{SECOND} goes on in it")),
    Damage("a split part is empty", _cut(SECOND, 0.0), "refused", (SECOND, "at 0 bytes")),
    Damage("the first part is cut off", _cut(FIRST, 0.6), "refused", (FIRST, "cut off")),
    Damage("a part in the middle is cut off", _cut(SECOND, 0.5), "refused", (SECOND, "cut off")),
    Damage("the last part is cut off", _cut(LAST, 0.97), "refused", (LAST, "cut off")),
    Damage("a part is garbage", lambda f: part(f, LAST).write_bytes(bytes(range(256)) * 50),
           "refused", (LAST, "no FIF file")),
    Damage("a part is a folder", _folder_instead, "refused", (f"{SECOND} is missing",)),
    Damage("the first part was copied over the second", _copy(FIRST, SECOND),
           "refused", (f"{SECOND} names {SECOND} as the next one", "copied over another")),
    Damage("the second part was copied over the last", _copy(SECOND, LAST),
           "refused", (f"{LAST} names {LAST} as the next one", "copied over another")),
    Damage("a part of another person", _of_another_person,
           "refused", ("training picture(s) are shown again", "published")),
    Damage("a part that belongs to no chain", _copy(LAST, "preprocessed_P1-epo-7.fif"),
           "reported", ("preprocessed_P1-epo-7.fif", "no chain of split parts")),
    Damage("a person is a copy of another", _copied_person,
           "refused", ("P2_ses-01", "100% of this part", "P1_ses-01", "copied over")),
    Damage("no metadata", _again(lambda c: c.update(metadata=False)),
           "refused", ("has no metadata",)),
    Damage("no picture paths", _table(lambda t: t.drop(columns="image_path")),
           "refused", ("lacks the column(s) image_path", "it has trial_type")),
    Damage("trial_type under another name",
           _table(lambda t: t.rename(columns={"trial_type": "type"})),
           "refused", ("lacks the column(s) trial_type",)),
    Damage("an unknown trial type", _cell("trial_type", "train"),
           "refused", ("1 row(s) have the trial type ['train']",)),
    Damage("a picture path is garbage", _cell("image_path", "###"),
           "refused", ("1 picture path(s) cannot be used", "'###' is not the name")),
    Damage("a picture path is empty", _cell("image_path", ""),
           "refused", ("1 picture path(s) cannot be used",)),
    Damage("a picture in the folder of another concept",
           _cell("image_path", "images_meg/owl/wig_02s.jpg"),
           "refused", ("folder says 'owl' but the file shows 'wig'",)),
    Damage("a catch trial says that it is a training trial", _cell("trial_type", "exp", "catch", 1),
           "refused", ("1 picture path(s) cannot be used", "catch_2.jpg")),
    Damage("a training trial says that it is a test trial", _cell("trial_type", "test"),
           "refused", ("folder of another trial type", "19 exp trials, published 20")),
    Damage("a session number is missing", _cell("session_nr", float("nan")),
           "refused", ("1 row(s) have a session_nr that is none of 1 to 2",)),
    Damage("a run number is out of range", _cell("run_nr", 99.0),
           "refused", ("1 row(s) have a run_nr that is none of 1 to 2",)),
    Damage("two sessions exchanged", _table(_sessions_exchanged),
           "refused", ("not in the order of recording", "go back 1 time(s)")),
    Damage("rows shuffled", _table(_shuffled),
           "refused", ("not in the order of recording", *PAIR)),
    Damage("rows shifted by a trial", _table(_shifted), "refused", PAIR),
    Damage("picture paths shuffled", _mixed("image_path"),
           "refused", ("label and things_category_nr do not go together", "moved against")),
    Damage("picture numbers shuffled", _mixed("things_image_nr"),
           "refused", PAIR),
    Damage("concept numbers shuffled", _mixed("things_category_nr"),
           "refused", ("label and things_category_nr do not go together",)),
    Damage("picture numbers missing",
           _table(lambda t: t.assign(things_image_nr=np.nan)),
           "refused", ("20 exp row(s) have no things_image_nr",)),
    Damage("a test picture among the training trials",
           _cell("image_path", "images_meg/owl/owl_05s.jpg"),
           "refused", ("1 picture(s) are both training and test (owl_05s)",)),
    Damage("a training picture twice", _cell("image_path", "images_meg/dog/dog_01s.jpg", place=15),
           "refused", ("1 training picture(s) are shown again",)),
    Damage("the last trial is missing", _keep(lambda t: t.index < len(t) - 1),
           "refused", ("27 trials in all split parts, published 28", "session 2 has 13 rows")),
    Damage("a session is missing", _keep(lambda t: t["session_nr"] != 2),
           "refused", ("session 2 has 0 rows, published 14", "10 exp trials, published 20")),
    Damage("a session is missing and that is accepted", _keep(lambda t: t["session_nr"] != 2),
           "reported", ("session 2 has 0 rows, published 14", "10 train trials are left"),
           {"incomplete": True}),
    Damage("catch trials are missing", _keep(lambda t: t["trial_type"] != "catch"),
           "refused", ("0 catch trials, published 2",)),
    Damage("a test repeat is missing",
           _keep(lambda t: ~((t["trial_type"] == "test") & (t["session_nr"] == 2))),
           "refused", ("3 test picture(s) are shown another number of times than 2",)),
    Damage("a value is NaN", _put((7, 2, 5), np.nan), "refused", ("1 value(s) of 1 trial(s)",)),
    Damage("a value is infinite", _put((20, 0, 0), np.inf), "refused", ("NaN or infinite",)),
    Damage("a constant channel", _data(lambda d: d.__setitem__((slice(None), 2), 0.5)),
           "reported", ("the channel MLC13-1609 never changes",)),
    Damage("all channels constant", _data(lambda d: d.__imul__(0)),
           "refused", ("6 of 6 channels never change",)),
    Damage("a channel too few", _data(lambda d: d[:, :5]),
           "refused", ("5 channels, published 6",)),
    Damage("samples too few", _data(lambda d: d[:, :, :20]),
           "refused", ("20 samples a trial, published 29",)),
    Damage("channels and samples exchanged", _data(lambda d: d.transpose(0, 2, 1)),
           "refused", ("29 channels, published 6", "6 samples a trial, published 29")),
    Damage("another sampling rate", _again(lambda c: c.update(sfreq=40.0)),
           "refused", ("40 samples a second, published 20",)),
    Damage("another time axis", _again(lambda c: c.update(tmin=0.0)),
           "refused", ("0 as the time of the first sample", "published -0.1")),
    Damage("channels of another kind", _again(lambda c: c.update(channel_type="eeg")),
           "refused", ("type(s) eeg, published mag",)),
    Damage("signals in teslas", _data(lambda d: d.__imul__(1e-13)),
           "reported", ("root mean square", "in another unit")),
    Damage("complex numbers", _data(lambda d: d + 1j),
           "refused", ("complex numbers",)),
    Damage("a trial written twice", _data(lambda d: d.__setitem__(9, d[8])),
           "reported", ("1 trial(s)", "the same signals")),
    Damage("two events carry each other's pictures", _codes(_exchange_codes),
           "reported", ("2 event(s) carry another picture number", "the table are used")),
    Damage("events of other pictures", _codes(lambda c: c.__setitem__(slice(None), np.roll(c, 3))),
           "refused", PAIR),
    Damage("events without numbers", _codes(lambda c: c.__setitem__(slice(None), 1)),
           "reported", ("carry no picture numbers",)),
    Damage("the table beside tells otherwise", _source(_other_pictures),
           "refused", (CSV, "name another picture than the metadata")),
    Damage("the table beside has rows too few",
           _source(lambda p: p.write_text("\n".join(p.read_text().splitlines()[:15]))),
           "refused", (CSV, "14 rows, but the metadata of the epochs have 28")),
    Damage("the table beside is no text", _source(lambda p: p.write_bytes(b"\xff\xfe\x00\x81" * 9)),
           "reported", (CSV, "cannot be read", "unchecked")),
    Damage("picture files are missing", _some_pictures,
           "reported", ("3 of 23 picture files are not below",), {"pictures": "."}),
    Damage("the folder of pictures is not there", lambda f: None,
           "refused", ("is not a folder",), {"pictures": "nowhere"}),
)  # fmt: skip
