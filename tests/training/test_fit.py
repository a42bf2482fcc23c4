"""The fit loop: which epoch is kept, when it stops, what it refuses."""

import copy
import math

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from small_runs import settings

from neuroalign.errors import NeuroalignError
from neuroalign.models.module import Architecture, NeuralModule, shapes_of
from neuroalign.models.space import identity_space
from neuroalign.training.fit import TrialSet, fit
from neuroalign.training.statistics import fit_standardisation


@pytest.fixture(scope="module")
def sets(fmri):
    train = fmri.select(split="train")
    rows = train.trials["stimulus"].str[1:].astype(int).to_numpy()
    held = rows % 4 == 0
    return TrialSet(train.take(~held), rows[~held]), TrialSet(train.take(held), rows[held])


@pytest.fixture
def new_module(sets, pictures):
    def make(**fields):
        recordings = sets[0].recordings
        torch.manual_seed(0)
        module = NeuralModule(
            Architecture(**{"hidden": 8, **fields}),
            "fmri",
            ("voxels",),
            shapes_of(recordings, recordings.subjects),
            identity_space(pictures),
        )
        fit_standardisation(module, recordings)
        return module

    return make


def run(module, sets, pictures, *, validate=True, **options):
    changes = {k: options.pop(k) for k in list(options) if k in type(settings()).model_fields}
    chosen = settings(**changes)
    return fit(
        module,
        sets[0],
        sets[1] if validate else None,
        pictures.vectors,
        chosen,
        fabric=Fabric(accelerator="cpu", devices=1),
        **{"seed": 0, "epochs": chosen.epochs, **options},
    )


def two_way_by_hand(module, trials, goals):
    embedded = module.embed(trials.recordings).vectors
    distinct = np.unique(trials.target_rows)
    shares = []
    for z, right in zip(embedded, trials.target_rows, strict=True):
        wrong = [z @ goals[d] for d in distinct if d != right]
        shares.append(np.mean([z @ goals[right] > w for w in wrong]))
    return np.mean(shares)


def same_weights(a, b):
    return all(torch.equal(v, b[k]) for k, v in a.items())


def test_the_best_epoch_is_kept_and_scored_as_it_is_returned(new_module, sets, pictures):
    module = new_module()
    result = run(module, sets, pictures, epochs=6)
    scores = [r["two_way"] for r in result.history]
    assert [r["epoch"] for r in result.history] == list(range(7))
    assert result.best_epoch == int(np.argmax(scores)) > 0
    assert not module.training
    assert two_way_by_hand(module, sets[1], pictures.vectors) == pytest.approx(max(scores))
    assert max(scores) > scores[0] + 0.2


def test_epoch_0_is_kept_when_training_only_harms(new_module, sets, pictures):
    module = new_module()
    run(module, sets, pictures, epochs=6)  # a good start ...
    good = copy.deepcopy(module.state_dict())
    result = run(module, sets, pictures, epochs=3, learning_rate=3.0)  # ... and a wild training
    assert result.best_epoch == 0
    assert len(result.history) == 4
    assert same_weights(good, module.state_dict())


@pytest.mark.parametrize("patience", [1, 2])
def test_patience_counts_epochs_since_the_best(new_module, sets, pictures, patience):
    module = new_module()
    run(module, sets, pictures, epochs=6)
    result = run(module, sets, pictures, epochs=8, learning_rate=3.0, patience=patience)
    assert len(result.history) == 1 + patience
    assert result.best_epoch == 0


def test_without_validation_the_last_epoch_is_kept(new_module, sets, pictures):
    module = new_module()
    result = run(module, sets, pictures, validate=False, epochs=3, patience=1)
    assert result.best_epoch == 3
    assert [r["epoch"] for r in result.history] == [1, 2, 3]


def test_no_epochs_leave_the_module_as_it_is(new_module, sets, pictures):
    module = new_module()
    before = copy.deepcopy(module.state_dict())
    result = run(module, sets, pictures, epochs=0)
    assert (result.history, result.best_epoch) == ([], 0)
    assert same_weights(before, module.state_dict())


def test_training_twice_gives_the_same_numbers_and_another_seed_others(new_module, sets, pictures):
    outcomes = []
    for seed in (0, 0, 1):
        module = new_module(dropout=0.3)
        torch.manual_seed(99 + len(outcomes))  # whatever was drawn before must not matter
        result = run(module, sets, pictures, validate=False, epochs=2, seed=seed)
        outcomes.append((result.history, module.state_dict()))
    assert outcomes[0][0] == outcomes[1][0]
    assert same_weights(outcomes[0][1], outcomes[1][1])
    assert not same_weights(outcomes[0][1], outcomes[2][1])


def test_frozen_alignment_stays_while_the_network_learns(new_module, sets, pictures):
    module = new_module(align="frozen_random")
    before = copy.deepcopy(module.state_dict())
    run(module, sets, pictures, validate=False, epochs=2)
    after = module.state_dict()
    moved = {k for k, v in after.items() if not torch.equal(v, before[k])}
    assert moved == {k for k in after if k.startswith("network.")}


def test_trained_alignment_moves_for_every_person(new_module, sets, pictures):
    module = new_module()
    before = copy.deepcopy(module.state_dict())
    run(module, sets, pictures, validate=False, epochs=1)
    after = module.state_dict()
    for position in range(2):
        name = f"alignment.layers.{position}.linear.weight"
        assert not torch.equal(after[name], before[name])


