"""Ceilings against closed forms, simulations with a known answer, and the simulator's own truth."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from neuroalign.errors import NeuroalignError
from neuroalign.evaluation.ceilings import other_people, own_repeats
from neuroalign.evaluation.reliability import (
    halves,
    noise_ceiling,
    read_ncsnr,
    spearman_brown,
    split_half_values,
)
from neuroalign.evaluation.tasks import score_matrix
from neuroalign.recordings import Recordings, RecordingsInfo, RecordingsWriter
from neuroalign.retrieval import Embeddings

NAMES = [f"p{i:02d}" for i in range(40)]


def repeats(n_repeats=4, noise=1.0, people=1, features=30, seed=0):
    """Simulated responses: a pattern per picture (and person) plus white noise of one size."""
    rng = np.random.default_rng(seed)
    table, rows = [], []
    for person in range(people):
        patterns = rng.normal(size=(len(NAMES), features))
        picture = rng.permutation(np.repeat(np.arange(len(NAMES)), n_repeats))
        rows.append(patterns[picture] + noise * rng.normal(size=(len(picture), features)))
        table.append(
            pd.DataFrame(
                {
                    "subject": f"s{person}",
                    "stimulus": np.array(NAMES)[picture],
                    "label": [f"c{p % 4}" for p in picture],
                    "array_row": np.arange(len(picture)),
                }
            )
        )
    return pd.concat(table, ignore_index=True), np.concatenate(rows)


def scored(found, metric="two_way_embedding"):
    scores = score_matrix(
        found.scores,
        found.items,
        found.candidates,
        **{"task": "decoding", "source": "eeg", "target": "pictures", "model": "own repeats"},
        items="",
        n_permutations=0,
    )
    return next(s for s in scores if s.metric == metric and s.subject == "all")


def test_spearman_brown_is_the_reliability_of_longer_tests():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=4000)
    one, other = (truth + rng.normal(size=(6, 4000)) for _ in range(2))
    single = np.mean([pearsonr(a, b)[0] for a, b in zip(one, other, strict=True)])
    together = pearsonr(one.mean(0), other.mean(0))[0]
    assert spearman_brown(single, 6) == pytest.approx(together, abs=0.02)
    assert spearman_brown(spearman_brown(0.3, 4), 1 / 4) == pytest.approx(0.3)
    assert np.isnan(spearman_brown(-0.9, 3))


def test_noise_ceiling_is_the_explainable_share_of_a_simulation():
    rng = np.random.default_rng(1)
    ncsnr = np.array([0.2, 0.7, 1.5])
    signal = ncsnr * rng.normal(size=(200_000, 3))
    for n in (1, 3):
        measured = signal + rng.normal(size=(n, *signal.shape)).mean(axis=0)
        explained = [pearsonr(signal[:, v], measured[:, v])[0] ** 2 for v in range(3)]
        np.testing.assert_allclose(noise_ceiling(ncsnr, n), explained, atol=0.01)


def test_noise_ceiling_is_spearman_and_browns_formula():
    ncsnr = np.linspace(0.1, 2, 9)
    np.testing.assert_allclose(
        noise_ceiling(ncsnr, 5), spearman_brown(noise_ceiling(ncsnr), 5), rtol=1e-12
    )
    # where averages differ: the mean of 1 / n
    mixed = noise_ceiling(ncsnr, [1, 2, 3, 3])
    np.testing.assert_allclose(mixed, ncsnr**2 / (ncsnr**2 + (1 + 1 / 2 + 2 / 3) / 4))


def test_split_halves_find_the_explainable_variance():
    rng = np.random.default_rng(2)
    strength = np.array([0.0, 0.5, 1.0, 2.0])
    signal = strength * rng.normal(size=(3000, 4))
    first, second = (signal + rng.normal(size=(2, 3000, 4)).mean(axis=0) for _ in range(2))
    found = split_half_values(first, second)
    assert found.mean() == pytest.approx(noise_ceiling(strength, 4).mean(), abs=0.02)
    # the mean is that of the corrected correlations themselves
    each = [pearsonr(first[:, v], second[:, v])[0] for v in range(4)]
    assert found.mean() == pytest.approx(spearman_brown(each, 2).mean(), abs=2e-3)


def test_influence_values_are_those_of_leaving_a_picture_out():
    rng = np.random.default_rng(3)
    signal = rng.normal(size=(200, 5))
    first, second = (signal + rng.normal(size=(200, 5)) for _ in range(2))
    found = split_half_values(first, second)

    def whole(keep):
        each = [pearsonr(first[keep, v], second[keep, v])[0] for v in range(5)]
        return spearman_brown(each, 2).mean()

    every = np.ones(200, bool)
    left = []
    for i in range(40):
        keep = every.copy()
        keep[i] = False
        left.append(200 * whole(every) - 199 * whole(keep))
    assert np.corrcoef(left, found[:40])[0, 1] > 0.99


def test_halves_agree_as_the_simulators_voxels_do(tmp_path):
    from neuroalign.images import embed_pictures, shipped_pictures
    from neuroalign.simulation import SimulationConfig, simulate
    from neuroalign.simulation.truth import load_truth

    config = SimulationConfig(
        modality="fmri",
        **{"subjects": 2, "latents": 6, "voxels": (120, 140), "snr": 0.5, "latent_noise": 0.0},
        **{"test_pictures": 60, "test_repeats": 8, "training_repeats": 1},
    )
    whole = simulate(config, embed_pictures(shipped_pictures(), "offline"), tmp_path / "fmri")
    truth = load_truth(whole.path)
    for subject, (table, first, second) in halves(whole.select(split="test")).items():
        assert set(table["n_averaged"]) == {8}
        single = truth.people[subject].noise_ceiling
        found = split_half_values(first, second).mean()
        assert found == pytest.approx(spearman_brown(single, 8).mean(), abs=0.06)


@pytest.mark.parametrize("single_trials", [True, False])
def test_own_repeats_score_as_the_closed_form_of_white_noise(single_trials):
    # With many features, the cosines of the right and of a wrong candidate are normal:
    # 2-way = Phi(d), d the difference of their means over the deviation of that difference.
    n, noise, features = 4, 3.0, 400
    table, rows = repeats(n, noise, features=features)
    found = own_repeats(table, rows, NAMES, single_trials=single_trials)
    asked, other = (1, n - 1) if single_trials else (n // 2, n // 2)
    q, c = 1 + noise**2 / asked, 1 + noise**2 / other
    from scipy.stats import norm

    # difference of two dot products: mean F; variance F (2 q c + 1), but for shared means
    expected = norm.cdf(np.sqrt(features / (2 * q * c + 1)))
    assert scored(found).value == pytest.approx(expected, abs=0.03)
    assert scored(found).chance == 0.5
    assert len(found.items) == len(NAMES) * (n if single_trials else 2)
    assert set(found.items["n_averaged"]) == {asked}


def test_own_repeats_of_pure_noise_are_at_chance():
    table, rows = repeats(4, 1.0, people=3)
    noise = np.random.default_rng(5).normal(size=rows.shape)
    for single_trials in (True, False):
        found = scored(own_repeats(table, noise, NAMES, single_trials=single_trials))
        assert found.low <= 0.5 <= found.high


def test_own_repeats_do_not_depend_on_the_order_of_trials():
    table, rows = repeats(3, 2.0, people=2)
    order = np.random.default_rng(6).permutation(len(table))
    straight = own_repeats(table, rows, NAMES, single_trials=True)
    mixed = own_repeats(
        table.iloc[order].reset_index(drop=True), rows[order], NAMES, single_trials=True
    )
    key = ["subject", "stimulus"]
    a = straight.items.assign(row=range(len(straight.items))).sort_values(key, kind="stable")
    b = mixed.items.assign(row=range(len(mixed.items))).sort_values(key, kind="stable")
    np.testing.assert_allclose(straight.scores[a["row"]], mixed.scores[b["row"]], rtol=0, atol=1e-6)


def test_own_repeats_need_repeats_of_some_and_trials_of_every_candidate():
    table, rows = repeats(2)
    once = ~table["stimulus"].duplicated()
    assert own_repeats(table[once], rows[once], NAMES, single_trials=False) is None
    assert own_repeats(table, rows, [*NAMES, "unseen"], single_trials=False) is None
    lone = once | (table["stimulus"] != NAMES[3])
    found = own_repeats(table[lone], rows[lone], NAMES, single_trials=False)
    assert NAMES[3] not in set(found.items["stimulus"])
    assert found.candidates["stimulus"].tolist() == NAMES


def test_other_people_find_what_people_share():
    rng = np.random.default_rng(7)
    shared = rng.normal(size=(40, 50))
    n = np.tile(np.arange(40), 3)
    table = pd.DataFrame(
        {
            "kind": "eeg",
            "subject": np.repeat(["a", "b", "c"], 40),
            "stimulus": np.array(NAMES)[n],
            "label": None,
        }
    )
    alike = Embeddings(shared[n] + 0.1 * rng.normal(size=(120, 50)), table, "x")
    assert scored(other_people(alike, NAMES), "top1").value == 1.0
    alone = Embeddings(rng.normal(size=(120, 50)), table, "x")
    found = scored(other_people(alone, NAMES))
    assert found.low <= 0.5 <= found.high
    assert other_people(alike.select(subject="a"), NAMES) is None


def test_ncsnr_is_read_beside_the_recordings_and_has_to_fit(tmp_path):
    table, rows = repeats(2, features=30)
    info = RecordingsInfo(modality="fmri", axes=("voxels",), units="z", simulated=True)
    with RecordingsWriter(tmp_path / "fmri", info) as writer:
        writer.append("s0", rows, table.drop(columns=["subject", "array_row"]).assign(split="test"))
    recordings = Recordings(tmp_path / "fmri")
    assert read_ncsnr(recordings, "s0") is None
    (tmp_path / "fmri" / "ncsnr").mkdir()
    np.save(tmp_path / "fmri" / "ncsnr" / "s0.npy", np.ones(30, np.float32))
    np.testing.assert_array_equal(read_ncsnr(recordings, "s0"), np.ones(30))
    np.save(tmp_path / "fmri" / "ncsnr" / "s0.npy", np.ones(29, np.float32))
    with pytest.raises(NeuroalignError, match=r"shape \(29,\).*\(30,\)"):
        read_ncsnr(recordings, "s0")


def test_halves_that_cannot_agree_are_refused():
    with pytest.raises(NeuroalignError, match="same three or more pictures"):
        split_half_values(np.ones((2, 4)), np.ones((2, 4)))
    with pytest.raises(NeuroalignError, match="same for every picture"):
        split_half_values(np.ones((5, 4)), np.ones((5, 4)))
