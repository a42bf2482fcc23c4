"""Ways to damage a laboratory's own epochs files, and what has to come of each."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd

from miniatures.damage import Damage
from miniatures.own_epochs import CHANNELS, FILES, plant, write_file, write_own_epochs
from neuroalign.recordings.readers.epochs import EpochsReader

READER = EpochsReader()
OPTIONS: dict[str, Any] = {"min_trials": 20}
#: The file that most damages are done to.
SUBJECT, FILE = "bob", "bob_2-epo.fif"
NAME = "bob_run-02"


def write(folder: Path) -> None:
    """Make the miniature."""
    write_own_epochs(folder)


def _data(change: Callable[[np.ndarray], np.ndarray | None], **how: Any) -> Callable[[Path], None]:
    """Change the epochs in place, or for those that are returned; in tesla."""

    def apply(folder: Path) -> None:
        own = plant(SUBJECT, FILE)
        data = own.data.copy()
        changed = change(data)
        write_file(folder / FILE, data if changed is None else changed, own.metadata, **how)

    return apply


def _same(data: np.ndarray) -> np.ndarray:
    return data


def _metadata(
    change: Callable[[pd.DataFrame], pd.DataFrame], file: str = FILE
) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        own = plant(SUBJECT, file)
        write_file(folder / file, own.data, change(own.metadata))

    return apply


def _everywhere(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        for subject, files in FILES.items():
            for file in files:
                own = plant(subject, file)
                write_file(folder / file, own.data, change(own.metadata))

    return apply


def _bob(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        for file in FILES[SUBJECT]:
            own = plant(SUBJECT, file)
            write_file(folder / file, change(own.data), own.metadata)

    return apply


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda folder: (folder / FILE).write_bytes(change((folder / FILE).read_bytes()))


def _folder_instead(folder: Path) -> None:
    (folder / FILE).unlink()
    (folder / FILE).mkdir()


def _copied_from(source: str) -> Callable[[Path], object]:
    return lambda folder: shutil.copy(folder / source, folder / FILE)


def _half_copied(data: np.ndarray) -> None:
    data[:6] = plant(SUBJECT, "bob_1-epo.fif").data[:6]


def _with_zero(data: np.ndarray) -> np.ndarray:
    data[:, 2] = 0
    return data


def _at(where: Any, value: Any) -> Callable[[np.ndarray], None]:
    return lambda data: data.__setitem__(where, value)


def _few(folder: Path) -> None:
    for file in FILES[SUBJECT]:
        own = plant(SUBJECT, file)
        write_file(folder / file, own.data[:8], own.metadata.head(8))


def _read(folder: Path, file: str = FILE) -> Any:
    return mne.read_epochs(folder / file, verbose="error")


def _saved(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Save what `change` makes of the epochs, in their place."""

    def apply(folder: Path) -> None:
        changed = change(_read(folder))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            changed.save(folder / FILE, overwrite=True, verbose="error")

    return apply


def _row_gone(epochs: Any) -> Any:
    """Its table loses a row, as when somebody edits it in the file."""
    epochs._metadata = epochs.metadata.iloc[:-1]
    return epochs


def _continuous(epochs: Any) -> Any:
    return mne.io.RawArray(np.hstack(epochs.get_data()), epochs.info, verbose="error")


def _in_parts(folder: Path) -> Path:
    """Save it in two parts (it holds 20 times as many samples then), and return the second."""
    for subject, files in FILES.items():
        for file in files:
            own = plant(subject, file)
            data = np.tile(own.data, (1, 1, 40))
            write_file(folder / file, data, own.metadata, split_size="2MB")
    return folder / FILE.replace(".fif", "-1.fif")


