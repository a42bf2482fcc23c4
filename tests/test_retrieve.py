"""Asking a run: the three tasks for one item or all, with galleries of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from laboratory import Laboratory
from neuroalign.errors import NeuroalignError
from neuroalign.images.pictures import shipped_pictures
from neuroalign.recordings import Recordings
from neuroalign.retrieval import Embeddings
from neuroalign.retrieve import convert_run, decode_run, encode_run


@pytest.fixture
def own_gallery(tmp_path: Path) -> Path:
    """Three pictures that nobody in the laboratory has seen."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for _, picture in shipped_pictures().table.iloc[5:30:10].iterrows():
        shutil.copy(picture["path"], folder)
    return folder


def evaluation(lab: Laboratory, name: str) -> Embeddings:
    return Embeddings.load(lab.run / "evaluation" / f"{name}.parquet")


def best(queries: Embeddings, gallery: Embeddings, k: int) -> np.ndarray:
    """Rank with plain NumPy."""
    return np.argsort(-(queries.vectors @ gallery.vectors.T), axis=1, kind="stable")[:, :k]


def test_decoding_ranks_the_test_pictures(lab: Laboratory) -> None:
    answer = decode_run(lab.run, "eeg", k=3)
    assert answer.task == "decoding"
    assert answer.simulated
    expected = best(evaluation(lab, "eeg-repeats"), evaluation(lab, "pictures"), 3)
    np.testing.assert_array_equal(answer.ranking.indices, expected)
    assert expected.shape == (24, 3)
    assert answer.gallery_view is None
    assert answer.query_view is not None
    assert len(answer.query_view) == 24


def test_encoding_ranks_the_test_recordings(lab: Laboratory) -> None:
    answer = encode_run(lab.run, "meg")
    expected = best(evaluation(lab, "pictures"), evaluation(lab, "meg-repeats"), 5)
    np.testing.assert_array_equal(answer.ranking.indices, expected)
    assert expected.shape == (12, 5)
    assert answer.query_view is None
    assert answer.gallery_view is not None
    found = answer.gallery_view.trials["stimulus"].to_numpy()[expected[0]]
    assert list(answer.ranking.table()["found_stimulus"][:5]) == list(found)


def test_conversion_ranks_the_recordings_of_another_modality(lab: Laboratory) -> None:
    answer = convert_run(lab.run, "eeg", "fmri", k=4)
    expected = best(evaluation(lab, "eeg-repeats"), evaluation(lab, "fmri-repeats"), 4)
    np.testing.assert_array_equal(answer.ranking.indices, expected)
    table = answer.ranking.table()
    assert set(table["query_subject"]) == {"eeg-01", "eeg-02"}
    assert set(table["found_subject"]) <= {"fmri-01", "fmri-02"}


def test_one_item_is_answered_as_among_all(lab: Laboratory) -> None:
    everything = decode_run(lab.run, "fmri", items="trials").ranking.table()
    answer = decode_run(lab.run, "fmri", items="trials", query=7)
    alone = answer.ranking.table()
    expected = everything[everything["query"] == 7].reset_index(drop=True).assign(query=0)
    pd.testing.assert_frame_equal(alone, expected)
    assert answer.query_view is not None
    test = Recordings(lab.data / "fmri").select(split="test")
    np.testing.assert_array_equal(answer.query_view.read(), test.read([7]))


def test_a_picture_by_name_or_by_file(lab: Laboratory) -> None:
    pictures = evaluation(lab, "pictures")
    name = str(pictures.items["stimulus"][4])
    by_name = encode_run(lab.run, "eeg", picture=name).ranking
    everything = encode_run(lab.run, "eeg").ranking
    np.testing.assert_array_equal(by_name.indices, everything.indices[[4]])
    by_folder = encode_run(lab.run, "eeg", picture=str(lab.pictures)).ranking
    assert len(by_folder.queries) == 40
    file = Path(str(pictures.items["path"][4]))
    by_file = encode_run(lab.run, "eeg", picture=str(file)).ranking
    np.testing.assert_array_equal(by_file.indices, by_name.indices)
    np.testing.assert_allclose(by_file.scores, by_name.scores, rtol=1e-5)


def test_a_gallery_of_pictures_that_nobody_saw(lab: Laboratory, own_gallery: Path) -> None:
    table = decode_run(lab.run, "meg", gallery=str(own_gallery), k=3).ranking.table()
    names = {p.stem for p in own_gallery.iterdir()}
    assert all(set(own["found_stimulus"]) == names for _, own in table.groupby("query"))
    assert (table.groupby("query")["score"].diff().dropna() <= 0).all()


def test_asking_for_more_than_there_is_gives_all(lab: Laboratory, own_gallery: Path) -> None:
    ranking = decode_run(lab.run, "meg", gallery=str(own_gallery), k=50).ranking
    assert ranking.indices.shape == (24, 3)


def test_questions_without_an_answer(lab: Laboratory, tmp_path: Path) -> None:
    with pytest.raises(NeuroalignError, match="no item 24 among the 24 eeg test items"):
        decode_run(lab.run, "eeg", query=24)
    with pytest.raises(NeuroalignError, match="counted from 0 to 23"):
        convert_run(lab.run, "eeg", "meg", query=-1)
    with pytest.raises(NeuroalignError, match="'unicorn' is neither a file or folder nor a test"):
        encode_run(lab.run, "eeg", picture="unicorn")
    with pytest.raises(NeuroalignError, match="`test_items: all` is not understood"):
        decode_run(lab.run, "eeg", items="all")
    with pytest.raises(NeuroalignError, match=r"no pictures at .*nowhere: no such file or folder"):
        decode_run(lab.run, "eeg", gallery=str(tmp_path / "nowhere"))
    with pytest.raises(NeuroalignError, match="is not a run folder"):
        decode_run(tmp_path, "eeg")


def test_a_modality_that_the_run_lacks(lab: Laboratory, tmp_path: Path) -> None:
    run = shutil.copytree(lab.run, tmp_path / "run")
    text = (run / "recipe.yaml").read_text()
    start = text.index("modalities:\n")
    parts = text[start:].split("  meg:\n")
    (run / "recipe.yaml").write_text(
        text[:start] + parts[0] + "  fmri:\n" + parts[1].split("  fmri:\n")[1]
    )
    with pytest.raises(NeuroalignError, match="has no meg recordings; it has eeg, fmri"):
        encode_run(run, "meg")
