"""Scenes of noise and networks with random weights: their rounding is what must not change."""

import numpy as np
import rasterio
import torch
from affine import Affine

from geoseg.geo.legend import Legend
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling


def write_scene(path, shape, hole=None, seed=None):
    """Write three bands of noise; `hole` are the rows and columns without data."""
    data = np.random.default_rng(sum(shape) if seed is None else seed)
    data = data.integers(1, 255, (3, *shape)).astype(np.uint8)
    if hole is not None:
        data[:, hole[0], hole[1]] = 0
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=shape[0], width=shape[1], dtype="uint8",
        nodata=0, crs="EPSG:32632", transform=Affine(0.5, 0, 5e5, 0, -0.5, 5e6),
    ) as dataset:  # fmt: skip
        dataset.write(data)
    return path


def write_model(path, arch="unet", encoder="resnet18", window=96, stride=64, **options):
    """Write a bundle for such scenes."""
    torch.manual_seed(0)
    spec = ModelSpec(arch=arch, encoder=encoder, in_channels=3, classes=3, options=options)
    card = ModelCard(
        spec=spec, legend=Legend.of_values(range(3)).to_dict(), bands=("", "", ""), dtype="uint8",
        scaling=Scaling(kind="divide", divisor=255), window=window, stride=stride,
    )  # fmt: skip
    return ModelBundle.of(build_model(spec).eval(), card).save(path).path
