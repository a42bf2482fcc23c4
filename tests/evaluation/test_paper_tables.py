"""Our scores in the shape of the paper's tables."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console
from rich.table import Table

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.paper import PAPER_COLUMN
from neuroalign.evaluation.paper_tables import (
    REASON,
    conversion_table,
    decoding_table,
    encoding_table,
    in_papers_shape,
    number_rows,
)
from neuroalign.evaluation.protocols import unmet_note
from neuroalign.evaluation.scores import Score
from neuroalign.evaluation.table_formats import (
    format_rows,
    format_table,
    named_format,
    notes_below,
    text_table,
    width_of,
)


def printed(table: Table) -> str:
    console = Console(width=width_of(table), file=StringIO(), record=True)
    console.print(table)
    return console.export_text()


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
        (
            {"note": unmet_note("paper/decoding@1") + "3 people of eeg instead of 6"},
            THEIRS,
            "3 people of eeg instead of 6",
        ),
    ],
)
def test_where_they_do_not_compare_it_says_why(
    change: dict[str, object], datasets: dict[str, str], reason: str
) -> None:
    changed = [replace(s, **change) for s in EEG]  # type: ignore[arg-type]
    (row,) = decoding_table(changed, datasets, {}).to_dict("records")
    assert row[PAPER_COLUMN] == "" and row[REASON] == reason


def test_the_papers_meg_is_that_of_the_raw_files_too() -> None:
    scores = [score("decoding", "meg", "pictures", "two_way_retrieved", 0.6)]
    (row,) = decoding_table(scores, THEIRS | {"meg": "things-meg-raw"}, {}).to_dict("records")
    assert row[REASON] == "" and row[PAPER_COLUMN].endswith("0.601")


def test_a_conversion_needs_both_data_sets() -> None:
    scores = [
        score("conversion", "fmri", "eeg", "two_way_retrieved", 0.6),
        score("conversion", "fmri", "eeg", "two_way_retrieved_normalised", 0.8),
    ]
    (row,) = conversion_table(scores, THEIRS).to_dict("records")
    assert row["conversion"] == "fMRI -> EEG, trials"
    assert row[PAPER_COLUMN] == "0.671 / 0.837"
    assert row["way to the ceiling"] == "-"
    near = replace(scores[0], share=0.5, share_low=0.25, share_high=0.875)
    (row,) = conversion_table([near, scores[1]], THEIRS).to_dict("records")
    assert row["way to the ceiling"] == "0.50 (0.25..0.88)"
    (row,) = conversion_table(scores, THEIRS | {"fmri": "arrays"}).to_dict("records")
    assert row[REASON] == "fMRI of arrays, not nsd"


def test_a_retrieval_without_the_papers_metrics_is_no_row() -> None:
    assert decoding_table([score("decoding", "eeg", "pictures", "median_rank", 3.0)], {}, {}).empty


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


def test_numbers_for_programs_have_columns_of_their_own() -> None:
    people = [replace(s, subject="sub-01") for s in EEG]
    (first, *_), named = number_rows(EEG, THEIRS), in_papers_shape([*EEG, *people])
    assert named == EEG
    assert first | asdict(EEG[0]) == first
    assert (first["paper"], first["paper_chance"]) == (0.4, 0.025)
    assert first["why_not_comparable"] == ""
    (own, item) = number_rows([EEG[0], replace(EEG[0], metric="median_rank")], {})
    assert own["paper"] is None and own["why_not_comparable"].startswith("EEG of own recordings")
    assert item["why_not_comparable"] == "not given in the paper"
    table = pd.read_csv(StringIO(format_rows([own, first], "csv")))
    assert table["value"].tolist() == [0.31, 0.31] and table["low"].tolist() == [EEG[0].low] * 2
    assert table["paper"].isna().tolist() == [True, False]
    assert json.loads(format_rows([own, first], "json")) == [own, first]


@pytest.mark.parametrize(
    ("typed", "form"),
    [("md", "markdown"), ("Markdown", "markdown"), (".csv", "csv"), ("tex", "latex")],
)
def test_a_format_goes_by_its_usual_names(typed: str, form: str) -> None:
    assert named_format(typed) == form


def test_an_unknown_format_is_told_which_there_are() -> None:
    with pytest.raises(NeuroalignError, match=r"'pdf'; there are text, markdown, latex, csv, json"):
        named_format("pdf")


def test_reasons_stand_below_a_table_and_no_word_is_broken() -> None:
    scores = [replace(s, simulated=True, items=i) for i in ("trials", "averages") for s in EEG]
    scores += [replace(s, source="meg") for s in EEG]
    table, notes = notes_below(decoding_table(scores, THEIRS, {"eeg": 40}), REASON, PAPER_COLUMN)
    assert REASON not in table
    assert notes == ["note 1: simulated recordings"]
    assert table[PAPER_COLUMN].tolist() == ["note 1", "note 1", "0.012 / 0.061 / 0.601"]
    shown = printed(text_table(table, width=20))
    for word in ("retrieval", "averages", "(0.210..0.410)", "Ferrante"):
        assert word in shown


def test_intervals_stay_whole_in_a_narrow_terminal() -> None:
    shown = printed(text_table(decoding_table(EEG, THEIRS, {"eeg": 40}), width=40))
    assert "(0.210..0.410)" in shown
    assert "…" not in shown


def test_a_table_takes_the_width_that_there_is_and_no_more_than_it_needs() -> None:
    table = pd.DataFrame({"what": ["one two three four", "x"], "": ["a\nb", ""]})
    assert [width_of(text_table(table, width=w)) for w in (5, 12, 20, 99)] == [13, 13, 20, 26]
    for width in (5, 20, 99):
        drawn = text_table(table, width=width)
        lines = printed(drawn).splitlines()
        assert {len(line) for line in lines} == {width_of(drawn)}
        words = " ".join(" ".join(line.split("│")) for line in lines).split()
        assert {"one", "two", "three", "four", "x", "a", "b"} <= set(words)
