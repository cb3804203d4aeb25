"""Alpha that is asked for by its number: the fourth of four bytes is often infrared."""

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from geoseg.errors import SceneError
from geoseg.geo.alpha import names_alpha
from geoseg.geo.dataset_check import open_image
from geoseg.geo.dataset_tables import ImageTable
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.tile import TileOptions, tile

RGBA = ("red", "green", "blue", "alpha")
RGBN = ImageTable(bands=("red", "green", "blue", "nir"))
DATA = np.random.default_rng(0).integers(0, 255, (4, 32, 48)).astype(np.uint8)
DATA[3, :16] = 0


@pytest.fixture
def path(make_scene):
    return make_scene(DATA, colors=RGBA)


@pytest.mark.parametrize(
    ("bands", "named"),
    [
        (None, False),
        ((1, 2, 3), False),
        (("red", "alpha"), False),
        ((4,), True),
        (("1", " 4 "), True),
        ((1, 14), False),
    ],
)
def test_only_its_number_makes_alpha_a_band(path, bands, named):
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp[3] == ColorInterp.alpha
        assert names_alpha(dataset, bands) == named


def test_a_picture_is_read_with_its_alpha(make_scene):
    picture = make_scene(DATA, "a.png", driver="PNG", crs=None, transform=None)
    scene = Scene.open(picture, SceneOptions(bands=(1, 2, 3, 4)))
    assert scene.grid.crs is None
    raster = scene.read(Window(5, 10, 20, 12))
    assert np.array_equal(raster.data, DATA[:, 10:22, 5:25])
    assert raster.valid.all()


def test_images_of_data_sets_take_it_by_number(path):
    numbered = RGBN.model_copy(update={"numbers": (1, 2, 3, 4)})
    assert np.array_equal(open_image(str(path), numbered).read().data, DATA)
    assert open_image(str(path), numbered).band_names == RGBN.bands
    with pytest.raises(SceneError) as caught:
        open_image(str(path), RGBN)
    assert "has 3 bands, 4 are expected (red, green, blue, nir)" in str(caught.value)
    assert str(caught.value).endswith(
        "Band 4 is marked as alpha; if it is data, say numbers = [1, 2, 3, 4] in [images]."
    )


def test_tiles_hold_it(path, make_scene, tmp_path):
    labels = make_scene(np.ones((1, 32, 48), np.uint8), "labels.tif")
    options = TileOptions(size=16, split=(1, 0, 0), bands=(1, 2, 3, 4), jobs=1)
    tiles = tile([str(path)], str(labels), tmp_path / "tiles", options)
    assert len(tiles.tiles) == 6
    for one in tiles.tiles:
        pixels, _, valid = tiles.read_tile(one)
        assert valid.all()
        rows, cols = slice(one.row, one.row + 16), slice(one.col, one.col + 16)
        assert np.array_equal(pixels, DATA[:, rows, cols])
