"""NeuralModule: mixed batches equal per-person ones; whatever does not fit is refused by name."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuroalign.errors import NeuroalignError
from neuroalign.models.module import Architecture, NeuralModule

ONE_WIDTH = {"anna": (4, 12), "ben": (4, 12), "cleo": (4, 12)}
WIDTHS = {"anna": (5,), "ben": (9,), "cleo": (7,)}
CNN = {"alignment": "spatial", "network": "time_cnn", "align_dim": 5, "depth": 1}


@pytest.fixture(scope="module", params=["trained", "none"])
def same_width(request, make_module):
    return make_module(ONE_WIDTH, "meg", align=request.param, **CNN)


@pytest.fixture(scope="module", params=["trained", "none"])
def many_widths(request, make_module):
    return make_module(WIDTHS, align=request.param)


def one_by_one(module, trials, names):
    return torch.cat([module(x[None], [s]) for x, s in zip(trials, names, strict=True)])


batches = st.lists(st.sampled_from(["anna", "ben", "cleo"]), min_size=1, max_size=12)


@given(names=batches, seed=st.integers(0, 100))
def test_a_mixed_batch_equals_trial_by_trial(same_width, names, seed):
    x = torch.randn(len(names), 4, 12, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        torch.testing.assert_close(same_width(x, names), one_by_one(same_width, x, names))


@given(names=batches, seed=st.integers(0, 100), order=st.permutations(["anna", "ben", "cleo"]))
def test_a_mapping_equals_trial_by_trial_whatever_its_order(many_widths, names, seed, order):
    generator = torch.Generator().manual_seed(seed)
    trials = [torch.randn(*WIDTHS[s], generator=generator) for s in names]
    mapping = {
        s: torch.stack([x for x, name in zip(trials, names, strict=True) if name == s])
        for s in order
        if s in names
    }
    with torch.no_grad():
        expected = one_by_one(many_widths, trials, names)
        torch.testing.assert_close(many_widths(mapping, names), expected)


def test_people_differ(make_module):
    module = make_module({"anna": (5,), "ben": (5,)})
    x = torch.randn(1, 5)
    assert not torch.allclose(module(x, ["anna"]), module(x, ["ben"]))


def test_gradients_reach_the_alignment_of_everyone_in_the_batch(make_module):
    module = make_module(WIDTHS)
    x = {s: torch.randn(2, *shape) for s, shape in WIDTHS.items() if s != "ben"}
    module(x, ["anna", "cleo", "cleo", "anna"]).square().sum().backward()
    missing = {n for n, p in module.named_parameters() if p.grad is None or not p.grad.any()}
    assert missing == {"alignment.layers.1.linear.weight", "alignment.layers.1.linear.bias"}


@pytest.mark.parametrize(
    ("x", "names", "message"),
    [
        (torch.zeros(2, 5), ["anna", "dora"], "'dora' is unknown .* anna, ben, cleo"),
        (torch.zeros(1, 6), ["anna"], r"\(6,\), but the fmri module expects \(5,\) \(voxels\)"),
        (torch.zeros(3, 5), ["anna"], "3 trials but 1 people"),
        (torch.zeros(0, 5), [], "no trials"),
        ({"anna": torch.zeros(1, 5)}, ["anna", "ben"], r"'ben': trials of shape none, .* \(9,\)"),
        (
            {"anna": torch.zeros(3, 5), "ben": torch.zeros(1, 9)},
            ["anna", "anna", "ben"],
            "holds {'anna': 3} trials, but `subject` names {'anna': 2}",
        ),
        (
            {"anna": torch.zeros(1, 5), "ben": torch.zeros(2, 9)},
            ["anna"],
            "holds {'ben': 2} trials, but `subject` names {'ben': 0}",
        ),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(many_widths, x, names, message):
    with pytest.raises(NeuroalignError, match=message):
        many_widths(x, names)


def test_a_network_that_needs_other_axes_is_refused(space):
    architecture = Architecture(alignment="spatial", network="spectrogram_cnn")
    with pytest.raises(NeuroalignError) as error:
        NeuralModule(architecture, "eeg", ("channels", "samples"), {"anna": (4, 12)}, space)
    assert "channels, frequencies, frames" in str(error.value)
    assert "channels, samples" in str(error.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"alignment": "spatial", "network": "residual_mlp"},
        {"alignment": "linear", "network": "time_cnn"},
    ],
)
def test_alignment_and_network_that_do_not_fit_are_refused(fields):
    with pytest.raises(ValueError, match=f"'{fields['network']}' does not fit"):
        Architecture(**fields)


def test_embed_keeps_the_order_of_the_view_and_the_module_as_it_was(
    tmp_path, make_module, write_random
):
    recordings = write_random(tmp_path / "r", WIDTHS)
    module = make_module(WIDTHS, dropout=0.5).train()
    view = recordings.take(np.random.default_rng(0).permutation(len(recordings)))
    embedded = module.embed(view, batch_size=3)
    assert module.training
    module.eval()
    for i in range(len(view)):
        subject = view.trials["subject"][i]
        with torch.no_grad():
            z = module(torch.from_numpy(view.read([i])), [subject])[0].numpy()
        np.testing.assert_allclose(embedded.vectors[i], z / np.linalg.norm(z), atol=1e-6)
    assert embedded.items["stimulus"].tolist() == view.trials["stimulus"].tolist()
    assert set(embedded.items["kind"]) == {"fmri"}
    assert embedded.space == module.space.name


def test_averages_of_repeats_are_embedded_as_one_item(tmp_path, make_module, write_random):
    recordings = write_random(tmp_path / "r", WIDTHS)
    whole = recordings.average(["subject", "split"])
    embedded = make_module(WIDTHS).embed(whole)
    assert embedded.items["n_averaged"].tolist() == [7, 7, 7]


@pytest.mark.parametrize(
    ("modality", "shapes", "found", "expected"),
    [
        ("eeg", {"anna": (4, 12)}, "holds eeg", "embeds meg"),
        ("meg", {"anna": (4, 2, 12)}, "'frequencies', 'frames'", "('channels', 'samples')"),
        ("meg", {"dora": (4, 12)}, "'dora'", "anna, ben, cleo"),
        ("meg", {"anna": (4, 12), "ben": (3, 12)}, "'ben': trials of shape (3, 12)", "(4, 12)"),
    ],
)
def test_recordings_that_do_not_fit_are_refused_with_both_sides_named(
    tmp_path, make_module, write_random, modality, shapes, found, expected
):
    module = make_module(ONE_WIDTH, "meg", **CNN)
    with pytest.raises(NeuroalignError, match=re.escape(found)) as error:
        module.embed(write_random(tmp_path / "r", shapes, modality))
    assert expected in str(error.value)
