"""Cutting labelled scenes: windows in, image, mask and validity of equal size out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window, union

from geoseg.geo.grid import Grid
from geoseg.geo.labels import Labels
from geoseg.geo.raster import Raster, Scene

_PANEL_BYTES = 64 << 20
_PANEL_SIDE = 2048


@dataclass(frozen=True, kw_only=True)
class LabelledScene:
    """A scene with its labels."""

    scene: Scene
    """The image."""

    labels: Labels
    """What is known of its classes."""

    @property
    def nodata(self) -> float | None:
        """Value that means no data in what is read; a palette's is gone once it is expanded."""
        expanded = self.scene.colormap is not None and not self.scene.is_paletted
        return None if expanded else self.scene.nodata

    @property
    def fill(self) -> float:
        """What stands where a window leaves the scene."""
        if self.nodata is not None:
            return self.nodata
        return math.nan if np.dtype(self.scene.dtype).kind == "f" else 0


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One window of a labelled scene in memory, padded to full size at the right and bottom."""

    window: Window
    """Its place; smaller than the arrays where the scene is."""

    data: npt.NDArray[Any]
    """Bands (bands, size, size) in raw units."""

    mask: npt.NDArray[np.integer[Any]]
    """Class values (size, size); `ignore` where there is no label, no data, or no scene."""

    valid: npt.NDArray[np.bool_]
    """Where the image has data (size, size)."""

    grid: Grid
    """The place of all pixels, padding included."""

    class_counts: npt.NDArray[np.int64]
    """Pixels of each class, in legend order."""

    @property
    def pixels(self) -> int:
        """Pixels that lie on the scene."""
        return int(self.window.height * self.window.width)

    @cached_property
    def valid_share(self) -> float:
        """Share of the pixels on the scene with data."""
        return int(np.count_nonzero(self.valid)) / self.pixels

    @cached_property
    def labelled_share(self) -> float:
        """Share of the pixels on the scene with data and a class."""
        return float(self.class_counts.sum() / self.pixels)

    @property
    def class_shares(self) -> tuple[float, ...]:
        """Share of each class of the labelled pixels; zeros where nothing is labelled."""
        return tuple((self.class_counts / max(self.class_counts.sum(), 1)).tolist())


def group_windows(windows: Sequence[Window], size: int, bytes_per_pixel: int) -> list[list[Window]]:
    """Group windows so that a group is read at once, and overlaps are decoded once.

    Args:
        windows: Windows of one scene.
        size: Side of the windows in pixels.
        bytes_per_pixel: Of all bands together; bounds what is read at once to 64 MiB.

    Returns:
        Groups in order of their first window; windows that lie too far apart to gain stay alone.
    """
    side = max(min(math.isqrt(_PANEL_BYTES // bytes_per_pixel), _PANEL_SIDE) - size, 1)
    panels: dict[tuple[int, int], list[Window]] = {}
    for window in windows:
        panels.setdefault((window.row_off // side, window.col_off // side), []).append(window)
    groups: list[list[Window]] = []
    for panel in panels.values():
        around = union(*panel)
        alone = sum(window.width * window.height for window in panel)
        gains = around.width * around.height <= alone
        groups.extend([panel] if gains else [[window] for window in panel])
    return groups


def cut_windows(source: LabelledScene, windows: Sequence[Window], size: int) -> Iterator[Cut]:
    """Read windows of a labelled scene, all pixels between them once.

    Args:
        source: The scene and its labels.
        windows: A group of `group_windows`.
        size: Side of the arrays in pixels; no window is larger.

    Yields:
        The windows, in order.

    Raises:
        SceneError: If the scene is broken there.
        LabelError: If the labels cannot be read.
    """
    around = union(*windows) if len(windows) > 1 else windows[0]
    raster = source.scene.read(around)
    mask = source.labels.mask(raster.grid)
    mask = np.where(raster.valid, mask, mask.dtype.type(source.labels.legend.ignore))
    for window in windows:
        yield _cut(source, raster, mask, (around, window), size)


def _cut(
    source: LabelledScene,
    raster: Raster,
    mask: npt.NDArray[np.integer[Any]],
    place: tuple[Window, Window],
    size: int,
) -> Cut:
    around, window = place
    row, col = window.row_off - around.row_off, window.col_off - around.col_off
    rows, cols = slice(row, row + window.height), slice(col, col + window.width)
    legend = source.labels.legend
    cut_mask = _padded(mask[rows, cols], size, legend.ignore)
    counts = np.bincount(cut_mask.ravel(), minlength=max(legend.values) + 1)
    return Cut(
        window=window,
        data=_padded(raster.data[:, rows, cols], size, source.fill),
        mask=cut_mask,
        valid=_padded(raster.valid[rows, cols], size, fill=False),
        grid=source.scene.grid.crop(Window(window.col_off, window.row_off, size, size)),
        class_counts=counts[list(legend.values)],
    )


def _padded(array: npt.NDArray[Any], size: int, fill: float) -> npt.NDArray[Any]:
    """The array (..., height, width) with rows and columns of `fill` added up to `size`."""
    *bands, height, width = array.shape
    if height == size and width == size:
        return array
    padded = np.full((*bands, size, size), fill, array.dtype)
    padded[..., :height, :width] = array
    return padded
