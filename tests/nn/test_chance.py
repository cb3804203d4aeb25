"""Chance of augmentation: its distribution, and what it does not depend on."""

import numpy as np
import pytest
import torch
from scipy import stats

from geoseg.nn.chance import Chance, normal_field, uniform_field


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_rows_do_not_depend_on_how_many_there_are():
    few, many = Chance.draw(2, 5, generator()), Chance.draw(9, 5, generator())
    assert torch.equal(few.share("scale"), many.share("scale")[:2])
    assert torch.equal(few.bands("band_drop"), many.bands("band_drop")[:2])
    assert torch.equal(few.seeds("noise_seed"), many.seeds("noise_seed")[:2])
    assert len(many) == 9


def test_numbers_lie_where_they_should():
    chance = Chance.draw(20_000, 2, generator())
    between = chance.between("shear", -3, 5).numpy()
    assert stats.kstest(between, stats.uniform(-3, 8).cdf).pvalue > 1e-3
    factor = np.log2(chance.factor("scale", 0.5, 2).numpy())
    assert stats.kstest(factor, stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert abs(chance.happens("blur?", 0.3).double().mean() - 0.3) < 0.015
    assert len(chance.seeds("elastic").unique()) > 19_900
    with pytest.raises(KeyError):
        chance.share("colour")


def test_fields_are_even_and_normal():
    seeds = torch.tensor([0, 1, -5, 2**31 - 1]).int()
    even = uniform_field(seeds, (3, 100, 101))
    assert even.shape == (4, 3, 100, 101) and even.min() > 0 and even.max() < 1
    normal = normal_field(seeds, (3, 33, 35))  # an odd number
    assert normal.shape == (4, 3, 33, 35)
    for n in range(4):
        assert stats.kstest(even[n].flatten().numpy(), "uniform").pvalue > 1e-3
        assert stats.kstest(normal[n].flatten().numpy(), "norm").pvalue > 1e-3
    flat = even.flatten(1).numpy()
    assert np.abs(np.corrcoef(flat) - np.eye(4)).max() < 0.03
    for lag in (1, 2, 101, 4096):
        assert abs(np.corrcoef(flat[0, lag:], flat[0, :-lag])[0, 1]) < 0.03
    alone = normal_field(seeds[2:3], (3, 33, 35))
    assert torch.equal(alone[0], normal[2])


def test_the_field_is_that_of_the_mixer_in_plain_numbers():
    """Murmur3's finalizer, written with Python's integers."""

    def mix(bits):
        bits ^= bits >> 16
        bits = bits * 0x85EBCA6B % 2**32
        bits ^= bits >> 13
        bits = bits * 0xC2B2AE35 % 2**32
        return bits ^ bits >> 16

    seed = -123_456_789
    expected = [(mix(mix(place) ^ (seed % 2**32)) >> 8) * 2**-24 + 2**-25 for place in range(50)]
    got = uniform_field(torch.tensor([seed]).int(), (50,))[0]
    np.testing.assert_array_equal(got.numpy(), np.array(expected, np.float32))
