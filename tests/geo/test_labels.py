"""Labels on grids: rasterio burns and warps as oracle; all that is refused names its cure."""

from __future__ import annotations

import logging
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import rasterize

from geoseg.errors import GeosegError, LabelError, LegendError
from geoseg.geo.grid import Grid
from geoseg.geo.labels import LabelOptions, Labels, find_labels
from geoseg.geo.legend import Legend

UTM = CRS.from_epsg(32632)
HOME = Affine(1, 0, 500000, 0, -1, 5000000)
GRID = Grid(height=40, width=50, transform=HOME, crs=UTM)
BUILDING = shapely.box(500005, 4999980, 500020, 4999990)
POND = shapely.Point(500030, 4999975).buffer(8)
LEGEND = Legend.from_dict(
    {
        "classes": [
            {"value": 0, "name": "background", "color": "#000000"},
            {"value": 1, "name": "building", "color": "#ff0000", "from": ["yes", "house", 7]},
            {"value": 2, "name": "water", "color": "#0000ff"},
        ]
    }
)
NO_BACKGROUND = Legend.from_dict({"classes": [{"value": 3, "name": "roof"}]})


def write_polygons(path, geometries, crs=UTM, **columns):
    frame = geopandas.GeoDataFrame(columns, geometry=list(geometries), crs=crs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame.to_file(path)
    return str(path)


def write_raster(path, data, transform=HOME, crs=UTM, nodata=None, colormap=None, driver="GTiff"):
    data = np.atleast_3d(data) if data.ndim == 3 else data[None]
    count, height, width = data.shape
    profile = {"height": height, "width": width, "count": count, "dtype": data.dtype}
    place = {} if driver == "PNG" else {"transform": transform, "crs": crs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver, nodata=nodata, **place, **profile) as made:
            if colormap:
                made.write_colormap(1, colormap)
            made.write(data)
    return str(path)


def burned(shapes, fill=0, grid=GRID):
    return rasterize(shapes, grid.shape, transform=grid.transform, fill=fill, dtype="uint8")


@pytest.fixture
def polygons(tmp_path):
    return write_polygons(tmp_path / "a.gpkg", [BUILDING, POND], kind=["house", "water"])


def test_polygons_are_burned_by_class(polygons):
    labels = Labels.open(polygons, LEGEND, LabelOptions(field="kind"))
    expected = burned([(BUILDING, 1), (POND, 2)])
    assert labels.mask(GRID).tolist() == expected.tolist()
    assert labels.mask(GRID).dtype == np.uint8
    assert labels.touches(GRID)
    assert labels.legend == LEGEND


def test_windows_are_parts_of_the_whole(polygons):
    labels = Labels.open(polygons, LEGEND, LabelOptions(field="kind"))
    whole = labels.mask(GRID)
    window = rasterio.windows.Window(13, 9, 20, 17)
    assert labels.mask(GRID.crop(window)).tolist() == whole[9:26, 13:33].tolist()


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:32633", "EPSG:3035"])
def test_polygons_in_another_crs(crs, tmp_path):
    """EPSG:4326 and 3035 have northing first on paper: x must stay first in the file."""
    moved = geopandas.GeoSeries([POND, BUILDING], crs=UTM).to_crs(crs)
    path = write_polygons(tmp_path / "a.gpkg", moved, crs, kind=["water", "yes"])
    labels = Labels.open(path, LEGEND, LabelOptions(field="kind"))
    expected = burned([(POND, 2), (BUILDING, 1)])
    assert np.count_nonzero(labels.mask(GRID) != expected) <= 2


def test_long_edges_follow_the_ground(tmp_path):
    """The parallel of 50 degrees is an arc in UTM, far from the chord of its ends."""
    wide = shapely.box(6.5, 50, 11.5, 51)
    path = write_polygons(tmp_path / "a.gpkg", [wide], "EPSG:4326")
    transform = Affine(100, 0, 498000, 0, -100, 5540000)
    grid = Grid(height=40, width=40, transform=transform, crs=UTM)
    fine = shapely.segmentize(wide, 0.001)
    moved = geopandas.GeoSeries([fine], crs="EPSG:4326").to_crs(UTM)[0]
    expected = burned([(moved, 3)], 255, grid)
    assert 0 < (expected == 3).mean() < 1
    assert Labels.open(path, NO_BACKGROUND).mask(grid).tolist() == expected.tolist()
    chord = geopandas.GeoSeries([wide], crs="EPSG:4326").to_crs(UTM)[0]
    assert (burned([(chord, 3)], 255, grid) != expected).any()


def test_polygons_that_leave_the_crs_are_cut(tmp_path):
    """A polygon around the world has no place in UTM, but its part near the scene has."""
    world = shapely.box(-180, -90, 180, 90)
    path = write_polygons(tmp_path / "a.gpkg", [world, shapely.box(9, 45, 9.0003, 46)], "EPSG:4326")
    labels = Labels.open(path, Legend.from_dict({"classes": [{"value": 5, "name": "land"}]}))
    assert (labels.mask(GRID) == 5).all()
    assert labels.touches(GRID)


def test_later_polygons_win(tmp_path):
    path = write_polygons(tmp_path / "a.gpkg", [POND, BUILDING, POND], kind=["yes", "yes", "water"])
    labels = Labels.open(path, LEGEND, LabelOptions(field="kind"))
    assert labels.mask(GRID).tolist() == burned([(BUILDING, 1), (POND, 2)]).tolist()


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["house", "water"], (1, 2)),
        (["building", "2"], (1, 2)),
        ([7, 2], (1, 2)),
        ([7.0, 2.0], (1, 2)),
    ],
    ids=["from and name", "name and value", "numbers", "floats"],
)
def test_attribute_values(values, classes, tmp_path):
    path = write_polygons(tmp_path / "a.gpkg", [BUILDING, POND], kind=values)
    mask = Labels.open(path, LEGEND, LabelOptions(field="kind")).mask(GRID)
    assert mask.tolist() == burned([(BUILDING, classes[0]), (POND, classes[1])]).tolist()


