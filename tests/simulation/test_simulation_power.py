from __future__ import annotations

import pytest

from neuroalign.errors import NeuroalignError
from neuroalign.simulation.power import power_curve


def test_scores_grow_from_chance_with_the_signal(small_config, pictures):
    config = small_config("fmri", latent_noise=1.0)
    table = power_curve(config, pictures, "snr", [0.0, 0.5], seeds=3)
    assert list(table["value"]) == [0.0, 0.5]
    nothing, something = table.to_dict("records")
    assert nothing["ideal"] == nothing["ideal_low"] == nothing["ideal_high"] == 0.5
    assert nothing["ridge_low"] < nothing["chance"] < nothing["ridge_high"]
    assert something["ridge"] > 0.7
    assert something["ideal_low"] < something["ideal"] < something["ideal_high"]
    assert something["ridge"] < something["ideal"]


def test_more_training_pictures_help_ridge_and_not_the_ideal_observer(small_config, pictures):
    config = small_config("fmri", latent_noise=1.0, snr=0.2)
    table = power_curve(config, pictures, "training_pictures", [4, 48], seeds=3)
    few, many = table.to_dict("records")
    assert many["ridge"] > few["ridge"] + 0.05
    # The same people and test pictures: only the noise is drawn anew.
    assert many["ideal"] == pytest.approx(few["ideal"], abs=0.08)


@pytest.mark.parametrize(
    ("vary", "value", "message"),
    [
        ("colour", 1, "colour"),
        ("subjects", 0, "greater than or equal"),
        ("modality", 2, "modality"),
    ],
)
def test_impossible_analyses_are_refused(vary, value, message, small_config, pictures):
    with pytest.raises(NeuroalignError, match=message):
        power_curve(small_config("fmri"), pictures, vary, [value])


def test_one_seed_gives_no_interval(small_config, pictures):
    with pytest.raises(NeuroalignError, match="at least 2"):
        power_curve(small_config("fmri"), pictures, "snr", [0.1], seeds=1)
