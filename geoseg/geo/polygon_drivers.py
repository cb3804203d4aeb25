"""Which formats polygons can be written in, known before what writes them is imported."""

from __future__ import annotations

from pathlib import Path

from rasterio.crs import CRS

from geoseg.errors import OutputError

DRIVERS = {
    ".gpkg": "GPKG",
    ".fgb": "FlatGeobuf",
    ".parquet": "Parquet",
    ".geojson": "GeoJSON",
    ".json": "GeoJSON",
    ".geojsonl": "GeoJSONSeq",
    ".geojsons": "GeoJSONSeq",
    ".shp": "ESRI Shapefile",
}
"""Formats that polygons can be written in, by suffix."""

WGS84_DRIVERS = ("GeoJSON", "GeoJSONSeq")
"""Formats that know longitude and latitude only."""


def polygon_driver(path: str | Path) -> str:
    """The driver that writes a path, so that a wrong one is refused before the work.

    Raises:
        OutputError: If the suffix is unknown.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in DRIVERS:
        raise OutputError(
            path, f'polygons cannot be written as "{suffix}"', f"Use one of {', '.join(DRIVERS)}"
        )
    return DRIVERS[suffix]


def check_format(path: str | Path, crs: CRS | None) -> str:
    """The driver of a format that can hold polygons of a CRS.

    Args:
        path: Its suffix tells the format.
        crs: Of the polygons.

    Raises:
        OutputError: If the suffix is unknown, or the format needs a CRS and there is none.
    """
    driver = polygon_driver(path)
    if driver in WGS84_DRIVERS and crs is None:
        raise OutputError(
            path,
            "GeoJSON holds longitudes and latitudes only, the polygons have no CRS",
            "Name it .gpkg, or give --assume-crs",
        )
    return driver
