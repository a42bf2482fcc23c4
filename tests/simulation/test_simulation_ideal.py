from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.metrics import two_way
from neuroalign.recordings import write_recordings
from neuroalign.simulation import (
    ideal_conversion,
    ideal_encoding,
    ideal_scores,
    load_truth,
    simulate,
)
from neuroalign.simulation.power import expected_scores, ridge_scores


def dense_model(person):
    """Mean, responses (features x K) and noise covariance, flattened over channels and samples."""
    if hasattr(person, "tuning"):
        noise = np.diag(person.noise_sd**2) + person.shared @ person.shared.T
        return np.zeros(len(noise)), person.tuning, noise
    responses = np.einsum("ck,kt->ctk", person.patterns, person.courses)
    features = person.evoked.size
    noise = np.einsum("ij,tu->itju", person.space, person.time).reshape(features, features)
    return person.evoked.ravel(), responses.reshape(features, -1), noise


def score(scores, view, pictures):
    names = pictures.items["stimulus"].to_numpy(str)
    return two_way(scores, view.trials["stimulus"].to_numpy(str), names)


@pytest.mark.parametrize("averaged", [False, True])
def test_equals_the_multivariate_normal_density(averaged, simulated, pictures):
    truth = load_truth(simulated.path)
    view = simulated.select(split="test")
    view = view.average_repeats() if averaged else view
    view = view.take(np.arange(0, len(view), 5))
    scores = ideal_scores(view, pictures)
    phi = truth.latents(pictures.vectors)
    for i, trial in view.trials.iterrows():
        person = truth.people[trial["subject"]]
        mean, responses, noise = dense_model(person)
        covariance = noise + person.latent_noise**2 * responses @ responses.T
        covariance /= trial["n_averaged"] if averaged else 1
        residuals = view.read([i]).ravel().astype(float) - mean - phi @ responses.T
        expected = multivariate_normal(np.zeros(len(mean)), covariance).logpdf(residuals)
        np.testing.assert_allclose(
            scores[i] - scores[i].mean(), expected - expected.mean(), rtol=1e-6, atol=1e-6
        )


def test_score_agrees_with_the_closed_form(simulated, pictures):
    truth = load_truth(simulated.path)
    view = simulated.select(split="test").average_repeats()
    gallery = pictures.select(stimulus=set(view.trials["stimulus"]))
    phi = truth.latents(gallery.vectors)
    found, expected = [], []
    for subject, person in truth.people.items():
        mine = view.select(subject=subject)
        found.append(score(ideal_scores(mine, gallery), mine, gallery).mean())
        _, responses, noise = dense_model(person)
        covariance = (noise + person.latent_noise**2 * responses @ responses.T) / 4
        difference = (phi[:, None] - phi[None]) @ responses.T
        separation = np.einsum(
            "pqf,pqf->pq", difference, np.linalg.solve(covariance, difference[..., None])[..., 0]
        )
        # The right picture wins with the probability Phi(d'/2).
        pairs = ~np.eye(len(phi), dtype=bool)
        expected.append(norm.cdf(np.sqrt(separation[pairs]) / 2).mean())
    # 24 queries whose shares spread by some 0.25: a standard error of 0.05.
    assert np.mean(found) == pytest.approx(np.mean(expected), abs=0.15)


@pytest.mark.parametrize("modality", ["eeg", "meg", "fmri"])
def test_from_chance_without_signal_to_certainty(modality, small_config, pictures, tmp_path):
    for snr, expected in [(0.0, 0.5), (1e4, 1.0)]:
        config = small_config(modality, snr=snr, latent_noise=0.0)
        recordings = simulate(config, pictures, tmp_path / str(snr))
        view = recordings.select(split="test")
        assert (score(ideal_scores(view, pictures), view, pictures) == expected).all()


def test_more_repeats_never_hurt(small_config, pictures, tmp_path):
    config = small_config("fmri", snr=0.1, test_repeats=16, test_pictures=30, subjects=3)
    test = simulate(config, pictures, tmp_path / "out").select(split="test")
    found = []
    for n in (1, 4, 16):
        view = test.select(repetition=list(range(1, n + 1))).average_repeats()
        assert set(view.trials["n_averaged"]) == {n}
        found.append(score(ideal_scores(view, pictures), view, pictures).mean())
    assert 0.5 < found[0] < found[1] < found[2] < 1


def test_latent_noise_bounds_what_more_signal_can_do(small_config, pictures, tmp_path):
    config = small_config("fmri", snr=1e8, latent_noise=3.0)
    view = simulate(config, pictures, tmp_path / "out").select(split="test")
    assert score(ideal_scores(view, pictures), view, pictures).mean() < 0.85


def test_ridge_does_not_beat_the_ideal_observer_and_learns(small_config, pictures, tmp_path):
    config = small_config("fmri", snr=0.1, latent_noise=2.0, subjects=3)
    found = expected_scores(simulate(config, pictures, tmp_path / "out"), pictures)
    assert 0.6 < found["ridge"] < found["ideal"] < 0.98


def test_ridge_is_an_oracle_where_the_signal_is_clean(small_config, pictures, tmp_path):
    config = small_config("fmri", snr=1e6, latent_noise=0.0, latents=12, spectrum=1.0, subjects=1)
    recordings = simulate(config, pictures, tmp_path / "out")
    view = recordings.select(split="test").average_repeats()
    gallery = pictures.select(stimulus=set(view.trials["stimulus"]))
    assert score(ridge_scores(recordings, pictures), view, gallery).mean() > 0.99


def test_encoding_and_conversion_follow_bayes_rule():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 7)), rng.normal(size=(6, 7))
    p, q = np.exp(a) / np.exp(a).sum(1, keepdims=True), np.exp(b) / np.exp(b).sum(1, keepdims=True)
    np.testing.assert_allclose(ideal_encoding(a), np.log(p).T)
    np.testing.assert_allclose(ideal_conversion(a, b), np.log(p @ q.T))
    # A constant per item, which the log-likelihood leaves open, makes no difference.
    np.testing.assert_allclose(ideal_encoding(a + rng.normal(size=(5, 1))), np.log(p).T)
    np.testing.assert_allclose(ideal_conversion(a + 1e4, b - 1e4), np.log(p @ q.T))
    with pytest.raises(NeuroalignError, match="7 and 3"):
        ideal_conversion(a, b[:, :3])


def test_other_recordings_and_pictures_are_refused(simulated, pictures, tmp_path):
    view = simulated.select(split="test")
    elsewhere = type(pictures)(pictures.vectors, pictures.items, "elsewhere")
    with pytest.raises(NeuroalignError, match="elsewhere"):
        ideal_scores(view, elsewhere)
    narrow = type(pictures)(pictures.vectors[:, :5], pictures.items, pictures.space)
    with pytest.raises(NeuroalignError, match="made from embeddings of 12 numbers"):
        ideal_scores(view, narrow)
    subject = simulated.subjects[0]
    own = simulated.select(subject=subject)
    info = simulated.info.model_copy(update={"subjects": {}, "simulated": False})
    real = write_recordings(tmp_path / "real", info, {subject: own.read()}, own.trials)
    with pytest.raises(NeuroalignError, match=r"no truth.json.*simulated recordings only"):
        ideal_scores(real, pictures)
    (real.path / "truth.json").write_text('{"config": {}}')
    np.savez(real.path / "truth.npz")
    with pytest.raises(NeuroalignError, match="damaged"):
        ideal_scores(real, pictures)