def test_clipping_bounds_the_step(new_module, sets, pictures):
    """Gradients clipped far below AdamW's epsilon (1e-8) hardly move anything."""
    start = new_module().state_dict()
    moved = []
    for clip in (None, 1e-12):
        module = new_module()
        options = {"epochs": 1, "weight_decay": 0.0, "learning_rate": 0.01}
        run(module, sets, pictures, validate=False, clip=clip, **options)
        after = module.state_dict()
        moved.append(max(float((after[k] - start[k]).abs().max()) for k in start))
    assert moved[0] > 0.01
    assert moved[1] < 1e-4


def test_a_huge_learning_rate_is_an_error_that_says_what_to_do(new_module, sets, pictures):
    with pytest.raises(NeuroalignError, match=r"the loss became nan in epoch 1, .*`learning_rate`"):
        run(new_module(), sets, pictures, epochs=8, learning_rate=1e30, clip=None)


@pytest.mark.parametrize(
    ("rate", "validate", "found"),
    [
        (1e38, True, "weights became NaN"),
        (1e38, False, "weights became NaN"),  # or a refit would keep them
        (1e20, True, "validation failed"),
    ],
)
def test_the_last_step_of_an_epoch_may_be_the_one_that_diverges(
    new_module, sets, pictures, rate, validate, found
):
    options = {"epochs": 1, "batch_size": 1000, "clip": None, "learning_rate": rate}
    with pytest.raises(NeuroalignError, match=f"{found}.*in epoch 1, so training has diverged"):
        run(new_module(), sets, pictures, validate=validate, **options)


def test_an_untrained_model_costs_about_the_log_of_the_pictures_in_a_batch(
    new_module, sets, pictures
):
    result = run(
        new_module(), sets, pictures, epochs=1, temperature=100.0, learn_temperature=False,
        validate=False, batch_size=1000,
    )  # fmt: skip
    distinct = len(np.unique(sets[0].target_rows))
    assert result.history[-1]["loss"] == pytest.approx(math.log(distinct), rel=0.01)


def interrupt_after(epoch):
    def log(row):
        if row["epoch"] == epoch:
            raise KeyboardInterrupt

    return log


@pytest.mark.parametrize("validate", [True, False])
def test_going_on_after_ctrl_c_equals_never_stopping(
    new_module, sets, pictures, tmp_path, validate
):
    options = {"validate": validate, "epochs": 4, "learn_temperature": True}
    whole = new_module(dropout=0.2)
    expected = run(whole, sets, pictures, **options)
    checkpoint = tmp_path / "c.pt"
    stopped = new_module(dropout=0.2)
    with pytest.raises(KeyboardInterrupt):
        run(stopped, sets, pictures, **options, checkpoint=checkpoint, log=interrupt_after(3))
    resumed = new_module(dropout=0.2)
    rows = []
    found = run(resumed, sets, pictures, **options, checkpoint=checkpoint, log=rows.append)
    assert [r["epoch"] for r in rows] == [3, 4]
    assert str(found.history) == str(expected.history)  # as text: NaN does not equal NaN
    assert found.best_epoch == expected.best_epoch
    assert same_weights(whole.state_dict(), resumed.state_dict())
    assert [f.name for f in tmp_path.iterdir()] == ["c.pt"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"learning_rate": 0.02}, "learning_rate"),
        ({"seed": 1}, "seed"),
        ({"epochs": 5}, "epochs"),
        ({"temperature": 0.2, "batch_size": 8}, "batch_size, temperature"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(
    new_module, sets, pictures, tmp_path, changes, named
):
    run(new_module(), sets, pictures, epochs=1, checkpoint=tmp_path / "c.pt")
    with pytest.raises(NeuroalignError, match=f"another training: {named}"):
        run(new_module(), sets, pictures, **{"epochs": 1} | changes, checkpoint=tmp_path / "c.pt")


def test_a_checkpoint_of_other_trials_is_refused(new_module, sets, pictures, tmp_path):
    run(new_module(), sets, pictures, epochs=1, checkpoint=tmp_path / "c.pt")
    fewer = TrialSet(sets[0].recordings.take(np.arange(50)), sets[0].target_rows[:50])
    with pytest.raises(NeuroalignError, match="trials"):
        run(new_module(), (fewer, sets[1]), pictures, epochs=1, checkpoint=tmp_path / "c.pt")


def test_a_checkpoint_of_another_network_is_refused(new_module, sets, pictures, tmp_path):
    run(new_module(), sets, pictures, epochs=1, checkpoint=tmp_path / "c.pt")
    with pytest.raises(NeuroalignError, match="train into another folder"):
        run(new_module(hidden=9), sets, pictures, epochs=1, checkpoint=tmp_path / "c.pt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_refused(new_module, sets, pictures, tmp_path, content):
    path = tmp_path / "c.pt"
    run(new_module(), sets, pictures, epochs=1, checkpoint=path)
    path.write_bytes(path.read_bytes()[:3000] if content is None else content)
    with pytest.raises(NeuroalignError, match="cannot be resumed from"):
        run(new_module(), sets, pictures, epochs=1, checkpoint=path)


def test_a_finished_training_is_not_trained_again(new_module, sets, pictures, tmp_path):
    first = new_module()
    expected = run(first, sets, pictures, epochs=2, checkpoint=tmp_path / "c.pt")
    again, rows = new_module(), []
    found = run(again, sets, pictures, epochs=2, checkpoint=tmp_path / "c.pt", log=rows.append)
    assert rows == []
    assert found.best_epoch == expected.best_epoch
    assert same_weights(first.state_dict(), again.state_dict())
