"""Writing polygons: GeoPackage, FlatGeobuf, GeoParquet, GeoJSON or Shapefile, by suffix."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import sqlite3
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import geopandas
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError

from geoseg.errors import OutputError, WorkError
from geoseg.geo.legend import Legend
from geoseg.geo.outputs import check_output, publish
from geoseg.geo.style import polygon_qml
from geoseg.geo.temporary import temporary_path

logger = logging.getLogger(__name__)

DRIVERS = {
    ".gpkg": "GPKG",
    ".fgb": "FlatGeobuf",
    ".parquet": "Parquet",
    ".geojson": "GeoJSON",
    ".json": "GeoJSON",
    ".geojsonl": "GeoJSONSeq",
    ".shp": "ESRI Shapefile",
}
"""Formats that polygons can be written in, by suffix."""

_OGR_ERRORS = (DataSourceError, DataLayerError, FeatureError, FieldError, GeometryError)
_LONGEST_NAME = 10
"""Signs of a field's name in a Shapefile."""

_warnings_lock = threading.RLock()
"""Python's warning filters belong to the process, not to a thread."""

_STALE_INDEXES = (".sbn", ".sbx", ".qix", ".cpg", ".idm", ".ind")
"""Side files of a replaced Shapefile that would contradict the new one."""

_STYLE_TABLE = """
CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256),
    f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)"""
"""The table in which QGIS looks for the styles of a GeoPackage."""


def write_polygons(
    path: str | Path,
    frame: geopandas.GeoDataFrame,
    *,
    legend: Legend | None = None,
    overwrite: bool = False,
    layer: str = "segments",
) -> Path:
    """Write polygons in the format of the path's suffix, read them back, then publish them.

    Args:
        path: The file; `.gpkg`, `.fgb`, `.parquet`, `.geojson`, `.geojsonl` or `.shp`.
        frame: Polygons with their attributes; it may be empty.
        legend: Gives a GeoPackage its style by the column `class_id`.
        overwrite: Whether an existing file may be replaced.
        layer: Name of the layer, in formats that name it.

    Returns:
        The path written.

    Raises:
        OutputError: If the suffix is unknown, the file must not be written there, the format
            cannot hold the frame, or GeoParquet is asked for without pyarrow.
        WorkError: If the writing failed, or the file read back is not whole.
    """
    path = check_output(path, overwrite=overwrite)
    driver = polygon_driver(path)
    try:
        if driver == "Parquet":
            _write_parquet(path, frame)
        elif driver == "ESRI Shapefile":
            _write_shapefile(path, frame)
        else:
            _write_single_file(path, frame, driver, legend, layer)
    except _OGR_ERRORS as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WorkError(
            path, f"cannot be written ({text.rstrip('.')})", "Check the disk"
        ) from error
    return path