def test_unknown_values_are_listed_with_counts(tmp_path):
    kinds = ["shed", None, "shed", "water", "1"]
    path = write_polygons(tmp_path / "a.gpkg", [POND] * 5, kind=kinds)
    with pytest.raises(LabelError) as caught:
        Labels.open(path, LEGEND, LabelOptions(field="kind"))
    text = str(caught.value)
    # The class of value 1 has a `from`, so its number alone means nothing.
    assert "shed (2 features), 1 (1 features), null (1 features)" in text
    assert '"null" stands for features without a value' in text


def test_null_can_be_mapped(tmp_path):
    path = write_polygons(tmp_path / "a.gpkg", [POND, POND], number=[None, 3.0])
    legend = Legend.from_dict({"classes": [{"value": 4, "name": "any", "from": ["null", 3]}]})
    labels = Labels.open(path, legend, LabelOptions(field="number"))
    assert set(np.unique(labels.mask(GRID))) == {4, 255}


def test_several_classes_need_a_field(polygons):
    with pytest.raises(LabelError, match=r"background, building, water.*--label-field"):
        Labels.open(polygons, LEGEND)
    with pytest.raises(LabelError, match=r'no field "sort".*Its fields are: kind'):
        Labels.open(polygons, LEGEND, LabelOptions(field="sort"))


def test_legends_made_of_the_file(polygons):
    named = Labels.open(polygons, None)
    assert named.legend.names == ("background", "a")
    assert set(np.unique(named.mask(GRID))) == {0, 1}
    classed = Labels.open(polygons, None, LabelOptions(field="kind"))
    assert classed.legend.names == ("background", "house", "water")
    assert classed.mask(GRID).tolist() == burned([(BUILDING, 1), (POND, 2)]).tolist()


def test_ground_without_background_is_ignore(polygons):
    mask = Labels.open(polygons, NO_BACKGROUND).mask(GRID)
    assert mask.tolist() == burned([(BUILDING, 3), (POND, 3)], 255).tolist()


def test_polygons_of_background_make_the_rest_unknown(tmp_path, caplog):
    path = write_polygons(tmp_path / "a.gpkg", [BUILDING, POND], kind=["background", "water"])
    with caplog.at_level(logging.INFO):
        mask = Labels.open(path, LEGEND, LabelOptions(field="kind")).mask(GRID)
    assert mask.tolist() == burned([(BUILDING, 0), (POND, 2)], 255).tolist()
    assert "taken as unknown" in caplog.text


