"""Thousands of files with spoilt bytes: no traceback, no crash, no hang, no flood of memory."""

import shutil

import pytest
import torch
from mutations import Target, fuzz
from safetensors.torch import load_file

from geoseg.export import export

TARGETS = {
    "scene": (Target("scene.tif", "predict scene.tif -m model.safetensors -o out.tif"), 150),
    "classes": (Target("classes.tif", "vectorize classes.tif -o out.gpkg"), 60),
    "bundle": (Target("model.safetensors", "info model.safetensors"), 500),
    "legend": (Target("legend.toml", "info legend.toml"), 400),
    "style": (Target("style.qml", "info style.qml"), 250),
    "config": (Target("train.toml", "train train.toml -o out --dry-run"), 100),
    "vrt": (Target("scene.vrt", "info scene.vrt"), 300),
    "labels": (
        Target("roofs.gpkg", "tile scene.tif --labels roofs.gpkg --legend legend.toml "
               "--label-field kind --size 16 -o out"),
        150,
    ),
    "card": (Target("tiles/tileset.json", "info tiles"), 250),
    "index": (Target("tiles/index.gpkg", "info tiles"), 200),
    "list": (Target("tiles/train.txt", "info tiles"), 150),
    "onnx": (Target("model.onnx", "info model.onnx"), 300),
    "weights": (Target("weights.pt", "import weights.pt --arch linear -o out.safetensors"), 400),
}  # fmt: skip
"""What is spoilt and met, and how many times."""

VRT = """<VRTDataset rasterXSize="48" rasterYSize="40"><SRS>EPSG:32632</SRS>
<GeoTransform>500000, 2, 0, 5400000, 0, -2</GeoTransform>
<VRTRasterBand dataType="Byte" band="1"><SimpleSource>
<SourceFilename relativeToVRT="1">scene.tif</SourceFilename><SourceBand>1</SourceBand>
</SimpleSource></VRTRasterBand></VRTDataset>"""


@pytest.fixture(scope="module")
def good(good_folder, tmp_path_factory):
    """The good files, and some more kinds."""
    folder = tmp_path_factory.mktemp("fuzz") / "good"
    shutil.copytree(good_folder, folder)
    (folder / "scene.vrt").write_text(VRT)
    (folder / "style.qml").write_text(
        '<qgis><pipe><paletteEntry value="1" label="roof" color="#ff0000"/></pipe></qgis>'
    )
    torch.save(load_file(folder / "model.safetensors"), folder / "weights.pt")
    export(folder / "model.safetensors", folder / "model.onnx")
    return folder


def test_there_are_enough():
    assert sum(count for _, count in TARGETS.values()) >= 3_000


@pytest.mark.slow
def test_spoilt_files(good, tmp_path):
    """In one process, which loads the libraries once."""
    tasks = [(target, seed) for target, count in TARGETS.values() for seed in range(count)]
    assert fuzz(good, tmp_path / "work", tasks) == []


def test_a_defect_would_be_seen(good, tmp_path):
    """A worker that ends before its time is told, and the next goes on."""
    tasks = [(Target("none.toml", "info none.toml"), 7), (Target("legend.toml", "info ."), 8)]
    (problem,) = fuzz(good, tmp_path / "work", tasks)
    assert problem == ("none.toml", 7, "crashed (exit code 1)")
