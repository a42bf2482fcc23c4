"""Recipes: presets are valid, errors name the field, what is written is what is read."""

import pytest
import yaml

from neuroalign.errors import NeuroalignError
from neuroalign.recipe import (
    dump_recipe,
    fit_recipe,
    load_recipe,
    make_recipe,
    preset,
    presets,
)

MINIMAL = {
    "name": "study",
    "pictures": "shipped",
    "encoder": "offline",
    "modalities": {"fmri": {"recordings": "data/fmri"}},
}


def changed(path, value):
    """Return the minimal recipe with one field, named by dots, set to a value."""
    *parents, last = path.split(".")
    content = {**MINIMAL, "modalities": {"fmri": {"recordings": "data/fmri"}}}
    inner = content
    for key in parents:
        inner = inner.setdefault(key, {})
    inner[last] = value
    return content


@pytest.mark.parametrize("name", ["default", "paper"])
def test_presets_are_valid_for_every_modality(name):
    assert name in presets()
    modalities = {m: {"recordings": m} for m in ("eeg", "meg", "fmri")}
    recipe = make_recipe(MINIMAL | {"preset": name, "modalities": modalities})
    assert set(recipe.architectures) == {"eeg", "meg", "fmri"}
    for modality in recipe.modalities:
        assert recipe.architecture(modality).align == "trained"
    assert fit_recipe(name).training == recipe.training


def test_the_preset_paper_holds_the_papers_settings():
    recipe = fit_recipe("paper")
    training = recipe.training
    stated = (training.epochs, training.batch_size, training.learning_rate, training.weight_decay)
    assert stated == (30, 256, 3e-4, 1e-3)
    assert (training.temperature, training.learn_temperature) == (1.0, False)
    assert (recipe.space.centre, recipe.space.components, recipe.space.power) == (
        False, (None,), (0.0,),
    )  # fmt: skip
    assert recipe.start.kind == "random"
    assert recipe.architectures["fmri"].network == "residual_mlp"
    assert recipe.architectures["eeg"].network == "spectrogram_cnn"
    assert recipe.architectures["meg"].network == "time_cnn"


def test_a_preset_is_a_fresh_copy():
    preset("default")["training"]["epochs"] = 999
    assert fit_recipe("default").training.epochs != 999


def test_overrides_change_what_they_name_and_nothing_beside_it():
    recipe = fit_recipe("paper", training={"epochs": 3}, align="none")
    expected = fit_recipe("paper").model_dump()
    expected["training"]["epochs"] = 3
    expected["align"] = "none"
    assert recipe.model_dump() == expected


def test_align_of_the_run_holds_unless_a_modality_has_its_own():
    content = MINIMAL | {
        "align": "frozen_random",
        "modalities": {
            "fmri": {"recordings": "a"},
            "meg": {"recordings": "b", "architecture": {"align": "none", "hidden": 7}},
        },
    }
    recipe = make_recipe(content)
    assert recipe.architecture("fmri").align == "frozen_random"
    assert recipe.architecture("meg").align == "none"
    assert recipe.architecture("meg").hidden == 7
    assert recipe.architecture("meg").network == recipe.architectures["meg"].network


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("colour", "red", "colour: there is no such field; there are seed, align, "),
        ("training.epoch", 3, "training.epoch: there is no such field; did you mean `epochs`"),
        ("training.epochs", "three", "training.epochs: .*integer.*'three'"),
        ("training.epochs", -1, "training.epochs: .*greater than or equal to 0"),
        ("training.batch_size", 1, "training.batch_size: .*greater than 1"),
        ("training.learning_rate", 0, "training.learning_rate"),
        ("training.learning_rate", float("inf"), "training.learning_rate: .*finite"),
        ("training.temperature", 0.001, "training.temperature: .*0.01"),
        ("training.precision", "8-bit", "training.precision: .*'32-true'.*'8-bit'"),
        ("training", None, "training: .*None"),
        ("align", "sometimes", "align: .*'trained', 'frozen_random' or 'none'"),
        ("start.shares", [0.5, 1.5], "start.shares.1: .*less than or equal to 1.*1.5"),
        ("start.shares", [], "start.shares"),
        ("start.kind", "lasso", "start.kind"),
        ("space.components", [0], "space.components.0"),
        ("space.components", 16, "space.components: has to be a list.*16"),
        ("space.power", [-0.5], "space.power.0"),
        ("validation.by", "subject", "validation.by: .*'stimulus', 'run' or 'block'"),
        ("validation.fraction", 1.0, "validation.fraction"),
        ("seed", -1, "seed"),
        ("seed", 2**32, "seed: .*less than 4294967296"),
        ("name", "a/b", "name: .*folder name"),
        ("name", "..", "name: .*folder name"),
        ("name", "", "name"),
        ("modalities", {}, "modalities: .*at least 1"),
        ("modalities.ecog", {"recordings": "x"}, "modalities.ecog.*'eeg', 'meg' or 'fmri'"),
        ("modalities.meg", {}, "modalities.meg.recordings: has to be given"),
        ("modalities.meg", "data/meg", "modalities.meg: has to hold `field: value` lines .*data"),
        ("modalities.fmri.recording", "x", "fmri.recording: .*did you mean `recordings`"),
        ("modalities.fmri.test_items", [], "modalities.fmri.test_items: .*at least 1"),
        ("modalities.fmri.test_items", ["trials"] * 2, "fmri.test_items: 'trials' stands there tw"),
        (
            "modalities.fmri.test_items",
            ["groups of 2", "groups of 02"],
            "fmri.test_items: 'groups of 02' stands there twice",
        ),
        ("architectures.fmri.hiden", 3, "architectures.fmri.hiden: .*did you mean `hidden`"),
        ("modalities.fmri.architecture", {"hiden": 3}, "fmri.architecture.hiden: .*mean `hidden`"),
        ("modalities.fmri.architecture", {"depth": -1}, "fmri.architecture.depth: .*0"),
        (
            "modalities.fmri.architecture",
            {"alignment": "spatial"},
            "fmri.architecture: .*'residual_mlp' does not fit alignment 'spatial'",
        ),
        ("architectures.fmri.network", "transformer", "architectures.fmri.network"),
        ("preset", "papper", "no preset 'papper'; there are .*default, .*paper"),
    ],
)
def test_an_error_names_the_field_what_was_found_and_what_is_accepted(field, value, said):
    with pytest.raises(NeuroalignError, match=said):
        make_recipe(changed(field, value), "study.yaml")


