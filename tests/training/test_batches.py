"""Batches: each item once, in an order of its own, whoever reads and however many share."""

from itertools import chain

import numpy as np
import pytest
import torch

from neuroalign.training.batches import Batches


@pytest.fixture(scope="module")
def items(fmri):
    # the number of an item serves as its target, so that what a batch holds can be told
    return fmri, np.arange(len(fmri))


def rows(batches, epoch):
    return [b.target_rows.tolist() for b in batches.epoch(epoch)]


def trial_by_trial(batch):
    """Return the signals of a batch in the order of its people."""
    waiting = {s: iter(x) for s, x in batch.x.items()}
    return [next(waiting[s]) for s in batch.subjects]


@pytest.mark.parametrize("batch_size", [2, 16, 33, 1000])
def test_an_epoch_holds_each_item_once(items, batch_size):
    batches = Batches(*items, batch_size=batch_size, seed=0)
    parts = rows(batches, 1)
    assert len(parts) == len(batches)
    assert [len(p) for p in parts[:-1]] == [batch_size] * (len(parts) - 1)
    assert sorted(chain(*parts)) == list(range(160))


def test_signals_people_and_targets_stay_together(items):
    recordings, _ = items
    for batch in Batches(*items, batch_size=16, seed=0).epoch(1):
        for item, subject, x in zip(
            batch.target_rows.tolist(), batch.subjects, trial_by_trial(batch), strict=True
        ):
            assert recordings.trials["subject"][item] == subject
            assert np.array_equal(x, recordings.read([item])[0])


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else(items):
    first = Batches(*items, batch_size=16, seed=0)
    again = Batches(*items, batch_size=16, seed=0)
    torch.manual_seed(5)
    assert rows(again, 3) == rows(first, 3)  # without the epochs before it
    rows(again, 1)
    assert rows(again, 3) == rows(first, 3)
    assert rows(first, 2) != rows(first, 3)
    assert rows(Batches(*items, batch_size=16, seed=1), 3) != rows(first, 3)


def test_from_disk_and_from_memory_the_batches_are_the_same(items):
    kept = Batches(*items, batch_size=16, seed=0)
    streamed = Batches(*items, batch_size=16, seed=0, resident_bytes=0)
    for a, b in zip(kept.epoch(1), streamed.epoch(1), strict=True):
        assert a.subjects == b.subjects
        assert torch.equal(a.target_rows, b.target_rows)
        assert list(a.x) == list(b.x)
        assert all(torch.equal(a.x[s], b.x[s]) for s in a.x)


def test_averaged_views_are_batched_as_averages(fmri):
    averaged = fmri.average_repeats()
    for resident in (2**30, 0):
        batches = Batches(
            averaged, np.arange(len(averaged)), batch_size=64, seed=0, resident_bytes=resident
        )
        for batch in batches.epoch(1):
            for item, x in zip(batch.target_rows.tolist(), trial_by_trial(batch), strict=True):
                assert np.array_equal(x, averaged.read([item])[0])


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("batch_size", [16, 159])
def test_processes_divide_a_global_batch(items, world, batch_size):
    whole = Batches(*items, batch_size=batch_size, seed=0)
    parts = [
        Batches(*items, batch_size=batch_size, seed=0, rank=r, world=world) for r in range(world)
    ]
    for together, *shares in zip(whole.epoch(1), *(p.epoch(1) for p in parts), strict=True):
        assert len({len(s.target_rows) for s in shares}) == 1  # equally many, as gathering needs
        own = [s.target_rows[: len(s.target_rows) - s.padding].tolist() for s in shares]
        assert sorted(chain(*own)) == sorted(together.target_rows.tolist())
        for share in shares:
            assert sum(map(len, share.x.values())) == len(share.subjects) == len(share.target_rows)
            assert share.padding in (0, 1)
            assert set(share.target_rows.tolist()) <= set(together.target_rows.tolist())
