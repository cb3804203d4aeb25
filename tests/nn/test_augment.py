"""Augmentation as a whole: what stays together, what chance decides, what is refused."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.utils._python_dispatch import TorchDispatchMode

from geoseg.errors import ConfigError
from geoseg.nn.augment import Augment
from geoseg.nn.augment_config import AugmentConfig
from geoseg.nn.config import dump_config, load_config, parse_config

STILL = {"flip": 0, "rotate": 0, "scale": (1.0, 1.0), "brightness": 0, "contrast": 0}
MOVES = {
    "turns": {"flip": 0.5, "rotate": 0.5},
    "scale": {"scale": (0.5, 2.0)},
    "angle": {"angle": 180},
    "shift": {"shift": 0.5},
    "shear": {"shear": 30},
    "perspective": {"perspective": 0.4},
    "elastic": {"elastic": 5, "elastic_spacing": 16, "probability": {"elastic": 1}},
    "all": {
        "flip": 0.5, "rotate": 0.5, "scale": (0.5, 2.0), "angle": 45, "shift": 0.2, "shear": 10,
        "perspective": 0.1, "elastic": 4, "elastic_spacing": 16,
    },
}  # fmt: skip
PAINTS = {
    "gamma": {"gamma": (0.5, 0.6)},
    "brightness": {"brightness": 0.5},
    "contrast": {"contrast": 0.5},
    "band_shift": {"band_shift": 0.5},
    "band_gain": {"band_gain": 0.5},
    "blur": {"blur": (1, 2), "probability": {"blur": 1}},
    "noise": {"noise": (0.1, 0.2), "probability": {"noise": 1}},
    "band_drop": {"band_drop": 0.9},
}
FILL = torch.tensor([0.25, -3.0, 0.5])


def make(config, **more):
    return Augment(AugmentConfig.model_validate({**STILL, **config}), **more)


def blocks(count=6, side=32, dtype=torch.uint8, classes=(0, 1, 7, 200)):
    """Samples of plain blocks; the first band is the class, and a corner holds no data."""
    choice = torch.randint(len(classes), (count, 4, 4))
    mask = torch.tensor(classes)[choice].repeat_interleave(side // 4, 1)
    mask = mask.repeat_interleave(side // 4, 2)
    valid = torch.ones(count, side, side, dtype=torch.bool)
    valid[:, : side // 4, : side // 3] = False
    image = torch.stack([mask.float(), torch.randn(mask.shape), torch.rand(mask.shape)], dim=1)
    image = torch.where(valid[:, None], image, FILL[:, None, None])
    return image, mask.to(dtype), valid


def test_without_changes_only_invalid_becomes_ignore():
    image, mask, valid = blocks()
    new_image, new_mask, new_valid = make({})(image, mask, valid)
    assert torch.equal(new_image, image) and torch.equal(new_valid, valid)
    assert torch.equal(new_mask, mask.masked_fill(~valid, 255))


@pytest.mark.parametrize("change", MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_image_and_mask_stay_together(change, dtype):
    """A band that holds the class tells the class of the mask, whatever moved."""
    image, mask, valid = blocks(count=16, side=48, dtype=dtype)
    image, mask, valid = make(change, fill=FILL, seed=3)(image, mask, valid)
    assert mask.dtype == dtype
    assert set(mask.unique().tolist()) <= {0, 1, 7, 200, 255}
    assert torch.equal(mask == 255, ~valid)
    assert (image.permute(0, 2, 3, 1)[~valid] == FILL).all()
    # Away from borders of classes bilinear values are the class itself.
    same = torch.ones_like(valid)
    for rows, cols in [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)]:
        for reach in (1, 2, 3):
            step = (rows * reach, cols * reach)
            same &= mask.roll(step, (1, 2)) == mask
    same[:, :3], same[:, -3:], same[..., :3], same[..., -3:] = False, False, False, False
    inner = same & valid
    assert inner.float().mean() > 0.1
    off = (image[:, 0] - mask.float()).abs()[inner]
    # A sample may look past the border by half a pixel, or at a corner; a shift would be many.
    assert (off > 0.01).float().mean() < 0.005


@pytest.mark.parametrize("change", MOVES.values(), ids=MOVES)
def test_moves_change_samples(change):
    image, mask, valid = blocks()
    changed, _, _ = make(change, fill=FILL, seed=0)(image, mask, valid)
    assert ((changed != image).flatten(1).any(dim=1)).sum() >= 4


@pytest.mark.parametrize("change", PAINTS.values(), ids=PAINTS)
def test_values_change_on_valid_pixels_of_the_image_only(change):
    image, mask, valid = blocks()
    image = torch.where(valid[:, None], image, 99.0)
    new_image, new_mask, new_valid = make(change, fill=FILL, seed=0)(image, mask, valid)
    assert torch.equal(new_valid, valid)
    assert torch.equal(new_mask[valid], mask[valid])
    assert (new_image.permute(0, 2, 3, 1)[~valid] == 99).all()
    assert (new_image != image).flatten(1).any(dim=1).all()
    assert torch.isfinite(new_image).all()


@pytest.mark.parametrize("change", PAINTS.values(), ids=PAINTS)
def test_a_sample_without_data_stays_as_it_is(change):
    image, mask, _ = blocks(count=2)
    nothing = torch.zeros(mask.shape, dtype=torch.bool)
    new_image, new_mask, _ = make(change, seed=0)(image, mask, nothing)
    assert torch.equal(new_image, image) and (new_mask == 255).all()


EVERYTHING = {
    **{
        key: value
        for change in (*MOVES.values(), *PAINTS.values())
        for key, value in change.items()
    },
    "band_drop": 0.2,
    "probability": {"elastic": 0.5, "blur": 0.5, "noise": 0.5},
}


def test_the_same_seed_gives_the_same_samples_and_inputs_stay():
    image, mask, valid = blocks()
    kept = image.clone(), mask.clone(), valid.clone()
    config = {**EVERYTHING, "cutmix": 0.5}
    one = make(config, seed=7)(image, mask, valid)
    other = make(config, seed=7)(image, mask, valid)
    another = make(config, seed=8)(image, mask, valid)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(one[0], another[0])
    assert all(torch.equal(a, b) for a, b in zip((image, mask, valid), kept, strict=True))


def test_a_sample_changes_alike_in_every_batch():
    image, mask, valid = blocks(count=5)
    together = make(EVERYTHING, fill=FILL, seed=4)(image, mask, valid)
    for count in (1, 3):
        part = make(EVERYTHING, fill=FILL, seed=4)(image[:count], mask[:count], valid[:count])
        torch.testing.assert_close(part[0], together[0][:count], rtol=1e-4, atol=1e-4)
        assert torch.equal(part[1], together[1][:count])
        assert torch.equal(part[2], together[2][:count])


def test_large_batches_are_changed_in_groups_to_the_same_end(monkeypatch):
    image, mask, valid = blocks(count=7)
    together = make({**EVERYTHING, "cutmix": 0.5}, fill=FILL, seed=4)(image, mask, valid)
    monkeypatch.setattr("geoseg.nn.augment._CACHED", 3 * image[0].nbytes)
    groups = make({**EVERYTHING, "cutmix": 0.5}, fill=FILL, seed=4)(image, mask, valid)
    torch.testing.assert_close(groups[0], together[0], rtol=1e-4, atol=1e-4)
    assert torch.equal(groups[1], together[1]) and torch.equal(groups[2], together[2])


def test_switching_a_change_on_leaves_the_others_as_they_are():
    image, mask, valid = blocks()
    _, plain, _ = make(MOVES["all"], fill=FILL, seed=4)(image, mask, valid)
    config = {**MOVES["all"], "blur": (0, 2), "noise": (0, 1), "band_drop": 0.5}
    _, painted, _ = make(config, fill=FILL, seed=4)(image, mask, valid)
    assert torch.equal(plain, painted)


def test_reduced_precision_outside_reaches_nothing_inside():
    image, mask, valid = blocks()
    exact = make(EVERYTHING, fill=FILL, seed=4)(image, mask, valid)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = make(EVERYTHING, fill=FILL, seed=4)(image, mask, valid)
    assert all(torch.equal(a, b) for a, b in zip(exact, mixed, strict=True))


def test_nothing_is_left_on_another_device(monkeypatch):
    """Tensors without numbers stand for a GPU: mixed with those of the CPU torch refuses them."""
    monkeypatch.setattr("geoseg.nn.augment.torch.autocast", lambda *_, **__: nullcontext())
    batch = [part.to("meta") for part in blocks()]
    for config in (
        {**EVERYTHING, "cutmix": 0.5},
        MOVES["turns"],
        {"angle": 9, "probability": {"angle": 0.5}},
    ):
        changed = make(config, fill=FILL, seed=4)(*batch)
        for part, before in zip(changed, batch, strict=True):
            assert part.is_meta and part.shape == before.shape and part.dtype == before.dtype


class Copies(TorchDispatchMode):
    """Notes of each copy from the CPU to another device whether the CPU waits for it."""

    def __init__(self):
        super().__init__()
        self.waited = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        target = kwargs.get("device")
        is_copy = function is torch.ops.aten._to_copy.default and target is not None
        if is_copy and args[0].is_cpu and target.type != "cpu":
            self.waited.append(not kwargs.get("non_blocking", False))
        return function(*args, **kwargs)


@pytest.mark.parametrize("change", [*MOVES, *PAINTS, "cutmix"])
def test_nothing_waits_for_the_device(monkeypatch, change):
    """A copy that is waited for lets a GPU run out of work at each step."""
    monkeypatch.setattr("geoseg.nn.augment.torch.autocast", lambda *_, **__: nullcontext())
    config = {**MOVES, **PAINTS, "cutmix": {"cutmix": 1.0}}[change]
    augment = make(config, seed=3, fill=FILL)
    batch = [part.to("meta") for part in blocks()]
    with Copies() as copies:
        augment(*batch)
    assert copies.waited
    assert not any(copies.waited)


def test_types_of_images_stay():
    image, mask, valid = blocks()
    for dtype in (torch.float64, torch.bfloat16):
        changed, _, _ = make(EVERYTHING, seed=4)(image.to(dtype), mask, valid)
        assert changed.dtype == dtype


@pytest.mark.parametrize("bands", [1, 2, 13])
def test_any_number_of_bands(bands):
    image, mask, valid = torch.randn(2, bands, 9, 7), torch.ones(2, 9, 7).byte(), None
    valid = torch.ones(2, 9, 7, dtype=torch.bool)
    config = {**EVERYTHING, "elastic": 1, "elastic_spacing": 4, "cutmix": 1}
    changed, new_mask, _ = make(config, seed=1)(image, mask, valid)
    assert changed.shape == image.shape and set(new_mask.unique().tolist()) <= {1, 255}


def test_large_class_numbers_are_exact():
    image, mask, valid = blocks(dtype=torch.int32, classes=(2**24 + 1, 2**30 + 7))
    _, mask, valid = make(MOVES["all"], ignore=-1, seed=1)(image, mask, valid)
    assert set(mask.unique().tolist()) == {-1, 2**24 + 1, 2**30 + 7}


def test_changes_happen_as_often_as_told():
    count = 4000
    image = torch.arange(4.0).reshape(1, 1, 2, 2).expand(count, 1, 2, 2)
    mask, valid = torch.zeros(count, 2, 2).byte(), torch.ones(count, 2, 2, dtype=torch.bool)
    look = lambda config: make(config, seed=2)(image, mask, valid)[0].flatten(1)  # noqa: E731
    spread = 4 * np.sqrt(0.25 / count)
    flipped = look({"flip": 0.3})
    assert abs((flipped[:, 0] % 2 == 1).float().mean() - 0.3) < spread
    assert abs((flipped[:, 0] >= 2).float().mean() - 0.3) < spread
    turned = look({"rotate": 0.6})
    for turns in (1, 2, 3):
        expected = torch.rot90(image[0, 0], turns).flatten()
        assert abs((turned == expected).all(dim=1).float().mean() - 0.2) < spread
    bright = look({"brightness": 0.5, "probability": {"brightness": 0.25}})
    assert abs((bright[:, 0] != 0).float().mean() - 0.25) < spread
    shifts = bright[:, 0][bright[:, 0] != 0]
    assert shifts.min() < -0.48 and shifts.max() > 0.48 and abs(shifts.mean()) < 0.05


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"flip": 1.5}, "flip"),
        ({"scale": [2.0, 0.5]}, "smallest factor comes first"),
        ({"scale": [0, 1]}, "scale"),
        ({"flips": 1}, "flip"),
        ({"gamma": [2, 1]}, "smallest exponent comes first"),
        ({"gamma": [-1, 1]}, "gamma"),
        ({"blur": [2, 1]}, "blur: the smallest"),
        ({"noise": [0.2, 0.1]}, "noise: the smallest"),
        ({"noise": [-1, 0]}, "noise"),
        ({"elastic": 20}, "a third of elastic_spacing"),
        ({"perspective": 1}, "perspective"),
        ({"angle": 200}, "angle"),
        ({"cutmix_alpha": 0}, "cutmix_alpha"),
        ({"band_drop": 2}, "band_drop"),
        ({"probability": {"blurr": 1}}, "Did you mean blur"),
        ({"probability": {"blur": 2}}, "probability.blur"),
        ({"angle": "nan"}, "angle"),
    ],
)
def test_wrong_configurations_are_refused(wrong, told):
    with pytest.raises(ValidationError):
        AugmentConfig.model_validate(wrong)
    with pytest.raises(ConfigError, match=told) as caught:
        parse_config({"data": {"tiles": ["t"]}, "augment": wrong})
    assert "augment" in str(caught.value)


def test_every_key_goes_through_a_file(tmp_path):
    table = {**EVERYTHING, "cutmix": 0.5, "cutmix_alpha": 0.7}
    config = parse_config({"data": {"tiles": ["/t"]}, "augment": table})
    (tmp_path / "c.toml").write_text(dump_config(config))
    assert load_config(tmp_path / "c.toml") == config
