"""Draws what the networks cost: multiplications against parameters, a dot each.

Usage: python tests/benchmarks/draw_models.py docs/images/models.png [PATTERN]

Each architecture stands there with its default encoder, 3 bands and 2 classes, for an image of
512 x 512 pixels. `linear`, which has 8 parameters, is left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from geoseg.models import ModelDescription, describe_model, list_models

# Colours that the colour-blind can tell apart (after Okabe and Ito).
KINDS = {
    "own network": "#d55e00",
    "small encoder": "#009e73",
    "ResNet-50 or another of its size": "#0072b2",
    "larger encoder": "#cc79a7",
}
SMALL, MIDDLE = 16e6, 30e6
"""Parameters of an encoder up to which it is called small, and of the size of ResNet-50."""

_PLACES = [(7, 0), (-7, 0), (0, 8), (0, -8), (6, 7), (6, -7), (-6, 7), (-6, -7)]
_FAR = [(x * far, y * far) for far in (1, 2, 3, 4.5) for x, y in _PLACES]
"""Where a name may stand beside its dot, points; nearest and most usual first."""


def main() -> None:
    """Count all and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("pattern", nargs="?")
    given = parser.parse_args()
    described = []
    for name in list_models(given.pattern):
        if name != "linear":
            described.append(describe_model(name))
            print(described[-1], file=sys.stderr)
    draw_models(described, given.picture)


def draw_models(models: Sequence[ModelDescription], output: Path) -> None:
    """Draw a dot and a name for each network.

    Args:
        models: In any order.
        output: PNG file to write; it is meant to be shown 900 pixels wide.
    """
    figure = Figure(figsize=(9, 6.6), layout="constrained")
    axes = figure.subplots()
    axes.set(xscale="log", yscale="log")
    axes.set_xlabel("GMACs of an image of 512 x 512 pixels")
    axes.set_ylabel("parameters, millions")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(visible=True, which="major", color="#e4e4e4")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(0.06)
    points = [(model.macs / 1e9, model.parameters / 1e6) for model in models]
    colors = [KINDS[kind_of(model)] for model in models]
    axes.scatter(*zip(*points, strict=True), c=colors, s=34, linewidths=0)
    _add_names(figure, axes, [model.name for model in models], points)
    handles = [
        Line2D([], [], marker="o", linestyle="", color=color, label=kind)
        for kind, color in KINDS.items()
        if color in colors
    ]
    axes.legend(handles=handles, frameon=False, loc="upper left")
    figure.savefig(output, dpi=200, facecolor="white")


def kind_of(model: ModelDescription) -> str:
    """What colour a network has."""
    from geoseg.nn.counting import count_encoder

    if model.encoder == "none":
        return "own network"
    size = count_encoder(model.encoder)
    names = list(KINDS)
    return names[1] if size <= SMALL else names[2] if size <= MIDDLE else names[3]


def _add_names(
    figure: Figure, axes: Axes, names: Sequence[str], points: Sequence[tuple[float, float]]
) -> None:
    """Put each name where it hides neither a dot nor another name; a line leads to far ones."""
    figure.canvas.draw()  # only then is it known where the points are
    figure.set_layout_engine("none")
    centres = [axes.transData.transform(point) for point in points]
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in centres]
    for name, point in sorted(zip(names, points, strict=True), key=lambda pair: pair[1]):
        for place, shift in enumerate(_FAR):
            text = axes.annotate(
                name,
                point,
                xytext=shift,
                textcoords="offset points",
                fontsize=7.5,
                ha="center" if shift[0] == 0 else "left" if shift[0] > 0 else "right",
                va="center" if shift[1] == 0 else "bottom" if shift[1] > 0 else "top",
                arrowprops={"arrowstyle": "-", "color": "#aaaaaa", "linewidth": 0.5}
                if place >= len(_PLACES)
                else None,
            )
            box = text.get_window_extent().padded(1)
            if not any(box.overlaps(other) for other in taken) or place == len(_FAR) - 1:
                taken.append(box)
                break
            text.remove()


if __name__ == "__main__":
    main()
