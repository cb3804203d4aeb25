"""Speed and peak memory of `geoseg evaluate` with all its parts, on a low and a high scene.

Usage: python tests/benchmarks/bench_evaluate.py [--width 2048] [--heights 4000,40000]
           [--noise 0.02] [--json figures.json]

Map, labels and probabilities of three classes are VRTs that repeat small GeoTIFFs of blobs with
noise. Each run is a process of its own, whose peak resident memory the operating system tells
(Linux): without more than the confusion matrix, with each part alone, with all, with a report of
the matrix alone, and `geoseg sample`. Exits with 1 where a peak of the highest scene is more than
10 % above that of the lowest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from bench_predict_memory import RUN
from scipy import ndimage

PART = 500
"""Rows of the GeoTIFFs that are repeated."""

SCALE = "<Scale>0.005</Scale>"

LEGEND = "".join(
    f'[[classes]]\nvalue = {value}\nname = "{name}"\n'
    for value, name in enumerate(("ground", "roof", "tree"))
)

PARTS = {
    "matrix": [],
    "boundary": ["--boundary", "2"],
    "objects": ["--objects"],
    "calibration": ["--probabilities", "{shares}"],
    "area": ["--area"],
    "all": ["--boundary", "2", "--objects", "--probabilities", "{shares}", "--area"],
    "report": ["-o", "{report}", "--overwrite"],
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--heights", default="4000,40000")
    parser.add_argument("--noise", type=float, default=0.02)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    heights = [int(height) for height in given.heights.split(",")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_parts(folder, given.width, given.noise)
        runs = {part: [run(folder, part, given.width, h) for h in heights] for part in PARTS}
        runs["sample"] = [draw(folder, given.width, height) for height in heights]
    if given.json is not None:
        given.json.write_text(json.dumps(runs, indent=2))
    sys.exit(judge(runs))


def judge(runs: dict[str, list[dict[str, float]]]) -> int:
    """Tell how the peaks compare."""
    worst = 0.0
    for part, found in runs.items():
        ratio = found[-1]["mebibytes"] / found[0]["mebibytes"]
        worst = max(worst, ratio)
        print(f"{part:12s} peak of the highest / of the lowest scene: {ratio:.3f}")
    return 0 if worst <= 1.1 else 1


def make_parts(folder: Path, width: int, noise: float) -> None:
    """Write the GeoTIFFs that are repeated: map, labels, probabilities."""
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.normal(size=(PART, width)), 8, mode="wrap")
    other = field + 0.3 * field.std() * rng.normal(size=field.shape)
    cuts = np.quantile(field, [0.6, 0.85])
    labels = np.digitize(field, cuts).astype(np.uint8)
    classes = np.digitize(ndimage.gaussian_filter(other, 1, mode="wrap"), cuts).astype(np.uint8)
    spots = rng.random(classes.shape) < noise
    classes[spots] = rng.integers(0, 3, np.count_nonzero(spots))
    shares = np.full((3, *classes.shape), 30, np.uint8)
    np.put_along_axis(shares, classes[None].astype(np.intp), 140, axis=0)
    for name, data in (("labels", labels[None]), ("classes", classes[None]), ("shares", shares)):
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", width=width, height=PART,
            count=len(data), dtype="uint8", crs="EPSG:32632", compress="deflate", tiled=True,
            transform=Affine(0.5, 0, 5e5, 0, -0.5, 5e6), interleave="band",
        ) as dataset:  # fmt: skip
            dataset.write(data)
    (folder / "legend.toml").write_text(LEGEND)


def make_vrt(folder: Path, name: str, width: int, height: int) -> Path:
    """A VRT of one GeoTIFF, again and again."""
    count, scale = (3, SCALE) if name == "shares" else (1, "")
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}">{scale}'
        + "".join(
            f'<SimpleSource><SourceFilename relativeToVRT="1">{name}.tif</SourceFilename>'
            f'<SourceBand>{band}</SourceBand><SrcRect xOff="0" yOff="0" xSize="{width}" '
            f'ySize="{min(PART, height - row)}"/><DstRect xOff="0" yOff="{row}" xSize="{width}" '
            f'ySize="{min(PART, height - row)}"/></SimpleSource>'
            for row in range(0, height, PART)
        )
        + "</VRTRasterBand>"
        for band in range(1, count + 1)
    )
    path = folder / f"{name}_{height}.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>EPSG:32632</SRS>'
        f"<GeoTransform>5e5, 0.5, 0, 5e6, 0, -0.5</GeoTransform>{bands}</VRTDataset>"
    )
    return path


def run(folder: Path, part: str, width: int, height: int) -> dict[str, float]:
    """Run the command with the options of a part on a scene of so many rows."""
    paths = {
        name: str(make_vrt(folder, name, width, height)) for name in ("classes", "labels", "shares")
    }
    named = {"shares": paths["shares"], "report": str(folder / "report")}
    options = [word.format(**named) for word in PARTS[part]]
    words = ["evaluate", paths["classes"], "--labels", paths["labels"], *options]
    return measure(
        part, [*words, "--legend", str(folder / "legend.toml"), "--quiet"], width, height
    )


def draw(folder: Path, width: int, height: int) -> dict[str, float]:
    """Draw a sample."""
    path = make_vrt(folder, "classes", width, height)
    target = folder / f"sample_{height}.gpkg"
    words = ["sample", str(path), "-o", str(target), "--legend", str(folder / "legend.toml")]
    return measure("sample", [*words, "--quiet"], width, height)


def measure(part: str, words: list[str], width: int, height: int) -> dict[str, float]:
    """Run a command and tell what it took."""
    command = [sys.executable, "-W", "ignore", "-c", RUN, *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    speed = width * height / 1e6 / found["seconds"]
    print(
        f"{part:12s} {height:6d} rows x {width}: peak {found['mebibytes']:7.1f} MiB, "
        f"{found['seconds']:6.1f} s, {speed:6.2f} MPix/s",
        flush=True,
    )
    return found


if __name__ == "__main__":
    main()
