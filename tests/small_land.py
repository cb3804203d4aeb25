"""A small land to train on: a scene of two noisy bands, labels of three classes, tiles of both."""

import numpy as np
import rasterio
from affine import Affine

import geoseg
from geoseg.nn.config import parse_config
from geoseg.tile import TileOptions

SIDE = 96
LEGEND = """
[[classes]]
value = 0
name = "field"
color = "#e0c080"
[[classes]]
value = 1
name = "roof"
color = "#c04040"
[[classes]]
value = 2
name = "water"
color = "#4060c0"
"""


def make_land(folder, *, unknown=10):
    """Write `scene.tif`, `labels.tif`, `legend.toml` and `tiles` into a folder.

    `unknown` is the side in pixels of the corner without labels.
    """
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:SIDE, :SIDE]
    classes = ((np.sin(rows / 5) + np.cos(cols / 7) > 0.6) * 1).astype(np.uint8)
    classes[np.sin(rows / 9 + 1) * np.sin(cols / 8) < -0.5] = 2
    means = np.array([[1000, 3000, 2000], [4000, 2000, 500]])
    image = (means[:, classes] + rng.normal(0, 600, (2, SIDE, SIDE))).clip(0).astype(np.uint16)
    profile = {
        "driver": "GTiff", "height": SIDE, "width": SIDE, "crs": "EPSG:32632",
        "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000),
    }  # fmt: skip
    with rasterio.open(folder / "scene.tif", "w", count=2, dtype="uint16", **profile) as file:
        file.write(image)
        file.descriptions = ("red", "nir")
    classes[:unknown, :unknown] = 255
    with rasterio.open(
        folder / "labels.tif", "w", count=1, dtype="uint8", nodata=255, **profile
    ) as file:
        file.write(classes, 1)
    (folder / "legend.toml").write_text(LEGEND)
    geoseg.tile(
        [str(folder / "scene.tif")], str(folder / "labels.tif"), folder / "tiles",
        TileOptions(size=16, split=(0.75, 0.25, 0)), legend=folder / "legend.toml",
    )  # fmt: skip
    return folder


def configure_land(land, **tables):
    """A configuration that trains a linear model on the tiles; tables change or add keys."""
    base = {
        "name": "roofs",
        "data": {"tiles": [str(land / "tiles")], "crop": 16},
        "model": {"arch": "linear"},
        "optimizer": {"lr": 0.05},
        "train": {"epochs": 4, "device": "cpu", "precision": "fp32", "workers": 0},
    }
    for name, table in tables.items():
        base[name] = {**base.get(name, {}), **table} if isinstance(table, dict) else table
    return parse_config(base)
