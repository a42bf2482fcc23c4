from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.decomposition import PCA

from neuroalign.errors import NeuroalignError
from neuroalign.recordings import Recordings
from neuroalign.simulation import SimulationConfig, load_truth, simulate
from neuroalign.simulation.generate import choose_pictures

MODALITIES = ["eeg", "meg", "fmri"]


def reference_latents(pictures, config):
    """The docstring's definition, by scikit-learn; signs are the only freedom."""
    pca = PCA(config.latents, whiten=True, svd_solver="full").fit(pictures.vectors.astype(float))
    # scikit-learn whitens with n - 1.
    white = pca.transform(pictures.vectors) * np.sqrt(len(pictures) / (len(pictures) - 1))
    weight = np.sqrt(pca.explained_variance_) ** config.spectrum
    weight /= np.sqrt(np.mean(weight**2))
    bent = np.tanh(config.nonlinearity * white) if config.nonlinearity else white
    return weight * bent / bent.std(axis=0)


@pytest.mark.parametrize("nonlinearity", [0.0, 2.0])
@pytest.mark.parametrize("modality", MODALITIES)
def test_without_noise_the_trials_are_the_stated_equations(
    modality, nonlinearity, small_config, pictures, tmp_path
):
    config = small_config(modality, snr=1e10, latent_noise=0.0, nonlinearity=nonlinearity)
    recordings = simulate(config, pictures, tmp_path / "out")
    phi = reference_latents(pictures, config)
    truth = load_truth(recordings.path)
    signs = np.sign(np.sum(phi * truth.latents(pictures.vectors), axis=0))
    place = {name: i for i, name in enumerate(pictures.items["stimulus"])}
    for subject, person in truth.people.items():
        view = recordings.select(subject=subject)
        mine = signs * phi[[place[s] for s in view.trials["stimulus"]]]
        if modality == "fmri":
            expected = np.einsum("nk,vk->nv", mine, person.tuning)
        else:
            expected = person.evoked + np.einsum(
                "nk,ck,kt->nct", mine, person.patterns, person.courses
            )
        # The noise left is 1e-5 of the signal; single precision adds 1e-7.
        np.testing.assert_allclose(view.read(), expected, atol=3e-4 * expected.std())


@pytest.mark.parametrize("modality", MODALITIES)
def test_noise_has_the_stated_covariance(modality, simulated_people):
    person = simulated_people(modality)
    n = 6000
    noise = person.measurement_noise(n, np.random.default_rng(1)).reshape(n, -1)
    if modality == "fmri":
        stated = np.diag(person.noise_sd**2) + person.shared @ person.shared.T
    else:
        stated = np.kron(person.space, person.time)
    found = noise.T.astype(float) @ noise / n
    # An entry of the covariance of n Gaussian vectors spreads by sqrt((s_ii s_jj + s_ij^2) / n);
    # of some 30,000 entries none should lie 6 standard errors off (p about 1e-4 in all).
    variance = np.diag(stated)
    error = np.sqrt((np.outer(variance, variance) + stated**2) / n)
    assert np.abs((found - stated) / error).max() < 6


@pytest.fixture
def simulated_people(small_config, pictures, tmp_path):
    def make(modality):
        recordings = simulate(small_config(modality, subjects=1), pictures, tmp_path / modality)
        return load_truth(recordings.path).people[f"{modality}-01"]

    return make


@pytest.mark.parametrize("modality", MODALITIES)
def test_snr_is_what_it_says(modality, small_config, pictures, tmp_path):
    config = small_config(modality, snr=0.07, spectrum=0.0, person_spread=0.0, subjects=1)
    truth = load_truth(simulate(config, pictures, tmp_path / "out").path)
    person = next(iter(truth.people.values()))
    clean = person.respond(truth.latents(pictures.vectors)).var(axis=0)
    if modality == "fmri":
        noise = np.mean(person.noise_sd**2 + np.sum(person.shared**2, axis=1))
    else:
        noise = np.trace(person.space) / len(person.space)
        assert person.time[0, 0] == pytest.approx(1)
        assert not clean[:, config.times <= 0].any()
        clean = clean[:, config.times > 0]
    assert noise == pytest.approx(config.noise_sd**2)
    assert clean.mean() / noise == pytest.approx(0.07, rel=1e-5)


@pytest.mark.parametrize("modality", MODALITIES)
def test_same_numbers_for_a_seed_however_chunked(modality, small_config, pictures, tmp_path):
    config = small_config(modality)
    made = [
        simulate(config, pictures, tmp_path / str(chunk), chunk=chunk) for chunk in (1, 37, 1000)
    ]
    other = simulate(small_config(modality, seed=1), pictures, tmp_path / "other")
    for later in made[1:]:
        assert later.info.subjects == made[0].info.subjects  # checksums of the signals
        assert later.trials.equals(made[0].trials)
    assert other.info.subjects != made[0].info.subjects


