"""Grids of one lattice find their places; others are told apart by numbers."""

import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from geoseg.errors import SceneError
from geoseg.geo.grid import Grid
from geoseg.geo.lattice import lay_out

PLACES = {
    "upright": (Affine(0.1, 0, 7, 0, -0.1, 50), CRS.from_epsg(4326)),
    "turned": (Affine(0.4, 0.3, 5e5, 0.3, -0.4, 5.4e6), CRS.from_epsg(32632)),
    "plain": (Affine(1, 0, 0, 0, 1, 0), None),
}


def grid(place, row=0, col=0, height=5, width=7):
    transform, crs = PLACES[place]
    moved = transform @ Affine.translation(col, row)
    return Grid(height=height, width=width, transform=moved, crs=crs)


@given(
    st.sampled_from(sorted(PLACES)),
    st.lists(st.tuples(st.integers(-4000, 4000), st.integers(-4000, 4000)), min_size=1, max_size=6),
)
def test_every_grid_lies_where_it_lay(place, offsets):
    grids = [grid(place, row, col, 3 + i, 9 - i) for i, (row, col) in enumerate(offsets)]
    whole, found = lay_out([(f"{i}.tif", each) for i, each in enumerate(grids)], "Warp it")
    top, left = min(row for row, _ in offsets), min(col for _, col in offsets)
    assert found == [(row - top, col - left) for row, col in offsets]
    assert whole.shape == (
        max(row - top + 3 + i for i, (row, _) in enumerate(offsets)),
        max(col - left + 9 - i for i, (_, col) in enumerate(offsets)),
    )
    for each, (row, col) in zip(grids, found, strict=True):
        corner = ~each.transform @ (whole.transform @ (col, row))
        assert corner == pytest.approx((0, 0), abs=1e-3)


@pytest.mark.parametrize(("row", "col"), [(0.01, 0), (0, -0.5), (1e-2, 1e-2)])
def test_grids_between_the_pixels_are_refused(row, col):
    pair = [("a.tif", grid("turned")), ("b.tif", grid("turned", 3 + row, 4 + col))]
    told = r"^b.tif: lies [+-][\d.e-]+ columns and [+-][\d.e-]+ rows off .* a.tif\. Warp it\.$"
    with pytest.raises(SceneError, match=told):
        lay_out(pair, "Warp it")


def test_a_grid_without_a_crs_fits_only_its_like():
    plain = Grid(height=2, width=2, transform=PLACES["upright"][0], crs=None)
    with pytest.raises(SceneError, match=r"^b.tif: is in no CRS, a.tif in EPSG:4326\."):
        lay_out([("a.tif", grid("upright")), ("b.tif", plain)], "Warp it")
