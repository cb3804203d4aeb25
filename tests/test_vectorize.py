"""From a class raster on disk to a file of polygons."""

import logging
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio import features
from rasterio.crs import CRS

from geoseg.errors import ConfigError, LabelError, LegendError, OutputError, SceneError
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend, LegendClass
from geoseg.vectorize import VectorizeOptions, vectorize

UTM = CRS.from_epsg(32632)
HALF_METRE = Affine(0.5, 0, 4e5, 0, -0.5, 5e6)
LEGEND = Legend(
    classes=(
        LegendClass(value=0, name="ground", color="#808080"),
        LegendClass(value=3, name="roof", color="#e6194b"),
        LegendClass(value=7, name="tree", color="#3cb44b"),
    )
)
VALUES = np.array(
    [
        [0, 0, 0, 0, 255],
        [0, 3, 3, 0, 255],
        [0, 3, 3, 7, 7],
        [0, 0, 0, 7, 7],
    ],
    np.uint8,
)
COLUMNS = ["class_id", "class_name", "area_m2", "perim_m", "mean_prob", "scene", "geometry"]


def _write(path, data, **profile):
    data = np.atleast_3d(data.T).T if data.ndim == 2 else data
    scales = profile.pop("scales", None)
    names = profile.pop("names", ())
    profile = {"crs": UTM, "transform": HALF_METRE, "nodata": 255, **profile}
    count, height, width = data.shape
    shape = {"count": count, "height": height, "width": width, "dtype": data.dtype}
    with rasterio.open(path, "w", driver="GTiff", **shape, **profile) as dataset:
        dataset.write(data)
        if scales:
            dataset.scales = scales
        for band, name in enumerate(names, 1):
            dataset.set_band_description(band, name)
    return path


def _read(path: Path):
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path)
    return geopandas.read_file(path, layer="segments" if path.suffix == ".gpkg" else None)


@pytest.fixture
def classes(tmp_path: Path):
    return _write(tmp_path / "classes.tif", VALUES)


def test_polygons_hold_class_area_and_perimeter(classes, tmp_path):
    result = vectorize(classes, tmp_path / "out.gpkg", legend=LEGEND)
    frame = _read(result.path)
    assert list(frame.columns) == COLUMNS
    # In the order in which they end.
    assert frame["class_name"].tolist() == ["roof", "ground", "tree"]
    assert frame["class_id"].tolist() == [3, 0, 7]
    assert frame["area_m2"].tolist() == [4 / 4, 10 / 4, 4 / 4]
    assert frame["perim_m"].tolist() == [8 / 2, 22 / 2, 8 / 2]
    assert frame["mean_prob"].isna().all()
    assert (frame["scene"] == "classes.tif").all()
    assert frame.crs == UTM.to_wkt()
    assert result.counts == {"ground": 1, "roof": 1, "tree": 1}
    assert result.areas == {"ground": 2.5, "roof": 1, "tree": 1}
    assert (result.polygons, result.unit) == (3, "m2")


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".shp", ".parquet"])
def test_burned_again_the_polygons_are_the_raster(classes, tmp_path, suffix):
    path = vectorize(classes, tmp_path / f"out{suffix}", legend=LEGEND).path
    frame = _read(path)
    frame = frame.to_crs(UTM.to_wkt())
    burned = features.rasterize(
        list(zip(frame.geometry, frame["class_id"], strict=True)),
        VALUES.shape,
        fill=255,
        transform=HALF_METRE,
    )
    assert (burned == VALUES).all()


def test_chosen_classes_alone_become_polygons(classes, tmp_path):
    options = VectorizeOptions(classes=("roof", 7))
    result = vectorize(classes, tmp_path / "out.gpkg", options, legend=LEGEND)
    assert result.counts == {"roof": 1, "tree": 1}
    with pytest.raises(LegendError, match="road: is no class of the legend"):
        vectorize(classes, tmp_path / "no.gpkg", VectorizeOptions(classes=("road",)), legend=LEGEND)


def test_small_regions_and_holes_go_to_their_neighbours(tmp_path):
    values = np.kron(VALUES, np.ones((4, 4), np.uint8))
    values[7, 7] = 7  # in the roof, 0.25 m2
    values[5:7, 1:3] = 7  # in the ground, 1 m2
    values[1, 1] = 3
    path = _write(tmp_path / "classes.tif", values)
    result = vectorize(path, tmp_path / "a.gpkg", legend=LEGEND)
    assert result.counts == {"ground": 1, "roof": 2, "tree": 3}
    options = VectorizeOptions(min_area=0.5)
    result = vectorize(path, tmp_path / "b.gpkg", options, legend=LEGEND)
    assert result.counts == {"ground": 1, "roof": 1, "tree": 2}
    options = VectorizeOptions(fill_holes=1.5)
    result = vectorize(path, tmp_path / "c.gpkg", options, legend=LEGEND)
    assert result.counts == {"ground": 1, "roof": 1, "tree": 1}
    assert sum(result.areas.values()) == (values != 255).sum() / 4


