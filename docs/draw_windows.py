"""Draw docs/images/windows.png and blending.png: where windows lie, and what their pixels count.

Every number is that of the code which predicts: `geoseg.geo.windows` and `geoseg.engine.layout`.

    python docs/draw_windows.py
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from geoseg.engine.layout import Axis, Blend, Layout, make_axis
from geoseg.geo.windows import sliding_windows

IMAGES = Path(__file__).parent / "images"
INK, PALE, GRID = "#22262b", "#6f7883", "#d5d9de"
BLUE, GREEN, RED, GOLD, SAND = "#2f6fb0", "#4a9a5f", "#c9503f", "#c79a2b", "#efe8d8"
SHAPE, WINDOW, STRIDE = (380, 620), 256, 128
"""Of the scene in the first picture, pixels."""
LENGTH = 640
"""Of the row of windows in the second picture, pixels."""
BLENDS: dict[Blend, str] = {
    "mean": "all alike",
    "hann": "a raised cosine",
    "gaussian": "a bell",
    "crop": "the centre alone",
}


def main() -> int:
    """Draw both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=IMAGES, help="folder")
    folder: Path = parser.parse_args().output
    for name, draw in (("windows.png", draw_windows), ("blending.png", draw_blending)):
        figure = draw()
        figure.savefig(folder / name, dpi=125)
        print(folder / name)
    return 0


def draw_windows() -> Figure:
    """Windows over a scene, how often each pixel is seen, and the strip that is in memory."""
    figure = Figure(figsize=(10.2, 2.75), facecolor="white")
    figure.set_layout_engine("constrained")
    where, counts, strip = figure.subplots(1, 3)
    layout = Layout.of(SHAPE, WINDOW, STRIDE)
    draw_outlines(where, layout)
    draw_counts(counts, layout)
    draw_strip(strip, layout)
    return figure


def draw_outlines(axes: Axes, layout: Layout) -> None:
    """The outline of each window; the last of an axis is pulled back to the edge."""
    begin_scene(axes, f"windows of {WINDOW}, {STRIDE} apart")
    columns = len(layout.cols.offsets)
    axes.add_patch(Rectangle((5, 5), WINDOW - 10, WINDOW - 10, color=BLUE, alpha=0.15))
    for number, window in enumerate(sliding_windows(SHAPE, WINDOW, STRIDE)):
        row, column = divmod(number, columns)
        inset = 5 + 5 * (column % 2)  # drawn a little smaller, so that no outline hides another
        corner = (window.col_off + inset, window.row_off + inset)
        side = WINDOW - 2 * inset
        outline = {"edgecolor": (BLUE, RED)[row % 2], "linewidth": 1.3}
        axes.add_patch(Rectangle(corner, side, side, fill=False, **outline))
    axes.set_xticks([*layout.cols.offsets, SHAPE[1]])
    axes.set_yticks([*layout.rows.offsets, SHAPE[0]])


def draw_counts(axes: Axes, layout: Layout) -> None:
    """The sum of the weights over each pixel: a product of two vectors."""
    begin_scene(axes, "windows that see a pixel")
    rows, cols = layout.rows.totals, layout.cols.totals
    product = np.outer(rows, cols)
    axes.imshow(product, cmap="Blues", vmin=0, vmax=product.max() * 1.3, zorder=1)
    axes.set_xticks([*layout.cols.offsets, SHAPE[1]])
    axes.set_yticks([*layout.rows.offsets, SHAPE[0]])
    for top, bottom in runs(rows):
        for left, right in runs(cols):
            if right - left < 40 or bottom - top < 25:
                continue
            place = ((left + right) / 2, (top + bottom) / 2)
            axes.text(*place, f"{product[top, left]:.0f}", ha="center", va="center", color=INK)


