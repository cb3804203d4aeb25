"""What OGR warns about goes to the log."""

import logging
import warnings

import pyarrow as pa
import pyogrio
import shapely

from geoseg.geo.polygon_formats import quiet_ogr, write_groups
from geoseg.geo.polygon_layer import PolygonLayer


def test_what_ogr_warns_about_is_logged(tmp_path, caplog):
    table = pa.table(
        {
            "a_name_that_is_too_long": [1],
            "geometry": pa.array([shapely.to_wkb(shapely.Point(0, 0))], pa.binary()),
        }
    )
    told = {"geometry_name": "geometry", "geometry_type": "Point", "driver": "ESRI Shapefile"}
    told["crs"] = "EPSG:32632"
    path = tmp_path / "out.shp"
    with caplog.at_level(logging.INFO, "geoseg"), quiet_ogr(path):
        pyogrio.write_arrow(table, path, **told)
    assert "out.shp: Normalized/laundered field name" in caplog.text


def test_no_crs_is_as_the_caller_wants_it(tmp_path, caplog):
    layer = PolygonLayer(columns=pa.schema([("class_id", pa.int32())]), crs=None)
    with caplog.at_level(logging.INFO, "geoseg"):
        write_groups(tmp_path / "out.fgb", [], layer, "FlatGeobuf")
    assert (tmp_path / "out.fgb").exists()
    assert "crs" not in caplog.text


def test_what_comes_again_and_again_is_told_once_a_file(tmp_path, caplog):
    """Polygons may be written while a network runs for hours in another thread."""
    for name in ("one.gpkg", "two.gpkg"):
        with caplog.at_level(logging.INFO, "geoseg"), quiet_ogr(tmp_path / name):
            for _ in range(1000):
                warnings.warn("of another library", UserWarning, stacklevel=1)
    told = [record.getMessage() for record in caplog.records]
    assert [text.rpartition("/")[2] for text in told] == [
        "one.gpkg: of another library",
        "two.gpkg: of another library",
    ]
