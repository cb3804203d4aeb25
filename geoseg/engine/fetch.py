"""Bringing tensors to the host without waiting for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Fetched:
    """A tensor that is on the host, or on its way there."""

    tensor: Tensor
    """On the host; pinned where it comes from a GPU."""

    event: torch.cuda.Event | None = None
    """When it has come."""

    @property
    def is_there(self) -> bool:
        """Whether nobody needs to wait for it."""
        return self.event is None or bool(self.event.query())  # type: ignore[no-untyped-call]

    def array(self) -> npt.NDArray[Any]:
        """Its values, as soon as they have come; in memory of its own only if from a GPU."""
        if self.event is not None:
            self.event.synchronize()
        values: npt.NDArray[Any] = self.tensor.numpy()
        return values


def fetch(tensor: Tensor) -> Fetched:
    """Start to bring a tensor to the host; work on a GPU goes on meanwhile."""
    if tensor.device.type != "cuda":
        return Fetched(tensor)
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(tensor.device))
    return Fetched(host, event)
