"""`predict --cluster local:2` against the plain run, which has all processors in one process.

Usage: python tests/benchmarks/bench_cluster.py [--side 4096] [--workers 2] [--pairs 2]
           [--network unet:resnet18] [--window 512] [--stride 256]

The commands as a user gives them, each in a process of its own, with everything that starting
takes; fp32, PyTorch, processor. Pairs are interleaved, and every other one begins with the cluster,
so that a machine whose speed drifts slows both alike. Told are, for each pair, seconds of a clock
and of processors (of a process and all its workers), their ratios, and whether the two class
rasters are the same to the byte. The weights are random: nothing rounds as delicately.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import torch
from material import make_scene

from geoseg.geo.legend import Legend
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling

CLASSES = 3
COMMAND = (
    "import sys\nfrom geoseg_cli.main import main\nif __name__ == '__main__': sys.exit(main())"
)
LOOK_SECONDS = 0.1


def make_random(path: Path, given: argparse.Namespace) -> Path:
    """Write a bundle that has learnt nothing."""
    torch.manual_seed(0)
    arch, _, encoder = given.network.partition(":")
    spec = ModelSpec(arch=arch, encoder=encoder or "resnet18", in_channels=3, classes=CLASSES)
    card = ModelCard(
        spec=spec, legend=Legend.of_values(range(CLASSES)).to_dict(), bands=("", "", ""),
        dtype="uint8", scaling=Scaling(kind="divide", divisor=255), window=given.window,
        stride=given.stride,
    )  # fmt: skip
    ModelBundle.of(build_model(spec).eval(), card).save(path)
    return path


def run(folder: Path, out: str, *more: str) -> tuple[float, float]:
    """Predict once.

    Returns:
        Seconds of a clock, and of processors by the process and all that it started.
    """
    words = [
        *("predict", "scene.tif", "-m", "model.safetensors", "-o", out, "--overwrite"),
        *("--device", "cpu", "--backend", "torch", "--precision", "fp32", "--progress", "none"),
    ]
    variables = {name: text for name, text in os.environ.items() if "_NUM_THREADS" not in name}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, folder / "run.py", *words, *more], cwd=folder, env=variables
    )
    root, spent = psutil.Process(process.pid), {}
    while process.poll() is None:
        # Workers are killed in the end: nobody is told what they took unless they are looked at.
        with suppress(psutil.Error):
            for each in (root, *root.children(recursive=True)):
                with suppress(psutil.Error):
                    spent[each.pid] = sum(each.cpu_times()[:2])
        time.sleep(LOOK_SECONDS)
    if process.returncode:
        raise SystemExit(f"{' '.join(words + list(more))} failed")
    return time.perf_counter() - start, sum(spent.values())


def main() -> None:
    """Measure the pairs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--network", default="unet:resnet18")
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--stride", type=int, default=256)
    given = parser.parse_args()
    cluster = ("--cluster", f"local:{given.workers}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "run.py").write_text(COMMAND)
        make_scene(folder / "scene.tif", given.side)
        make_random(folder / "model.safetensors", given)
        ratios = []
        for pair in range(given.pairs):
            found = {}
            for out, more in (("plain.tif", ()), ("cluster.tif", cluster))[:: 1 - 2 * (pair % 2)]:
                found[out] = run(folder, out, *more)
                print(f"  {out:<12} {found[out][0]:7.1f} s, {found[out][1]:7.1f} s of processors",
                      flush=True)  # fmt: skip
            both = zip(found["cluster.tif"], found["plain.tif"], strict=True)
            wall, busy = (there / here for there, here in both)
            ratios.append((wall, busy))
            same = (folder / "plain.tif").read_bytes() == (folder / "cluster.tif").read_bytes()
            print(f"pair {pair + 1}: cluster / plain {wall:.3f} by the clock, {busy:.3f} by "
                  f"processors; class rasters the same bytes: {same}", flush=True)  # fmt: skip
        wall, busy = (statistics.median(each) for each in zip(*ratios, strict=True))
        print(f"median: {wall:.3f} by the clock, {busy:.3f} by processors")


if __name__ == "__main__":
    main()
