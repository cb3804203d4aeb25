"""Time and peak memory of `geoseg relabel` there and back, on a low and on a high raster.

Usage: python tests/benchmarks/bench_relabel.py [--width 10000] [--heights 1000,10000]
           [--suffix tif] [--json figures.json]

Each run is a process of its own, whose peak resident memory the operating system tells (Linux).
Class values become colours, and those values again, which must be the same to the pixel; then
three rasters vote.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window
from scipy.ndimage import zoom

RUN = """
import json, sys, time
from geoseg_cli.main import main
start = time.perf_counter()
code = main(sys.argv[1:])
seconds = time.perf_counter() - start
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print("FIGURES", json.dumps({"seconds": round(seconds, 2), "mebibytes": round(peak / 1024)}))
sys.exit(code)
"""
"""The command, and then what it took; getrusage would tell the memory of its parent, too."""

LEGEND = """
[[classes]]
value = {}
name = "class {}"
color = "#{:02x}40{:02x}"
"""


def make_classes(path: Path, height: int, width: int) -> None:
    """Write land-cover-like class values: patches of many sizes, and places without a label."""
    rng = np.random.default_rng(height)
    profile = {
        "driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8",
        "crs": "EPSG:32632", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000),
        "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "nodata": 255,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        for top in range(0, height, 1024):
            rows = min(1024, height - top)
            coarse = rng.integers(0, 9, (rows // 16 + 2, width // 16 + 2))
            values = zoom(coarse, 16, order=0)[:rows, :width].astype(np.uint8)
            values[values == 8] = 255
            speckled = rng.random(values.shape) < 0.01
            values[speckled] = rng.integers(0, 8, int(speckled.sum()))
            dataset.write(values, 1, window=Window(0, top, width, rows))


def measure(*words: str | Path) -> dict[str, float]:
    """Run a command in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", RUN, "relabel", *map(str, words), "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    figures: dict[str, float] = json.loads(done.stdout.rsplit("FIGURES", 1)[1])
    return figures


def differing(one: Path, other: Path) -> int:
    """Pixels that are not the same."""
    count = 0
    with rasterio.open(one) as first, rasterio.open(other) as second:
        for top in range(0, first.height, 1024):
            window = Window(0, top, first.width, min(1024, first.height - top))
            count += int((first.read(1, window=window) != second.read(1, window=window)).sum())
    return count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=10_000)
    parser.add_argument("--heights", default="1000,10000")
    parser.add_argument("--suffix", default="tif", choices=["tif", "png"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", help="where to work; a temporary folder by default")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    figures: dict[str, dict[str, float]] = {}
    try:
        legend = folder / "legend.toml"
        legend.write_text("".join(LEGEND.format(i, i, 20 * i, 250 - 9 * i) for i in range(8)))
        for height in map(int, given.heights.split(",")):
            source = folder / f"{height}.tif"
            colors, back = (folder / f"{kind}{height}.{given.suffix}" for kind in ("c", "b"))
            make_classes(source, height, given.width)
            runs = {
                "to-color": ("to-color", source, "-o", colors, "--legend", legend),
                "to-index": ("to-index", colors, "-o", back, "--legend", legend),
                "vote": (
                    *("vote", source, back, source, "-o", folder / f"v{height}.tif"),
                    *("--legend", legend),
                ),
            }
            for name, words in runs.items():
                figures[f"{name} {height} x {given.width}"] = measure(*words)
            wrong = differing(source, back) + differing(source, folder / f"v{height}.tif")
            figures[f"pixels that differ {height}"] = {"pixels": wrong}
        for name, row in figures.items():
            told = ", ".join(f"{value:g} {unit}" for unit, value in row.items())
            sys.stdout.write(f"{name:<32} {told}\n")
        if given.json:
            given.json.write_text(json.dumps(figures, indent=2))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
