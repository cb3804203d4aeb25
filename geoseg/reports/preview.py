"""Quick look: scenes, class rasters and polygons in one picture, with legend and scale bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from geoseg.errors import ConfigError, LabelError, LegendError
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.outputs import check_output, publish
from geoseg.geo.raster import Raster, Scene, SceneOptions
from geoseg.geo.vector import read_polygons
from geoseg.reports.drawing import compound_path, draw_scale_bar, ground_ratio, stretch

Array = npt.NDArray[Any]

_DOTS_PER_INCH = 100
_COLUMNS = 3
_INK, _PALE, _EMPTY = "#22262b", "#6b7280", "#f1f1ee"
_OUTLINE = "#ffd60a"
"""Of polygons that no legend colours."""


@dataclass(frozen=True, kw_only=True)
class PreviewOptions:
    """How a quick look is drawn."""

    title: str = ""
    """Headline; none if empty."""

    size: int = 1500
    """Width of the picture in pixels."""

    assume_crs: str | None = None
    """CRS of rasters that have none; `none` takes them as plain pixels."""

    def __post_init__(self) -> None:
        if not 200 <= self.size <= 20000:
            raise ConfigError("size", f"is {self.size}", "Give 200 to 20000 pixels")


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """One picture of the figure."""

    scene: Scene
    """What it shows."""

    raster: Raster
    """Its pixels, read at the size they are shown in."""

    legend: Legend | None
    """Of a class raster; None for a scene."""

    polygons: geopandas.GeoDataFrame | None = None
    """What is outlined on it."""

    @property
    def title(self) -> str:
        name = Path(self.scene.path).name
        return name if self.polygons is None else f"{name} with polygons"


def preview(
    rasters: Sequence[str | Path],
    output: str | Path,
    *,
    polygons: str | Path | None = None,
    legend: Legend | None = None,
    options: PreviewOptions | None = None,
    overwrite: bool = False,
) -> Path:
    """Draw rasters side by side, with polygons on one of them, a legend and a scale bar.

    Scenes show their bands red, green, blue (else the first three, or one in gray) stretched
    between percentiles; rasters with a colour table, or of the legend's values only, show their
    classes. Large rasters are read at the size they are drawn. Polygons lie on a single raster,
    or get a panel of their own over the first of several.

    Args:
        rasters: Scenes and class rasters, in the order of their panels.
        output: PNG file to write.
        polygons: Vector file to outline; its background class is left out.
        legend: Names and colours of classes; by default those that a class raster brings.
        options: Title and size.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path of the picture.

    Raises:
        SceneError: If a raster cannot be read.
        LabelError: If the polygons cannot be read or laid over the raster.
        ConfigError: If no raster is given.
        OutputError: If the picture must not be written there.
        WorkError: If writing fails.
    """
    options = options or PreviewOptions()
    if not rasters:
        raise ConfigError("rasters", "none are given", "Name a raster to draw")
    inputs = [*rasters, *([] if polygons is None else [polygons])]
    output = check_output(output, overwrite=overwrite, inputs=inputs)
    side = _panel_side(len(rasters) + (polygons is not None and len(rasters) > 1), options)
    panels = [_open_panel(str(path), legend, side, options) for path in rasters]
    shown = legend or next((p.legend for p in panels if p.legend is not None), None)
    if polygons is not None:
        panels = _add_polygons(panels, str(polygons), shown)
    figure = _draw(panels, shown, options)
    with publish(output) as temporary:
        figure.savefig(temporary, format="png", dpi=_DOTS_PER_INCH)
    return output


def _panel_side(count: int, options: PreviewOptions) -> int:
    return max(options.size // min(max(count, 1), _COLUMNS), 64)


def _open_panel(path: str, legend: Legend | None, side: int, options: PreviewOptions) -> _Panel:
    plain = SceneOptions(assume_crs=options.assume_crs, resampling="nearest")
    scene = Scene.open(path, plain)
    raster = None
    if _may_hold_classes(scene, legend):
        raster = _read(scene, side)
        legend = _class_legend(scene, raster, legend)
        if legend is not None:
            return _Panel(scene=scene, raster=raster, legend=legend)
    bands = tuple(scene.bands[index] for index in _shown_bands(scene))
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


def _shown_bands(scene: Scene) -> list[int]:
    """Places of the bands that are drawn: red, green, blue; the first three; or the first."""
    names = [name.lower() for name in scene.band_names]
    if {"red", "green", "blue"} <= set(names):
        return [names.index(color) for color in ("red", "green", "blue")]
    return [0, 1, 2] if scene.count >= 3 else [0]


def _add_polygons(panels: list[_Panel], path: str, legend: Legend | None) -> list[_Panel]:
    """Lay the polygons on a single panel, or on a copy of the first of several."""
    below = panels[0]
    frame = _on_grid(read_polygons(path), below.raster.grid, path)
    background = legend.background if legend is not None else None
    if background is not None and "class_id" in frame.columns:
        frame = frame[frame["class_id"] != background.value]
    covered = replace(below, polygons=frame)
    return [covered] if len(panels) == 1 else [*panels, covered]


def _on_grid(frame: geopandas.GeoDataFrame, grid: Grid, path: str) -> geopandas.GeoDataFrame:
    """The polygons in the CRS of a grid, without those that lie elsewhere."""
    if (frame.crs is None) != (grid.crs is None):
        problem = "has no CRS" if frame.crs is None else "has a CRS, the raster has none"
        raise LabelError(path, problem, "Give both the same georeference")
    if grid.crs is not None:
        frame = frame.to_crs(grid.crs.to_wkt())
    left, bottom, right, top = grid.bounds
    return frame.cx[left:right, bottom:top]


def _draw(panels: Sequence[_Panel], legend: Legend | None, options: PreviewOptions) -> Figure:
    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns)
    grid = panels[0].raster.grid
    width = options.size / _DOTS_PER_INCH
    tall = min(grid.height / (grid.width * ground_ratio(grid)), 2.0) * width / columns
    lines = 0 if legend is None else -(-legend.count // (3 * columns))
    height = rows * (tall + 0.45) + 0.3 * lines + (0.5 if options.title else 0.1)
    figure = Figure(figsize=(width, height), layout="compressed", facecolor="white")
    all_axes = figure.subplots(rows, columns, squeeze=False).flat
    for axes, panel in zip(all_axes, panels, strict=False):
        _draw_panel(axes, panel, legend)
    for axes in list(all_axes)[len(panels) :]:
        axes.set_axis_off()
    if options.title:
        figure.suptitle(options.title, fontsize=15, fontweight="bold", color=_INK)
    if legend is not None:
        _draw_legend(figure, panels, legend, 3 * columns)
    return figure


def _draw_panel(axes: Axes, panel: _Panel, legend: Legend | None) -> None:
    raster = panel.raster
    picture = _picture(panel)
    smooth = "antialiased" if panel.legend is None else "nearest"
    axes.imshow(picture, interpolation=smooth, aspect=1 / ground_ratio(raster.grid))
    axes.set(xticks=[], yticks=[], facecolor=_EMPTY)
    axes.spines[:].set(color="#c9c9c4", linewidth=0.8)
    axes.set_title(panel.title, fontsize=11, color=_INK, loc="left", pad=5)
    axes.set_xlabel(_describe(panel.scene), fontsize=8.5, color=_PALE, loc="left", labelpad=4)
    if panel.polygons is not None:
        _draw_polygons(axes, panel.polygons, raster.grid, legend)
    if raster.grid.is_georeferenced:
        draw_scale_bar(axes, raster.grid)


def _picture(panel: _Panel) -> Array:
    """Red, green, blue, alpha (height, width, 4) of a panel, uint8."""
    raster = panel.raster
    if panel.legend is None:
        natural = panel.scene.band_names == ("red", "green", "blue")
        return stretch(raster.data, raster.valid, natural=natural)
    picture = np.zeros((*raster.grid.shape, 4), np.uint8)
    for value, color in zip(panel.legend.values, panel.legend.colors, strict=True):
        picture[(raster.data[0] == value) & raster.valid] = (*color, 255)
    return picture


def _describe(scene: Scene) -> str:
    grid = scene.grid
    size = f"{grid.width} x {grid.height} pixels"
    if grid.crs is None:
        return size
    authority = grid.crs.to_authority()
    name = ":".join(authority) if authority else "custom CRS"
    return f"{name}, {grid.ground_resolution():.3g} m, {size}"


def _draw_polygons(
    axes: Axes, frame: geopandas.GeoDataFrame, grid: Grid, legend: Legend | None
) -> None:
    """Outline the polygons in the colours of their classes, thinly filled."""
    colors = _polygon_colors(frame, legend)
    paths = [compound_path(geometry, grid) for geometry in frame.geometry]
    fill = PathCollection(paths, facecolors=colors, alpha=0.22, linewidths=0)
    halo = PathCollection(paths, facecolors="none", edgecolors="#000000", linewidths=1.5, alpha=0.5)
    line = PathCollection(paths, facecolors="none", edgecolors=colors, linewidths=1.0)
    for collection in (fill, halo, line):
        axes.add_collection(collection, autolim=False)


def _polygon_colors(frame: geopandas.GeoDataFrame, legend: Legend | None) -> list[str]:
    """Colours by `class_id`, or by the attribute that the legend's `from` knows best."""
    if legend is None:
        return [_OUTLINE] * len(frame)
    if "class_id" in frame.columns:
        by_value = {entry.value: entry.color for entry in legend.classes}
        return [by_value.get(value, _OUTLINE) for value in frame["class_id"]]
    by_source = {source: c.color for c in legend.classes for source in (c.name, *c.sources)}
    columns = [frame[name] for name in frame.columns.drop(frame.geometry.name)]
    best = max(columns, key=lambda column: column.isin(by_source.keys()).sum(), default=())
    return [by_source.get(value, _OUTLINE) for value in best] or [_OUTLINE] * len(frame)


def _draw_legend(
    figure: Figure, panels: Sequence[_Panel], legend: Legend, most_columns: int
) -> None:
    shares = _shares(panels, legend)
    patches = [
        Patch(facecolor=entry.color, edgecolor="#8a8a85", linewidth=0.6, label=entry.name + share)
        for entry, share in zip(legend.classes, shares, strict=True)
    ]
    figure.legend(
        handles=patches,
        loc="outside lower center",
        ncols=min(len(patches), most_columns),
        frameon=False,
        fontsize=10.5,
        labelcolor=_INK,
        handlelength=1.5,
        handleheight=1.1,
        columnspacing=2.0,
    )


def _shares(panels: Sequence[_Panel], legend: Legend) -> list[str]:
    """The share of each class, to be told behind its name where one class raster is drawn."""
    rasters = [panel.raster for panel in panels if panel.legend is not None]
    if len(rasters) != 1 or not rasters[0].valid.any():
        return [""] * legend.count
    values = rasters[0].data[0][rasters[0].valid]
    return [f"  {np.mean(values == value):.1%}" for value in legend.values]
