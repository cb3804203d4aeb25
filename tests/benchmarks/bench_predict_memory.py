"""Peak memory of `geoseg predict` on a low and on a high scene of the same width.

Usage: python tests/benchmarks/bench_predict_memory.py [--width 2048] [--heights 4000,40000]
           [--network unet:resnet18] [--backend torch] [--json figures.json]
       python tests/benchmarks/bench_predict_memory.py --max-memory 2G --width 20000
       python tests/benchmarks/bench_predict_memory.py --estimates [--width 20000] [--rows 1024]

The first compares the peaks. The second tells whether each peak stays below what `--max-memory`
allows, and exits with 1 where it does not. The third compares what `--dry-run` estimates with what
is then taken, for many options, by a network of one layer (and by `--network` with
`--backends torch,onnx,openvino,compile`), and exits with 1 where it is more than a quarter off.

All runs have the same run-time: left to `auto`, a high scene may take one that a low scene does
not, and OpenVINO beside PyTorch takes some hundred MiB more, whatever the scene. The scenes are
VRTs that repeat one small GeoTIFF. Each run is a process of its own, whose peak resident memory
the operating system tells (Linux); the first is on a scene of a few windows, which tells what model
and framework take.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

sys.path.insert(0, str(Path(__file__).parents[1]))
from memory_runs import smooth_scene, thirds, told

RUN = """
import json, sys, time
from geoseg_cli.main import main
start = time.perf_counter()
code = main(sys.argv[1:])
seconds = time.perf_counter() - start
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps({"seconds": seconds, "mebibytes": peak / 1024}))
sys.exit(code)
"""
"""The command, and then what it took; getrusage would tell the memory of its parent, too."""

MAKE = """
import sys
from pathlib import Path
from material import make_bundle, make_scene
folder = Path(sys.argv[1])
scene = make_scene(folder / "learn.tif", 512)
make_bundle(folder / "bundle.safetensors", scene, sys.argv[2], 512, 256)
"""
"""Makes the bundle, in a process of its own, too."""

SMALLEST = (1024, 512)
"""Columns and rows of the scene that tells what model and framework take: a full batch."""

UNITS = {"K": 1 / 1024, "M": 1, "G": 1024}
"""MiB in the units of --max-memory."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one scene took."""

    width: int
    """Columns of the scene."""

    height: int
    """Rows of the scene."""

    seconds: float
    """From the start of the command to its end, start of Python not counted."""

    mebibytes: float
    """Peak of the resident memory."""

    def __str__(self) -> str:
        speed = self.width * self.height / 1e6 / self.seconds
        return (
            f"{self.height:6d} rows x {self.width}: peak {self.mebibytes:7.1f} MiB, "
            f"{speed:6.2f} MPix/s"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--heights", help="4000,40000, and with --max-memory 2048, by default")
    parser.add_argument("--network", default="unet:resnet18")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--max-memory", help="such as 2G")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--estimates", action="store_true")
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--backends", help="such as torch,onnx: --network by these, too")
    given = parser.parse_args()
    if given.estimates:
        sys.exit(compare_estimates(given))
    heights = given.heights or ("2048" if given.max_memory else "4000,40000")
    options = ["--backend", given.backend]
    if given.max_memory:
        options += ["--max-memory", given.max_memory]
    runs = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_bundle(folder, given.network)
        for size in [SMALLEST, *((given.width, int(height)) for height in heights.split(","))]:
            runs.append(predict(folder, size, options))
            print(runs[-1], flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(run) for run in runs], indent=2))
    sys.exit(judge(runs, given.max_memory))


OPTIONS: dict[str, dict[str, object]] = {
    "classes": {},
    "probabilities": {"probabilities": "p.tif"},
    "float probabilities": {"probabilities": "p.tif", "prob_dtype": "float32"},
    "uncertainty": {
        "uncertainty": "u.tif",
        "measures": ["entropy", "margin", "disagreement"],
    },
    "flips": {"tta": "flip"},
    "scales": {"scales": [0.75, 1.0, 1.25]},
    "polygons": {"polygons": "p.gpkg"},
    "two models": {},
    "two votes": {"combine": "vote"},
}
"""What a prediction may be asked for, by name; outputs lie in the folder of the benchmark."""


