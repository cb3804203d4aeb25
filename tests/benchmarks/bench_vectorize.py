"""Time and peak memory of cutting class rasters into polygons, all from GeoTIFF to GeoPackage.

Usage: python tests/benchmarks/bench_vectorize.py [--sides 4096,10000] [--maps land-cover,noisy]
           [--by geoseg,rasterio,gdal] [--repeats 3] [--limit 600] [--gdal-python /usr/bin/python3]
           [--json figures.json]

`rasterio` is `rasterio.features.shapes`, geopandas and pyogrio; `gdal` is GDAL's own Polygonize
into the layer, in one transaction, by a Python that has `osgeo`. All cut 4-connected regions, and
must find as many. The maps repeat one of 4096 pixels, mirrored at its edges so that nothing ends
there; of `salted` 3 %, of `noisy` 15 % of the pixels get another class, each by chance.

Each run is a process of its own, whose peak resident memory the operating system tells (Linux).
Its time begins when everything is imported and, of geoseg, the compiled code is loaded by a map of
a few pixels. The tools take turns; the median of the repeats is told, and how often what geoseg
takes it is, as a table in Markdown. On a machine that does other work too, the seconds of CPU (of
all threads) are what to compare. A tool that is over the limit of seconds, or fails, is not asked
again for that map.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window
from scipy import ndimage

MAPS = {"land-cover": 0.0, "salted": 0.03, "noisy": 0.15}
CLASSES = 5
BASE, ROWS = 4096, 512

CLOCK = """
import time
def now():
    return time.perf_counter(), time.process_time()
def since(start):
    return dict(zip(("seconds", "cpu_seconds"), (n - s for n, s in zip(now(), start))))
"""
TELL = """
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps({**spent, "polygons": polygons, "mebibytes": peak / 1024}))
"""
GEOSEG = """
import json, sys
from geoseg.vectorize import VectorizeOptions, vectorize
small, source, target = sys.argv[1:]
vectorize(small, target, VectorizeOptions(overwrite=True))
start = now()
polygons = vectorize(source, target, VectorizeOptions(overwrite=True)).polygons
spent = since(start)
"""
RASTERIO = """
import json, sys
import geopandas, rasterio, shapely
from rasterio import features
_, source, target = sys.argv[1:]
start = now()
with rasterio.open(source) as dataset:
    values, transform, crs = dataset.read(1), dataset.transform, dataset.crs
