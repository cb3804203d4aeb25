"""One map counted against its labels part by part, against numpy on the whole."""

import numpy as np
import pytest
from affine import Affine
from rasterio.windows import Window

from geoseg.errors import LabelError
from geoseg.geo.comparing import Comparer
from geoseg.geo.labels import Labels
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.raster import Raster, Scene

LEGEND = Legend(
    classes=(
        LegendClass(value=0, name="ground", color="#808080"),
        LegendClass(value=3, name="roof", color="#e6194b"),
    )
)


@pytest.fixture
def maps():
    rng = np.random.default_rng(0)
    labels = rng.choice(np.uint8([0, 3, 255]), (20, 14))
    values = rng.choice(np.uint8([0, 3]), (1, 20, 14))
    valid = rng.random((20, 14)) < 0.8
    valid[7:14] = False
    return labels, values, valid


@pytest.mark.parametrize("rows", [1, 7, 20])
def test_parts_add_up_to_the_whole(make_scene, maps, rows):
    labels, values, valid = maps
    path = make_scene(labels[None], "labels.tif", nodata=255)
    grid = Scene.open(path).grid
    comparer = Comparer("map", grid, Labels.open(path, LEGEND), LEGEND)
    for row in range(0, 20, rows):
        window = Window(0, row, 14, min(rows, 20 - row))
        part = slice(row, row + rows)
        raster = Raster(data=values[:, part], valid=valid[part], grid=grid.crop(window))
        comparer.count(raster)
    found = comparer.result()
    seen = valid & (labels != 255)
    expected = [[np.sum(seen & (labels == a) & (values[0] == b)) for b in (0, 3)] for a in (0, 3)]
    np.testing.assert_array_equal(found.matrix, expected)
    assert (found.pixels, found.predicted_pixels) == (280, valid.sum())
    assert found.labelled_pixels == (labels != 255).sum()
    assert (found.prediction, found.labels) == ("map", str(path))


def test_values_that_are_no_class_are_told(make_scene, maps):
    labels, values, valid = maps
    path = make_scene(labels[None], "labels.tif", nodata=255)
    grid = Scene.open(path).grid
    comparer = Comparer("map.tif", grid, Labels.open(path, LEGEND), LEGEND)
    values[0, 0, 0], valid[0, 0] = 9, True
    with pytest.raises(LabelError, match=r"map\.tif"):
        comparer.count(Raster(data=values, valid=valid, grid=grid))


def test_labels_elsewhere_are_told(make_scene, maps):
    path = make_scene(maps[0][None], "labels.tif", nodata=255)
    away = Scene.open(make_scene((1, 5, 5), "away.tif", transform=Affine(2, 0, 9, 0, -2, 9))).grid
    with pytest.raises(LabelError, match="does not touch its labels"):
        Comparer("map", away, Labels.open(path, LEGEND), LEGEND)
