"""Class probabilities on disk: one band per class, often as scaled bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.errors import SceneError
from geoseg.geo.gdal import open_dataset
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene, SceneOptions, has_data

_PIXELS = 1 << 20
"""Pixels of each band in memory at a time."""

Fields = Callable[[int, npt.NDArray[Any]], npt.NDArray[np.float32]]
"""Of first row and class values (rows, width), what is averaged (fields, rows, width)."""

_ROUNDING = 0.01
"""How far beyond 0 and 1 a stored probability may lie."""


@dataclass(frozen=True, kw_only=True)
class Probabilities:
    """A raster with the probability of each class of a legend."""

    scene: Scene
    """The raster."""

    scales: tuple[float, ...]
    """(bands,) a stored value is multiplied by its band's scale,"""

    offsets: tuple[float, ...]
    """(bands,) and the offset added."""

    bands: npt.NDArray[np.intp]
    """(values,) place in `scene`'s bands of each class value."""

    @classmethod
    def open(cls, path: str, legend: Legend, options: SceneOptions | None = None) -> Probabilities:
        """Open a probability raster; bands are found by name, else taken in the legend's order.

        Args:
            path: The raster.
            legend: The classes.
            options: How to look at it.

        Raises:
            SceneError: If it cannot be read, or has not one band per class.
        """
        scene = Scene.open(path, options)
        with open_dataset(path) as dataset:
            scales, offsets = dataset.scales, dataset.offsets
        bands = np.zeros(max(legend.values) + 1, np.intp)
        bands[list(legend.values)] = _order(scene, legend)
        chosen = [band - 1 for band in scene.bands]
        return cls(
            scene=scene,
            scales=tuple(float(scales[band]) for band in chosen),
            offsets=tuple(float(offsets[band]) for band in chosen),
            bands=bands,
        )

    def check(self, grid: Grid) -> None:
        """Refuse another grid than that of the classes.

        Raises:
            SceneError: If shape, CRS or place differ.
        """
        own = self.scene.grid
        if not own.matches(grid):
            raise SceneError(
                self.scene.path,
                f"lies on another grid ({own.width} x {own.height} pixels from {own.bounds}) than "
                f"the classes ({grid.width} x {grid.height} pixels from {grid.bounds})",
                "Give the probabilities that were predicted together with these classes",
            )

    def fields(self, nodata: int, *, margin: bool = False) -> Fields:
        """What is averaged over polygons: how probable their own class is, pixel by pixel.

        Args:
            nodata: Value of pixels without a class.
            margin: Whether, as a second field, that minus the highest of the other classes is
                wanted too: where pixels were given to a neighbour it may be below 0.

        Returns:
            Of first row and class values (rows, width), the fields (1 or 2, rows, width); NaN
            where there is none. It raises SceneError where the file is broken, or holds other
            numbers than probabilities.
        """

        def read(top: int, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
            found = np.empty((2 if margin else 1, *values.shape), np.float32)
            step = max(_PIXELS // values.shape[1], 1)
            for row in range(0, len(values), step):
                part = values[row : row + step]
                has_class = part != nodata
                stored, valid = self._read(top + row, part.shape)
                own = self.bands[np.where(has_class, part, 0)]
                self._fill(found[:, row : row + step], stored, valid & has_class, own)
            return found

        return read

    def _read(
        self, row: int, shape: tuple[int, ...]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Stored values (bands, rows, width), and where any is valid (rows, width)."""
        raster = self.scene.read(Window(0, row, shape[1], shape[0]))
        return raster.data, raster.valid

    def _fill(
        self,
        found: npt.NDArray[np.float32],
        stored: npt.NDArray[Any],
        valid: npt.NDArray[np.bool_],
        own: npt.NDArray[np.intp],
    ) -> None:
        """Put the fields (1 or 2, rows, width) of pixels whose own band is told."""
        value = np.take_along_axis(stored, own[None], axis=0)[0]
        valid = valid & has_data(value, self.scene.nodata)
        scales = np.array(self.scales, np.float32)
        offsets = np.array(self.offsets, np.float32)
        found[0] = value * scales[own] + offsets[own]
        self._check_range(found[0][valid])
        if len(found) > 1:
            scaled = stored * scales[:, None, None] + offsets[:, None, None]
            scaled[~has_data(stored, self.scene.nodata)] = -np.inf
            np.put_along_axis(scaled, own[None], -np.inf, axis=0)
            found[1] = found[0] - scaled.max(axis=0)
            found[1][~np.isfinite(found[1])] = np.nan
        found[:, ~valid] = np.nan

    def _check_range(self, values: npt.NDArray[np.float32]) -> None:
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        if low < -_ROUNDING or high > 1 + _ROUNDING:
            raise SceneError(
                self.scene.path,
                f"holds {low:g} to {high:g}, probabilities are 0 to 1",
                "Give a probability raster; where it is scaled, its bands must tell their scale",
            )


def _order(scene: Scene, legend: Legend) -> list[int]:
    """The place of each class's band."""
    names = list(scene.band_names)
    if all(name in names for name in legend.names):
        return [names.index(name) for name in legend.names]
    if scene.count != legend.count:
        listing = ", ".join(name for name in names if name) or "without names"
        raise SceneError(
            scene.path,
            f"has {scene.count} bands ({listing}), the legend {legend.count} classes",
            "Give one band per class, in the legend's order or named as the classes",
        )
    return list(range(legend.count))
