"""Networks that torch compiles for training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from geoseg.nn.no_memory import telling_no_memory

logger = logging.getLogger(__name__)

Forward = Callable[[Tensor], Any]


def compile_forward(
    network: nn.Module,
    example: Tensor,
    context: Callable[[], AbstractContextManager[object]],
    compiler: Callable[..., Forward] = torch.compile,
) -> Forward:
    """Compile the forward pass of a network, and try it and its way back.

    What is compiled is a function, not another module: the names of the network's weights stay
    what they are.

    Args:
        network: In training mode, on its device; its weights and statistics stay as they are.
        example: An image as in training, (n, bands, height, width), scaled.
        context: In which it runs: its numbers.
        compiler: Makes a function of a function.

    Returns:
        The compiled forward pass; the plain one, with a warning, where it cannot be compiled.

    Raises:
        torch.OutOfMemoryError: If the memory is too small.
    """
    plain: Forward = network.forward
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    try:
        compiled = compiler(plain)
        with telling_no_memory():
            with context():
                outputs = compiled(example)
            total = torch.stack([output.float().sum() for output in _tensors(outputs)]).sum()
            # Gradients are given, and not gathered: nothing waits for them among processes.
            torch.autograd.grad(total, weights, allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it works without
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        logger.warning("the network cannot be compiled and trains without (%s)", reason)
        return plain
    finally:
        with torch.no_grad():
            for name, buffer in network.named_buffers():
                buffer.copy_(before[name])
    return compiled


def _tensors(outputs: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)
