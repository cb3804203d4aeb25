"""The formats that polygons are written in, and read back from, as streams of Arrow."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyogrio
import pyproj
import shapely
from pyogrio.errors import (
    DataLayerError,
    DataSourceError,
    FeatureError,
    FieldError,
    GeometryError,
)

from geoseg.geo.geoparquet import geoparquet_info, read_geoparquet, write_geoparquet
from geoseg.geo.multipolygon_wkb import encode_geometries
from geoseg.geo.polygon_drivers import polygon_driver
from geoseg.geo.polygon_layer import GEOMETRY, PolygonLayer

logger = logging.getLogger(__name__)

FORMAT_ERRORS = (
    DataSourceError,
    DataLayerError,
    FeatureError,
    FieldError,
    GeometryError,
    pa.ArrowException,
)
"""What the libraries raise that read and write them."""

_OPTIONS: dict[str, dict[str, Any]] = {
    "GPKG": {"dataset_options": {"VERSION": "1.3"}},
    "GeoJSON": {"layer_options": {"RFC7946": "YES", "COORDINATE_PRECISION": "7"}},
    "GeoJSONSeq": {"layer_options": {"COORDINATE_PRECISION": "7"}},
    "ESRI Shapefile": {"layer_options": {"ENCODING": "UTF-8", "2GB_LIMIT": "YES"}},
}

_READING: dict[str, Any] = {"use_pyarrow": True, "batch_size": 1024}
"""Few polygons are read at a time: a single one may have a million vertices."""

_TOLD_OTHERWISE = "'crs' was not provided"
"""In pyogrio's warning where there is no CRS, which is as the caller wants it."""

_warnings_lock = threading.RLock()
"""Python's warning filters belong to the process, not to a thread."""


@contextmanager
def quiet_ogr(path: str | Path) -> Iterator[None]:
    """Log what OGR warns about, in place of Python warnings; one thread at a time.

    Args:
        path: The file that is read or written, for the log.
    """
    with _warnings_lock, warnings.catch_warnings(record=True) as caught:
        # Once each: what runs meanwhile in other threads may warn of the same thing all the time.
        warnings.simplefilter("default")
        yield
    for warning in caught:
        if _TOLD_OTHERWISE in str(warning.message):
            continue
        logger.info("%s: %s", path, warning.message)


def write_groups(
    path: Path,
    groups: Iterable[pa.RecordBatch],
    layer: PolygonLayer,
    driver: str,
    *,
    append: bool = False,
) -> None:
    """Write a stream of polygons to a file.

    Args:
        path: The file, which is made; or (`append`) a GeoPackage that is there.
        groups: Polygons with the layer's schema.
        layer: What they are.
        driver: The format.
        append: Whether to add to the GeoPackage's layer.

    Raises:
        Exception: One of `FORMAT_ERRORS`, or what reading the groups raises.
    """
    source = _Source(groups)
    if driver == "Parquet":
        write_geoparquet(path, source, layer)
        return
    try:
        with quiet_ogr(path):
            pyogrio.write_arrow(
                pa.RecordBatchReader.from_batches(layer.schema, source),
                path,
                layer=layer.name,
                driver=driver,
                geometry_name=GEOMETRY,
                geometry_type="MultiPolygon",
                crs=layer.wkt,
                append=append,
                **_OPTIONS.get(driver, {}),
            )
    except BaseException as error:
        if source.error is not None:
            # GDAL knows only that the stream has ended badly.
            raise source.error from error
        if isinstance(error, RuntimeError):
            raise DataSourceError(str(error)) from error
        raise


def read_groups(path: Path, layer_name: str) -> Iterator[pa.RecordBatch]:
    """Read all polygons of a file with their attributes, some at a time.

    Args:
        path: The file.
        layer_name: Of the layer, in formats with several.

    Yields:
        Attributes, and the geometry as multipolygons under the name of ours.
    """
    driver = polygon_driver(path)
    if driver == "Parquet":
        _, geometry, _ = geoparquet_info(path)
        for batch in read_geoparquet(path):
            yield _named(batch, geometry)
        return
    if _is_blank(path, driver):
        return
    layer = layer_name if driver == "GPKG" else None
    with (
        quiet_ogr(path),
        pyogrio.open_arrow(path, layer=layer, **_READING) as (
            meta,
            reader,
        ),
    ):
        for batch in reader:
            known = [*meta["fields"], meta["geometry_name"] or "wkb_geometry"]
            yield _named(batch.select([n for n in batch.schema.names if n in known]), known[-1])


def format_info(path: Path, layer_name: str) -> tuple[dict[str, str], pyproj.CRS | None]:
    """What stands in a file that is there: columns with their types as Arrow has them, and CRS.

    Raises:
        Exception: One of `FORMAT_ERRORS`, or ValueError, if it is no such file.
    """
    if polygon_driver(path) == "Parquet":
        attributes, _, crs = geoparquet_info(path)
        return {field.name: str(field.type) for field in attributes}, crs
    if _is_blank(path, polygon_driver(path)):
        return {}, pyproj.CRS("EPSG:4326")
    with quiet_ogr(path):
        layer = layer_name if polygon_driver(path) == "GPKG" else None
        info = pyogrio.read_info(path, layer=layer)
    crs = None if info["crs"] is None else pyproj.CRS.from_user_input(info["crs"])
    kinds = [str(kind) for kind in info["dtypes"]]
    return dict(zip(map(str, info["fields"]), kinds, strict=True)), crs


def count_features(path: Path, layer_name: str) -> int:
    """Read all of a file, and count its polygons.

    Raises:
        Exception: One of `FORMAT_ERRORS`, or OSError, if it is damaged.
    """
    if polygon_driver(path) == "Parquet":
        return sum(batch.num_rows for batch in read_geoparquet(path))
    if _is_blank(path, polygon_driver(path)):
        return 0
    layer = layer_name if polygon_driver(path) == "GPKG" else None
    with (
        quiet_ogr(path),
        pyogrio.open_arrow(path, layer=layer, **_READING) as (
            _,
            reader,
        ),
    ):
        return sum(batch.num_rows for batch in reader)


def _is_blank(path: Path, driver: str) -> bool:
    """Whether a file of lines has none, which GDAL takes for no layer."""
    return driver == "GeoJSONSeq" and path.stat().st_size == 0


def _named(batch: pa.RecordBatch, geometry: str) -> pa.RecordBatch:
    """The same attributes, and multipolygons under the name of ours, behind them."""
    names = [name for name in batch.schema.names if name != geometry]
    shapes = shapely.from_wkb(batch.column(geometry).to_numpy(zero_copy_only=False))
    columns = [*(batch.column(name) for name in names), encode_geometries(shapes)]
    return pa.RecordBatch.from_arrays(columns, names=[*names, GEOMETRY])


class _Source:
    """Hands batches on, and keeps the error that ends them: through C it would lose its type."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._batches
        except BaseException as error:
            self.error = error
            raise
