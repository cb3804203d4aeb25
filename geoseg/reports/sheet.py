"""Contact sheet: tiles with their masks, the classes and how common they are, the bands' values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geoseg.errors import ConfigError, OutputError
from geoseg.geo.legend import Legend
from geoseg.geo.outputs import check_output, publish
from geoseg.geo.splits import SPLITS
from geoseg.geo.stats import BandStats
from geoseg.geo.tileset import Tile, TileSet
from geoseg.reports.figures import paint, stretch_images

_DPI = 100
_WIDTH, _MARGIN, _GAP, _CAPTION = 1500, 18, 14, 20
_TITLE, _SUBTITLE = 34, 26
_CHART_HEAD, _ROW, _CHART_FOOT, _SIDE = 46, 22, 40, 170
"""Pixels around, between, and of the lines of the sheet."""
_PAIRS = 5
"""Image and mask beside each other, so many times a row."""
_INK, _PALE, _LINE = "#22262b", "#6b7280", "#c9c9c4"
_MOST_ROWS = 40
"""Classes and bands that have a row of their own."""


@dataclass(frozen=True, kw_only=True)
class SheetTile:
    """An image and its mask."""

    name: str
    """What stands below it."""

    image: npt.NDArray[Any]
    """(bands, height, width) in raw units."""

    valid: npt.NDArray[np.bool_]
    """(height, width), True where there is data."""

    mask: npt.NDArray[Any]
    """(height, width) class values, the legend's ignore where unknown."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What a contact sheet shows."""

    title: str
    """Headline."""

    subtitle: str = ""
    """The line below."""

    tiles: Sequence[SheetTile]
    """Of the same bands; sizes may differ."""

    legend: Legend
    """Classes of the masks."""

    class_counts: Mapping[str, Mapping[str, int]]
    """Pixels of each class by split, then class name; a panel for each split that has any."""

    band_names: Sequence[str] = ()
    """Names of the bands; empty where unknown."""

    stats: BandStats | None = None
    """Of the bands; None leaves their panel out."""


def draw_tileset_sheet(
    root: str | Path, output: str | Path, *, count: int = 20, overwrite: bool = False
) -> Path:
    """Draw the contact sheet of a tile set.

    Of each class the tile that has most of it is shown; the others lie evenly over the splits.

    Args:
        root: The tile set.
        output: PNG file to write.
        count: Tiles to show.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path of the picture.

    Raises:
        TileSetError: If the tile set cannot be read.
        ConfigError: If no tiles are to be shown.
        OutputError: If the picture must not be written there.
        WorkError: If writing fails.
    """
    if count < 1:
        raise ConfigError("count", f"is {count}", "Show one tile or more")
    tiles = TileSet.open(root)
    output = check_sheet(output, overwrite=overwrite, inputs=[root])
    splits = {name: len(tiles.split(name)) for name in SPLITS}
    where = "" if tiles.resolution is None else f" at {tiles.resolution:.3g} m"
    scenes = len({tile.scene for tile in tiles.tiles})
    sheet = Sheet(
        title=Path(root).resolve().name,
        subtitle=(
            f"{len(tiles.tiles)} tiles of {tiles.size} pixels{where}, {tiles.dtype}, from "
            f"{scenes} scene{'s' if scenes > 1 else ''}: "
            + ", ".join(f"{name} {number}" for name, number in splits.items() if number)
            + "; gray is not labelled"
        ),
        tiles=[_read(tiles, tile) for tile in choose_tiles(tiles, count)],
        legend=tiles.legend,
        class_counts=tiles.class_counts,
        band_names=tiles.band_names,
        stats=tiles.stats,
    )
    return draw_sheet(sheet, output, overwrite=overwrite)


def draw_sheet(sheet: Sheet, output: str | Path, *, overwrite: bool = False) -> Path:
    """Draw a contact sheet.

    Args:
        sheet: What it shows.
        output: PNG file to write.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path of the picture.

    Raises:
        OutputError: If the picture must not be written there.
        WorkError: If writing fails.
    """
    output = check_sheet(output, overwrite=overwrite)
    figure = _draw(sheet)
    with publish(output) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI)
    return output


