"""`predict` against the bare forward pass of the same run-time, and against other tools.

Usage: python tests/benchmarks/bench_predict.py [--networks unet:resnet18,unet:resnet34,linear]
       [--only torch-fp32,openvino-bf16] [--side 3072] [--window 512] [--stride 256]
       [--repeats 3] [--skip-peers] [--markdown] [--json figures.json]

Rows are the run-times that are installed, and the peers of `peers.py`. Each repeat runs all of
them in turn, so that a machine whose speed drifts slows all alike; medians are printed.

* forward: the run-time alone, on the very windows of the scene, which lie in memory.
* seconds: `predict` from the moment its run-time is ready to the class raster; a peer from the
  GeoTIFF to the class GeoTIFF. `ratio` is the median over the repeats of forward / seconds.
* set-up: choosing, converting, compiling, the first pass; in none of the other columns. How long
  `torch.compile` takes depends on what its cache on disk holds: --fresh hides the cache.
* same class: share of pixels with the class that geoseg gives by PyTorch in fp32.
* x plain, x handed: how many times faster than the fastest peer as it comes (fp32), and than the
  fastest peer that is handed a network compiled in bf16.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import numpy as np
import torch
from material import make_bundle, make_scene, read_classes
from peers import PeerProcess, installed_peers

from geoseg.engine.backends import BackendName
from geoseg.engine.choose import BackendChooser, Choice
from geoseg.engine.layout import Layout
from geoseg.engine.pipeline import visible
from geoseg.engine.runtimes import Job
from geoseg.engine.window_network import Units
from geoseg.errors import GeosegError
from geoseg.geo.raster import Scene
from geoseg.nn.bundle import ModelBundle
from geoseg.predict import PredictOptions, predict

NETWORKS = "unet:resnet18,unet:resnet34,linear"
RUNTIMES = "torch-fp32,torch-bf16,compile-bf16,openvino-bf16,onnx-fp32"
REFERENCE = "torch-fp32"


@dataclass(kw_only=True)
class Row:
    """The figures of one run-time, or of one peer."""

    network: str
    """Architecture and encoder."""

    name: str
    """The run-time with its numbers, or the peer."""

    kind: str
    """`geoseg`; `plain` for a peer as it comes, `handed` for one with a compiled network."""

    megapixels: float
    """Of the scene."""

    setup: float = 0.0
    """Seconds before the first run."""

    forward: list[float] = field(default_factory=list)
    """Seconds of the bare forward passes, one a repeat; none for peers."""

    seconds: list[float] = field(default_factory=list)
    """Seconds of the whole, one a repeat."""

    same: float = 0.0
    """Share of pixels with the class of the reference."""

    @property
    def speed(self) -> float:
        """Scene megapixels a second."""
        return self.megapixels / statistics.median(self.seconds)

    @property
    def ratio(self) -> float | None:
        """Forward / whole."""
        pairs = list(zip(self.forward, self.seconds, strict=False))
        return statistics.median(f / s for f, s in pairs) if pairs else None


class RunTime:
    """A run-time of geoseg, made ready once and used by every run.

    Args:
        name: Back end and precision with a hyphen between.
        scene: What is predicted.
        bundle: The network.
        given: Arguments of the command line.

    Raises:
        GeosegError: If it is not to be had here.
    """

    def __init__(self, name: str, scene: Scene, bundle: Path, given: argparse.Namespace) -> None:
        backend, precision = name.split("-")
        self.name, self._scene, self._bundle = name, scene, bundle
        self._options = PredictOptions(
            backend=backend,  # type: ignore[arg-type]
            precision=precision,  # type: ignore[arg-type]
            window=given.window,
            stride=given.stride,
            device=given.device,
            batch_size=given.batch_size,
            overwrite=True,
        )
        layout = Layout.of(scene.grid.shape, given.window, given.stride)
        windows = cut_windows(scene, layout)
        started = time.perf_counter()
        chooser = BackendChooser(
            ModelBundle.open(bundle),
            backend=backend,  # type: ignore[arg-type]
            precision=precision,  # type: ignore[arg-type]
            device=given.device,
            batch_size=given.batch_size,
        )
        self._choice: Choice = chooser.choose(
            Job(scene=scene, units=Units(), layout=layout, hide=visible)
        )
        device = self._choice.backend.device
        self._batches = [
            batch.to(device) for batch in torch.split(windows, self._choice.batch_size)
        ]
        self._choice.backend.scores(self._batches[0], None)
        settle(device)
        self.setup = time.perf_counter() - started

    def forward(self) -> float:
        """Seconds of the forward passes over all windows of the scene."""
        started = time.perf_counter()
        for batch in self._batches:
            self._choice.backend.scores(batch, None)
        settle(self._choice.backend.device)
        return time.perf_counter() - started

    def predict(self, output: Path) -> float:
        """Seconds of `predict` from the moment its run-time is ready."""
        started: list[float] = []

        def choose(*_: object, **__: object) -> Choice:
            started.append(time.perf_counter())
            return self._choice

        with patch.object(BackendChooser, "choose", choose):
            predict(self._scene.path, self._bundle, output, self._options)
        return time.perf_counter() - started[0]


def cut_windows(scene: Scene, layout: Layout) -> torch.Tensor:
    """All windows (n, bands, window, window) of the scene, raw."""
    data, size = scene.read().data, layout.window
    parts = [
        data[:, row : row + size, col : col + size]
        for row in layout.rows.offsets
        for col in layout.cols.offsets
    ]
    return torch.from_numpy(np.stack(parts))


def settle(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Measure and print."""
    given = arguments()
    if given.fresh:
        cache = tempfile.TemporaryDirectory()
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache.name
    show = markdown if given.markdown else plain
    rows: list[Row] = []
    for network in given.networks.split(","):
        with tempfile.TemporaryDirectory() as name:
            of_network = measure(network, Path(name), given)
        print(show(of_network), flush=True)
        rows += of_network
    if given.json is not None:
        given.json.write_text(json.dumps([figures(row, rows) for row in rows], indent=2))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default=NETWORKS, help="arch:encoder, or an arch alone")
    parser.add_argument("--only", default=RUNTIMES, help="back ends with their precision")
    parser.add_argument("--side", type=int, default=3072)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--stride", type=int, default=256)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--skip-peers", action="store_true")
    parser.add_argument("--peers-heap", action="store_true", help="geoseg's heap for peers, too")
    parser.add_argument("--fresh", action="store_true", help="compile without a cache on disk")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def measure(network: str, folder: Path, given: argparse.Namespace) -> list[Row]:
    """All run-times and peers with one network, in turn."""
    scene = make_scene(folder / "scene.tif", given.side)
    bundle = make_bundle(folder / "bundle.safetensors", scene, network, given.window, given.stride)
    common: dict[str, Any] = {"network": network, "megapixels": given.side**2 / 1e6}
    runtimes = list(ready(scene, bundle, given))
    rows = {
        run.name: Row(name=run.name, kind="geoseg", setup=run.setup, **common) for run in runtimes
    }
    maps = {run.name: folder / f"{run.name}.tif" for run in runtimes}
    with ExitStack() as stack:
        processes = [] if given.skip_peers else start_peers(stack, scene, bundle, folder, given)
        for _ in range(given.repeats):
            for run in runtimes:
                rows[run.name].forward.append(run.forward())
                rows[run.name].seconds.append(run.predict(maps[run.name]))
            for process in processes:
                for peer in installed_peers():
                    key = f"{peer} ({'compiled bf16' if process.handed else 'fp32'})"
                    found = process.run(peer)
                    if key not in rows:
                        kind = "handed" if process.handed else "plain"
                        rows[key] = Row(name=key, kind=kind, setup=found["setup"], **common)
                        maps[key] = process.output.replace(folder / f"{len(rows)}.tif")
                    rows[key].seconds.append(found["seconds"])
    classes = {name: read_classes(path) for name, path in maps.items()}
    if REFERENCE in classes:
        for name, row in rows.items():
            row.same = float((classes[name] == classes[REFERENCE]).mean())
    return list(rows.values())


