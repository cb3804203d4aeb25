"""Other ways to average windows, each from a GeoTIFF to a GeoTIFF of classes.

`PeerProcess` runs them in a process of its own, because geoseg sets the C library's heap for its
whole process, and the peers shall be measured as they come. What they leave to their users (the
softmax of each window, the highest class, the file) is done here for all of them alike, and well.

* MONAI: `sliding_window_inference` over the scene as one tensor.
* torchgeo: `GridGeoSampler` with a `DataLoader`; it has no stitcher, so windows are put where
  their bounds say, and summed up in an array as large as the scene.
* whole-array loop: cut, run, add, count, divide, window by window, over arrays as large as the
  scene.

The network is either the plain module in fp32, or compiled by `torch.compile` in bf16 with
channels last. Compiling is not counted, and batches that lack windows are padded, lest they
compile anew.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import rasterio
import torch
from torch import Tensor, nn
from torch.nn import functional

from geoseg.engine.heap import keep_heap
from geoseg.geo.windows import offsets
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.scaling import Scaling

BATCH = 4
"""Windows in a forward pass, where the peer makes batches."""


class Network(Protocol):
    """Turns scaled windows (n, bands, h, w) float32 into logits (n, classes, h, w) float32."""

    def __call__(self, windows: Tensor, batch: int) -> Tensor:
        """Run; `batch` is how many windows a full batch has."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a peer is to do."""

    network: Network
    """Ready to run."""

    device: torch.device
    """Where it runs."""

    scaling: Scaling
    """From raw values to what the network sees."""

    classes: int
    """Channels of the network."""

    scene: Path
    """The GeoTIFF to read."""

    output: Path
    """The class GeoTIFF to write."""

    window: int
    """Side of a window, pixels."""

    stride: int
    """Step between windows, pixels."""

    def probabilities(self, windows: Tensor, batch: int) -> Tensor:
        """Softmax of the network's logits, on its device."""
        return self.network(windows.to(self.device), batch).softmax(1)


def monai(job: Job) -> None:
    """The whole scene as one tensor through MONAI."""
    from monai.inferers import sliding_window_inference

    total = sliding_window_inference(
        read_scaled(job),
        job.window,
        BATCH,
        lambda windows: job.probabilities(windows, BATCH),
        overlap=1 - job.stride / job.window,
        sw_device=job.device,
        device=job.device,
    )
    write_classes(job, total[0])


def torchgeo(job: Job) -> None:
    """Windows as torchgeo's grid sampler gives them, stitched by their bounds."""
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    dataset = RasterDataset(str(job.scene))
    sampler = GridGeoSampler(dataset, size=job.window, stride=job.stride)
    # Some versions give bounds in a sample as slices, others as numbers: the sampler tells.
    corners = ((where[0].start, where[1].stop) for where in sampler)
    loader = DataLoader(dataset, BATCH, sampler=sampler, collate_fn=stack_samples)
    with rasterio.open(job.scene) as scene:
        shape, to_pixel = scene.shape, ~scene.transform
    total = torch.zeros(job.classes, *shape, device=job.device)
    for samples in loader:
        windows = job.scaling.apply(samples["image"])
        for scores in job.probabilities(windows, BATCH):
            # The grid begins at the lower left corner and may reach beyond the other sides.
            col, row = (round(place) for place in to_pixel @ next(corners))
            top, right = max(row, 0), min(col + job.window, shape[1])
            total[:, top : row + job.window, col:right] += scores[:, top - row :, : right - col]
    write_classes(job, total)


def whole_array_loop(job: Job) -> None:
    """One window after the other, summed up and counted in arrays as large as the scene."""
    image = read_scaled(job)
    height, width = image.shape[-2:]
    total = torch.zeros(job.classes, height, width, device=job.device)
    count = torch.zeros(height, width, device=job.device)
    for row in offsets(height, job.window, job.stride):
        for col in offsets(width, job.window, job.stride):
            part = slice(row, row + job.window), slice(col, col + job.window)
            window = image[:, :, part[0], part[1]]
            total[:, part[0], part[1]] += job.probabilities(window, 1)[0]
            count[part] += 1
    write_classes(job, total / count)


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A way to average windows."""

    run: Callable[[Job], None]
    """Does all of it."""

    batch: int
    """Windows in a forward pass."""

    modules: tuple[str, ...] = ()
    """What it imports; the first one must be installed."""


PEERS = {
    "MONAI": Peer(run=monai, batch=BATCH, modules=("monai", "monai.inferers")),
    "torchgeo": Peer(
        run=torchgeo,
        batch=BATCH,
        modules=("torchgeo", "torchgeo.datasets", "torchgeo.samplers"),
    ),
    "whole-array loop": Peer(run=whole_array_loop, batch=1),
}


def installed_peers() -> list[str]:
    """Those that can be run here."""
    return [
        name
        for name, peer in PEERS.items()
        if not peer.modules or importlib.util.find_spec(peer.modules[0]) is not None
    ]


def read_scaled(job: Job) -> Tensor:
    """The whole scene as the network sees it (1, bands, height, width) float32."""
    with rasterio.open(job.scene) as dataset:
        data = torch.from_numpy(dataset.read())
    return job.scaling.apply(data[None].float())


def write_classes(job: Job, scores: Tensor) -> None:
    """Write the channel with the highest score (classes, height, width) of each pixel."""
    # torch.argmax over the channels would take a peer ten times as long on a processor.
    best, index = scores[0], torch.zeros(scores.shape[1:], dtype=torch.uint8, device=scores.device)
    for channel, values in enumerate(scores[1:], start=1):
        index.masked_fill_(values > best, channel)
        best = torch.maximum(best, values)
    with rasterio.open(job.scene) as scene:
        profile = scene.profile | {"count": 1, "dtype": "uint8", "compress": "deflate"}
    with rasterio.open(job.output, "w", **profile) as target:
        target.write(index.cpu().numpy(), 1)


class Plain:
    """The module as it comes: fp32, eager."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._network = network.to(device)

    def __call__(self, windows: Tensor, batch: int) -> Tensor:
        """Run; see `Network`."""
        logits: Tensor = self._network(windows)
        return logits


