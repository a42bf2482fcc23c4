"""From recordings to a bundle: what is looked at, what is refused, what comes out."""

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import make_pictures, small_recipe, write_fmri

from neuroalign.errors import NeuroalignError
from neuroalign.models.space import fit_space
from neuroalign.recordings.schema import RecordingsInfo
from neuroalign.recordings.writer import write_recordings
from neuroalign.training.pipeline import fit_bundle

DEFAULT = small_recipe("default", training={"epochs": 2, "batch_size": 32})
PAPER = small_recipe("paper", training={"epochs": 2, "batch_size": 32, "refit": True})


def weights(recordings, pictures, recipe=DEFAULT):
    return fit_bundle({"fmri": recordings}, pictures, recipe).bundle.modules["fmri"].state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())


@pytest.mark.parametrize("recipe", [DEFAULT, PAPER], ids=["default", "paper"])
def test_test_trials_are_never_looked_at(tmp_path, pictures, recipe):
    plain = write_fmri(tmp_path / "a", pictures)
    other = write_fmri(tmp_path / "b", pictures, test_offset=1000.0)
    train = [r.select(split="train") for r in (plain, other)]
    test = [r.select(split="test") for r in (plain, other)]
    for subject in plain.subjects:
        assert np.array_equal(*(v.select(subject=subject).read() for v in train))
        assert not np.array_equal(*(v.select(subject=subject).read() for v in test))
    expected = weights(plain, pictures, recipe)
    assert same(expected, weights(other, pictures, recipe))
    changed = write_fmri(tmp_path / "c", pictures, train_offset=0.5)
    assert not same(expected, weights(changed, pictures, recipe))  # the comparison can fail


def test_pictures_that_only_the_test_shows_do_not_shape_the_space(fmri, pictures):
    shown = sorted(set(fmri.select(split="train").trials["stimulus"]))
    rows = pictures.items["stimulus"].isin(shown).to_numpy()
    space = fit_bundle({"fmri": fmri}, pictures, DEFAULT).bundle.space
    assert space.name == fit_space(pictures.take(rows), components=4).name


@pytest.mark.parametrize("preset", ["default", "paper"])
@pytest.mark.parametrize("align", ["trained", "frozen_random", "none"])
def test_every_alignment_trains_people_of_different_widths(fmri, pictures, preset, align):
    recipe = small_recipe(preset, align=align, training={"epochs": 1, "batch_size": 64})
    fitted = fit_bundle({"fmri": fmri}, pictures, recipe)
    module = fitted.bundle.modules["fmri"]
    assert module.architecture.align == align
    assert len(module.alignment.layers) == (1 if align == "none" else 2)
    embedded = fitted.bundle.embed(fmri.select(split="test"))
    assert embedded.space == fitted.bundle.space.name
    assert not module.training


def test_the_ridge_start_is_epoch_0_and_better_than_chance(fmri, pictures, tmp_path):
    recipe = small_recipe("default", training={"epochs": 1, "refit": False})
    fitted = fit_bundle({"fmri": fmri}, pictures, recipe, folder=tmp_path)
    log = pd.read_csv(tmp_path / "logs" / "fmri-search.csv")
    assert log["epoch"].tolist() == [0, 1]
    assert log["two_way"][0] > 0.75
    assert fitted.choices["fmri"].two_way > 0.75
    assert list((tmp_path / "logs" / "tensorboard" / "fmri-search").glob("events*"))


def test_a_random_start_has_no_choices(fmri, pictures):
    assert fit_bundle({"fmri": fmri}, pictures, PAPER).choices == {}


