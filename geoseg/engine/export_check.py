"""Whether what was exported gives the classes of PyTorch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from geoseg.engine.backends import BackendName, TorchBackend, WindowKind
from geoseg.engine.exported_backend import ExportedBackend, ExportedGraph
from geoseg.engine.graph_writer import ExportFormat, GraphPlan
from geoseg.engine.layout import Layout
from geoseg.engine.pipeline import visible
from geoseg.engine.probe import Probe, first_windows, spread_windows
from geoseg.engine.window_network import Units, WindowNetwork
from geoseg.errors import SceneError
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.exported_model import around_graph
from geoseg.nn.onnx_file import open_onnx
from geoseg.nn.openvino_file import open_openvino

Scores = Callable[[Tensor, Tensor], Tensor]
"""Raw pixels (n, bands, height, width) and their validity (n, height, width) to scores."""

LEAST = 0.999
"""Share of the pixels that must get the same class as in PyTorch."""

WINDOWS = 4
"""So many are compared."""

_OCTAVES = 5
"""Sizes of the features of made-up windows, each half of the one before."""


def scene_windows(bundle: ModelBundle, path: str) -> tuple[Probe, Units]:
    """Windows from all over a scene.

    Args:
        bundle: The network that is to see them.
        path: The scene.

    Raises:
        SceneError: If it cannot be read, or holds no data.
        BundleError: If it does not fit the bundle.
    """
    scene = Scene.open(path)
    bundle.check(scene)
    scene = Scene.open(path, SceneOptions(bands=bundle.match_bands(scene)))
    layout = Layout.of(scene.grid.shape, bundle.card.window, bundle.card.stride)
    found = spread_windows(scene, layout, visible, count=WINDOWS, others=1)
    probe = found[0] if found else first_windows(scene, layout, visible, WINDOWS)
    if probe is None:
        raise SceneError(path, "has no data to compare on", "Give another scene")
    is_float = np.dtype(scene.dtype).kind == "f"
    nodata = None if is_float and np.isnan(scene.nodata or 0) else scene.nodata
    return probe, Units(nodata=nodata, is_float=is_float)


def made_up_windows(bundle: ModelBundle) -> tuple[Probe, Units]:
    """Windows with the means and deviations of the training pixels.

    They are sums of noise of several scales, the coarser the stronger, as ground is; the values
    stay within those of training.

    Args:
        bundle: The network that is to see them.
    """
    card, draw = bundle.card, torch.Generator().manual_seed(0)
    bands, side = card.spec.in_channels, card.window
    noise = torch.zeros(WINDOWS, bands, side, side)
    for octave in range(_OCTAVES):
        cells = max(side >> (_OCTAVES - octave), 2)
        coarse = torch.randn(WINDOWS, bands, cells, cells, generator=draw)
        fine = functional.interpolate(coarse, (side, side), mode="bilinear")
        noise += fine * 0.5**octave
    noise /= noise.std()
    mean, std, low, high = (_column(values) for values in _ranges(bundle))
    pixels = (noise * std + mean).clamp(low, high)
    probe = Probe(pixels=pixels, valid=torch.ones(WINDOWS, side, side, dtype=torch.bool))
    return probe, Units()


def agreement(
    bundle: ModelBundle,
    probe: Probe,
    units: Units,
    scores: Scores,
) -> float:
    """Share of the pixels that get the class that PyTorch gives them in float32.

    Args:
        bundle: The network as it was before.
        probe: Windows of raw pixels.
        units: What their values mean.
        scores: The exported network.
    """
    eager = TorchBackend(bundle, units, torch.device("cpu"), "fp32")
    reference = eager.scores(probe.pixels, probe.valid).clone()
    found = scores(probe.pixels, probe.valid)
    if not bool(torch.isfinite(found).all()):
        return 0.0
    return probe.agreement(found, reference)


def written_graphs(
    kind: ExportFormat, plan: GraphPlan, places: list[Path], probe: Probe, units: Units
) -> dict[str, Scores]:
    """Read back what was written, by every installed run-time that it is for.

    Args:
        kind: Its format.
        plan: What was to be written.
        places: The files, the graph first.
        probe: Windows that it is to be run on.
        units: What their values mean.

    Returns:
        What runs it, by the name of the run-time.

    Raises:
        BundleError: If it cannot be read or run.
    """
    if kind == "torch":
        # Such a file can run code when it is read; this one was written a moment ago.
        program = torch.export.load(places[0]).module()
        inner = around_graph(plan.bundle.card, plan.divisor)
        network = WindowNetwork(inner, units, network=program)
        return {"torch.export": torch.no_grad()(network)}
    if kind == "openvino":
        model = open_openvino(str(places[0]), str(places[1]))
        names: list[BackendName] = ["openvino"]
    else:
        model = open_onnx(str(places[0]))
        has_openvino = importlib.util.find_spec("openvino") is not None
        names = ["onnx", "openvino"] if has_openvino else ["onnx"]
    side, dtype = model.card.window, str(probe.pixels.numpy().dtype)
    windows = WindowKind(units=units, dtype=dtype, side=side, size=side)
    cpu = torch.device("cpu")
    return {
        name: ExportedBackend(ExportedGraph(model, name), model, windows, name, "fp32", cpu).scores
        for name in names
    }


def _ranges(bundle: ModelBundle) -> tuple[list[float], list[float], list[float], list[float]]:
    """Mean, deviation, least and largest value by band, as far as the card tells them."""
    card = bundle.card
    bands, stats, scaling = card.spec.in_channels, card.band_stats, card.scaling
    if stats is not None and np.isfinite([*stats.mean, *stats.std, *stats.min, *stats.max]).all():
        return list(stats.mean), list(stats.std), list(stats.min), list(stats.max)
    dtype = np.dtype(card.dtype)
    top = float(np.iinfo(dtype).max) if dtype.kind in "iu" else scaling.divisor
    mean = list(scaling.mean or scaling.low or (top / 2,) * bands)
    std = list(scaling.std or (abs(top) / 4,) * bands)
    if scaling.low:
        std = [(high - low) / 4 for low, high in zip(scaling.low, scaling.high, strict=True)]
        mean = [low + 2 * step for low, step in zip(scaling.low, std, strict=True)]
    least = [centre - 4 * step for centre, step in zip(mean, std, strict=True)]
    most = [centre + 4 * step for centre, step in zip(mean, std, strict=True)]
    return mean, std, least, most


def _column(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None]
