"""Bundles: what is loaded embeds as what was saved, and nothing that does not fit is loaded."""

import json
import shutil
import struct

import numpy as np
import pytest
import torch

from neuroalign.errors import NeuroalignError
from neuroalign.models.bundle import Bundle, load
from neuroalign.models.space import fit_space
from neuroalign.retrieval import Embeddings

WIDTHS = {"anna": (5,), "ben.2": (9,)}
CNN = {"alignment": "spatial", "network": "time_cnn", "align_dim": 5, "depth": 1, "kernel": 3}


@pytest.fixture(scope="module")
def bundle(make_module, picture_set):
    fmri = make_module(WIDTHS)
    meg = make_module({"cleo": (4, 12)}, "meg", align="frozen_random", **CNN)
    space = fit_space(picture_set, components=6, power=0.25)
    fmri.space = meg.space = space
    return Bundle({"fmri": fmri, "meg": meg}, space, {"simulated": True, "data": "random"})


@pytest.fixture
def saved(bundle, tmp_path):
    bundle.save(tmp_path / "run" / "bundle")
    return tmp_path / "run" / "bundle"


@pytest.mark.parametrize("through_run_folder", [False, True])
def test_a_loaded_bundle_embeds_bit_for_bit_as_the_saved_one(
    bundle, saved, tmp_path, write_random, picture_set, through_run_folder
):
    loaded = load(saved.parent if through_run_folder else str(saved))
    for recordings in (
        write_random(tmp_path / "fmri", WIDTHS),
        write_random(tmp_path / "meg", {"cleo": (4, 12)}, "meg"),
    ):
        before, after = bundle.embed(recordings), loaded.embed(recordings)
        assert np.array_equal(before.vectors, after.vectors)
        assert before.space == after.space
    before, after = bundle.embed_pictures(picture_set), loaded.embed_pictures(picture_set)
    assert np.array_equal(before.vectors, after.vectors)
    assert loaded.provenance == bundle.provenance
    assert loaded.modules["meg"].architecture == bundle.modules["meg"].architecture
    frozen = loaded.modules["meg"].alignment.layers
    assert not any(p.requires_grad for p in frozen.parameters())


def test_the_papers_space_is_restored_as_the_identity(make_module, picture_set, tmp_path):
    module = make_module(WIDTHS)
    Bundle({"fmri": module}, module.space).save(tmp_path / "b")
    assert load(tmp_path / "b").space.name == "test-encoder"


def test_a_bundle_is_three_files_without_pickles(saved):
    assert sorted(f.name for f in saved.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    raw = (saved / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])  # safetensors: a JSON header, then plain numbers
    ends = [v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"]
    assert 8 + size + max(ends) == len(raw)
    assert json.loads((saved / "config.json").read_text())["encoder"] == "test-encoder"


def test_the_model_card_says_what_it_is_and_that_it_was_simulated(saved, bundle):
    card = (saved / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: neuroalign\n")
    assert "simulated recordings" in card
    assert "`test-encoder`" in card
    assert "| fmri | 2 | 5 or 9 (voxels) | residual_mlp, align: trained |" in card
    assert "| meg | 1 | 4x12 (channels, samples) | time_cnn, align: frozen_random |" in card
    assert "- data: random" in card
    real = Bundle(bundle.modules, bundle.space, {"simulated": False})
    real.save(saved.parent / "real")
    assert "Trained on simulated" not in (saved.parent / "real" / "README.md").read_text()


def test_a_modality_that_the_bundle_lacks_is_refused(bundle, tmp_path, write_random):
    recordings = write_random(tmp_path / "eeg", {"anna": (4, 12)}, "eeg")
    with pytest.raises(NeuroalignError, match="no module for eeg; it has fmri, meg"):
        bundle.embed(recordings)


def test_pictures_of_another_encoder_are_refused(saved, picture_set):
    strangers = Embeddings(picture_set.vectors, picture_set.items, "hf:other")
    with pytest.raises(NeuroalignError, match="'hf:other'"):
        load(saved).embed_pictures(strangers)


def test_saving_over_something_needs_permission(bundle, saved):
    with pytest.raises(NeuroalignError, match="already exists"):
        bundle.save(saved)
    bundle.save(saved, overwrite=True)
    load(saved)


def test_weights_of_another_bundle_are_refused_even_where_all_shapes_fit(
    saved, make_module, tmp_path
):
    for folder, people in (("one", ("anna", "ben")), ("two", ("ben", "anna"))):
        module = make_module(dict.fromkeys(people, (5,)))
        Bundle({"fmri": module}, module.space).save(tmp_path / folder)
    shutil.copy(tmp_path / "one" / "config.json", tmp_path / "two" / "config.json")
    with pytest.raises(NeuroalignError, match=r"was not saved with the config\.json beside it"):
        load(tmp_path / "two")


def test_the_description_of_the_training_may_be_edited(saved):
    config = json.loads((saved / "config.json").read_text())
    config["provenance"]["data"] = "withheld"
    (saved / "config.json").write_text(json.dumps(config))
    assert load(saved).provenance["data"] == "withheld"


def damage_config(change):
    def apply(folder):
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config))

    return apply


