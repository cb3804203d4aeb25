import numpy as np
import pytest
import torch
from pydantic import ValidationError

from geoseg.nn.augment import (
    Augment,
    AugmentConfig,
    Samples,
    flip,
    place,
    recolor,
    resize,
    rotate,
)

STILL = {"flip": 0, "rotate": 0, "scale": (1.0, 1.0), "brightness": 0, "contrast": 0}


def coded(height=6, width=6, count=1):
    """Image, mask and valid that all hold their own position."""
    code = torch.arange(count * height * width).reshape(count, height, width)
    image = torch.stack([code.float(), -code.float()], dim=1)
    return Samples(image=image, mask=code.clone(), valid=code % 5 != 0)


def assert_agree(samples, before):
    """Every pixel of image, mask and valid is of the same place."""
    assert torch.equal(samples.image[:, 0], samples.mask.float())
    assert torch.equal(samples.image[:, 1], -samples.mask.float())
    assert torch.equal(samples.valid, samples.mask % 5 != 0)
    assert sorted(samples.mask.flatten().tolist()) == sorted(before.mask.flatten().tolist())


@pytest.mark.parametrize("shape", [(6, 6), (3, 8), (1, 5), (5, 1)])
@pytest.mark.parametrize(
    ("change", "oracle"),
    [
        (lambda s: flip(s, axis=-1), np.fliplr),
        (lambda s: flip(s, axis=-2), np.flipud),
        (lambda s: rotate(s, 1), lambda a: np.rot90(a, 1)),
        (lambda s: rotate(s, 2), lambda a: np.rot90(a, 2)),
        (lambda s: rotate(s, 3), lambda a: np.rot90(a, 3)),
    ],
    ids=["left-right", "up-down", "90", "180", "270"],
)
def test_position_code_stays_together(shape, change, oracle):
    before = coded(*shape)
    after = change(before)
    assert_agree(after, before)
    np.testing.assert_array_equal(after.mask[0].numpy(), oracle(before.mask[0].numpy()))


@pytest.mark.parametrize("shape", [(8, 8), (4, 9)])
def test_random_turns_and_flips_keep_the_position_code(shape):
    before = coded(*shape, count=16)
    augment = Augment(AugmentConfig(**{**STILL, "flip": 0.5, "rotate": 0.7}), ignore=-1, seed=1)
    image, mask, valid = augment(before.image, before.mask, before.valid)
    assert image.shape == before.image.shape
    assert torch.equal(mask[valid], image[:, 0][valid].long())
    assert (mask[~valid] == -1).all()
    assert torch.equal(valid, image[:, 0] % 5 != 0)
    looks = {tuple((mask[n] - mask[n].max()).flatten().tolist()) for n in range(16)}
    assert len(looks) > 3


