"""Class probabilities on disk: one band per class, often as scaled bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.errors import SceneError
from geoseg.geo.gdal import open_dataset
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene, SceneOptions, has_data
from geoseg.geo.regions import Regions

_ROWS = 512
"""Rows in memory at a time."""

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

    def means(self, regions: Regions, nodata: int) -> npt.NDArray[np.float64]:
        """Average each region's own class over its pixels, a few rows at a time.

        Args:
            regions: Regions on the same grid, their values in the legend, or `nodata`.
            nodata: Value of regions that have no class.

        Returns:
            (regions + 1,) mean probabilities from 0 to 1; NaN where there is none.

        Raises:
            SceneError: If the file is broken, or holds other numbers than probabilities.
        """
        bands = self.bands[np.where(regions.values == nodata, 0, regions.values)]
        sums, counts = np.zeros(len(bands)), np.zeros(len(bands), np.int64)
        for row in range(0, regions.labels.shape[0], _ROWS):
            labels = regions.labels[row : row + _ROWS]
            stored, valid = self._read(row, bands[labels])
            first = int(labels.min())
            places = labels[valid] - first
            found = np.bincount(places)
            counts[first : first + len(found)] += found
            sums[first : first + len(found)] += np.bincount(places, stored[valid])
        means = np.full(len(bands), np.nan)
        np.divide(sums, counts, out=means, where=counts > 0)
        means[regions.values == nodata] = np.nan
        return means

    def _read(
        self, row: int, bands: npt.NDArray[np.intp]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Probabilities of one band per pixel (rows, width), and where they are valid."""
        raster = self.scene.read(Window(0, row, bands.shape[1], bands.shape[0]))
        stored = np.take_along_axis(raster.data, bands[None], axis=0)[0]
        valid = raster.valid & has_data(stored, self.scene.nodata)
        scales = np.array(self.scales, np.float32)
        offsets = np.array(self.offsets, np.float32)
        values = stored * scales[bands] + offsets[bands]
        self._check_range(values[valid])
        return values.astype(np.float32, copy=False), valid

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
