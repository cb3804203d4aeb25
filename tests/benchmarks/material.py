"""What the benchmarks of prediction work on: a scene, and networks that have learnt it a little.

The scene is smooth noise, and the networks are trained for some seconds to tell its brightness,
because numbers of less precision change the classes of random weights at random.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine
from scipy import ndimage
from torch import nn

from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling

CLASSES = 3
_SAMPLE, _STEPS = 128, 60


def make_scene(path: Path, side: int) -> Scene:
    """Write a tiled, compressed GeoTIFF of three bands of uint8."""
    draw = np.random.default_rng(0)
    fields = [ndimage.gaussian_filter(draw.random((side, side)), 12) for _ in range(3)]
    data = np.stack([255 * (f - f.min()) / (f.max() - f.min()) for f in fields]).astype(np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=side, width=side, dtype="uint8", tiled=True,
        compress="deflate", crs="EPSG:32632", transform=Affine(0.5, 0, 5e5, 0, -0.5, 5e6),
    ) as dataset:  # fmt: skip
        dataset.write(data)
    return Scene.open(path)


def make_bundle(path: Path, scene: Scene, network: str, window: int, stride: int) -> Path:
    """Write a network that has learnt to tell dark, middle and bright ground of the first band.

    Args:
        path: The bundle to write.
        scene: What it learns from.
        network: Architecture and encoder with a colon between, or an architecture alone.
        window: Side of its windows, pixels.
        stride: Step between them, pixels.
    """
    torch.manual_seed(0)
    arch, _, encoder = network.partition(":")
    spec = ModelSpec(arch=arch, encoder=encoder or "resnet18", in_channels=3, classes=CLASSES)
    scaling = Scaling(kind="standardize", mean=(127.0,) * 3, std=(40.0,) * 3)
    module = build_model(spec)
    _teach(module, torch.from_numpy(scene.read().data), scaling, 0.1 if arch == "linear" else 1e-3)
    card = ModelCard(
        spec=spec, legend=Legend.of_values(range(CLASSES)).to_dict(), bands=("", "", ""),
        dtype="uint8", scaling=scaling, window=window, stride=stride,
    )  # fmt: skip
    ModelBundle.of(module.eval(), card).save(path)
    return path


def _teach(network: nn.Module, data: torch.Tensor, scaling: Scaling, rate: float) -> None:
    target = (data[0] > 110).long() + (data[0] > 145).long()
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
    for step in range(_STEPS):
        row, col = ((step * factor) % (data.shape[1] - _SAMPLE) for factor in (131, 197))
        part = slice(row, row + _SAMPLE), slice(col, col + _SAMPLE)
        image = scaling.apply(data[None, :, part[0], part[1]].float())
        loss = nn.functional.cross_entropy(
            network(image.repeat(2, 1, 1, 1)), target[part][None].repeat(2, 1, 1)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def read_classes(path: Path) -> np.ndarray:
    """The class values (height, width) of a class raster."""
    with rasterio.open(path) as dataset:
        values: np.ndarray = dataset.read(1)
    return values
