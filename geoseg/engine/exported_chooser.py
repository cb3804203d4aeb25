"""Which run-time an exported model is predicted by."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch

from geoseg.engine.backends import Backend, BackendName, WindowKind
from geoseg.engine.choose import BackendChooser
from geoseg.engine.exported_backend import ExportedBackend, ExportedGraph
from geoseg.engine.probe import first_windows
from geoseg.engine.runtimes import Choice, Job, seconds_per_window
from geoseg.errors import ConfigError
from geoseg.nn.device import Precision, PrecisionName, resolve_device
from geoseg.nn.exported_model import ExportedModel

_BATCH, _PROBES = 2, 2


class ExportedChooser:
    """Makes run-times for scenes, as `BackendChooser` does for bundles.

    There is no network of PyTorch to compare with: that was done when the model was exported.

    Args:
        model: What was exported.
        backend: `onnx` or `openvino`; `auto` takes that of the file's format.
        device: As `resolve_device` takes it. ONNX Runtime computes on a GPU if its package is
            one for GPUs, else on the processor.
        precision: fp32, by OpenVINO also bf16; `auto` is fp32.
        batch_size: Windows that are handed over at once.

    Raises:
        ConfigError: If run-time and model, or run-time and numbers, do not go together.
    """

    def __init__(
        self,
        model: ExportedModel,
        *,
        backend: BackendName | Literal["auto"] = "auto",
        device: str | torch.device = "auto",
        precision: PrecisionName = "auto",
        batch_size: int | Literal["auto"] | None = None,
    ) -> None:
        self._model = model
        self._name: BackendName = model.format if backend == "auto" else backend
        self._check_name(self._name)
        on_cpu = device == "auto" and self._name == "openvino"
        self._device = resolve_device("cpu" if on_cpu else device)
        self._precision = self._numbers(self._name, precision)
        self._batch_size = batch_size if isinstance(batch_size, int) else _BATCH
        self._graphs: dict[tuple[BackendName, Precision], ExportedGraph] = {}

    def choose(self, job: Job) -> Choice:
        """The run-time for one scene."""
        return self._make(self._name, self._precision, self._batch_size, job)

    def eager(self, job: Job) -> Choice:
        """The same: there is none that needs no setting up."""
        return self.choose(job)

    def measure(self, choice: Choice, job: Job) -> Choice:
        """Tell how long the bare forward pass takes on the first windows of a scene."""
        probe = first_windows(job.scene, job.layout, job.hide, min(_PROBES, choice.batch_size))
        if probe is None:
            return choice
        batch = probe.batch(choice.batch_size)
        choice.backend.scores(batch.pixels, batch.valid)
        return replace(choice, window_seconds=seconds_per_window(choice.backend, batch))

    def restore(self, name: BackendName, precision: Precision, batch_size: int, job: Job) -> Choice:
        """The run-time of an earlier run, or of another device.

        Raises:
            ConfigError: If it is not to be had here.
        """
        self._check_name(name)
        return self._make(name, self._numbers(name, precision), batch_size, job)

    def at_side(self, choice: Choice, side: int, job: Job) -> Backend:
        """The run-time of a choice for windows of another side, seen at the size of its own."""
        kind = replace(job.kind, side=side)
        return self._backend(choice.name, choice.precision, kind)

    def _make(self, name: BackendName, precision: Precision, batch_size: int, job: Job) -> Choice:
        return Choice(
            backend=self._backend(name, precision, job.kind),
            name=name,
            precision=precision,
            batch_size=batch_size,
            window=job.layout.window,
        )

    def _backend(
        self, name: BackendName, precision: Precision, kind: WindowKind
    ) -> ExportedBackend:
        key = name, precision
        if key not in self._graphs:
            self._graphs[key] = ExportedGraph(self._model, name, precision, self._device)
        return ExportedBackend(self._graphs[key], self._model, kind, name, precision, self._device)

    def _check_name(self, name: BackendName) -> None:
        if name not in {self._model.format, "openvino"}:
            names = dict.fromkeys((self._model.format, "openvino"))
            problem = f"{name} cannot run {self._model.path}, which was exported"
            raise ConfigError("--backend", problem, f"Give {' or '.join(names)}")

    def _numbers(self, name: BackendName, precision: PrecisionName) -> Precision:
        if precision == "auto":
            return "fp32"
        if precision == "fp32" or (precision == "bf16" and name == "openvino"):
            return precision
        cure = "Give auto or fp32, or bf16 with --backend openvino"
        problem = f"{name} has no {precision} for an exported model"
        raise ConfigError("--precision", problem, cure)


Chooser = BackendChooser | ExportedChooser
"""What makes run-times of a model of either kind."""
