"""A mosaic shows what its rasters hold, where they lie, in the colours of the legend."""

import shutil
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from geoseg.errors import OutputError, SceneError
from geoseg.geo.cog import RasterProfile, RasterWriter
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.mosaic_vrt import place, write_mosaic
from geoseg.geo.raster import Scene
from geoseg.geo.style import raster_attribute_xml, raster_colormap
from geoseg.geo.vrt import check_vrt

LEGEND = Legend.from_dict(
    {
        "classes": [
            {"value": 0, "name": "background", "color": "#000000"},
            {"value": 1, "name": 'tile & "slate" <roof>', "color": "#dc1e1e"},
            {"value": 5, "name": "Straße", "color": "#00ff7f"},
        ]
    }
)
UPRIGHT = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
TURNED = Affine(0.4, 0.3, 500_000, 0.3, -0.4, 5_400_000)
SOUTH_UP = Affine(0.1, 0, 7, 0, 0.1, 50)


def write(path, values, transform, crs="EPSG:32632", legend=LEGEND, dtype="uint8", **tags):
    grid = Grid(
        height=values.shape[0],
        width=values.shape[1],
        transform=transform,
        crs=None if crs is None else CRS.from_user_input(crs),
    )
    profile = RasterProfile(
        grid=grid,
        dtype=dtype,
        nodata=float(np.iinfo(dtype).max),
        colormap=raster_colormap(legend) if dtype == "uint8" else None,
        band_names=("class",),
        tags=tags,
    )
    path.parent.mkdir(exist_ok=True)
    with RasterWriter(path, profile) as writer:
        writer.write(values[None].astype(dtype), grid.window)
        writer.sidecars[".aux.xml"] = raster_attribute_xml(legend)
    return path


@pytest.mark.parametrize(
    ("transform", "crs"),
    [(UPRIGHT, "EPSG:32632"), (TURNED, "EPSG:3035"), (SOUTH_UP, "EPSG:4326")],
    ids=["upright", "turned", "south-up"],
)
def test_later_rasters_lie_above_earlier_ones(tmp_path, transform, crs):
    rng = np.random.default_rng(7)
    places = [(0, 0), (13, -21), (-8, 30), (5, 5)]
    expected = np.full((200, 200), 255)
    paths = []
    for number, (col, row) in enumerate(places):
        shape = rng.integers(20, 60, 2)
        values = rng.choice([0, 1, 5, 255], shape)
        path = tmp_path / "maps" / f"{number} & co.tif"
        paths.append(write(path, values, transform @ Affine.translation(col, row), crs))
        seen = expected[row + 60 :, col + 60 :][: shape[0], : shape[1]]
        seen[values != 255] = values[values != 255]
    target = tmp_path / "all.vrt"
    grid = write_mosaic(target, paths, LEGEND)
    with rasterio.open(target) as dataset:
        corner = ~transform @ (dataset.transform @ (0, 0))
        left, top = round(corner[0]), round(corner[1])
        assert (left, top) == (-8, -21)
        found = dataset.read(1)
        part = expected[top + 60 :, left + 60 :]
        np.testing.assert_array_equal(found, part[: found.shape[0], : found.shape[1]])
        rest = part.copy()
        rest[: found.shape[0], : found.shape[1]] = 255
        assert (rest == 255).all()
        assert (dataset.shape, dataset.crs) == (grid.shape, CRS.from_user_input(crs))


@pytest.fixture
def pair(tmp_path):
    """Two neighbours in a folder."""
    values = np.repeat([[0, 1, 5, 255]], 600, axis=0).repeat(150, axis=1)
    tags = {"GEOSEG_MODEL": "roofs", "TIFFTAG_SOFTWARE": "geoseg 9"}
    west = write(tmp_path / "maps" / "west.tif", values, UPRIGHT, GEOSEG_SCENE="w.tif", **tags)
    beside = UPRIGHT @ Affine.translation(600, 0)
    east = write(tmp_path / "maps" / "east.tif", values, beside, GEOSEG_SCENE="e.tif", **tags)
    return [west, east]


def test_the_mosaic_describes_itself(tmp_path, pair):
    target = tmp_path / "all.vrt"
    write_mosaic(target, pair, LEGEND)
    with rasterio.open(target) as dataset:
        assert (dataset.nodata, dataset.dtypes, dataset.descriptions) == (
            255,
            ("uint8",),
            ("class",),
        )
        assert dataset.colorinterp[0].name == "palette"
        colors = dataset.colormap(1)
        assert [colors[value] for value in (1, 5)] == [(220, 30, 30, 255), (0, 255, 127, 255)]
        tags = dataset.tags()
        assert (tags["GEOSEG_MODEL"], tags["GEOSEG_SCENES"]) == ("roofs", "2")
        assert "GEOSEG_SCENE" not in tags
        assert not any(key.startswith("STATISTICS") for key in tags)
    names = [node.text or "" for node in ET.parse(target).iter("Category")]
    assert names == ["background", 'tile & "slate" <roof>', "", "", "", "Straße"]
    style = Legend.open(target.with_suffix(".qml"))
    assert [entry.name for entry in style.classes] == [entry.name for entry in LEGEND.classes]
    found = Legend.open(target)
    assert [(c.value, c.name, c.color) for c in found.classes] == [
        (c.value, c.name, c.color) for c in LEGEND.classes
    ]