def _part(change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: change(_in_parts(folder))


def _saved_twice(folder: Path) -> None:
    own = plant(SUBJECT, "bob_1-epo.fif")
    write_file(folder / "bob_3-epo.fif", own.data, own.metadata, fmt="single")


def _unfetched(folder: Path) -> None:
    (folder / FILE).unlink()
    (folder / FILE).symlink_to("annex/objects/bob.fif")


def _nowhere_but_bob(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(split=["train", "test"] * (len(table) // 2))


def _bob_is_tested(folder: Path) -> None:
    _everywhere(_nowhere_but_bob)(folder)
    for file in FILES[SUBJECT]:
        _metadata(lambda t: t.assign(split="test"), file)(folder)


def _spelled(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(label=table["label"].str.replace("class-0", "Class-0 "))


def _other_classes(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(label=[f"class-{i % 2}" for i in range(len(table))])


DAMAGES = (
    Damage("rubbish", _bytes(lambda _: b"junk" * 40), "refused",
           (FILE, "cannot be read as MNE epochs")),
    Damage("an empty file", _bytes(lambda _: b""), "refused", (NAME, "bob_2-epo.fif is empty")),
    Damage("half a file", _bytes(lambda b: b[: len(b) // 2]), "refused", (FILE, "cannot be read")),
    Damage("a file without its last bytes", _bytes(lambda b: b[:-700]), "refused",
           (FILE, "cannot be read")),
    Damage("a folder in place of a file", _folder_instead, "refused",
           (FILE, "does not exist or is no file")),
    Damage("no files at all", lambda folder: [p.unlink() for p in folder.iterdir()], "refused",
           ("No epochs files were given, and", "holds none (*-epo.fif)")),
    Damage("a first part that is gone",
           lambda folder: (folder / FILE).rename(folder / "bob_2-epo-1.fif"), "refused",
           ("bob_2-epo-1.fif goes on from bob_2-epo.fif, which is not there",)),
    Damage("another sampling rate", _data(_same, sfreq=200.0), "refused",
           (FILE, "differs from the first file in its samples per second: 200.0 against 100.0")),
    Damage("another channel", _data(_same, channels=(*CHANNELS[:-1], "MEG 099")), "refused",
           (FILE, "differs from the first file in its channels", "MEG 099")),
    Damage("channels in another order", _data(_same, channels=CHANNELS[::-1]), "refused",
           (FILE, "in its channels")),
    Damage("a channel too few", _data(lambda x: x[:, :-1], channels=CHANNELS[:-1]), "refused",
           (FILE, "in its channels")),
    Damage("swapped axes", _data(lambda x: x.transpose(0, 2, 1).copy(),
                                 channels=tuple(f"c{i}" for i in range(41))), "refused",
           (FILE, "in its channels")),
    Damage("shorter epochs", _data(lambda x: x[:, :, :-5]), "refused",
           (FILE, "in its samples per epoch: 36 against 41")),
    Damage("another start", _data(_same, tmin=-0.2), "refused",
           (FILE, "in its start of the epoch: -0.2 against -0.1")),
    Damage("EEG among MEG", _data(_same, kind="eeg"), "refused",
           (FILE, "in its modality: eeg against meg")),
    Damage("channels of no head", _data(_same, kind="misc"), "refused",
           (FILE, "with eeg or meg channels: there are misc")),
    Damage("not a number", _data(_at((7, 3, slice(4)), np.nan)), "refused",
           (NAME, "4 value(s) of 1 trial(s) are NaN", "trial 7")),
    Damage("an infinite number", _data(_at((7, 3, 2), np.inf)), "refused",
           (NAME, "1 value(s) of 1 trial(s) are NaN or infinite")),
    Damage("metadata of other columns",
           _metadata(lambda t: t.rename(columns={"stimulus": "image", "label": "kind"})),
           "refused", (FILE, "neither 'label' nor 'stimulus', only image, kind")),
    Damage("a split in one file only", _metadata(lambda t: t.assign(split="train")), "refused",
           ("'split' is filled in some files but not in ann_run-01",)),
    Damage("a split half filled",
           _everywhere(lambda t: t.assign(split=["train", None] * (len(t) // 2))), "refused",
           ("'split' is filled in some files but not in",)),
    Damage("a split of another name",
           _everywhere(lambda t: t.assign(split=["train", "validation"] * (len(t) // 2))),
           "refused", ("says validation; only train and test are known",)),
    Damage("nobody trains", _everywhere(lambda t: t.assign(split="test")), "refused",
           ("No usable trials are left", "no training trials")),
    Damage("a file copied over another", _copied_from("bob_1-epo.fif"), "refused",
           (NAME, "36 trial(s), 100% of this part", "bob_run-01: one was copied over the other")),
    Damage("a file copied from somebody else", _copied_from("ann_1-epo.fif"), "refused",
           (NAME, "hold the same signals as trials of ann_run-01")),
    Damage("some trials of another file", _data(_half_copied), "reported",
           (NAME, "6 trial(s), 17% of this part, hold the same signals as trials of bob_run-01")),
    Damage("a trial twice", _data(_at(5, plant(SUBJECT, FILE).data[9])), "reported",
           (NAME, "1 trial(s), 3% of this part", "earlier trials of the same part")),
    Damage("a flat channel in one file", _data(_with_zero), "reported",
           (f"{NAME} MEG 003", "flat: the channel never changes")),
    Damage("a flat channel in all files of a person", _bob(_with_zero), "refused",
           ("bob", "channels that never change in any file: MEG 003")),
    Damage("a trial that stands still", _data(_at((4, 1), 2e-13)), "reported",
           (NAME, "epoch(s) with a channel that stands still")),
    Damage("femtotesla for tesla", _data(lambda x: x * 1e15), "reported",
           (NAME, "another unit than the file says?")),
    Damage("a person on another scale", _bob(lambda x: x * 40), "reported",
           ("bob", "times as large as other people's")),
    Damage("a channel marked as bad", _data(_same, bads=("MEG 002",)), "reported",
           (f"{NAME} MEG 002", "marked as bad by its authors, and used")),
    Damage("trials without a picture or class",
           _metadata(lambda t: t.assign(**{c: t[c].where(t.index > 4) for c in t})), "reported",
           (NAME, "neither class nor picture")),
    Damage("a person with few trials", _few, "reported",
           ("bob", "16 usable trial(s), fewer than 20")),
    Damage("metadata with a row fewer than epochs", _saved(_row_gone), "refused",
           (FILE, "cannot be read as MNE epochs")),
    Damage("nothing but NaN", _data(_at(slice(None), np.nan)), "refused",
           (NAME, "36 trial(s) are NaN")),
    Damage("an average in place of epochs", _saved(lambda e: e.average()), "refused",
           (FILE, "cannot be read as MNE epochs")),
    Damage("a continuous recording in place of epochs", _saved(_continuous), "refused",
           (FILE, "cannot be read as MNE epochs")),
    Damage("events in place of epochs",
           lambda folder: mne.write_events(folder / FILE, np.array([[1, 0, 1]]), overwrite=True,
                                           verbose="error"),
           "refused", (FILE, "cannot be read as MNE epochs")),
    Damage("no epochs left in a file", _saved(lambda e: e[:0]), "refused",
           (NAME, f"{FILE} holds no epochs")),
    Damage("a link to content that was not fetched", _unfetched, "refused",
           (FILE, "does not exist")),
    Damage("a second part cut off",
           _part(lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2])), "refused",
           (FILE, "cannot be read")),
    Damage("a second part that is gone", _part(Path.unlink), "refused", (FILE, "cannot be read")),
    Damage("an empty second part", _part(lambda p: p.write_bytes(b"")), "refused",
           (FILE, "cannot be read")),
    Damage("gradiometers of the same names", _data(_same, kind="grad"), "refused",
           (FILE, "in its types of channels", "grad")),
    Damage("a baseline in one file only", _data(_same, baseline=(-0.1, 0.0)), "reported",
           (NAME, "baseline -0.1 to 0 s, that of the first file is none")),
    Damage("a file saved again in single precision", _saved_twice, "reported",
           ("bob_run-03", "the same events and signals as bob_run-01: saved twice?")),
    Damage("a person with test trials only", _bob_is_tested, "reported",
           ("bob", "no training trials")),
    Damage("everything is of one class", _everywhere(lambda t: t.assign(label="class-0")),
           "reported", ("one class, class-0", "nothing to tell apart")),
    Damage("a file that spells a class in another way", _metadata(_spelled), "reported",
           ("'Class-0 '", "spaces or capitals only")),
    Damage("classes that do not go with the pictures", _metadata(_other_classes), "reported",
           ("5 picture(s) are of several classes", "picture-0: class-0, class-1")),
    Damage("metadata columns that are empty", _metadata(lambda t: t.assign(
           stimulus=None, label=None)), "refused",
           (FILE, "nothing in the column(s) 'label', 'stimulus'")),
)  # fmt: skip
