"""Geometry of augmentation against numpy and scipy."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from geoseg.nn.augment_config import AugmentConfig
from geoseg.nn.chance import Chance
from geoseg.nn.geometric import Samples, displacement, move, places, resample, turn
from geoseg.nn.movements import Turns, Warp

FILL = torch.tensor([0.5, -7.0])


def coded(height=6, width=6, count=1):
    """Image, mask and valid that all hold their own position."""
    code = torch.arange(count * height * width).reshape(count, height, width)
    image = torch.stack([code.float(), -code.float()], dim=1)
    return Samples(image=image, mask=code.int(), valid=code % 5 != 0)


def turns(cols=False, rows=False, quarters=0, count=1):
    flags = [torch.full((count,), bool(flag)) for flag in (cols, rows)]
    return Turns.of(*flags, torch.full((count,), quarters))


def warp(count=1, **changes):
    """No movement but those named."""
    one, zero = torch.ones(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
    still = {
        "factor": one, "angle": zero, "shear": zero, "elastic": zero,
        "shift": torch.zeros(count, 2, dtype=torch.float64),
        "tilt": torch.zeros(count, 2, dtype=torch.float64),
        "seeds": torch.arange(count, dtype=torch.int32), "spacing": 8.0,
    }  # fmt: skip
    given = {
        name: torch.as_tensor(value, dtype=torch.float64).expand(still[name].shape)
        if name not in ("seeds", "spacing")
        else value
        for name, value in changes.items()
    }
    return Warp(**{**still, **given})


def warped(samples, how, quarter=None):
    quarter = turns(count=len(samples.mask)) if quarter is None else quarter
    return resample(samples, quarter, how, fill=FILL, ignore=255)


TURNS = {
    "left-right": ((True, False, 0), np.fliplr),
    "up-down": ((False, True, 0), np.flipud),
    "90": ((False, False, 1), lambda a: np.rot90(a, 1)),
    "180": ((False, False, 2), lambda a: np.rot90(a, 2)),
    "270": ((False, False, 3), lambda a: np.rot90(a, 3)),
    "flip and 90": ((True, False, 1), lambda a: np.rot90(np.fliplr(a), 1)),
    "both and 270": ((True, True, 3), lambda a: np.rot90(np.flipud(np.fliplr(a)), 3)),
    "up-down and 90": ((False, True, 1), lambda a: np.rot90(np.flipud(a), 1)),
}


SHAPES = [(6, 6), (7, 7), (1, 1), (3, 8), (5, 1)]


@pytest.mark.parametrize(
    ("how", "oracle", "shape"),
    # Only square samples turn by 90 degrees.
    [(*turn, s) for turn in TURNS.values() for s in SHAPES if s[0] == s[1] or not turn[0][2] % 2],
)
def test_turns_are_those_of_numpy_to_the_pixel(how, oracle, shape):
    before = coded(*shape)
    after = turn(before, turns(*how))
    expected = oracle(before.mask[0].numpy())
    np.testing.assert_array_equal(after.mask[0].numpy(), expected)
    np.testing.assert_array_equal(after.image[0, 0].numpy(), expected)
    np.testing.assert_array_equal(after.image[0, 1].numpy(), -expected)
    np.testing.assert_array_equal(after.valid[0].numpy(), expected % 5 != 0)
    # The way of warps tells the same places.
    cols, rows = places(turns(*how), warp(), shape, torch.device("cpu"))
    resampled = before.mask[0][rows[0].round().long(), cols[0].round().long()]
    np.testing.assert_array_equal(resampled.numpy(), expected)


def test_four_quarter_turns_and_two_flips_are_nothing():
    before = coded(8, 8, count=3)
    for how, times in (((False, False, 1), 4), ((True, False, 0), 2), ((False, True, 0), 2)):
        after = before
        for _ in range(times):
            after = turn(after, turns(*how, count=3))
        assert torch.equal(after.image, before.image) and torch.equal(after.mask, before.mask)


@pytest.mark.parametrize("shape", [(8, 8), (4, 9)])
def test_drawn_turns_keep_every_pixel(shape):
    before = coded(*shape, count=64)
    config = AugmentConfig(flip=0.5, rotate=0.7, scale=(1, 1))
    chance = Chance.draw(64, 2, torch.Generator().manual_seed(1))
    after = move(before, config, chance, fill=FILL, ignore=-1)
    assert torch.equal(after.image[:, 0], after.mask.float())
    assert torch.equal(after.valid, after.mask % 5 != 0)
    for one, other in zip(after.mask, before.mask, strict=True):
        assert torch.equal(one.flatten().sort().values, other.flatten())
    looks = {tuple((one - one.min()).flatten().tolist()) for one in after.mask}
    assert len(looks) == (8 if shape[0] == shape[1] else 4)


def test_samples_that_stand_still_are_copied_beside_those_that_move():
    before = coded(8, 8, count=40)
    config = AugmentConfig.model_validate(
        {"flip": 0, "rotate": 0, "scale": (1.3, 1.9), "probability": {"scale": 0.5}}
    )
    chance = Chance.draw(40, 2, torch.Generator().manual_seed(1))
    after = move(before, config, chance, fill=FILL, ignore=-1)
    copied = (after.image == before.image).flatten(1).all(dim=1)
    assert torch.equal(copied, ~chance.happens("scale?", 0.5)) and 10 < copied.sum() < 30
    for number in range(40):  # whether copied or grown, it shows its own pixels
        seen = after.mask[number][after.valid[number]]
        assert (seen // 64 == number).all()


def smooth(side=40, count=1):
    """A wavy surface that interpolation can follow, with a class on each side of a line."""
    rows, cols = np.mgrid[:side, :side]
    surface = np.sin(rows / 5) + np.cos(cols / 6 + 1)
    image = torch.tensor(np.stack([surface, -surface]), dtype=torch.float32)[None]
    mask = torch.tensor((surface > 0.3).astype(np.uint8))[None]
    valid = torch.ones(1, side, side, dtype=torch.bool)
    return Samples(
        image=image.expand(count, -1, -1, -1),
        mask=mask.expand(count, -1, -1),
        valid=valid.expand(count, -1, -1),
    )


def test_free_rotation_by_90_is_the_quarter_turn():
    before = smooth()
    after = warped(before, warp(angle=math.pi / 2))
    expected = turn(before, turns(quarters=1))
    torch.testing.assert_close(after.image, expected.image, rtol=0, atol=1e-4)
    assert torch.equal(after.mask, expected.mask) and after.valid.all()


@pytest.mark.parametrize("degrees", [17, -40, 120])
def test_free_rotation_is_that_of_scipy(degrees):
    before = smooth()
    after = warped(before, warp(angle=math.radians(degrees)))
    image = before.image[0, 0].numpy()
    expected = ndimage.rotate(image, degrees, reshape=False, order=1, mode="nearest")
    seen = after.valid[0].numpy()
    inside = ndimage.rotate(np.ones_like(image), degrees, reshape=False, order=0, cval=0) > 0
    assert (seen != inside).mean() < 0.03  # scipy leaves out the outer half of border pixels
    inner = ndimage.binary_erosion(seen, iterations=2)
    np.testing.assert_allclose(after.image[0, 0].numpy()[inner], expected[inner], atol=1e-3)
    classes = ndimage.rotate(before.mask[0].numpy(), degrees, reshape=False, order=0)
    assert (after.mask[0].numpy()[inner] != classes[inner]).mean() < 0.01


def test_every_movement_is_that_of_its_formula():
    """scipy looks up each pixel at places computed one by one."""
    side, before = 40, smooth()
    angle, factor, shear, shift, tilt = 0.3, 1.4, 0.2, (3.0, -2.0), (0.2, -0.1)
    after = warped(
        before,
        warp(angle=angle, factor=factor, shear=shear, shift=shift, tilt=tilt),
        turns(True, False, 1),
    )
    expected_places = np.empty((2, side, side))
    middle = (side - 1) / 2
    for row in range(side):
        for col in range(side):
            x, y = col - middle, row - middle
            depth = 1 + tilt[0] * x / (side / 2) + tilt[1] * y / (side / 2)
            x, y = x / depth - shift[0], y / depth - shift[1]
            x, y = x / factor, y / factor
            x, y = (
                x * math.cos(angle) - y * math.sin(angle),
                x * math.sin(angle) + y * math.cos(angle),
            )
            x -= shear * y
            x, y = -y, x  # a quarter turn undone
            x = -x  # a left-right flip undone
            expected_places[:, row, col] = y + middle, x + middle
    seen = ((expected_places > -0.5) & (expected_places < side - 0.5)).all(axis=0)
    assert (after.valid[0].numpy() != seen).mean() < 0.002 and 0.3 < seen.mean() < 1
    expected = ndimage.map_coordinates(
        before.image[0, 0].numpy(), expected_places, order=1, mode="nearest"
    )
    inner = seen & after.valid[0].numpy()
    np.testing.assert_allclose(after.image[0, 0].numpy()[inner], expected[inner], atol=1e-4)
    nearest = ndimage.map_coordinates(
        before.mask[0].numpy(), expected_places, order=0, mode="nearest"
    )
    assert (after.mask[0].numpy()[inner] != nearest[inner]).mean() < 0.002


def test_what_lies_outside_is_fill_ignore_and_not_valid():
    before = coded(8, 8)
    after = warped(before, warp(shift=(3.0, -2.0)))
    for row in range(8):
        for col in range(8):
            source = row + 2, col - 3
            if source[0] < 8 and source[1] >= 0 and before.valid[0][source]:
                assert after.mask[0, row, col] == before.mask[0][source]
                assert after.image[0, 0, row, col] == pytest.approx(float(before.mask[0][source]))
                assert after.valid[0, row, col]
            else:
                assert after.image[0, :, row, col].tolist() == FILL.tolist()
                assert not after.valid[0, row, col]
                if not (source[0] < 8 and source[1] >= 0):
                    assert after.mask[0, row, col] == 255


def test_shrinking_averages_texture():
    """A chessboard of single pixels becomes gray, where plain interpolation draws patterns."""
    side = 64
    board = (torch.arange(side)[:, None] + torch.arange(side)) % 2 * 2.0 - 1
    samples = smooth(side)
    samples = Samples(image=board.expand(1, 2, -1, -1), mask=samples.mask, valid=samples.valid)
    after = warped(samples, warp(factor=0.6))
    inner = slice(20, 44)
    untreated = torch.nn.functional.interpolate(samples.image, scale_factor=0.6, mode="bilinear")
    assert after.image[..., inner, inner].abs().max() < 0.25
    assert after.image[..., inner, inner].std() < untreated.std() / 4


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25, 2.0])
def test_scale_grows_things_by_the_factor(factor):
    side = 128
    square = torch.zeros(1, side, side, dtype=torch.uint8)
    square[:, 48:80, 48:80] = 1
    samples = Samples(
        image=square[:, None].float().expand(-1, 2, -1, -1), mask=square, valid=square >= 0
    )
    after = warped(samples, warp(factor=factor))
    assert float(after.mask.eq(1).sum()) == pytest.approx((32 * factor) ** 2, rel=0.06)
    assert float(after.valid.float().mean()) == pytest.approx(min(1, factor) ** 2, rel=0.03)


def test_grown_samples_show_any_part_and_shrunk_ones_lie_anywhere():
    config = AugmentConfig(flip=0, rotate=0, scale=(2, 2))
    chance = Chance.draw(500, 1, torch.Generator().manual_seed(0))
    shift = Warp.draw(config, chance, (100, 60)).shift
    assert shift[:, 0].abs().max() <= 30 and shift[:, 1].abs().max() <= 50
    assert shift[:, 0].max() > 29 and shift[:, 1].min() < -48
    small = Warp.draw(config.model_copy(update={"scale": (0.5, 0.5)}), chance, (100, 60)).shift
    assert small[:, 0].abs().max() <= 15 and small[:, 1].abs().max() <= 25


def test_elastic_displacement_is_bounded_smooth_and_keeps_areas_on_average():
    count, side, largest = 200, 64, 5.0
    how = warp(count, elastic=largest)
    how = Warp(**{**vars(how), "spacing": 16.0})
    bend = displacement(how, (side, side), torch.device("cpu"))
    assert bend.shape == (count, 2, side, side)
    assert abs(float(bend.mean())) < 0.1
    assert float(bend.abs().max()) < 1.4 * largest  # cubic curves swing over their points
    assert float(bend.abs().mean()) > 0.2 * largest
    steps = torch.cat([bend.diff(dim=2).flatten(), bend.diff(dim=3).flatten()])
    assert steps.abs().max() < 1  # never a pixel in a pixel: the ground does not fold
    disc = smooth(side, count)
    rows, cols = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    round_mask = ((rows - 31.5) ** 2 + (cols - 31.5) ** 2 < 20**2).byte()
    disc = Samples(image=disc.image, mask=round_mask.expand(count, -1, -1), valid=disc.valid)
    areas = (warped(disc, how).mask == 1).float().sum(dim=(1, 2))
    assert float(areas.mean()) == pytest.approx(float(round_mask.sum()), rel=0.02)
    assert float(areas.std()) > 10
    alike = displacement(how.select(torch.tensor([7])), (side, side), torch.device("cpu"))
    torch.testing.assert_close(alike[0], bend[7])
