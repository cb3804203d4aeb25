"""Samples: crops, padding, fill and ignore, errors, the cache."""

import numpy as np
from small_sets import LEGEND, form

from geoseg.errors import LabelError, TileSetError
from geoseg.geo.legend import Legend, LegendClass
from geoseg.nn.dataset import CachedSource, Pair, SampleDataset, SampleForm, collate
from geoseg.nn.sampling import SampleKey


class ListSource:
    """Pairs from memory, counting reads."""

    legend = LEGEND

    def __init__(self, *pairs):
        self.pairs, self.reads = pairs, 0

    def __len__(self):
        return len(self.pairs)

    def name(self, index):
        return self.pairs[index].name

    def read(self, index, rng, focus=-1):
        self.reads += 1
        return self.pairs[index]


def make_pair(height, width, dtype="uint16"):
    """Position-coded image, mask and valid."""
    code = np.arange(height * width).reshape(height, width)
    mask = np.where(code % 2, 4, 1).astype(np.uint8)
    return Pair(
        "tile", np.stack([code, code + 1000]).astype(dtype), mask, np.ones(mask.shape, bool)
    )


def test_image_and_mask_are_cropped_at_the_same_place():
    dataset = SampleDataset(ListSource(make_pair(20, 30)), form(8, random=True))
    corners = set()
    for position in range(50):
        sample = dataset[SampleKey(0, position, 0)]
        code = sample["image"][0].numpy().astype(int)
        assert sample["image"].shape == (2, 8, 8)
        assert np.array_equal(np.diff(code, axis=1), np.ones((8, 7)))
        assert np.array_equal(np.diff(code, axis=0), np.full((7, 8), 30))
        assert np.array_equal(sample["target"], code % 2)
        corners.add(divmod(int(code[0, 0]), 30))
    assert all(row <= 12 and col <= 22 for row, col in corners)
    assert len(corners) > 30


def test_a_crop_depends_on_seed_epoch_and_position_only():
    dataset = SampleDataset(ListSource(make_pair(40, 40)), form(4, random=True))
    same = [dataset[SampleKey(2, 5, 0)]["image"] for _ in range(2)]
    assert same[0].equal(same[1])
    others = [dataset[key]["image"] for key in (SampleKey(3, 5, 0), SampleKey(2, 6, 0))]
    assert not any(same[0].equal(other) for other in others)


def test_validation_takes_the_middle():
    sample = SampleDataset(ListSource(make_pair(11, 11)), form(5))[0]
    assert sample["image"][0, 0, 0] == 3 * 11 + 3


def test_small_pairs_are_padded_with_fill_and_ignore():
    sample = SampleDataset(ListSource(make_pair(3, 2)), form(5))[0]
    inside = np.zeros((5, 5), bool)
    inside[:3, :2] = True
    assert np.array_equal(sample["target"] != 255, inside)
    assert np.array_equal(sample["valid"], inside)
    assert (sample["image"][0].numpy()[~inside] == 7).all()
    assert (sample["image"][1].numpy()[~inside] == 8).all()


def test_what_is_not_valid_is_filled_and_ignored():
    pair = make_pair(4, 4)
    pair.valid[1, 2] = False
    pair.image[:, 1, 2] = 60_000
    pair.mask[0, 0] = 255
    sample = SampleDataset(ListSource(pair), form(4))[0]
    assert sample["image"][:, 1, 2].tolist() == [7, 8]
    assert (sample["target"] == 255).nonzero().tolist() == [[0, 0], [1, 2]]
    assert sample["image"][0, 0, 0] == 0


def test_nan_in_one_band_is_filled_in_that_band_alone():
    pair = make_pair(2, 2, "float32")
    pair.image[1, 0, 1] = np.nan
    sample = SampleDataset(ListSource(pair), form(2))[0]
    assert sample["image"][:, 0, 1].tolist() == [1, 8]
    assert sample["target"][0, 1] == 1


def test_values_outside_the_legend_name_the_tile():
    pair = make_pair(2, 2)
    pair.mask[0, 0] = 9
    error = SampleDataset(ListSource(pair), form(2))[0]
    assert isinstance(error, LabelError)
    assert str(error).startswith("tile: ")
    assert "9" in str(error)


def test_an_error_takes_the_place_of_its_batch():
    error = TileSetError("x", "is damaged")
    assert collate([SampleDataset(ListSource(make_pair(2, 2)), form(2))[0], error]) is error


def test_more_than_255_classes_have_a_wide_ignore():
    class Wide(ListSource):
        legend = Legend(
            classes=tuple(LegendClass(value=i, name=f"c{i}", color="#000000") for i in range(300)),
            ignore=65535,
        )

    pair = Pair("t", np.ones((2, 1, 2), np.uint8), np.array([[299, 65535]], np.uint16),
                np.ones((1, 2), bool))  # fmt: skip
    sample = SampleDataset(
        Wide(pair), SampleForm(height=1, width=2, fill=(0, 0), seed=0, random=False)
    )
    assert sample[0]["target"].tolist() == [[299, 65535]]


def test_the_cache_keeps_what_fits():
    source = ListSource(make_pair(4, 4), make_pair(4, 4))
    size = 16 * (2 * 2 + 1 + 1)
    cached = CachedSource(source, 2 * size, size)
    rng = np.random.default_rng(0)
    for _ in range(3):
        for index in (0, 1):
            assert np.array_equal(cached.read(index, rng).image, source.pairs[index].image)
    assert source.reads == 1 + 3
    assert not cached.fits
    assert CachedSource(source, 2 * size, 2 * size).fits


def test_a_crop_lies_around_a_pixel_of_the_class_that_its_key_names():
    pair = make_pair(40, 40)
    pair.mask[:] = 1
    pair.mask[30, 9] = pair.mask[0, 39] = 4
    source = ListSource(pair)
    dataset = SampleDataset(source, form(8, random=True))
    samples = [dataset[SampleKey(0, i, 0, 1)] for i in range(40)]
    corners = {divmod(int(s["image"][0, 0, 0]), 40) for s in samples}
    assert corners == {(26, 5), (0, 32)}
    assert all((s["target"] == 1).any() for s in samples)
    plain = [dataset[SampleKey(0, i, 0)] for i in range(40)]
    assert sum(bool((s["target"] == 1).any()) for s in plain) < 20


def test_crops_follow_the_largest_share_of_a_class():
    pair = make_pair(40, 40)
    pair.mask[:] = 1
    pair.mask[:, 36:] = 4
    shares = []
    for ratio in (1.0, 0.9):
        shape = SampleForm(
            height=8, width=8, fill=(0.0, 0.0), seed=3, random=True, cat_max_ratio=ratio
        )
        dataset = SampleDataset(ListSource(pair), shape)
        samples = [dataset[SampleKey(1, i, 0)] for i in range(100)]
        shares.append(np.mean([bool((s["target"] == 1).any()) for s in samples]))
    assert shares[0] < 0.3
    assert shares[1] > 0.5
