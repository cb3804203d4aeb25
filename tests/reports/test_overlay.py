import numpy as np
import pytest
from affine import Affine

from geoseg.errors import SceneError
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene
from geoseg.reports.overlay import class_colors, overlay, read_classes_onto

LEGEND = Legend.of_values(
    [0, 1, 2],
    {0: "background", 1: "roof", 2: "tree"},
    {0: (9, 9, 9), 1: (200, 0, 0), 2: (0, 100, 0)},
)
UTM = {"crs": "EPSG:32632", "transform": Affine(2, 0, 500000, 0, -2, 5400000)}
VALUES = np.uint8([[0, 1, 2], [1, 255, 0]])


@pytest.fixture
def classes(make_scene):
    return str(make_scene(VALUES[None], "classes.tif", nodata=255, **UTM))


@pytest.fixture
def scene(make_scene):
    return Scene.open(make_scene((3, 2, 3), "scene.tif", **UTM))


def test_colours_are_mixed_by_the_opacity(classes, scene):
    raster = read_classes_onto(classes, scene, scene.grid)
    below = np.full((2, 3, 4), (100, 40, 60, 255), np.uint8)
    below[1, 0] = 0  # no data: the class alone shows
    found = overlay(below, raster, LEGEND, 0.25)
    mixed = {1: (125, 30, 45, 255), 2: (75, 55, 45, 255)}
    assert found[0, 0].tolist() == found[1, 1].tolist() == [100, 40, 60, 255]
    assert found[0, 1].tolist() == list(mixed[1])
    assert found[0, 2].tolist() == list(mixed[2])
    assert found[1, 0].tolist() == [200, 0, 0, 64]


@pytest.mark.parametrize(("opacity", "expected"), [(0, (7, 7, 7, 255)), (1, (200, 0, 0, 255))])
def test_nothing_or_nothing_else_is_seen(classes, scene, opacity, expected):
    raster = read_classes_onto(classes, scene, scene.grid)
    found = overlay(np.full((2, 3, 4), (7, 7, 7, 255), np.uint8), raster, LEGEND, opacity)
    assert tuple(found[0, 1].tolist()) == expected


def test_colors_of_classes_leave_no_data_open(classes, scene):
    found = class_colors(read_classes_onto(classes, scene, scene.grid), LEGEND)
    assert found[1, 1, 3] == 0 and found[0, 0].tolist() == [9, 9, 9, 255]


def test_another_crs_is_brought_onto_the_scene(make_scene):
    """Classes in Web Mercator below a scene in UTM: their middles mean the same place."""
    degrees = {"crs": "EPSG:4326", "transform": Affine(0.001, 0, 9, 0, -0.001, 49)}
    values = np.ones((1, 40, 40), np.uint8)
    values[:, :, 20:] = 2
    classes = str(make_scene(values, "degrees.tif", nodata=255, **degrees))
    place = Affine(20, 0, 500000, 0, -20, 5427700)
    scene = Scene.open(make_scene((1, 100, 100), "utm.tif", crs="EPSG:32632", transform=place))
    found = read_classes_onto(classes, scene, scene.grid).data[0]
    # 9.02 degrees east on the central meridian's eastern side: 0.02 x 73.1 km = 1462 m.
    assert {found[50, 70], found[50, 76]} == {1, 2} and found[50, 70] == 1


def test_classes_elsewhere_or_without_a_place_are_refused(make_scene, scene):
    away = {"crs": "EPSG:32632", "transform": Affine(2, 0, 900000, 0, -2, 5400000)}
    path = str(make_scene(VALUES[None], "away.tif", nodata=255, **away))
    with pytest.raises(SceneError, match="tells nothing of"):
        read_classes_onto(path, scene, scene.grid)
    plain = {"crs": None, "transform": Affine.identity(), "driver": "PNG"}
    path = str(make_scene(np.ones((1, 9, 9), np.uint8), "plain.png", **plain))
    with pytest.raises(SceneError, match="has 9 x 9 pixels"):
        read_classes_onto(path, scene, scene.grid)
