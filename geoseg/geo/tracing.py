"""Class rasters of any height to polygons, traced while their rows pass by."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from geoseg.geo.class_rows import ClassRows
from geoseg.geo.polygon_batch import PolygonBatch, Refiner
from geoseg.geo.tracing_lines import Lines, encode_lines, no_line
from geoseg.geo.tracing_pools import CLOSED, Floats, Pools, make_pools, with_room
from geoseg.geo.tracing_refining import refine_arcs
from geoseg.geo.tracing_rings import assemble
from geoseg.geo.tracing_sweep import trace_rows

Fields = Callable[[int, npt.NDArray[Any]], npt.NDArray[np.float32]]
"""Of the first row and the values (height, width) of a block: what is to be averaged over each
polygon, (k, height, width); NaN where there is nothing."""


def trace_polygons(
    rows: ClassRows,
    *,
    row_areas: npt.NDArray[np.float64],
    connectivity: Literal[4, 8] = 4,
    nodata: int | None = None,
    keep: Collection[int] | None = None,
    fields: Fields | None = None,
    refine: Refiner | None = None,
) -> Iterator[PolygonBatch]:
    """Cut a class raster into polygons that form a valid coverage.

    Polygons come once their last pixel has passed, ordered by their last row, then by their
    first pixel. Neither they nor their order depend on the blocks that the rows come in.

    Args:
        rows: The class values; one pass is made over them.
        row_areas: (height,) area of one pixel of each row, as `Grid.row_areas` tells it.
        connectivity: 4 gives each region of pixels that share sides a polygon of its own; 8
            makes those that touch at corners one multipolygon.
        nodata: Value that never becomes a polygon.
        keep: Values that become polygons, their borders the same as if all did; None for all.
        fields: What is to be averaged over each polygon; called once for every block, in order.
        refine: What changes the borders before polygons are made of them.

    Yields:
        Some polygons at a time; never an empty batch.
    """
    tracer = _Tracer(rows.shape[1], row_areas, connectivity == 8, keep, refine)
    for row, values in rows.blocks():
        found = fields(row, values) if fields is not None else None
        yield from tracer.push(row, values, nodata, found)
    yield from tracer.finish()


_PIXELS = 1 << 18
"""Pixels of which the runs are found at a time."""


class _Tracer:
    """The pools, and how they are emptied into batches."""

    def __init__(
        self,
        width: int,
        row_areas: Floats,
        by_corners: bool,  # noqa: FBT001
        keep: Collection[int] | None,
        refiner: Refiner | None,
    ) -> None:
        self._width, self._row_areas, self._by_corners = width, row_areas, by_corners
        self._keep = np.array(sorted(keep) if keep is not None else [], np.int64)
        self._keeps_none = keep is not None and not len(self._keep)
        self._refiner = refiner
        self._pools: Pools | None = None
        self._row = 0

    def push(
        self,
        row: int,
        values: npt.NDArray[Any],
        nodata: int | None,
        fields: npt.NDArray[np.float32] | None,
    ) -> Iterator[PolygonBatch]:
        """Trace a block; what is complete meanwhile comes where room is needed."""
        if self._keeps_none:
            return
        if fields is None:
            fields = np.zeros((0, *values.shape), np.float32)
        if self._pools is None:
            self._pools = make_pools(
                self._width,
                len(fields),
                by_corners=self._by_corners,
                refined=self._refiner is not None,
            )
        rows = max(_PIXELS // self._width, 1)
        for begin in range(0, len(values), rows):
            lines = encode_lines(values[begin : begin + rows], nodata)
            yield from self._trace(row + begin, lines, fields[:, begin : begin + rows])

    def finish(self) -> Iterator[PolygonBatch]:
        """End the raster."""
        if self._pools is None:
            return
        fields = np.zeros((self._pools.sums.shape[1], 1, 0), np.float32)
        yield from self._trace(self._row, no_line(), fields)
        yield from self._flush()

    def _trace(
        self, row: int, lines: Lines, fields: npt.NDArray[np.float32]
    ) -> Iterator[PolygonBatch]:
        """Trace lines from a row on."""
        assert self._pools is not None
        count = len(lines.offsets) - 1
        areas = np.append(self._row_areas[row : row + count], 0.0)
        done = 0
        while True:
            done += trace_rows(
                self._pools,
                row + done,
                (lines, done),
                fields[:, done:],
                areas[done:],
                self._keep,
                self._by_corners,
            )
            self._row = row + done
            if done == count:
                return
            yield from self._flush()

    def _flush(self) -> Iterator[PolygonBatch]:
        """Write the regions that are complete, and make room."""
        assert self._pools is not None
        if self._refiner is not None:
            self._pools = refine_arcs(self._pools, self._refiner, self._row)
        waiting = self._pools.closed[: self._pools.counts[CLOSED]]
        if len(waiting):
            yield self._batch(self._pools, waiting)
            self._pools.counts[CLOSED] = 0
        self._pools = with_room(self._pools, by_corners=self._by_corners)

    def _batch(self, pools: Pools, waiting: npt.NDArray[Any]) -> PolygonBatch:
        # Parts of one polygon have the same row and lead, and keep their order.
        waiting = waiting[np.lexsort((waiting["lead"], waiting["row"]))]
        slots = waiting["slot"]
        begins = np.flatnonzero(np.diff(waiting["lead"], prepend=-1))
        regions, sums, tallies = pools.regions[slots], pools.sums[slots], pools.tallies[slots]
        pixels = np.add.reduceat(regions["pixels"], begins)
        areas = np.add.reduceat(regions["area"], begins)
        if np.ptp(self._row_areas) == 0:
            areas = pixels * self._row_areas[0]
        with np.errstate(invalid="ignore"):
            means = np.add.reduceat(sums, begins) / np.add.reduceat(tallies, begins)
        coords, ring_offsets, polygon_offsets = assemble(pools, slots)
        return PolygonBatch(
            class_ids=regions["value"][begins].astype(np.int32),
            pixels=pixels,
            areas=areas,
            field_means=means.T,
            coords=coords,
            ring_offsets=ring_offsets,
            polygon_offsets=polygon_offsets,
            offsets=np.append(begins, len(slots)),
            is_refined=self._refiner is not None,
        )
