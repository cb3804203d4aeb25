"""Layers of polygons written as a stream: made beside the target, read back, then published."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyproj
from rasterio.crs import CRS

from geoseg.errors import OutputError, WorkError
from geoseg.geo.geojson_shapes import geojson_groups
from geoseg.geo.geopackage import (
    add_style,
    check_database,
    copy_database,
    count_rows,
    geopackage_layers,
)
from geoseg.geo.outputs import check_output, publish
from geoseg.geo.polygon_drivers import WGS84_DRIVERS, check_format, polygon_driver
from geoseg.geo.polygon_formats import (
    FORMAT_ERRORS,
    count_features,
    format_info,
    read_groups,
    write_groups,
)
from geoseg.geo.polygon_layer import PolygonLayer, regroup
from geoseg.geo.shapefile import check_shapefile, publish_shapefile, short_columns
from geoseg.geo.temporary import remove_temporary_folder, temporary_path

logger = logging.getLogger(__name__)

_SHAPEFILE = "ESRI Shapefile"
_WGS84 = CRS.from_epsg(4326)
_ERRORS = (*FORMAT_ERRORS, sqlite3.Error)


def check_layer(
    path: str | Path, layer: PolygonLayer, *, overwrite: bool = False, append: bool = False
) -> Path:
    """Refuse a layer that must not or cannot be written, before any work is done.

    Args:
        path: The file; its suffix tells the format.
        layer: What is to be written.
        overwrite: Whether an existing file may be replaced.
        append: Whether to add to a layer that is there.

    Returns:
        The path.

    Raises:
        OutputError: If the file must not be written, the suffix is unknown, the format needs a CRS
            and there is none, or the layer that is there has other columns or another CRS.
    """
    path = check_output(path, overwrite=overwrite or append)
    driver = check_format(path, layer.crs)
    if append and path.exists():
        _check_existing(path, layer, driver)
    return path


def write_layer(
    path: str | Path,
    batches: Iterable[pa.RecordBatch],
    layer: PolygonLayer,
    *,
    overwrite: bool = False,
    append: bool = False,
) -> int:
    """Write a stream of polygons in the format of the path's suffix.

    Memory is that of a group of polygons, whatever their number. A run that fails or is
    interrupted leaves what was there before.

    Args:
        path: The file.
        batches: Polygons with the layer's schema, as few or many at a time as they come.
        layer: What they are.
        overwrite: Whether an existing file may be replaced.
        append: Whether to add to a layer that is there.

    Returns:
        How many polygons of `batches` were written.

    Raises:
        OutputError: As of `check_layer`.
        WorkError: If the writing failed, or the file read back is not whole.
        Exception: What reading `batches` raises.
    """
    with writing_layer(path, batches, layer, overwrite=overwrite, append=append) as count:
        return count


@contextmanager
def writing_layer(
    path: str | Path,
    batches: Iterable[pa.RecordBatch],
    layer: PolygonLayer,
    *,
    overwrite: bool = False,
    append: bool = False,
) -> Iterator[int]:
    """As `write_layer`, but the file gets its name when the block ends, if it ends well.

    Yields:
        How many polygons were written.

    Raises:
        OutputError: As of `check_layer`.
        WorkError: If the writing failed, or the file read back is not whole.
        Exception: What reading `batches` raises.
    """
    path = check_layer(path, layer, overwrite=overwrite, append=append)
    counter = _Counter(batches)
    with _published(path) as made:
        try:
            if append and path.exists():
                _append(path, made, counter, layer)
            else:
                _write(path, made, counter, layer)
        except _ERRORS as error:
            raise _explained(path, error) from error
        yield counter.count


def _published(path: Path) -> AbstractContextManager[Path]:
    """Where a file is made that then takes the name of `path`."""
    return publish_shapefile(path) if polygon_driver(path) == _SHAPEFILE else publish(path)


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A place for a file like `path` that is removed again."""
    folder = temporary_path(path.parent / "folder")
    folder.mkdir()
    try:
        yield folder / path.name
    finally:
        remove_temporary_folder(folder)


def _write(path: Path, made: Path, counter: _Counter, layer: PolygonLayer) -> None:
    """Write a new file, and read it back."""
    driver = polygon_driver(path)
    # Databases are the same however rows come.
    groups: Iterable[pa.RecordBatch] = counter if driver == "GPKG" else regroup(counter)
    if driver in WGS84_DRIVERS and layer.crs is not None:
        groups = geojson_groups(groups, layer.crs)
    if driver == _SHAPEFILE:
        layer = replace(layer, columns=short_columns(path, layer.columns))
        groups = (group.rename_columns(layer.schema.names) for group in groups)
    write_groups(made, groups, layer, driver)
    if driver == "GPKG" and layer.legend is not None:
        add_style(made, layer.name, layer.legend)
    _verify(path, made, layer, counter.count)


