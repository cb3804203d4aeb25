"""Networks whose answer is known at every pixel, and scenes for them."""

from dataclasses import dataclass

import numpy as np
import rasterio
import torch
from affine import Affine

from geoseg.engine.layout import Layout
from geoseg.engine.pipeline import Member, predict_windows
from geoseg.geo.raster import Scene

WINDOW = 16
CPU = torch.device("cpu")


@dataclass
class Network:
    """A network that is a plain function of raw pixels (n, bands, rows, cols)."""

    function: object
    classes: int
    device: torch.device = CPU

    def scores(self, pixels, valid):
        return self.function(pixels.double(), valid)


def identity(bands):
    return Network(lambda pixels, valid: pixels, bands)


def write_scene(path, data, **profile):
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=data.shape[0],
        height=data.shape[1],
        width=data.shape[2],
        dtype=data.dtype,
        crs="EPSG:32632",
        transform=Affine(0.5, 0, 5e5, 0, -0.5, 5e6),
        **profile,
    ) as dataset:
        dataset.write(data)
    return Scene.open(path)


def member(scene, network, *, window=WINDOW, stride=8, blend="mean", batch_size=3, **fields):
    layout = Layout.of(scene.grid.shape, window, stride, blend)
    return Member(backend=network, layout=layout, batch_size=batch_size, **fields)


def run(scene, network, *, counts=None, **fields):
    return collect(scene, [[member(scene, network, **fields)]], counts=counts)


def collect(scene, groups, *, counts=None):
    """All rows of a run, which must come one after the other: scores, and where they are valid."""
    core = groups[0][0].layout.rows.core
    rows = list(predict_windows(scene, groups, counts=counts))
    first = core[0]
    for row, scores, valid in rows:
        assert row == first
        assert scores.shape[1:] == valid.shape
        first += scores.shape[1]
    assert first == core[1]
    return (
        torch.cat([scores for _, scores, _ in rows], 1).numpy(),
        np.concatenate([valid for _, _, valid in rows]),
    )


def positions(shape):
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).astype(np.float32)
