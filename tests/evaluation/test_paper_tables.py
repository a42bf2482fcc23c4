"""Our scores in the shape of the paper's tables."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from neuroalign.evaluation.paper import PAPER_COLUMN
from neuroalign.evaluation.paper_tables import (
    REASON,
    conversion_table,
    decoding_table,
    encoding_table,
)
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.table_formats import format_table, text_table

THEIRS = {"eeg": "imagenet-eeg", "meg": "things-meg", "fmri": "nsd"}


def score(task: str, source: str, target: str, metric: str, value: float, **more: object) -> Score:
    plain = Score(
        task, source, target, "ours", metric, value, value - 0.1, value + 0.1, 0.5, 80, 40,
        "trials", protocol=f"paper/{task}@1",
    )  # fmt: skip
    return replace(plain, **more)  # type: ignore[arg-type]


EEG = [
    score("decoding", "eeg", "pictures", "class_top1", 0.31, chance=0.025),
    score("decoding", "eeg", "pictures", "class_top5", 0.52, chance=0.125),
    score("decoding", "eeg", "pictures", "two_way_retrieved", 0.71),
]


def test_the_papers_numbers_stand_beside_the_same_question() -> None:
    (row,) = decoding_table(EEG, THEIRS, {"eeg": 40}).to_dict("records")
    assert row == {
        "decoding": "EEG, trials",
        "top-1": "0.310 (0.210..0.410)",
        "top-5": "0.520 (0.420..0.620)",
        "2-way": "0.710 (0.610..0.810)",
        "chance top-1 / top-5 / 2-way": "0.025 / 0.125 / 0.500",
        "top-k by": "class",
        "retrieval set": "40",
        "classes": "40",
        PAPER_COLUMN: "0.400 / 0.543 / 0.794",
        REASON: "",
    }


@pytest.mark.parametrize(
    ("change", "datasets", "reason"),
    [
        ({"simulated": True}, THEIRS, "simulated recordings"),
        ({"protocol": "default@1"}, THEIRS, "protocol default@1, not paper/decoding"),
        ({}, THEIRS | {"eeg": "bids"}, "EEG of bids, not imagenet-eeg"),
        ({}, {}, "EEG of own recordings, not imagenet-eeg"),
    ],
)
def test_where_they_do_not_compare_it_says_why(
    change: dict[str, object], datasets: dict[str, str], reason: str
) -> None:
    changed = [replace(s, **change) for s in EEG]  # type: ignore[arg-type]
    (row,) = decoding_table(changed, datasets, {}).to_dict("records")
    assert row[PAPER_COLUMN] == "" and row[REASON] == reason


def test_a_conversion_needs_both_data_sets() -> None:
    scores = [
        score("conversion", "fmri", "eeg", "two_way_retrieved", 0.6),
        score("conversion", "fmri", "eeg", "two_way_retrieved_normalised", 0.8),
    ]
    (row,) = conversion_table(scores, THEIRS).to_dict("records")
    assert row["conversion"] == "fMRI -> EEG, trials"
    assert row[PAPER_COLUMN] == "0.671 / 0.837"
    (row,) = conversion_table(scores, THEIRS | {"fmri": "arrays"}).to_dict("records")
    assert row[REASON] == "fMRI of arrays, not nsd"


def test_encoding() -> None:
    table = encoding_table([score("encoding", "pictures", "meg", "two_way_retrieved", 0.6)], THEIRS)
    assert table[PAPER_COLUMN].tolist() == ["0.588"]


TABLE = pd.DataFrame({"what": ["a|b_c", "50 %"], "value": ["1", "2\n3"]})


@pytest.mark.parametrize(
    ("form", "lines"),
    [
        ("markdown", ["| a\\|b_c | 1 |", "| 50 % | 2<br>3 |", "**A & B**"]),
        ("latex", [r"  a\textbar{}b\_c & 1 \\", r"\caption{A \& B}", r"2 \\ 3\end{tabular} \\"]),
        ("csv", ["what,value", "a|b_c,1", '50 %,"2']),
        ("json", ['    "what": "a|b_c",', '    "value": "2\\n3"']),
        ("text", ["A & B"]),
    ],
)
def test_formats(form: str, lines: list[str]) -> None:
    written = format_table(TABLE, form, title="A & B")
    for line in lines:
        assert line in written


def test_latex_is_balanced() -> None:
    written = format_table(TABLE, "latex", title="{x}")
    bare = written.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    for name in ("table", "tabular"):
        assert written.count(rf"\begin{{{name}}}") == written.count(rf"\end{{{name}}}")


def test_intervals_stay_whole_in_a_narrow_terminal() -> None:
    console = Console(width=130, file=StringIO(), record=True)
    console.print(text_table(decoding_table(EEG, THEIRS, {"eeg": 40})))
    shown = console.export_text()
    assert "(0.210..0.410)" in shown
    assert "…" not in shown
