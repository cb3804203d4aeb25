"""From class values in a stream to the rows of a layer of polygons."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from geoseg.errors import ConfigError
from geoseg.geo.arc_refining import ArcRefining
from geoseg.geo.class_rows import ClassRows
from geoseg.geo.generalising import fill_holes, merge_small
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.polygon_columns import PolygonColumns, SceneNames
from geoseg.geo.regular_stream import regularized
from geoseg.geo.tracing import Fields, trace_polygons

_ROUNDS = 2
"""How often corners are cut where outlines are smoothed."""


@dataclass(frozen=True, kw_only=True)
class Outlining:
    """How class values become polygons. Lengths are metres, pixels where there is no CRS."""

    keep: frozenset[int] | None = None
    """Values of the classes that become polygons; None for all."""

    connectivity: Literal[4, 8] = 4
    """Whether pixels that touch at corners only are of one polygon (8)."""

    min_area: float = 0.0
    """Smaller regions go to a neighbour, square metres."""

    fill_holes: float = 0.0
    """Smaller holes go to what is around them, square metres."""

    simplify: float = 0.0
    """Tolerance by which borders are simplified."""

    smooth: bool = False
    """Whether corners are rounded."""

    regularize: bool = False
    """Whether outlines get right angles."""

    margin: bool = False
    """Whether the margin to the second class is told."""

    def __post_init__(self) -> None:
        for name in ("min_area", "fill_holes", "simplify"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                option = f"--{name.replace('_', '-')}"
                raise ConfigError(option, f"{value} is not 0 or more", "Give 0 for none")
        if self.connectivity not in (4, 8):
            raise ConfigError("--connectivity", f"{self.connectivity} is unknown", "Give 4 or 8")
        if self.regularize and (self.simplify > 0 or self.smooth):
            raise ConfigError(
                "--regularize", "wants outlines as they are", "Leave out --simplify and --smooth"
            )

    @property
    def passes(self) -> int:
        """How often the rows are read."""
        return 1 + (self.min_area > 0) + (self.fill_holes > 0)

    def rows(
        self,
        classes: ClassRows,
        grid: Grid,
        legend: Legend,
        names: SceneNames,
        fields: Fields | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Turn class values into rows of a layer, in the order in which polygons end.

        Args:
            classes: The values; the legend's `ignore` never becomes a polygon.
            grid: Their grid.
            legend: What they mean.
            names: Tells what the column `scene` says.
            fields: Gives probabilities of the own class, and (`margin`) margins to the second.

        Yields:
            Polygons with the columns of `polygon_columns`.

        Raises:
            GeosegError: What reading the class values or the fields raises.
        """
        if self.min_area > 0:
            classes = merge_small(classes, grid, self.min_area, legend.ignore)
        if self.fill_holes > 0:
            classes = fill_holes(classes, grid, self.fill_holes, legend.ignore)
        batches = trace_polygons(
            classes,
            row_areas=grid.row_areas(),
            connectivity=self.connectivity,
            nodata=legend.ignore,
            keep=self.keep,
            fields=fields,
            refine=self._refining(grid),
        )
        if self.regularize:
            batches = regularized(batches, grid)
        columns = PolygonColumns(grid, legend, names, margin=self.margin)
        for batch in batches:
            yield columns.rows(batch)

    def _refining(self, grid: Grid) -> ArcRefining | None:
        """What becomes of borders, in pixels."""
        if self.simplify == 0 and not self.smooth:
            return None
        tolerance = self.simplify / grid.ground_resolution()
        return ArcRefining(tolerance=tolerance, rounds=_ROUNDS if self.smooth else 0)
