"""Thousands of files with spoilt bytes: no traceback, no crash, no hang, no flood of memory."""

import shutil
import threading

import pytest
import torch
from mutations import Target, fuzz
from safetensors.torch import load_file

from geoseg.export import export

TARGETS = {
    "scene": (Target("scene.tif", "predict scene.tif -m model.safetensors -o out.tif"), 24, 150),
    "classes": (Target("classes.tif", "vectorize classes.tif -o out.gpkg"), 40, 60),
    "bundle": (Target("model.safetensors", "info model.safetensors"), 400, 500),
    "legend": (Target("legend.toml", "info legend.toml"), 400, 400),
    "style": (Target("style.qml", "info style.qml"), 250, 250),
    "config": (Target("train.toml", "train train.toml -o out --dry-run"), 40, 100),
    "vrt": (Target("scene.vrt", "info scene.vrt"), 300, 300),
    "labels": (
        Target("roofs.gpkg", "tile scene.tif --labels roofs.gpkg --legend legend.toml "
               "--label-field kind --size 16 -o out"),
        40, 150,
    ),
    "card": (Target("tiles/tileset.json", "info tiles"), 250, 250),
    "index": (Target("tiles/index.gpkg", "info tiles"), 100, 200),
    "list": (Target("tiles/train.txt", "info tiles"), 60, 150),
    "onnx": (Target("model.onnx", "info model.onnx"), 200, 300),
    "weights": (
        Target("weights.pt", "import weights.pt --arch linear -o out.safetensors"), 200, 400,
    ),
}  # fmt: skip
"""What is spoilt and met: so many times each time that all tests run, and so many when asked."""

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
    assert sum(few for _, few, _ in TARGETS.values()) >= 2_000


@pytest.mark.slow
def test_spoilt_files(good, tmp_path):
    """In one process, which loads the libraries once."""
    tasks = [(target, seed) for target, few, _ in TARGETS.values() for seed in range(few)]
    assert fuzz(good, tmp_path / "work", tasks) == []


@pytest.mark.slow
@pytest.mark.long
def test_more_spoilt_files(good, tmp_path):
    """All others, in two workers."""
    tasks = [(target, seed) for target, few, all_ in TARGETS.values() for seed in range(few, all_)]
    problems: list[tuple[str, int, str]] = []

    def share(part):
        problems.extend(fuzz(good, tmp_path / str(part), tasks[part::2]))

    threads = [threading.Thread(target=share, args=(part,)) for part in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_a_defect_would_be_seen(good, tmp_path):
    """A worker that ends before its time is told, and the next goes on."""
    tasks = [(Target("none.toml", "info none.toml"), 7), (Target("legend.toml", "info ."), 8)]
    (problem,) = fuzz(good, tmp_path / "work", tasks)
    assert problem == ("none.toml", 7, "crashed (exit code 1)")
