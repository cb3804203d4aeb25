"""Which run-time a scene is predicted by: the fastest that gives what fp32 gives."""

from __future__ import annotations

import importlib.util
import logging
import math
import time
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from rasterio.windows import Window
from torch import Tensor

from geoseg.engine.backends import Backend, BackendName, CompiledBackend, TorchBackend
from geoseg.engine.layout import Layout
from geoseg.engine.openvino_backend import OpenVinoBackend
from geoseg.engine.pipeline import Hide
from geoseg.engine.strips import reflected
from geoseg.engine.window_network import Units
from geoseg.errors import GeosegError
from geoseg.geo.raster import Scene
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.device import Precision, PrecisionName, resolve_device, resolve_precision

logger = logging.getLogger(__name__)

LEAST_AGREEMENT = 0.995
"""Share of pixels that must get the same class as by fp32 in PyTorch."""

_PROBES = 2
_MOST_TRIES = 64
_GAIN = 0.2
"""Share of PyTorch's time, warm and by the same numbers, that a compiled run-time saves at the
least: 0.2 was measured for a U-Net on AVX-512 BF16, 0.5 on AMX."""

_FEW_WINDOWS = 4
"""Up to here fp32 ends before a comparison with it would."""

_SETUP_SECONDS: dict[BackendName, float] = {"openvino": 5.0, "compile": 30.0}
"""What it takes to compile; a scene must have more to gain than this."""

_CPU_BATCH, _GPU_BATCH = 2, 16


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The first windows of a scene that hold data."""

    pixels: Tensor
    """(n, bands, window, window) raw values."""

    valid: Tensor
    """(n, window, window)."""

    def agreement(self, scores: Tensor, reference: Tensor) -> float:
        """Share of the valid pixels in which the highest class is the same."""
        same = scores.argmax(1) == reference.argmax(1)
        return float(same[self.valid].float().mean())


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A run-time with how it compares."""

    backend: Backend
    """Ready to run."""

    name: BackendName
    """Which run-time."""

    precision: Precision
    """Its numbers."""

    batch_size: int
    """Windows in a forward pass."""

    agreement: float | None = None
    """Share of pixels as by fp32 on the scene's first windows; None where it was not asked."""

    def __str__(self) -> str:
        text = f"{self.name} {self.backend.device.type} {self.precision}"
        return text if self.agreement is None else f"{text}, {self.agreement:.2%} as fp32"


