"""Jobs on any scene that hypothesis draws: what goes in comes out, where it is valid."""

from functools import cache

import numpy as np
import pytest
import rasterio
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyogrio import read_dataframe
from strategies import PLACES, DrawnScene, class_maps, legends, scenes, squares, window_sizes

from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene
from geoseg.geo.tileset import TileSet
from geoseg.info import describe
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling
from geoseg.predict import PredictOptions, predict
from geoseg.tile import LabelOptions, TileOptions, tile
from geoseg.vectorize import VectorizeOptions, vectorize

IGNORE = 255


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path_factory.mktemp("drawn")
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def identity(folder):
    """`identity(3, "uint8")`: a bundle whose scores are the values of the bands."""

    @cache
    def save(bands, dtype):
        spec = ModelSpec(arch="linear", in_channels=bands, classes=bands)
        network = build_model(spec)
        with torch.no_grad():
            torch.nn.init.eye_(network.network.weight.view(bands, bands))
            network.network.bias.zero_()
        card = ModelCard(
            spec=spec,
            activation="none",
            legend=Legend.of_values(range(bands)).to_dict(),
            bands=("",) * bands,
            dtype=dtype,
            scaling=Scaling(),
            window=16,
            stride=8,
        )
        path = folder / f"{bands} {dtype}.safetensors"
        ModelBundle.of(network, card).save(path)
        return path

    return save


@given(drawn=scenes())
def test_a_scene_is_read_and_described_as_it_was_written(folder, drawn):
    path = drawn.write(folder / "read.tif")
    scene = Scene.open(path)
    read = scene.read()
    np.testing.assert_array_equal(read.valid, drawn.valid)
    np.testing.assert_array_equal(read.data[:, drawn.valid], drawn.data[:, drawn.valid])
    assert read.data.dtype == drawn.data.dtype
    assert scene.grid.transform == drawn.transform
    assert scene.grid.crs == drawn.crs
    told = describe(path)
    assert (told["count"], told["height"], told["width"]) == drawn.data.shape
    assert (told["dtype"], tuple(told["band_names"])) == (drawn.data.dtype, drawn.names)
    assert told["transform"] == list(drawn.transform)[:6]


@settings(max_examples=25)
@given(
    drawn=scenes(bands=st.integers(2, 4)),
    sizes=window_sizes(24),
    blend=st.sampled_from(["hann", "mean"]),
    batch_size=st.integers(1, 5),
)
def test_the_identity_network_gives_the_scene_back(
    folder, identity, drawn, sizes, blend, batch_size
):
    path = drawn.write(folder / "scene.tif")
    options = PredictOptions(
        window=sizes[0],
        stride=sizes[1],
        blend=blend,
        batch_size=batch_size,
        probabilities=folder / "scores.tif",
        prob_dtype="float32",
        precision="fp32",
        device="cpu",
        overwrite=True,
    )
    bundle = identity(len(drawn.data), str(drawn.data.dtype))
    [result] = predict(path, bundle, folder / "classes.tif", options)
    with rasterio.open(folder / "scores.tif") as made:
        scores = made.read()
    np.testing.assert_allclose(
        scores[:, drawn.valid], drawn.data[:, drawn.valid], rtol=1e-6, atol=1e-4
    )
    assert np.isnan(scores[:, ~drawn.valid]).all()
    with rasterio.open(folder / "classes.tif") as made:
        classes = made.read(1)
        assert (made.transform, made.crs) == (drawn.transform, drawn.crs)
    assert (classes == IGNORE)[~drawn.valid].all()
    # of equal scores any may be the class
    rows, cols = np.nonzero(drawn.valid)
    best = drawn.data[classes[rows, cols], rows, cols]
    np.testing.assert_array_equal(best, drawn.data.max(0)[rows, cols])
    assert result.nodata_pixels == (~drawn.valid).sum()


