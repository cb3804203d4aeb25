"""Layers of polygons written as streams: read back equal, whatever the format and the batches."""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import closing

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pyproj
import pytest
import shapely
from rasterio.crs import CRS

from geoseg.errors import OutputError, WorkError
from geoseg.geo import polygon_writer
from geoseg.geo.legend import Legend
from geoseg.geo.multipolygon_wkb import encode_geometries
from geoseg.geo.polygon_layer import PolygonLayer, regroup
from geoseg.geo.polygon_writer import write_layer

UTM = CRS.from_epsg(32632)
LEGEND = Legend.of_values([0, 1, 2], names={1: "roof", 2: "road"})
COLUMNS = pa.schema(
    [("class_id", pa.int32()), ("class_name", pa.string()), ("mean_prob", pa.float64())]
)
SUFFIXES = [".gpkg", ".fgb", ".parquet", ".geojson", ".geojsonl", ".shp"]
IN_ORDER = [suffix for suffix in SUFFIXES if suffix != ".fgb"]


def shapes_of(count):
    """Squares with a hole, every third with a second part."""
    shapes = []
    for number in range(count):
        x, y = 500000 + 40 * (number % 100), 5000000 + 40 * (number // 100)
        parts = [
            shapely.box(x, y, x + 10, y + 10).difference(shapely.box(x + 2, y + 2, x + 4, y + 4))
        ]
        if number % 3 == 0:
            parts.append(shapely.box(x + 20, y, x + 30.5, y + 5))
        shapes.append(shapely.MultiPolygon(parts))
    return np.array(shapes, object)


def batch_of(shapes, first=0):
    numbers = np.arange(first, first + len(shapes))
    table = pa.table(
        {
            "class_id": pa.array(numbers % 3, pa.int32()),
            "class_name": pa.array([f"ä{number}" for number in numbers]),
            "mean_prob": pa.array(
                [None if n % 5 == 0 else n / 1000 for n in numbers], pa.float64()
            ),
            "geometry": encode_geometries(shapes),
        }
    )
    return table.cast(layer_of().schema).combine_chunks().to_batches()[0]


def layer_of(crs=UTM):
    return PolygonLayer(columns=COLUMNS, crs=crs, legend=LEGEND)


def cut(batch, rows):
    return [batch.slice(start, rows) for start in range(0, batch.num_rows, rows)]


def read(path):
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path)
    return geopandas.read_file(path, layer="segments" if path.suffix == ".gpkg" else None)


