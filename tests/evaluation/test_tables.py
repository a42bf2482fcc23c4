"""Tables say what was scored, and show the paper's numbers only as the paper's."""

import csv
import io
import json
from dataclasses import asdict, replace

import pytest

from neuroalign.evaluation.paper import PAPER_TABLES, published
from neuroalign.evaluation.scores import Score, read_scores
from neuroalign.evaluation.tables import (
    CEILING_COLUMN,
    P_COLUMN,
    SHARE_COLUMN,
    display_table,
    to_csv,
    to_json,
    to_markdown,
    to_text,
)

PLAIN = Score(
    "decoding",
    "eeg",
    "pictures",
    "default",
    "two_way_retrieved",
    0.6123456789,
    0.55,
    0.67,
    0.50625,
    80,
    80,
    "average of 4 repeats",
)
SCORES = [
    PLAIN,
    replace(PLAIN, subject="sub-01", ceiling=0.93, simulated=True),
    replace(PLAIN, model="a|b [bold]", task="conversion", target="fmri", note="over classes"),
]


def test_each_number_stands_beside_its_chance_interval_and_items():
    row = display_table(SCORES).iloc[0]
    assert row["score"] == "0.612"
    assert row["95 % interval"] == "0.550 to 0.670"
    assert row["chance"] == "0.506"
    assert row["items"] == "average of 4 repeats"
    assert row["from -> to"] == "EEG -> pictures"


def test_simulated_data_is_called_simulated_in_each_row_and_form():
    assert display_table(SCORES)["data"].tolist() == ["recorded", "simulated", "recorded"]
    assert to_text(SCORES, width=250).count("simulated") == 1
    assert to_markdown(SCORES).count("simulated") == 1
    assert [r["simulated"] for r in json.loads(to_json(SCORES))] == [False, True, False]


def test_empty_optional_columns_are_left_out():
    columns = display_table([PLAIN]).columns
    assert not {P_COLUMN, CEILING_COLUMN, SHARE_COLUMN, "note"} & set(columns)
    assert CEILING_COLUMN in display_table(SCORES).columns


def test_a_ceiling_names_itself_and_p_values_are_the_corrected_ones():
    ceiling = {"ceiling": 0.93, "ceiling_name": "own repeats"}
    share = {"share": 0.25, "share_low": 0.1, "share_high": 0.41}
    score = replace(PLAIN, **ceiling, **share, p=0.001, p_corrected=0.0042)
    tiny = replace(PLAIN, p=1e-5, p_corrected=1e-4)
    table = display_table([score, tiny])
    assert table[CEILING_COLUMN].tolist() == ["0.930 (own repeats)", ""]
    assert table[SHARE_COLUMN].tolist() == ["0.25 (0.10 to 0.41)", ""]
    assert table[P_COLUMN].tolist() == ["0.004", "< 0.001"]


def test_text_shows_every_cell_without_markup():
    text = to_text(SCORES, width=300)
    assert "a|b [bold]" in text
    assert "0.930" in text


def test_markdown_has_equal_cells_in_each_row():
    lines = to_markdown(SCORES).splitlines()
    cells = {line.replace("\\|", "").count("|") for line in lines}
    assert len(cells) == 1
    assert len(lines) == 2 + len(SCORES)


def test_csv_and_json_keep_every_digit(tmp_path):
    rows = list(csv.DictReader(io.StringIO(to_csv(SCORES))))
    assert [float(r["value"]) for r in rows] == [s.value for s in SCORES]
    assert set(rows[0]) == set(asdict(PLAIN))
    (tmp_path / "scores.json").write_text(to_json(SCORES))
    assert read_scores(tmp_path / "scores.json") == SCORES


def test_no_scores_give_an_empty_table():
    assert display_table([]).empty
    assert to_json([]) == "[]\n"
    assert to_csv([]).startswith("task,")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("meg", "pictures", "class_top5"), 0.061),
        (("pictures", "eeg", "two_way_retrieved"), 0.855),
        (("fmri", "meg", "two_way_retrieved"), 0.5679),
        (("eeg", "fmri", "two_way_retrieved_normalised"), 0.8598),
    ],
)
def test_the_papers_tables(key, value):
    assert PAPER_TABLES[key].value == value


def test_the_papers_normalised_numbers_agree_with_their_denominators():
    """Table 2 divides by 0.802 (to EEG), 0.595 (to MEG), 0.889 (to fMRI)."""
    denominators = {"eeg": 0.802, "meg": 0.595, "fmri": 0.889}
    normalised = {k: v for k, v in PAPER_TABLES.items() if k[2].endswith("normalised")}
    assert len(normalised) == 6
    for (source, target, _), number in normalised.items():
        plain = PAPER_TABLES[source, target, "two_way_retrieved"].value
        assert plain / denominators[target] == pytest.approx(number.value, abs=2e-3)


def test_the_paper_has_nothing_for_single_people():
    assert published(PLAIN) is not None
    assert published(replace(PLAIN, subject="sub-01")) is None
