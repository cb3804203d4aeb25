"""Forward passes on a GPU that are recorded once and replayed: no launch costs, no allocations."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

Forward = Callable[[Tensor, Tensor | None], Tensor]
"""Takes pixels (n, bands, height, width) and valid (n, height, width) on the device."""

_WARM_UP = 3
"""Forward passes before the recording: libraries choose their kernels and take their memory."""


@dataclass(slots=True)
class _Recorded:
    graph: torch.cuda.CUDAGraph
    pixels: Tensor
    """Where the graph reads them."""
    valid: Tensor
    scores: Tensor
    """Where the graph writes them."""
    is_all_valid: bool


class GraphedNetwork:
    """Runs batches of one size by graphs, one for each shape of windows; smaller ones padded.

    Where a network cannot be recorded it runs as it comes. Where the memory of the GPU does not
    suffice the batch is halved, as the caller is expected to do too.

    Args:
        forward: The network.
        device: The GPU.
        batch_size: Windows in most calls.
    """

    def __init__(self, forward: Forward, device: torch.device, batch_size: int) -> None:
        self._forward = forward
        self._device = device
        self._batch_size = batch_size
        self._recorded: dict[tuple[object, ...], _Recorded] = {}
        self.is_off = False
        """Whether it has turned out that the network cannot be recorded."""

    def scores(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        """Run the network; see `Backend.scores`. The next call overwrites what is returned.

        Raises:
            torch.OutOfMemoryError: If the GPU has no memory for a batch.
        """
        count = pixels.shape[0]
        if self.is_off or count > self._batch_size:
            return self._eager(pixels, valid)
        key = (*pixels.shape[1:], pixels.dtype)
        recorded = self._recorded.get(key) or self._try_to_record(key, pixels)
        if recorded is None:
            return self._eager(pixels, valid)
        recorded.pixels[:count].copy_(pixels, non_blocking=True)
        if valid is not None:
            recorded.valid[:count].copy_(valid, non_blocking=True)
        elif not recorded.is_all_valid:
            recorded.valid.fill_(True)
        recorded.is_all_valid = valid is None
        recorded.graph.replay()
        return recorded.scores[:count]

    def _eager(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        pixels = pixels.to(self._device, non_blocking=True)
        if valid is not None:
            valid = valid.to(self._device, non_blocking=True)
        return self._forward(pixels, valid)

    def _try_to_record(self, key: tuple[object, ...], pixels: Tensor) -> _Recorded | None:
        try:
            self._recorded[key] = self._record(pixels)
        except torch.OutOfMemoryError:
            self._recorded.clear()
            self._batch_size = max(self._batch_size // 2, 1)
            raise
        except Exception as error:  # noqa: BLE001 - what is wrong with the network itself comes again
            logger.debug("the network runs without a graph (%s)", str(error).partition("\n")[0])
            self.is_off = True
            self._recorded.clear()
            return None
        return self._recorded[key]

    def _record(self, pixels: Tensor) -> _Recorded:
        shape = (self._batch_size, *pixels.shape[1:])
        with torch.cuda.device(self._device):
            static = torch.zeros(shape, dtype=pixels.dtype, device=self._device)
            valid = torch.ones((shape[0], *shape[2:]), dtype=torch.bool, device=self._device)
            # As PyTorch's notes on graphs ask: warmed up and recorded beside the usual stream.
            stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP):
                    self._forward(static, valid)
            torch.cuda.current_stream(self._device).wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads upload strips meanwhile: their allocations must not end the recording.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                scores = self._forward(static, valid)
        return _Recorded(graph, static, valid, scores, is_all_valid=True)
