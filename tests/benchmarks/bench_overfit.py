"""Whether each network can learn four tiles of the sample scene by heart, and how fast.

Usage: python tests/benchmarks/bench_overfit.py [PATTERN] [--steps 600] [--markdown]

A network that cannot is wired wrong, whatever its parameter count. The tiles are windows of
`sample_data/west.tif` with their labels. All four make one batch; training stops when the mean
IoU over them, predicted as ever (evaluation mode), passes the goal. Seconds are those of this
machine with one thread. `tests/nn/test_overfit.py` asks the same of every network.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from rasterio.windows import Window
from torch import Tensor

TESTS = Path(__file__).parents[1]
if __name__ == "__main__":  # as a script; pytest has the folder on its path
    sys.path.insert(0, str(TESTS))

from small_networks import ENCODER, small_spec  # noqa: E402 - found by the lines above

from geoseg.geo.confusion import confusion, scores  # noqa: E402
from geoseg.geo.labels import LabelOptions, Labels  # noqa: E402
from geoseg.geo.legend import Legend  # noqa: E402
from geoseg.geo.raster import Scene  # noqa: E402
from geoseg.models import list_models  # noqa: E402
from geoseg.nn.architectures import ARCHITECTURES  # noqa: E402
from geoseg.nn.losses import LossConfig, build_loss  # noqa: E402
from geoseg.nn.models import SegmentationModel, build_model  # noqa: E402
from geoseg.nn.training_loss import TrainingLoss  # noqa: E402

SAMPLES = TESTS.parent / "sample_data"
GOAL = 0.95
ZOOM = {
    **dict.fromkeys(["deeplabv3", "deeplabv3_mobilenet_v3_large", "fcn16s"], 2),
    **dict.fromkeys(["icnet", "lraspp", "pidnet_s", "pidnet_m", "pidnet_l", "segresnet"], 2),
    "fcn32s": 4,
}
"""How many times along both axes each pixel is shown to those whose last scores are coarse, or
come from few cells: at 1 they cannot draw the outline of a house, or hardly."""

STEPS = 600
"""Most steps that a network gets."""

EVERY = 10
"""Steps between two looks at the mean IoU."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one network did."""

    name: str
    encoder: str
    steps: int
    seconds: float
    mean_iou: float


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """What is learnt by heart."""

    images: Tensor
    """(4, bands, height, width) float32, each band of mean 0 and deviation 1."""

    masks: Tensor
    """(4, height, width) class indices."""

    legend: Legend

    def zoomed(self, factor: int) -> Tiles:
        """The same with each pixel repeated along both axes."""
        images, masks = (
            each.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
            for each in (self.images, self.masks)
        )
        return Tiles(images=images, masks=masks, legend=self.legend)


def overfit(name: str, *, steps: int = STEPS) -> Outcome:
    """Train a small form of an architecture on the four tiles until it knows them.

    AdamW begins with the learning rate of the architecture, which falls to 0 along a cosine.

    Args:
        name: The architecture.
        steps: Most steps.
    """
    torch.manual_seed(0)
    tiles = read_tiles().zoomed(ZOOM.get(name, 1))
    encoder = ENCODER if ZOOM.get(name, 1) > 2 else None  # a VGG takes an hour at that size
    spec = small_spec(name, encoder, in_channels=tiles.images.shape[1], classes=tiles.legend.count)
    network = build_model(spec)
    loss = TrainingLoss(build_loss(LossConfig(), classes=spec.classes), network.auxiliary)
    optimizer = torch.optim.AdamW(network.parameters(), lr=ARCHITECTURES[name].lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best, start = 0.0, time.perf_counter()
    for step in range(1, steps + 1):
        value = loss(network.train()(tiles.images), tiles.masks)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        if step % EVERY == 0:
            best = max(best, mean_iou(network, tiles))
            if best > GOAL:
                break
    return Outcome(
        name=name,
        encoder=spec.encoder,
        steps=step,
        seconds=time.perf_counter() - start,
        mean_iou=best,
    )


@torch.inference_mode()
def mean_iou(network: SegmentationModel, tiles: Tiles) -> float:
    """Of the classes that there are, over all four tiles."""
    found = network.eval()(tiles.images).argmax(1)
    matrix = confusion(
        tiles.masks.numpy().astype(np.uint8), found.numpy().astype(np.uint8), tiles.legend.count
    )
    return float(scores(matrix)["mean_iou"])


@cache
def read_tiles() -> Tiles:
    """Read the tiles with their labels."""
    scene = Scene.open(SAMPLES / "west.tif")
    legend = Legend.open(SAMPLES / "legend.toml")
    labels = Labels.open(SAMPLES / "labels.gpkg", legend, LabelOptions(field="kind"))
    rasters = [scene.read(Window(*place, SIDE, SIDE)) for place in PLACES]
    images = torch.from_numpy(np.stack([each.data for each in rasters]).astype(np.float32))
    deviation, mean = torch.std_mean(images, (0, 2, 3), keepdim=True)
    masks = np.stack([legend.encode(labels.mask(each.grid)) for each in rasters])
    return Tiles(
        images=(images - mean) / deviation,
        masks=torch.from_numpy(masks.astype(np.int64)),
        legend=legend,
    )


SIDE = 96
PLACES = ((640, 672), (544, 512), (704, 64), (288, 768))
"""Column and row of the tiles' upper left corners."""


def main() -> None:
    """Try all and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pattern", nargs="?")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--markdown", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = []
    for name in list_models(given.pattern):
        each = overfit(name, steps=given.steps)
        encoder = "" if each.encoder == "none" else f"`{each.encoder}`"
        lines.append(
            f"| `{name}` | {encoder} | {each.steps} | {each.seconds:.0f} | {each.mean_iou:.3f} |"
        )
        print(lines[-1], file=sys.stderr, flush=True)
    if given.markdown:
        print("| `arch` | encoder | steps | seconds | mean IoU |\n|---|---|---:|---:|---:|")
        print("\n".join(lines))


if __name__ == "__main__":
    main()