def polygon_driver(path: str | Path) -> str:
    """The OGR driver that writes a path, so that a wrong one is refused before the work.

    Raises:
        OutputError: If the suffix is unknown, or means GeoParquet and pyarrow is not there.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in DRIVERS:
        raise OutputError(
            path, f'polygons cannot be written as "{suffix}"', f"Use one of {', '.join(DRIVERS)}"
        )
    if DRIVERS[suffix] == "Parquet":
        _require_pyarrow(path)
    return DRIVERS[suffix]


@contextmanager
def quiet_ogr(path: str | Path) -> Iterator[None]:
    """Log what OGR warns about, in place of Python warnings; one thread at a time.

    Args:
        path: The file that is read or written, for the log.
    """
    with _warnings_lock, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        logger.info("%s: %s", path, warning.message)


def _write_single_file(
    path: Path, frame: geopandas.GeoDataFrame, driver: str, legend: Legend | None, layer: str
) -> None:
    options: dict[str, str] = {}
    if driver in ("GeoJSON", "GeoJSONSeq"):
        frame, options = _prepare_geojson(path, frame, driver)
    with publish(path) as temporary, quiet_ogr(path):
        pyogrio.write_dataframe(
            frame,
            temporary,
            layer=layer,
            driver=driver,
            geometry_type="MultiPolygon",
            promote_to_multi=True,
            dataset_options={"VERSION": "1.3"} if driver == "GPKG" else None,
            layer_options=options,
        )
        if driver == "GPKG" and legend is not None:
            _add_style(temporary, layer, polygon_qml(legend))
        _verify(path, temporary, len(frame))


def _prepare_geojson(
    path: Path, frame: geopandas.GeoDataFrame, driver: str
) -> tuple[geopandas.GeoDataFrame, dict[str, str]]:
    """RFC 7946 knows WGS 84 only; pixel coordinates are written as they are, and that is told."""
    if frame.crs is None:
        logger.warning("%s: the polygons have no CRS; coordinates are those of the image", path)
        return frame, {}
    options = {"COORDINATE_PRECISION": "7"}
    if driver == "GeoJSON":
        options["RFC7946"] = "YES"
    return frame.to_crs("EPSG:4326"), options


def _write_parquet(path: Path, frame: geopandas.GeoDataFrame) -> None:
    with publish(path) as temporary:
        frame.to_parquet(temporary, index=False, write_covering_bbox=not frame.empty)
        read_back = geopandas.read_parquet(temporary, columns=[frame.geometry.name])
        _compare(path, len(read_back), len(frame))


def _require_pyarrow(path: str | Path) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise OutputError(
            path, "GeoParquet needs pyarrow", "Install it: pip install pyarrow; or write .gpkg"
        )


def _write_shapefile(path: Path, frame: geopandas.GeoDataFrame) -> None:
    """Write a Shapefile's files in a hidden folder, then move them out, the `.shp` last.

    Several files cannot appear at once. Without its `.shp` a Shapefile is not seen by any
    program, so a run killed between two moves leaves no readable half.
    """
    frame = _with_short_names(path, frame)
    folder = temporary_path(path).with_suffix("")
    folder.mkdir()
    try:
        made = folder / path.name
        with quiet_ogr(path):
            pyogrio.write_dataframe(
                frame, made, driver="ESRI Shapefile", geometry_type="MultiPolygon", encoding="UTF-8"
            )
        _verify(path, made, len(frame))
        with publish(path) as temporary:
            shutil.copyfile(made, temporary)
            path.unlink(missing_ok=True)
            for suffix in _STALE_INDEXES:
                path.with_suffix(suffix).unlink(missing_ok=True)
            for file in folder.iterdir():
                if file != made:
                    os.replace(file, path.with_suffix(file.suffix))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _with_short_names(path: Path, frame: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    names: dict[str, str] = {}
    for name in frame.columns.drop(frame.geometry.name):
        short, number = name[:_LONGEST_NAME], 1
        while short.lower() in (used.lower() for used in names.values()):
            number += 1
            short = f"{name[: _LONGEST_NAME - len(str(number))]}{number}"
        names[name] = short
    changed = {name: short for name, short in names.items() if name != short}
    if changed:
        listing = ", ".join(f"{name} -> {short}" for name, short in changed.items())
        logger.warning("%s: a Shapefile cuts names to 10 signs: %s", path, listing)
    return frame.rename(columns=changed)


def _add_style(path: Path, layer: str, qml: str) -> None:
    """Put a default style for `layer` where QGIS looks for it."""
    with closing(sqlite3.connect(path)) as database, database:
        (column,) = database.execute(
            "SELECT column_name FROM gpkg_geometry_columns WHERE table_name = ?", (layer,)
        ).fetchone()
        database.execute(_STYLE_TABLE)
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles')"
        )
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
            "f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description, owner) "
            "VALUES ('', '', ?, ?, 'classes', ?, '', 1, 'Class colours', '')",
            (layer, column, qml),
        )


def _verify(path: Path, written: Path, expected: int) -> None:
    """Read a file back: GDAL does not report a disk that fills up when a file is closed."""
    layer = pyogrio.list_layers(written)[0][0]
    info = pyogrio.read_info(written, layer=layer, force_feature_count=True)
    # FlatGeobuf answers -1 for an empty file.
    _compare(path, max(info["features"], 0), expected)
    if path.suffix.lower() == ".gpkg":
        with closing(sqlite3.connect(written)) as database:
            (answer,) = database.execute("PRAGMA quick_check").fetchone()
        if answer != "ok":
            raise WorkError(path, f"is damaged after writing ({answer})", "Check the disk")


def _compare(path: Path, found: int, expected: int) -> None:
    if found != expected:
        raise WorkError(
            path, f"only {found} of {expected} polygons could be read back", "Check the disk"
        )
