"""No group lies on both sides of a split, whatever the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from neuroalign.errors import NeuroalignError
from neuroalign.recordings.regroup import SPLIT_BY, Regrouped, SplitBy, group_names, regroup


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    n = draw(st.integers(4, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = {c: draw(st.integers(1, 4)) for c in ("subject", "session", "run")}
    picture = rng.integers(0, draw(st.integers(2, 12)), n)
    table = pd.DataFrame(
        {c: [f"{c[0]}{i}" for i in rng.integers(0, k, n)] for c, k in sizes.items()}
    )
    table["stimulus"] = pd.array([f"p{i}" for i in picture], dtype="string")
    table["label"] = pd.array([f"c{i // 2}" for i in picture], dtype="string")
    table["split"] = rng.choice(["train", "test"], n)
    if draw(st.booleans()):  # pictures that nobody noted
        table.loc[rng.random(n) < 0.3, "stimulus"] = pd.NA
    if draw(st.booleans()):
        table["session"] = pd.NA
    table["repetition"] = 1
    table["array_row"] = table.groupby("subject").cumcount()
    return table


@settings(max_examples=60, deadline=None)
@given(tables(), st.sampled_from(SPLIT_BY), st.floats(0.05, 0.9), st.booleans(), st.integers(0, 5))
def test_no_group_and_no_picture_is_on_both_sides(
    table: pd.DataFrame, by: SplitBy, share: float, keep_test: bool, seed: int
) -> None:
    try:
        new = regroup(table, by, test_share=share, keep_test=keep_test, seed=seed)
    except NeuroalignError:
        assume(False)
    trials = new.trials
    test = trials["split"] == "test"
    groups = group_names(trials, by)
    assert not set(groups[test]) & set(groups[~test])
    assert not set(trials.loc[test, "stimulus"].dropna()) & set(
        trials.loc[~test, "stimulus"].dropna()
    )
    assert test.any()
    assert (~test).any()
    assert set(groups[test]) <= set(new.test_groups)
    # Nothing is lost but training trials with a test picture, or of a group of kept test trials.
    assert sorted([*trials.index, *new.left_out.index]) == list(range(len(table)))
    shown = new.left_out["stimulus"].isin(list(trials.loc[test, "stimulus"].dropna()))
    if keep_test:
        assert set(trials.index[test]) == set(table.index[table["split"] == "test"])
        shown |= group_names(new.left_out, by).isin(list(groups[test]))
    assert shown.all()
    if by != "person":
        assert set(trials.loc[~test, "subject"]) == set(table["subject"])
    # Repeats are counted from 1 on each side.
    known = trials.dropna(subset=["stimulus"])
    for _, own in known.groupby(["subject", "stimulus", "split"]):
        assert own["repetition"].tolist() == list(range(1, len(own) + 1))


def design(pictures_per_run: int = 4) -> pd.DataFrame:
    rows = [
        {"subject": s, "session": ses, "run": r, "stimulus": f"p{run_no * pictures_per_run + i}"}
        for s in ("sub_a", "b")
        for run_no, (ses, r) in enumerate([("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")])
        for i in range(pictures_per_run)
    ]
    table = pd.DataFrame(rows).astype("string")
    table["label"] = table["stimulus"].str.replace("p", "c")
    return table.assign(split="train", repetition=1, array_row=table.groupby("subject").cumcount())


def held_out(new: Regrouped, *columns: str) -> set[tuple[str, ...]]:
    rows = new.trials.loc[new.trials["split"] == "test", list(columns)]
    return set(rows.itertuples(index=False, name=None))


def test_groups_are_held_out_by_name() -> None:
    table = design()
    assert held_out(regroup(table, "run", test=["run-2"]), "session", "run") == {
        ("1", "2"),
        ("2", "2"),
    }
    assert held_out(regroup(table, "run", test=["2"]), "session", "run") == {("1", "2"), ("2", "2")}
    padded = table.assign(run="0" + table["run"])
    assert held_out(regroup(padded, "run", test=["2"]), "run") == {("02",)}
    assert held_out(regroup(padded, "run", test=["run-02"]), "run") == {("02",)}
    one = regroup(table, "run", test=["sub_a_ses-2_run-1"])
    assert held_out(one, "subject", "session", "run") == {("sub_a", "2", "1")}
    assert held_out(regroup(table, "session", test=["2"]), "session") == {("2",)}
    assert held_out(regroup(table, "picture", test=["p3", "p9"]), "stimulus") == {("p3",), ("p9",)}
    assert held_out(regroup(table, "concept", test=["c5"]), "label") == {("c5",)}


def test_the_share_is_one_of_groups_and_the_seed_draws_them() -> None:
    table = design()
    drawn = [regroup(table, "picture", test_share=0.25, seed=s).test_groups for s in (0, 0, 1)]
    assert [len(d) for d in drawn] == [4, 4, 4]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    by_run = regroup(table, "run", test_share=0.25)
    assert len(by_run.test_groups) == 2, "a run of each person"
    short = table[(table["subject"] == "b") | ((table["session"] == "1") & (table["run"] == "1"))]
    assert held_out(regroup(short, "run"), "subject") == {("b",)}, "the other has one run only"


def test_training_trials_with_test_pictures_are_left_out_and_counted() -> None:
    table = design()
    new = regroup(table, "run", test=["sub_a_ses-1_run-1"])  # b saw the same four pictures
    assert new.left_out["subject"].tolist() == ["b"] * 4
    assert len(new.trials) == len(table) - 4
    with pytest.raises(
        NeuroalignError, match=r"which may not lie on both sides\. Split by picture"
    ):
        regroup(table, "person", test=["b"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "picture", "test": ["dog"]}, "'dog' is no picture"),
        ({"by": "run", "test": ["run-7"]}, "'run-7' is no run"),
        ({"by": "session", "test": ["1", "2"]}, "no training trials are left"),
        ({"by": "run", "test_share": 1.5}, "between 0 and 1"),
        ({"by": "picture", "test": [f"p{i}" for i in range(16)]}, "no training trials"),
    ],
)
def test_impossible_splits_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(NeuroalignError, match=message):
        regroup(design(), **arguments)  # type: ignore[arg-type]


def test_what_the_table_does_not_know_cannot_be_split_by() -> None:
    unknown = design().assign(stimulus=pd.array([pd.NA] * 32, "string"))
    with pytest.raises(NeuroalignError, match="can be split by concept, run, session, person"):
        regroup(unknown, "picture")
    with pytest.raises(NeuroalignError, match="there is a single person"):
        regroup(unknown[unknown["subject"] == "b"], "person")
    with pytest.raises(NeuroalignError, match="each person has a single session"):
        regroup(unknown[unknown["session"] == "1"], "session")


def test_two_classes_are_not_split_by_class() -> None:
    """Held out whole, one is left on each side, and there is nothing to tell apart."""
    table = design().assign(stimulus=pd.array([pd.NA] * 32, "string"))
    table["label"] = pd.array(["face", "house"] * 16, "string")
    with pytest.raises(NeuroalignError) as refused:
        regroup(table, "concept")
    said = str(refused.value)
    assert "all 16 test trials would be of one class" in said
    assert "There are 2 in all (face, house)" in said
    assert "Split by run or session" in said
    assert set(regroup(table, "run").trials["split"]) == {"train", "test"}
    # Where pictures are known, those of one class can still be told apart.
    pictured = design().assign(label=table["label"].to_numpy())
    pictured["stimulus"] = pictured["stimulus"] + pictured["label"]
    assert regroup(pictured, "concept").trials.groupby("split")["label"].nunique().eq(1).all()

    with pytest.raises(NeuroalignError, match="Hold out others, so that each side has at least"):
        regroup(table.assign(label=["face", *["house"] * 31]), "run")