class BackendChooser:
    """Makes run-times for scenes, each once.

    Args:
        bundle: The network.
        backend: Which run-time; `auto` takes the fastest that agrees with fp32.
        device: As `resolve_device` takes it.
        precision: As `resolve_precision` takes it.
        batch_size: Windows in a forward pass; None chooses.

    Raises:
        ConfigError: If the device, the precision or the run-time is not to be had.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        *,
        backend: BackendName | Literal["auto"] = "auto",
        device: str = "auto",
        precision: PrecisionName = "auto",
        batch_size: int | None = None,
    ) -> None:
        self._bundle = bundle
        self._backend = backend
        self._device = resolve_device(device)
        self._precision = resolve_precision(precision, self._device)
        self._may_fall_back = precision == "auto"
        default = _CPU_BATCH if self._device.type == "cpu" else _GPU_BATCH
        self._batch_size = batch_size or default
        self._made: dict[tuple[BackendName, Precision, Units, str, int], Backend] = {}

    def choose(self, scene: Scene, units: Units, layout: Layout, hide: Hide) -> Choice:
        """The run-time for one scene.

        Args:
            scene: As the network sees it.
            units: What its values mean.
            layout: Its windows.
            hide: What of it is to be predicted.
        """
        if self._backend != "auto":
            return self._make(self._backend, self._precision, scene, units, layout)
        if self._may_fall_back and layout.count <= _FEW_WINDOWS and self._device.type == "cpu":
            return self._make("torch", "fp32", scene, units, layout)
        probe = _probe(scene, layout, hide)
        if probe is None:
            return self.eager(scene, units, layout)
        return self._compare(probe, scene, units, layout)

    def eager(self, scene: Scene, units: Units, layout: Layout) -> Choice:
        """PyTorch as it comes, without a comparison."""
        return self._make("torch", self._precision, scene, units, layout)

    def _compare(self, probe: Probe, scene: Scene, units: Units, layout: Layout) -> Choice:
        """The fastest that agrees with fp32, which is run on the first windows."""
        job = scene, units, layout
        plain = self._make("torch", "fp32", *job)
        reference = plain.backend.scores(probe.pixels, probe.valid).clone()
        best, seconds = self._try("torch", probe, reference, job)
        if best is None:
            best = plain if self._may_fall_back else self.eager(*job)
        for name in self._worth_compiling(seconds * layout.count):
            compiled, its_seconds = self._try(name, probe, reference, job)
            if compiled is not None and its_seconds < seconds:
                best, seconds = compiled, its_seconds
        logger.debug("%s: runs by %s", scene.path, best)
        return best

    def _worth_compiling(self, seconds: float) -> list[BackendName]:
        """Compiled run-times that may save more of `seconds` than they take to set up."""
        name: BackendName = "openvino" if self._device.type == "cpu" else "compile"
        if name == "openvino" and importlib.util.find_spec("openvino") is None:
            return []
        return [name] if seconds * _GAIN > _SETUP_SECONDS[name] else []

    def _try(
        self,
        name: BackendName,
        probe: Probe,
        reference: Tensor,
        job: tuple[Scene, Units, Layout],
    ) -> tuple[Choice | None, float]:
        """A run-time, if it agrees, and its seconds per window once it is warm."""
        try:
            choice = self._make(name, self._precision, *job)
            agreement = probe.agreement(choice.backend.scores(probe.pixels, probe.valid), reference)
        except GeosegError as error:
            logger.warning("%s", error)
            return None, math.inf
        started = time.perf_counter()
        choice.backend.scores(probe.pixels, probe.valid)
        seconds = (time.perf_counter() - started) / len(probe.pixels)
        if agreement >= LEAST_AGREEMENT:
            return replace(choice, agreement=agreement), seconds
        logger.warning(
            "%s: %s %s gives the class of fp32 for %.2f %% of the pixels only; not taken",
            job[0].path,
            name,
            self._precision,
            100 * agreement,
        )
        return None, seconds

    def _make(
        self,
        name: BackendName,
        precision: Precision,
        scene: Scene,
        units: Units,
        layout: Layout,
    ) -> Choice:
        key = (name, precision, units, scene.dtype, layout.window)
        if key not in self._made:
            self._made[key] = self._build(*key)
        return Choice(
            backend=self._made[key], name=name, precision=precision, batch_size=self._batch_size
        )

    def _build(
        self, name: BackendName, precision: Precision, units: Units, dtype: str, window: int
    ) -> Backend:
        if name == "openvino":
            return OpenVinoBackend(self._bundle, units, dtype, window, precision)
        if name == "compile":
            return CompiledBackend(self._bundle, units, self._device, precision, self._batch_size)
        return TorchBackend(self._bundle, units, self._device, precision)


def _probe(scene: Scene, layout: Layout, hide: Hide) -> Probe | None:
    """Read the first windows with data; None where the first many windows have none."""
    pixels, valid = [], []
    size = layout.window
    places = [(row, col) for row in layout.rows.offsets for col in layout.cols.offsets]
    height, width = scene.grid.shape
    for row, col in places[:_MOST_TRIES]:
        raster = scene.read(Window(col, row, min(size, width), min(size, height)))
        visible = hide(raster)
        if not visible.any():
            continue
        rows, cols = reflected(raster.data.shape[1], size), reflected(raster.data.shape[2], size)
        pixels.append(np.ascontiguousarray(raster.data[:, rows][:, :, cols]))
        valid.append(visible[rows][:, cols])
        if len(pixels) == _PROBES:
            break
    if not pixels:
        return None
    return Probe(pixels=torch.from_numpy(np.stack(pixels)), valid=torch.from_numpy(np.stack(valid)))
