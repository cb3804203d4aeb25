import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from geoseg.errors import SceneError
from geoseg.geo.raster import Scene
from geoseg.geo.scene_images import SceneImage, find_images

UTM = {"crs": "EPSG:32632", "transform": Affine(2, 0, 500000, 0, -2, 5400000)}


@pytest.fixture
def maps(tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "scenes").mkdir()
    for name in ("maps/a.tif", "maps/b.tif", "scenes/a.tif", "scenes/b.jp2", "scenes/x_b.tif"):
        (tmp_path / name).touch()
    return [str(tmp_path / "maps" / name) for name in ("a.tif", "b.tif")]


def test_folders_are_searched_by_name_then_by_stem(maps, tmp_path):
    found = find_images(str(tmp_path / "scenes"), maps)
    assert found == [str(tmp_path / "scenes" / name) for name in ("a.tif", "b.jp2")]


def test_patterns_and_single_files(maps, tmp_path):
    assert find_images(str(tmp_path / "scenes" / "x_{stem}.tif"), maps[1:]) == [
        str(tmp_path / "scenes" / "x_b.tif")
    ]
    mosaic = str(tmp_path / "scenes" / "a.tif")
    assert find_images(mosaic, maps) == [mosaic, mosaic]


def test_a_map_is_no_image_of_itself(maps, tmp_path):
    with pytest.raises(SceneError, match=r"a\.tif: has no image: no a\.\* in"):
        find_images(str(tmp_path / "maps"), maps)


def test_missing_images_are_told(maps, tmp_path):
    with pytest.raises(SceneError, match=r"has no image: .*q_a\.tif does not exist"):
        find_images(str(tmp_path / "q_{stem}.tif"), maps)


def test_pixels_of_the_same_grid_are_read_as_they_are(make_scene):
    path = make_scene((3, 12, 15), "a.tif", dtype="uint16", **UTM)
    image = SceneImage.open(str(path), Scene.open(path).grid)
    with rasterio.open(path) as dataset:
        expected = dataset.read(window=Window(4, 3, 6, 5))
    assert (image.read(Window(4, 3, 6, 5)).data == expected).all()


def test_another_grid_is_brought_onto_that_of_the_map(make_scene):
    """An image of half the pixel size: each pixel of the map lies on four equal ones."""
    data = np.random.default_rng(0).integers(1, 200, (1, 10, 12), np.uint8)
    fine = data.repeat(2, axis=1).repeat(2, axis=2)
    transform = Affine(1, 0, 500000, 0, -1, 5400000)
    path = make_scene(fine, "fine.tif", crs="EPSG:32632", transform=transform)
    grid = Scene.open(make_scene(data, "map.tif", **UTM)).grid
    raster = SceneImage.open(str(path), grid).read(Window(3, 2, 5, 6))
    assert (raster.data == data[:, 2:8, 3:8]).all()


def test_plain_images_must_have_the_pixels_of_the_map(make_scene):
    plain = {"crs": None, "transform": Affine.identity(), "driver": "PNG"}
    grid = Scene.open(make_scene((1, 8, 9), "map.png", **plain)).grid
    right = SceneImage.open(str(make_scene((3, 8, 9), "right.png", **plain)), grid)
    assert right.read(Window(0, 0, 9, 8)).data.shape == (3, 8, 9)
    with pytest.raises(SceneError, match="has 7 x 8 pixels, the map 9 x 8"):
        SceneImage.open(str(make_scene((3, 8, 7), "wrong.png", **plain)), grid)


def test_red_green_blue_are_natural(make_scene):
    named = make_scene((3, 8, 9), "rgb.tif", names=("red", "green", "blue"), **UTM)
    bare = make_scene((3, 8, 9), "bare.tif", names=("nir", "red", "green"), **UTM)
    grid = Scene.open(bare).grid
    found = [SceneImage.open(str(path), grid).is_natural for path in (named, bare)]
    assert found == [True, False]
