"""What GeoPackages have beside their polygons: styles, and databases that are copied whole."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from geoseg.errors import WorkError
from geoseg.geo.legend import Legend
from geoseg.geo.style import polygon_qml

_STYLE_TABLE = """
CREATE TABLE IF NOT EXISTS layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256),
    f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)"""
"""The table in which QGIS looks for the styles of a GeoPackage."""


def add_style(path: Path, layer: str, legend: Legend) -> None:
    """Give a layer the colours of a legend where QGIS looks for them; a style it has stays.

    Args:
        path: The GeoPackage.
        layer: Name of the layer; its column `class_id` tells the class.
        legend: The classes.
    """
    add_qml(path, layer, polygon_qml(legend), "Class colours")


def add_qml(path: Path, layer: str, qml: str, description: str) -> None:
    """Give a layer a default style of QGIS; one that it has stays.

    Args:
        path: The GeoPackage.
        layer: Name of the layer.
        qml: The style.
        description: What it is.
    """
    with closing(sqlite3.connect(path)) as database, database:
        (column,) = database.execute(
            "SELECT column_name FROM gpkg_geometry_columns WHERE table_name = ?", (layer,)
        ).fetchone()
        database.execute(_STYLE_TABLE)
        database.execute(
            "INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles')"
        )
        styled = database.execute("SELECT 1 FROM layer_styles WHERE f_table_name = ?", (layer,))
        if styled.fetchone() is not None:
            return
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
            "f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description, owner) "
            "VALUES ('', '', ?, ?, 'classes', ?, '', 1, ?, '')",
            (layer, column, qml, description),
        )


def copy_database(source: Path, target: Path) -> None:
    """Copy a GeoPackage as it is to its readers, with what other programs have in its journal."""
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)


def geopackage_layers(path: Path) -> list[str]:
    """Names of the layers with geometries.

    Raises:
        sqlite3.Error: If it is no GeoPackage.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT table_name FROM gpkg_geometry_columns").fetchall()
    return [str(name) for (name,) in rows]


def count_rows(path: Path, layer: str) -> int:
    """Rows of a layer."""
    quoted = layer.replace('"', '""')
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])  # noqa: S608


def check_database(path: Path, output: Path) -> None:
    """Refuse a database that is damaged.

    Args:
        path: The GeoPackage.
        output: Named in the error.

    Raises:
        WorkError: If SQLite finds it so.
    """
    with closing(sqlite3.connect(path)) as database:
        (answer,) = database.execute("PRAGMA quick_check").fetchone()
    if answer != "ok":
        raise WorkError(output, f"is damaged after writing ({answer})", "Check the disk")
