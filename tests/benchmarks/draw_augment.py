"""Draws what the keys of [augment] do, on a piece of the sample data.

Usage: python tests/benchmarks/draw_augment.py docs/images/augment.png

Each picture shows one key alone, at a size that is easy to see. Of some draws the one is shown
that changes the image most, and by the same seeds each time the script runs.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from PIL import Image
from rasterio.windows import Window
from torch import Tensor

from geoseg.geo.labels import LabelOptions, Labels
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene
from geoseg.nn.augment import Augment
from geoseg.nn.augment_config import AugmentConfig

DATA = Path(__file__).parents[2] / "sample_data"
SIDE, COLUMNS, DRAWS = 160, 6, 12
STILL: dict[str, Any] = {
    "flip": 0, "rotate": 0, "scale": (1, 1), "brightness": 0, "contrast": 0,
    "probability": {"elastic": 1, "blur": 1, "noise": 1},
}  # fmt: skip
KEYS: dict[str, dict[str, Any]] = {
    "as read": {},
    "with its classes": {},
    "flip, rotate": {"flip": 0.5, "rotate": 1},
    "scale = [0.5, 2]": {"scale": (0.5, 2)},
    "angle = 45": {"angle": 45},
    "shift = 0.3": {"shift": 0.3},
    "shear = 30": {"shear": 30},
    "perspective = 0.4": {"perspective": 0.4},
    "elastic = 10": {"elastic": 10},
    "cutmix = 1": {"cutmix": 1},
    "blur = [0, 2]": {"blur": (0, 2)},
    "noise = [0, 0.5]": {"noise": (0, 0.5)},
    "gamma = [0.5, 2]": {"gamma": (0.5, 2)},
    "brightness = 1": {"brightness": 1},
    "contrast = 0.7": {"contrast": 0.7},
    "band_shift = 0.5": {"band_shift": 0.5},
    "band_gain = 0.5": {"band_gain": 0.5},
    "band_drop = 0.3": {"band_drop": 0.3},
}
PAINTED = list(KEYS)[1:10]
"""Shown with their classes, because these move as well."""
NO_DATA, INK = (236, 236, 232), "#22262b"

Picture = npt.NDArray[np.uint8]


def main() -> None:
    """Augment one piece by each key, and draw all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    legend = Legend.open(DATA / "legend.toml")
    image, mask = read_pieces(legend)
    rows = -(-len(KEYS) // COLUMNS)
    figure = Figure(figsize=(1.9 * COLUMNS, 2.14 * rows), facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.03, wspace=0.01, hspace=0.01)
    for axes, (title, change) in zip(
        figure.subplots(rows, COLUMNS).flat, KEYS.items(), strict=True
    ):
        pixels, target, valid = most_changed(image, mask, legend.ignore_index, change)
        colors = legend.colors if title in PAINTED else []
        axes.imshow(paint(pixels, image[0].numpy(), target, valid, colors))
        axes.set_title(title, fontsize=9.5, color=INK, pad=4)
        axes.set_axis_off()
    save(figure, given.picture)


def read_pieces(legend: Legend) -> tuple[Tensor, Tensor]:
    """Two pieces of the western scene, all bands scaled alike, and their channel indices."""
    images, masks = [], []
    scene = Scene.open(DATA / "west.tif")
    labels = Labels.open(DATA / "labels.gpkg", legend, LabelOptions(field="kind"))
    for col, row in ((256, 0), (768, 320)):
        raster = scene.read(Window(col, row, SIDE, SIDE))
        images.append(raster.data[:3].astype(np.float32))
        masks.append(legend.encode(labels.mask(raster.grid)))
    image = torch.from_numpy(np.stack(images))  # (2, 3, SIDE, SIDE)
    return (image - image.mean()) / image.std(), torch.from_numpy(np.stack(masks))


def most_changed(
    image: Tensor, mask: Tensor, ignore: int, change: dict[str, Any]
) -> tuple[npt.NDArray[Any], ...]:
    """Image, mask and valid of the first piece, of the draw that moves its values furthest."""
    config = AugmentConfig.model_validate({**STILL, **change})
    everywhere = torch.ones(mask.shape, dtype=torch.bool)
    draws = [
        Augment(config, ignore=ignore, seed=seed)(image, mask, everywhere) for seed in range(DRAWS)
    ]
    best = max(draws, key=lambda draw: float((draw[0][0] - image[0]).abs().mean()))
    return tuple(part[0].numpy() for part in best)


def paint(
    pixels: npt.NDArray[Any],
    like: npt.NDArray[Any],
    target: npt.NDArray[Any],
    valid: npt.NDArray[Any],
    colors: list[tuple[int, int, int]],
) -> Picture:
    """Stretch (3, height, width) as another image, and lay the colours of classes over it."""
    low, high = np.percentile(like, (1, 99))
    picture = np.clip((np.moveaxis(pixels, 0, -1) - low) / (high - low), 0, 1) ** 0.8 * 255
    for index, color in enumerate(colors):
        picture[target == index] = 0.5 * picture[target == index] + 0.5 * np.array(color)
    picture[~valid] = NO_DATA
    return picture.astype(np.uint8)


def save(figure: Figure, output: Path) -> None:
    """Write a PNG of 256 colours, a third as large as one of all."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80, facecolor="white", format="png")
    picture = Image.open(drawn).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(output, optimize=True)


if __name__ == "__main__":
    main()