class Handed:
    """The module compiled, in bf16, channels last; each size of batches is compiled once."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._device = device
        self._compiled: Callable[[Tensor], Tensor] = torch.compile(
            network.to(device, memory_format=torch.channels_last),  # type: ignore[call-overload]
            dynamic=False,
            options={"freezing": device.type == "cpu"},
        )

    def __call__(self, windows: Tensor, batch: int) -> Tensor:
        """Run; see `Network`."""
        count = len(windows)
        if count < batch:
            windows = functional.pad(windows, (0, 0, 0, 0, 0, 0, 0, batch - count))
        with torch.autocast(self._device.type, dtype=torch.bfloat16):
            logits = self._compiled(windows.contiguous(memory_format=torch.channels_last))
        return logits[:count].float()


class PeerProcess:
    """Runs peers on one scene with one network, which is made ready once.

    Args:
        scene: The GeoTIFF.
        bundle: The network.
        output: The class GeoTIFF that each run writes.
        window: Side of a window, pixels.
        stride: Step between windows, pixels.
        handed: Whether the network is compiled in bf16; else it is as it comes.
        device: `cpu` or `cuda`.
        with_heap: Whether the C library's heap is set as geoseg sets it.
    """

    def __init__(
        self,
        scene: Path,
        bundle: Path,
        output: Path,
        *,
        window: int,
        stride: int,
        handed: bool,
        device: str = "cpu",
        with_heap: bool = False,
    ) -> None:
        self.handed = handed
        self.output = output
        flags = [flag for flag, on in (("--handed", handed), ("--heap", with_heap)) if on]
        places = [str(scene), str(bundle), str(output), str(window), str(stride), device]
        command = [sys.executable, "-W", "ignore", __file__, *places, *flags]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self, peer: str) -> dict[str, float]:
        """Run a peer once.

        Returns:
            `seconds` from file to file, and `setup`, which its network took before.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(peer, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{peer}: the process of the peers ended")
        found: dict[str, float] = json.loads(answer)
        return found


def main() -> None:
    """Answer each line, the name of a peer, by a line with its seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("scene", "bundle", "output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("window", type=int)
    parser.add_argument("stride", type=int)
    parser.add_argument("device", type=torch.device)
    parser.add_argument("--handed", action="store_true")
    parser.add_argument("--heap", action="store_true")
    given = vars(parser.parse_args())
    if given.pop("heap"):
        keep_heap()
    model = ModelBundle.open(given.pop("bundle"))
    make = Handed if given.pop("handed") else Plain
    network = make(model.build().eval(), given["device"])
    card = model.card
    job = Job(network=network, scaling=card.scaling, classes=card.spec.classes, **given)
    with torch.no_grad():
        for answer in _answers(job):
            print(json.dumps(answer), flush=True)


def _answers(job: Job) -> Iterator[dict[str, Any]]:
    setups: dict[int, float] = {}
    for line in sys.stdin:
        peer = PEERS[line.strip()]
        for module in peer.modules:
            importlib.import_module(module)
        if peer.batch not in setups:
            setups[peer.batch] = _warm_up(job, peer.batch)
        started = time.perf_counter()
        peer.run(job)
        yield {"seconds": time.perf_counter() - started, "setup": setups[peer.batch]}


def _warm_up(job: Job, batch: int) -> float:
    """Seconds until the network runs at its speed: compiling and the first passes."""
    with rasterio.open(job.scene) as scene:
        windows = torch.zeros(batch, scene.count, job.window, job.window)
    times = [time.perf_counter()]
    for _ in range(2):
        np.asarray(job.probabilities(windows, batch).cpu())
        times.append(time.perf_counter())
    first, second = (stop - start for start, stop in pairwise(times))
    return first - second


if __name__ == "__main__":
    main()
