"""What the values of rasters mean, by the numbers, colours and words in `from`."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from geoseg.errors import LabelError
from geoseg.geo.labels import Labels
from geoseg.geo.legend import Legend
from geoseg.geo.matching import match_attributes, names_numbers, raster_values


def legend_of_sources(*sources):
    """Background, then a class of value 1, 2, ... for each `from`; None leaves it out."""
    classes = [{"value": 0, "name": "background"}]
    for value, source in enumerate(sources, start=1):
        entry = {"value": value, "name": f"class {value}"}
        classes.append(entry if source is None else entry | {"from": source})
    return Legend.from_dict({"classes": classes})


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([None, None], {0: 0, 1: 1, 2: 2}),
        ([["house", "null"], ["tree"]], {0: 0, 1: 1, 2: 2}),
        ([["house", 7], ["tree"]], {0: 0, 7: 1, 2: 2}),
        ([["house", "7"], None], {0: 0, 7: 1, 2: 2}),
        ([["#ff0000", "house"], ["tree"]], {0: 0, 2: 2}),
        ([["house"], [1]], {0: 0, 1: 2}),
        ([[2], [1]], {0: 0, 2: 1, 1: 2}),
        ([["-3", 2.0], [1.5]], {0: 0, -3: 1, 2: 1}),
    ],
)
def test_words_leave_a_class_its_own_value(sources, expected):
    assert raster_values(legend_of_sources(*sources)) == {**expected, 255: 255}


@pytest.mark.parametrize(
    ("sources", "expected"),
    [([None], False), ([["house", "#ff0000", "null"]], False), ([[7]], True), ([["7"]], True)],
)
def test_legends_that_name_numbers(sources, expected):
    assert names_numbers(legend_of_sources(*sources)) is expected


def test_one_legend_serves_polygons_and_masks(tmp_path):
    legend = legend_of_sources(["house", "hut"], ["tree"])
    attributes = match_attributes(["hut", "tree", "class 1"], legend, "a.gpkg", "kind")
    assert attributes.tolist() == [1, 2, 1]
    with pytest.raises(LabelError, match=r"not in the legend: .*1"):
        match_attributes(["1"], legend, "a.gpkg", "kind")
    data = np.array([[[0, 1], [2, 255]]], dtype=np.uint8)
    shape = {"count": 1, "height": 2, "width": 2, "dtype": "uint8"}
    path, place = tmp_path / "a.tif", Affine(1, 0, 5e5, 0, -1, 5e6)
    with rasterio.open(path, "w", "GTiff", crs="EPSG:32632", transform=place, **shape) as made:
        made.write(data)
    labels = Labels.open(path, legend)
    labels.check()
    assert labels.mask(labels.source.scene.grid).tolist() == data[0].tolist()