found = features.shapes(values, mask=values != 255, transform=transform)
shapes, classes = zip(*((shapely.geometry.shape(s), int(v)) for s, v in found), strict=True)
frame = geopandas.GeoDataFrame({"class_id": classes}, geometry=list(shapes), crs=crs)
frame.to_file(target, layer="segments", driver="GPKG")
spent, polygons = since(start), len(frame)
"""
GDAL = """
import json, sys
from osgeo import gdal, ogr
gdal.UseExceptions()
_, source, target = sys.argv[1:]
start = now()
dataset = gdal.Open(source)
band = dataset.GetRasterBand(1)
out = ogr.GetDriverByName("GPKG").CreateDataSource(target)
layer = out.CreateLayer("segments", dataset.GetSpatialRef(), ogr.wkbPolygon)
layer.CreateField(ogr.FieldDefn("class_id", ogr.OFTInteger))
layer.StartTransaction()
gdal.Polygonize(band, band.GetMaskBand(), layer, 0)
layer.CommitTransaction()
polygons = layer.GetFeatureCount()
layer = out = None
spent = since(start)
"""
TOOLS = {"geoseg": GEOSEG, "rasterio": RASTERIO, "gdal": GDAL}


def base_map(seed=0):
    """Wide patches of a few classes, (BASE, BASE) uint8."""
    rng = np.random.default_rng(seed)
    best = np.full((BASE, BASE), -np.inf, np.float32)
    values = np.zeros((BASE, BASE), np.uint8)
    for number in range(CLASSES):
        field = ndimage.gaussian_filter(rng.standard_normal((BASE, BASE), np.float32), 12)
        values[field > best] = number
        np.maximum(best, field, out=best)
    return values


def write_map(path, side, salt, base):
    """Write a square class raster row by row of blocks."""
    there_and_back = np.concatenate([np.arange(BASE), np.arange(BASE)[::-1]])
    places = np.resize(there_and_back, side)
    profile = {"count": 1, "dtype": "uint8", "nodata": 255, "tiled": True, "compress": "deflate"}
    profile |= {"height": side, "width": side, "crs": CRS.from_epsg(32632)}
    transform = Affine(0.5, 0, 4e5, 0, -0.5, 5e6)
    rng = np.random.default_rng(1)
    with rasterio.open(path, "w", driver="GTiff", transform=transform, **profile) as dataset:
        dataset.write_colormap(1, {value: (40 * value, 120, 80, 255) for value in range(CLASSES)})
        for row in range(0, side, ROWS):
            values = base[places[row : row + ROWS]][:, places]
            noisy = rng.random(values.shape, np.float32) < salt
            values[noisy] = rng.integers(0, CLASSES, noisy.sum())
            dataset.write(values, 1, window=Window(0, row, side, len(values)))


def measure(tool, python, small, source, limit):
    """Seconds, polygons and peak memory of one run; nothing if it took too long."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        command = [
            python,
            "-c",
            CLOCK + TOOLS[tool] + TELL,
            small,
            source,
            Path(folder, "out.gpkg"),
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=limit
            )
        except subprocess.TimeoutExpired:
            print(f"{tool}: over {limit} s", file=sys.stderr)
            return None
    if done.returncode:
        print(f"{tool}: {done.stderr[-2000:] or done.returncode}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def has_osgeo(python):
    return (
        subprocess.run([python, "-c", "import osgeo"], check=False, capture_output=True).returncode
        == 0
    )


def compare(tools, small, source, repeats, limit):
    """Runs of all tools, in turns; tools that do not end are left out."""
    runs = {tool: [] for tool in tools}
    for _ in range(repeats):
        for tool in list(runs):
            run = measure(tool, tools[tool], small, source, limit)
            if run is None:
                del runs[tool]
            else:
                runs[tool].append(run)
    assert len({run["polygons"] for found in runs.values() for run in found}) <= 1
    return {
        tool: {
            "seconds": statistics.median(run["seconds"] for run in found),
            "cpu_seconds": statistics.median(run["cpu_seconds"] for run in found),
            "mebibytes": max(run["mebibytes"] for run in found),
            "polygons": found[0]["polygons"],
        }
        for tool, found in runs.items()
    }


HEADER = """
| side | map | polygons | by | wall, s | ratio | CPU, s | ratio | peak, MiB | ratio |
|---|---|---|---|---|---|---|---|---|---|"""
MEASURED = {"seconds": ".2f", "cpu_seconds": ".2f", "mebibytes": ".0f"}


def row_of(side, name, tool, run, own):
    """A row of the table; without geoseg there are no ratios."""
    cells = [f"{side}", name, f"{run['polygons']:,}", tool]
    for key, form in MEASURED.items():
        cells += [f"{run[key]:{form}}", f"{run[key] / own[key]:.1f}" if own else ""]
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", default="4096")
    parser.add_argument("--maps", default=",".join(MAPS))
    parser.add_argument("--by", default=",".join(TOOLS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=600, help="seconds of a run")
    parser.add_argument("--gdal-python", default="/usr/bin/python3")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    tools = dict.fromkeys(arguments.by.split(","), sys.executable)
    if "gdal" in tools:
        tools["gdal"] = arguments.gdal_python
        if not has_osgeo(arguments.gdal_python):
            print(f"{tools.pop('gdal')} has no osgeo")
    base, figures = base_map(), []
    with tempfile.TemporaryDirectory() as folder:
        small, source = Path(folder, "small.tif"), Path(folder, "classes.tif")
        write_map(small, 16, 0.5, base)
        print(HEADER)
        for side in map(int, arguments.sides.split(",")):
            for name in arguments.maps.split(","):
                write_map(source, side, MAPS[name], base)
                found = compare(tools, small, source, arguments.repeats, arguments.limit)
                for tool, run in found.items():
                    figures.append({"side": side, "map": name, "by": tool, **run})
                    print(row_of(side, name, tool, run, found.get("geoseg")), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
