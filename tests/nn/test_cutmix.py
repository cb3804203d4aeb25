"""CutMix: boxes of other samples, with their labels."""

import numpy as np
import pytest
import torch
from scipy import stats

from geoseg.nn.augment_config import AugmentConfig
from geoseg.nn.chance import Chance
from geoseg.nn.cutmix import Boxes, mix
from geoseg.nn.geometric import Samples


def numbered(count, side=32):
    """Every pixel of image, mask and valid tells its sample."""
    number = torch.arange(count)[:, None, None].expand(count, side, side)
    return Samples(image=number[:, None].float(), mask=number.int(), valid=number % 3 != 0)


def boxes(count, *, probability=1.0, alpha=1.0, seed=0, shape=(32, 32)):
    config = AugmentConfig(cutmix=probability, cutmix_alpha=alpha)
    return Boxes.draw(config, Chance.draw(count, 1, torch.Generator().manual_seed(seed)), shape)


def test_pixels_of_image_mask_and_valid_come_together_in_one_box():
    count = 12
    drawn = boxes(count)
    after = mix(numbered(count), drawn)
    assert torch.equal(after.image[:, 0], after.mask.float())
    assert torch.equal(after.valid, after.mask % 3 != 0)
    for n in range(count):
        foreign = after.mask[n] != n
        partner = int(drawn.partner[n])
        assert set(after.mask[n].unique().tolist()) <= {n, partner} and partner != n
        inside = torch.zeros(32, 32, dtype=torch.bool)
        top, bottom = max(0, int(drawn.top[n])), int(drawn.bottom[n])
        left, right = max(0, int(drawn.left[n])), int(drawn.right[n])
        inside[top : max(bottom, 0), left : max(right, 0)] = True
        assert torch.equal(foreign, inside)
    assert sorted(drawn.partner.tolist()) == list(range(count))


@pytest.mark.parametrize("alpha", [0.4, 1.0, 3.0])
def test_areas_are_of_the_beta_distribution(alpha):
    drawn = boxes(4000, alpha=alpha, shape=(1000, 500))
    shares = ((drawn.bottom - drawn.top) * (drawn.right - drawn.left)).numpy() / 500_000
    assert stats.kstest(1 - shares, stats.beta(alpha, alpha).cdf).statistic < 0.05
    middles = (drawn.bottom + drawn.top).numpy() / 2000
    assert stats.kstest(middles, "uniform").statistic < 0.03


def test_boxes_come_as_often_as_told_and_never_to_a_lonely_sample():
    drawn = boxes(3000, probability=0.25)
    assert abs(np.mean((drawn.bottom > drawn.top).numpy()) - 0.25) < 0.03
    alone = numbered(1)
    assert torch.equal(mix(alone, boxes(1)).mask, alone.mask)
