"""The ridge start against scikit-learn and against the primal problem written out."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from small_runs import DIM, make_pictures, write_fmri

from neuroalign.errors import NeuroalignError
from neuroalign.models.module import Architecture, NeuralModule, shapes_of
from neuroalign.models.space import fit_space, identity_space
from neuroalign.training.pipeline import start_from_ridge
from neuroalign.training.ridge_start import StartChoice, choose_start, solve_start
from neuroalign.training.start_data import StartData, apply_whitener, load_start_data, pooled
from neuroalign.training.statistics import fit_standardisation, noise_whitener
from neuroalign.training.targets import make_targets

PENALTY = 0.3


@pytest.fixture(scope="module")
def pictures():
    return make_pictures()


@pytest.fixture(scope="module")
def space(pictures):
    return fit_space(pictures, components=4, power=0.25)


@pytest.fixture(scope="module")
def data():
    """Two people who saw different pictures, of two channels by four samples."""
    rng = np.random.default_rng(0)
    counts = (18, 23)
    target = tuple(rng.permutation(40)[:n] for n in counts)
    whitener = tuple(np.linalg.inv(a @ a.T + np.eye(2)) for a in rng.normal(size=(2, 2, 2)))
    return StartData(
        ("anna", "ben"),
        ((2, 4), (2, 4)),
        tuple(rng.normal(size=(n, 8)).astype(np.float32) * (1 + i) for i, n in enumerate(counts)),
        target,
        target,
        whitener,
    )


@pytest.fixture(scope="module")
def goals(space, pictures):
    """Return the unit targets in the common space, by plain NumPy."""
    moved = (pictures.vectors.astype(float) - space.mean) @ space.projection
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


def solved(data, space, pictures, *, share, whiten=False):
    choice = StartChoice(whiten, share, PENALTY, 0.0)
    return solve_start(data, choice, space, pictures.vectors)


def test_with_nothing_shared_it_is_scikit_learns_ridge_of_each_person(data, space, pictures, goals):
    weights = solved(data, space, pictures, share=0.0)
    for x, target, w in zip(data.x, data.target, weights, strict=True):
        x, y = x.astype(float), goals[target]
        alpha = PENALTY * np.mean(np.sum(x**2, axis=1))
        kernel_ridge = KernelRidge(alpha=alpha).fit(x, y - y.mean(0))
        np.testing.assert_allclose(x @ w.T, kernel_ridge.predict(x), atol=1e-5)
        ridge = Ridge(alpha=alpha, fit_intercept=False).fit(x, y - y.mean(0))
        np.testing.assert_allclose(w, ridge.coef_, atol=1e-5)


def test_with_everything_shared_it_is_one_ridge_of_all_trials(data, space, pictures, goals):
    weights = solved(data, space, pictures, share=1.0)
    x = np.concatenate(data.x).astype(float)
    y = goals[np.concatenate(data.target)]
    alpha = PENALTY * np.mean(np.sum(x**2, axis=1))
    ridge = Ridge(alpha=alpha, fit_intercept=False).fit(x, y - y.mean(0))
    for w in weights:
        np.testing.assert_allclose(w, ridge.coef_, atol=1e-5)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_in_between_it_is_the_hierarchical_ridge_in_its_primal_form(
    data, space, pictures, goals, share
):
    """W_s = W_0 + D_s with |W_0|^2 / rho + |D_s|^2 / (1 - rho), as one wide design matrix."""
    a, b = (x.astype(float) for x in data.x)
    common, own = np.sqrt(share), np.sqrt(1 - share)
    design = np.block(
        [
            [common * a, own * a, np.zeros_like(a)],
            [common * b, np.zeros_like(b), own * b],
        ]
    )
    y = goals[np.concatenate(data.target)]
    alpha = PENALTY * np.mean(np.sum(design**2, axis=1))
    inverse = np.linalg.inv(design.T @ design + alpha * np.eye(24))
    solution = inverse @ design.T @ (y - y.mean(0))
    expected = [
        common * solution[:8] + own * solution[8:16],
        common * solution[:8] + own * solution[16:],
    ]
    weights = solved(data, space, pictures, share=share)
    for w, e in zip(weights, expected, strict=True):
        np.testing.assert_allclose(w.T, e, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_whitening_in_the_weights_is_whitening_of_the_data(data, space, pictures, share):
    whitened = tuple(
        np.einsum("ij,njt->nit", w, x.reshape(-1, 2, 4)).reshape(-1, 8).astype(np.float32)
        for w, x in zip(data.whitener, data.x, strict=True)
    )
    for i in range(2):
        ours = apply_whitener(data.x[i], data.whitener[i], (2, 4))
        np.testing.assert_allclose(ours, whitened[i], atol=1e-5)
    folded = solved(data, space, pictures, share=share, whiten=True)
    beforehand = solved(
        dataclasses.replace(data, x=whitened), space, pictures, share=share, whiten=False
    )
    for i in range(2):
        raw = data.x[i] @ folded[i].T
        np.testing.assert_allclose(raw, whitened[i] @ beforehand[i].T, atol=1e-5)


def test_voxels_are_whitened_one_by_one():
    x = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    scale = np.arange(1.0, 6.0)
    np.testing.assert_allclose(apply_whitener(x, scale, (5,)), x * scale, rtol=1e-6)


def test_pooled_people_are_padded_with_zeros(space, pictures, goals):
    rng = np.random.default_rng(1)
    xs = (rng.normal(size=(9, 3)).astype(np.float32), rng.normal(size=(11, 5)).astype(np.float32))
    target = (np.arange(9), np.arange(5, 16))
    data = StartData(("a", "b"), ((3,), (5,)), xs, target, target, (np.ones(3), np.ones(5)))
    one = pooled(data)
    assert one.shapes == ((5,),)
    x = np.concatenate([np.hstack([xs[0], np.zeros((9, 2))]), xs[1]])
    np.testing.assert_array_equal(one.x[0], x)
    (w,) = solved(one, space, pictures, share=0.0)
    y = goals[np.concatenate(target)]
    alpha = PENALTY * np.mean(np.sum(x**2, axis=1))
    ridge = Ridge(alpha=alpha, fit_intercept=False).fit(x, y - y.mean(0))
    np.testing.assert_allclose(w, ridge.coef_, atol=1e-5)


def test_pooled_channels_are_padded_as_channels():
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    data = StartData(
        ("a", "b"), ((2, 3), (3, 3)), (x, np.ones((1, 9), np.float32)),
        (np.arange(2), np.arange(1)), (np.arange(2), np.arange(1)), (np.eye(2), np.eye(3)),
    )  # fmt: skip
    found = pooled(data).x[0][:2].reshape(2, 3, 3)
    np.testing.assert_array_equal(found[:, :2], x.reshape(2, 2, 3))
    assert not found[:, 2].any()


# --- from recordings on disk to a module that predicts


@pytest.fixture(scope="module")
def trials(tmp_path_factory, pictures):
    folder = tmp_path_factory.mktemp("ridge") / "fmri"
    widths = {"anna": 12, "ben": 15}
    recordings = write_fmri(folder, pictures, widths=widths, repeats=3, noise=2.0)
    train = recordings.select(split="train")
    return train, train.trials["stimulus"].str[1:].astype(int).to_numpy()


def by_hand(recordings, rows, subject):
    """Return raw trials, their standardisation and the averages of repeats, by plain NumPy."""
    here = (recordings.trials["subject"] == subject).to_numpy()
    raw, rows = recordings.select(subject=subject).read().astype(float), rows[here]
    mean, scale = raw.mean(0), raw.std(0)
    distinct = list(dict.fromkeys(rows))
    averages = np.stack([raw[rows == r].mean(0) for r in distinct])
    return raw, mean, scale, (averages - mean) / scale, np.array(distinct)


def test_start_data_are_standardised_averages_of_repeats(trials):
    recordings, rows = trials
    data = load_start_data(recordings, rows)
    assert data.subjects == ("anna", "ben")
    assert not data.can_share
    for i, subject in enumerate(data.subjects):
        *_, averages, distinct = by_hand(recordings, rows, subject)
        np.testing.assert_allclose(data.x[i], averages, atol=1e-5)
        assert data.target[i].tolist() == data.group[i].tolist() == distinct.tolist()


def test_the_whitener_of_voxels_is_one_over_the_noise(trials):
    recordings, rows = trials
    for subject in recordings.subjects:
        raw, _, scale, _, distinct = by_hand(recordings, rows, subject)
        own = rows[(recordings.trials["subject"] == subject).to_numpy()]
        x = raw / scale
        residual = np.concatenate([x[own == r] - x[own == r].mean(0) for r in distinct])
        noise = np.sqrt((residual**2).sum(0) / (len(own) - len(distinct)))
        found = noise_whitener(recordings, subject, rows, scale)
        np.testing.assert_allclose(found, 1 / noise, rtol=1e-4)


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("align", ["trained", "none"])
def test_the_started_module_predicts_like_ridge_on_raw_trials(
    trials, pictures, space, goals, whiten, align
):
    recordings, rows = trials
    torch.manual_seed(0)
    shapes = shapes_of(recordings, recordings.subjects)
    architecture = Architecture(align=align, hidden=8, depth=2, dropout=0.4)
    module = NeuralModule(architecture, "fmri", ("voxels",), shapes, space).eval()
    fit_standardisation(module, recordings)
    data = load_start_data(recordings, rows)
    start_from_ridge(
        module, data, StartChoice(whiten, 0.0, PENALTY, 0.0), make_targets(pictures, None)
    )
    parts = {s: by_hand(recordings, rows, s) for s in recordings.subjects}
    widest = 15
    designs = {}
    for i, (subject, (*_, averages, _)) in enumerate(parts.items()):
        factor = data.whitener[i] if whiten and align == "trained" else np.ones(averages.shape[1])
        designs[subject] = averages * factor, factor
    if align == "none":
        padded = [np.pad(d, [(0, 0), (0, widest - d.shape[1])]) for d, _ in designs.values()]
        everything = np.concatenate(padded), goals[np.concatenate([p[4] for p in parts.values()])]
    for subject, (raw, mean, scale, _, distinct) in parts.items():
        design, factor = designs[subject]
        x = (raw - mean) / scale * factor
        y = goals[distinct]
        if align == "none":
            design, y = everything
            x = np.pad(x, [(0, 0), (0, widest - x.shape[1])])
        alpha = PENALTY * np.mean(np.sum(design**2, axis=1))
        ridge = Ridge(alpha=alpha, fit_intercept=False).fit(design, y - y.mean(0))
        with torch.no_grad():
            found = module(torch.from_numpy(raw).float(), [subject] * len(raw)).numpy()
        np.testing.assert_allclose(found, ridge.predict(x), atol=1e-4)


def test_the_choice_is_sensible(trials, pictures, space):
    """Noise asks for a larger penalty; people of different widths share nothing."""
    recordings, rows = trials
    data = load_start_data(recordings, rows)
    spaces = [identity_space(pictures), space]
    choices = choose_start(data, spaces, pictures.vectors, shares=(0.0, 0.5))
    assert len(choices) == 2
    assert all(c.share == 0.0 for c in choices)
    assert all(0.6 < c.two_way <= 1.0 for c in choices)
    rng = np.random.default_rng(0)
    noisy = dataclasses.replace(
        data, x=tuple((x + 10 * rng.normal(size=x.shape)).astype(np.float32) for x in data.x)
    )
    noisy_choices = choose_start(noisy, spaces, pictures.vectors, shares=(0.0,))
    for clean, drowned in zip(choices, noisy_choices, strict=True):
        assert drowned.penalty > clean.penalty
        assert drowned.two_way < clean.two_way


def test_people_with_one_map_share_it_and_people_with_opposite_maps_do_not(pictures, space):
    rng = np.random.default_rng(0)
    tuning = rng.normal(size=(DIM, 40))
    centred = pictures.vectors - pictures.vectors.mean(0)
    found = {}
    for name, sign in (("same", 1), ("opposite", -1)):
        x = tuple(
            (s * centred @ tuning + 2 * rng.normal(size=(40, 40))).astype(np.float32)
            for s in (1, sign)
        )
        rows = (np.arange(40), np.arange(40))
        data = StartData(("a", "b"), ((40,), (40,)), x, rows, rows, (np.ones(40),) * 2)
        (choice,) = choose_start(data, [space], pictures.vectors, shares=(0.0, 0.9))
        found[name] = choice.share
    assert found == {"same": 0.9, "opposite": 0.0}


@pytest.mark.parametrize("seen", [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])
def test_a_person_who_saw_little_may_fall_into_one_fold(pictures, space, seen):
    """Of these pairs of pictures, two lie in one of two folds: nothing is left to learn from."""
    rng = np.random.default_rng(0)
    rows = (np.arange(4), np.array(seen))
    x = tuple(rng.normal(size=(len(r), 5)).astype(np.float32) for r in rows)
    data = StartData(("a", "b"), ((5,), (5,)), x, rows, rows, (np.ones(5),) * 2)
    (choice,) = choose_start(data, [space], pictures.vectors, shares=(0.0,), folds=2)
    assert 0.0 <= choice.two_way <= 1.0


def test_pictures_without_relation_to_the_trials_score_chance(pictures, space):
    rng = np.random.default_rng(0)
    rows = (rng.permutation(40), rng.permutation(40))
    x = tuple(rng.normal(size=(40, 30)).astype(np.float32) for _ in rows)
    data = StartData(("a", "b"), ((30,), (30,)), x, rows, rows, (np.ones(30), np.ones(30)))
    (choice,) = choose_start(data, [space], pictures.vectors, shares=(0.0,))
    assert abs(choice.two_way - 0.5) < 0.12  # a picture left out is not seen in training


@pytest.mark.parametrize("fields", [
    {"align_dim": 3},
    {"alignment": "spatial", "network": "time_cnn"},
])  # fmt: skip
def test_a_start_that_does_not_fit_the_layers_is_refused(data, space, pictures, fields):
    module = NeuralModule(
        Architecture(**fields), "meg", ("channels", "samples"),
        dict(zip(data.subjects, data.shapes, strict=True)), space,
    )  # fmt: skip
    with pytest.raises(NeuroalignError, match=r"as wide as the common space \(4\)"):
        start_from_ridge(
            module, data, StartChoice(False, 0.0, PENALTY, 0.0), make_targets(pictures, None)
        )
