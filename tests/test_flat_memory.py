"""How much memory jobs take by the height of what they read: tile, sample, relabel."""

import subprocess
import sys

import numpy as np
import pytest
import rasterio
from affine import Affine

WIDTH, BLOCK = 2048, 500
BEGIN = """
import sys
from pathlib import Path
import rasterio
from rasterio.env import set_gdal_config
from geoseg import Legend
set_gdal_config("GDAL_CACHEMAX", 16 << 20)  # else GDAL keeps all until that much is full
folder = Path(sys.argv[1])
legend = Legend.of_values((0, 1, 2))
"""
END = """
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024)
"""
JOBS = {
    "tile": """
from geoseg.tile import TileOptions, tile
options = TileOptions(method="random", size=256, count=40, jobs=2)
tile(folder / "scene.tif", str(folder / "map.tif"), folder / "tiles", options)
""",
    "sample": """
from geoseg.sample import SampleOptions, sample
sample(folder / "map.tif", folder / "points.gpkg", SampleOptions(count=200), legend=legend)
""",
    "relabel": """
import geoseg.geo.label_images
from geoseg.relabel import to_color
geoseg.geo.label_images._LEAST_CACHE = 16 << 20
to_color([str(folder / "map.tif")], folder / "colors.tif", legend)
""",
}


def write(path, count, rows):
    """The same rows again and again."""
    block = np.random.default_rng(0).choice(np.uint8([0, 1, 2]), (count, BLOCK // 5, WIDTH // 8))
    block = np.kron(block, np.ones((1, 5, 8), np.uint8))
    place = {"crs": "EPSG:32632", "transform": Affine(0.5, 0, 4e5, 0, -0.5, 5e6)}
    shape = {"count": count, "height": rows, "width": WIDTH, "dtype": "uint8", "nodata": 255}
    layout = {"tiled": True, "compress": "deflate"}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place, **layout) as dataset:
        for top in range(0, rows, BLOCK):
            dataset.write(block, window=((top, top + BLOCK), (0, WIDTH)))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A low and a high scene with class values; three bands of the high one are 246 MB."""
    made = []
    for rows in (4000, 40_000):
        made.append(tmp_path_factory.mktemp(f"rows_{rows}"))
        write(made[-1] / "scene.tif", 3, rows)
        write(made[-1] / "map.tif", 1, rows)
    return made


def peak(job, folder):
    """MiB that a job takes in a process of its own."""
    code = BEGIN + JOBS[job] + END
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, folder],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return float(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_memory_does_not_grow_with_the_height(folders, job):
    low, high = folders
    assert peak(job, high) < 1.1 * peak(job, low)
