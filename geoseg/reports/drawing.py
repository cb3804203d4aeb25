"""Pieces of pictures: stretched pixels, polygons as paths, a scale bar."""

from __future__ import annotations

import math
from pathlib import Path as FilePath
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import shapely
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from shapely.geometry.base import BaseGeometry

from geoseg.geo.grid import Grid

_INK = "#22262b"
_GAMMA = 0.8
"""Brightens the dark side a little, where most of the land lies."""


def stretch(
    data: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_],
    *,
    natural: bool,
    percentiles: tuple[float, float] = (1.0, 99.0),
) -> npt.NDArray[np.uint8]:
    """Stretch raw values between percentiles.

    Args:
        data: (1 or 3, height, width) values; NaN is drawn as black.
        valid: (height, width), True where there is data; the rest becomes transparent.
        natural: Whether the bands are red, green and blue: then one span for all three keeps
            the colours true. Else each band has its own.
        percentiles: Those of the values that become black and white.

    Returns:
        Red, green, blue, alpha: (height, width, 4).
    """
    values = np.nan_to_num(data.astype(np.float32), posinf=0, neginf=0)
    seen = values[:, valid] if valid.any() else values.reshape(len(values), -1)
    low, high = np.percentile(seen, percentiles, axis=1)  # (bands,) each
    span = np.maximum(high - low, np.finfo(np.float32).eps)
    if natural:
        span[:] = span.max()
    light = (values - low[:, None, None]) / span[:, None, None]
    light = np.clip(light, 0, 1) ** _GAMMA  # (bands, height, width)
    picture = np.zeros((*valid.shape, 4), np.uint8)
    picture[..., :3] = np.rint(255 * np.moveaxis(light, 0, -1))  # one band spreads over three
    picture[..., 3] = 255 * valid
    return picture


def write_png(figure: Figure, target: FilePath | IO[bytes], dpi: int) -> None:
    """Write a figure on white as a PNG file.

    `Figure.savefig` draws one with a layout twice, for backends whose size depends on it: that of
    pixels is the same either way.

    Args:
        figure: The figure.
        target: A file, or what takes its bytes.
        dpi: Dots per inch.
    """
    figure.set_dpi(dpi)
    figure.set_facecolor("white")
    FigureCanvasAgg(figure).print_png(target)  # type: ignore[no-untyped-call]


def literal(text: str) -> str:
    """Text that matplotlib draws as it stands: a name with dollars is no formula."""
    return text.replace("$", r"\$")


def ground_ratio(grid: Grid) -> float:
    """Width of a pixel on the ground over its height, in the middle of a grid."""
    ratio = grid.res[0] / grid.res[1]
    if grid.crs is not None and grid.crs.is_geographic:
        _, latitude = grid.transform @ (grid.width / 2, grid.height / 2)
        ratio *= max(math.cos(math.radians(latitude)), 0.01)
    return ratio


def compound_path(geometry: BaseGeometry, grid: Grid) -> Path:
    """A polygon with its holes as one path in pixels of a grid, as imshow counts them."""
    inverse = ~grid.transform
    # Filling goes by winding, so a hole must turn against its shell.
    rings = shapely.get_rings(shapely.orient_polygons(shapely.get_parts(geometry)))
    if len(rings) == 0:
        return Path(np.zeros((0, 2)))
    paths = []
    for ring in rings:
        x, y = shapely.get_coordinates(ring).T
        col = inverse.a * x + inverse.b * y + inverse.c
        row = inverse.d * x + inverse.e * y + inverse.f
        # imshow puts the centre, not the corner, of the first pixel at 0, 0.
        paths.append(Path(np.stack([col - 0.5, row - 0.5], axis=1), closed=True))
    return Path.make_compound_path(*paths)


def round_length(longest: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is no longer than `longest`."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9))


def draw_scale_bar(axes: Axes, grid: Grid, size: tuple[float, float]) -> None:
    """Draw a bar of a round length in the lower left corner.

    Args:
        axes: Where the grid's pixels are drawn with imshow.
        grid: The pixels that are drawn.
        size: Width and height of the axes in pixels of the figure.
    """
    metres = grid.ground_resolution() * math.sqrt(ground_ratio(grid))  # a pixel along the row
    length = round_length(0.3 * grid.width * metres)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    long = length / (grid.width * metres)  # of the width of the axes
    x, y = 1 / size[0], 1 / size[1]  # a pixel of the figure
    frame = (8 * x, 8 * y), long + 20 * x, 32 * y
    halves = [((18 * x + part * long / 2, 14 * y), long / 2, 5 * y) for part in range(2)]
    over = axes.transAxes
    back = Rectangle(*frame, transform=over, facecolor="white", alpha=0.82, linewidth=0, zorder=4)
    axes.add_patch(back)
    for half, color in zip(halves, (_INK, "white"), strict=True):
        bar = Rectangle(
            *half, transform=over, facecolor=color, edgecolor=_INK, linewidth=0.7, zorder=5
        )
        axes.add_patch(bar)
    middle = 18 * x + long / 2
    axes.text(middle, 22 * y, text, transform=over, ha="center", fontsize=8.5, color=_INK, zorder=5)
