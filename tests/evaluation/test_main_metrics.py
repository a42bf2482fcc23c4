"""Which metrics speak for a retrieval: one answer, for the terminal and the report."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from neuroalign.evaluation.main_metrics import blocks, leading, main_metrics, short_names
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.side_by_side import side_by_side
from neuroalign.evaluation.tables import METRIC_NAMES
from neuroalign.report.score_tables import score_table_html, shown_first


def scores(
    *metrics: str, source: str = "eeg", task: str = "decoding", **more: object
) -> list[Score]:
    return [
        Score(task, source, "pictures", "a", m, 0.6, 0.5, 0.7, 0.5, 10, 10, "trials", **more)  # type: ignore[arg-type]
        for m in metrics
    ]


def kept(*metrics: str) -> list[str]:
    return [s.metric for s in main_metrics(scores(*metrics))]


def test_where_pictures_are_known_classes_do_not_speak() -> None:
    assert kept("top1", "class_top1", "two_way_retrieved") == ["top1", "two_way_retrieved"]
    assert kept("median_rank", "class_top1") == ["median_rank"]
    assert kept("two_way_embedding") == ["two_way_embedding"]


def test_where_only_classes_are_they_do_and_a_2_way_over_pictures_stays() -> None:
    assert kept("class_top1", "balanced_accuracy") == ["class_top1", "balanced_accuracy"]
    # A conversion between sets that share no picture: the paper's main number.
    converted = ("class_top1", "two_way_retrieved", "two_way_retrieved_normalised")
    assert kept(*converted) == list(converted)


def test_the_class_among_five_of_two_tells_nothing() -> None:
    sure = [
        *scores("class_top1"),
        *(Score(**{**s.__dict__, "chance": 1.0}) for s in scores("class_top5")),
    ]
    assert [s.metric for s in main_metrics(sure)] == ["class_top1"]


def test_each_retrieval_has_its_own_and_single_people_none() -> None:
    pictured, classes = scores("top1"), scores("class_top1", source="fmri")
    person = scores("top1", subject="sub-01")
    assert main_metrics([*pictured, *classes, *person]) == [*pictured, *classes]
    assert blocks([*pictured, *classes]) == [pictured, classes]


def test_what_stands_for_a_retrieval_is_among_what_speaks_for_it() -> None:
    for metrics in (("top1", "two_way_embedding"), ("class_top1", "class_accuracy"), ("top5",)):
        block = scores(*metrics)
        first = leading(block)
        assert first is None or first in main_metrics(block)
        assert set(short_names(block)) <= set(METRIC_NAMES)


def test_terminal_and_report_show_the_same() -> None:
    for metrics in (
        ("top1", "class_top1", "class_accuracy", "two_way_embedding", "two_way_retrieved"),
        ("class_top1", "class_accuracy", "balanced_accuracy", "two_way_embedding"),
    ):
        block = scores(*metrics)
        drawn = StringIO()
        for table in side_by_side(block):
            Console(file=drawn, width=140, color_system=None).print(table)
        html = score_table_html(shown_first(block, {}), "t", {})
        main = {s.metric for s in main_metrics(block)}
        for metric in metrics:
            short = short_names(block).get(metric, metric)
            assert (f" {short} " in drawn.getvalue()) == (metric in main)
            assert (f"{METRIC_NAMES[metric]}</td>" in html) == (metric in main)
