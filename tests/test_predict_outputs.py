"""What predict writes tells all about itself: to GDAL, to QGIS, and to geoseg."""

import dataclasses
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from rasterio.enums import ColorInterp
from rio_cogeo.cogeo import cog_validate

from geoseg.geo.legend import Legend
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling
from geoseg.predict import PredictOptions, predict

FP32 = PredictOptions(precision="fp32", device="cpu", backend="torch")
FEW = Legend.from_dict(
    {
        "classes": [
            {"value": 0, "name": "background", "color": "#101010"},
            {"value": 3, "name": 'tile & "slate" <roof>', "color": "#dc1e1e"},
            {"value": 7, "name": "Straße", "color": "#00ff7f"},
        ]
    }
)
MANY = Legend.from_dict({"classes": [{"value": v, "name": f"kind {v}"} for v in range(300)]})
WIDE_IGNORE = dataclasses.replace(FEW, ignore=65535)
LEGENDS = {"few": FEW, "many": MANY, "wide ignore": WIDE_IGNORE}


@pytest.fixture
def data():
    """Blocks of 4 pixels, so that classes have some extent; and a corner without data."""
    coarse = np.random.default_rng(3).integers(1, 255, (3, 132, 130))
    data = coarse.repeat(4, axis=1).repeat(4, axis=2).astype("uint8")
    data[:, :100, :130] = 0
    return data


def bundle_of(legend, path):
    torch.manual_seed(0)
    spec = ModelSpec(arch="linear", in_channels=3, classes=legend.count)
    network = build_model(spec)
    torch.nn.init.normal_(network.network.weight, std=0.02)
    card = ModelCard(
        spec=spec, legend=legend.to_dict(), bands=("", "", ""), dtype="uint8",
        scaling=Scaling(), window=128, stride=128,
    )  # fmt: skip
    ModelBundle.of(network, card).save(path)
    return path


def written(tmp_path, make_scene, data, legend, **changes):
    scene = make_scene(data, "scene.tif", nodata=0, transform=Affine(2, 0, 5e5, 0, -2, 5e6))
    options = dataclasses.replace(FP32, **changes)
    bundle = bundle_of(legend, tmp_path / "model.safetensors")
    return predict(scene, bundle, tmp_path / "c.tif", options)[0]


def assert_tells_its_source(dataset):
    """Provenance stands in the default domain: a COG loses the others."""
    tags = dataset.tags()
    assert (tags["GEOSEG_SCENE"], tags["GEOSEG_MODEL"]) == ("scene.tif", "model.safetensors")
    assert (tags["GEOSEG_WINDOW"], tags["GEOSEG_STRIDE"]) == ("128", "128")
    assert (tags["GEOSEG_BLEND"], len(tags["GEOSEG_MODEL_SHA256"])) == ("mean", 64)
    assert tags["GEOSEG_RUNTIME"].startswith("torch cpu fp32")
    assert tags["TIFFTAG_SOFTWARE"] == f"geoseg {tags['GEOSEG_VERSION']}"


def assert_is_cog_with_statistics(path):
    assert cog_validate(str(path), strict=True) == (True, [], [])
    with rasterio.open(path) as dataset:
        assert_tells_its_source(dataset)
        for band in range(1, dataset.count + 1):
            values = dataset.read(band, masked=True).compressed().astype(float)
            told = {key: float(value) for key, value in dataset.tags(band).items()}
            assert told["STATISTICS_MINIMUM"] == values.min()
            assert told["STATISTICS_MAXIMUM"] == values.max()
            assert told["STATISTICS_MEAN"] == pytest.approx(values.mean())
            assert told["STATISTICS_STDDEV"] == pytest.approx(values.std())


def assert_overviews_are_modes(path, nodata):
    """A value of the first overview is one of the most frequent of the four that it stands for."""
    with rasterio.open(path) as dataset:
        values = dataset.read(1)
    with rasterio.open(path, overview_level=0) as dataset:
        small = dataset.read(1)
    height, width = small.shape
    quads = values.reshape(height, 2, width, 2).transpose(0, 2, 1, 3).reshape(height, width, 4)
    same = (quads[..., :, None] == quads[..., None, :]).sum(-1)
    same[quads == nodata] = 0  # pixels without data have no vote
    mine = np.where(quads == small[..., None], same, 0).max(-1)
    has_data = (quads != nodata).any(-1)
    assert (mine == same.max(-1))[has_data].all()
    assert (small[~has_data] == nodata).all()


@pytest.mark.parametrize("name", LEGENDS)
def test_class_raster(tmp_path, make_scene, data, name):
    legend = LEGENDS[name]
    result = written(tmp_path, make_scene, data, legend)
    assert_is_cog_with_statistics(result.classes)
    nodata = 65535 if name == "many" else 255
    assert_overviews_are_modes(result.classes, nodata)
    with rasterio.open(result.classes) as dataset:
        values = dataset.read(1)
        assert (dataset.dtypes[0], dataset.nodata) == (
            "uint16" if name == "many" else "uint8",
            nodata,
        )
        assert dataset.descriptions == ("class",)
        assert set(np.unique(values)) <= {*legend.values, nodata}
        assert (values[:100, :130] == nodata).all()
        if name == "many":
            assert dataset.colorinterp == (ColorInterp.gray,)
        else:
            table = dataset.colormap(1)
            colors = zip(legend.values, legend.colors, strict=True)
            assert all(table[value] == (*rgb, 255) for value, rgb in colors)
            assert table[255][3] == 0
    found = Legend.open(result.classes)
    assert [(c.value, c.name, c.color) for c in found.classes] == [
        (c.value, c.name, c.color) for c in legend.classes
    ]
    style = Legend.open(result.classes.with_suffix(".qml"))
    assert [c.name for c in style.classes] == list(legend.names)
    side = ET.parse(f"{result.classes}.aux.xml")
    rows = [[cell.text for cell in row] for row in side.iter("Row")]
    assert len(rows) == legend.count
    for row, entry, rgb in zip(rows, legend.classes, legend.colors, strict=True):
        alpha = 0 if entry == legend.background else 255
        assert row[0] == str(entry.value)
        assert int(row[1]) == int((values == entry.value).sum())
        assert row[2:] == [entry.name, *map(str, rgb), str(alpha)]


def test_probability_and_uncertainty_rasters(tmp_path, make_scene, data):
    result = written(
        tmp_path,
        make_scene,
        data,
        FEW,
        probabilities=tmp_path / "p.tif",
        uncertainty=tmp_path / "u.tif",
        measures=("entropy", "margin"),
    )
    for path, names in (
        (result.probabilities, FEW.names),
        (result.uncertainty, ("entropy", "margin")),
    ):
        assert_is_cog_with_statistics(path)
        with rasterio.open(path) as dataset:
            assert dataset.descriptions == names
            assert dataset.scales == (0.005,) * len(names)
            assert (dataset.nodata, dataset.dtypes[0]) == (255, "uint8")
            # Neither colours nor transparency are read into them.
            assert set(dataset.colorinterp) <= {ColorInterp.gray, ColorInterp.undefined}
            values = dataset.read()
        assert (values[:, :100, :130] == 255).all()
        rest = values[:, 100:]
        assert rest.max() <= 200
        with rasterio.open(path, overview_level=0) as overview:
            small = overview.read()[:, 50:]
        mean = rest.reshape(len(names), 214, 2, 260, 2).mean(axis=(2, 4))
        assert np.abs(small - mean).max() <= 1
