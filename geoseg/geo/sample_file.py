"""Writing the points of a sample for somebody who interprets them."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from xml.sax.saxutils import quoteattr

import geopandas
import pyogrio

from geoseg.errors import OutputError, WorkError
from geoseg.geo.geopackage import add_qml, check_database, count_rows
from geoseg.geo.legend import Legend
from geoseg.geo.outputs import check_output, publish
from geoseg.geo.polygon_formats import FORMAT_ERRORS, quiet_ogr

LAYER = "sample"
"""Layer of the points."""


def check_sample_path(path: str | Path, *, overwrite: bool, inputs: list[str]) -> Path:
    """Refuse a file that cannot or must not be written, before any work is done.

    Raises:
        OutputError: If it is no GeoPackage by its suffix, exists and `overwrite` is not set, is
            an input, or its folder is missing or cannot be written.
    """
    path = check_output(path, overwrite=overwrite, inputs=inputs)
    if path.suffix.lower() != ".gpkg":
        raise OutputError(path, "a sample is written as a GeoPackage", "Name it .gpkg")
    return path


def write_sample(path: Path, points: geopandas.GeoDataFrame, field: str, legend: Legend) -> None:
    """Write points, with a form in which QGIS offers the classes, and read them back.

    Args:
        path: As checked before.
        points: The points with their attributes.
        field: Attribute in which the interpreter writes the class.
        legend: The classes.

    Raises:
        WorkError: If the disk is full or fails.
    """
    with publish(path) as temporary:
        try:
            with quiet_ogr(path):
                pyogrio.write_dataframe(
                    points,
                    temporary,
                    layer=LAYER,
                    driver="GPKG",
                    geometry_type="Point",
                    dataset_options={"VERSION": "1.3"},
                )
            add_qml(temporary, LAYER, form_qml(field, legend), "Form of the classes")
            check_database(temporary, path)
            found = count_rows(temporary, LAYER)
        except (*FORMAT_ERRORS, sqlite3.Error) as error:
            raise WorkError(path, f"cannot be written ({error})", "Check the disk") from error
        if found != len(points):
            raise WorkError(
                path, f"only {found} of {len(points)} points could be read back", "Check the disk"
            )


def form_qml(field: str, legend: Legend) -> str:
    """The text of a QGIS form in which a field is chosen among the classes."""
    choices = [
        f'<Option type="Map"><Option type="QString" name={quoteattr(name)} '
        f"value={quoteattr(name)}/></Option>"
        for name in legend.names
    ]
    return "\n".join(
        [
            "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>",
            '<qgis version="3.22.0" styleCategories="Fields|Forms"><fieldConfiguration>',
            f"<field name={quoteattr(field)}>",
            '<editWidget type="ValueMap"><config><Option type="Map">',
            '<Option type="List" name="map">',
            *choices,
            "</Option></Option></config></editWidget></field></fieldConfiguration></qgis>",
            "",
        ]
    )