@settings(max_examples=25)
@given(drawn=scenes(), side=st.integers(1, 24), jobs=st.integers(1, 2))
def test_tiles_hold_the_scene_and_its_labels(folder, drawn, side, jobs):
    """The labels are a raster of what a formula says; every pixel of every tile is compared."""
    scene = drawn.write(folder / "scene.tif")
    rows, cols = np.indices(drawn.valid.shape)
    labels = ((rows * 3 + cols * 5) % 7).astype(np.uint8)
    beside = DrawnScene(labels[None], np.ones_like(drawn.valid), "nothing", None, drawn.place, 0)
    beside.write(folder / "labels.tif")
    options = TileOptions(size=side, min_valid=0, jobs=jobs, split=(1, 0, 0), overwrite=True)
    legend = written(Legend.of_values(range(7)), folder)
    made = tile(scene, folder / "labels.tif", folder / "tiles", options, legend=legend)
    seen = np.zeros(labels.shape, int)
    whole = Padded(drawn, labels, side)
    for one in TileSet.open(folder / "tiles").tiles:
        image, mask, valid = made.read_tile(one)
        with rasterio.open(folder / "tiles" / "images" / f"{one.name}.tif") as file:
            col, row = ~drawn.transform @ (file.transform.c, file.transform.f)
        row, col = round(row), round(col)
        np.testing.assert_array_equal(valid, whole.cut("valid", row, col))
        np.testing.assert_array_equal(image[:, valid], whole.cut("data", row, col)[:, valid])
        np.testing.assert_array_equal(mask[valid], whole.cut("labels", row, col)[valid])
        assert (mask[~valid] == IGNORE).all()
        seen[row : row + side, col : col + side] += 1
    assert seen[drawn.valid].min(initial=1) == 1


def written(legend, folder):
    path = folder / "legend.toml"
    path.write_text(legend.to_toml(), encoding="utf-8")
    return path


class Padded:
    """A scene and its labels with nothing around, to cut tiles out of."""

    def __init__(self, drawn, labels, side):
        self.side = side
        around = ((0, side), (0, side))
        self.valid = np.pad(drawn.valid, around)
        self.data = np.pad(drawn.data, ((0, 0), *around))
        self.labels = np.pad(labels, around)

    def cut(self, what, row, col):
        return getattr(self, what)[..., row : row + self.side, col : col + self.side]


@settings(max_examples=20)
@given(
    values=class_maps((0, 1, 2, IGNORE)),
    legend=legends(highest=254, most=4),
    place=st.sampled_from(sorted(PLACES)),
)
def test_a_map_becomes_polygons_and_those_the_map_again(folder, values, legend, place):
    """By names that any SQL, XML or path could trip over; the regions are GEOS's own."""
    legend = Legend(classes=legend.classes, ignore=IGNORE)
    values = np.array([*legend.values, IGNORE], np.uint8)[np.minimum(values, legend.count)]
    valid = values != IGNORE
    drawn = DrawnScene(values[None], valid, "nodata", IGNORE, place, 0)
    drawn.write(folder / "map.tif")
    file = written(legend, folder)
    vectorize(folder / "map.tif", folder / "p.gpkg", VectorizeOptions(overwrite=True), legend=file)
    frame = read_dataframe(folder / "p.gpkg", layer="segments")
    expected = squares(values, drawn.transform)
    expected.pop(IGNORE, None)
    assert set(frame.class_id) == set(expected)
    names = dict(zip(legend.values, legend.names, strict=True))
    for value, region in expected.items():
        own = frame[frame.class_id == value]
        assert set(own.class_name) == {names[value]}
        found = shapely.union_all(own.geometry.to_numpy())
        rest = shapely.area(shapely.symmetric_difference(found, region))
        assert rest <= 1e-6 * abs(drawn.transform.determinant)
    if not valid.any():
        return
    options = TileOptions(
        size=16,
        min_valid=0,
        split=(1, 0, 0),
        labels=LabelOptions(field="class_name"),
        overwrite=True,
    )
    made = tile(folder / "map.tif", folder / "p.gpkg", folder / "tiles", options, legend=file)
    image, mask, shown = made.read_tile(made.tiles[0])
    np.testing.assert_array_equal(mask[shown], image[0][shown])
    assert shown.sum() == valid.sum()
