"""A look at one whole scene, of which nothing but sums over places is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from shapely.geometry.base import BaseGeometry

from geoseg.engine.ensemble import SceneViews
from geoseg.engine.scene_job import SceneJob
from geoseg.engine.scene_run import SceneRun
from geoseg.engine.strips import Hide
from geoseg.engine.targets import Targets
from geoseg.engine.uncertainty import UNCERTAINTY_SCALE, Measure
from geoseg.geo.geometry import burn
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Raster, Scene
from geoseg.geo.remote import file_name
from geoseg.geo.vector import read_area
from geoseg.geo.window_sums import WindowSums
from geoseg.progress import Progress

FIRST_CLASS = 3
"""Layer of the first class; before it come doubt, valid and labelled."""


class Survey:
    """One scene, and the sums over its places."""

    def __init__(
        self,
        views: SceneViews,
        own: Scene,
        sums: WindowSums,
        area: BaseGeometry | None,
        classes: int,
    ) -> None:
        self._views, self.own, self.sums, self._area = views, own, sums, area
        self._classes = classes

    @classmethod
    def of(
        cls, views: SceneViews, legend: Legend, side: float, labelled: str | Path | None
    ) -> Survey:
        """A scene with places of `side` metres (pixels without a CRS), yet to be looked at."""
        own = Scene.open(views.scene.path, replace(views.scene.options, resolution=None))
        size = max(round(side / metres(own.grid)), 1)
        area = None if labelled is None else read_area(str(labelled), own.grid.crs)
        layers = FIRST_CLASS + legend.count + 2 * own.count
        sums = WindowSums(own.grid.shape, size, max(size // 2, 1), layers)
        return cls(views, own, sums, area, legend.count)

    def job(self, hide: Hide) -> SceneJob:
        """What is to be predicted; nothing is written, so that no target is ever made."""
        return SceneJob(
            views=self._views,
            own=self.own,
            hide=hide,
            targets=Targets(
                classes=Path("classes.tif"),
                probabilities=None,
                polygons=None,
                uncertainty=Path("uncertainty.tif"),
            ),
            settings={},
            replaceable=frozenset(),
        )

    def look(self, run: SceneRun, legend: Legend, measure: Measure, progress: Progress) -> None:
        """Predict the scene and add up what is seen."""
        height, width = self.own.grid.shape
        with progress.task(file_name(self.own.path), height * width, "px") as task:
            for window, (classes, doubt), valid in run.product_rows():
                row, col = int(window.row_off), int(window.col_off)
                values = doubt[0] * UNCERTAINTY_SCALE
                if measure == "margin":
                    values = 1 - values
                labelled = np.zeros_like(valid)
                if self._area is not None:
                    grid = self.own.grid.crop(window)
                    labelled = burn([(self._area, 1)], grid, fill=0, dtype="uint8") > 0
                own = [(classes[0] == value) & valid for value in legend.values]
                looks = _looks(self.own.read(window), valid)
                self.sums.add(row, col, [np.where(valid, values, 0), valid, labelled, *own, *looks])
                task.advance(valid.size)

    def looks(self) -> npt.NDArray[np.float64]:
        """(places, 2 bands) mean and standard deviation of each band."""
        valid = np.maximum(self.sums.sums[1].ravel(), 1)
        layers = self.sums.sums[FIRST_CLASS + self._classes :]
        means = layers[: self.own.count].reshape(self.own.count, -1) / valid
        squares = layers[self.own.count :].reshape(self.own.count, -1) / valid
        deviations = np.sqrt(np.maximum(squares - means**2, 0))
        return np.concatenate([means, deviations]).T

    def most(self, index: int) -> int:
        """The class that the map shows on most of a place, by its place in the legend."""
        row, col = divmod(index, len(self.sums.cols))
        return int(self.sums.sums[FIRST_CLASS:, row, col][: self._classes].argmax())

    def window(self, index: int) -> tuple[int, int, int, int]:
        """First row, first column, height and width of a place."""
        row, col = divmod(index, len(self.sums.cols))
        top, left = int(self.sums.rows[row]), int(self.sums.cols[col])
        return top, left, self.sums.height, self.sums.width


def _looks(raster: Raster, valid: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.float64]]:
    """Values of each band, then their squares, 0 where there are none."""
    values = np.where(valid, np.nan_to_num(raster.data.astype(np.float64)), 0)
    yield from values
    yield from values**2


def metres(grid: Grid) -> float:
    """Side of a pixel in metres; 1 where there is no CRS."""
    return grid.ground_resolution() if grid.is_georeferenced else 1.0
