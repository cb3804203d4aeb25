"""What networks have in common that are taken out of PyTorch, for windows of one kind."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geoseg import __version__
from geoseg.engine.backends import WindowKind
from geoseg.engine.window_network import WindowNetwork
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.device import Precision

_NATIVE = {"uint8", "float32"}
"""Types of raw values that every run-time takes; others are converted to float32."""


def input_dtype(kind: WindowKind) -> np.dtype[np.generic]:
    """Type of the values that the exported network takes."""
    return np.dtype(kind.dtype if kind.dtype in _NATIVE else "float32")


def export_parts(
    bundle: ModelBundle, kind: WindowKind, count: int
) -> tuple[WindowNetwork, tuple[Tensor, Tensor]]:
    """The network, ready to be traced, and an example of its inputs.

    Args:
        bundle: The network with its scaling.
        kind: Its windows.
        count: Windows in a batch.
    """
    network = WindowNetwork(bundle, kind.units, kind.size).eval().requires_grad_(False)
    bands, side = bundle.card.spec.in_channels, kind.side
    dtype = torch.from_numpy(np.zeros(1, dtype=input_dtype(kind))).dtype
    pixels = torch.ones(count, bands, side, side, dtype=dtype)
    return network, (pixels, torch.ones(count, side, side, dtype=torch.bool))


def cache_key(
    bundle: ModelBundle, kind: WindowKind, precision: Precision, *more: object
) -> tuple[object, ...]:
    """All that an exported network depends on; empty where the bundle is not from a file."""
    if not bundle.sha256:
        return ()
    return (__version__, torch.__version__, bundle.sha256, kind, precision, *more)


def digest(*tensors: Tensor) -> str:
    """Of the values of some arrays."""
    whole = hashlib.sha256()
    for tensor in tensors:
        whole.update(np.ascontiguousarray(tensor.numpy()).data)
    return whole.hexdigest()


class HostWindows:
    """Hands windows over as contiguous arrays of the type that a run-time takes.

    Args:
        kind: The windows.
    """

    def __init__(self, kind: WindowKind) -> None:
        self._dtype = input_dtype(kind)
        self._everywhere = np.ones((1, kind.side, kind.side), dtype=np.bool_)

    def take(
        self, pixels: Tensor, valid: Tensor | None, part: slice
    ) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
        """Some windows and their validity; copies only what is strided or of another type."""
        windows = np.ascontiguousarray(pixels[part].cpu().numpy(), dtype=self._dtype)
        if valid is not None:
            return windows, np.ascontiguousarray(valid[part].cpu().numpy())
        if len(self._everywhere) != len(windows):
            self._everywhere = np.ones((len(windows), *windows.shape[2:]), dtype=np.bool_)
        return windows, self._everywhere
