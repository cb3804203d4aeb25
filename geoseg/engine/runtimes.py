"""Makes and measures run-times for windows of scenes."""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass, replace
from typing import Literal

import torch

from geoseg.engine.backends import Backend, BackendName, CompiledBackend, TorchBackend, WindowKind
from geoseg.engine.heap import give_back
from geoseg.engine.layout import Layout
from geoseg.engine.onnx_backend import OnnxBackend, check_onnx, has_onnx
from geoseg.engine.openvino_backend import OpenVinoBackend, check_openvino
from geoseg.engine.probe import Probe, spread_windows
from geoseg.engine.strips import Hide
from geoseg.engine.window_network import Units
from geoseg.errors import ConfigError, WorkError
from geoseg.geo.raster import Scene
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.device import Precision, PrecisionName, resolve_precision

CALIBRATION, JUDGES = 32, 4
"""Windows that int8 is calibrated on, and others by which it is judged."""

_MEASURED_SECONDS = 0.5
"""About how long a forward pass is measured."""

_MOST_CALLS = 10


@dataclass(frozen=True, kw_only=True)
class Job:
    """A scene for which a run-time is wanted."""

    scene: Scene
    """As the network sees it."""

    units: Units
    """What its values mean."""

    layout: Layout
    """Its windows."""

    hide: Hide
    """What of it is to be predicted."""

    @property
    def kind(self) -> WindowKind:
        """Its windows, as run-times know them."""
        side = self.layout.window
        return WindowKind(units=self.units, dtype=self.scene.dtype, side=side, size=side)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that a run-time is made of, beside the bundle and the device."""

    name: BackendName
    """Which run-time."""

    precision: Precision
    """Its numbers."""

    kind: WindowKind
    """Its windows."""

    batch_size: int
    """Windows in a call; 0 where any number runs alike."""

    subject: str = ""
    """The scene that the network is calibrated on, where it is."""

    def build(
        self, bundle: ModelBundle, device: torch.device, calibration: Probe | None
    ) -> Backend:
        """Make it.

        Raises:
            ConfigError: If it is not installed, or does not compute with these numbers.
            WorkError: If the network cannot be exported.
        """
        kind = self.kind
        if self.name == "openvino":
            return OpenVinoBackend(bundle, kind, self.precision, calibration)
        if self.name == "onnx":
            return OnnxBackend(bundle, kind, device, self.precision, self.batch_size or 1)
        make = CompiledBackend if self.name == "compile" else TorchBackend
        return make(
            bundle,
            kind.units,
            device,
            self.precision,
            size=kind.size,
            batch_size=self.batch_size,
        )


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

    window: int
    """Side at which the network sees the windows, pixels."""

    agreement: float | None = None
    """Share of pixels as by fp32 on windows of the scene; None where it was not asked."""

    window_seconds: float | None = None
    """Seconds of the bare forward pass, warm, by window; None where not measured."""

    def __str__(self) -> str:
        text = f"{self.name} {self.backend.device.type} {self.precision}"
        return text if self.agreement is None else f"{text}, {self.agreement:.2%} as fp32"


class Stock:
    """The run-times of a bundle on a device, each made once.

    Args:
        bundle: The network.
        device: Where to run.
    """

    def __init__(self, bundle: ModelBundle, device: torch.device) -> None:
        self._bundle = bundle
        self._device = device
        self._made: dict[Recipe, Backend] = {}
        self._kept: set[Recipe] = set()

    def has(self, name: BackendName) -> bool:
        """Whether such a run-time was taken for a scene before."""
        return any(recipe.name == name for recipe in self._kept)

    def backend(self, recipe: Recipe, job: Job) -> Backend:
        """Make a run-time, unless it is there.

        Raises:
            ConfigError: If it is not installed, or does not compute with these numbers.
            WorkError: If the network cannot be exported, or there is nothing to calibrate it on.
        """
        if recipe not in self._made:
            calibration = None
            if recipe.precision == "int8":
                found = spread_windows(job.scene, job.layout, job.hide, CALIBRATION, JUDGES)
                if found is None:
                    raise WorkError(job.scene.path, "has no data to calibrate int8 on")
                calibration = found[0]
            self._made[recipe] = recipe.build(self._bundle, self._device, calibration)
        return self._made[recipe]

    def forget_all_but(self, taken: Backend) -> None:
        """Drop the networks that were compared and not taken; those of other scenes stay.

        Networks that were calibrated on another scene go.
        """
        recipes = {recipe for recipe, made in self._made.items() if made is taken}
        self._kept = {recipe for recipe in self._kept if not recipe.subject} | recipes
        forgotten = self._made.keys() - self._kept
        for recipe in forgotten:
            del self._made[recipe]
        if forgotten:
            give_back()


def wants_batch(name: BackendName, device: torch.device) -> bool:
    """Whether a run-time is made for batches of one size."""
    return name == "compile" or (device.type == "cuda" and name in {"torch", "onnx"})


def check_runtime(
    name: BackendName | Literal["auto"], device: torch.device, precision: PrecisionName
) -> None:
    """Refuse a run-time that is not to be had.

    Args:
        name: What the user asked for.
        device: Where to run.
        precision: What the user asked for.

    Raises:
        ConfigError: If it is not installed, or not for this device or this precision.
    """
    if precision == "int8" and name not in {"auto", "openvino"}:
        raise ConfigError("--precision", f"{name} has no int8", "Give --backend openvino")
    if name == "openvino" and device.type != "cpu":
        cure = "Give --device cpu, or another --backend"
        raise ConfigError("--backend", "openvino runs on the processor", cure)
    if name == "openvino" or precision == "int8":
        check_openvino("int8" if precision == "int8" else _own_numbers(name, device, precision))
    elif name == "onnx":
        check_onnx(_own_numbers(name, device, precision), device)


def compiling(device: torch.device, precision: Precision) -> BackendName | None:
    """The installed run-time that compiles a network and may be the fastest here."""
    if device.type == "cuda":
        return "compile"
    if importlib.util.find_spec("openvino") is not None:
        return "openvino"
    return "onnx" if precision == "fp32" and has_onnx() else None


def numbers(
    name: BackendName | Literal["auto"], device: torch.device, precision: PrecisionName
) -> Precision:
    """What a run-time computes with, where the user asked for a precision.

    Raises:
        ConfigError: If the device does not compute with it.
    """
    if precision == "int8" and name != "openvino":
        precision = "auto"
    return _own_numbers(name, device, precision)


def _own_numbers(
    name: BackendName | Literal["auto"], device: torch.device, precision: PrecisionName
) -> Precision:
    if name == "onnx" and precision == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    return resolve_precision(precision, device)


def seconds_per_window(backend: Backend, probe: Probe, *, calls: int | None = None) -> float:
    """Seconds of a forward pass, by windows; it must have run before.

    Args:
        backend: What is measured.
        probe: A full batch.
        calls: How often it is run; None for about half a second.
    """
    device = backend.device
    pixels, valid = probe.pixels.to(device), probe.valid.to(device)

    def run(count: int) -> float:
        _wait(device)
        started = time.perf_counter()
        for _ in range(count):
            backend.scores(pixels, valid)
        _wait(device)
        return (time.perf_counter() - started) / count

    first = run(1)
    if calls is None:
        calls = min(max(round(_MEASURED_SECONDS / first), 2), _MOST_CALLS)
    return (run(calls) if calls > 1 else first) / len(pixels)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def with_kind(job: Job, side: int) -> Job:
    """The same scene in windows of another side."""
    layout = Layout.of(job.scene.grid.shape, side, max(side // 2, 1))
    return replace(job, layout=layout)
