"""Several label files: each is read once, and all get one legend."""

from __future__ import annotations

import logging
import warnings

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.features import rasterize

from geoseg.errors import LegendError
from geoseg.geo.grid import Grid
from geoseg.geo.label_sets import open_all
from geoseg.geo.labels import LabelOptions, Labels

UTM = CRS.from_epsg(32632)
HOME = Affine(1, 0, 500000, 0, -1, 5000000)
GRID = Grid(height=40, width=50, transform=HOME, crs=UTM)
HOUSE = shapely.box(500005, 4999980, 500020, 4999990)
POND = shapely.Point(500030, 4999975).buffer(8)
BOW_TIE = shapely.Polygon(
    [(500030, 4999990), (500040, 4999995), (500040, 4999990), (500030, 4999995)]
)


@pytest.fixture
def write(tmp_path):
    """Writes polygons with an attribute `kind`, or a raster."""

    def write_file(name, content, kinds=None):
        path = str(tmp_path / name)
        if kinds is None:
            shape = {"count": 1, "height": content.shape[0], "width": content.shape[1]}
            profile = {"dtype": content.dtype, "crs": UTM, "transform": HOME, **shape}
            with rasterio.open(path, "w", "GTiff", **profile) as made:
                made.write(content[None])
        else:
            frame = geopandas.GeoDataFrame({"kind": kinds}, geometry=content, crs=UTM)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                frame.to_file(path)
        return path

    return write_file


def burned(*shapes):
    return rasterize(shapes, GRID.shape, transform=HOME, dtype="uint8").tolist()


def test_one_legend_of_attributes(write):
    paths = [write("a.gpkg", [HOUSE, POND], ["house", "water"]), write("b.gpkg", [POND], ["field"])]
    opened = open_all([*paths, paths[0]], None, LabelOptions(field="kind"))
    assert list(opened) == paths
    first, second = opened.values()
    assert first.legend == second.legend
    assert first.legend.names == ("background", "field", "house", "water")
    assert first.mask(GRID).tolist() == burned((HOUSE, 2), (POND, 3))
    assert second.mask(GRID).tolist() == burned((POND, 1))
    again = Labels.open(paths[0], first.legend, LabelOptions(field="kind"))
    assert again.mask(GRID).tolist() == first.mask(GRID).tolist()


def test_one_class_without_an_attribute(write):
    paths = [write("a.gpkg", [HOUSE], ["house"]), write("b.gpkg", [POND], ["field"])]
    first, second = open_all(paths, None).values()
    assert first.legend.names == second.legend.names == ("background", "foreground")
    assert second.mask(GRID).tolist() == burned((POND, 1))
    assert open_all(paths[:1], None)[paths[0]].legend.names == ("background", "a")


def test_one_legend_of_rasters(write):
    paths = [write(f"{v}.tif", np.full(GRID.shape, v, np.uint8)) for v in (3, 9)]
    first, second = open_all(paths, None).values()
    assert first.legend.values == second.legend.values == (3, 9)
    assert set(first.mask(GRID).flat) == {3}
    assert set(second.mask(GRID).flat) == {9}


def test_rasters_and_polygons_make_no_legend(write):
    paths = [write("a.gpkg", [HOUSE], ["house"]), write("b.tif", np.ones(GRID.shape, np.uint8))]
    with pytest.raises(LegendError, match=r"b\.tif: is a raster, .*a\.gpkg holds polygons\. Give"):
        open_all(paths, None)


def test_each_file_is_read_once(write, caplog):
    kinds = ["house", "shed"]
    paths = [write(f"{n}.gpkg", [HOUSE, BOW_TIE], [*kinds[:1], n]) for n in ("a", "b")]
    with caplog.at_level(logging.INFO):
        opened = open_all(paths, None, LabelOptions(field="kind"))
    assert len(opened) == 2
    told = [record.getMessage() for record in caplog.records]
    assert [sum(path in line for line in told) for path in paths] == [1, 1]
    assert all("1 " in line for line in told)
