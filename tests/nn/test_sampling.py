"""The order of samples: equally often, split over processes, resumed in the middle."""

import numpy as np
import pytest
import torch

from geoseg.nn.drawing import Drawing
from geoseg.nn.sampling import EpochSampler


def test_an_epoch_shows_each_pair_equally_often_in_another_order():
    sampler = EpochSampler(5, samples=12, seed=1)
    first = list(sampler)
    assert [key.position for key in first] == list(range(12))
    counts = np.bincount([key.pair for key in first])
    assert sorted(counts) == [2, 2, 2, 3, 3]
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert [key.pair for key in sampler] != [key.pair for key in first]
    assert {key.epoch for key in sampler} == {1}


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_processes_share_the_keys_of_one_without_repeats(world):
    alone = EpochSampler(10, 23, 4)
    alone.set_epoch(3)
    parts = []
    for rank in range(world):
        sampler = EpochSampler(10, 23, 4, rank=rank, world=world)
        sampler.set_epoch(3)
        parts.append(list(sampler))
        assert len(parts[-1]) == len(sampler) == 23 // world
        assert [key.position % world for key in parts[-1]] == [rank] * len(sampler)
    together = sorted(key for part in parts for key in part)
    assert together == list(alone)[: 23 // world * world]


def test_an_epoch_goes_on_in_its_middle():
    sampler = EpochSampler(10, 23, 4, rank=1, world=2)
    sampler.set_epoch(2)
    whole = list(sampler)
    sampler.set_epoch(2, start=4)
    assert list(sampler) == whole[4:]
    sampler.set_epoch(2)  # Lightning does so when the epoch begins
    assert list(sampler) == whole[4:]
    assert len(sampler) == len(whole)
    sampler.set_epoch(3)
    assert len(list(sampler)) == len(whole)
    sampler.set_epoch(2)
    assert list(sampler) == whole


@pytest.mark.parametrize(("rank", "world"), [(-1, 2), (2, 2), (0, 0)])
def test_a_rank_is_one_of_its_world(rank, world):
    with pytest.raises(ValueError, match="processes"):
        EpochSampler(4, 4, 0, rank=rank, world=world)


def hard(pairs=6, samples=6):
    return EpochSampler(Drawing(pairs=pairs, sampling="hard", hard_share=1.0), samples, 1)


def counts(sampler, pairs=6):
    return np.bincount([key.pair for key in sampler], minlength=pairs).tolist()


def test_what_is_recorded_decides_the_next_epoch_and_not_this_one():
    sampler = hard()
    before = list(sampler)
    sampler.record([0, 1, 2], [0.0, 0.0, 6.0])
    sampler.record([3, 4, 5], [0.0, float("nan"), 0.0])
    assert list(sampler) == before
    sampler.set_epoch(0)
    assert list(sampler) == before
    sampler.set_epoch(1)
    assert counts(sampler) == [0, 0, 5, 0, 1, 0]  # the one that has no loss yet, once
    sampler.record([4], [6.0])
    sampler.record([4, 0], [float("nan"), float("inf")])  # nothing was labelled, say
    sampler.set_epoch(2)
    assert counts(sampler) == [0, 0, 3, 0, 3, 0]


def test_a_state_goes_on_in_the_middle_of_an_epoch(tmp_path):
    whole = hard(samples=12)
    whole.record(range(6), np.arange(6.0))
    whole.set_epoch(1)
    keys = list(whole)
    whole.record([5, 5], [3.0, 0.5])  # the last one counts
    torch.save(whole.state_dict(), tmp_path / "state")
    resumed = hard(samples=12)
    resumed.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    resumed.set_epoch(1, start=5)
    assert list(resumed) == keys[5:]
    for sampler in (whole, resumed):
        sampler.set_epoch(2)
    assert list(resumed) == list(whole)
    assert counts(whole)[5] < counts(whole)[4]


def test_a_state_of_other_data_is_refused():
    with pytest.raises(ValueError, match="6 pairs, not 7"):
        hard(pairs=7).load_state_dict(hard(pairs=6).state_dict())


def test_keys_tell_the_class_around_which_they_lie():
    pixels = np.array([[5, 0], [0, 5]])
    drawing = Drawing(pairs=2, sampling="balanced", class_pixels=pixels)
    assert {(key.pair, key.focus) for key in EpochSampler(drawing, 8, 0)} == {(0, 0), (1, 1)}
