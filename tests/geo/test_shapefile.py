"""Shapefiles that a full disk has not taken whole are found, wherever they are cut or spoilt."""

import geopandas
import pytest
import shapely

from geoseg.errors import WorkError
from geoseg.geo import shapefile
from geoseg.geo.shapefile import check_shapefile


@pytest.fixture(params=[0, 1, 50], ids="{} polygons".format)
def made(request, tmp_path, monkeypatch):
    """Written by GDAL; looked at by seven polygons at a time."""
    monkeypatch.setattr(shapefile, "_LOOKED_AT", 7 * 8)
    path = tmp_path / "made.shp"
    shapes = [shapely.Point(4 * n, 0).buffer(1, quad_segs=1 + n % 5) for n in range(request.param)]
    frame = geopandas.GeoDataFrame({"n": range(len(shapes))}, geometry=shapes, crs="EPSG:32632")
    frame.to_file(path, **{} if shapes else {"geometry_type": "Polygon"})
    return path


def check_refused(path):
    with pytest.raises(WorkError, match=r"out\.shp: could not be read back whole"):
        check_shapefile(path, path.with_name("out.shp"))


def test_what_is_whole_is_taken(made):
    check_shapefile(made, made)


@pytest.mark.parametrize("suffix", [".shp", ".shx", ".dbf"])
def test_whatever_is_cut_is_refused(made, suffix):
    file = made.with_suffix(suffix)
    whole = file.read_bytes().rstrip(b"\x1a")  # the mark of the end that a table may do without
    for length in {0, 20, 98, 100, len(whole) - 4, len(whole) - 1} - {len(whole)}:
        if 0 <= length < len(whole):
            file.write_bytes(whole[:length])
            check_refused(made)


def test_a_polygon_that_is_not_where_the_index_says_is_refused(made):
    """Also the last one; bytes of the index count from its head of 100."""
    whole = made.with_suffix(".shx").read_bytes()
    for place in range(100, len(whole)):
        made.with_suffix(".shx").write_bytes(
            whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        )
        check_refused(made)


def test_polygons_of_zeros_are_refused(made):
    whole = made.read_bytes()
    if len(whole) > 100:
        made.write_bytes(whole[:100] + bytes(len(whole) - 100))
        check_refused(made)