def test_modalities_share_test_pictures_but_no_people(small_config, pictures, tmp_path):
    made = {m: simulate(small_config(m), pictures, tmp_path / m) for m in MODALITIES}
    tests = [set(r.select(split="test").trials["stimulus"]) for r in made.values()]
    trains = [set(r.select(split="train").trials["stimulus"]) for r in made.values()]
    assert tests[0] == tests[1] == tests[2]
    assert len(tests[0]) == 12
    assert tests[0].isdisjoint(trains[0])
    assert len(trains[0]) == len(pictures) - 12
    assert made["meg"].subjects == ("meg-01", "meg-02")
    # More people, or another noise, leave the split alone.
    test, _ = choose_pictures(pictures, small_config("eeg", seed=5, subjects=7))
    assert set(pictures.items["stimulus"][test]) == tests[0]
    shuffled = pictures.take(np.random.default_rng(0).permutation(len(pictures)))
    test, _ = choose_pictures(shuffled, small_config("eeg"))
    assert set(shuffled.items["stimulus"][test]) == tests[0]
    test, _ = choose_pictures(pictures, small_config("eeg", split_seed=1))
    assert set(pictures.items["stimulus"][test]) != tests[0]


def test_fewer_training_pictures_are_a_subset_of_more(small_config, pictures):
    few = choose_pictures(pictures, small_config("eeg", training_pictures=10))
    more = choose_pictures(pictures, small_config("eeg", training_pictures=30))
    assert few[1].sum() == 10
    assert (few[1] <= more[1]).all()
    assert (few[0] == more[0]).all()


def test_trials_are_described(simulated, pictures):
    reopened = Recordings(simulated.path)
    reopened.verify_checksums()
    info, trials = reopened.info, reopened.trials
    assert info.simulated
    assert info.source.startswith("simulated")
    counts = trials.groupby(["subject", "split", "stimulus"]).size()
    assert set(counts.xs("train", level="split")) == {2}
    assert set(counts.xs("test", level="split")) == {4}
    labels = dict(zip(pictures.items["stimulus"], pictures.items["label"], strict=True))
    assert (trials["stimulus"].map(labels) == trials["label"]).all()
    last = trials.groupby(["subject", "stimulus"])["repetition"].max()
    assert (last == trials.groupby(["subject", "stimulus"]).size()).all()
    assert (trials.groupby(["subject", "run"])["onset_s"].diff().dropna() > 0).all()
    if info.modality == "fmri":
        widths = {reopened.feature_shape(s)[0] for s in reopened.subjects}
        assert len(widths) == 2, "people differ in their number of voxels"
        for subject in reopened.subjects:
            index = reopened.voxel_index(subject)
            shape = info.subjects[subject].volume.shape
            assert len(np.unique(index)) == reopened.feature_shape(subject)[0]
            assert index.max() < np.prod(shape)
    else:
        positions = np.array([c.position for c in info.channels])
        assert info.units == {"eeg": "uV", "meg": "fT"}[info.modality]
        assert (np.linalg.norm(positions, axis=1) < 0.2).all(), "metres"
        assert reopened.feature_shape(reopened.subjects[0])[1] == 12  # -0.04 .. 0.4 s at 25 Hz


def test_noise_ceilings_spread_and_some_voxels_are_silent(small_config, pictures, tmp_path):
    config = small_config("fmri", voxels=(1000, 1000), snr=0.1, subjects=1, silent_voxels=0.3)
    truth = load_truth(simulate(config, pictures, tmp_path / "out").path)
    ceiling = truth.people["fmri-01"].noise_ceiling
    assert np.mean(ceiling == 0) == pytest.approx(0.3, abs=0.002)
    assert 0 < np.quantile(ceiling, 0.5) < 0.5 * ceiling.max() < 0.5


def test_truth_is_numbers_and_text_only(simulated):
    with np.load(simulated.path / "truth.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind in "fi" for name in arrays)
    content = json.loads((simulated.path / "truth.json").read_text())
    assert content["simulated"] is True
    assert SimulationConfig(**content["config"]) == load_truth(simulated.path).config


def test_default_epochs_and_the_papers(small_config):
    assert SimulationConfig(modality="meg", tmin=-0.5, tmax=1.0).times.shape == (181,)
    assert small_config("meg").times[-1] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modality": "eeg", "channels": 100}, "no EEG cap with 100"),
        ({"modality": "meg", "tmin": 0.5, "tmax": 0.1}, "tmin < tmax"),
        ({"modality": "fmri", "voxels": (10, 5)}, "fewest"),
        ({"modality": "fmri", "voxels": (3, 5)}, "shared noise components"),
        ({"modality": "eeg", "colour": 1}, "colour"),
    ],
)
def test_impossible_configs_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        SimulationConfig(**change)


def test_unfit_pictures_are_refused_and_leave_nothing(small_config, pictures, tmp_path):
    twice = pictures.take([0, *range(40)])
    unnamed = pictures.take(range(40))
    unnamed.items.loc[3, "stimulus"] = None
    for unfit, config, message in [
        (twice, small_config("fmri"), "more than once"),
        (unnamed, small_config("fmri"), "1 without a name"),
        (pictures.take(range(13)), small_config("fmri"), "cannot be split"),
        (pictures, small_config("fmri", training_pictures=49), "cannot be split"),
        (pictures, small_config("fmri", latents=13), "vary in 12 directions"),
    ]:
        with pytest.raises(NeuroalignError, match=message):
            simulate(config, unfit, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_replaced_only_when_asked(small_config, pictures, tmp_path):
    config = small_config("fmri")
    simulate(config, pictures, tmp_path / "out")
    with pytest.raises(NeuroalignError, match="already exists"):
        simulate(config, pictures, tmp_path / "out")
    simulate(small_config("fmri", seed=3), pictures, tmp_path / "out", overwrite=True)
    assert load_truth(tmp_path / "out").config.seed == 3
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
