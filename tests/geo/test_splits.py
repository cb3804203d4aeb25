import geopandas
import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform_bounds
from rasterio.windows import Window
from shapely import box

from geoseg.errors import ConfigError, LabelError
from geoseg.geo.footprints import Plane, overlapping
from geoseg.geo.grid import Grid
from geoseg.geo.splits import SplitOptions, find_leaks, plan_splits
from geoseg.geo.windows import sliding_windows

UTM = CRS.from_epsg(32631)


def make_grid(height, width, x=500_000.0, y=5_000_000.0, res=10.0, crs=UTM, angle=0.0):
    transform = Affine.translation(x, y) @ Affine.rotation(angle) @ Affine.scale(res, -res)
    return Grid(height=height, width=width, transform=transform, crs=crs)


def assigned(plan, grids, size, stride):
    return [
        (i, window, split)
        for i, grid in enumerate(grids)
        for windows in [sliding_windows(grid.shape, size, stride)]
        for window, split in zip(windows, plan.assign(i, windows), strict=True)
    ]


def painted(grids, tiles, frame):
    """Which pixels of `frame` each split's tiles cover; all grids lie on its lattice."""
    cover = {split: np.zeros(frame.shape, bool) for split in ("train", "val", "test")}
    for i, window, split in tiles:
        if split is not None:
            col, row = ~frame.transform @ (grids[i].transform @ (window.col_off, window.row_off))
            row, col = round(row), round(col)
            cover[split][row : row + window.height, col : col + window.width] = True
    return cover


def share_ground(cover):
    return (
        (cover["train"] & cover["val"]).any()
        or (cover["train"] & cover["test"]).any()
        or (cover["val"] & cover["test"]).any()
    )


@pytest.mark.parametrize("by", ["block", "scene"])
@pytest.mark.parametrize("seed", range(5))
def test_overlapping_strides_and_scenes_do_not_leak(by, seed):
    grids = [make_grid(200, 300), make_grid(200, 300, x=502_000), make_grid(150, 150, y=4_999_000)]
    options = SplitOptions(by=by, seed=seed, shares=(0.5, 0.25, 0.25))
    tiles = assigned(plan_splits(grids, 32, 16, options), grids, 32, 16)
    cover = painted(grids, tiles, make_grid(260, 520))
    assert not share_ground(cover)
    assert {split for *_, split in tiles} >= {"train", "val", "test"}


def test_random_split_of_the_same_windows_would_leak():
    grid = make_grid(200, 200)
    windows = sliding_windows(grid.shape, 32, 16)
    splits = np.random.default_rng(0).choice(["train", "val", "test"], len(windows))
    tiles = [(0, w, s) for w, s in zip(windows, splits, strict=True)]
    assert share_ground(painted([grid], tiles, grid))


@pytest.mark.parametrize("guard", [0, 5, 16])
def test_guard_keeps_splits_apart(guard):
    grid = make_grid(400, 400)
    plan = plan_splits([grid], 32, 8, SplitOptions(guard=guard, block=100))
    tiles = [t for t in assigned(plan, [grid], 32, 8) if t[2] is not None]
    assert {t[2] for t in tiles} == {"train", "val", "test"}
    for _, a, split in tiles:
        for _, b, other in tiles:
            if split != other:
                rows = max(a.row_off - b.row_off - 32, b.row_off - a.row_off - 32)
                cols = max(a.col_off - b.col_off - 32, b.col_off - a.col_off - 32)
                assert max(rows, cols) >= 2 * guard


def test_default_block_keeps_most_tiles_of_two_small_scenes():
    grids = [make_grid(1024, 1024), make_grid(1024, 1024, x=510_240)]
    for seed in range(10):
        plan = plan_splits(grids, 256, 128, SplitOptions(seed=seed))
        splits = [split for *_, split in assigned(plan, grids, 256, 128)]
        kept = [split for split in splits if split is not None]
        assert len(kept) >= 0.7 * len(splits)
        assert 0.5 <= kept.count("train") / len(kept) <= 0.85
        assert kept.count("val") and kept.count("test")


def test_shares_are_met_where_there_are_many_blocks():
    grid = make_grid(4000, 4000)
    plan = plan_splits([grid], 100, 100, SplitOptions(block=200, shares=(0.6, 0.3, 0.1)))
    splits = [split for *_, split in assigned(plan, [grid], 100, 100)]
    assert splits.count(None) == 0
    for split, share in (("train", 0.6), ("val", 0.3), ("test", 0.1)):
        assert splits.count(split) / len(splits) == pytest.approx(share, abs=0.01)


def test_three_blocks_serve_three_splits():
    grid = make_grid(64, 192)
    plan = plan_splits([grid], 64, 64, SplitOptions(block=64))
    assert sorted(plan.assign(0, sliding_windows(grid.shape, 64, 64))) == ["test", "train", "val"]


def test_seed_decides():
    grid = make_grid(640, 640)
    windows = sliding_windows(grid.shape, 32, 32)
    plans = [
        plan_splits([grid], 32, 32, SplitOptions(seed=s)).assign(0, windows) for s in (1, 1, 2)
    ]
    assert plans[0] == plans[1] != plans[2]


@pytest.mark.parametrize(
    ("by", "told"),
    [
        ("block", "^--block: .* 3 splits are wanted. Give a smaller --block or --size, or"),
        ("scene", "^--split-by: 1 scenes cannot fill 3 splits. Give more scenes, or change"),
    ],
)
def test_too_few_blocks_or_scenes_are_refused(by, told):
    with pytest.raises(ConfigError, match=told):
        plan_splits([make_grid(64, 64)], 64, 64, SplitOptions(by=by))


