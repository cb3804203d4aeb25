"""Images dealt to lists: numbers, seeds, and no ground in two splits."""

import itertools

import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from geoseg.errors import ConfigError, SceneError
from geoseg.geo.grid import Grid
from geoseg.geo.name_lists import check_stems, deal_files, deal_regions, list_entries
from geoseg.geo.splits import SplitOptions

UTM = CRS.from_epsg(32632)
SHARES = st.sampled_from([(0.7, 0.2, 0.1), (0.8, 0.2, 0.0), (0.5, 0.25, 0.25), (1.0, 0.0, 0.0)])


def names(count):
    return [f"image_{i:03d}.png" for i in range(count)]


@given(st.integers(3, 200), SHARES, st.integers(0, 5))
def test_every_image_is_in_one_list_and_numbers_are_the_shares(count, shares, seed):
    dealt = deal_files(names(count), shares, seed)
    assert sorted(itertools.chain(*dealt.values())) == names(count)
    assert list(dealt) == [s for s, w in zip(("train", "val", "test"), shares, strict=True) if w]
    wanted = zip(dealt.values(), (w for w in shares if w), strict=True)
    for paths, share in wanted:
        assert paths
        assert paths == sorted(paths)
        assert abs(len(paths) - share * count) < 1 or len(paths) == 1 or count < 10


def test_seeds_tell_deals_apart():
    paths = names(50)
    deals = [deal_files(paths, (0.7, 0.2, 0.1), seed) for seed in (0, 0, 1)]
    assert deals[0] == deals[1]
    assert deals[0] != deals[2]
    assert deals[0]["train"] != paths[: len(deals[0]["train"])]


def test_too_few_images():
    with pytest.raises(ConfigError, match="2 images cannot fill 3 splits"):
        deal_files(names(2), (0.7, 0.2, 0.1), 0)


def tiles(count, side=64, step=64):
    """Grids of `count` x `count` tiles, `step` pixels apart."""
    return [
        Grid(
            height=side,
            width=side,
            transform=Affine(2, 0, 500_000 + 2 * step * col, 0, -2, 5_400_000 - 2 * step * row),
            crs=UTM,
        )
        for row in range(count)
        for col in range(count)
    ]


@pytest.mark.parametrize("step", [64, 48, 200])
def test_no_two_lists_show_the_same_ground(step):
    grids = tiles(10, step=step)
    paths = names(len(grids))
    dealt = deal_regions(paths, grids, SplitOptions(seed=3))
    places = dict(zip(paths, grids, strict=True))
    ground = {
        split: shapely.union_all([places[path].footprint() for path in chosen])
        for split, chosen in dealt.paths.items()
    }
    for one, other in itertools.combinations(ground.values(), 2):
        assert one.intersection(other).area < 1
    assert sorted([*itertools.chain(*dealt.paths.values()), *dealt.left_out]) == paths
    assert set(dealt.paths) == {"train", "val", "test"}
    if step >= 64:
        assert len(dealt.left_out) < len(paths) / 4


def test_tiles_of_one_block_stay_together():
    grids = tiles(8)
    paths = names(len(grids))
    dealt = deal_regions(paths, grids, SplitOptions(block=128, seed=1))
    split_of = {path: split for split, chosen in dealt.paths.items() for path in chosen}
    for row, col in itertools.product(range(0, 8, 2), range(0, 8, 2)):
        block = {split_of[paths[(row + r) * 8 + col + c]] for r in (0, 1) for c in (0, 1)}
        assert len(block) == 1
    assert not dealt.left_out


def test_images_without_a_crs_have_no_region():
    grid = Grid(height=4, width=4, transform=Affine.identity(), crs=None)
    with pytest.raises(SceneError, match=r"a\.png: has no CRS"):
        deal_regions(["a.png"], [grid], SplitOptions())


def test_entries():
    paths = ["i/a.png", "i/b.c.png"]
    labels = {"i/a.png": "m/a.tif", "i/b.c.png": "m/b.c.tif"}
    assert list_entries(paths, "stem", {}) == ["a", "b.c"]
    assert list_entries(paths, "name", {}) == ["a.png", "b.c.png"]
    assert list_entries(paths, "pair", labels) == ["i/a.png m/a.tif", "i/b.c.png m/b.c.tif"]


def test_names_that_break_lists():
    with pytest.raises(SceneError, match="white space"):
        list_entries(["a b.png"], "pair", {"a b.png": "c.png"})
    with pytest.raises(SceneError, match="no list can hold"):
        check_stems(["a\nb.png"])
    with pytest.raises(SceneError, match=r"x/a\.tif: has the same stem as a\.png \(1 stems"):
        check_stems(["b.png", "x/a.tif", "a.png"])