@pytest.mark.parametrize("field", ["name", "pictures", "encoder", "modalities"])
def test_a_missing_field_is_named_with_the_file(tmp_path, field):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in MINIMAL.items() if k != field}))
    with pytest.raises(NeuroalignError, match=rf"study\.yaml.*\n  {field}: has to be given"):
        load_recipe(path)


def test_all_faults_are_told_at_once():
    content = changed("training.epochs", "three") | {"colour": "red", "seed": -1}
    with pytest.raises(NeuroalignError) as error:
        make_recipe(content)
    for field in ("training.epochs", "colour", "seed"):
        assert f"  {field}: " in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name: [unclosed", "not a readable YAML file"),
        ("- a\n- list\n", "must hold `field: value` lines"),
        ("", "must hold `field: value` lines"),
        ("training: {epochs: 3}\nseed: 1\ntraining: {clip: 1}", "`training` stands there twice"),
        ("training: {epochs: 3, clip: 1, epochs: 4}", "`epochs` stands there twice"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path, content, said):
    path = tmp_path / "study.yaml"
    path.write_text(content)
    with pytest.raises(NeuroalignError, match=rf"(?s)study\.yaml.*{said}"):
        load_recipe(path)


def test_a_file_that_is_not_text_or_not_there(tmp_path):
    with pytest.raises(NeuroalignError, match=r"no recipe at .*missing"):
        load_recipe(tmp_path / "missing.yaml")
    with pytest.raises(NeuroalignError, match="is a folder; give the recipe"):
        load_recipe(tmp_path)
    (tmp_path / "picture.yaml").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(NeuroalignError, match=r"picture\.yaml is not a readable"):
        load_recipe(tmp_path / "picture.yaml")


def test_paths_are_relative_to_the_file(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "studies" / "one").mkdir(parents=True)
    path = tmp_path / "studies" / "one" / "recipe.yaml"
    content = MINIMAL | {
        "pictures": "../pictures",
        "modalities": {"fmri": {"recordings": "../../data/fmri"}, "eeg": {"recordings": "/abs"}},
    }
    path.write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path / "elsewhere")
    recipe = load_recipe("../studies/one/recipe.yaml")
    root = tmp_path.resolve()
    assert recipe.pictures == str(root / "studies" / "pictures")
    assert recipe.modalities["fmri"].recordings == root / "data" / "fmri"
    assert str(recipe.modalities["eeg"].recordings) == "/abs"


def test_what_several_blocks_have_in_common_may_be_stated_once(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: study\npictures: shipped\nencoder: offline\nmodalities:\n"
        "  eeg: &usual {recordings: data/eeg, test_items: [trials]}\n"
        "  meg: {<<: *usual, recordings: data/meg}\n"
    )
    recipe = load_recipe(path)
    assert recipe.modalities["meg"].test_items == ("trials",)
    assert recipe.modalities["meg"].recordings == (tmp_path / "data" / "meg").resolve()


def test_a_model_in_a_folder_and_a_home_are_paths_and_a_name_on_the_hub_is_not(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = tmp_path / "recipe.yaml"
    for encoder, expected in [
        ("hf:./models/clip", f"hf:{tmp_path.resolve()}/models/clip"),
        ("hf:lab/model", "hf:lab/model"),
    ]:
        path.write_text(yaml.safe_dump(MINIMAL | {"encoder": encoder, "pictures": "~/pictures"}))
        assert load_recipe(path).encoder == expected
        assert load_recipe(path).pictures == str((tmp_path / "home" / "pictures").resolve())


def test_the_shipped_pictures_are_no_path(tmp_path):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(MINIMAL))
    assert load_recipe(tmp_path / "recipe.yaml").pictures == "shipped"


@pytest.mark.parametrize("name", ["default", "paper"])
def test_what_is_written_is_read_back_the_same_anywhere(tmp_path, name):
    source = tmp_path / "recipe.yaml"
    content = changed("training.epochs", 4) | {
        "preset": name,
        "encoder_layer": 20,
        "picture_labels": {"faces": "face"},
    }
    source.write_text(yaml.safe_dump(content))
    recipe = load_recipe(source)
    copy = tmp_path / "run" / "recipe.yaml"
    copy.parent.mkdir()
    copy.write_text(dump_recipe(recipe))
    again = load_recipe(copy)
    assert again == recipe
    assert dump_recipe(again) == dump_recipe(recipe)


def test_a_written_recipe_does_not_depend_on_the_preset_any_more(tmp_path):
    recipe = make_recipe(MINIMAL)
    stated = yaml.safe_load(dump_recipe(recipe))
    for field, value in preset("default").items():
        assert field in stated
        if isinstance(value, dict):
            assert set(value) <= set(stated[field])


def test_numbers_that_yaml_reads_as_text_are_numbers(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(MINIMAL) + "training: {learning_rate: 1e-4}\n")
    assert load_recipe(path).training.learning_rate == 1e-4
