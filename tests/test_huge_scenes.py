"""Scenes of more than 2^31 pixels: places behind that are not mistaken, memory is a strip's.

The scenes are sparse: nearly all of their blocks do not exist.
"""

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from memory_runs import thirds, told
from rasterio.windows import Window

from geoseg.evaluate import EvaluateOptions, evaluate
from geoseg.geo.legend import Legend
from geoseg.info import describe
from geoseg.tile import TileOptions, tile
from geoseg.vectorize import VectorizeOptions, vectorize

SIDE = 46_800
SQUARES = [(7, 11), (24_800, 31_300), (46_100, 46_150)]
"""Row and column of what is not empty, each 600 pixels wide; the last lies behind pixel 2^31."""
WIDE = 600

pytestmark = pytest.mark.slow


def write_sparse(path, count, values, **profile):
    """A scene that holds `values` (count, 600, 600) at the squares, and nothing else."""
    place = {"crs": "EPSG:32632", "transform": Affine(0.5, 0, 3e5, 0, -0.5, 5e6)}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    shape = {"count": count, "height": SIDE, "width": SIDE, "dtype": "uint8"}
    layout |= {"sparse_ok": True, "bigtiff": "if_safer", **profile}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place, **layout) as dataset:
        for row, col in SQUARES:
            dataset.write(values, window=Window(col, row, WIDE, WIDE))
    return path


@pytest.fixture(scope="module")
def bands():
    return np.random.default_rng(0).choice([60, 200], (3, WIDE, WIDE)).astype(np.uint8)


@pytest.fixture(scope="module")
def map_path(tmp_path_factory, bands):
    """The map that a model of one layer gives: class 0 where the first band is dark, else 2."""
    path = tmp_path_factory.mktemp("map") / "map.tif"
    return write_sparse(path, 1, expected(bands)[None], nodata=255)


def expected(bands):
    return np.where(bands[0] == 60, 0, 2).astype(np.uint8)


def test_prediction_is_right_behind_2_to_the_31(tmp_path, bands):
    scene = write_sparse(tmp_path / "scene.tif", 3, bands, nodata=0)
    bundle, out = thirds(tmp_path / "m.safetensors"), tmp_path / "map.tif"
    options = {"backend": "torch", "precision": "fp32"}
    found = told("estimate and predict", options, scene, out, bundle)
    assert found["peak"] <= 1.25 * found["memory"]
    with rasterio.open(out) as made:
        for row, col in SQUARES:
            around = made.read(1, window=Window(col - 5, row - 5, WIDE + 10, WIDE + 10))
            inside = around[5 : 5 + WIDE, 5 : 5 + WIDE]
            assert np.array_equal(inside, expected(bands))
            assert (around == 255).sum() == around.size - inside.size
        assert (made.read(1, window=Window(0, 40_000, SIDE, 2_000)) == 255).all()
    with out.open("rb") as file:
        assert file.read(4) == b"II\x2b\x00"  # 2.5 GB before compression
    for level in range(1, 4):
        assert_overview_is_of_modes(out, level)


def assert_overview_is_of_modes(path, level):
    """A pixel has a value that none of the four before is more frequent than; else nodata."""
    with rasterio.open(path, overview_level=level - 1) as overview:
        assert overview.shape == (SIDE >> level, SIDE >> level)
        small = overview.read(1)
    seen = 0
    with rasterio.open(path, **({"overview_level": level - 2} if level > 1 else {})) as finer:
        for row, col in SQUARES:
            top, left, size = row >> level, col >> level, (WIDE >> level) + 2
            fine = finer.read(1, window=Window(2 * left, 2 * top, 2 * size, 2 * size))
            quads = fine.reshape(size, 2, size, 2).transpose(1, 3, 0, 2).reshape(4, size, size)
            found = small[top : top + size, left : left + size]
            votes = np.stack([(quads == value).sum(0) for value in (0, 2)])
            has_data = votes.any(0)
            mine = np.where(found == 0, votes[0], votes[1])
            assert np.isin(found[has_data], (0, 2)).all()
            assert (mine == votes.max(0))[has_data].all()
            assert (found[~has_data] == 255).all()
            seen += has_data.sum()
    assert (small != 255).sum() == seen


def test_polygons_lie_where_their_pixels_do(tmp_path, map_path, bands):
    vectorize(map_path, tmp_path / "p.fgb", VectorizeOptions(), legend=Legend.of_values((0, 2)))
    found = geopandas.read_file(tmp_path / "p.fgb")
    assert found.area.sum() == pytest.approx(len(SQUARES) * WIDE**2 / 4)
    for row, col in SQUARES:
        left, top = 3e5 + col / 2, 5e6 - row / 2
        here = found.cx[left : left + WIDE / 2, top - WIDE / 2 : top]
        assert len(here) * len(SQUARES) == len(found)
        assert here.area.sum() == pytest.approx(WIDE**2 / 4)
        assert here.total_bounds == pytest.approx((left, top - WIDE / 2, left + WIDE / 2, top))
    dark = found[found["class_id"] == 0]
    assert dark.area.sum() == pytest.approx((expected(bands) == 0).sum() * len(SQUARES) / 4)


def test_scores_count_every_pixel(tmp_path, map_path, bands):
    labels = expected(bands)
    labels[0] = 0
    truth = write_sparse(tmp_path / "labels.tif", 1, labels[None], nodata=255)
    options = EvaluateOptions(legend=Legend.of_values((0, 2)))
    found = evaluate([map_path], truth, options=options).matrix
    pixels = [[((labels == a) & (expected(bands) == b)).sum() for b in (0, 2)] for a in (0, 2)]
    assert found.tolist() == (len(SQUARES) * np.array(pixels)).tolist()


def test_tiles_are_cut_where_classes_lie(tmp_path, map_path, bands):
    scene = write_sparse(tmp_path / "scene.tif", 3, bands, nodata=0)
    options = TileOptions(
        method="balanced", size=64, count=24, split=(1.0, 0.0, 0.0), min_labelled=0.5, jobs=2
    )
    tiles = tile([str(scene)], str(map_path), tmp_path / "tiles", options)
    seen = set()
    for one in tiles.tiles:
        whole = [np.zeros((3, 64, 64), np.uint8), np.full((64, 64), 255, np.uint8)]
        for place, (row, col) in enumerate(SQUARES):
            down, right = one.row - row, one.col - col
            if abs(down) < WIDE and abs(right) < WIDE:
                seen.add(place)
                top, left = max(down, 0), max(right, 0)
                part = bands[:, top : down + 64, left : right + 64]
                rows, cols = slice(top - down, None), slice(left - right, None)
                height, width = part.shape[1:]
                whole[0][:, rows, cols][:, :height, :width] = part
                whole[1][rows, cols][:height, :width] = expected(part)
        pixels, mask, _ = tiles.read_tile(one)
        assert np.array_equal(pixels, whole[0])
        assert np.array_equal(mask, whole[1])
    assert len(tiles.tiles) == 24
    assert seen == {0, 1, 2}


def test_information_is_right(map_path):
    found = describe(map_path)
    assert (found["height"], found["width"]) == (SIDE, SIDE)
    assert SIDE * SIDE > 1 << 31
    assert SQUARES[-1][0] * SIDE > 1 << 31