def test_one_split_needs_no_blocks():
    grid = make_grid(50, 50)
    plan = plan_splits([grid], 64, 64, SplitOptions(shares=(0, 0, 1)))
    assert plan.assign(0, sliding_windows(grid.shape, 64, 64)) == ["test"]


def test_rotated_scene_does_not_straddle_its_own_blocks():
    grid = make_grid(256, 256, angle=30)
    plan = plan_splits([grid], 32, 32, SplitOptions(block=64))
    assert None not in plan.assign(0, sliding_windows(grid.shape, 32, 32))


@pytest.mark.parametrize("other", [4326, 32632, 3857])
def test_scenes_of_other_crss_share_the_blocks(other):
    first = make_grid(300, 300, x=790_000.0)
    crs = CRS.from_epsg(other)
    left, bottom, right, top = transform_bounds(UTM, crs, *first.bounds)
    transform = Affine((right - left) / 300, 0, left, 0, -(top - bottom) / 300, top)
    second = Grid(height=300, width=300, transform=transform, crs=crs)
    plan = plan_splits([first, second], 32, 16, SplitOptions(shares=(0.5, 0.25, 0.25)))
    tiles = [t for t in assigned(plan, [first, second], 32, 16) if t[2] is not None]
    assert {i for i, *_ in tiles} == {0, 1}
    # The oracle is geopandas: tiles of both on the first scene's CRS.
    shapes = [
        geopandas.GeoSeries([g.crop(w).footprint().segmentize(g.res[0])], crs=g.crs.to_wkt())
        .to_crs(UTM.to_wkt())
        .iloc[0]
        for i, w, _ in tiles
        for g in [(first, second)[i]]
    ]
    splits = np.array([split for *_, split in tiles])
    for split in ("train", "val"):
        mine = [s for s, found in zip(shapes, splits, strict=True) if found == split]
        rest = [s for s, found in zip(shapes, splits, strict=True) if found > split]
        for a in mine:
            for b in rest:
                assert a.intersection(b).area < 1.0  # square metres; a pixel has 100


def test_far_zones_are_laid_on_an_equal_area_plane():
    far = make_grid(100, 100, crs=CRS.from_epsg(32651))
    plane = Plane([make_grid(100, 100), far])
    assert plane.crs == CRS.from_epsg(6933)
    areas = [plane.polygons(i, [Window(0, 0, 100, 100)])[0].area for i in (0, 1)]
    assert areas[0] == pytest.approx(areas[1], rel=0.01)


def test_plain_images_have_a_plane_each():
    grids = [make_grid(64, 64, crs=None) for _ in range(6)]
    plan = plan_splits(grids, 64, 64, SplitOptions(shares=(0.5, 0.25, 0.25)))
    splits = [plan.assign(i, [Window(0, 0, 64, 64)])[0] for i in range(6)]
    assert set(splits) == {"train", "val", "test"}


def test_zones_decide(tmp_path):
    grid = make_grid(100, 100)
    left, bottom, right, top = grid.bounds
    middle = (left + right) / 2
    zones = geopandas.GeoDataFrame(
        {"split": ["train", "val"]},
        geometry=[box(left, bottom, middle, top), box(middle, bottom, right, top - 200)],
        crs=UTM.to_wkt(),
    )
    zones.to_crs(4326).to_file(tmp_path / "zones.gpkg")
    plan = plan_splits([grid], 10, 10, SplitOptions(by=str(tmp_path / "zones.gpkg")))
    found = plan.assign(0, [Window(0, 50, 10, 10), Window(45, 50, 10, 10), Window(60, 50, 10, 10)])
    assert found == ["train", None, "val"]
    assert plan.assign(0, [Window(60, 0, 10, 10), Window(60, 15, 10, 10)]) == [None, None]
    guarded = plan_splits([grid], 10, 10, SplitOptions(by=str(tmp_path / "zones.gpkg"), guard=10))
    assert guarded.assign(0, [Window(35, 50, 10, 10), Window(0, 0, 10, 10)]) == [None, "train"]


def test_zones_without_splits_are_refused(tmp_path):
    frame = geopandas.GeoDataFrame({"split": ["dev"]}, geometry=[box(0, 0, 1, 1)], crs=UTM.to_wkt())
    frame.to_file(tmp_path / "zones.gpkg")
    with pytest.raises(LabelError, match="dev"):
        plan_splits([make_grid(9, 9)], 3, 3, SplitOptions(by=str(tmp_path / "zones.gpkg")))
    frame.rename(columns={"split": "part"}).to_file(tmp_path / "other.gpkg")
    with pytest.raises(LabelError, match="no column"):
        plan_splits([make_grid(9, 9)], 3, 3, SplitOptions(by=str(tmp_path / "other.gpkg")))


@pytest.mark.parametrize("shares", [(0.5, 0.2, 0.1), (0.7, 0.4, -0.1)])
def test_shares_must_sum_to_one(shares):
    with pytest.raises(ConfigError, match=r"^--split: "):
        SplitOptions(shares=shares)


def test_touching_is_not_sharing():
    polygons = np.array([box(0, 0, 1, 1), box(1, 0, 2, 1), box(0.5, 0, 1.5, 1)])
    assert overlapping(polygons[:1], polygons[1:2]).tolist() == []
    assert overlapping(polygons[:2], polygons[2:]).tolist() == [0, 1]


def test_train_gives_way_to_val_and_val_to_test():
    polygons = np.array([box(0, 0, 2, 2), box(1, 0, 3, 2), box(2.5, 0, 4, 2), box(9, 9, 10, 10)])
    splits = ["train", "val", "test", "train"]
    assert find_leaks(polygons, splits, [0, 0, 0, 0]).tolist() == [0, 1]
    assert find_leaks(polygons, splits, [0, 1, 2, 0]).tolist() == []