def ready(scene: Scene, bundle: Path, given: argparse.Namespace) -> Iterator[RunTime]:
    """The run-times asked for that are to be had here."""
    for name in given.only.split(","):
        if name.split("-")[0] not in get_args(BackendName):
            print(f"{name} is left out: this geoseg has no such back end", flush=True)
            continue
        try:
            yield RunTime(name, scene, bundle, given)
        except GeosegError as error:
            print(f"{name} is left out: {error}", flush=True)


def start_peers(
    stack: ExitStack, scene: Scene, bundle: Path, folder: Path, given: argparse.Namespace
) -> list[PeerProcess]:
    """Two processes: peers as they come, and peers with a compiled network."""
    sizes = {"window": given.window, "stride": given.stride}
    places = {"device": given.device, "with_heap": given.peers_heap}
    processes = (
        PeerProcess(
            Path(scene.path), bundle, folder / f"{handed}.tif", handed=handed, **sizes, **places
        )
        for handed in (False, True)
    )
    return [stack.enter_context(process) for process in processes]


def times_faster(row: Row, rows: list[Row], kind: str) -> float | None:
    """How many times faster than the fastest peer of a kind."""
    speeds = [r.speed for r in rows if r.kind == kind and r.network == row.network]
    return row.speed / max(speeds) if speeds and row.kind == "geoseg" else None


