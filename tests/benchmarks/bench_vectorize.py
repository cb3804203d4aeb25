"""Time `vectorize` against `rasterio.features.shapes`, both from GeoTIFF to GeoPackage.

Run: `python tests/benchmarks/bench_vectorize.py [--side 4096] [--repeats 3]`
"""

import argparse
import tempfile
import time
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
from affine import Affine
from rasterio import features
from rasterio.crs import CRS
from scipy import ndimage

from geoseg.geo.classes import legend_of_classes, open_classes
from geoseg.geo.polygons import polygonize
from geoseg.vectorize import VectorizeOptions, vectorize

MAPS = {"land cover": 0.0, "3 % salt": 0.03, "15 % salt": 0.15}
CLASSES = 5


def land_cover(side, salt):
    rng = np.random.default_rng(0)
    best, values = np.full((side, side), -np.inf, np.float32), np.zeros((side, side), np.uint8)
    for number in range(CLASSES):
        field = ndimage.gaussian_filter(rng.standard_normal((side, side), np.float32), 12)
        values[field > best] = number
        np.maximum(best, field, out=best)
    noisy = rng.random((side, side), np.float32) < salt
    values[noisy] = rng.integers(0, CLASSES, noisy.sum())
    return values


def write(path, values):
    profile = {"count": 1, "dtype": "uint8", "nodata": 255, "tiled": True, "compress": "deflate"}
    profile |= {"height": len(values), "width": values.shape[1], "crs": CRS.from_epsg(32632)}
    transform = Affine(0.5, 0, 4e5, 0, -0.5, 5e6)
    with rasterio.open(path, "w", driver="GTiff", transform=transform, **profile) as dataset:
        dataset.write(values, 1)


def by_geoseg(source, target):
    return vectorize(source, target, VectorizeOptions(overwrite=True)).polygons


def by_rasterio(source, target):
    with rasterio.open(source) as dataset:
        values, transform, crs = dataset.read(1), dataset.transform, dataset.crs
    found = features.shapes(values, mask=values != 255, transform=transform)
    shapes, classes = zip(*((shapely.geometry.shape(s), int(v)) for s, v in found), strict=True)
    frame = geopandas.GeoDataFrame({"class_id": classes}, geometry=list(shapes), crs=crs)
    frame.to_file(target, layer="segments", driver="GPKG")
    return len(frame)


def shapes_alone(source, _):
    with rasterio.open(source) as dataset:
        values, transform = dataset.read(1), dataset.transform
    found = features.shapes(values, mask=values != 255, transform=transform)
    return len([shapely.geometry.shape(s) for s, _ in found])


def polygonize_alone(source, _):
    scene = open_classes(str(source))
    legend_of_classes(scene)
    return len(polygonize(scene.read().data[0], scene.grid, 255))


def seconds(work, source, target, repeats):
    spans = []
    for _ in range(repeats):
        target.unlink(missing_ok=True)
        start = time.perf_counter()
        count = work(source, target)
        spans.append(time.perf_counter() - start)
    return sorted(spans)[repeats // 2], count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    pairs = {"file to file": (by_rasterio, by_geoseg)}
    pairs["polygons only"] = (shapes_alone, polygonize_alone)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "classes.tif"), Path(folder, "out.gpkg")
        for name, salt in MAPS.items():
            write(source, land_cover(arguments.side, salt))
            for what, works in pairs.items():
                (theirs, count), (ours, own) = (
                    seconds(work, source, target, arguments.repeats) for work in works
                )
                assert count == own
                print(
                    f"{name:<12} {what:<14} {count:>9,} polygons  rasterio {theirs:7.2f} s  "
                    f"geoseg {ours:7.2f} s  {theirs / ours:5.1f} x"
                )


if __name__ == "__main__":
    main()
