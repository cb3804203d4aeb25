"""Speed of training against a bare loop: `python tests/benchmarks/bench_train.py`.

Samples a second of `geoseg`'s loop (its loader, scaling, augmentation, checks and journal) on a
tile set that fits the memory, and of the same network in a plain PyTorch loop on a batch that is
on the device already: forward, loss, backward, step of AdamW, and nothing else. Both with channels
last, in fp32 and in bf16, compiled too if `--compile` is given. Each figure is the
median of several epochs after one to warm up. It prints a table in Markdown.

The first column of ratios tells what reading and augmenting cost, the second what the faster
numbers bring. `--plain` turns augmentation off, so that both loops compute the same.
"""

from __future__ import annotations

import argparse
import csv
import logging
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine
from torch.nn import functional

import geoseg
from geoseg.nn.config import parse_config
from geoseg.nn.device import autocast, has_bf16, resolve_device
from geoseg.nn.models import ModelSpec, build_model
from geoseg.tile import TileOptions
from geoseg.train import train

CLASSES, BANDS = 4, 4
PLAIN = {"flip": 0, "rotate": 0, "scale": [1, 1], "brightness": 0, "contrast": 0}
LEGEND = "".join(
    f'[[classes]]\nvalue = {value}\nname = "class {value}"\ncolor = "#{value * 60:02x}8040"\n'
    for value in range(CLASSES)
)


def make_tiles(folder: Path, crop: int, count: int) -> Path:
    """A tile set of `count` tiles to learn from and a few to validate on."""
    rows = -(-(count + 8) // 8)
    shape = (rows * crop, 8 * crop)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, CLASSES, (shape[0] // 16, shape[1] // 16))
    classes = np.kron(coarse, np.ones((16, 16))).astype(np.uint8)
    noise = rng.normal(0, 20, (BANDS, *shape))
    image = (classes * 50 + 40 + noise).clip(0, 255).astype(np.uint8)
    profile = {
        "driver": "GTiff", "height": shape[0], "width": shape[1], "crs": "EPSG:32632",
        "transform": Affine(1, 0, 5e5, 0, -1, 5e6), "dtype": "uint8",
    }  # fmt: skip
    with rasterio.open(folder / "scene.tif", "w", count=BANDS, **profile) as file:
        file.write(image)
    with rasterio.open(folder / "labels.tif", "w", count=1, **profile) as file:
        file.write(classes, 1)
    (folder / "legend.toml").write_text(LEGEND)
    share = count / (rows * 8)
    geoseg.tile(
        [str(folder / "scene.tif")], str(folder / "labels.tif"), folder / "tiles",
        TileOptions(size=crop, split=(share, 1 - share, 0)), legend=folder / "legend.toml",
    )  # fmt: skip
    return folder / "tiles"


def measure_geoseg(args: argparse.Namespace, tiles: Path, numbers: str, compiled: bool) -> float:
    """Samples a second of an epoch of geoseg, without its validation."""
    config = parse_config({
        "data": {"tiles": [str(tiles)], "crop": args.crop, "samples": args.batch * args.steps},
        "model": {"arch": args.arch, "encoder": args.encoder},
        "loss": {"terms": [{"name": "cross_entropy"}]},
        "augment": PLAIN if args.plain else {},
        "log": {"tensorboard": False},
        "train": {
            "epochs": args.epochs + 1, "batch_size": args.batch, "precision": numbers,
            "device": args.device, "workers": args.workers, "compile": compiled,
        },
    })  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        train(config, Path(folder) / "run")
        with (Path(folder) / "run" / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
    return statistics.median(float(row["samples_per_second"]) for row in rows[1:])


def measure_bare(args: argparse.Namespace, numbers: str, compiled: bool) -> float:
    """Samples a second of a plain loop, on one batch that stays where it is."""
    device = resolve_device(args.device)
    spec = ModelSpec(arch=args.arch, encoder=args.encoder, in_channels=BANDS, classes=CLASSES)
    network = build_model(spec).to(device, memory_format=torch.channels_last).train()
    image = torch.randn(args.batch, BANDS, args.crop, args.crop, device=device)
    image = image.contiguous(memory_format=torch.channels_last)
    target = torch.randint(0, CLASSES, (args.batch, args.crop, args.crop), device=device)
    forward = torch.compile(network.forward) if compiled else network
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    torch.backends.cudnn.benchmark = True
    rates = []
    for _ in range(args.epochs + 1):
        _wait(device)
        began = time.perf_counter()
        for _ in range(args.steps):
            optimizer.zero_grad()
            with autocast("bf16", device) if numbers == "bf16" else nullcontext():
                loss = functional.cross_entropy(forward(image).float(), target)
            loss.backward()
            optimizer.step()
        _wait(device)
        rates.append(args.batch * args.steps / (time.perf_counter() - began))
    return statistics.median(rates[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="unet")
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=50, help="of an epoch")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--tiles", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--plain", action="store_true", help="without augmentation")
    parser.add_argument("--bf16", action="store_true", help="even where it is no faster")
    args = parser.parse_args()
    logging.getLogger("geoseg").setLevel(logging.ERROR)
    device = resolve_device(args.device)
    kinds = [("fp32", False)]
    if args.bf16 or has_bf16(device):
        kinds += [("bf16", False), *([("bf16", True)] if args.compile else [])]
    print(
        f"{args.arch} with {args.encoder}, batches of {args.batch} x {args.crop} x {args.crop}, "
        f"{device}, torch {torch.__version__}, {torch.get_num_threads()} threads\n"
    )
    print("| numbers | geoseg, samples/s | bare loop, samples/s | of the bare loop | of fp32 |")
    print("|---|---:|---:|---:|---:|")
    first = None
    with tempfile.TemporaryDirectory() as folder:
        tiles = make_tiles(Path(folder), args.crop, args.tiles)
        for numbers, compiled in kinds:
            ours = measure_geoseg(args, tiles, numbers, compiled)
            bare = measure_bare(args, numbers, compiled)
            first = first or ours
            name = numbers + (" + compile" if compiled else "")
            print(f"| {name} | {ours:.1f} | {bare:.1f} | {ours / bare:.2f} | {ours / first:.2f} |")


if __name__ == "__main__":
    main()
