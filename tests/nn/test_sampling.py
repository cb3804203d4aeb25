"""The order of samples: equally often, split over processes, resumed in the middle."""

import numpy as np
import pytest

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
