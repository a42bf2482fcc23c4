from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from PIL import Image
from sklearn.decomposition import PCA

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.main_metrics import leading
from neuroalign.evaluation.scores import Score
from neuroalign.recordings import Recordings
from neuroalign.recordings.container import Channel
from neuroalign.report import recording_figure
from neuroalign.report.embedding_map import embedding_map, principal_plane
from neuroalign.report.figures import score_bars, task_matrix, training_curves
from neuroalign.report.recordings_figures import Box, _peak, _slices, draw_recording, flat_positions
from neuroalign.report.score_tables import reasons_html, score_table_html, shown_first
from neuroalign.report.style import new_figure, sheet, write_figure
from neuroalign.report.verdict import verdict
from neuroalign.retrieval import Embeddings

BASE = Score(
    "decoding", "eeg", "pictures", "default", "two_way_retrieved", 0.7, 0.6, 0.8, 0.5, 10, 10, "x"
)


def _score(**changes: object) -> Score:
    return Score(**{**BASE.__dict__, **changes})


def test_sensor_positions_are_flattened_by_their_angle_from_the_vertex() -> None:
    half = np.sqrt(0.5)
    places = [(0, 0, 0.1), (0.1, 0, 0), (0, -0.1, 0), (0.1 * half, 0, 0.1 * half)]
    channels = [Channel(name=str(i), type="eeg", position=p) for i, p in enumerate(places)]
    flat = flat_positions(channels)
    np.testing.assert_allclose(flat, [[0, 0], [1, 0], [0, -1], [0.5, 0]], atol=1e-12)
    assert flat_positions([*channels, Channel(name="x", type="eeg")]) is None
    assert flat_positions([]) is None


def test_the_map_is_taken_where_sensors_differ_most_after_onset() -> None:
    times = np.linspace(-0.2, 0.5, 8)
    signal = np.zeros((3, 8))
    signal[:, 0] = [-9, 0, 9]  # before onset: never
    signal[:, 4] = [5, 5, 5]  # all alike: no pattern
    signal[:, 6] = [-1, 0, 1]
    assert _peak(signal, times) == 6


def test_voxels_come_back_to_their_places() -> None:
    shape = (4, 5, 6)
    index = np.arange(np.prod(shape))
    slices = _slices(index.astype(float), index, shape)
    assert [s.shape for s in slices] == [(5, 4)] * 3
    for image in slices:
        i, j, k = np.unravel_index(image.astype(int).T, shape)
        assert (i == np.arange(4)[:, None]).all()
        assert (j == np.arange(5)).all()
        assert len(np.unique(k)) == 1
    lonely = _slices(np.array([7.0]), np.array([17]), shape)
    assert [s.tolist() for s in lonely] == [[[7.0]]]


@pytest.mark.parametrize("modality", ["eeg", "fmri"])
def test_a_recording_is_drawn_the_same_each_time(
    modality: str, report_recordings: dict[str, Recordings], tmp_path: Path
) -> None:
    view = report_recordings[modality].select(split="test").average_repeats()
    for suffix in (".png", ".svg", ".pdf"):
        first = recording_figure(view, 1, tmp_path / f"a{suffix}").read_bytes()
        assert recording_figure(view, 1, tmp_path / f"b{suffix}").read_bytes() == first
    other = recording_figure(view, 2, tmp_path / "c.png").read_bytes()
    assert other != (tmp_path / "a.png").read_bytes()
    with pytest.raises(NeuroalignError, match="no item 99"):
        recording_figure(view, 99, tmp_path / "d.png")
    assert not (tmp_path / "d.png").exists()


def _changed(recordings: Recordings, out: Path, **changes: object) -> Recordings:
    """Copy recordings with other metadata."""
    shutil.copytree(recordings.path, out)
    info = json.loads((out / "recordings.json").read_text())
    (out / "recordings.json").write_text(json.dumps({**info, **changes}))
    return Recordings(out)


def test_sensors_without_positions_are_drawn_without_a_map(
    report_recordings: dict[str, Recordings], tmp_path: Path
) -> None:
    for name, channels, n_axes in (("known", None, 2), ("unknown", [], 1)):
        changes = {} if channels is None else {"channels": channels}
        view = _changed(report_recordings["eeg"], tmp_path / name, **changes)
        figure = new_figure(3, 2)
        draw_recording(sheet(figure), Box(0, 0, 3, 2), view, 0)
        assert len(figure.axes) == n_axes


def test_voxels_without_a_volume_are_drawn_in_their_order(
    report_recordings: dict[str, Recordings], tmp_path: Path
) -> None:
    recordings = report_recordings["fmri"]
    info = json.loads((recordings.path / "recordings.json").read_text())
    people = {s: {**i, "volume": None} for s, i in info["subjects"].items()}
    view = _changed(recordings, tmp_path / "flat", subjects=people)
    figure = new_figure(3, 2)
    page = sheet(figure)
    note = draw_recording(page, Box(0, 0, 3, 2), view, 0)
    assert note == "all voxels, in their stored order"
    drawn = np.ma.asarray(page.images[0].get_array())
    np.testing.assert_allclose(drawn.compressed(), view.read([0])[0], rtol=1e-6)


def test_the_plane_of_the_map_is_that_of_principal_component_analysis() -> None:
    x = np.random.default_rng(0).standard_normal((20, 6)) * np.arange(1, 7)
    mean, axes, shares = principal_plane(x)
    pca = PCA(2).fit(x)
    flat = (x - mean) @ axes
    np.testing.assert_allclose(np.abs(flat), np.abs(pca.transform(x)), atol=1e-9)
    np.testing.assert_allclose(shares, pca.explained_variance_ratio_)
    np.testing.assert_allclose(principal_plane(x[::-1])[1], axes, atol=1e-9)  # no mirror images


