"""The whole path on real scenes, by the commands a user would give."""

import json
import subprocess
import sys
from pathlib import Path

import geopandas
import pytest
import rasterio
import shapely

pytestmark = [pytest.mark.realdata, pytest.mark.slow]

MARGIN = 0.15
"""By how much the mean IoU must exceed that of the most frequent class everywhere."""

LEGEND = """
[[classes]]
value = 0
name = "ground"
color = "#000000"
[[classes]]
value = 1
name = "building"
color = "#e6194b"
"""

TRAIN = """
name = "kampala"
seed = 1
[data]
tiles = ["tiles"]
crop = 128
[model]
arch = "linknet"
encoder = "resnet18"
[model.options]
encoder_depth = 4
[augment]
scale = [0.7, 1.4]
rotate = 0.75
brightness = 0.2
contrast = 0.2
[train]
steps = 120
batch_size = 8
[validate]
every = 1000
"""
"""Validated in the end alone: nine tiles, mostly of roofs, would choose from among the first steps
what calls everything a roof.
"""


def geoseg(folder, *arguments):
    """Run the installed command; its stdout."""
    command = [str(Path(sys.executable).parent / "geoseg"), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_buildings_of_kampala(realdata, tmp_path):
    """Train on two scenes, and map the third, which lies east of them."""
    data = realdata / "vhr_kampala"
    east = data / "test" / "kampala_east.tif"
    reference = data / "test" / "kampala_east_buildings.geojson"
    (tmp_path / "legend.toml").write_text(LEGEND)
    (tmp_path / "train.toml").write_text(TRAIN)
    labels = data / "train" / "{stem}_buildings.geojson"
    geoseg(
        tmp_path, "tile", data / "train" / "*.tif", "--labels", labels, "--legend", "legend.toml",
        "--size", 256, "--stride", 128, "--split", "0.85,0.15,0", "-o", "tiles",
    )  # fmt: skip
    geoseg(tmp_path, "train", "train.toml", "-o", "run")
    geoseg(
        tmp_path, "predict", east, "-m", "run/model.safetensors", "-o", "classes.tif",
        "--probabilities", "probabilities.tif", "--polygons", "buildings.gpkg",
    )  # fmt: skip
    report = json.loads(
        geoseg(
            tmp_path,
            "evaluate",
            "classes.tif",
            "--labels",
            reference,
            "--legend",
            "legend.toml",
            "--json",
        )
    )
    assert report["mean_iou"] >= report["trivial"]["mean_iou"] + MARGIN
    with rasterio.open(east) as scene, rasterio.open(tmp_path / "classes.tif") as made:
        assert made.shape == scene.shape
        assert made.transform == scene.transform
        assert made.crs == scene.crs
        values = made.read(1)
    polygons = geopandas.read_file(tmp_path / "buildings.gpkg", layer="segments")
    assert polygons.is_valid.all()
    parts = shapely.get_parts(polygons.geometry.to_numpy())
    assert shapely.coverage_is_valid(parts)
    pixel = abs(made.transform.determinant)
    for value in (0, 1):
        drawn = polygons[polygons["class_id"] == value].area.sum()
        assert drawn == pytest.approx((values == value).sum() * pixel, rel=1e-9)