def figures(row: Row, rows: list[Row]) -> dict[str, Any]:
    """A row for JSON."""
    derived = {
        "megapixels_per_second": row.speed,
        "ratio": row.ratio,
        "times_plain_peer": times_faster(row, rows, "plain"),
        "times_handed_peer": times_faster(row, rows, "handed"),
        "threads": torch.get_num_threads(),
    }
    return asdict(row) | derived


COLUMNS = ["run-time or peer", "set-up s", "forward s", "seconds", "ratio", "MPix/s"]
COLUMNS += ["same class", "x plain", "x handed"]


def cells(row: Row, rows: list[Row]) -> list[str]:
    """A row as texts."""
    by = [times_faster(row, rows, kind) for kind in ("plain", "handed")]
    forward = statistics.median(row.forward) if row.forward else None
    return [
        f"geoseg {row.name}" if row.kind == "geoseg" else row.name,
        f"{row.setup:.1f}",
        "" if forward is None else f"{forward:.2f}",
        f"{statistics.median(row.seconds):.2f}",
        "" if row.ratio is None else f"{row.ratio:.3f}",
        f"{row.speed:.2f}",
        f"{row.same:.3%}",
        *("" if times is None else f"{times:.1f}" for times in by),
    ]


def title(rows: list[Row]) -> str:
    """What was measured."""
    head = rows[0]
    return f"{head.network}, {head.megapixels:.1f} MPix, {torch.get_num_threads()} threads"


def plain(rows: list[Row]) -> str:
    """A table for the terminal."""
    table = [COLUMNS, *(cells(row, rows) for row in rows)]
    widths = [max(len(line[place]) for line in table) for place in range(len(COLUMNS))]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(t, widths, strict=True)) for t in table]
    return "\n".join([title(rows), *lines, ""])


def markdown(rows: list[Row]) -> str:
    """A table for the docs."""
    table = [COLUMNS, ["---"] * len(COLUMNS), *(cells(row, rows) for row in rows)]
    return "\n".join([f"{title(rows)}:", "", *(f"| {' | '.join(line)} |" for line in table), ""])


if __name__ == "__main__":
    main()
