"""Probability rasters compared with labels, a few rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.errors import SceneError
from geoseg.geo.calibration import CalibrationCounts, Shares, unlike_one
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.probabilities import Probabilities
from geoseg.geo.raster import SceneOptions
from geoseg.geo.remote import is_remote

_VALUES = 1 << 22
"""Probabilities in memory at a time, all classes together."""

_GAP = 0.01
"""By how much a sum may differ from one, beside what rounding to steps explains."""

_EPSILON = 1e-7
"""The probability that stands for 0 where there are no steps: float32 tells none closer to 1."""


class Calibrator:
    """Counts the probabilities of one map against its labels, from the top down.

    Args:
        path: Raster of one band per class.
        grid: Where the map lies.
        legend: The classes.
        assume_crs: CRS of a raster that has none; `none` takes it as a plain image.

    Raises:
        SceneError: If it cannot be read, has not one band per class, or another grid.
    """

    def __init__(self, path: str, grid: Grid, legend: Legend, assume_crs: str | None) -> None:
        self._probabilities = Probabilities.open(path, legend, SceneOptions(assume_crs=assume_crs))
        self._probabilities.check(grid)
        self._legend = legend
        self._bands = self._probabilities.bands[list(legend.values)]
        self._step = max(abs(scale) for scale in self._probabilities.scales)
        if np.dtype(self._probabilities.scene.dtype).kind == "f":
            self._step = 0.0
        self._counts = CalibrationCounts.empty(legend.count)

    def count(self, reference: npt.NDArray[Any], row: int) -> None:
        """Count some rows.

        Args:
            reference: (rows, width) class indices of the labels, or the legend's ignored index
                where nothing is to be counted.
            row: Number of the first one.

        Raises:
            SceneError: If the raster is broken, or the probabilities do not sum to one.
        """
        height, width = reference.shape
        rows = max(_VALUES // (width * self._legend.count), 1)
        for start in range(0, height, rows):
            part = reference[start : start + rows]
            shares, valid = self._read(Window(0, row + start, width, len(part)))
            counted = valid & (part != self._legend.ignore_index)
            chosen = shares[:, counted]
            self._check(chosen, row + start)
            least = self._step / 2 or _EPSILON
            self._counts += CalibrationCounts.of(chosen, part[counted], least)

    def result(self) -> CalibrationCounts:
        """What has been counted."""
        return self._counts

    def _read(self, window: Window) -> tuple[Shares, npt.NDArray[np.bool_]]:
        """Probabilities (C, rows, width) in the legend's order, and where there are any."""
        source = self._probabilities
        raster = source.scene.read(window)
        shares = raster.data.astype(np.float32)
        shares *= np.array(source.scales, np.float32)[:, None, None]
        shares += np.array(source.offsets, np.float32)[:, None, None]
        return shares[self._bands], raster.valid

    def _check(self, shares: Shares, row: int) -> None:
        """Refuse what are no probabilities, with the numbers."""
        slack = _GAP + self._step / 2 * len(shares)
        wrong, low, high = unlike_one(shares, slack)
        if wrong:
            raise SceneError(
                self._probabilities.scene.path,
                f"its {len(shares)} bands sum to {low:.4g} to {high:.4g} in {wrong} of "
                f"{shares.shape[1]} pixels from row {row} on, probabilities of classes sum to 1",
                "Give the probabilities of exclusive classes; where they are scaled, the bands "
                "must tell their scale",
            )


def find_probabilities(given: str, predictions: Sequence[str]) -> list[str]:
    """Find the probability raster of each prediction.

    Args:
        given: A file; or a folder with a raster of each prediction's name; or a pattern with
            `{stem}`, such as `probabilities/{stem}_p.tif`.
        predictions: Paths of the class rasters.

    Returns:
        One path for each.

    Raises:
        SceneError: If one does not exist, or one file is given for several predictions.
    """
    cure = "Give a folder with files of the same names, or a pattern with {stem}"
    if "{stem}" in given:
        paths = [given.replace("{stem}", Path(each.rstrip("/")).stem) for each in predictions]
    elif Path(given).is_dir():
        paths = [str(Path(given) / Path(each.rstrip("/")).name) for each in predictions]
    elif len(predictions) > 1:
        raise SceneError(given, f"is one file for {len(predictions)} predictions", cure)
    else:
        paths = [given]
    for path, prediction in zip(paths, predictions, strict=True):
        if not is_remote(path) and not Path(path).exists():
            raise SceneError(prediction, f"has no probabilities: {path} does not exist", cure)
    return paths