def test_simplified_polygons_share_their_borders(tmp_path):
    diagonal = np.add.outer(np.arange(40), np.arange(40))
    path = _write(tmp_path / "classes.tif", np.where(diagonal < 40, 3, 7).astype(np.uint8))
    options = VectorizeOptions(simplify=1)
    frame = _read(vectorize(path, tmp_path / "out.gpkg", options, legend=LEGEND).path)
    assert shapely.get_num_coordinates(frame.geometry.to_numpy()).max() < 10
    assert shapely.coverage_is_valid(shapely.get_parts(frame.geometry.to_numpy()))
    assert frame["area_m2"].sum() == pytest.approx(400)


@pytest.mark.parametrize("named", [True, False])
def test_mean_probability_is_of_the_polygons_own_class(classes, tmp_path, named):
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 201, (3, *VALUES.shape)).astype(np.uint8)
    stored[:, VALUES == 255] = 255
    names = ["tree", "ground", "roof"] if named else []
    bands = {0: 1, 3: 2, 7: 0} if named else {0: 0, 3: 1, 7: 2}
    path = _write(tmp_path / "p.tif", stored, scales=(0.005, 0.005, 0.005), names=names)
    result = vectorize(classes, tmp_path / "out.gpkg", legend=LEGEND, probabilities=path)
    frame = _read(result.path)
    expected = [stored[bands[value]][value == VALUES].mean() * 0.005 for value in frame["class_id"]]
    assert frame["mean_prob"].tolist() == pytest.approx(expected, rel=1e-6)


def test_pixels_without_probability_do_not_count(classes, tmp_path):
    stored = np.full((3, *VALUES.shape), 0.75, np.float32)
    stored[:, 1, 1] = np.nan
    stored[1, 1, 2] = np.nan
    stored[2] = np.nan
    path = _write(tmp_path / "p.tif", stored, nodata=np.nan)
    result = vectorize(classes, tmp_path / "out.gpkg", legend=LEGEND, probabilities=path)
    frame = _read(result.path)
    assert frame["mean_prob"].tolist()[:2] == [0.75, 0.75]
    assert np.isnan(frame["mean_prob"][2])


@pytest.mark.parametrize(
    ("bands", "profile", "message"),
    [
        (3, {"transform": Affine(0.5, 0, 4e5 + 1, 0, -0.5, 5e6)}, "lies on another grid"),
        (2, {}, r"has 2 bands \(without names\), the legend 3 classes"),
        (3, {"scales": (1.0, 1.0, 1.0)}, "holds 100 to 100, probabilities are 0 to 1"),
    ],
)
def test_unfit_probabilities_are_refused(classes, tmp_path, bands, profile, message):
    stored = np.full((bands, *VALUES.shape), 100, np.uint8)
    path = _write(tmp_path / "p.tif", stored, **{"scales": (0.005,) * bands, **profile})
    with pytest.raises(SceneError, match=message):
        vectorize(classes, tmp_path / "out.gpkg", legend=LEGEND, probabilities=path)
    assert not (tmp_path / "out.gpkg").exists()


def test_legend_comes_from_the_colour_table(classes, tmp_path):
    with rasterio.open(classes, "r+") as dataset:
        dataset.write_colormap(1, {0: (1, 2, 3, 255), 3: (255, 0, 0, 255), 7: (0, 255, 0, 255)})
    result = vectorize(classes, tmp_path / "out.gpkg")
    assert result.polygons == 3


def test_without_names_classes_are_called_by_their_values(classes, tmp_path):
    result = vectorize(classes, tmp_path / "out.gpkg")
    assert result.counts == {"background": 1, "class_3": 1, "class_7": 1}


def test_undeclared_ignore_is_no_polygon(tmp_path):
    path = _write(tmp_path / "classes.tif", VALUES, nodata=None)
    assert vectorize(path, tmp_path / "out.gpkg", legend=LEGEND).polygons == 3


def test_internal_mask_is_no_polygon(tmp_path):
    path = tmp_path / "classes.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        _write(path, VALUES, nodata=None)
        with rasterio.open(path, "r+") as dataset:
            dataset.write_mask(VALUES != 3)
    assert vectorize(path, tmp_path / "out.gpkg", legend=LEGEND).counts == {"ground": 1, "tree": 1}


