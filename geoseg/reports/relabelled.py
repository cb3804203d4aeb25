"""Label images before and after: side by side, so that a wrong legend is seen at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from geoseg.geo.gdal import open_dataset
from geoseg.geo.legend import Legend
from geoseg.geo.mat_labels import read_mat_labels
from geoseg.geo.raster import Scene, SceneOptions

Array = npt.NDArray[Any]

MOST = 6
"""Images in one picture."""

_SIDE = 480
"""Pixels of the longer side of an image; more are not read."""

_DPI = 110
_UNLABELLED = (224, 224, 192)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One image in two codings."""

    before: str
    """The file that was read."""

    after: str
    """The file that was written; it may lie in a folder that is not named yet."""

    name: str
    """What that file will be called."""

    variable: str | None = None
    """Name of the array, where `before` is a MATLAB file."""


def draw_comparisons(pairs: Sequence[Comparison], legend: Legend, output: Path) -> None:
    """Draw rows of before and after, with the legend below.

    Colours are shown as they are, class values in the colours of the legend, and other numbers
    in grays.

    Args:
        pairs: What to show; the first six.
        legend: Classes and colours.
        output: PNG file to write; not published, as that is for the caller to do.

    Raises:
        SceneError: If a file cannot be read.
    """
    shown = list(pairs)[:MOST]
    rows = [(_picture(p.before, legend, p), _picture(p.after, legend, p)) for p in shown]
    tallest = max(picture.shape[0] / picture.shape[1] for row in rows for picture in row)
    lines = -(-(legend.count + 1) // 5)
    height = len(rows) * (3.6 * min(tallest, 2.0) + 0.35) + 0.3 * lines
    figure = Figure(figsize=(7.6, height), layout="constrained")
    grid = figure.subplots(len(rows), 2, squeeze=False)
    for axes, row, pair in zip(grid, rows, shown, strict=True):
        names = (Path(pair.before).name, pair.name)
        for one, picture, name in zip(axes, row, names, strict=True):
            one.imshow(picture, interpolation="nearest")
            one.set(xticks=[], yticks=[])
            one.set_title(_shortened(name), fontsize=9, loc="left")
    _add_legend(figure, legend)
    figure.savefig(output, format="png", dpi=_DPI)


def _picture(path: str, legend: Legend, pair: Comparison) -> Array:
    """Red, green, blue (height, width, 3) of a file."""
    if path == pair.before and path.lower().endswith(".mat"):
        array = read_mat_labels(path, pair.variable)
        step = max(-(-max(array.shape) // _SIDE), 1)
        array = array[::step, ::step]
        return _paint(array, np.ones(array.shape, bool), legend)
    with open_dataset(path) as dataset:
        crs = "none" if dataset.crs is None else None
    scene = Scene.open(path, SceneOptions(resampling="nearest", assume_crs=crs))
    factor = max(max(scene.grid.shape) / _SIDE, 1.0)
    shape = tuple(max(round(side / factor), 1) for side in scene.grid.shape)
    raster = scene.read(shape=(shape[0], shape[1]))
    if len(raster.data) == 3:
        return np.moveaxis(raster.data, 0, -1)
    if scene.is_paletted and scene.colormap is not None:
        return _of_palette(raster.data[0], raster.valid, scene.colormap)
    return _paint(raster.data[0], raster.valid, legend)


def _of_palette(
    values: Array, valid: Array, colormap: dict[int, tuple[int, int, int, int]]
) -> Array:
    table = np.zeros((256, 3), np.uint8)
    for value, color in colormap.items():
        table[value] = color[:3] if color[3] else _UNLABELLED
    picture: Array = table[values]
    picture[~valid] = _UNLABELLED
    return picture


def _paint(values: Array, valid: Array, legend: Legend) -> Array:
    """Class values in their colours; values of which some are no class in grays."""
    known = {*legend.values, legend.ignore}
    picture = np.empty((*values.shape, 3), np.uint8)
    picture[:] = _UNLABELLED
    found = np.unique(values[valid]).tolist()
    if set(found) <= known:
        for value, color in zip(legend.values, legend.colors, strict=True):
            picture[(values == value) & valid] = color
        return picture
    grays = (np.searchsorted(found, values).clip(max=len(found) - 1) * 255) // max(
        len(found) - 1, 1
    )
    picture[valid] = grays[valid][:, None]
    return picture


def _add_legend(figure: Figure, legend: Legend) -> None:
    entries = [(entry.color, entry.name) for entry in legend.classes]
    entries.append(("#{:02x}{:02x}{:02x}".format(*_UNLABELLED), "not labelled"))
    patches = [
        Patch(facecolor=color, edgecolor="#666666", linewidth=0.5, label=name)
        for color, name in entries
    ]
    figure.legend(
        handles=patches, loc="outside lower center", ncols=min(len(patches), 5), frameon=False,
        fontsize=8,
    )  # fmt: skip


def _shortened(name: str) -> str:
    return name if len(name) <= 48 else f"{name[:22]}...{name[-22:]}"