def test_several_modalities_share_the_space_and_the_validation_pictures(fmri, pictures, tmp_path):
    rng = np.random.default_rng(0)
    table = fmri.trials[fmri.trials["subject"] == "anna"].assign(subject="cleo")
    info = RecordingsInfo(modality="meg", axes=("channels", "samples"), units="T")
    meg = write_recordings(
        tmp_path / "meg", info, {"cleo": rng.normal(size=(len(table), 3, 9))}, table
    )
    fitted = fit_bundle({"fmri": fmri, "meg": meg}, pictures, DEFAULT)
    assert set(fitted.bundle.modules) == {"fmri", "meg"}
    assert len({m.space.name for m in fitted.bundle.modules.values()}) == 1
    held = {
        m: set(r.select(split="train").trials["stimulus"][fitted.validation[m]])
        for m, r in (("fmri", fmri), ("meg", meg))
    }
    assert held["fmri"] == held["meg"]
    assert len(held["fmri"]) == round(0.3 * 32)
    kept = set(fmri.select(split="train").trials["stimulus"][~fitted.validation["fmri"]])
    assert not held["fmri"] & kept


def test_a_picture_without_embedding_is_named(fmri, pictures):
    with pytest.raises(NeuroalignError, match="such as p03"):
        fit_bundle({"fmri": fmri}, pictures.take(np.delete(np.arange(40), 3)), DEFAULT)


def test_recordings_without_training_trials_are_refused(fmri, pictures):
    with pytest.raises(NeuroalignError, match="no training trials"):
        fit_bundle({"fmri": fmri.select(split="test")}, pictures, DEFAULT)


@pytest.mark.parametrize(
    ("kept", "said"),
    [(1, "'ben' has 1 training trial"), (0, r"ben has no training trials \(split == 'train'\)")],
)
def test_a_person_with_hardly_any_training_trials_is_named(fmri, pictures, kept, said):
    trials = fmri.trials
    mine = ((trials["subject"] == "ben") & (trials["split"] == "train")).to_numpy(bool)
    view = fmri.take(~mine | (np.cumsum(mine) <= kept))
    with pytest.raises(NeuroalignError, match=said):
        fit_bundle({"fmri": view}, pictures, PAPER)


def test_training_trials_of_one_picture_are_refused(fmri, pictures):
    rows = (fmri.trials["stimulus"] == "p00").to_numpy(bool)
    recipe = small_recipe(validation={"by": "run"})
    with pytest.raises(NeuroalignError, match="All training trials show the same picture"):
        fit_bundle({"fmri": fmri.take(rows)}, pictures, recipe)


def test_a_person_who_saw_one_picture_starts_at_random_or_not_at_all(tmp_path, pictures):
    recordings = write_fmri(tmp_path / "fmri", pictures, repeats=6)
    trials = recordings.trials
    keep = ((trials["subject"] == "anna") | (trials["stimulus"] == "p00")).to_numpy(bool)
    changes = {"validation": {"by": "run"}, "training": {"epochs": 1, "refit": False}}
    with pytest.raises(NeuroalignError, match=r"'ben'.* all show the same picture"):
        fit_bundle({"fmri": recordings.take(keep)}, pictures, small_recipe(**changes))
    random = fit_bundle({"fmri": recordings.take(keep)}, pictures, small_recipe("paper", **changes))
    assert random.bundle.modules["fmri"].subjects == ("anna", "ben")


def test_a_recipe_for_spatial_layers_cannot_start_from_ridge(tmp_path, pictures):
    table = pd.DataFrame(
        {"subject": "a", "stimulus": [f"p{i:02d}" for i in range(40)], "split": "train"}
    )
    info = RecordingsInfo(modality="meg", axes=("channels", "samples"), units="T")
    signals = {"a": np.random.default_rng(0).normal(size=(40, 3, 9))}
    meg = write_recordings(tmp_path / "meg", info, signals, table)
    spatial = {"alignment": "spatial", "network": "time_cnn", "hidden": 8}
    recipe = small_recipe("default", architectures={"meg": spatial})
    with pytest.raises(NeuroalignError, match="ridge start needs linear alignment"):
        fit_bundle({"meg": meg}, make_pictures(), recipe)