def test_signed_raster_with_negative_nodata(tmp_path):
    values = np.where(VALUES == 255, -9999, VALUES.astype(np.int16)).astype(np.int16)
    path = _write(tmp_path / "classes.tif", values, nodata=-9999)
    assert vectorize(path, tmp_path / "out.gpkg", legend=LEGEND).polygons == 3


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb"])
def test_nothing_but_nodata_gives_an_empty_layer(tmp_path, caplog, suffix):
    path = _write(tmp_path / "classes.tif", np.full((4, 5), 255, np.uint8))
    with caplog.at_level(logging.WARNING, "geoseg"):
        result = vectorize(path, tmp_path / f"out{suffix}")
    assert result.polygons == 0
    assert "the layer is empty" in caplog.text
    frame = _read(result.path)
    assert frame.empty
    if suffix == ".gpkg":
        assert list(frame.columns) == COLUMNS


def test_without_crs_areas_are_pixels(tmp_path, caplog):
    path = _write(tmp_path / "classes.tif", VALUES, crs=None)
    with caplog.at_level(logging.WARNING, "geoseg"):
        result = vectorize(path, tmp_path / "out.gpkg", legend=LEGEND)
    assert "has no CRS; positions, areas, perimeters are in pixels" in caplog.text
    assert (result.areas["roof"], result.unit) == (4, "pixels")
    options = VectorizeOptions(assume_crs="EPSG:32632")
    assert vectorize(path, tmp_path / "b.gpkg", options, legend=LEGEND).areas["roof"] == 1


def test_area_in_degrees_is_that_of_the_grid(tmp_path):
    transform = Affine(1e-4, 0, 10, 0, -1e-4, 60)
    path = _write(tmp_path / "classes.tif", VALUES, transform=transform, crs=CRS.from_epsg(4326))
    result = vectorize(path, tmp_path / "out.gpkg", legend=LEGEND)
    grid = Grid(height=4, width=5, transform=transform, crs=CRS.from_epsg(4326))
    expected = (grid.row_areas() * (VALUES != 255).sum(axis=1)).sum()
    assert sum(result.areas.values()) == pytest.approx(expected, rel=1e-12)


def test_more_rows_than_are_read_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("geoseg.geo.classes._PIXELS", 100)
    monkeypatch.setattr("geoseg.geo.probabilities._PIXELS", 70)
    values = np.random.default_rng(0).choice(np.uint8([0, 3, 7]), (83, 31))
    path = _write(tmp_path / "classes.tif", values, blockysize=16)
    stored = np.random.default_rng(1).random((3, 83, 31)).astype(np.float32)
    probabilities = _write(tmp_path / "p.tif", stored, nodata=None)
    result = vectorize(path, tmp_path / "o.gpkg", legend=LEGEND, probabilities=probabilities)
    frame = _read(result.path)
    mean = np.average(frame["mean_prob"], weights=frame["area_m2"])
    own = np.take_along_axis(stored, np.searchsorted([0, 3, 7], values)[None], 0)
    assert mean == pytest.approx(own.mean(), rel=1e-6)
    assert frame["area_m2"].sum() == values.size / 4


def test_fractions_and_bands_are_refused(tmp_path):
    path = _write(tmp_path / "f.tif", VALUES.astype(np.float32))
    with pytest.raises(SceneError, match=r"f.tif: holds float32 numbers, not classes"):
        vectorize(path, tmp_path / "out.gpkg")
    path = _write(tmp_path / "rgb.tif", np.stack([VALUES] * 3))
    with pytest.raises(SceneError, match="has 3 bands, classes have one"):
        vectorize(path, tmp_path / "out.gpkg")


def test_values_out_of_the_legend_are_refused(tmp_path):
    path = _write(tmp_path / "classes.tif", np.array([[0, 5], [5, 9]], np.uint8))
    with pytest.raises(LabelError, match=r"5 \(2 pixels\), 9 \(1 pixels\)"):
        vectorize(path, tmp_path / "out.gpkg", legend=LEGEND)


def test_output_is_refused_before_the_work(classes, tmp_path):
    with pytest.raises(OutputError, match=r'cannot be written as ".xyz"'):
        vectorize(classes, tmp_path / "out.xyz")
    with pytest.raises(OutputError, match=r"folder .* does not exist"):
        vectorize(classes, tmp_path / "no" / "out.gpkg")
    (tmp_path / "old.gpkg").touch()
    with pytest.raises(OutputError, match="already exists"):
        vectorize(classes, tmp_path / "old.gpkg")
    with pytest.raises(OutputError, match="is the input itself"):
        vectorize(classes, classes, VectorizeOptions(overwrite=True))
    with pytest.raises(SceneError, match=r"none.tif: does not exist"):
        vectorize(tmp_path / "none.tif", tmp_path / "out.gpkg")


@pytest.mark.parametrize("option", ["min_area", "fill_holes", "simplify"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_measures_are_0_or_more(option, value):
    with pytest.raises(ConfigError, match=option.replace("_", "-")):
        VectorizeOptions(**{option: value})
