"""Quick look: scenes, class rasters and polygons in one picture, with legend and scale bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from geoseg.errors import ConfigError, LegendError, OutputError
from geoseg.geo.classes import legend_of_classes, open_classes
from geoseg.geo.legend import Legend
from geoseg.geo.output_lock import writing
from geoseg.geo.outputs import check_output, publish
from geoseg.geo.raster import Raster, Scene, SceneOptions
from geoseg.geo.remote import file_name
from geoseg.geo.scene_images import shown_bands
from geoseg.reports.drawing import draw_scale_bar, ground_ratio, literal, stretch
from geoseg.reports.outlines import draw_outlines, read_outlines
from geoseg.reports.overlay import class_colors, overlay, read_classes_onto

Array = npt.NDArray[Any]

_DPI = 100
_COLUMNS = 3
_LONG_LEGEND = 12
_MARGIN, _GAP = 14, 16
_TITLE, _PANEL_TITLE, _CAPTION, _LEGEND_LINE = 38, 24, 34, 25
"""Pixels around, between, and of the lines of text."""
_INK, _PALE, _EMPTY = "#22262b", "#6b7280", "#f1f1ee"


@dataclass(frozen=True, kw_only=True)
class PreviewOptions:
    """How a quick look is drawn."""

    title: str = ""
    """Headline; none if empty."""

    size: int = 1500
    """Width of the picture in pixels."""

    opacity: float = 0.5
    """How much the classes that are laid over a scene hide of it, 0 to 1."""

    stretch: tuple[float, float] = (1.0, 99.0)
    """Percentiles of a scene's values that become black and white."""

    assume_crs: str | None = None
    """CRS of rasters that have none; `none` takes them as plain pixels."""

    trust_vrt: bool = False
    """Whether a VRT may point out of its own folder."""

    allow_remote: bool = False
    """Whether a VRT may name URLs."""

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            raise ConfigError("--opacity", f"is {self.opacity}", "Give 0 to 1")
        low, high = self.stretch
        if not 0 <= low < high <= 100:
            raise ConfigError(
                "--stretch", f"{low:g} and {high:g} are no percentiles", "Give such as 2,98"
            )
        if not 200 <= self.size <= 20000:
            raise ConfigError("--size", f"is {self.size}", "Give 200 to 20000 pixels")


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """One picture of the figure."""

    scene: Scene
    """What it shows."""

    raster: Raster
    """Its pixels, read at the size they are shown in."""

    legend: Legend | None
    """Of a class raster; None for a scene."""

    classes: Raster | None = None
    """What is laid over it: class values of the same pixels."""

    polygons: geopandas.GeoDataFrame | None = None
    """What is outlined on it."""

    @property
    def title(self) -> str:
        name = file_name(self.scene.path)
        more = {"classes": self.classes, "polygons": self.polygons}
        over = [word for word, what in more.items() if what is not None]
        return f"{name} with {' and '.join(over)}" if over else name


def preview(
    rasters: Sequence[str | Path],
    output: str | Path,
    *,
    classes: str | Path | None = None,
    polygons: str | Path | None = None,
    legend: Legend | None = None,
    options: PreviewOptions | None = None,
    overwrite: bool = False,
) -> Path:
    """Draw rasters side by side, classes and polygons on one of them, a legend and a scale bar.

    Scenes show their bands red, green, blue (else the first three, or one in gray) stretched
    between percentiles; rasters with a colour table, or of the legend's values only, show their
    classes. Large rasters are read at the size they are drawn. Classes to lay over and polygons lie
    on a single raster, or get a panel of their own over the first of several.

    Args:
        rasters: Scenes and class rasters, in the order of their panels.
        output: PNG file to write.
        classes: Class raster to lay over a scene, half transparent; on any grid. Its background
            class is left out.
        polygons: Vector file to outline; its background class is left out.
        legend: Names and colours of classes; by default those that a class raster brings.
        options: Title, size, stretch and opacity.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path of the picture.

    Raises:
        SceneError: If a raster cannot be read, or the classes cannot be laid over it.
        LabelError: If the polygons cannot be read or laid over the raster.
        ConfigError: If no raster is given.
        OutputError: If the picture must not be written there.
        WorkError: If writing fails.
    """
    options = options or PreviewOptions()
    if not rasters:
        raise ConfigError("rasters", "none are given", "Name a raster to draw")
    inputs = [*rasters, *(path for path in (classes, polygons) if path is not None)]
    output = check_output(output, overwrite=overwrite, inputs=inputs)
    if output.suffix.lower() != ".png":
        problem = f'pictures cannot be written as "{output.suffix}"'
        raise OutputError(output, problem, "Name it .png")
    with writing(output):
        covered = len(rasters) > 1 and not (classes is None and polygons is None)
        side = _panel_side(len(rasters) + covered, options)
        panels = [_open_panel(str(path), legend, side, options) for path in rasters]
        shown = legend or next((p.legend for p in panels if p.legend is not None), None)
        if classes is not None:
            shown = legend or legend_of_classes(open_classes(str(classes), options.assume_crs))
        panels = _cover(panels, classes, polygons, shown, options)
        figure = _draw(panels, shown, options)
        with publish(output) as temporary:
            figure.savefig(temporary, format="png", dpi=_DPI)
    return output


