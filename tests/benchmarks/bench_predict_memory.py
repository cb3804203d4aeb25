"""Peak memory of `predict` on a low and on a high scene of the same width.

Usage: python tests/benchmarks/bench_predict_memory.py [--width 2000] [--heights 4000,40000]
       [--arch unet] [--encoder resnet18] [--backend torch]

All runs have the same run-time: left to `auto`, a high scene may take one that a low scene does
not, and OpenVINO beside PyTorch takes some hundred MiB more, whatever the scene.

Both scenes are VRTs that repeat one small GeoTIFF. Each run is a process of its own, whose peak
resident memory the operating system tells; the first line is a run on a scene of one window.
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

RUN = """
import json, resource, sys, time
from geoseg.predict import PredictOptions, predict
start = time.perf_counter()
options = PredictOptions(overwrite=True, backend=sys.argv[4])
predict(sys.argv[1], sys.argv[2], sys.argv[3], options)
print(json.dumps({"seconds": time.perf_counter() - start,
                  "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=2000)
    parser.add_argument("--heights", default="4000,40000")
    parser.add_argument("--arch", default="unet")
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--backend", default="torch")
    arguments = parser.parse_args()
    heights = [int(height) for height in arguments.heights.split(",")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = make_bundle(folder / "model.safetensors", arguments.arch, arguments.encoder)
        peaks = {}
        for height in [256, *heights]:
            scene = make_scene(folder, arguments.width, height)
            result = run(scene, bundle, folder / "classes.tif", arguments.backend)
            peaks[height] = result["peak"]
            megapixels = height * arguments.width / 1e6
            print(
                f"{height:6d} rows x {arguments.width}: peak {result['peak']:7.1f} MiB, "
                f"{megapixels / result['seconds']:6.2f} MPix/s",
                flush=True,
            )
        print(
            f"peak of {heights[-1]} rows / {heights[0]} rows: "
            f"{peaks[heights[-1]] / peaks[heights[0]]:.3f}"
        )


def make_bundle(path: Path, arch: str, encoder: str) -> Path:
    from geoseg.geo.legend import Legend
    from geoseg.nn.bundle import ModelBundle
    from geoseg.nn.card import ModelCard
    from geoseg.nn.models import ModelSpec, build_model
    from geoseg.nn.scaling import Scaling

    spec = ModelSpec(arch=arch, encoder=encoder, in_channels=3, classes=3)
    card = ModelCard(
        spec=spec, legend=Legend.of_values([0, 1, 2]).to_dict(), bands=("", "", ""),
        dtype="uint8", scaling=Scaling(kind="divide", divisor=255.0), window=512, stride=256,
    )  # fmt: skip
    ModelBundle.of(build_model(spec), card).save(path)
    return path


def make_scene(folder: Path, width: int, height: int, part: int = 500) -> Path:
    """A VRT of one GeoTIFF of `part` rows, again and again."""
    small = folder / "part.tif"
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
            '<SimpleSource><SourceFilename relativeToVRT="1">part.tif</SourceFilename>'
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


def run(scene: Path, bundle: Path, output: Path, backend: str) -> dict[str, float]:
    command = [sys.executable, "-c", RUN, str(scene), str(bundle), str(output), backend]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
