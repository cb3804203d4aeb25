"""Running a network by OpenVINO, the fastest run-time on processors with bf16."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geoseg.engine.backends import BackendName, WindowKind, first_line
from geoseg.engine.disk_cache import ModelCache
from geoseg.engine.exported import HostWindows, cache_key, digest, export_parts
from geoseg.engine.probe import Probe
from geoseg.engine.signal_stack import same_signal_stack
from geoseg.errors import ConfigError, WorkError
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.device import Precision, has_bf16
from geoseg.nn.no_memory import telling_no_memory

logger = logging.getLogger(__name__)

_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoBackend:
    """Runs a bundle by OpenVINO on the processor, one window after the other.

    The network is converted from PyTorch with its scaling and activation inside, for one window
    of raw pixels; the values go in as the scene holds them. What was compiled for a bundle is
    kept in the user's cache.

    Args:
        bundle: The network with its scaling.
        kind: Its windows.
        precision: fp32, bf16 or int8.
        calibration: Windows by which the ranges of numbers are found for int8.

    Raises:
        ConfigError: If OpenVINO is not installed, or does not compute with that precision.
        WorkError: If it cannot convert the network.
    """

    name: BackendName = "openvino"

    def __init__(
        self,
        bundle: ModelBundle,
        kind: WindowKind,
        precision: Precision,
        calibration: Probe | None = None,
    ) -> None:
        check_openvino(precision)
        self.device = torch.device("cpu")
        self.precision = precision
        self.classes = bundle.card.spec.classes
        self._windows = HostWindows(kind)
        try:
            model = _compiled(bundle, kind, precision, calibration)
        except Exception as error:
            # The converter passes on what the tracer of PyTorch, the quantiser and the network
            # itself raise; PyTorch takes over and tells what is wrong with the network.
            raise WorkError(
                "--backend openvino",
                f"cannot convert the network ({first_line(error)})",
                "Choose torch",
            ) from error
        self._request = model.create_infer_request()
        self._scores = torch.empty(0)

    @telling_no_memory()
    def scores(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        """Run the network; see `Backend.scores`."""
        import openvino

        count, side = pixels.shape[0], pixels.shape[-1]
        if self._scores.shape[0] < count:
            self._scores = torch.empty((count, self.classes, side, side))
        for place in range(count):
            inputs = self._windows.take(pixels, valid, slice(place, place + 1))
            target = openvino.Tensor(self._scores[place : place + 1].numpy(), shared_memory=True)
            self._request.set_output_tensor(target)
            self._request.infer(list(inputs), share_inputs=True, share_outputs=True)
        return self._scores[:count]


def check_openvino(precision: Precision, key: str = "--precision") -> None:
    """Refuse what OpenVINO cannot do here.

    Args:
        precision: Numbers of the forward pass.
        key: Where the user asked for them, for the error.

    Raises:
        ConfigError: If it is not installed, or does not compute with that precision.
    """
    try:
        import openvino
    except ImportError as error:
        cure = "Install geoseg[openvino], or choose --backend torch"
        raise ConfigError("--backend", "openvino is not installed", cure) from error
    if precision not in {*_HINTS, "int8"}:
        raise ConfigError(key, f"openvino has no {precision}", "Give bf16, fp32 or int8")
    if precision == "int8" and importlib.util.find_spec("nncf") is None:
        cure = "Install geoseg[openvino], or choose another --precision"
        raise ConfigError(key, "nncf, which int8 needs, is not installed", cure)
    del openvino


@same_signal_stack()
def _compiled(
    bundle: ModelBundle, kind: WindowKind, precision: Precision, calibration: Probe | None
) -> Any:  # noqa: ANN401 - openvino publishes no hints
    """The compiled network, from the cache where it is there."""
    import openvino

    core = openvino.Core()
    # Beside the quantised layers the others compute with what is fast.
    numbers = _HINTS.get(precision, "bf16" if has_bf16(torch.device("cpu")) else "f32")
    # It reads no OMP_NUM_THREADS: workers of a cluster on one machine would fight for processors.
    settings = {
        "INFERENCE_PRECISION_HINT": numbers,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    processor = core.get_property("CPU", "FULL_DEVICE_NAME")
    seen = "" if calibration is None else digest(calibration.pixels, calibration.valid)
    key = cache_key(bundle, kind, precision, openvino.__version__, processor, numbers, seen)
    cache = ModelCache("openvino", key)
    kept = cache.load()
    if kept is not None:
        try:
            return core.import_model(kept, "CPU", settings)
        except RuntimeError as error:
            logger.debug("a network in the cache is of no use (%s)", first_line(error))
    model = _converted(bundle, kind)
    if precision == "int8":
        assert calibration is not None
        model = _quantised(model, HostWindows(kind), calibration)
    compiled = core.compile_model(model, "CPU", settings)
    if key:
        with contextlib.suppress(RuntimeError):  # some networks cannot be exported
            cache.store(compiled.export_model().getvalue())
    return compiled


def _converted(bundle: ModelBundle, kind: WindowKind) -> Any:  # noqa: ANN401 - as above
    network, example = export_parts(bundle, kind, 1)
    with _own_logging(), torch.inference_mode(mode=False), torch.no_grad():
        import openvino

        warnings.simplefilter("ignore")  # of the tracer, about sizes that are fixed here
        # Traced here, since the converter would run and compare the network two times more.
        traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        model = openvino.convert_model(traced, example_input=example)
    model.reshape({0: list(example[0].shape), 1: list(example[1].shape)})
    return model


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """Undo what converter and quantiser do to logging and warnings of the whole process."""
    root, logger_class = logging.getLogger(), logging.getLoggerClass()
    level, filters = root.level, root.filters[:]
    handlers = [(handler, handler.level) for handler in root.handlers]
    try:
        with warnings.catch_warnings():
            yield
    finally:
        logging.setLoggerClass(logger_class)
        root.setLevel(level)
        root.handlers[:], root.filters[:] = [handler for handler, _ in handlers], filters
        for handler, own_level in handlers:
            handler.setLevel(own_level)


def _quantised(
    model: Any,  # noqa: ANN401 - as above
    windows: HostWindows,
    calibration: Probe,
) -> Any:  # noqa: ANN401
    def inputs(place: int) -> list[np.ndarray[Any, Any]]:
        return list(windows.take(calibration.pixels, calibration.valid, slice(place, place + 1)))

    count = len(calibration.pixels)
    with _own_logging(), contextlib.redirect_stdout(io.StringIO()):
        import nncf

        nncf.set_log_level(logging.ERROR)
        dataset = nncf.Dataset(range(count), inputs)
        warnings.simplefilter("ignore")
        return nncf.quantize(
            model, dataset, preset=nncf.QuantizationPreset.MIXED, subset_size=count
        )