def draw_strip(axes: Axes, layout: Layout) -> None:
    """What is finished, in memory and still to come when the first row of windows has run."""
    begin_scene(axes, "after the first row of windows")
    first, second = layout.rows.offsets[:2]
    for top, bottom, color, text in (
        (0, second, GREEN, "finished, and written:\nno later window reaches here"),
        (second, first + WINDOW, RED, "sums, kept for the next row"),
        (first + WINDOW, SHAPE[0], PALE, "still to come"),
    ):
        band = Rectangle((0, top), SHAPE[1], bottom - top, color=color, alpha=0.22, linewidth=0)
        axes.add_patch(band)
        middle = (SHAPE[1] / 2, (top + bottom) / 2)
        axes.text(*middle, text, ha="center", va="center", color=INK, fontsize=10)
    axes.set_xticks([0, SHAPE[1]])
    axes.set_yticks([first, second, first + WINDOW, SHAPE[0]])


def begin_scene(axes: Axes, title: str) -> None:
    """An empty scene with its frame."""
    height, width = SHAPE
    axes.add_patch(Rectangle((0, 0), width, height, color=SAND, linewidth=0, zorder=0))
    axes.set(xlim=(-4, width + 4), ylim=(height + 4, -4), aspect="equal")
    axes.set_title(title, fontsize=11, color=INK)
    axes.tick_params(colors=PALE, labelsize=8.5, length=3)
    for spine in axes.spines.values():
        spine.set_color(GRID)


def runs(totals: np.ndarray) -> list[tuple[int, int]]:
    """Where a vector keeps one value: first and last (exclusive) place of each such run."""
    edges = [0, *(np.flatnonzero(np.diff(totals)) + 1).tolist(), len(totals)]
    return list(pairwise(edges))


def draw_blending() -> Figure:
    """Each blend along a row of windows: the weights, and what part each gives to a pixel."""
    figure = Figure(figsize=(10.2, 4.8), facecolor="white")
    figure.set_layout_engine("constrained")
    upper, lower = figure.subplots(2, len(BLENDS), sharex=True, sharey="row")
    for column, (blend, meaning) in enumerate(BLENDS.items()):
        axis = make_axis(LENGTH, WINDOW, STRIDE, blend)
        draw_weights(upper[column], axis)
        draw_shares(lower[column], axis)
        upper[column].set_title(f"{blend}: {meaning}", fontsize=10.5, color=INK)
        lower[column].set_xticks([*axis.offsets, LENGTH])
        lower[column].set_xlabel("pixel of the row", color=PALE, fontsize=9)
    upper[0].set_ylabel("weight in each window,\nand their sum (dashed)", color=INK, fontsize=9.5)
    lower[0].set_ylabel("part of the average", color=INK, fontsize=9.5)
    return figure


def shade(number: int) -> str:
    """The colour of a window: neighbours differ."""
    return (BLUE, RED, GREEN, GOLD)[number % 4]


def draw_weights(axes: Axes, axis: Axis) -> None:
    """The weights of each window, and their sum."""
    centres = np.arange(axis.length) + 0.5
    for number, start in enumerate(axis.offsets):
        place = slice(start, start + axis.size)
        axes.plot(centres[place], axis.weight(number), color=shade(number), linewidth=1.6)
        axes.fill_between(centres[place], axis.weight(number), color=shade(number), alpha=0.13)
    axes.plot(centres, axis.totals, color=INK, linewidth=1.1, linestyle=(0, (4, 2)))
    finish(axes, 2.25)


def draw_shares(axes: Axes, axis: Axis) -> None:
    """The parts of the average, one upon the other: they reach 1 everywhere."""
    parts = np.zeros((len(axis.offsets), axis.length))
    for number, start in enumerate(axis.offsets):
        parts[number, start : start + axis.size] = axis.share(number)
    colors = [shade(number) for number in range(len(parts))]
    centres = np.arange(axis.length) + 0.5
    axes.stackplot(centres, parts, colors=colors, alpha=0.55, linewidth=0)
    finish(axes, 1.02)


def finish(axes: Axes, top: float) -> None:
    """Limits, and a quiet frame."""
    axes.set(xlim=(0, LENGTH), ylim=(0, top))
    axes.tick_params(colors=PALE, labelsize=8.5, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)


if __name__ == "__main__":
    sys.exit(main())
