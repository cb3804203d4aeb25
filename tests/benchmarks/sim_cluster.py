"""What a cluster can do for a scene of a terapixel: Dask's scheduler, this machine, and a model.

Usage: python tests/benchmarks/sim_cluster.py [--dealt 5000] [--workers 4] [--chunks 100000]
           [--side 4096] [--network unet:resnet18] [--skip scheduler|machine]... [--schedule MS]
           [--json figures.json]

First Dask's real scheduler deals (`--dealt`) chunks of a network that takes 1 ms, two at a time for
each worker as geoseg does; and up to 5000 of them many at a time, and all at once; each in a
process of its own. It is told what they take of a processor and of memory. That goes into a
simulation of `--chunks` such chunks for 1 to 1000 workers. Then a real network, reading and writing
are measured on this machine. Last, these figures go into a model of a scene of 10^6 x 10^6 pixels
(see docs/scale.md) and a simulation of its events, for several sizes of chunks. `--skip` leaves a
part out; `--schedule` is then what the scheduler takes for a chunk, and the machine's figures are
those of docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster_events import Job, efficiency, simulate

from geoseg.engine import cluster_chunks
from geoseg.engine.cluster import AHEAD
from geoseg.engine.cluster_chunks import Cutting, cut_chunks

SIDE = 1_000_000
WINDOW, STRIDE, BLOCK = 512, 256, 512
NETWORK_SECONDS = 0.001
MANY = 64
FEWER = 5000
SIZES = (8 << 20, 16 << 20, 32 << 20, 64 << 20, 128 << 20, 256 << 20)
FLEETS = (1, 10, 100, 1000)
DOCUMENTED = {"window_seconds": 0.4337, "write_bytes_per_second": 31.8e6}


def fake_chunk(number: int, size: int) -> bytes:
    """A chunk of a network that takes a millisecond."""
    del number
    time.sleep(NETWORK_SECONDS)
    return bytes(size)


def deal(chunks: int, workers: int, ahead: int, size: int) -> dict[str, Any]:
    """Have Dask compute fake chunks.

    Args:
        chunks: How many.
        workers: Processes of one thread.
        ahead: Chunks handed out at a time, for each worker; 0 hands out all at once.
        size: Bytes of a result.

    Returns:
        Chunks a second; of this process, which is client and scheduler, the milliseconds of a
        processor for each chunk, and the peak memory.
    """
    from distributed import Client, LocalCluster, as_completed

    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.gather([client.submit(fake_chunk, -n, 0, pure=False) for n in range(workers)])
        start, busy = time.perf_counter(), time.process_time()
        first = chunks if ahead == 0 else min(ahead * workers, chunks)
        futures = client.map(fake_chunk, range(first), [size] * first, pure=False)
        done = as_completed(futures, with_results=True)
        del futures
        sent = first
        for future, result in done:
            assert len(result) == size
            future.release()
            if sent < chunks:
                done.add(client.submit(fake_chunk, sent, size, pure=False))
                sent += 1
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
    with Path("/proc/self/status").open() as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return {
        "chunks": chunks,
        "per_second": chunks / seconds,
        "milliseconds": 1e3 * busy / chunks,
        "mebibytes": peak / 1024,
    }


def scheduler_figures(chunks: int, workers: int) -> dict[str, Any]:
    """`deal` in processes of their own: as geoseg does, and fewer chunks in other ways."""
    fewer = min(chunks, FEWER)
    plans = {
        f"{AHEAD} for each worker": (chunks, AHEAD, 0),
        "results of 8 MiB": (100, AHEAD, 8 << 20),
        f"{MANY} for each worker": (fewer, MANY, 0),
        "all at once": (fewer, 0, 0),
    }
    found = {}
    for name, (count, ahead, size) in plans.items():
        words = ["--deal", f"{count},{workers},{ahead},{size}"]
        done = subprocess.run(
            [sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, check=True
        )
        found[name] = json.loads(done.stdout.splitlines()[-1])
        told = found[name]
        print(f"  {name:<20} {count:>7} chunks {told['per_second']:7.0f} a second "
              f"{told['milliseconds']:6.2f} ms of a processor each "
              f"{told['mebibytes']:6.0f} MiB peak", flush=True)  # fmt: skip
    return found


def machine_figures(side: int, network: str) -> dict[str, float]:
    """What a window, reading and writing take here.

    In seconds of processors, not of a clock: others may be using this machine.
    """
    import numpy as np
    import torch
    from material import make_bundle, make_scene

    from geoseg.geo.cog import write_raster
    from geoseg.geo.raster import Scene
    from geoseg.geo.raster_profile import RasterProfile
    from geoseg.nn.bundle import ModelBundle

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = make_scene(folder / "scene.tif", side)
        bundle = make_bundle(folder / "bundle.safetensors", scene, network, WINDOW, STRIDE)
        model = ModelBundle.open(bundle).build().eval()
        windows = torch.rand(2, 3, WINDOW, WINDOW)
        with torch.inference_mode():
            model(windows)
            forward = _processor_seconds(lambda: model(windows)) / len(windows)
        # Another name: what GDAL has decoded of the first is still in memory.
        (folder / "again.tif").hardlink_to(folder / "scene.tif")
        pixels: list[Any] = []
        read = _processor_seconds(
            lambda: pixels.append(Scene.open(folder / "again.tif").read().data)
        )
        first = pixels[0][:1]
        classes = (first > 110).astype(np.uint8) + (first > 145).astype(np.uint8)
        profile = RasterProfile(grid=scene.grid, nodata=255)
        write = _processor_seconds(lambda: write_raster(folder / "out.tif", classes, profile))
        size = (folder / "out.tif").stat().st_size
    return {
        "window_seconds": forward,
        "read_bytes_per_second": pixels[0].nbytes / read,
        "write_bytes_per_second": side * side / write,
        "compressed": size / side**2,
    }


def _processor_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def terapixel(window_seconds: float, schedule: float, write: float) -> list[dict[str, Any]]:
    """The model: chunks, work done twice, and how busy each fleet is.

    Args:
        window_seconds: Of the network, for one window.
        schedule: Seconds of the scheduler for a chunk.
        write: Seconds of the writer for a byte.
    """
    found = []
    kept = cluster_chunks.CHUNK_BYTES
    for size in SIZES:
        cluster_chunks.CHUNK_BYTES = size
        row: dict[str, Any] = {"chunk_bytes": size, "efficiency": {}}
        for workers in FLEETS:
            cutting = Cutting(
                window=WINDOW, stride=STRIDE, bytes_per_pixel=1, block=BLOCK, workers=workers
            )
            chunks = cut_chunks((SIDE, SIDE), cutting)
            windows = chunks.windows / chunks.count + cluster_chunks.CHUNK_WINDOWS
            job = Job(
                chunks=chunks.count,
                workers=workers,
                compute=windows * window_seconds,
                schedule=schedule,
                write=SIDE**2 / chunks.count * write,
                ahead=AHEAD,
            )
            useful = chunks.windows / (1 + chunks.overhead) / chunks.count / windows
            row |= {"chunks": chunks.count, "overhead": chunks.overhead, "seconds": job.compute}
            row["efficiency"][workers] = efficiency(job, useful)
        found.append(row)
    cluster_chunks.CHUNK_BYTES = kept
    return found


def saturate(chunks: int, schedule: float) -> dict[int, float]:
    """Chunks a second of a network of 1 ms, by number of workers, where nothing is written."""
    print(f"Simulated: {chunks} chunks of 1 ms, {schedule * 1e3:.2f} ms of the scheduler for each")
    found = {}
    for workers in FLEETS:
        job = Job(
            chunks=chunks, workers=workers, compute=NETWORK_SECONDS, schedule=schedule, write=0
        )
        found[workers] = chunks / simulate(job)
        busy = efficiency(job)
        print(f"  {workers:>5} workers {found[workers]:8.0f} chunks a second, busy {busy:6.1%}")
    return found


def show(rows: list[dict[str, Any]], title: str) -> None:
    """Print a table of `terapixel`."""
    print(f"{title}\n  MiB a chunk   chunks  done twice  s a chunk   busy with", *FLEETS, "workers")
    for row in rows:
        busy = "  ".join(f"{share:6.1%}" for share in row["efficiency"].values())
        print(f"  {row['chunk_bytes'] >> 20:>11} {row['chunks']:>8} {row['overhead']:>10.1%} "
              f"{row['seconds']:>10.2f}   {busy}")  # fmt: skip


def main() -> None:
    """Measure, then compute."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--dealt", type=int, default=5000)
    parser.add_argument("--schedule", type=float, default=4.0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--network", default="unet:resnet18")
    parser.add_argument("--skip", action="append", choices=["scheduler", "machine"], default=[])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--deal", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.deal:
        print(json.dumps(deal(*map(int, words.deal.split(",")))))
        return
    figures: dict[str, Any] = {}
    schedule, here = words.schedule / 1e3, DOCUMENTED
    if "scheduler" not in words.skip:
        print(f"Dask's scheduler, {words.workers} workers, chunks of {NETWORK_SECONDS * 1e3:g} ms")
        figures["scheduler"] = scheduler_figures(words.dealt, words.workers)
        schedule = figures["scheduler"][f"{AHEAD} for each worker"]["milliseconds"] / 1e3
    figures["simulated"] = saturate(words.chunks, schedule)
    if "machine" not in words.skip:
        figures["machine"] = here = machine_figures(words.side, words.network)
        print(f"This machine, {words.network}:", {name: f"{x:.4g}" for name, x in here.items()})
    write = 1 / here["write_bytes_per_second"]
    speeds = [("this machine", here["window_seconds"], 1), ("10 ms", 0.01, 1), ("1 ms", 0.001, 1)]
    for name, seconds, writers in [*speeds, ("1 ms, 16 writers", 0.001, 16)]:
        figures[name] = terapixel(seconds, schedule, write / writers)
        show(figures[name], f"A terapixel, {name}: {seconds * 1e3:.3g} ms for a window")
    if words.json:
        words.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
