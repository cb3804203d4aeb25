"""Changes of values against numpy and scipy."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from geoseg.nn.augment_config import AugmentConfig
from geoseg.nn.blur import blur
from geoseg.nn.chance import Chance
from geoseg.nn.photometric import bend, drawn_bands, lose_bands, recolor, repaint, roughen


def draw(count=3, bands=2, height=24, width=20):
    image = torch.randn(count, bands, height, width) * 3 + 50
    valid = torch.rand(count, height, width) > 0.2
    return image, valid


def column(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_recolor_is_the_formula_on_valid_pixels_only():
    image, valid = draw()
    shift = torch.randn(3, 2, dtype=torch.float64)
    stretch = torch.rand(3, 2, dtype=torch.float64) + 0.5
    after = recolor(image, valid, shift, stretch)
    for n in range(3):
        seen = valid[n].numpy()
        for band in range(2):
            x = image[n, band].numpy().astype(np.float64)
            mean = x[seen].mean()
            expected = (x - mean) * float(stretch[n, band]) + mean + float(shift[n, band])
            got = after[n, band].numpy()
            np.testing.assert_allclose(got[seen], expected[seen], rtol=1e-5)
            np.testing.assert_array_equal(got[~seen], image[n, band].numpy()[~seen])


@pytest.mark.parametrize("offset", [0, -4, 3000])
def test_bend_is_the_power_between_least_and_greatest(offset):
    image, valid = draw()
    image += offset
    image = torch.where(valid[:, None], image, 1e6)  # what is not valid has no say
    exponent = column(0.5, 1.0, 1.7)
    after = bend(image, valid, exponent)
    for n in range(3):
        seen = valid[n].numpy()
        for band in range(2):
            x = image[n, band].numpy().astype(np.float64)[seen]
            low, high = x.min(), x.max()
            expected = low + (high - low) * ((x - low) / (high - low)) ** float(exponent[n])
            np.testing.assert_allclose(after[n, band].numpy()[seen], expected, rtol=2e-5, atol=1e-4)
    assert torch.equal(after[1], image[1])
    assert (after.permute(0, 2, 3, 1)[~valid] == 1e6).all()


def test_bend_keeps_a_band_of_one_value():
    image, valid = torch.full((1, 2, 4, 4), -2.5), torch.ones(1, 4, 4, dtype=torch.bool)
    assert torch.equal(bend(image, valid, column(0.5)), image)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.7])
def test_blur_is_that_of_scipy(sigma):
    image, _ = draw(count=1)
    whole = torch.ones(1, 24, 20, dtype=torch.bool)
    after = blur(image, whole, column(sigma))[0].numpy()
    reach = int(np.ceil(3 * sigma))
    for band in range(2):
        x = image[0, band].numpy().astype(np.float64)
        inner = ndimage.gaussian_filter(x, sigma, radius=reach)
        middle = np.s_[reach:-reach, reach:-reach]
        np.testing.assert_allclose(after[band][middle], inner[middle], rtol=1e-5)
        sums, weights = (
            ndimage.gaussian_filter(y, sigma, radius=reach, mode="constant")
            for y in (x, np.ones_like(x))
        )
        np.testing.assert_allclose(after[band], sums / weights, rtol=1e-5)


def test_blur_sees_valid_pixels_only_and_each_sample_by_its_own_width():
    image, valid = draw()
    image = torch.where(valid[:, None], image, 1e4)
    sigma = column(0.7, 0.0, 2.0)
    after = blur(image, valid, sigma)
    for n, reach in ((0, 3), (2, 6)):
        seen = valid[n].numpy()
        x = np.where(seen, image[n, 1].numpy().astype(np.float64), 0)
        sums, weights = (
            ndimage.gaussian_filter(y, float(sigma[n]), radius=reach, mode="constant")
            for y in (x, seen.astype(np.float64))
        )
        np.testing.assert_allclose(after[n, 1].numpy()[seen], (sums / weights)[seen], rtol=1e-4)
    assert torch.equal(after[1], image[1])
    assert (after.permute(0, 2, 3, 1)[~valid] == 1e4).all()


def test_noise_has_the_deviation_told_and_no_pattern():
    image = torch.zeros(3, 4, 128, 128)
    valid = torch.ones(3, 128, 128, dtype=torch.bool)
    valid[:, :32] = False
    after = roughen(image, valid, column(0.3, 0.0, 2.0), torch.tensor([5, 6, 7]).int())
    assert not after[:, :, :32].any() and not after[1].any()
    for n, deviation in ((0, 0.3), (2, 2.0)):
        noise = after[n, :, 32:].numpy().astype(np.float64) / deviation
        size = noise.size
        assert abs(noise.mean()) < 4 / np.sqrt(size)
        assert abs(noise.std() - 1) < 4 / np.sqrt(2 * size)
        assert abs((np.abs(noise) < 1).mean() - 0.6827) < 4 * np.sqrt(0.25 / size)
        for axis in range(3):
            one, other = np.delete(noise, 0, axis), np.delete(noise, -1, axis)
            assert abs(np.mean(one * other)) < 5 / np.sqrt(one.size)
    assert abs(float((after[0] * after[2]).mean())) < 0.02


def test_noise_of_a_range_spreads_over_it():
    count = 600
    image, valid = torch.zeros(count, 1, 32, 32), torch.ones(count, 32, 32, dtype=torch.bool)
    config = AugmentConfig.model_validate(
        {"noise": (0.1, 0.5), "brightness": 0, "contrast": 0, "probability": {"noise": 0.4}}
    )
    chance = Chance.draw(count, 1, torch.Generator().manual_seed(3))
    deviations = repaint(image, valid, config, chance, torch.zeros(1)).flatten(1).std(dim=1)
    noisy = deviations[deviations > 0]
    assert abs(len(noisy) / count - 0.4) < 0.08
    assert 0.09 < noisy.min() < 0.13 and 0.47 < noisy.max() < 0.55
    assert abs(float(noisy.mean()) - 0.3) < 0.03


@pytest.mark.parametrize("bands", [1, 2, 6])
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_bands_are_lost_but_one_always_stays(bands, probability):
    chance = Chance.draw(2000, bands, torch.Generator().manual_seed(0))
    lost = drawn_bands(probability, chance)
    assert (~lost).any(dim=1).all()
    expected = probability - probability**bands / bands  # all drawn: one of them stays
    assert abs(float(lost.double().mean()) - expected) < 0.03


def test_a_lost_band_is_its_fill_where_there_is_data():
    image, valid = draw()
    lost = torch.tensor([[True, False], [False, False], [False, True]])
    after = lose_bands(image, valid, lost, torch.tensor([0.5, -1.0]))
    assert (after[0, 0][valid[0]] == 0.5).all() and (after[2, 1][valid[2]] == -1).all()
    assert torch.equal(after[1], image[1]) and torch.equal(after[0, 1], image[0, 1])
    assert torch.equal(after[0, 0][~valid[0]], image[0, 0][~valid[0]])


def test_bands_shift_and_stretch_on_their_own():
    count = 300
    image = torch.randn(1, 3, 8, 8).expand(count, -1, -1, -1)
    valid = torch.ones(count, 8, 8, dtype=torch.bool)
    base = {"brightness": 0, "contrast": 0}
    for change, figure in (
        ({"band_shift": 0.5}, lambda x: x.mean(dim=(2, 3)) - image.mean(dim=(2, 3))),
        ({"band_gain": 0.5}, lambda x: x.std(dim=(2, 3)) / image.std(dim=(2, 3)) - 1),
    ):
        config = AugmentConfig.model_validate({**base, **change})
        chance = Chance.draw(count, 3, torch.Generator().manual_seed(1))
        drawn = figure(repaint(image, valid, config, chance, torch.zeros(1))).numpy()
        assert drawn.min() < -0.48 and drawn.max() > 0.48 and np.abs(drawn).max() < 0.501
        assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.2
    config = AugmentConfig(brightness=0.5, contrast=0)
    chance = Chance.draw(count, 3, torch.Generator().manual_seed(1))
    together = repaint(image, valid, config, chance, torch.zeros(1)) - image
    assert together.flatten(1).std(dim=1).max() < 1e-5  # brightness is of all bands
