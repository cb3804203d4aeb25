"""What each writer writes in the tests of full disks: small, so that every write can fail once."""

from pathlib import Path

import geopandas
import numpy as np
import torch
from affine import Affine
from fault_work import save_model
from shapely import box

from geoseg.geo.cog import RasterProfile, RasterWriter
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.polygon_files import write_polygons
from geoseg.geo.sample_file import write_sample
from geoseg.nn.checkpoints import write_checkpoint
from geoseg.nn.journal import write_csv
from geoseg.reports.figures import draw_curves

LEGEND = Legend.of_values((0, 1), {0: "ground", 1: "roof"})
GRID = Grid(height=600, width=40, transform=Affine(1, 0, 9, 0, -1, 9), crs=None)


def raster():
    values = np.random.default_rng(0).integers(0, 2, (1, 600, 40)).astype("uint8")
    with RasterWriter("out.tif", RasterProfile(grid=GRID, nodata=255), overwrite=True) as writer:
        writer.write(values, GRID.window)
        writer.sidecars[".aux.xml"] = "<PAMDataset></PAMDataset>"
        writer.sidecars[".qml"] = "<qgis></qgis>"


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
    "raster with checkpoints": raster_with_checkpoints,
    "gpkg": polygons("out.gpkg"),
    "fgb": polygons("out.fgb"),
    "parquet": polygons("out.parquet"),
    "geojson": polygons("out.geojson"),
    "geojsonl": polygons("out.geojsonl"),
    "shp": polygons("out.shp"),
    "sample": sample,
    "bundle": lambda: save_model("out.safetensors", overwrite=True, arch="linear"),
    "checkpoint": lambda: write_checkpoint({"state_dict": {"a": torch.zeros(50_000)}}, "out.ckpt"),
    "csv": lambda: write_csv([{"epoch": 1}], Path("out.csv")),
    "picture": lambda: draw_curves([{"epoch": 1, "train/loss": 1.0, "lr": 1.0}], Path("out.png")),
}
