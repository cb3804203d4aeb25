"""Places that were interpreted on the ground or on better images, compared with a map."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from pyproj import Transformer
from rasterio.crs import CRS

from geoseg.errors import LabelError
from geoseg.geo.area_estimation import AreaSample
from geoseg.geo.grid import Grid
from geoseg.geo.label_sources import check_crs
from geoseg.geo.legend import Legend
from geoseg.geo.matching import match_attributes
from geoseg.geo.vector import crs_of, read_features

logger = logging.getLogger(__name__)

FIELD = "reference"
"""Attribute that tells what was seen at a place, by default."""

LEAST = 2
"""Places of a stratum without which no error can be told."""

_OUTSIDE = -2
_NO_DATA = -1

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class SamplePoints:
    """Interpreted places."""

    path: str
    """Their file."""

    coords: npt.NDArray[np.float64]
    """(n, 2) x and y."""

    crs: CRS | None
    """Their CRS; None for plain pixels."""

    reference: Longs
    """(n,) index of the class that was seen."""

    @classmethod
    def open(
        cls, path: str, legend: Legend, field: str = FIELD, assume_crs: str | None = None
    ) -> SamplePoints:
        """Read the points of a file; those without a class are left out, and told.

        Args:
            path: A vector file of one layer.
            legend: The classes.
            field: Attribute that tells the class, as labels tell it.
            assume_crs: CRS of a file that has none; `none` takes it in plain pixels.

        Raises:
            LabelError: If it cannot be read, holds other shapes than points, has no such field,
                no point with a class, or classes that are not in the legend.
        """
        frame = read_features(path, columns=[field], assume_crs=assume_crs)
        points = shapely.force_2d(frame.geometry.to_numpy())
        single = shapely.get_num_geometries(points) == 1
        points = np.where(single, shapely.get_geometry(points, 0), points)
        wrong = np.count_nonzero(shapely.get_type_id(points) != shapely.GeometryType.POINT)
        if wrong:
            raise LabelError(
                path, f"{wrong} of {len(points)} features are no points", "Give a sample of points"
            )
        attributes = frame[field].to_numpy(dtype=object)
        told = ~(pd.isna(attributes) | (attributes == ""))
        if not told.any():
            raise LabelError(
                path,
                f'none of {len(points)} points tells its class in "{field}"',
                f'Look at each place and write the class into "{field}"',
            )
        if not told.all():
            logger.warning(
                '%s: %d of %d points have no class in "%s" and are left out; '
                "that is harmless only if they are a random part of each class",
                *(path, np.count_nonzero(~told), len(points), field),
            )
        values = match_attributes(attributes[told], legend, path, field)
        return cls(
            path=path,
            coords=shapely.get_coordinates(points[told]),
            crs=crs_of(frame),
            reference=legend.encode(values).astype(np.int64),
        )

    def pixels(self, grid: Grid) -> tuple[Longs, Longs]:
        """Row and column (n,) of each point on a grid; -1 outside of it.

        Raises:
            LabelError: If only one of both has a CRS.
        """
        check_crs(self.path, self.crs, grid)
        x, y = self.coords.T
        if self.crs != grid.crs:
            x, y = Transformer.from_crs(self.crs, grid.crs, always_xy=True).transform(x, y)
        inverse = ~grid.transform
        cols = np.floor(inverse.a * x + inverse.b * y + inverse.c)
        rows = np.floor(inverse.d * x + inverse.e * y + inverse.f)
        inside = (rows >= 0) & (rows < grid.height) & (cols >= 0) & (cols < grid.width)
        found = (np.where(inside, places, -1).astype(np.int64) for places in (rows, cols))
        return next(found), next(found)


class SampleReader:
    """Finds what maps say at the points of a sample, while their rows pass by.

    A point that lies in several maps counts in the first that has data there.

    Args:
        points: The sample.
        legend: The classes.
    """

    def __init__(self, points: SamplePoints, legend: Legend) -> None:
        self._points = points
        self._legend = legend
        self._found = np.full(len(points.reference), _OUTSIDE)
        self._rows = self._cols = np.full(len(points.reference), -1)
        self._maps = self._empty_maps = 0

    def begin(self, grid: Grid) -> None:
        """Turn to the next map.

        Raises:
            LabelError: If only one of both has a CRS.
        """
        rows, cols = self._points.pixels(grid)
        new = (rows >= 0) & (self._found < 0)
        self._found[new] = _NO_DATA
        self._maps += 1
        self._empty_maps += not (rows >= 0).any()
        self._rows, self._cols = np.where(new, rows, -1), cols

    def read(self, prediction: npt.NDArray[Any], row: int) -> None:
        """Take some rows of the map.

        Args:
            prediction: (rows, width) class indices.
            row: Number of the first one.
        """
        here = np.flatnonzero((self._rows >= row) & (self._rows < row + len(prediction)))
        classes = prediction[self._rows[here] - row, self._cols[here]].astype(np.int64)
        self._found[here] = np.where(classes == self._legend.ignore_index, _NO_DATA, classes)

    def result(self, areas: npt.NDArray[np.float64]) -> AreaSample:
        """The sample as its estimators want it.

        Args:
            areas: (C,) area of each class on all maps.

        Raises:
            LabelError: If points lie outside of the maps or where these have no data, or a class
                of the maps has fewer than 2 points.
        """
        path, total = self._points.path, len(self._found)
        cure = "Give the map that the sample was drawn on, whole"
        for what, mark in (("outside of", _OUTSIDE), ("without data on", _NO_DATA)):
            wrong = np.flatnonzero(self._found == mark)
            if wrong.size:
                x, y = self._points.coords[wrong[0]]
                raise LabelError(
                    path,
                    f"{wrong.size} of {total} points lie {what} the map, the first at "
                    f"({x:.10g}, {y:.10g})",
                    cure,
                )
        if self._empty_maps:
            logger.warning(
                "%s: no point lies on %d of the %d maps; the figures are right only if all maps "
                "were drawn from together",
                *(path, self._empty_maps, self._maps),
            )
        count = self._legend.count
        pairs = self._found * count + self._points.reference
        counts = np.bincount(pairs, minlength=count * count).reshape(count, count)
        self._check_strata(counts, areas)
        return AreaSample(counts=counts, areas=areas)

    def _check_strata(self, counts: Longs, areas: npt.NDArray[np.float64]) -> None:
        places = counts.sum(axis=1)
        few = np.flatnonzero((places < LEAST) & (areas > 0))
        if few.size:
            listing = ", ".join(f"{self._legend.names[i]} ({places[i]} points)" for i in few)
            raise LabelError(
                self._points.path,
                f"fewer than {LEAST} points on the map's {listing}",
                "Interpret more; each class of the map is a stratum and needs its own",
            )
