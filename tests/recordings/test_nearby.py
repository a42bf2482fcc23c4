"""A folder given a level too high or too low is named, and so are several data sets in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from laboratory import neuroalign, plain
from neuroalign.errors import NeuroalignError
from neuroalign.recordings.doctor import examine
from neuroalign.recordings.preparation import prepare
from neuroalign.recordings.readers import load_reader


def _bids(folder: Path) -> Path:
    recording = folder / "sub-01" / "ses-01" / "eeg" / "sub-01_ses-01_task-see_eeg.vhdr"
    recording.parent.mkdir(parents=True)
    recording.write_text("")
    (folder / "README").write_text("of a laboratory")
    return folder


def _nsd(folder: Path) -> Path:
    (folder / "nsddata_betas" / "ppdata").mkdir(parents=True)
    return folder


def _refused(given: Path) -> str:
    with pytest.raises(NeuroalignError) as caught:
        examine(given)
    return str(caught.value)


@pytest.mark.parametrize("above", ["", "sub-01", "sub-01/ses-01", "sub-01/ses-01/eeg"])
def test_a_folder_inside_a_data_set(above: str, tmp_path: Path) -> None:
    folder = _bids(tmp_path / "mine")
    if not above:
        assert examine(folder).dataset == "bids"
        return
    said = _refused(folder / above)
    assert f"{folder} is EEG or MEG as BIDS (`bids`): give that folder." in said


@pytest.mark.parametrize("below", ["mine", "raw/mine"])
def test_a_folder_above_a_data_set(below: str, tmp_path: Path) -> None:
    folder = _bids(tmp_path / below)
    assert f"{folder} is EEG or MEG as BIDS (`bids`): give that folder." in _refused(tmp_path)


def test_a_folder_of_several_data_sets(tmp_path: Path) -> None:
    folders = _bids(tmp_path / "mine"), _bids(tmp_path / "yours"), _nsd(tmp_path / "theirs")
    said = _refused(tmp_path)
    assert "Give one of these" in said and all(str(f) in said for f in folders)


def test_a_folder_of_several_data_sets_one_of_which_knows_the_level_above(tmp_path: Path) -> None:
    person = tmp_path / "eeg2" / "sub-01"
    person.mkdir(parents=True)
    (person / "preprocessed_eeg_test.npy").write_text("")
    assert examine(tmp_path, quick=True).dataset == "things-eeg2"
    _nsd(tmp_path / "nsd")
    said = _refused(tmp_path)
    assert "several data sets" in said and "(`nsd`)" in said and "(`things-eeg2`)" in said


def test_a_second_data_set_in_a_subfolder_is_noted(tmp_path: Path) -> None:
    folder = _nsd(tmp_path / "nsd")
    (folder / "eeg2" / "sub-01").mkdir(parents=True)
    (folder / "eeg2" / "sub-01" / "preprocessed_eeg_test.npy").write_text("")
    notes = [f.what for f in examine(folder).findings if f.severity == "note"]
    assert f"{folder / 'eeg2'} is THINGS-EEG2 (`things-eeg2`); it is not looked at here: give " in (
        "".join(notes)
    )


def test_a_file(tmp_path: Path) -> None:
    folder = _bids(tmp_path / "mine")
    said = _refused(folder / "README")
    assert "is a file" in said and f"{folder} is EEG or MEG as BIDS (`bids`): give that" in said
    (tmp_path / "sea.txt").write_text("")
    assert "is a file" in _refused(tmp_path / "sea.txt")


def test_a_name_that_is_misspelt(tmp_path: Path) -> None:
    folder = _bids(tmp_path / "n170-bids")
    assert _refused(tmp_path / "n170_bids") == (
        f"There is no folder {tmp_path / 'n170_bids'}. There is {folder}."
    )


def test_archives_that_nobody_unpacked(tmp_path: Path) -> None:
    packed = _bids(tmp_path) / "sourcedata"  # wherever it lies
    packed.mkdir()
    (packed / "sub-01.zip").write_bytes(b"PK")
    assert "unpack them (sub-01.zip)" in _refused(packed)


@pytest.mark.parametrize("given", [".", "mine/sub-01", "mine/sub-01/ses-01/eeg"])
def test_prepare_takes_no_folder_but_the_one_given(given: str, tmp_path: Path) -> None:
    """MNE-BIDS would find recordings wherever they lie below, those of other data sets too."""
    folder = _bids(tmp_path / "mine")
    with pytest.raises(NeuroalignError) as caught:
        prepare(load_reader("bids"), tmp_path / given, tmp_path / "out")
    assert f"{folder} is EEG or MEG as BIDS (`bids`): give that folder." in str(caught.value)
    found = examine(tmp_path / given, dataset="bids")
    assert found.status == 2 and not found.recognised
    assert str(folder) in found.findings[0].what


def test_prepare_names_the_reader_that_knows_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _bids(tmp_path / "mine")
    assert neuroalign("prepare", "nsd", folder, "--out", tmp_path / "out") == 2
    said = plain(capsys.readouterr().err)
    assert "is EEG or MEG as BIDS (`bids`), not Natural Scenes Dataset (`nsd`)" in said
    assert neuroalign("prepare", "nsd", tmp_path / "gone", "--out", tmp_path / "out") == 2
    assert "There is no folder" in plain(capsys.readouterr().err)
