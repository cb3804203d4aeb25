"""What each network costs on this machine, as a multiple of U-Net on ResNet-18.

Usage: python tests/benchmarks/bench_models.py [PATTERN] [--size 256] [--batch 4] [--repeats 9]
       [--threads N] [--precision bf16] [--base unet:resnet18] [--json figures.json]

Each network, with its default encoder, computes a batch of windows of 3 bands as `predict` has it
computed: channels last, autocast, inference mode. The base and the network take turns, so that a
machine whose speed drifts slows both alike; the median of the ratios of neighbours is told, and
the quarter points of them, which tell how far it can be trusted. Columns: parameters, GMACs of
one image of 512 x 512, time of a batch, and that time over the base's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from geoseg.models import default_encoder, describe_model, list_models
from geoseg.nn.models import ModelSpec, build_model

CLASSES = 5
WARM_UP = 2
"""Passes that are not counted: kernels are chosen and memory is taken in them."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What was measured of one network."""

    name: str
    encoder: str
    parameters: int
    macs: int
    seconds: float
    """Of one batch, median."""

    ratio: float
    """Seconds over those of the base, median of neighbours."""

    spread: tuple[float, float]
    """First and third quarter of the ratios."""


class Runner:
    """Computes batches of one network and tells how long each took.

    Args:
        name: Architecture, or architecture and encoder with a colon between.
        given: The command line.
    """

    def __init__(self, name: str, given: argparse.Namespace) -> None:
        torch.manual_seed(0)
        arch, _, encoder = name.partition(":")
        encoder = encoder or default_encoder(arch)
        spec = ModelSpec(arch=arch, encoder=encoder, in_channels=3, classes=CLASSES)
        self.network: nn.Module = build_model(spec).eval().to(memory_format=torch.channels_last)
        image = torch.randn(given.batch, 3, given.size, given.size)
        self.image = image.to(memory_format=torch.channels_last)
        self.precision = given.precision

    def seconds(self) -> float:
        """Compute one batch."""
        bf16 = self.precision == "bf16"
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
            self.network(self.image)
        return time.perf_counter() - start


def main() -> None:
    """Measure all and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pattern", nargs="?")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--base", default="unet:resnet18")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    figures = []
    for name in list_models(given.pattern):
        figures.append(measure(name, given))
        print(f"{name}: {figures[-1].ratio:.2f}", file=sys.stderr, flush=True)
        if given.json:  # after each: hours of measuring are not lost with the last network
            given.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))
    print("\n".join(markdown(figures)))


@torch.inference_mode()
def measure(name: str, given: argparse.Namespace) -> Figure:
    """Let the base and a network take turns."""
    base, network = Runner(given.base, given), Runner(name, given)
    for _ in range(WARM_UP):
        base.seconds(), network.seconds()
    pairs = [(base.seconds(), network.seconds()) for _ in range(given.repeats)]
    ratios = [own / of_base for of_base, own in pairs]
    low, _, high = statistics.quantiles(ratios, n=4)
    described = describe_model(name)
    return Figure(
        name=name,
        encoder=described.encoder,
        parameters=described.parameters,
        macs=described.macs,
        seconds=statistics.median(own for _, own in pairs),
        ratio=statistics.median(ratios),
        spread=(low, high),
    )


def markdown(figures: list[Figure]) -> list[str]:
    """The table, by name."""
    lines = [
        "| `arch` | encoder | parameters, M | GMACs at 512 px | seconds a batch | times base |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for each in figures:
        low, high = each.spread
        encoder = "" if each.encoder == "none" else f"`{each.encoder}`"
        lines.append(
            f"| `{each.name}` | {encoder} | {each.parameters / 1e6:.1f} | {each.macs / 1e9:.1f} "
            f"| {each.seconds:.3f} | {each.ratio:.2f} ({low:.2f} to {high:.2f}) |"
        )
    return lines


if __name__ == "__main__":
    main()
