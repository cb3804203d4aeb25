"""The area of interest over several scenes."""

import logging

import geopandas
import numpy as np
import pytest
from affine import Affine
from shapely import box

from geoseg.engine.area import hide_outside
from geoseg.errors import LabelError
from geoseg.geo.raster import Scene

EAST = Affine(2, 0, 600_000, 0, -2, 5_400_000)


@pytest.fixture
def area(tmp_path):
    """The left 5 columns of the scene that is not in the east."""
    frame = geopandas.GeoDataFrame(geometry=[box(5e5, 53e5, 500_010, 55e5)], crs="EPSG:32632")
    frame.to_file(tmp_path / "area.gpkg")
    return tmp_path / "area.gpkg"


def test_hides_what_lies_outside(make_scene, area):
    scene = Scene.open(make_scene(mask=np.arange(20) % 2 == np.zeros((16, 1))))
    (hide,) = hide_outside(area, [scene])
    expected = (np.arange(20) % 2 == 0) & (np.arange(20) < 5)
    np.testing.assert_array_equal(hide(scene.read()), np.tile(expected, (16, 1)))


def test_without_an_area_all_stays(make_scene):
    scene = Scene.open(make_scene())
    (hide,) = hide_outside(None, [scene])
    assert hide(scene.read()).all()


def test_a_scene_beside_the_area_is_warned_about(make_scene, area, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("geoseg"), "propagate", True)
    scenes = [Scene.open(make_scene()), Scene.open(make_scene(name="b.tif", transform=EAST))]
    hides = hide_outside(area, scenes)
    assert [hide(scene.read()).sum() for hide, scene in zip(hides, scenes, strict=True)] == [80, 0]
    assert "b.tif: lies outside of" in caplog.text


def test_an_area_beside_all_scenes_is_refused(make_scene, area):
    scene = Scene.open(make_scene(transform=EAST))
    with pytest.raises(LabelError, match=r"area\.gpkg: does not touch .*scene\.tif"):
        hide_outside(area, [scene])
