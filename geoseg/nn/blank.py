"""Networks built without drawing the numbers they would begin with, as others take their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

_DRAWS = frozenset(
    {Tensor.normal_, Tensor.uniform_, init.normal_, init.uniform_, init.kaiming_uniform_}
)
"""What fills a tensor with random numbers, where it can be seen; all others use these."""


class Blank(TorchFunctionMode):
    """While it is entered, tensors that would be filled with random numbers are filled with zeros.

    To draw those of a network takes longer than to read its weights. Where tensors have no
    numbers, on torch's meta device, to draw loads torch's compiler besides, which takes seconds.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever torch's functions return
        """Call a function of torch, or what stands for it."""
        del types
        given = kwargs or {}
        if func not in _DRAWS:
            return func(*args, **given)
        tensor: Tensor = args[0] if args else given["tensor"]
        with torch.no_grad():
            return tensor.zero_()