def test_outside_of_the_extent_is_ignore(polygons, tmp_path):
    extent = shapely.box(499000, 4999978, 500040, 5000000)
    moved = geopandas.GeoSeries([extent], crs=UTM).to_crs(4326)
    path = write_polygons(tmp_path / "extent.gpkg", moved, "EPSG:4326")
    labels = Labels.open(polygons, LEGEND, LabelOptions(field="kind", extent=path))
    expected = burned([(BUILDING, 1), (POND, 2)])
    expected[burned([(extent, 1)]) == 0] = 255
    assert labels.mask(GRID).tolist() == expected.tolist()
    assert labels.touches(GRID)
    assert not labels.touches(GRID.crop(rasterio.windows.Window(0, 30, 5, 5)))


def test_points_and_lines_need_a_buffer(tmp_path):
    line = shapely.LineString([(500005, 4999970), (500045, 4999990)])
    path = write_polygons(tmp_path / "a.gpkg", [line, shapely.Point(500010, 4999990)])
    with pytest.raises(LabelError, match=r"2 features are points or lines.*--label-buffer METRES"):
        Labels.open(path, NO_BACKGROUND)
    with pytest.raises(LabelError, match="not above 0"):
        Labels.open(path, NO_BACKGROUND, LabelOptions(buffer=0))
    mask = Labels.open(path, NO_BACKGROUND, LabelOptions(buffer=4)).mask(GRID)
    shapes = [(line.buffer(4), 3), (shapely.Point(500010, 4999990).buffer(4), 3)]
    assert mask.tolist() == burned(shapes, 255).tolist()


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_buffer_is_in_metres_of_the_ground(crs, tmp_path):
    """At 60 degrees a metre is two units of Mercator, and degrees differ by direction."""
    point = geopandas.GeoSeries([shapely.Point(500000, 6651411)], crs=UTM).to_crs(crs)
    path = write_polygons(tmp_path / "a.gpkg", point, crs)
    transform = Affine(1, 0, 499900, 0, -1, 6651511)
    grid = Grid(height=200, width=200, transform=transform, crs=UTM)
    mask = Labels.open(path, NO_BACKGROUND, LabelOptions(buffer=50)).mask(grid)
    covered = np.argwhere(mask == 3)
    assert np.ptp(covered, axis=0) == pytest.approx([99, 99], abs=1)
    assert len(covered) == pytest.approx(np.pi * 50**2, rel=0.01)


def test_invalid_and_empty_are_counted(tmp_path, caplog):
    bow_tie = shapely.Polygon(
        [(500005, 4999965), (500025, 4999985), (500025, 4999965), (500005, 4999985)]
    )
    path = write_polygons(tmp_path / "a.gpkg", [bow_tie, None, shapely.Polygon()])
    with caplog.at_level(logging.INFO):
        mask = Labels.open(path, NO_BACKGROUND).mask(GRID)
    assert "1 invalid polygons repaired, 2 features without a geometry skipped" in caplog.text
    assert (mask == 3).sum() == pytest.approx(200, abs=20)
    empty = write_polygons(tmp_path / "b.gpkg", [None, None])
    with pytest.raises(LabelError, match="has no polygons"):
        Labels.open(empty, NO_BACKGROUND)


def test_far_labels_do_not_touch(tmp_path):
    path = write_polygons(tmp_path / "a.gpkg", [shapely.box(0, 0, 1, 1)])
    assert not Labels.open(path, NO_BACKGROUND).touches(GRID)
    raster = write_raster(tmp_path / "a.tif", np.ones((3, 3), np.uint8), Affine(1, 0, 9, 0, -1, 9))
    labels = Labels.open(raster, None)
    assert not labels.touches(GRID)
    assert (labels.mask(GRID) == 255).all()


def test_without_crs(tmp_path):
    plain = Grid(height=4, width=4, transform=Affine.identity(), crs=None)
    path = write_polygons(tmp_path / "a.shp", [shapely.box(1, 1, 3, 2)], None)
    labels = Labels.open(path, NO_BACKGROUND)
    with pytest.raises(LabelError, match=r"has no CRS.*--assume-crs"):
        labels.mask(GRID)
    assert labels.mask(plain)[1].tolist() == [255, 3, 3, 255]
    assumed = Labels.open(path, NO_BACKGROUND, LabelOptions(assume_crs="EPSG:32632"))
    assert not assumed.touches(GRID)
    with pytest.raises(LabelError, match="the scene has none"):
        assumed.mask(plain)
    with pytest.raises(GeosegError, match="is no CRS"):
        Labels.open(path, NO_BACKGROUND, LabelOptions(assume_crs="EPSG:0"))