def _append(path: Path, made: Path, counter: _Counter, layer: PolygonLayer) -> None:
    """Write what is in a file and new polygons behind it to another one, and read that back."""
    driver = polygon_driver(path)
    if driver == "GPKG":
        copy_database(path, made)
        before = count_rows(made, layer.name) if layer.name in geopackage_layers(made) else 0
        write_groups(made, counter, layer, driver, append=True)
        if layer.legend is not None:
            add_style(made, layer.name, layer.legend)
    else:
        # New polygons take the form of the format first: GeoJSON's are of another CRS then.
        with _scratch(path) as fresh:
            _write(path, fresh, counter, layer)
            before = count_features(path, layer.name)
            layer = _as_stored(path, layer)
            both = chain(read_groups(path, layer.name), read_groups(fresh, layer.name))
            conformed = (_conformed(batch, layer.schema) for batch in both)
            write_groups(made, regroup(conformed), layer, driver)
    _verify(path, made, layer, before + counter.count)


def _verify(path: Path, made: Path, layer: PolygonLayer, expected: int) -> None:
    """Read a file back: GDAL does not report a disk that fills up when a file is closed."""
    if polygon_driver(path) == "GPKG":
        check_database(made, path)
        found = count_rows(made, layer.name)
    else:
        found = count_features(made, layer.name)
    if polygon_driver(path) == _SHAPEFILE:
        check_shapefile(made, path)  # it counts by its index, whatever the rest holds
    if found != expected:
        raise WorkError(
            path, f"only {found} of {expected} polygons could be read back", "Check the disk"
        )
    _tell_other_crs(path, made, layer)


def _as_stored(path: Path, layer: PolygonLayer) -> PolygonLayer:
    """The layer as it is in a file of its format."""
    driver = polygon_driver(path)
    if driver in WGS84_DRIVERS:
        return replace(layer, crs=_WGS84)
    if driver == _SHAPEFILE:
        return replace(layer, columns=short_columns(path, layer.columns))
    return layer


def _conformed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns of a schema, in its order and of its types."""
    columns = [
        batch.column(field.name).cast(field.type)
        if field.name in batch.schema.names
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _check_existing(path: Path, layer: PolygonLayer, driver: str) -> None:
    """Refuse to add to what is of another kind."""
    try:
        if driver == "GPKG" and layer.name not in geopackage_layers(path):
            return
        found, crs = format_info(path, layer.name)
        is_empty = not found and count_features(path, layer.name) == 0
    except (*_ERRORS, OSError, ValueError) as error:
        raise OutputError(
            path, f"cannot be added to ({first_line(error)})", "Give --overwrite to replace it"
        ) from error
    wanted = _as_stored(path, layer)
    missing = [name for name in wanted.columns.names if name not in found]
    extra = [name for name in found if name not in wanted.columns.names]
    if not is_empty and (missing or extra):
        differing = [f"no {name}" for name in missing] + [f"{name} beside ours" for name in extra]
        raise OutputError(
            path,
            f"has other columns than are to be added ({', '.join(differing)})",
            "Write to another file",
        )
    if not _is_same_crs(crs, wanted):
        raise OutputError(
            path,
            f"is in {_name(crs)}, what is to be added in {_name(_proj(wanted))}",
            "Write to another file",
        )


def _proj(layer: PolygonLayer) -> pyproj.CRS | None:
    return None if layer.wkt is None else pyproj.CRS.from_wkt(layer.wkt)


def _is_same_crs(found: pyproj.CRS | None, layer: PolygonLayer) -> bool:
    wanted = _proj(layer)
    if found is None or wanted is None:
        # SQLite's "undefined" comes back as an engineering CRS.
        return wanted is None and (found is None or found.is_engineering)
    return found.equals(wanted, ignore_axis_order=True)


def _name(crs: pyproj.CRS | None) -> str:
    """A CRS for people."""
    return "no CRS" if crs is None else str(crs.to_string() if crs.to_epsg() else crs.name)


def _tell_other_crs(path: Path, made: Path, layer: PolygonLayer) -> None:
    """Warn of a format that has no words for a CRS."""
    stored = _as_stored(path, layer)
    _, crs = format_info(made, layer.name)
    if layer.crs is not None and not _is_same_crs(crs, stored):
        found, wanted = _name(crs), _name(_proj(stored))
        # Custom ones often have the same name: none, or "unknown".
        told = "another of the same name" if found == wanted else f"{found}, not {wanted}"
        logger.warning("%s: cannot tell the CRS exactly: it is read back as %s", path, told)


def _explained(path: Path, error: BaseException) -> WorkError:
    text = first_line(error)
    if polygon_driver(path) == _SHAPEFILE and ("2GB" in text or "2 GB" in text):
        return WorkError(path, "would be larger than the 2 GB of a Shapefile", "Name it .gpkg")
    return WorkError(path, f"cannot be written ({text})", "Check the disk")


def first_line(error: BaseException) -> str:
    """What an error of a library says, without full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


class _Counter:
    """Hands batches on, and counts their rows."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self.count = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self.count += batch.num_rows
            yield batch
