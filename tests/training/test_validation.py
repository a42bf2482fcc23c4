"""The validation split, and the statistics of training trials."""

import numpy as np
import pytest

from neuroalign.errors import NeuroalignError
from neuroalign.images.targets import class_targets
from neuroalign.recipe import ValidationRecipe
from neuroalign.training.statistics import mean_and_scale
from neuroalign.training.targets import make_targets
from neuroalign.training.validation import validation_masks


def masks(recordings, by, fraction=0.25, seed=0):
    view = {"fmri": recordings.select(split="train")}
    return validation_masks(view, ValidationRecipe(by=by, fraction=fraction), seed)["fmri"]


def test_by_stimulus_whole_pictures_are_held_out(fmri):
    trials = fmri.select(split="train").trials
    held = masks(fmri, "stimulus")
    inside, outside = set(trials["stimulus"][held]), set(trials["stimulus"][~held])
    assert not inside & outside
    assert len(inside) == 8  # a quarter of 32
    assert np.array_equal(held, masks(fmri, "stimulus"))
    assert not np.array_equal(held, masks(fmri, "stimulus", seed=1))


def test_by_run_whole_runs_of_each_person_are_held_out(fmri):
    trials = fmri.select(split="train").trials
    held = masks(fmri, "run")
    runs = trials["subject"] + "/" + trials["run"]
    assert not set(runs[held]) & set(runs[~held])
    per_person = trials[held].groupby("subject")["run"].nunique()
    assert per_person.to_dict() == {"anna": 1, "ben": 1}  # a quarter of 4
    all_but_one = trials[~masks(fmri, "run", fraction=0.99)].groupby("subject")["run"].nunique()
    assert all_but_one.to_dict() == {"anna": 1, "ben": 1}


def test_a_column_that_is_not_there_is_named_with_the_way_out(fmri):
    with pytest.raises(
        NeuroalignError, match=r"'block'.*128 of 128 .*`validation: {by: stimulus}`"
    ):
        masks(fmri, "block")


def test_too_few_pictures(fmri):
    few = fmri.take(fmri.trials["stimulus"].isin(["p00", "p01", "p02"]).to_numpy())
    with pytest.raises(
        NeuroalignError, match=r"3 training picture\(s\) are too few to split off 2"
    ):
        masks(few, "stimulus")


def test_a_person_left_with_nothing_is_named(fmri):
    trials = fmri.select(split="train").trials
    lost = trials["stimulus"][masks(fmri, "stimulus")].iloc[0]
    anna = fmri.trials["subject"] == "anna"
    view = fmri.take((anna | (fmri.trials["stimulus"] == lost)).to_numpy())
    with pytest.raises(NeuroalignError, match="all training pictures of ben"):
        masks(view, "stimulus")


def test_mean_and_scale_equal_numpy(fmri):
    x = fmri.select(subject="anna", split="train").read().astype(float)
    mean, scale = mean_and_scale(fmri.select(split="train"), "anna")
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-6)
    np.testing.assert_allclose(scale, x.std(0), rtol=1e-6)


def test_targets_are_pictures_first_and_classes_where_no_picture_is_known(fmri, pictures):
    targets = make_targets(pictures, class_targets(["c0", "c1"], pictures))
    trials = fmri.trials.head(4).assign(
        stimulus=["p05", None, None, "p01"], label=["c0", "c1", "c0", "c1"]
    )
    assert targets.of(trials, "here").tolist() == [5, 41, 40, 1]
    with pytest.raises(NeuroalignError, match=r"here: 1 trial\(s\) .*\(such as c9\)"):
        targets.of(trials.assign(label=["c0", "c9", "c0", "c1"]), "here")


def test_a_picture_named_twice_is_refused(pictures):
    with pytest.raises(NeuroalignError, match="'p03' twice"):
        make_targets(pictures.take([1, 3, 2, 3]), None)