def compare_estimates(given: argparse.Namespace) -> int:
    """Print estimated and taken memory of each case; 1 if one is more than a quarter off."""
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = smooth_scene(folder / "scene.tif", given.width, given.rows)
        models = [thirds(folder / "a.safetensors"), thirds(folder / "b.safetensors", 256, 128)]
        cases: list[tuple[str, dict[str, object], list[Path]]] = [
            (case, {"backend": "torch"} | options, models[: 1 + case.startswith("two")])
            for case, options in OPTIONS.items()
        ]
        if given.backends:
            make_bundle(folder, given.network)
            cases += [
                (f"{given.network} by {each}", {"backend": each}, [folder / "bundle.safetensors"])
                for each in given.backends.split(",")
            ]
        for case, options, bundles in cases:
            placed = {
                key: str(folder / str(value)) if str(value).startswith(("p.", "u.")) else value
                for key, value in options.items()
            }
            places = scene, folder / "classes.tif", *bundles
            guess, peak = (
                told("estimate", placed, *places)["memory"] / 2**20,
                told("predict", placed, *places)["peak"] / 2**20,
            )
            failed = failed or not 0.75 <= guess / peak <= 1.25
            print(f"{case:32s} {guess:8.0f} MiB estimated, {peak:8.0f} taken: {guess / peak:.2f}")
    return int(failed)


def judge(runs: list[Run], most: str | None) -> int:
    """Tell how the peaks compare, with each other or with the memory allowed."""
    base, low, high = runs[0].mebibytes, runs[1].mebibytes, runs[-1].mebibytes
    if most is None:
        over = high - base, low - base
        print(f"peak of {runs[-1].height} rows / {runs[1].height} rows: {high / low:.3f}")
        print(f"over model and framework: {over[0]:.0f} / {over[1]:.0f} MiB", end=" ")
        print(f"= {over[0] / over[1]:.3f}")
        return 0
    allowed = float(most[:-1]) * UNITS[most[-1].upper()]
    peak = max(run.mebibytes for run in runs)
    print(f"peak {peak:.1f} MiB of {allowed:.0f} MiB: {'within' if peak <= allowed else 'BEYOND'}")
    return 0 if peak <= allowed else 1


def make_bundle(folder: Path, network: str) -> None:
    """Write `bundle.safetensors`."""
    command = [sys.executable, "-W", "ignore", "-c", MAKE, str(folder), network]
    subprocess.run(command, check=True, cwd=Path(__file__).parent)


def make_scene(folder: Path, width: int, height: int, part: int = 500) -> Path:
    """A VRT of one GeoTIFF of `part` rows, again and again."""
    small = folder / f"part_{width}.tif"
    if not small.exists():
        noise = np.random.default_rng(0).integers(0, 255, (3, part, width)).astype(np.uint8)
        with rasterio.open(
            small, "w", driver="GTiff", width=width, height=part, count=3, dtype="uint8",
            crs="EPSG:32632", transform=Affine(0.5, 0, 5e5, 0, -0.5, 5e6), compress="deflate",
            tiled=True,
        ) as dataset:  # fmt: skip
            dataset.write(noise)
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}">'
        + "".join(
            f'<SimpleSource><SourceFilename relativeToVRT="1">{small.name}</SourceFilename>'
            f'<SourceBand>{band}</SourceBand><SrcRect xOff="0" yOff="0" xSize="{width}" '
            f'ySize="{min(part, height - row)}"/><DstRect xOff="0" yOff="{row}" xSize="{width}" '
            f'ySize="{min(part, height - row)}"/></SimpleSource>'
            for row in range(0, height, part)
        )
        + "</VRTRasterBand>"
        for band in (1, 2, 3)
    )
    path = folder / f"scene_{height}.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>EPSG:32632</SRS>'
        f"<GeoTransform>5e5, 0.5, 0, 5e6, 0, -0.5</GeoTransform>{bands}</VRTDataset>"
    )
    return path


def predict(folder: Path, size: tuple[int, int], options: list[str]) -> Run:
    """Run the command on a scene of so many columns and rows."""
    width, height = size
    scene = make_scene(folder, width, height)
    output = folder / "classes.tif"
    places = [str(scene), "-m", str(folder / "bundle.safetensors"), "-o", str(output)]
    command = [sys.executable, "-c", RUN, "predict", *places, "--overwrite", "--quiet", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return Run(width=width, height=height, **found)


if __name__ == "__main__":
    main()