def test_threads_and_copies_agree(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 10_000)) * 4_000
    boxes = shapely.box(500000 + x, 4980000 + y, 500015 + x, 4980010 + y)
    path = str(tmp_path / "a.fgb")
    geopandas.GeoDataFrame(geometry=boxes, crs=UTM).to_file(path)
    labels = Labels.open(path, NO_BACKGROUND)
    transform = Affine(0.5, 0, 501000, 0, -0.5, 4982000)
    grids = [
        Grid(height=512, width=512, transform=transform @ Affine.translation(i * 99, 0), crs=UTM)
        for i in range(20)
    ]
    serial = [labels.mask(grid) for grid in grids]
    assert all((mask == 3).any() for mask in serial)
    fresh = pickle.loads(pickle.dumps(labels))
    with ThreadPoolExecutor(4) as pool:
        assert all(
            np.array_equal(a, b) for a, b in zip(serial, pool.map(fresh.mask, grids), strict=True)
        )


# Rasters


def test_raster_on_the_same_grid(tmp_path, caplog):
    data = np.array([[0, 7, 2], [2, 0, 255]], np.uint8)
    path = write_raster(tmp_path / "a.tif", data)
    labels = Labels.open(path, LEGEND)
    with caplog.at_level(logging.INFO):
        mask = labels.mask(GRID)
    assert mask[:2, :3].tolist() == [[0, 1, 2], [2, 0, 255]]
    assert (mask == 255).sum() == GRID.height * GRID.width - 5
    assert "another grid" not in caplog.text
    assert pickle.loads(pickle.dumps(labels)).mask(GRID).tolist() == mask.tolist()


def test_raster_on_another_grid_says_so_once(tmp_path, caplog):
    data = np.repeat(np.repeat(np.array([[0, 7], [2, 9]], np.uint8), 20, 0), 25, 1)
    path = write_raster(tmp_path / "a.tif", data[::2, ::2], HOME @ Affine.scale(2), nodata=9)
    labels = Labels.open(path, LEGEND)
    with caplog.at_level(logging.INFO):
        mask = labels.mask(GRID)
        labels.mask(GRID)
    assert caplog.text.count("lies on another grid") == 1
    expected = np.kron(np.where(data == 7, 1, np.where(data == 9, 255, data))[::2, ::2], [[1, 1]])
    assert mask.tolist() == np.repeat(expected, 2, 0)[:, :50].tolist()


def test_raster_values_outside_the_legend(tmp_path):
    data = np.zeros((40, 50), np.int32)
    data[3, 4:9] = -5
    data[30, 1] = 70000
    path = write_raster(tmp_path / "a.tif", data)
    labels = Labels.open(path, LEGEND)
    expected = r"values that are not in the legend: -5 \(5 pixels\), 70000 \(1 pixels\)"
    with pytest.raises(LabelError, match=expected):
        labels.mask(GRID)
    with pytest.raises(LabelError, match=expected):
        labels.check()


def test_raster_legends(tmp_path):
    data = np.array([[0, 4], [9, 255]], np.uint8)
    assert Labels.open(write_raster(tmp_path / "a.tif", data), None).legend.values == (0, 4, 9)
    colors = {0: (0, 0, 0, 255), 4: (1, 2, 3, 255), 9: (9, 9, 9, 255)}
    path = write_raster(tmp_path / "b.tif", data, nodata=255, colormap=colors)
    labels = Labels.open(path, None)
    assert labels.legend.class_of(4).color == "#010203"
    assert labels.mask(GRID)[:2, :2].tolist() == data.tolist()


def test_palette_with_the_colours_of_the_legend(tmp_path, caplog):
    """Indices that contradict the legend's values give way to colours that agree."""
    data = np.array([[0, 1], [2, 1]], np.uint8)
    swapped = {0: (0, 0, 255, 255), 1: (0, 0, 0, 255), 2: (255, 0, 0, 255)}
    legend = Legend.from_dict(
        {"classes": [{"value": c.value, "name": c.name, "color": c.color} for c in LEGEND.classes]}
    )
    path = write_raster(tmp_path / "a.tif", data, colormap=swapped)
    with caplog.at_level(logging.INFO):
        labels = Labels.open(path, legend)
    assert "its palette has the legend's colours" in caplog.text
    assert labels.mask(GRID)[:2, :2].tolist() == [[2, 0], [1, 0]]
    by_number = Labels.open(path, legend_with_numbers(legend))
    assert by_number.mask(GRID)[:2, :2].tolist() == [[0, 1], [2, 1]]
    odd = write_raster(tmp_path / "b.tif", data, colormap={1: (5, 5, 5, 255), 2: (6, 6, 6, 255)})
    assert Labels.open(odd, legend).mask(GRID)[:2, :2].tolist() == data.tolist()


