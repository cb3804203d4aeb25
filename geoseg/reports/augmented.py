"""A sheet of training samples: as they are read, with their labels, and augmented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from geoseg.geo.legend import Legend
from geoseg.geo.outputs import publish
from geoseg.reports.figures import display_bands

Array = npt.NDArray[Any]

_INCHES, _DOTS_PER_INCH = 2.05, 110
_LABEL = 0.4
"""How much of the class's colour is laid over the image."""
_PAPER, _INK, _PALE = "#ffffff", "#22262b", "#6b7280"
_NO_DATA = (236, 236, 232)
_STRIPE = (250, 250, 250)
_LONG_NAME, _ENTRIES = 26, 7


@dataclass(frozen=True, kw_only=True)
class SampleVersions:
    """A sample as it is read, and then augmented versions of it."""

    name: str
    """Where it comes from."""

    images: Array
    """(versions, bands, height, width) in any units; the first is as read."""

    masks: Array
    """(versions, height, width) class values, the legend's ignore where no loss looks."""

    valid: Array
    """(versions, height, width) bool, True where there is data."""


def draw_augmented(
    samples: Sequence[SampleVersions],
    legend: Legend,
    output: str | Path,
    band_names: Sequence[str] = (),
) -> None:
    """Draw a row for each sample: as read, with its labels, then every augmented version.

    All images have one stretch, that of the samples as read, so that changes of brightness show.
    Classes lie over the image in their colours; where no loss looks the image is striped, and
    where there is no data it is pale.

    Args:
        samples: What to show, one row each; of the same bands, size and number of versions.
        legend: Classes and colours.
        output: PNG file to write.
        band_names: Names by which red, green and blue are found; else the first bands.

    Raises:
        WorkError: If the file cannot be written.
    """
    versions = len(samples[0].images)
    height, width = samples[0].valid.shape[-2:]
    cell = (_INCHES * min(1.6, width / height), _INCHES)
    lines = _lines(legend)
    figure = Figure(
        figsize=(
            cell[0] * (versions + 1) + 0.35,
            (cell[1] + 0.06) * len(samples) + 0.5 + 0.24 * lines,
        ),
        facecolor=_PAPER,
    )
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    grid = figure.subplots(len(samples), versions + 1, squeeze=False)
    pictures = _pictures(samples, band_names)
    for row, (axes, sample) in enumerate(zip(grid, samples, strict=True)):
        _show(axes[0], pictures[row][0], sample.valid[0])
        for version in range(versions):
            painted = _paint(pictures[row][version], sample.masks[version], legend)
            _show(axes[version + 1], painted, sample.valid[version])
        axes[0].set_ylabel(_shorten(sample.name), fontsize=7, color=_PALE)
    titles = ["as read", "with labels", *(f"augmented {n}" for n in range(1, versions))]
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=9.5, color=_INK, pad=5)
    _add_legend(figure, legend)
    with publish(output) as temporary:
        figure.savefig(temporary, dpi=_DOTS_PER_INCH, facecolor=_PAPER)


def _pictures(samples: Sequence[SampleVersions], band_names: Sequence[str]) -> list[Array]:
    """(versions, height, width, 3) uint8 of each sample, all stretched as those read."""
    bands = display_bands(samples[0].images.shape[1], band_names)
    read = [sample.images[0][bands][:, sample.valid[0]] for sample in samples]
    together = np.concatenate(read, axis=1).astype(np.float64)
    if together.size == 0:
        together = np.zeros((len(bands), 1))
    low, high = np.percentile(together, (2, 98), axis=1)
    span = np.where(high > low, high - low, 1.0)
    return [
        (np.clip((np.moveaxis(sample.images[:, bands], 1, -1) - low) / span, 0, 1) * 255).astype(
            np.uint8
        )
        for sample in samples
    ]


def _paint(picture: Array, mask: Array, legend: Legend) -> Array:
    """Lay the colours of the classes over a picture, and stripes where no loss looks."""
    painted = picture.astype(np.float64)
    for value, color in zip(legend.values, legend.colors, strict=True):
        painted[mask == value] += _LABEL * (np.array(color) - painted[mask == value])
    rows, cols = np.indices(mask.shape)
    period = max(4, mask.shape[0] // 20)
    striped = (mask == legend.ignore) & ((rows + cols) % period < max(1, period // 4))
    painted[striped] = _STRIPE
    return painted.round().astype(np.uint8)


def _show(axes: Axes, picture: Array, valid: Array) -> None:
    shown = picture.copy()
    shown[~valid] = _NO_DATA
    axes.imshow(shown, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color="#c9ccd1", linewidth=0.6)


def _lines(legend: Legend) -> int:
    """Of the legend: its classes and two more entries, about as many in each line."""
    return -(-(legend.count + 2) // _ENTRIES)


def _add_legend(figure: Figure, legend: Legend) -> None:
    patches = [
        Patch(facecolor=_rgb(color), edgecolor=_PALE, linewidth=0.5, label=name)
        for color, name in zip(legend.colors, legend.names, strict=True)
    ]
    stripes = Patch(facecolor="#9aa0a8", edgecolor=_PAPER, hatch="////", label="no loss looks")
    pale = Patch(facecolor=_rgb(_NO_DATA), edgecolor=_PALE, linewidth=0.5, label="no data")
    patches += [stripes, pale]
    columns = -(-len(patches) // _lines(legend))
    figure.legend(
        handles=patches, loc="outside lower center", ncols=columns, frameon=False, fontsize=8.5,
        labelcolor=_INK,
    )  # fmt: skip


def _rgb(color: tuple[int, int, int]) -> tuple[float, float, float]:
    return color[0] / 255, color[1] / 255, color[2] / 255


def _shorten(name: str) -> str:
    """Of a path the file; what is long loses its middle."""
    name = name.rpartition("/")[2] or name
    half = (_LONG_NAME - 3) // 2
    return name if len(name) <= _LONG_NAME else f"{name[:half]}...{name[-half:]}"