def test_lines_of_the_map_run_from_recordings_to_their_pictures(
    report_pictures: Embeddings,
) -> None:
    rng = np.random.default_rng(0)
    items = report_pictures.items.iloc[[3, 8, 3]].assign(kind="eeg", subject="s")
    recorded = Embeddings(rng.standard_normal((3, 8)), items, "test-space")
    figure = embedding_map(report_pictures, {"eeg": recorded}, simulated=True)
    panel = figure.axes[1]
    lines = next(c for c in panel.collections if isinstance(c, LineCollection)).get_segments()
    mean, axes, _ = principal_plane(report_pictures.vectors)
    goals = (report_pictures.vectors[[3, 8]] - mean) @ axes
    starts = [recorded.vectors[[0, 2]].mean(0), recorded.vectors[1]]
    np.testing.assert_allclose([line[1] for line in lines], goals, atol=1e-6)
    np.testing.assert_allclose([line[0] for line in lines], (starts - mean) @ axes, atol=1e-6)
    assert panel.get_title(loc="left").startswith("Simulated")


def test_bars_stand_at_the_scores_with_chance_and_ceiling() -> None:
    scores = [
        _score(ceiling=0.9),
        _score(model="ridge", value=0.6, low=0.55, high=0.66),
        _score(source="meg", value=0.65, chance=0.52),
    ]
    figure = score_bars(scores, ["default", "ridge"], simulated=True)
    axes = figure.axes[0]
    heights = [round(p.get_height(), 6) for c in axes.containers[::2] for p in c.patches]
    assert heights == [0.7, 0.65, 0.6]
    levels = {round(float(line.get_ydata()[0]), 6) for line in axes.lines if len(line.get_ydata())}
    assert {0.5, 0.52, 0.9} <= levels


def test_the_matrix_puts_queries_in_rows_and_galleries_in_columns() -> None:
    scores = [_score(), _score(source="pictures", target="eeg", value=0.8)]
    values = task_matrix(scores).axes[0].images[0].get_array()
    assert np.ma.getmaskarray(values).tolist() == [[True, False], [False, True]]
    assert values.compressed().tolist() == [0.8, 0.7]


def test_training_curves_of_one_epoch_and_without_validation() -> None:
    logs = {"eeg": {"search": pd.DataFrame({"epoch": [0.0], "loss": [2.0]})}}
    figure = training_curves(logs, {"eeg": 0})
    assert [line.get_marker() for line in figure.axes[0].lines] == ["o"]


def test_figures_of_all_formats_are_written(tmp_path: Path) -> None:
    figure = score_bars([_score()], ["default"])
    with Image.open(write_figure(figure, tmp_path / "a.png")) as picture:
        assert picture.width > 500
    assert write_figure(figure, tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pdf", "a.png"]


def test_where_no_picture_is_known_classes_speak() -> None:
    known = [_score(metric="top1", value=0.1), _score(), _score(metric="class_accuracy")]
    unknown = [_score(metric="two_way_embedding"), _score(metric="class_accuracy", value=0.81)]
    unknown.append(_score(metric="class_top5", chance=0.97))
    assert leading(known) == known[1]
    assert leading(unknown) == unknown[1]
    assert shown_first(known, {}) == known[:2]
    assert shown_first(unknown, {}) == unknown[:2]
    by_class = [_score(task="classification", target="classes", metric="class_accuracy", value=0.6)]
    text = verdict([*known, *by_class], "default")
    assert "Decoding x (class accuracy): EEG 0.60 (chance 0.50)." in text


def test_the_papers_numbers_stand_beside_the_same_data_and_protocol_only() -> None:
    theirs = {"eeg": "imagenet-eeg"}
    same = [_score(metric=m, protocol="paper/decoding@1") for m in ("two_way_retrieved", "top1")]
    assert "0.794" in score_table_html(same, "t", theirs)
    assert reasons_html(same, theirs) == ""
    other = [replace(s, protocol="default@1") for s in same]
    simulated = [replace(s, simulated=True) for s in same]
    for scores, datasets, reason in (
        (other, theirs, "protocol default@1, not paper/decoding"),
        (simulated, theirs, "simulated recordings"),
        (same, {"eeg": "bids"}, "EEG of bids, not imagenet-eeg"),
    ):
        assert "Ferrante" not in score_table_html(scores, "t", datasets)
        assert f"EEG → pictures ({reason})" in reasons_html(scores, datasets)


def test_the_papers_class_scores_are_shown_where_its_numbers_stand_beside() -> None:
    scores = [_score(metric=m, protocol="paper/decoding@1") for m in ("class_top1", "top1")]
    assert shown_first(scores, {"eeg": "imagenet-eeg"}) == scores
    assert shown_first(scores, {}) == scores[1:]


def test_the_verdict_claims_no_more_than_the_intervals() -> None:
    scores = [
        _score(),
        _score(source="meg", value=0.52, low=0.45),
        _score(task="conversion", target="meg"),
        _score(task="conversion", target="fmri", low=0.49),
        _score(model="default - ridge per person", value=-0.1, low=-0.2, high=-0.01, chance=0.0),
        _score(source="meg", model="default - ridge per person", low=-0.1, high=0.1, chance=0.0),
        _score(subject="sub-1", value=0.99),
    ]
    text = verdict(scores, "default")
    assert "EEG 0.70 (chance 0.50)" in text
    assert "MEG 0.52 (chance 0.50, not above chance)" in text
    assert "1 of 2 conversions" in text
    assert "against ridge per person: EEG below it, MEG level." in text
    assert "0.99" not in text
    assert "not been scored" in verdict(scores, "another")
