"""Padam: between SGD with momentum and AMSGrad; torch has none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer


class Padam(Optimizer):
    """Partially adaptive momentum estimation, arXiv 1806.06763.

    With the gradient g of step t, to which `weight_decay` times the weight is added::

        m = beta1 m + (1 - beta1) g
        v = beta2 v + (1 - beta2) g^2
        u = max(u, v)
        weight -= lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(u) + eps)^(2 partial)

    At `partial` 0.5 this is AMSGrad; towards 0 it nears SGD with momentum, and wants rates as
    high as that. The paper's algorithm has no bias correction; that of its authors' program is
    taken, which is the usual one at `partial` 0.5.

    Args:
        params: Parameters, or groups of them.
        lr: Learning rate.
        betas: Of the mean of gradients, and of that of their squares.
        eps: Added to the root of the second.
        weight_decay: Of L2 in the gradient.
        amsgrad: Whether u is the largest v so far, or v itself.
        partial: Half the power of the root; 0.125 in the paper's experiments.

    Raises:
        ValueError: If one of them is out of its range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, ...] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        amsgrad: bool = True,
        partial: float = 0.25,
    ) -> None:
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be two from 0 to below 1, not {tuple(betas)}")
        if not math.isfinite(partial) or partial > 1 / 2:
            raise ValueError(f"partial must be 0.5 at most, not {partial}")
        if not all(value >= 0 for value in (lr, eps, weight_decay)):  # false for NaN too
            raise ValueError("lr, eps and weight_decay must not be negative")
        defaults = {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "partial": partial,
        }  # fmt: skip
        super().__init__(params, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take a step; parameters without a gradient stay as they are.

        Args:
            closure: Computes the loss and its gradients anew.

        Returns:
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            for key in ("mean", "square", "largest")[: 2 + group["amsgrad"]]:
                state[key] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        gradient = parameter.grad
        assert gradient is not None
        if group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        state["mean"].lerp_(gradient, 1 - beta1)
        square = state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        if group["amsgrad"]:
            square = torch.maximum(state["largest"], square, out=state["largest"])
        divisor = square.sqrt().add_(group["eps"]).pow_(2 * group["partial"])
        correction = math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
        parameter.addcdiv_(state["mean"], divisor, value=-group["lr"] * correction)