def legend_with_numbers(legend):
    content = legend.to_dict()
    content["classes"][2]["from"] = [2]
    return Legend.from_dict(content)


def test_coloured_labels(tmp_path):
    colors = np.array([[(0, 0, 0), (255, 0, 0)], [(0, 0, 255), (255, 0, 0)]], np.uint8)
    path = write_raster(tmp_path / "a.tif", colors.transpose(2, 0, 1))
    assert Labels.open(path, LEGEND).mask(GRID)[:2, :2].tolist() == [[0, 1], [2, 1]]
    with pytest.raises(LegendError, match=r"#ff0000 \(2 pixels\), #000000 \(1 pixels\), #0000ff"):
        Labels.open(path, None)
    colors[0, 0] = (1, 2, 3)
    path = write_raster(tmp_path / "b.tif", colors.transpose(2, 0, 1))
    with pytest.raises(LabelError, match=r"colours that are not in the legend: #010203 \(1 pixel"):
        Labels.open(path, LEGEND).mask(GRID)
    content = LEGEND.to_dict()
    content["classes"][2]["from"] = ["#010203"]
    assert Labels.open(path, Legend.from_dict(content)).mask(GRID)[0, 0] == 2
    content["classes"][2]["color"] = "#ff0000"
    with pytest.raises(LegendError, match="the colour of two classes"):
        Labels.open(path, Legend.from_dict(content))


def test_plain_images(tmp_path, caplog):
    plain = Grid(height=3, width=2, transform=Affine.identity(), crs=None)
    path = write_raster(tmp_path / "a.png", np.array([[0, 2], [2, 7]], np.uint8), driver="PNG")
    labels = Labels.open(path, LEGEND)
    assert labels.mask(plain).tolist() == [[0, 2], [2, 1], [255, 255]]
    assert labels.touches(plain)
    assert "has 2 x 2 pixels, the scene 3 x 2" in caplog.text
    with pytest.raises(LabelError, match="has no CRS, but the scene has one"):
        labels.touches(GRID)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((2, 4, 4), np.uint8), "has 2 bands of uint8"),
        (np.zeros((3, 4, 4), np.uint16), "has 3 bands of uint16"),
        (np.full((4, 4), 0.5, np.float32), "holds fractions"),
    ],
)
def test_rasters_that_are_no_labels(data, message, tmp_path):
    path = write_raster(tmp_path / "a.tif", data)
    with pytest.raises(LabelError, match=message):
        Labels.open(path, LEGEND).mask(GRID)


@pytest.mark.parametrize("name", ["a.tif", "a.gpkg", "a.geojson", "a.png"])
@pytest.mark.parametrize("content", [None, b"", b"no labels at all"])
def test_unreadable_files(name, content, tmp_path):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LabelError) as caught:
        Labels.open(path, LEGEND)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# Finding


def test_find_labels(tmp_path):
    scenes = []
    for name in ("a", "b.c"):
        (tmp_path / "masks").mkdir(exist_ok=True)
        (tmp_path / "masks" / f"{name}.png").touch()
        (tmp_path / "masks" / f"{name}.txt").touch()
        (tmp_path / f"{name}.tif").touch()
        scenes.append(str(tmp_path / f"{name}.tif"))
    folder = str(tmp_path / "masks")
    expected = [f"{folder}/a.png", f"{folder}/b.c.png"]
    assert find_labels(folder, scenes) == expected
    assert find_labels(f"{folder}/{{stem}}.png", scenes) == expected
    assert find_labels(expected[0], scenes) == [expected[0]] * 2
    with pytest.raises(LabelError, match=rf"{scenes[0]}: has no labels.*a_x.png does not exist"):
        find_labels(f"{folder}/{{stem}}_x.png", scenes)
    with pytest.raises(LabelError, match=rf"{scenes[0]}: has no labels: no a\.\* in"):
        find_labels(str(tmp_path), scenes)
    with pytest.raises(LabelError, match="does not exist"):
        find_labels(str(tmp_path / "none.gpkg"), scenes)
    (tmp_path / "masks" / "a.gpkg").touch()
    with pytest.raises(LabelError, match=r"several label files in .*: a\.gpkg, a\.png"):
        find_labels(folder, scenes)
