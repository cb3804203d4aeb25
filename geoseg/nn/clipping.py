"""Gradients that are too long, shortened."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from geoseg.nn.journal import as_task


class Clipping(Callback):
    """Shortens each step's gradient to a norm, and tells how long they were.

    The norm is over all parameters together, arXiv 1211.5063. The row of the epoch gets
    `train/grad_norm`, their mean before, and `train/clipped`, the share of steps that were
    shortened. Lightning's own clipping would not tell them.

    Args:
        norm: The longest that is left as it is.
    """

    def __init__(self, norm: float) -> None:
        self._norm = norm
        self._norms: list[Tensor] = []

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Shorten the gradient; those of fp16 are unscaled by now, but for fused optimizers."""
        del pl_module
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            scaler.unscale_(optimizer)  # else they would do it in their step, after the clipping
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._norms.append(torch.nn.utils.clip_grad_norm_(parameters, self._norm))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the figures; steps that fp16 left out for an infinite gradient do not count."""
        del trainer
        norms = self._stacked()
        norms = norms[norms.isfinite()]
        if len(norms):
            as_task(pl_module).add_figures(
                {
                    "train/grad_norm": float(norms.mean()),
                    "train/clipped": float((norms > self._norm).float().mean()),
                }
            )
        self._norms = []

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: the norms of the running epoch."""
        return {"norms": self._stacked().tolist()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on within the epoch of a checkpoint."""
        self._norms = [torch.tensor(norm) for norm in state_dict["norms"]]

    def _stacked(self) -> Tensor:
        if not self._norms:
            return torch.zeros(0)
        device = self._norms[-1].device  # those of a checkpoint are in main memory
        return torch.stack([norm.to(device, torch.float32) for norm in self._norms])
