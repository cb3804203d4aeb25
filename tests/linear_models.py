"""Models whose every pixel numpy can tell: a weighted sum of bands for each class."""

import numpy as np
import rasterio
import torch
from affine import Affine

from geoseg.geo.legend import Legend, LegendClass
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.models import ModelSpec, build_model

CLASSES = ("ground", "roof", "water")
BANDS = ("blue", "green", "red", "nir")


def write_bundle(path, weights, *, names=CLASSES, values=(0, 1, 2), **card):
    """A linear network (classes, bands) with a card of its own."""
    weights = torch.as_tensor(np.asarray(weights), dtype=torch.float32)
    spec = ModelSpec(arch="linear", in_channels=weights.shape[1], classes=weights.shape[0])
    network = build_model(spec)
    with torch.no_grad():
        network.network.weight.copy_(weights[:, :, None, None])
        network.network.bias.zero_()
    legend = Legend(
        classes=tuple(
            LegendClass(value=value, name=name, color=f"#{value:06x}")
            for value, name in zip(values, names, strict=True)
        ),
        ignore=255 if max(values) < 255 else 65535,
    )
    made = ModelCard(spec=spec, legend=legend.to_dict(), **{"dtype": "uint16"} | card)
    ModelBundle.of(network, made).save(path)
    return path


def write_scene(path, data, names=BANDS, crs="EPSG:32632"):
    count, height, width = data.shape
    place = {"crs": crs, "transform": Affine(0.5, 0, 5e5, 0, -0.5, 5e6)} if crs else {}
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=data.dtype,
        **place,
    ) as dataset:  # fmt: skip
        dataset.write(data)
        dataset.descriptions = names
    return path


def softmax(scores):
    powers = np.exp(scores - scores.max(0))
    return powers / powers.sum(0)