def truncate(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"model\.safetensors cannot be read"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "cannot be read"),
        (lambda f: (f / "model.safetensors").unlink(), "cannot be read"),
        (lambda f: (f / "config.json").unlink(), r"holds no bundle.*`neuroalign train` resumes"),
        (lambda f: (f / "config.json").write_text("{"), "not the config of a neuroalign bundle"),
        (lambda f: (f / "config.json").write_text("[]"), "not the config"),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe"), "not the config"),
        (damage_config(lambda c: c.pop("encoder")), "encoder"),
        (damage_config(lambda c: c.update(colour="red")), "colour"),
        (damage_config(lambda c: c.update(format_version=9)), "format 9, but .* reads format 1"),
        (damage_config(lambda c: c.update(encoder="hf:other")), "not saved with"),
        (damage_config(lambda c: c["modules"].pop("meg")), "not saved with"),
        (damage_config(lambda c: c["modules"]["meg"]["shapes"].update(cleo=[4, 13])), "not saved"),
    ],
)
def test_a_damaged_bundle_is_refused(saved, damage, message):
    damage(saved)
    with pytest.raises(NeuroalignError, match=message):
        load(saved)


def test_a_run_whose_training_has_not_finished_is_refused(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(NeuroalignError, match="training has not finished"):
        load(tmp_path / "run")


@pytest.mark.parametrize("name", ["lab/no-such-model", "lab/no-such-model@v2", "no/such/folder"])
def test_a_hub_id_without_network_is_an_error_that_says_what_to_do(monkeypatch, tmp_path, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(NeuroalignError, match=r"neither a folder here nor .* give its path"):
        load(name)


def test_an_upload_is_private_unless_asked_and_holds_what_is_loaded_again(
    bundle, monkeypatch, tmp_path
):
    class Hub:
        """Stands for the hub: keeps what it is given."""

        def create_repo(self, repo_id, *, private, exist_ok):
            (tmp_path / "private").write_text(str(private))
            return f"https://hub/{repo_id}"

        def upload_folder(self, *, repo_id, folder_path):
            shutil.copytree(folder_path, tmp_path / repo_id)

    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    assert bundle.push_to_hub("lab/model") == "https://hub/lab/model"
    assert (tmp_path / "private").read_text() == "True"
    uploaded = load(tmp_path / "lab" / "model").modules["fmri"].state_dict()
    for name, value in bundle.modules["fmri"].state_dict().items():
        assert torch.equal(value, uploaded[name])


def test_an_upload_without_network_says_so(bundle, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(NeuroalignError, match=r"could not be uploaded to 'lab/model' .*`save`"):
        bundle.push_to_hub("lab/model")


def test_tensors_are_saved_from_any_device_state(bundle, saved):
    # a module in the middle of training (gradients, training mode) saves the same numbers
    module = bundle.modules["fmri"].train()
    module(torch.randn(1, 5), ["anna"]).sum().backward()
    bundle.save(saved.parent / "again")
    module.zero_grad()
    module.eval()
    again = (saved.parent / "again" / "model.safetensors").read_bytes()
    assert again == (saved / "model.safetensors").read_bytes()