def choose_tiles(tiles: TileSet, count: int) -> list[Tile]:
    """Choose tiles to show: of each class the one with most of it, then some of every split.

    Returns:
        At most `count`, in the order of the set.
    """
    every = tiles.tiles
    if not every:
        return []
    shares = np.array([tile.class_shares for tile in every]).reshape(len(every), -1)
    pixels = shares * [[tile.labelled_share * tile.height * tile.width] for tile in every]
    rarest = np.argsort(pixels.sum(axis=0), kind="stable")
    best = [int(pixels[:, channel].argmax()) for channel in rarest if pixels[:, channel].any()]
    missing = [name for name in SPLITS if name not in {every[place].split for place in best}]
    splits = [[i for i, tile in enumerate(every) if tile.split == name] for name in missing]
    middles = [places[len(places) // 2] for places in splits if places]
    chosen = dict.fromkeys([*best, *middles][:count])
    left = min(count, len(every)) - len(chosen)
    spread = np.linspace(0, len(every) - 1, max(left, 0)).round().astype(int)
    rest = np.random.default_rng(0).permutation(len(every))
    for place in (*spread.tolist(), *rest.tolist()):
        if len(chosen) < count:
            chosen[place] = None
    return [every[place] for place in sorted(chosen)]


def check_sheet(output: str | Path, *, overwrite: bool, inputs: Sequence[str | Path] = ()) -> Path:
    """Refuse a picture that must not be written, before any work is done.

    Raises:
        OutputError: If it exists and `overwrite` is not set, is no PNG, or an input.
    """
    target = check_output(output, overwrite=overwrite, inputs=inputs)
    if target.suffix.lower() != ".png":
        problem = f'pictures cannot be written as "{target.suffix}"'
        raise OutputError(target, problem, "Name it .png")
    return target


def _read(tiles: TileSet, tile: Tile) -> SheetTile:
    data, mask, valid = tiles.read_tile(tile)
    return SheetTile(name=f"{tile.split}  {tile.name}", image=data, valid=valid, mask=mask)


def _draw(sheet: Sheet) -> Figure:
    """Place headline, tiles and charts; everything is reckoned in pixels from the top."""
    side = (_WIDTH - 2 * _MARGIN - (_PAIRS - 1) * _GAP) / (2 * _PAIRS)
    rows = -(-len(sheet.tiles) // _PAIRS)
    charts_top = _MARGIN + _TITLE + _SUBTITLE + rows * (side + _CAPTION)
    classes = _common_classes(sheet)
    bands = 0 if sheet.stats is None else min(len(sheet.stats.count), _MOST_ROWS)
    lines = max(len(classes), bands, 3)
    height = charts_top + _CHART_HEAD + lines * _ROW + _CHART_FOOT
    figure = Figure(figsize=(_WIDTH / _DPI, height / _DPI), facecolor="white")
    page = _Page(figure, height)
    page.text(_MARGIN, _MARGIN + _TITLE / 2, sheet.title, size=15, weight="bold")
    page.text(_MARGIN, _MARGIN + _TITLE + _SUBTITLE / 2 - 4, sheet.subtitle, size=10, color=_PALE)
    for place, (tile, picture) in enumerate(
        zip(sheet.tiles, stretch_images(sheet.tiles, sheet.band_names), strict=True)
    ):
        row, column = divmod(place, _PAIRS)
        left = _MARGIN + column * (2 * side + _GAP)
        top = _MARGIN + _TITLE + _SUBTITLE + row * (side + _CAPTION)
        shown = tile.valid & (tile.mask != sheet.legend.ignore)
        page.picture((left, top, side - 1, side), picture)
        page.picture((left + side, top, side - 1, side), paint(tile.mask, sheet.legend, shown))
        page.text(left, top + side + 8, _shorten(tile.name), size=7.5, color=_PALE)
    _draw_charts(page, sheet, classes, charts_top + _CHART_HEAD)
    return figure


class _Page:
    """A figure on which places are pixels from its left top corner."""

    def __init__(self, figure: Figure, height: float) -> None:
        self._figure, self._height = figure, height

    def axes(self, box: tuple[float, float, float, float]) -> Axes:
        """Axes with the left, top, width and height of `box`."""
        left, top, width, height = box
        bottom = self._height - top - height
        return self._figure.add_axes(
            (left / _WIDTH, bottom / self._height, width / _WIDTH, height / self._height)
        )

    def picture(self, box: tuple[float, float, float, float], pixels: npt.NDArray[Any]) -> None:
        """Draw pixels (height, width, 3) as large as the box lets them be."""
        axes = self.axes(box)
        axes.imshow(pixels, interpolation="antialiased" if len(pixels) > box[3] else "nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color=_LINE, linewidth=0.6)

    def text(
        self, left: float, middle: float, words: str, *, size: float, color: str = _INK,
        weight: str = "normal",
    ) -> None:  # fmt: skip
        """Write from `left` on, with the middle of the line at `middle`."""
        self._figure.text(
            left / _WIDTH, 1 - middle / self._height, words, fontsize=size, color=color,
            fontweight=weight, va="center",
        )  # fmt: skip


def _draw_charts(page: _Page, sheet: Sheet, classes: Sequence[int], top: float) -> None:
    """Classes at the left, a panel for each split; bands at the right."""
    splits = {name: counts for name, counts in sheet.class_counts.items() if any(counts.values())}
    has_bands = sheet.stats is not None and len(sheet.stats.count) > 0
    right = _WIDTH * 0.6 if has_bands else float(_WIDTH - _MARGIN)
    left = _MARGIN + _SIDE
    width = (right - left) / max(len(splits), 1)
    for place, (name, counts) in enumerate(splits.items()):
        box = (left + place * width, top, width - 24, len(classes) * _ROW)
        axes = page.axes(box)
        _draw_classes(axes, sheet.legend, classes, counts, is_first=place == 0)
        hidden = sheet.legend.count - len(classes)
        _title(axes, name if not hidden else f"{name}, {len(classes)} most common classes")
    if sheet.stats is not None and has_bands:
        bands = min(len(sheet.stats.count), _MOST_ROWS)
        box = (right + _SIDE, top, _WIDTH - right - _SIDE - _MARGIN - 130, bands * _ROW)
        axes = page.axes(box)
        _draw_bands(axes, sheet.stats, sheet.band_names, bands)
        _title(axes, "bands: least to most, 2 to 98 %, mean \N{PLUS-MINUS SIGN} deviation")


def _draw_classes(
    axes: Axes, legend: Legend, classes: Sequence[int], counts: Mapping[str, int], *, is_first: bool
) -> None:
    """A bar for the share of each class, in its colour."""
    total = max(sum(counts.values()), 1)
    shares = [counts.get(legend.names[channel], 0) / total for channel in classes]
    colors = [legend.classes[channel].color for channel in classes]
    places = range(len(classes))
    axes.barh(places, shares, color=colors, edgecolor="#8a8a85", linewidth=0.6, height=0.74)
    longest = max(shares, default=0) or 1
    for place, share in zip(places, shares, strict=True):
        axes.text(share + 0.02 * longest, place, _percent(share), va="center", fontsize=8)
    axes.set_xlim(0, longest * 1.25)
    labels = [_label(legend, channel) for channel in classes] if is_first else []
    _finish_rows(axes, len(classes), labels)
    axes.set_xticks([])
    if is_first:  # classes without a pixel have no bar that would show their colour
        beside = -12 / (axes.get_position().width * _WIDTH)
        for place, color in zip(places, colors, strict=True):
            axes.plot(
                [beside], [place], "s", transform=axes.get_yaxis_transform(), color=color,
                markersize=8, markeredgecolor="#8a8a85", markeredgewidth=0.6, clip_on=False,
            )  # fmt: skip


def _draw_bands(axes: Axes, stats: BandStats, names: Sequence[str], count: int) -> None:
    """For each band a line from least to most, a bar from 2 to 98 %, and its mean."""
    for place in range(count):
        low, high, mean = stats.p2[place], stats.p98[place], stats.mean[place]
        if not np.isfinite(mean):
            continue
        axes.plot([stats.min[place], stats.max[place]], [place, place], color=_LINE, linewidth=1.2)
        axes.barh([place], [high - low], left=[low], color="#8fb3d9", height=0.55)
        axes.plot([mean], [place], "o", color="#1f4e8c", markersize=4.5)
        words = f"{mean:.4g} \N{PLUS-MINUS SIGN} {stats.std[place]:.3g}"
        axes.annotate(
            words, (1, place), (8, 0), xycoords=axes.get_yaxis_transform(),
            textcoords="offset points", va="center", fontsize=8, color=_INK,
        )  # fmt: skip
    labels = [
        f"{place + 1} {names[place] if place < len(names) else ''}".strip()
        for place in range(count)
    ]
    _finish_rows(axes, count, labels)
    axes.tick_params(axis="x", labelsize=8, colors=_PALE)


def _finish_rows(axes: Axes, rows: int, labels: Sequence[str]) -> None:
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels, fontsize=9, color=_INK)
    axes.tick_params(axis="y", length=0, pad=18)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_LINE)


def _title(axes: Axes, words: str) -> None:
    axes.set_title(words, fontsize=10, color=_INK, loc="left", pad=8)


def _common_classes(sheet: Sheet) -> list[int]:
    """Channels of the classes that get a row: all, or of many the most common."""
    totals = [
        sum(counts.get(name, 0) for counts in sheet.class_counts.values())
        for name in sheet.legend.names
    ]
    order = sorted(range(len(totals)), key=lambda channel: -totals[channel])
    return sorted(order[:_MOST_ROWS])


def _label(legend: Legend, channel: int) -> str:
    entry = legend.classes[channel]
    name = entry.name if len(entry.name) <= 18 else f"{entry.name[:16]}..."
    return f"{entry.value} {name}"


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{share:.1%}"


def _shorten(name: str) -> str:
    return name if len(name) <= 44 else f"{name[:22]}...{name[-19:]}"
