"""Vector files in and out: nothing is lost, everything that is mended is told."""

from __future__ import annotations

import json
import logging
import sqlite3

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.features import rasterize

from geoseg.errors import LabelError, OutputError
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.vector import burn, read_area, read_features, read_polygons, write_polygons

UTM = "EPSG:32632"
SQUARE = shapely.box(500000, 4999990, 500010, 5000000)
BOW_TIE = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
LEGEND = Legend.of_values([0, 1, 2], names={1: "roof & tile", 2: "road"})


def frame_of(*geometries, crs=UTM, **columns):
    return geopandas.GeoDataFrame(columns, geometry=list(geometries), crs=crs)


def segments():
    return frame_of(
        SQUARE,
        shapely.MultiPolygon([SQUARE, shapely.box(500020, 4999990, 500030, 5000000)]),
        class_id=np.array([1, 2], np.int16),
        class_name=["roof & tile", "road"],
        mean_probability=[0.5, None],
    )


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".geojson", ".geojsonl", ".shp"])
def test_written_polygons_are_read_back(suffix, tmp_path, caplog):
    path = tmp_path / f"out{suffix}"
    write_polygons(path, segments(), legend=LEGEND)
    back = read_polygons(str(path))
    assert sorted(back["class_id"]) == [1, 2]
    areas = back.to_crs(UTM).area.to_numpy()
    assert np.sort(areas) == pytest.approx([100, 200], rel=1e-3)
    assert not list(tmp_path.glob(".geoseg-*"))
    if suffix == ".shp":
        assert "mean_probability -> mean_proba" in caplog.text
        assert back.crs == UTM


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".geojson", ".shp"])
def test_empty_frame_is_written(suffix, tmp_path):
    path = tmp_path / f"out{suffix}"
    write_polygons(path, segments().iloc[:0], legend=LEGEND)
    layer = pyogrio.list_layers(path)[0][0]
    info = pyogrio.read_info(path, layer=layer, force_feature_count=True)
    assert max(info["features"], 0) == 0
    assert "class_id" in info["fields"] or suffix == ".geojson"


def test_geopackage_is_version_1_3_with_a_style(tmp_path):
    path = write_polygons(tmp_path / "out.gpkg", segments(), legend=LEGEND)
    assert [name for name, kind in pyogrio.list_layers(path) if kind] == ["segments"]
    assert pyogrio.read_info(path, layer="segments")["geometry_type"] == "MultiPolygon"
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (10300,)
        rows = database.execute(
            "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles"
        ).fetchall()
    database.close()
    assert rows[0][:3] == ("segments", "geom", 1)
    assert "roof &amp; tile" in rows[0][3]
    style = pyogrio.read_dataframe(path, layer="layer_styles")
    assert len(style) == 1


def test_geojson_is_rfc_7946(tmp_path):
    path = write_polygons(tmp_path / "out.geojson", segments())
    content = json.loads(path.read_text())
    assert "crs" not in content
    ring = shapely.geometry.shape(content["features"][0]["geometry"]).geoms[0].exterior
    assert ring.is_ccw
    lon, lat = ring.coords[0]
    assert lon == pytest.approx(9, abs=1e-3)
    assert lat == pytest.approx(45.15, abs=0.01)


def test_shapefile_replaces_its_side_files(tmp_path):
    path = tmp_path / "out.shp"
    write_polygons(path, segments())
    (tmp_path / "out.qix").write_bytes(b"old")
    with pytest.raises(OutputError, match="already exists"):
        write_polygons(path, segments())
    write_polygons(path, segments().iloc[:1], overwrite=True)
    assert len(read_polygons(str(path))) == 1
    assert {p.name for p in tmp_path.iterdir()} == {
        f"out.{suffix}" for suffix in ("shp", "shx", "dbf", "prj", "cpg")
    }


def test_short_names_stay_different(tmp_path):
    frame = frame_of(SQUARE, probability_a=[1], probability_b=[2])
    path = write_polygons(tmp_path / "out.shp", frame)
    assert list(pyogrio.read_info(path)["fields"]) == ["probabilit", "probabili2"]