@pytest.mark.parametrize("shape", [(8, 8), (5, 7), (12, 12), (24, 18), (9, 16)])
def test_resized_image_and_mask_fall_on_the_same_places(shape):
    height, width = 12, 12
    rows = torch.arange(height).float()[:, None].expand(height, width)
    image = torch.stack([rows, rows.T])[None]
    before = Samples(
        image=image,
        mask=(rows * width + rows.T)[None].long(),
        valid=torch.ones(1, height, width, dtype=torch.bool),
    )
    after = resize(before, shape)
    mask_rows, mask_cols = (after.mask // width)[0], (after.mask % width)[0]
    inner = (
        slice(shape[0] // 4, -(shape[0] // 4) or None),
        slice(shape[1] // 4, -(shape[1] // 4) or None),
    )
    # A pixel's mask comes from the pixel that holds its centre, so at most half a pixel off.
    assert (after.image[0, 0] - mask_rows)[inner].abs().max() <= 0.5 + 1e-4
    assert (after.image[0, 1] - mask_cols)[inner].abs().max() <= 0.5 + 1e-4
    # The mean deviation is 0: no shift by half a pixel to one side.
    assert (after.image[0, 0] - mask_rows).mean().abs() < 0.3
    expected = np.floor((np.arange(shape[0]) + 0.5) * height / shape[0])
    np.testing.assert_array_equal(mask_rows[:, 0].numpy(), expected)


def test_growing_twofold_repeats_each_mask_pixel():
    before = coded(3, 4)
    after = resize(before, (6, 8))
    expected = np.kron(before.mask[0].numpy(), np.ones((2, 2), np.int64))
    np.testing.assert_array_equal(after.mask[0].numpy(), expected)
    np.testing.assert_array_equal(after.valid[0].numpy(), expected % 5 != 0)


@pytest.mark.parametrize("corner", [(0, 0), (2, 1), (-2, -3), (-1, 2)])
@pytest.mark.parametrize("frame", [(6, 6), (9, 4), (3, 11)])
def test_placing_cuts_and_fills(corner, frame):
    before = coded(6, 6)
    after = place(before, frame, corner, fill=torch.tensor([0.5, 0.25]), ignore=255)
    for row in range(frame[0]):
        for col in range(frame[1]):
            source = (row - corner[0], col - corner[1])
            if 0 <= source[0] < 6 and 0 <= source[1] < 6:
                assert after.mask[0, row, col] == before.mask[0][source]
                assert after.image[0, 1, row, col] == -before.mask[0][source]
                assert after.valid[0, row, col] == before.valid[0][source]
            else:
                assert after.mask[0, row, col] == 255
                assert after.image[0, :, row, col].tolist() == [0.5, 0.25]
                assert not after.valid[0, row, col]


def test_scale_jitter_grows_shrinks_and_never_invents_labels():
    count, side = 24, 16
    image = torch.full((count, 3, side, side), 7.0)
    mask = torch.ones(count, side, side, dtype=torch.uint8)
    valid = torch.ones(count, side, side, dtype=torch.bool)
    config = AugmentConfig(**{**STILL, "scale": (0.5, 2.0)})
    new_image, new_mask, new_valid = Augment(config, seed=0)(image, mask, valid)
    assert new_mask.dtype == torch.uint8 and new_image.shape == image.shape
    assert set(new_mask.unique().tolist()) == {1, 255}
    assert torch.equal(new_mask == 255, ~new_valid)
    filled = new_image.permute(0, 2, 3, 1)[~new_valid]
    assert (filled == 0).all()
    torch.testing.assert_close(
        new_image.permute(0, 2, 3, 1)[new_valid], torch.full((int(new_valid.sum()), 3), 7.0)
    )
    shares = new_valid.float().mean(dim=(1, 2))
    assert shares.min() < 0.5 and shares.max() == 1


def test_recolor_is_the_formula_on_valid_pixels_only():
    samples = coded(4, 5, count=2)
    after = recolor(samples, shift=2.0, stretch=1.5)
    for n in range(2):
        seen = samples.valid[n].numpy()
        for band in range(2):
            x = samples.image[n, band].numpy()
            mean = x[seen].mean()
            np.testing.assert_allclose(
                after.image[n, band].numpy()[seen], (x[seen] - mean) * 1.5 + mean + 2, rtol=1e-5
            )
            np.testing.assert_array_equal(after.image[n, band].numpy()[~seen], x[~seen])
    assert torch.equal(after.mask, samples.mask) and torch.equal(after.valid, samples.valid)


def test_brightness_and_contrast_touch_the_image_only():
    samples = coded(8, 8, count=4)
    config = AugmentConfig(**{**STILL, "brightness": 0.5, "contrast": 0.2})
    image, mask, valid = Augment(config, seed=0)(samples.image, samples.mask, samples.valid)
    assert torch.equal(mask[valid], samples.mask[valid]) and torch.equal(valid, samples.valid)
    assert not torch.equal(image, samples.image)
    lonely = torch.zeros(1, 8, 8, dtype=torch.bool)
    image, mask, _ = Augment(config, seed=0)(samples.image[:1], samples.mask[:1], lonely)
    assert torch.equal(image, samples.image[:1]) and (mask == 255).all()


def test_the_same_seed_gives_the_same_samples_and_inputs_stay():
    samples = coded(8, 8, count=4)
    kept = samples.image.clone()
    config = AugmentConfig(flip=0.5, rotate=0.5, scale=(0.5, 2.0), brightness=0.3, contrast=0.3)
    one = Augment(config, seed=7)(samples.image, samples.mask, samples.valid)
    other = Augment(config, seed=7)(samples.image, samples.mask, samples.valid)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert torch.equal(samples.image, kept)


def test_without_changes_only_invalid_becomes_ignore():
    samples = coded(5, 5)
    image, mask, valid = Augment(AugmentConfig(**STILL))(samples.image, samples.mask, samples.valid)
    assert torch.equal(image, samples.image) and torch.equal(valid, samples.valid)
    assert torch.equal(mask, samples.mask.masked_fill(~samples.valid, 255))


@pytest.mark.parametrize(
    "wrong", [{"flip": 1.5}, {"scale": [2.0, 0.5]}, {"scale": [0, 1]}, {"flips": 1}]
)
def test_wrong_configurations_are_refused(wrong):
    with pytest.raises(ValidationError):
        AugmentConfig.model_validate(wrong)
