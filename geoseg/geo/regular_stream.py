"""Right angles for the outlines of buildings of a scene of any height.

Of what becomes of an outline only those decide that it may touch. So outlines wait until all
such have come, and no longer: what is written does not depend on the batches they come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import shapely

from geoseg.geo.grid import Grid
from geoseg.geo.measures import pixel_sides
from geoseg.geo.polygon_batch import PolygonBatch
from geoseg.geo.regularizing import FURTHEST, regularize

HIGHEST = 2048
"""Rows; outlines of more are no buildings: they stay as they are, and nobody looks at them."""

_STEP = 2048
"""Rows by which outlines are taken together: what is around them is looked at each time."""


def regularized(batches: Iterable[PolygonBatch], grid: Grid) -> Iterator[PolygonBatch]:
    """Rebuild outlines with right angles where that suits them.

    Args:
        batches: Polygons in the order of their last rows, neither simplified nor smoothed.
        grid: The grid that was traced.

    Yields:
        The same polygons in the same order with other outlines.
    """
    scale = _scale(grid)
    # Two rebuilt outlines may meet that have both left the rectangles around what they were.
    apart = HIGHEST + 2 * FURTHEST / scale[1]
    waiting, around, done = _Held.none(), _Held.none(), -_STEP
    for batch in batches:
        waiting = waiting.joined(_Held.of(batch, scale))
        until = waiting.bottoms[-1] - apart
        if until - done < _STEP:
            continue
        ready = waiting.bottoms <= until
        yield from _rebuilt(waiting, ready, around, scale)
        # Those to come begin no further up than this.
        top = until - apart
        past = around.joined(waiting.taken(ready & (waiting.heights <= HIGHEST)))
        around, waiting, done = past.taken(past.bottoms >= top), waiting.taken(~ready), until
    yield from _rebuilt(waiting, np.ones(len(waiting.bottoms), bool), around, scale)


@dataclass(frozen=True, kw_only=True)
class _Held:
    """Polygons that wait."""

    shapes: npt.NDArray[Any]
    """(n,) shapely geometries, in pixels of one size in both directions."""

    class_ids: npt.NDArray[np.int32]
    pixels: npt.NDArray[np.int64]
    areas: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]
    """(n, fields)"""

    heights: npt.NDArray[np.float64]
    bottoms: npt.NDArray[np.float64]
    """(n,) rows, and the row behind the last."""

    @classmethod
    def none(cls) -> Self:
        """No polygons, of any number of fields."""
        empty = np.zeros(0)
        return cls(
            shapes=np.zeros(0, object),
            class_ids=np.zeros(0, np.int32),
            pixels=np.zeros(0, np.int64),
            areas=empty,
            means=np.zeros((0, 0)),
            heights=empty,
            bottoms=empty,
        )

    @classmethod
    def of(cls, batch: PolygonBatch, scale: npt.NDArray[np.float64]) -> Self:
        """The polygons of a batch."""
        firsts = batch.ring_offsets[batch.polygon_offsets[batch.offsets[:-1]]]
        tops = np.minimum.reduceat(batch.coords[:, 1], firsts)
        bottoms = np.maximum.reduceat(batch.coords[:, 1], firsts)
        parts = shapely.from_ragged_array(
            shapely.GeometryType.MULTIPOLYGON,
            batch.coords * scale,
            (batch.ring_offsets, batch.polygon_offsets, batch.offsets),
        )
        return cls(
            shapes=np.asarray(parts, object),
            class_ids=batch.class_ids,
            pixels=batch.pixels,
            areas=batch.areas,
            means=batch.field_means.T,
            heights=bottoms - tops,
            bottoms=bottoms,
        )

    def joined(self, other: Self) -> Self:
        """These, and others behind them."""
        if not len(self.bottoms):
            return other
        both = {
            each.name: np.concatenate([getattr(self, each.name), getattr(other, each.name)])
            for each in fields(self)
            if len(other.bottoms)
        }
        return type(self)(**both) if both else self

    def taken(self, chosen: npt.NDArray[np.bool_]) -> Self:
        """Some of them."""
        return type(self)(**{each.name: getattr(self, each.name)[chosen] for each in fields(self)})


def _rebuilt(
    waiting: _Held, ready: npt.NDArray[np.bool_], around: _Held, scale: npt.NDArray[np.float64]
) -> Iterator[PolygonBatch]:
    """The polygons that are ready, rebuilt where those around them allow it."""
    if not ready.any():
        return
    shapes = waiting.shapes.copy()
    low = np.flatnonzero(waiting.heights <= HIGHEST)
    together = np.concatenate([shapes[low], around.shapes])
    shapes[low] = regularize(together)[: len(low)]
    chosen = waiting.taken(ready)
    _, coords, offsets = shapely.to_ragged_array(shapes[ready])
    rings, polygons, features = (each.astype(np.int64) for each in offsets)
    yield PolygonBatch(
        class_ids=chosen.class_ids,
        pixels=chosen.pixels,
        areas=chosen.areas,
        field_means=chosen.means.T,
        coords=coords / scale,
        ring_offsets=rings,
        polygon_offsets=polygons,
        offsets=features,
        is_refined=True,
    )


def _scale(grid: Grid) -> npt.NDArray[np.float64]:
    """What makes pixels square: factors of columns and of rows; right angles need it."""
    along, across = (float(sides[grid.height // 2]) for sides in pixel_sides(grid))
    side = np.sqrt(along * across)
    return np.ones(2) if np.isclose(along, across, rtol=1e-6) else np.array([along, across]) / side