def test_it_may_move_with_its_folder_and_is_a_scene_that_geoseg_trusts(tmp_path, pair):
    write_mosaic(tmp_path / "all.vrt", pair, LEGEND)
    (tmp_path / "elsewhere").mkdir()
    for name in ("all.vrt", "maps"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere")
    moved = tmp_path / "elsewhere" / "all.vrt"
    check_vrt(moved)
    scene = Scene.open(str(moved))
    assert scene.grid.shape == (600, 1200)
    values = scene.read(Window(590, 0, 20, 1)).data
    assert values[0, 0].tolist()[10:] == [0] * 10


def test_smaller_views_are_made_of_the_overviews_by_majority(tmp_path, pair):
    write_mosaic(tmp_path / "all.vrt", pair, LEGEND)
    with rasterio.open(tmp_path / "all.vrt") as dataset:
        small = dataset.read(1, out_shape=(75, 150))
    assert set(np.unique(small)) <= {0, 1, 5, 255}
    with rasterio.open(pair[0]) as source:
        assert source.overviews(1)
        own = source.read(1, out_shape=(75, 75))
    np.testing.assert_array_equal(small[:, :75], own)


def test_many_classes_have_no_colour_table(tmp_path):
    legend = Legend.of_values([0, 3, 300])
    values = np.array([[0, 3], [300, 65535]])
    path = write(tmp_path / "a.tif", values, UPRIGHT, legend=legend, dtype="uint16")
    write_mosaic(tmp_path / "all.vrt", [path], legend)
    with rasterio.open(tmp_path / "all.vrt") as dataset:
        assert (dataset.dtypes, dataset.nodata) == (("uint16",), 65535)
        assert dataset.read(1).tolist() == values.tolist()
        with pytest.raises(ValueError, match="NULL color table"):
            dataset.colormap(1)
    assert "<F>300</F>" in (tmp_path / "all.vrt").read_text()


MISFITS = {
    "half a pixel": (
        UPRIGHT @ Affine.translation(10.5, 3),
        "EPSG:32632",
        r"b.tif: lies [+-]0\.5 columns and \+0 rows off the pixels of .*a\.tif",
    ),
    "larger pixels": (
        Affine(0.6, 0, 500_000, 0, -0.6, 5_400_000),
        "EPSG:32632",
        r"b.tif: has pixels of 0\.6 x -0\.6, those of .*a\.tif are 0\.5 x -0\.5",
    ),
    "turned": (TURNED, "EPSG:32632", r"b.tif: has pixels of 0\.4 x -0\.4, turned by 0\.3, 0\.3"),
    "another CRS": (UPRIGHT, "EPSG:32633", r"b.tif: is in EPSG:32633, .*a\.tif in EPSG:32632"),
    "no CRS": (UPRIGHT, None, r"b.tif: has no CRS"),
    "the other end of the world": (
        UPRIGHT @ Affine.translation(3e9, 0),
        "EPSG:32632",
        r"b.tif: would make a mosaic of \d+ x 3\d{9} pixels",
    ),
}


@pytest.mark.parametrize(("transform", "crs", "told"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_is_refused_with_the_numbers(tmp_path, transform, crs, told):
    values = np.ones((9, 12))
    first = write(tmp_path / "a.tif", values, UPRIGHT)
    second = write(tmp_path / "b.tif", values, transform, crs)
    with pytest.raises(SceneError, match=told):
        write_mosaic(tmp_path / "all.vrt", [first, second], LEGEND)
    assert not (tmp_path / "all.vrt").exists()
    assert not (tmp_path / "all.qml").exists()


def test_rounded_transforms_share_their_pixels():
    """0.1 degrees are told in decimals: thousands of columns away they differ a little."""
    crs = CRS.from_epsg(4326)
    first = Grid(height=5, width=5, transform=Affine(0.1, 0, 0, 0, -0.1, 50), crs=crs)
    far = Affine(0.1 + 1e-9, 0, 300.0000001, 0, -0.1, 50)
    grid, placed = place([("a", first), ("b", Grid(height=5, width=9, transform=far, crs=crs))])
    assert (placed[1].col, placed[1].row, grid.shape) == (3000, 0, (5, 3009))


def test_other_kinds_of_rasters_are_refused(tmp_path):
    values = np.ones((4, 4))
    first = write(tmp_path / "a.tif", values, UPRIGHT)
    wide = write(tmp_path / "w.tif", values, UPRIGHT, dtype="uint16")
    with pytest.raises(SceneError, match=r"w.tif: is uint16 with nodata 65535.0, .*a.tif is uint8"):
        write_mosaic(tmp_path / "all.vrt", [first, wide], LEGEND)
    broken = tmp_path / "broken.tif"
    broken.write_text("no raster")
    with pytest.raises(SceneError, match=r"broken.tif: cannot be read"):
        write_mosaic(tmp_path / "all.vrt", [first, broken], LEGEND)
    with pytest.raises(OutputError, match=r'all.tif: a mosaic cannot be written as ".tif"'):
        write_mosaic(tmp_path / "all.tif", [first], LEGEND)


def test_overviews_of_an_older_mosaic_do_not_stay(tmp_path, pair):
    for suffix in (".ovr", ".aux.xml"):
        (tmp_path / f"all.vrt{suffix}").write_text("stale")
    write_mosaic(tmp_path / "all.vrt", pair, LEGEND, overwrite=True)
    assert sorted(path.name for path in tmp_path.glob("all*")) == ["all.qml", "all.vrt"]
