"""What is told of each polygon: the columns of a layer, made of what the tracer has found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.multipolygon_wkb import encode_multipolygons
from geoseg.geo.polygon_batch import PolygonBatch
from geoseg.geo.polygon_layer import geometry_field

SceneNames = Callable[[PolygonBatch], Sequence[str]]
"""Of some polygons, what the column `scene` says of each."""


def polygon_columns(*, margin: bool = False) -> pa.Schema:
    """Names and types of the columns beside the geometry.

    Args:
        margin: Whether there is one of the margin to the second class.
    """
    numbers = ["area_m2", "perim_m", "mean_prob", *(["margin"] if margin else [])]
    return pa.schema(
        [
            pa.field("class_id", pa.int32()),
            pa.field("class_name", pa.string()),
            *(pa.field(name, pa.float64()) for name in numbers),
            pa.field("scene", pa.string()),
        ]
    )


class PolygonColumns:
    """Makes rows of a layer of traced polygons.

    Args:
        grid: The grid that is traced.
        legend: Names the classes.
        names: Tells the scenes of polygons.
        margin: Whether there is a column of margins.
    """

    def __init__(
        self,
        grid: Grid,
        legend: Legend,
        names: SceneNames,
        *,
        margin: bool = False,
    ) -> None:
        self._grid, self._names = grid, names
        self._schema = polygon_columns(margin=margin).append(geometry_field())
        self._fields = 2 if margin else 1
        self._places = np.zeros(max(legend.values) + 1, np.int64)
        self._places[list(legend.values)] = range(legend.count)
        self._class_names = pa.array(legend.names, pa.string())

    def rows(self, batch: PolygonBatch) -> pa.RecordBatch:
        """Polygons as rows of the layer."""
        areas, perimeters = batch.measured(self._grid)
        geometries = encode_multipolygons(
            batch.ground_coords(self._grid),
            batch.ring_offsets,
            batch.polygon_offsets,
            batch.offsets,
        )
        means = list(batch.field_means[: self._fields])
        missing = [np.full(len(batch), np.nan)] * (self._fields - len(means))
        names = self._class_names.take(pa.array(self._places[batch.class_ids]))
        columns = [
            pa.array(batch.class_ids, pa.int32()),
            names,
            pa.array(areas, pa.float64()),
            pa.array(perimeters, pa.float64()),
            # What is no number is null in the layer.
            *(pa.array(mean, pa.float64(), from_pandas=True) for mean in [*means, *missing]),
            pa.array(self._names(batch), pa.string()),
            geometries,
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)


def one_name(name: str) -> SceneNames:
    """All polygons are of one scene.

    Args:
        name: What the column `scene` says.
    """
    return lambda batch: [name] * len(batch)


def boxes_of(batch: PolygonBatch) -> npt.NDArray[np.float64]:
    """First column and row, and last ones, of each polygon (n, 4), in pixels."""
    firsts = batch.ring_offsets[batch.polygon_offsets[batch.offsets[:-1]]]
    low, high = np.minimum.reduceat(batch.coords, firsts), np.maximum.reduceat(batch.coords, firsts)
    return np.concatenate([low, high], axis=1)
