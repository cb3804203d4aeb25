"""Small tile sets and labelled scenes of two classes, and the form of their samples."""

import numpy as np
import rasterio
from affine import Affine

import geoseg
from geoseg.geo.legend import Legend, LegendClass
from geoseg.nn.config_tables import DataConfig
from geoseg.nn.dataset import SampleForm
from geoseg.tile import TileOptions

LEGEND = Legend(
    classes=(
        LegendClass(value=1, name="land", color="#00ff00"),
        LegendClass(value=4, name="water", color="#0000ff"),
    )
)


def form(side, *, random=False, fill=(7.0, 8.0)):
    return SampleForm(height=side, width=side, fill=fill, seed=3, random=random)


def write_scene(
    folder, name, side=64, *, crs="EPSG:32632", left=500_000, bands=("red", "nir"),
    labels=None, dtype="uint16",
):  # fmt: skip
    """Write an image, its labels (stripes of both classes, if not told) and the legend."""
    rng = np.random.default_rng(len(name))
    classes = np.where(np.add.outer(np.arange(side), np.arange(side)) % 16 < 8, 1, 4)
    image = np.stack([classes * 100 + b * 10 for b in range(len(bands))])
    image = (image + rng.integers(0, 9, image.shape)).astype(dtype)
    profile = {
        "driver": "GTiff", "height": side, "width": side, "crs": crs,
        "transform": Affine(1, 0, left, 0, -1, 5_000_000),
    }  # fmt: skip
    with rasterio.open(folder / f"{name}.tif", "w", count=len(bands), dtype=dtype, **profile) as f:
        f.write(image)
        f.descriptions = bands
    (folder / "labels").mkdir(exist_ok=True)
    with rasterio.open(
        folder / "labels" / f"{name}.tif", "w", count=1, dtype="uint8", **profile
    ) as f:
        f.write((classes if labels is None else labels).astype(np.uint8), 1)
    (folder / "legend.toml").write_text(LEGEND.to_toml())
    return str(folder / f"{name}.tif")


def make_tiles(folder, name="tiles", split=(0.75, 0.25, 0.0), format_="tif", **scene):
    """Cut a scene of `write_scene` into tiles of 16 pixels."""
    path = write_scene(folder, name, **scene)
    labels = str(folder / "labels" / f"{name}.tif")
    options = TileOptions(size=16, split=split, format=format_)
    geoseg.tile([path], labels, folder / f"{name}_set", options, legend=folder / "legend.toml")
    return str(folder / f"{name}_set")


def scenes_config(folder, paths, **more):
    return DataConfig(
        scenes=tuple(paths), labels=str(folder / "labels"), legend=str(folder / "legend.toml"),
        crop=16, **more,
    )  # fmt: skip
