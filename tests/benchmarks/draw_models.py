"""Draws what the networks cost: a row each, with its multiplications and its parameters.

Usage: python tests/benchmarks/draw_models.py docs/images/models.png [PATTERN]

Each architecture stands there with its default encoder, 3 bands and 2 classes, for an image of
512 x 512 pixels; the cheapest is at the top. `linear`, which has 8 parameters, is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geoseg.models import ModelDescription, describe_model, list_models

# Colours that the colour-blind can tell apart (after Okabe and Ito).
OVER_AN_ENCODER, OF_ITS_OWN = "#0072b2", "#d55e00"
_PALE = "#dddddd"
_ROW, _MARGIN, _WIDTH = 0.185, 1.1, 9.0
"""Inches: a row, title and axis together, the picture."""


def main() -> None:
    """Count all and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("pattern", nargs="?")
    given = parser.parse_args()
    names = [name for name in list_models(given.pattern) if name != "linear"]
    draw_models([describe_model(name) for name in names], given.picture)


def draw_models(models: Sequence[ModelDescription], output: Path) -> None:
    """Draw two dots a network.

    Args:
        models: In any order.
        output: PNG file to write; it is meant to be shown 900 pixels wide.
    """
    models = sorted(models, key=lambda model: model.macs)
    size = _WIDTH, _ROW * len(models) + _MARGIN
    figure = Figure(figsize=size, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _draw(left, models, [model.macs / 1e9 for model in models], "GMACs at 512 x 512 pixels")
    _draw(right, models, [model.parameters / 1e6 for model in models], "parameters, millions")
    labels = [_label(model) for model in models]
    left.set_yticks(range(len(models)), labels, fontsize=8)
    left.set_ylim(len(models) - 0.4, -0.6)
    for color, kind in ((OVER_AN_ENCODER, "over an encoder"), (OF_ITS_OWN, "network of its own")):
        right.scatter([], [], color=color, s=30, label=kind)
    right.legend(frameon=False, loc="upper right", fontsize=8)
    figure.savefig(output, dpi=200, facecolor="white")


def _draw(
    axes: Axes, models: Sequence[ModelDescription], values: Sequence[float], title: str
) -> None:
    rows = range(len(models))
    colors = [OF_ITS_OWN if model.encoder == "none" else OVER_AN_ENCODER for model in models]
    axes.set_xscale("log")
    axes.hlines(rows, min(values) / 2, values, color=_PALE, linewidth=1, zorder=0)
    axes.scatter(values, rows, c=colors, s=30, linewidths=0)
    for row, value in zip(rows, values, strict=True):
        text = f"{value:.2g}" if value < 10 else f"{value:.0f}"
        axes.annotate(
            text, (value, row), (6, 0), textcoords="offset points", va="center", fontsize=7
        )
    axes.set_xlim(min(values) / 2, max(values) * 2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_title(title, fontsize=10)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _label(model: ModelDescription) -> str:
    return model.name if model.encoder == "none" else f"{model.name} : {model.encoder}"


if __name__ == "__main__":
    main()