def test_unknown_suffix_and_missing_pyarrow(tmp_path):
    with pytest.raises(OutputError, match=r'as ".dxf".*\.gpkg'):
        write_polygons(tmp_path / "out.dxf", segments())
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        with pytest.raises(OutputError, match="needs pyarrow"):
            write_polygons(tmp_path / "out.parquet", segments())
        (tmp_path / "in.parquet").write_bytes(b"PAR1")
        with pytest.raises(LabelError, match="needs pyarrow"):
            read_polygons(str(tmp_path / "in.parquet"))
    else:
        write_polygons(tmp_path / "out.parquet", segments())
        assert len(read_polygons(str(tmp_path / "out.parquet"))) == 2
    assert not list(tmp_path.glob("out*")) or (tmp_path / "out.parquet").exists()


def test_invalid_polygons_are_repaired_and_counted(tmp_path, caplog):
    path = tmp_path / "in.gpkg"
    frame_of(BOW_TIE, SQUARE, None, shapely.Polygon()).to_file(path)
    with caplog.at_level(logging.INFO):
        frame = read_polygons(str(path))
    assert frame.geometry.is_valid.all()
    assert frame.area.tolist() == [2, 100]
    assert "1 invalid polygons repaired, 2 features without a geometry skipped" in caplog.text


def test_heights_and_collections_are_flattened(tmp_path):
    path = tmp_path / "in.gpkg"
    solid = shapely.force_3d(SQUARE, 7.0)
    collection = shapely.GeometryCollection([SQUARE, shapely.LineString([(0, 0), (1, 1)])])
    frame_of(solid, collection).to_file(path)
    frame = read_polygons(str(path))
    assert not frame.has_z.any()
    assert frame.area.tolist() == [100, 100]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "not a vector file"),
        (b"GARBAGE", "not a vector file"),
        (b'{"type": "FeatureCollection", "features": []}', "has no features"),
    ],
)
def test_unreadable_files(content, message, tmp_path):
    path = tmp_path / "in.geojson"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LabelError, match=message):
        read_polygons(str(path))


def test_points_and_layers_and_fields_are_refused(tmp_path):
    path = tmp_path / "in.gpkg"
    frame_of(shapely.Point(1, 2), kind=["a"]).to_file(path, layer="points")
    with pytest.raises(LabelError, match="1 features are points or lines"):
        read_polygons(str(path))
    with pytest.raises(LabelError, match=r'no field "sort".*Its fields are: kind'):
        read_features(str(path), columns=["sort"])
    frame_of(SQUARE).to_file(path, layer="areas")
    with pytest.raises(LabelError, match="several layers: points, areas"):
        read_polygons(str(path))
    with pytest.raises(LabelError, match='no layer "x"'):
        read_polygons(str(path), "x")
    assert len(read_polygons(str(path), "areas")) == 1


def test_layer_without_geometries(tmp_path):
    path = tmp_path / "in.csv"
    pd.DataFrame({"a": [1]}).to_csv(path)
    with pytest.raises(LabelError, match="not a vector file with geometries"):
        read_polygons(str(path))


def test_area_is_brought_into_the_crs(tmp_path):
    path = tmp_path / "aoi.geojson"
    frame_of(SQUARE).to_crs("EPSG:4326").to_file(path)
    area = read_area(str(path), CRS.from_epsg(32632))
    # GeoJSON rounds degrees to 7 digits by default: a centimetre.
    assert area.symmetric_difference(SQUARE).area < 0.5
    with pytest.raises(LabelError, match="the scene has none"):
        read_area(str(path), None)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(1, 0, 499995, 0, -1, 5000005),
        Affine(1, 0, 499995, 0, 1, 4999985),
        Affine(0.9, 0.3, 499990, 0.3, -0.9, 5000005),
    ],
    ids=["north-up", "south-up", "rotated"],
)
def test_burn_equals_rasterize(transform):
    grid = Grid(height=30, width=40, transform=transform, crs=CRS.from_epsg(32632))
    circle = shapely.Point(500005, 4999995).buffer(8, quad_segs=800)
    shapes = [(SQUARE, 1), (circle, 7), (shapely.box(500003, 4999993, 500006, 4999996), 2)]
    expected = rasterize(shapes, (30, 40), transform=transform, fill=9, dtype="uint8")
    assert burn(shapes, grid, 9, "uint8").tolist() == expected.tolist()
    assert {1, 7, 2, 9} >= set(np.unique(expected)) >= {7, 2, 9}
    assert (burn([], grid, 9, "uint8") == 9).all()
