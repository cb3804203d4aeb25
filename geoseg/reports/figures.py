"""Pictures of a training run: curves, confusion matrix, samples with their predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from geoseg.geo.legend import Legend
from geoseg.geo.outputs import publish
from geoseg.geo.sample_view import SampleView
from geoseg.reports.drawing import literal, write_png

Array = npt.NDArray[Any]
IGNORE_COLOR = (200, 200, 200)
"""Gray of pixels that no loss or metric sees."""

_DOTS_PER_INCH = 120
_LOSSES = ("train/loss", "val/loss")
_TRAIN, _VAL, _SCENE, _GRAY = "#1f77b4", "#d95f02", "#2a9d5c", "#8a8a8a"

_DECADE, _FAR = 8.0, 3.0
"""A loss whose highest usual value is so many times its usual one is shown on a logarithmic axis;
values so many times the highest usual one are cut off."""


def draw_curves(history: Sequence[Mapping[str, float]], output: str | Path) -> None:
    """Draw loss, mean IoU and learning rate over the epochs.

    The axis of the loss is made for most of its values: it becomes logarithmic where they span
    decades, and a few that are far higher are cut off and told.

    Args:
        history: One row an epoch with `epoch`, `train/loss`, `lr` and, where it was validated,
            `val/loss`, `val/mean_iou`, `val/iou/<class>` and `val/scene/mean_iou`.
        output: PNG file to write.

    Raises:
        WorkError: If the file cannot be written.
    """
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    loss, iou, rate = figure.subplots(1, 3)
    _plot(loss, history, "train/loss", "training", _TRAIN)
    _plot(loss, history, "val/loss", "validation", _VAL)
    for key in sorted({k for row in history for k in row if k.startswith("val/iou/")}):
        _plot(iou, history, key, "", _GRAY, width=0.8)
    _plot(iou, history, "val/mean_iou", "mean", _VAL)
    _plot(iou, history, "val/scene/mean_iou", "mean of whole scenes", _SCENE)
    _mark_best(iou, history)
    _plot(rate, history, "lr", "", _TRAIN)
    for axes, title in ((loss, "Loss"), (iou, "IoU in validation"), (rate, "Learning rate")):
        _finish_axes(axes, title)
    _limit_loss(loss, history)
    iou.set_ylim(0, 1)
    rate.set_ylim(bottom=0)
    _save(figure, output)


def draw_confusion(matrix: Array, names: Sequence[str], output: str | Path) -> None:
    """Draw a confusion matrix: colour is the share of the row, text is share and pixels.

    Args:
        matrix: (C, C) pixel counts, rows are the reference.
        names: Name of each class.
        output: PNG file to write.

    Raises:
        WorkError: If the file cannot be written.
    """
    _save(confusion_figure(matrix, names), output)


def confusion_figure(matrix: Array, names: Sequence[str]) -> Figure:
    """The figure of `draw_confusion`."""
    matrix = np.asarray(matrix, np.float64)
    names = [literal(name) for name in names]
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros_like(matrix), where=totals > 0)
    count = len(matrix)
    side = max(3.2, 0.85 * count)
    figure = Figure(figsize=(side + 2.2, side + 1.2), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(count), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), names)
    axes.set(xlabel="predicted", ylabel="reference")
    axes.tick_params(length=0)
    if count <= 20:
        _write_cells(axes, matrix, shares)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, format=lambda v, _: f"{v:.0%}")
    bar.set_label("share of the reference class")
    bar.outline.set_visible(False)
    return figure


def draw_samples(
    samples: Sequence[SampleView],
    legend: Legend,
    output: str | Path,
    band_names: Sequence[str] = (),
) -> None:
    """Draw samples in rows of image, reference and prediction, with the legend below.

    Args:
        samples: What to show, one row each; of the same bands.
        legend: Classes and colours of reference and prediction.
        output: PNG file to write.
        band_names: Names by which red, green and blue are found; else the first bands.

    Raises:
        WorkError: If the file cannot be written.
    """
    pictures = stretch_images(samples, band_names)
    rows = len(samples)
    # The legend needs its own line for every few classes.
    figure = Figure(figsize=(7.2, 2.45 * rows + 0.5 + 0.25 * (legend.count // 4)))
    figure.set_layout_engine("compressed")
    grid = figure.subplots(rows, 3, squeeze=False)
    for row, (axes, sample, picture) in enumerate(zip(grid, samples, pictures, strict=True)):
        shown = sample.valid & (sample.reference != legend.ignore)
        columns = {
            "image": picture,
            "reference": paint(sample.reference, legend, shown),
            "prediction": paint(sample.prediction, legend, sample.valid),
        }
        for one, (title, pixels) in zip(axes, columns.items(), strict=True):
            one.imshow(pixels, interpolation="nearest")
            one.set(xticks=[], yticks=[])
            one.spines[:].set_visible(False)
            if row == 0:
                one.set_title(title, fontsize=10)
        axes[0].set_ylabel(literal(_shorten(sample.name)), fontsize=7)
    _add_legend(figure, legend)
    _save(figure, output)


class Pictured(Protocol):
    """What has an image with its validity."""

    @property
    def image(self) -> Array:
        """(bands, height, width) in raw units."""

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """(height, width), True where there is data."""


def stretch_images(samples: Sequence[Pictured], band_names: Sequence[str] = ()) -> list[Array]:
    """Turn images of any bands into pictures, all with the same stretch from 2 % to 98 %.

    Returns:
        (height, width, 3) uint8 each; invalid pixels are gray.
    """
    if not samples:
        return []
    bands = display_bands(len(samples[0].image), band_names)
    pixels = [s.image[bands][:, s.valid & np.isfinite(s.image).all(axis=0)] for s in samples]
    together = np.concatenate(pixels, axis=1)
    if together.size == 0:
        together = np.zeros((len(bands), 1))
    low, high = np.percentile(together.astype(np.float64), (2, 98), axis=1)
    high = np.where(high > low, high, low + 1)
    return [_stretch(s.image[bands], s.valid, low, high) for s in samples]


def display_bands(count: int, names: Sequence[str] = ()) -> list[int]:
    """Choose the three bands to show as red, green and blue; one band becomes gray.

    Examples:
        >>> display_bands(4, ("blue", "green", "red", "nir"))
        [2, 1, 0]
        >>> display_bands(2)
        [0, 0, 0]
    """
    lowered = [name.lower() for name in names]
    if all(color in lowered for color in ("red", "green", "blue")):
        return [lowered.index(color) for color in ("red", "green", "blue")]
    return [0, 1, 2] if count >= 3 else [0, 0, 0]


def _plot(
    axes: Axes,
    history: Sequence[Mapping[str, float]],
    key: str,
    label: str,
    color: str,
    width: float = 1.8,
) -> None:
    points = [(row["epoch"], row[key]) for row in history if np.isfinite(row.get(key, np.nan))]
    if not points:
        return
    marker = "o" if len(points) < 3 else None
    epochs, values = zip(*points, strict=True)
    axes.plot(epochs, values, label=label or None, color=color, linewidth=width, marker=marker)
    if key.startswith("val/iou/"):
        name = key.removeprefix("val/iou/")
        end = (epochs[-1], values[-1])
        axes.annotate(
            name, end, (3, 0), textcoords="offset points", va="center", fontsize=7, color=color
        )


def _limit_loss(axes: Axes, history: Sequence[Mapping[str, float]]) -> None:
    """Show most losses well, even where a few are far higher."""
    points = [(row.get(key, np.nan), row["epoch"]) for row in history for key in _LOSSES]
    points = [point for point in points if np.isfinite(point[0])]
    axes.set_ylim(bottom=min(0.0, *(value for value, _ in points)) if points else 0)
    if len(points) < 2:
        return
    values = np.array([value for value, _ in points])
    usual, high = np.median(values), np.percentile(values, 90)
    if values.min() > 0 and min(high * _FAR, values.max()) > _DECADE * usual:
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.8 * values.min())
    highest, epoch = max(points)
    if high > 0 and highest > _FAR * high:
        axes.set_ylim(top=1.2 * values[values <= _FAR * high].max())
        note = f"up to {highest:.3g} in epoch {epoch:g}"
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.annotate(note, (0.02, 0.98), xycoords="axes fraction", va="top", fontsize=8, bbox=box)


def _mark_best(axes: Axes, history: Sequence[Mapping[str, float]]) -> None:
    rows = [row for row in history if np.isfinite(row.get("val/mean_iou", np.nan))]
    if not rows:
        return
    best = max(rows, key=lambda row: row["val/mean_iou"])
    label = f"best {best['val/mean_iou']:.3f}, epoch {best['epoch']:g}"
    axes.plot(
        best["epoch"], best["val/mean_iou"], "o", color=_VAL, markersize=5, label=label, zorder=5
    )


def _finish_axes(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.grid(color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)


def _write_cells(axes: Axes, matrix: Array, shares: Array) -> None:
    for (row, col), share in np.ndenumerate(shares):
        if matrix[row, col] == 0:
            continue
        color = "white" if share > 0.55 else "#333333"
        text = f"{share:.1%}\n{_short_count(float(matrix[row, col]))}"
        axes.text(col, row, text, ha="center", va="center", fontsize=8, color=color)


def _short_count(count: float) -> str:
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= unit:
            return f"{count / unit:.3g}{name}"
    return f"{count:g}"


def _stretch(image: Array, valid: Array, low: Array, high: Array) -> Array:
    scaled = (image.astype(np.float64) - low[:, None, None]) / (high - low)[:, None, None]
    picture = (np.clip(np.nan_to_num(scaled), 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    picture[~valid] = IGNORE_COLOR
    return np.asarray(picture)


def paint(values: Array, legend: Legend, shown: Array) -> Array:
    """Colour class values (height, width) by the legend; what is not `shown` becomes gray.

    Returns:
        (height, width, 3) uint8.
    """
    picture = np.empty((*values.shape, 3), np.uint8)
    picture[:] = IGNORE_COLOR
    for value, color in zip(legend.values, legend.colors, strict=True):
        picture[shown & (values == value)] = color
    return picture


def _add_legend(figure: Figure, legend: Legend) -> None:
    patches = [
        Patch(facecolor=_rgb(color), edgecolor="#666666", linewidth=0.5, label=literal(name))
        for color, name in zip(legend.colors, legend.names, strict=True)
    ]
    gray = _rgb(IGNORE_COLOR)
    patches.append(Patch(facecolor=gray, edgecolor="#666666", linewidth=0.5, label="not labelled"))
    figure.legend(
        handles=patches, loc="outside lower center", ncols=min(len(patches), 5), frameon=False,
        fontsize=8,
    )  # fmt: skip


def _rgb(color: tuple[int, int, int]) -> tuple[float, float, float]:
    return color[0] / 255, color[1] / 255, color[2] / 255


def _shorten(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:12]}...{name[-13:]}"


def _save(figure: Figure, output: str | Path) -> None:
    with publish(output) as temporary:
        write_png(figure, temporary, _DOTS_PER_INCH)