def _panel_side(count: int, options: PreviewOptions) -> int:
    return max(options.size // min(max(count, 1), _COLUMNS), 64)


def _open_panel(path: str, legend: Legend | None, side: int, options: PreviewOptions) -> _Panel:
    plain = SceneOptions(
        assume_crs=options.assume_crs,
        resampling="nearest",
        trust_vrt=options.trust_vrt,
        allow_remote=options.allow_remote,
    )
    scene = Scene.open(path, plain)
    if _may_hold_classes(scene, legend):
        raster = _read(scene, side)
        legend = _class_legend(scene, raster, legend)
        if legend is not None:
            return _Panel(scene=scene, raster=raster, legend=legend)
    bands = tuple(scene.bands[index] for index in shown_bands(scene))
    smooth = replace(plain, bands=bands, resampling="average", expand_palette=scene.is_paletted)
    scene = Scene.open(path, replace(smooth, bands=None) if scene.is_paletted else smooth)
    return _Panel(scene=scene, raster=_read(scene, side), legend=None)


def _read(scene: Scene, side: int) -> Raster:
    """Read a whole scene, no larger than `side` pixels in width and twice that in height."""
    grid = scene.grid
    factor = max(grid.width / side, grid.height / (2 * side), 1.0)
    shape = max(round(grid.height / factor), 1), max(round(grid.width / factor), 1)
    return scene.read(shape=None if shape == grid.shape else shape)


def _may_hold_classes(scene: Scene, legend: Legend | None) -> bool:
    is_integer = np.dtype(scene.dtype).kind == "u"
    return scene.is_paletted or (scene.count == 1 and is_integer and legend is not None)


def _class_legend(scene: Scene, raster: Raster, legend: Legend | None) -> Legend | None:
    """The legend by which a raster is drawn; None if it does not hold classes."""
    found = np.unique(raster.data[0][raster.valid])
    if legend is not None:
        known = np.isin(found, [*legend.values, legend.ignore]).all()
        return legend if known or scene.is_paletted else None
    try:
        return Legend.open(scene.path)
    except LegendError:
        return Legend.of_values((int(value) for value in found), colormap=scene.colormap)


def _cover(
    panels: list[_Panel],
    classes: str | Path | None,
    polygons: str | Path | None,
    legend: Legend | None,
    options: PreviewOptions,
) -> list[_Panel]:
    """Lay classes and polygons on a single panel, or on a copy of the first of several."""
    covered = below = panels[0]
    grid = below.raster.grid
    if classes is not None:
        raster = read_classes_onto(str(classes), below.scene, grid, options.assume_crs)
        covered = replace(covered, classes=raster)
    if polygons is not None:
        covered = replace(covered, polygons=read_outlines(str(polygons), grid, legend))
    if covered is below:
        return panels
    return [covered] if len(panels) == 1 else [*panels, covered]


def _draw(panels: Sequence[_Panel], legend: Legend | None, options: PreviewOptions) -> Figure:
    """Place title, panels and legend; everything is reckoned in pixels from the top."""
    columns = min(len(panels), _COLUMNS)
    width = (options.size - 2 * _MARGIN - (columns - 1) * _GAP) / columns
    boxes, top = [], float(_MARGIN + (_TITLE if options.title else 0))
    for first in range(0, len(panels), columns):
        row = panels[first : first + columns]
        heights = [min(width * _tallness(panel), 2 * width) for panel in row]
        for column, height in enumerate(heights):
            left = _MARGIN + column * (width + _GAP)
            boxes.append((left, top + _PANEL_TITLE, width, height))
        top += _PANEL_TITLE + max(heights) + _CAPTION
    patches = [] if legend is None else _legend_patches(panels, legend)
    legend_columns = _legend_columns(patches, options.size)
    lines = -(-len(patches) // legend_columns)
    height = top + lines * _LEGEND_LINE + _MARGIN
    figure = Figure(figsize=(options.size / _DPI, height / _DPI), facecolor="white")
    for panel, box in zip(panels, boxes, strict=True):
        _draw_panel(figure, panel, _picture(panel, legend, options), box)
        if panel.polygons is not None:
            draw_outlines(figure.axes[-1], panel.polygons, panel.raster.grid, legend)
    if options.title:
        figure.text(
            _MARGIN / options.size, 1 - (_MARGIN + _TITLE / 2) / height, literal(options.title),
            fontsize=15, fontweight="bold", color=_INK, va="center",
        )  # fmt: skip
    if patches:
        _draw_legend(figure, patches, legend_columns, 1 - top / height)
    return figure


def _tallness(panel: _Panel) -> float:
    """Height over width on the ground."""
    grid = panel.raster.grid
    return grid.height / (grid.width * ground_ratio(grid))


def _draw_panel(
    figure: Figure,
    panel: _Panel,
    picture: Array,
    box: tuple[float, float, float, float],
) -> None:
    """Draw the picture of a panel into left, top, width, height (pixels of the figure)."""
    left, top, width, height = box
    all_width, all_height = figure.get_size_inches() * _DPI
    bottom = all_height - top - height
    axes = figure.add_axes(
        (left / all_width, bottom / all_height, width / all_width, height / all_height)
    )
    grid = panel.raster.grid
    smooth = "antialiased" if panel.legend is None else "nearest"
    axes.imshow(picture, interpolation=smooth, aspect=1 / ground_ratio(grid))
    axes.set(xticks=[], yticks=[], facecolor=_EMPTY)
    axes.spines[:].set(color="#c9c9c4", linewidth=0.8)
    axes.set_title(literal(panel.title), fontsize=11, color=_INK, loc="left", pad=5)
    axes.set_xlabel(_describe(panel.scene), fontsize=8.5, color=_PALE, loc="left", labelpad=4)
    if grid.is_georeferenced:
        draw_scale_bar(axes, grid, (width, height))


def _picture(panel: _Panel, legend: Legend | None, options: PreviewOptions) -> Array:
    """Red, green, blue, alpha (height, width, 4) of a panel, uint8; `legend` of what covers it."""
    raster = panel.raster
    if panel.legend is None:
        natural = panel.scene.band_names == ("red", "green", "blue")
        limits = options.stretch
        picture = stretch(raster.data, raster.valid, natural=natural, percentiles=limits)
    else:
        picture = class_colors(raster, panel.legend)
    if panel.classes is not None and legend is not None:
        picture = overlay(picture, panel.classes, legend, options.opacity)
    return picture


def _describe(scene: Scene) -> str:
    grid = scene.grid
    size = f"{grid.width} x {grid.height} pixels"
    if grid.crs is None:
        return size
    authority = grid.crs.to_authority()
    name = ":".join(authority) if authority else "custom CRS"
    return f"{name}, {float(f'{grid.ground_resolution():.3g}'):g} m, {size}"


def _legend_patches(panels: Sequence[_Panel], legend: Legend) -> list[Patch]:
    """One entry for each class; of long legends only for those that are seen."""
    shares = _shares(panels, legend)
    entries = zip(legend.classes, shares, strict=True)
    if legend.count > _LONG_LEGEND and any(share is not None for share in shares):
        entries = ((entry, share) for entry, share in entries if share)  # type: ignore[assignment]
    return [
        Patch(
            facecolor=entry.color,
            edgecolor="#8a8a85",
            linewidth=0.6,
            label=literal(entry.name if share is None else f"{entry.name}  {share:.1%}"),
        )
        for entry, share in entries
    ]


def _legend_columns(patches: Sequence[Patch], size: int) -> int:
    """As many entries beside each other as the picture is wide."""
    longest = max((len(str(patch.get_label())) for patch in patches), default=1)
    return max(1, min(len(patches), int(size / (longest * 9 + 60))))


def _draw_legend(figure: Figure, patches: Sequence[Patch], columns: int, top: float) -> None:
    # Matplotlib fills columns first; the eye reads rows first.
    order = [patches[i] for c in range(columns) for i in range(c, len(patches), columns)]
    figure.legend(
        handles=order,
        loc="upper center",
        bbox_to_anchor=(0.5, top),
        ncols=columns,
        frameon=False,
        fontsize=10.5,
        labelcolor=_INK,
        handlelength=1.5,
        handleheight=1.1,
        columnspacing=1.8,
        borderpad=0.1,
    )


def _shares(panels: Sequence[_Panel], legend: Legend) -> list[float | None]:
    """The share of each class, where just one class raster is drawn."""
    rasters = [panel.raster for panel in panels if panel.legend is not None]
    rasters += [panel.classes for panel in panels if panel.classes is not None]
    if len(rasters) != 1 or not rasters[0].valid.any():
        return [None] * legend.count
    values = rasters[0].data[0][rasters[0].valid]
    return [float(np.mean(values == value)) for value in legend.values]
