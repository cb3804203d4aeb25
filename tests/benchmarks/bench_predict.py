"""`predict` against the bare forward pass of the same run-time, and against other tools.

Usage: python tests/benchmarks/bench_predict.py [--arch unet] [--encoder resnet18] [--side 2048]
       [--window 512] [--stride 256] [--repeats 3] [--skip-peers]

The bare forward pass runs the same run-time on as many windows that lie in memory. Runs are made in
turn, so that a machine whose speed drifts slows all alike; medians and their ratio are printed.
The peers get the same network and windows: MONAI's `sliding_window_inference` (if installed), and
the loop over whole-scene arrays of the ancestors, both in fp32 as they come. The scene is smooth
noise and the network is trained for some seconds to tell its brightness, because bf16 changes the
classes of random weights at random.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine
from scipy import ndimage
from torch import Tensor, nn

from geoseg.engine.choose import BackendChooser
from geoseg.engine.layout import Layout
from geoseg.engine.pipeline import visible
from geoseg.engine.window_network import Units
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling
from geoseg.predict import PredictOptions, predict

CLASSES = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="unet")
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--stride", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--skip-peers", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = make_scene(folder / "scene.tif", arguments.side)
        bundle = make_bundle(folder / "model.safetensors", scene, arguments)
        layout = Layout.of(scene.grid.shape, arguments.window, arguments.stride)
        megapixels = arguments.side**2 / 1e6
        print(
            f"{arguments.arch} {arguments.encoder}, {layout.count} windows of "
            f"{arguments.window}, {megapixels:.1f} MPix, {torch.get_num_threads()} threads"
        )
        maps = {}
        for backend, precision in (("torch", "fp32"), ("torch", "bf16"), ("openvino", "bf16")):
            bare, whole = compare(scene, bundle, layout, backend, precision, arguments, folder)
            maps[backend, precision] = read(folder / "classes.tif")
            agreement = (maps[backend, precision] == maps["torch", "fp32"]).mean()
            print(
                f"geoseg {backend:9s}{precision}  forward {bare:7.2f} s  predict {whole:7.2f} s  "
                f"ratio {bare / whole:5.3f}  {megapixels / whole:6.3f} MPix/s  "
                f"same class {agreement:.4%}",
                flush=True,
            )
        if not arguments.skip_peers:
            run_peers(scene, bundle, layout, maps["torch", "fp32"])


def compare(
    scene: Scene,
    bundle: Path,
    layout: Layout,
    backend: str,
    precision: str,
    arguments: argparse.Namespace,
    folder: Path,
) -> tuple[float, float]:
    """Median seconds of the bare forward passes and of the whole prediction."""
    options = PredictOptions(
        backend=backend,  # type: ignore[arg-type]
        precision=precision,  # type: ignore[arg-type]
        window=arguments.window,
        stride=arguments.stride,
        overwrite=True,
    )
    model = ModelBundle.open(bundle)
    chooser = BackendChooser(model, backend=backend, precision=precision)  # type: ignore[arg-type]
    choice = chooser.choose(scene, Units(), layout, visible)
    pixels = torch.from_numpy(
        scene.read(rasterio.windows.Window(0, 0, arguments.window, arguments.window)).data
    )
    batch = pixels[None].repeat(choice.batch_size, 1, 1, 1).contiguous()
    choice.backend.scores(batch, None)
    setup = seconds_of(lambda: predict_setup(scene, model, options))
    bare, whole = [], []
    batches = max(layout.count // choice.batch_size, 1)
    per_scene = layout.count / (batches * choice.batch_size)
    for _ in range(arguments.repeats):
        forwards = seconds_of(lambda: [choice.backend.scores(batch, None) for _ in range(batches)])
        bare.append(forwards * per_scene)
        whole.append(
            seconds_of(lambda: predict(scene.path, bundle, folder / "classes.tif", options)) - setup
        )
    return statistics.median(bare), statistics.median(whole)


def predict_setup(scene: Scene, model: ModelBundle, options: PredictOptions) -> None:
    """What `predict` does once: load the bundle and make its run-time ready."""
    model = ModelBundle.open(model.path)
    chooser = BackendChooser(model, backend=options.backend, precision=options.precision)
    layout = Layout.of(scene.grid.shape, options.window or 1, options.stride or 1)
    chooser.choose(scene, Units(), layout, visible)


def run_peers(scene: Scene, bundle: Path, layout: Layout, expected: np.ndarray) -> None:
    model = ModelBundle.open(bundle)
    network = model.build().eval()
    image = torch.from_numpy(scene.read().data).float()[None]
    image = model.card.scaling.apply(image)
    megapixels = expected.size / 1e6
    for name, function in (("MONAI", monai), ("ancestors' loop", whole_array_loop)):
        try:
            seconds, classes = function(network, image, layout)
        except ImportError:
            print(f"{name}: not installed")
            continue
        print(
            f"{name:18s} fp32  {seconds:7.2f} s  {megapixels / seconds:6.3f} MPix/s  "
            f"same class {(classes == expected).mean():.4%}",
            flush=True,
        )


@torch.inference_mode()
def monai(network: nn.Module, image: Tensor, layout: Layout) -> tuple[float, np.ndarray]:
    from monai.inferers import sliding_window_inference

    def run() -> np.ndarray:
        scores = sliding_window_inference(
            image,
            layout.window,
            4,
            lambda batch: network(batch).softmax(1),
            overlap=1 - layout.stride / layout.window,
        )
        classes: np.ndarray = scores[0].argmax(0).numpy()
        return classes

    return timed(run)


@torch.inference_mode()
def whole_array_loop(network: nn.Module, image: Tensor, layout: Layout) -> tuple[float, np.ndarray]:
    def run() -> np.ndarray:
        total = torch.zeros(CLASSES, *image.shape[-2:])
        count = torch.zeros(image.shape[-2:])
        for row in layout.rows.offsets:
            for col in layout.cols.offsets:
                part = slice(row, row + layout.window), slice(col, col + layout.window)
                total[:, part[0], part[1]] += network(image[:, :, part[0], part[1]]).softmax(1)[0]
                count[part] += 1
        classes: np.ndarray = (total / count).argmax(0).numpy()
        return classes

    return timed(run)


def timed(run: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def seconds_of(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def make_scene(path: Path, side: int) -> Scene:
    draw = np.random.default_rng(0)
    fields = [ndimage.gaussian_filter(draw.random((side, side)), 12) for _ in range(3)]
    data = np.stack([255 * (f - f.min()) / (f.max() - f.min()) for f in fields]).astype(np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=side, width=side, dtype="uint8", tiled=True,
        compress="deflate", crs="EPSG:32632", transform=Affine(0.5, 0, 5e5, 0, -0.5, 5e6),
    ) as dataset:  # fmt: skip
        dataset.write(data)
    return Scene.open(path)


def make_bundle(path: Path, scene: Scene, arguments: argparse.Namespace) -> Path:
    """A network that has learnt to tell dark, middle and bright ground of the first band."""
    torch.manual_seed(0)
    spec = ModelSpec(arch=arguments.arch, encoder=arguments.encoder, in_channels=3, classes=CLASSES)
    network = build_model(spec)
    scaling = Scaling(kind="standardize", mean=(127.0,) * 3, std=(40.0,) * 3)
    data = torch.from_numpy(scene.read().data)
    target = (data[0] > 110).long() + (data[0] > 145).long()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for step in range(60):
        row, col = ((step * factor) % (arguments.side - 128) for factor in (131, 197))
        part = slice(row, row + 128), slice(col, col + 128)
        image = scaling.apply(data[None, :, part[0], part[1]].float())
        loss = nn.functional.cross_entropy(
            network(image.repeat(2, 1, 1, 1)), target[part][None].repeat(2, 1, 1)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    card = ModelCard(
        spec=spec, legend=Legend.of_values(range(CLASSES)).to_dict(), bands=("", "", ""),
        dtype="uint8", scaling=scaling, window=arguments.window, stride=arguments.stride,
    )  # fmt: skip
    ModelBundle.of(network.eval(), card).save(path)
    return path


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        values: np.ndarray = dataset.read(1)
    return values


if __name__ == "__main__":
    main()