def in_utm(frame):
    return frame.to_crs(UTM.to_wkt()) if frame.crs.to_epsg() == 4326 else frame


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read_back(suffix, tmp_path):
    shapes = shapes_of(40)
    path = tmp_path / f"out{suffix}"
    assert write_layer(path, cut(batch_of(shapes), 7), layer_of()) == 40
    frame = in_utm(read(path))
    assert frame.crs == UTM.to_wkt()
    assert sorted(frame["class_name"]) == sorted(f"ä{number}" for number in range(40))
    frame = frame.set_index(frame["class_name"].str[1:].astype(int)).sort_index()
    assert frame["class_id"].tolist() == [number % 3 for number in range(40)]
    means = frame["mean_prob"].to_numpy(float)
    assert np.isnan(means[::5]).all()
    assert means[1] == 0.001
    found = frame.geometry.to_numpy()
    if "json" in suffix:
        assert shapely.hausdorff_distance(found, shapes).max() < 0.02
        assert (shapely.get_num_coordinates(found) == shapely.get_num_coordinates(shapes)).all()
    else:
        assert shapely.equals(found, shapes).all()
    assert not list(tmp_path.glob(".geoseg-*"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_batches_do_not_change_the_file(suffix, tmp_path, monkeypatch):
    regrouped = polygon_writer.regroup
    monkeypatch.setattr(polygon_writer, "regroup", lambda batches: regrouped(batches, rows=13))
    batch = batch_of(shapes_of(50))
    for rows in (1, 7, 50):
        write_layer(tmp_path / f"{rows}{suffix}", cut(batch, rows), layer_of())
    first, *others = (read(tmp_path / f"{rows}{suffix}") for rows in (1, 7, 50))
    for other in others:
        assert first.equals(other)
    if suffix in (".parquet", ".fgb"):
        assert len({(tmp_path / f"{rows}{suffix}").read_bytes() for rows in (1, 7, 50)}) == 1


def test_groups_depend_on_polygons_alone():
    batch = batch_of(shapes_of(60))
    for limits in ({"rows": 7}, {"size": 1000}, {"rows": 5, "size": 900}):
        sizes = [[g.num_rows for g in regroup(cut(batch, rows), **limits)] for rows in (1, 4, 60)]
        assert sizes[0] == sizes[1] == sizes[2]
        assert sum(sizes[0]) == 60
        assert max(sizes[0]) <= limits.get("rows", 60)
        joined = pa.Table.from_batches(regroup(cut(batch, 4), **limits))
        assert joined.equals(pa.Table.from_batches([batch]))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_appended_polygons_stand_behind_those_there(suffix, tmp_path):
    path, shapes = tmp_path / f"out{suffix}", shapes_of(9)
    first, second = batch_of(shapes[:5]), batch_of(shapes[5:], 5)
    assert write_layer(path, [first], layer_of(), append=True) == 5
    assert write_layer(path, [second], layer_of(), append=True) == 4
    frame = read(path)
    expected = [f"ä{number}" for number in range(9)]
    if suffix in IN_ORDER:
        assert frame["class_name"].tolist() == expected
    assert sorted(frame["class_name"]) == expected
    write_layer(tmp_path / f"at_once{suffix}", [first, second], layer_of())
    assert frame.equals(read(tmp_path / f"at_once{suffix}"))
    assert not list(tmp_path.glob(".geoseg-*"))


def test_append_keeps_other_layers_and_styles(tmp_path):
    path = tmp_path / "out.gpkg"
    write_layer(path, [batch_of(shapes_of(3))], layer_of())
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE layer_styles SET styleQML = 'mine'")
    other = PolygonLayer(columns=COLUMNS, crs=CRS.from_epsg(3857), name="other")
    write_layer(path, [batch_of(shapes_of(2))], other, append=True)
    write_layer(path, [batch_of(shapes_of(4))], layer_of(), append=True)
    assert len(geopandas.read_file(path, layer="segments")) == 7
    assert len(geopandas.read_file(path, layer="other")) == 2
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT f_table_name, styleQML FROM layer_styles").fetchall()
        boxes = database.execute("SELECT count(*) FROM rtree_segments_geom").fetchone()
    assert rows == [("segments", "mine")]
    assert boxes == (7,)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_does_not_fit_is_not_appended(suffix, tmp_path):
    path = tmp_path / f"out{suffix}"
    write_layer(path, [batch_of(shapes_of(3))], layer_of())
    before = path.read_bytes()
    wider = PolygonLayer(columns=COLUMNS.append(pa.field("margin", pa.float64())), crs=UTM)
    with pytest.raises(OutputError, match=r"other columns .*no margin"):
        write_layer(path, [], wider, append=True)
    if "json" not in suffix:
        elsewhere = layer_of(CRS.from_epsg(32633))
        with pytest.raises(OutputError, match=r"is in EPSG:32632|is in WGS.*32N"):
            write_layer(path, [], elsewhere, append=True)
    assert path.read_bytes() == before
    path.write_bytes(b"nonsense")
    with pytest.raises(OutputError, match="cannot be added to"):
        write_layer(path, [], layer_of(), append=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_run_that_fails_leaves_nothing(suffix, tmp_path):
    def failing(error):
        yield batch_of(shapes_of(5))
        raise error

    path = tmp_path / f"out{suffix}"
    for error in (WorkError("scene", "is broken"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            write_layer(path, failing(error), layer_of())
        assert list(tmp_path.iterdir()) == []
    write_layer(path, [batch_of(shapes_of(2))], layer_of())
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for how in ({"append": True}, {"overwrite": True}):
        with pytest.raises(WorkError, match="scene: is broken"):
            write_layer(path, failing(WorkError("scene", "is broken")), layer_of(), **how)
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_empty_layer_has_its_columns(suffix, tmp_path):
    path = tmp_path / f"out{suffix}"
    assert write_layer(path, [], layer_of()) == 0
    if suffix != ".geojsonl":  # an empty file, which is no layer to its readers
        frame = read(path)
        assert len(frame) == 0
    if "json" not in suffix:
        assert list(frame.columns) == [*COLUMNS.names, "geometry"]
        assert frame.crs == UTM.to_wkt()
    write_layer(path, [batch_of(shapes_of(2))], layer_of(), append=True)
    assert len(read(path)) == 2


def test_geopackage_is_of_version_1_3_with_index_and_style(tmp_path):
    path = tmp_path / "out.gpkg"
    write_layer(path, [batch_of(shapes_of(20))], layer_of())
    with closing(sqlite3.connect(path)) as database:
        ask = lambda text: database.execute(text).fetchall()  # noqa: E731
        assert ask("PRAGMA user_version") == [(10300,)]
        assert ask("PRAGMA application_id") == [(0x47504B47,)]
        assert ask("SELECT count(*) FROM rtree_segments_geom") == [(20,)]
        assert ("gpkg_rtree_index",) in ask("SELECT extension_name FROM gpkg_extensions")
        columns = "f_table_name, f_geometry_column, useAsDefault"
        assert ask(f"SELECT {columns} FROM layer_styles") == [("segments", "geom", 1)]
        contents = ask("SELECT table_name, data_type, srs_id FROM gpkg_contents")
        assert ("segments", "features", 32632) in contents
        assert ("layer_styles", "attributes", 0) in [(n, t, s or 0) for n, t, s in contents]
        kind = "SELECT geometry_type_name, z, m FROM gpkg_geometry_columns"
        assert ask(kind) == [("MULTIPOLYGON", 0, 0)]


def test_geoparquet_is_of_version_1_1(tmp_path, monkeypatch):
    regrouped = polygon_writer.regroup
    monkeypatch.setattr(polygon_writer, "regroup", lambda batches: regrouped(batches, rows=16))
    path, shapes = tmp_path / "out.parquet", shapes_of(40)
    write_layer(path, [batch_of(shapes)], layer_of())
    file = pq.ParquetFile(path)
    meta = json.loads(file.metadata.metadata[b"geo"])
    # https://geoparquet.org/releases/v1.1.0/schema.json: what it requires and allows.
    assert meta["version"] == "1.1.0"
    assert meta["primary_column"] in meta["columns"]
    column = meta["columns"]["geometry"]
    assert set(column) <= {
        *("encoding", "geometry_types", "crs", "edges", "orientation", "bbox", "epoch", "covering")
    }
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["MultiPolygon"]
    assert pyproj.CRS.from_json_dict(column["crs"]) == pyproj.CRS(32632)
    assert column["bbox"] == shapely.total_bounds(shapes).tolist()
    sides = ("xmin", "ymin", "xmax", "ymax")
    assert column["covering"] == {"bbox": {side: ["bbox", side] for side in sides}}
    schema = file.schema
    leaves = [schema.column(place) for place in range(len(schema))]
    kinds = {leaf.path: leaf.physical_type for leaf in leaves}
    assert kinds["geometry"] == "BYTE_ARRAY"
    assert all(kinds[f"bbox.{side}"] == "DOUBLE" for side in sides)
    assert file.metadata.num_row_groups == 3
    boxes = file.read(columns=["bbox"]).column("bbox").combine_chunks().flatten()
    assert (np.stack([box.to_numpy() for box in boxes], 1) == shapely.bounds(shapes)).all()
    place = [leaf.path for leaf in leaves].index("bbox.ymax")
    statistics = file.metadata.row_group(0).column(place).statistics
    assert statistics.max == shapely.bounds(shapes[:16])[:, 3].max()
    clipped = geopandas.read_parquet(path, bbox=(500000, 5000000, 500090, 5000015))
    assert len(clipped) == 3


def test_geoparquet_without_crs_says_so(tmp_path):
    write_layer(tmp_path / "out.parquet", [batch_of(shapes_of(3))], layer_of(None))
    meta = json.loads(pq.read_metadata(tmp_path / "out.parquet").metadata[b"geo"])
    assert meta["columns"]["geometry"]["crs"] is None
    assert geopandas.read_parquet(tmp_path / "out.parquet").crs is None


def test_a_damaged_geoparquet_is_noticed(tmp_path, monkeypatch):
    written = polygon_writer.write_groups

    def spoil(path, *given, **named):
        written(path, *given, **named)
        data = bytearray(path.read_bytes())
        data[200] ^= 255
        path.write_bytes(data)

    monkeypatch.setattr(polygon_writer, "write_groups", spoil)
    with pytest.raises(WorkError, match=r"out\.parquet"):
        write_layer(tmp_path / "out.parquet", [batch_of(shapes_of(30))], layer_of())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".geojson", ".geojsonl"])
def test_geojson_is_rfc_7946(suffix, tmp_path):
    path = tmp_path / f"out{suffix}"
    write_layer(path, [batch_of(shapes_of(20))], layer_of())
    for feature in features_of(path):
        assert set(feature) <= {"type", "properties", "geometry", "id", "bbox"}
        assert feature["geometry"]["type"] == "MultiPolygon"
        for shell, *holes in feature["geometry"]["coordinates"]:
            assert shapely.LinearRing(shell).is_ccw
            assert not any(shapely.LinearRing(hole).is_ccw for hole in holes)
            assert all(len(point) == 2 and round(point[0], 7) == point[0] for point in shell)
    if suffix == ".geojson":
        assert "crs" not in json.loads(path.read_text(encoding="utf-8"))


def features_of(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".geojson":
        return json.loads(text)["features"]
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("suffix", [".geojson", ".geojsonl"])
@pytest.mark.parametrize(
    ("crs", "shape", "pieces"),
    [
        (4326, shapely.box(150, -5, 200, 5), [(150, 180), (-180, -160)]),
        (4326, shapely.box(-200, -5, -190, 5), [(160, 170)]),
        (4326, shapely.box(-180, -90, 180, 90), [(-180, 180)]),
        (4326, shapely.box(0, -80, 360, 80), [(-180, 180)]),
        (32660, shapely.box(700000, 0, 1000000, 100000), [(178.8, 180), (-180, -178.5)]),
    ],
)
def test_geojson_is_cut_at_the_antimeridian(suffix, crs, shape, pieces, tmp_path):
    layer = layer_of(CRS.from_epsg(crs))
    write_layer(tmp_path / f"out{suffix}", [batch_of(np.array([shape]))], layer)
    (feature,) = features_of(tmp_path / f"out{suffix}")
    found = shapely.geometry.shape(feature["geometry"])
    assert found.is_valid
    spans = sorted((part.bounds[0], part.bounds[2]) for part in found.geoms)
    assert np.allclose(spans, sorted(pieces), atol=0.02)
    if crs == 4326:
        assert found.area == pytest.approx(shape.area)


def test_long_edges_follow_the_ground_in_geojson(tmp_path):
    # Two halves of 40 km: the border between them gets the same vertices on both sides.
    halves = [
        shapely.box(300000, 6500000, 340000, 6520000),
        shapely.box(300000, 6520000, 340000, 6540000),
    ]
    write_layer(tmp_path / "out.geojson", [batch_of(np.array(halves))], layer_of())
    one, other = read(tmp_path / "out.geojson").geometry
    assert shapely.coverage_is_valid(shapely.get_parts([one, other]))
    # The corners alone would leave the line between them by tens of metres.
    moved = in_utm(read(tmp_path / "out.geojson")).geometry.to_numpy()
    assert shapely.hausdorff_distance(moved, np.array(halves)).max() < 0.05 + 800


def test_geojson_without_crs_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"have no CRS.*\.gpkg"):
        write_layer(tmp_path / "out.geojson", [], layer_of(None))


def test_a_shapefile_tells_what_it_cuts(tmp_path, caplog):
    columns = pa.schema([("mean_probability", pa.float64()), ("mean_probability_2", pa.float64())])
    layer = PolygonLayer(columns=columns, crs=UTM)
    with caplog.at_level(logging.WARNING, "geoseg"):
        write_layer(tmp_path / "out.shp", [], layer)
    assert "mean_probability -> mean_proba, mean_probability_2 -> mean_prob2" in caplog.text
    assert list(pyogrio.read_info(tmp_path / "out.shp")["fields"]) == ["mean_proba", "mean_prob2"]


def test_a_crs_that_a_format_cannot_tell_is_told(tmp_path, caplog):
    exotic = CRS.from_proj4(
        "+proj=ob_tran +o_proj=merc +o_lon_p=10 +o_lat_p=50 +lon_0=20 +datum=WGS84 +units=m"
    )
    for suffix in (".gpkg", ".fgb", ".parquet", ".shp"):
        write_layer(tmp_path / f"out{suffix}", [batch_of(shapes_of(3))], layer_of(exotic))
        found = read(tmp_path / f"out{suffix}").crs
        told = "cannot tell the CRS exactly" in caplog.text
        assert "unknown, not unknown" not in caplog.text
        assert told or found == pyproj.CRS.from_wkt(exotic.to_wkt())
        caplog.clear()
