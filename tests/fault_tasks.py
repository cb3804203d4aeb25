"""What each writer writes in the tests of full disks: small, so that every write can fail once.

Those that need torch are in `fault_torch_tasks.py`: without it a process is forked at once.
"""

from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
from affine import Affine
from shapely import box

from geoseg.geo.cog import RasterProfile, RasterWriter, write_raster
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.polygon_files import write_polygons
from geoseg.geo.sample_file import write_sample
from geoseg.reports.figures import draw_curves

LEGEND = Legend.of_values((0, 1), {0: "ground", 1: "roof"})
GRID = Grid(height=600, width=40, transform=Affine(1, 0, 9, 0, -1, 9), crs=None)


def raster():
    values = np.random.default_rng(0).integers(0, 2, (1, 600, 40)).astype("uint8")
    with RasterWriter("out.tif", RasterProfile(grid=GRID, nodata=255), overwrite=True) as writer:
        writer.write(values, GRID.window)
        writer.sidecars[".aux.xml"] = "<PAMDataset></PAMDataset>"
        writer.sidecars[".qml"] = "<qgis></qgis>"


def raster_with_overviews():
    """GDAL makes those of narrow ones itself."""
    wide = replace(GRID, width=260)
    values = np.random.default_rng(0).integers(0, 2, (1, 600, 260)).astype("uint8")
    write_raster("out.tif", values, RasterProfile(grid=wide, nodata=255), overwrite=True)


def raster_with_checkpoints():
    values = np.random.default_rng(0).integers(0, 2, (1, 600, 40)).astype("uint8")
    profile = RasterProfile(grid=GRID, nodata=255)
    with RasterWriter("out.tif", profile, overwrite=True, lasting=True) as writer:
        for window in (GRID.window,):
            writer.write(values, window)
            writer.checkpoint()


def polygons(name):
    def write():
        frame = geopandas.GeoDataFrame(
            {"class_id": [0, 1] * 10, "class_name": ["ground", "roof"] * 10},
            geometry=[box(9 + x, 47, 9.5 + x, 48) for x in range(20)],
            crs="EPSG:4326",
        )
        write_polygons(name, frame, legend=LEGEND, overwrite=True)

    return write


def sample():
    points = geopandas.GeoDataFrame({"class": [""]}, geometry=[box(9, 47, 10, 48).centroid])
    write_sample(Path("out.gpkg"), points.set_crs("EPSG:4326"), "class", LEGEND)


TASKS = {
    "raster": raster,
    "raster with overviews": raster_with_overviews,
    "raster with checkpoints": raster_with_checkpoints,
    "gpkg": polygons("out.gpkg"),
    "fgb": polygons("out.fgb"),
    "parquet": polygons("out.parquet"),
    "geojson": polygons("out.geojson"),
    "geojsonl": polygons("out.geojsonl"),
    "shp": polygons("out.shp"),
    "sample": sample,
    "picture": lambda: draw_curves([{"epoch": 1, "train/loss": 1.0, "lr": 1.0}], Path("out.png")),
}
