"""Which run-time a scene is predicted by: the fastest that gives what fp32 gives."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from geoseg.engine.backends import Backend, BackendName, first_line
from geoseg.engine.layout import Layout
from geoseg.engine.probe import Probe, first_windows, spread_windows
from geoseg.engine.runtimes import (
    CALIBRATION,
    JUDGES,
    Choice,
    Job,
    Recipe,
    Stock,
    check_runtime,
    compiling,
    numbers,
    seconds_per_window,
    wants_batch,
    with_kind,
)
from geoseg.errors import ConfigError, GeosegError, WorkError
from geoseg.geo.raster import Scene
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.device import Precision, PrecisionName, resolve_device

__all__ = ["LEAST_AGREEMENT", "BackendChooser", "Choice"]

logger = logging.getLogger(__name__)

LEAST_AGREEMENT = 0.995
"""Share of pixels that must get the same class as by fp32 in PyTorch."""

_PROBES = 2
_MANY_WINDOWS = 200
"""Up to here one window is compared, so that the comparison stays small beside the work."""

_GAIN = 0.2
"""Share of PyTorch's time, warm and by the same numbers, that a compiled run-time saves at the
least: 0.2 was measured for a U-Net on AVX-512 BF16, 0.5 on AMX."""

_FEW_WINDOWS = 8
"""Up to here fp32 ends before a comparison with it would: by the seconds of single passes at 4
windows where bf16 is 4 times faster, at 12 where it is 2 times."""

_SETUP_SECONDS: dict[BackendName, float] = {"openvino": 5.0, "onnx": 5.0, "compile": 30.0}
"""What it takes to compile; a scene must have more to gain than this."""

_CPU_BATCH, _GPU_BATCH = 2, 16
_CPU_BATCHES, _GPU_BATCHES = (1, 2, 4), (1, 2, 4, 8, 16, 32, 64, 128)

_BATCH_GAIN = 0.95
"""A larger batch must take less than this part of the time."""


class BackendChooser:
    """Makes run-times for scenes, each once.

    Args:
        bundle: The network.
        backend: Which run-time; `auto` takes the fastest that agrees with fp32.
        device: As `resolve_device` takes it.
        precision: As `resolve_precision` takes it; `int8` is OpenVINO's.
        batch_size: Windows in a forward pass; `auto` measures, None takes what mostly does.

    Raises:
        ConfigError: If the device, the precision or the run-time is not to be had.
    """

    def __init__(
        self,
        bundle: ModelBundle,
        *,
        backend: BackendName | Literal["auto"] = "auto",
        device: str | torch.device = "auto",
        precision: PrecisionName = "auto",
        batch_size: int | Literal["auto"] | None = None,
    ) -> None:
        on_cpu = device == "auto" and (backend == "openvino" or precision == "int8")
        self._device = resolve_device("cpu" if on_cpu else device)
        check_runtime(backend, self._device, precision)
        self._backend: BackendName | Literal["auto"] = (
            "openvino" if precision == "int8" else backend
        )
        self._asked = precision
        numbers(self._backend, self._device, precision)
        default = _CPU_BATCH if self._device.type == "cpu" else _GPU_BATCH
        self._measures_batch = batch_size == "auto"
        self._batch_size = batch_size if isinstance(batch_size, int) else default
        self._stock = Stock(bundle, self._device)
        self._failed: set[Recipe] = set()

    def choose(self, job: Job) -> Choice:
        """The run-time for one scene.

        One that cannot run this network is replaced by PyTorch, with a warning. So is one whose
        classes are not those of fp32, unless the user asked for its numbers.

        Args:
            job: The scene as the network sees it, its windows, and what is to be predicted.
        """
        choice = self._fastest(job) if self._backend == "auto" else self._named(self._backend, job)
        if self._measures_batch:
            choice = self._with_best_batch(choice, job)
        logger.debug("%s: runs by %s", job.scene.path, choice)
        self._stock.forget_all_but(choice.backend)
        return choice

    def eager(self, job: Job) -> Choice:
        """PyTorch as it comes, without a comparison."""
        return self._make("torch", self._numbers("torch"), job)

    def measure(self, choice: Choice, job: Job) -> Choice:
        """Tell how long the bare forward pass takes on the first windows of a scene."""
        probe = first_windows(job.scene, job.layout, job.hide, min(_PROBES, choice.batch_size))
        if probe is None:
            return choice
        batch = probe.batch(choice.batch_size)
        try:
            choice.backend.scores(batch.pixels, batch.valid)
            return replace(choice, window_seconds=seconds_per_window(choice.backend, batch))
        except torch.OutOfMemoryError:  # the run itself goes on with smaller batches
            return choice

    def restore(self, name: BackendName, precision: Precision, batch_size: int, job: Job) -> Choice:
        """The run-time of an earlier run, or of another device, without a comparison.

        Args:
            name: Which run-time.
            precision: Its numbers.
            batch_size: Windows in a forward pass.
            job: The scene; int8 is calibrated on what of it is to be predicted.

        Raises:
            ConfigError: If it is not to be had here.
        """
        check_runtime(name, self._device, precision)
        try:
            choice = self._make(name, numbers(name, self._device, precision), job, batch_size)
            if name == "compile":
                _try_out(choice.backend, job.scene, job.layout.window)
        except WorkError as error:
            raise ConfigError(error.subject, error.problem, error.cure) from error
        return choice

    def at_side(self, choice: Choice, side: int, job: Job) -> Backend:
        """The run-time of a choice for windows of another side, seen at the size of its own.

        Args:
            choice: What was chosen for the scene.
            side: Of the windows, pixels.
            job: The scene; int8 is calibrated on what of it is to be predicted.
        """
        if choice.name == "torch" or side == choice.window:
            return choice.backend
        own = replace(job, layout=Layout.of(job.scene.grid.shape, choice.window, choice.window))
        kind = replace(own.kind, side=side)
        try:
            if choice.name == "compile":
                _try_out(choice.backend, job.scene, side)
                return choice.backend
            recipe = self._recipe(choice.name, choice.precision, own, choice.batch_size)
            return self._stock.backend(replace(recipe, kind=kind), with_kind(own, side))
        except WorkError as error:
            reason = _reason(error)
            logger.warning(
                "%s: windows of %d pixels run by torch: %s", job.scene.path, side, reason
            )
            return self._make("torch", self._numbers("torch"), own, choice.batch_size).backend

    def _named(self, name: BackendName, job: Job) -> Choice:
        """The run-time that the user asked for, or what takes its place."""
        wanted = self._numbers(name)
        if name == "torch" and (wanted == "fp32" or self._is_small(job)):
            return self._make("torch", "fp32", job)
        own: list[tuple[BackendName, Precision]] = [(name, wanted)]
        if self._asked == "auto":
            own.append((name, "fp32"))
        return self._first_that_agrees([*own, ("torch", self._numbers("torch"))], job)[0]

    def _fastest(self, job: Job) -> Choice:
        """The fastest that agrees with fp32 and saves more than it takes to set up."""
        if self._is_small(job):
            return self._make("torch", "fp32", job)
        precision = self._numbers("torch")
        best, seconds = self._first_that_agrees([("torch", precision)], job)
        name = compiling(self._device, precision)
        if name is None or not self._is_worth(name, seconds, job):
            return best
        probe = first_windows(job.scene, job.layout, job.hide, _PROBES)
        if probe is None:
            return best
        batch = probe.batch(best.batch_size)
        seconds = self._warm_seconds(best, batch)
        if not self._is_worth(name, seconds, job):
            return best
        other = self._first_that_agrees([(name, self._numbers(name))], job)[0]
        if other.name == name and self._warm_seconds(other, batch) < seconds:
            return other
        return best

    def _is_small(self, job: Job) -> bool:
        few = job.layout.count <= _FEW_WINDOWS
        return few and self._asked == "auto" and self._device.type == "cpu"

    def _is_worth(self, name: BackendName, seconds: float, job: Job) -> bool:
        """Whether the run may gain more by a run-time than it takes to set up."""
        return self._stock.has(name) or seconds * job.layout.count * _GAIN > _SETUP_SECONDS[name]

    def _first_that_agrees(
        self, candidates: Sequence[tuple[BackendName, Precision]], job: Job
    ) -> tuple[Choice, float]:
        """The first run-time that runs the network and agrees with fp32, and how fast it began.

        Numbers that the user asked for by name are taken as they are; fp32 by PyTorch is the last.
        """
        plain = self._make("torch", "fp32", job, 0)
        probes, started = self._probes(candidates[0][1], job), time.perf_counter()
        reference = _scores(plain.backend, probes)
        if probes is None or reference is None:
            return self._first_that_runs(candidates, job), 0.0
        reference = reference.clone()
        plain_seconds = (time.perf_counter() - started) / len(probes.pixels)
        for name, precision in dict.fromkeys(candidates):
            if (name, precision) == ("torch", "fp32"):
                break
            choice, seconds = self._compare(name, precision, job, probes, reference)
            if choice is not None and self._is_good(choice, job):
                return choice, seconds
        return self._make("torch", "fp32", job), plain_seconds

    def _probes(self, precision: Precision, job: Job) -> Probe | None:
        """Windows to compare on: others than those that int8 is calibrated on."""
        if precision != "int8":
            count = 1 if job.layout.count <= _MANY_WINDOWS else _PROBES
            return first_windows(job.scene, job.layout, job.hide, count)
        found = spread_windows(job.scene, job.layout, job.hide, CALIBRATION, JUDGES)
        return None if found is None else found[1]

    def _first_that_runs(
        self, candidates: Sequence[tuple[BackendName, Precision]], job: Job
    ) -> Choice:
        """Without windows to compare on: numbers that nobody asked for are not trusted then."""
        for name, precision in candidates:
            if precision not in {"fp32", self._asked}:
                continue
            try:
                return self._make(name, precision, job)
            except WorkError as error:
                logger.warning("%s: %s is not taken: %s", job.scene.path, name, _reason(error))
        own = "fp32" if self._asked == "auto" else self._numbers("torch")
        return self._make("torch", own, job)

    def _compare(
        self, name: BackendName, precision: Precision, job: Job, probe: Probe, reference: Tensor
    ) -> tuple[Choice | None, float]:
        """A run-time with its agreement and the seconds of its first window; None if it fails."""
        recipe = self._recipe(name, precision, job, self._batch_size)
        if recipe in self._failed:
            return None, math.inf
        try:
            choice = self._make(name, precision, job)
            started = time.perf_counter()
            agreement = probe.agreement(choice.backend.scores(probe.pixels, probe.valid), reference)
        except torch.OutOfMemoryError:
            return None, math.inf
        except (GeosegError, RuntimeError) as error:
            logger.warning("%s: %s is not taken: %s", job.scene.path, name, _reason(error))
            self._failed.add(recipe)
            return None, math.inf
        seconds = (time.perf_counter() - started) / len(probe.pixels)
        return replace(choice, agreement=agreement), seconds

    def _is_good(self, choice: Choice, job: Job) -> bool:
        """Whether it agrees with fp32, or was asked for and loses by its numbers alone."""
        assert choice.agreement is not None
        if choice.agreement >= LEAST_AGREEMENT:
            return True
        is_wish = choice.precision == self._asked != "fp32" and choice.name in {
            "torch",
            self._backend,
        }
        logger.warning(
            "%s: %s %s gives the class of fp32 for %.2f %% of the pixels only; %s",
            job.scene.path,
            choice.name,
            choice.precision,
            100 * choice.agreement,
            "taken, as you asked for it" if is_wish else "not taken",
        )
        return is_wish

    def _with_best_batch(self, choice: Choice, job: Job) -> Choice:
        """Larger batches as long as they are faster; run-times made for one size keep theirs."""
        probe = first_windows(job.scene, job.layout, job.hide, _PROBES)
        if choice.name != "torch" or probe is None:
            return choice
        best, least = choice, math.inf
        for size in _CPU_BATCHES if self._device.type == "cpu" else _GPU_BATCHES:
            try:
                other = self._make("torch", choice.precision, job, size)
                seconds = self._warm_seconds(other, probe.batch(size))
            except torch.OutOfMemoryError:
                break
            if seconds > least * _BATCH_GAIN:
                break
            best, least = replace(other, agreement=choice.agreement), seconds
        return best

    def _warm_seconds(self, choice: Choice, batch: Probe) -> float:
        choice.backend.scores(batch.pixels, batch.valid)
        return seconds_per_window(choice.backend, batch, calls=1)

    def _numbers(self, name: BackendName) -> Precision:
        return numbers(name, self._device, self._asked)

    def _make(
        self, name: BackendName, precision: Precision, job: Job, batch_size: int | None = None
    ) -> Choice:
        size = self._batch_size if batch_size is None else batch_size
        return Choice(
            backend=self._stock.backend(self._recipe(name, precision, job, size), job),
            name=name,
            precision=precision,
            batch_size=size,
            window=job.layout.window,
        )

    def _recipe(self, name: BackendName, precision: Precision, job: Job, batch_size: int) -> Recipe:
        return Recipe(
            name=name,
            precision=precision,
            kind=job.kind,
            batch_size=batch_size if wants_batch(name, self._device) else 0,
            subject=job.scene.path if precision == "int8" else "",
        )


def _scores(backend: Backend, probe: Probe | None) -> Tensor | None:
    """None where there are no windows, or no memory for them."""
    try:
        return None if probe is None else backend.scores(probe.pixels, probe.valid)
    except torch.OutOfMemoryError:
        return None


def _try_out(backend: Backend, scene: Scene, side: int) -> None:
    """Compile for windows of a side."""
    raster = torch.zeros((1, len(scene.bands), side, side), dtype=torch.float32)
    backend.scores(raster.to(getattr(torch, scene.dtype)), None)


def _reason(error: Exception) -> str:
    return error.problem if isinstance(error, GeosegError) else first_line(error)
