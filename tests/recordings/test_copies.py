"""Copies of a recording are known in another scale, reference, filter or rate (simulated)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.signal

from neuroalign.recordings.copies import (
    ALIKE,
    SAME,
    MarkMaker,
    OutlineMaker,
    alike,
    marks_as_text,
    marks_from_text,
)

SFREQ, NAMES = 250.0, ["Fz", "Cz", "Pz", "Oz"]


def recording(seed: int, seconds: float = 60.0) -> np.ndarray:
    """Return four channels whose power falls with frequency, as that of a head does."""
    white = np.random.default_rng(seed).normal(size=(4, int(seconds * SFREQ)))
    return scipy.signal.lfilter([1.0], [1.0, -0.97], white) * 10e-6


def outline(data: np.ndarray, sfreq: float = SFREQ, names: list[str] | None = None) -> dict:
    maker = OutlineMaker(names or NAMES, sfreq, data.shape[1], rereference=True)
    for row in data:
        maker.add(row[None])
    return maker.outline()


ONE = recording(1)


@pytest.mark.parametrize(
    ("name", "changed", "least"),
    [
        ("another unit", ONE * 1e6, SAME),
        ("the sign turned", -ONE, SAME),
        ("an offset", ONE + 0.2, SAME),
        ("each channel scaled otherwise", ONE * np.array([[1.0], [1.02], [0.97], [1.0]]), SAME),
        ("the average as reference", ONE - ONE.mean(axis=0), SAME),
        ("one channel as reference", ONE - ONE[[2]] * 0.8, SAME),
        ("a tenth of noise", ONE + recording(9) * 0.1, SAME),
        ("another band", scipy.signal.sosfiltfilt(
            scipy.signal.butter(2, [0.5, 30], "band", fs=SFREQ, output="sos"), ONE), ALIKE),
        ("cut", 2 * ONE[:, 3000:12000], ALIKE),
        ("begun later, by a part of a step", 2 * ONE[:, 3007:], ALIKE),
        ("at the end of another one", np.concatenate([recording(5, 20.0), 3 * ONE], axis=1), ALIKE),
    ],
)  # fmt: skip
def test_a_changed_copy_is_known(name: str, changed: np.ndarray, least: float) -> None:
    outlines = {"one": outline(ONE), "other": outline(recording(2)), "changed": outline(changed)}
    found = alike(outlines)
    assert [(a.first, a.second) for a in found] == [("one", "changed")], name
    assert found[0].correlation >= least


def test_another_rate_and_another_order_of_channels() -> None:
    half = scipy.signal.resample_poly(ONE, 1, 2, axis=1)[::-1]
    found = alike({"one": outline(ONE), "half": outline(half, SFREQ / 2, NAMES[::-1])})
    assert len(found) == 1
    assert found[0].correlation > 0.9
    assert found[0].seconds == pytest.approx(60, abs=1)


def test_recordings_of_their_own_are_far_from_alike() -> None:
    outlines = {str(i): outline(recording(i)) for i in range(12)}
    assert alike(outlines) == []
    signals = {name: recording(int(name)) for name in outlines}
    # The same responses at the same times do not make a copy, as long as noise is as large.
    evoked = np.zeros(ONE.shape[1])
    evoked[:: int(SFREQ)] = 1.0
    evoked = np.convolve(evoked, np.hanning(60))[: len(evoked)]
    for data in signals.values():
        data += evoked * data.std()
    assert alike({name: outline(data) for name, data in signals.items()}) == []


def test_what_is_short_flat_or_shares_no_channel_is_not_compared() -> None:
    assert alike({}) == []
    short = outline(ONE[:, :1000])
    assert short == {}
    flat = outline(np.zeros((4, 15000)))
    assert flat == {}
    others = outline(ONE, names=["A", "B", "C", "D"])
    assert alike({"one": outline(ONE), "short": short, "flat": flat, "others": others}) == []


def test_marks_are_the_same_however_channels_arrive_and_survive_as_text() -> None:
    whole, pieces = MarkMaker(ONE.shape[1]), MarkMaker(ONE.shape[1])
    whole.add(ONE)
    for first, last in itertools.pairwise((0, 1, 3, 4)):
        pieces.add(ONE[first:last])
    np.testing.assert_array_equal(whole.marks(), pieces.marks())
    assert len(whole.marks()) == pytest.approx(ONE.shape[1] / 32, rel=0.2)
    np.testing.assert_array_equal(marks_from_text(marks_as_text(whole.marks())), whole.marks())


def test_a_buffer_that_was_written_twice_is_counted() -> None:
    maker = MarkMaker(ONE.shape[1])
    maker.add(ONE)
    assert maker.repeats() == 0
    again = ONE.copy()
    again[:, 9000:10000] = again[:, 2000:3000]
    maker = MarkMaker(ONE.shape[1])
    maker.add(again)
    assert maker.repeats() == pytest.approx(1000 / 32, rel=0.5)
